"""Derivatives by the adjoints of the models, and the chain rule from coefficients to inputs.

What a model tells is the derivative of a number in its coefficients, place by place
(:class:`meso.sensitivities.Sensitivity`). These are closed functions of materials, walls and what
contacts are given: how they follow an input is found by evaluating them for the case with the input
moved, without a solution. Currents, potentials, resistances and power are functions of the
conductances G: with potentials V of all ports each of them is, to first order, l^T dG V.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from meso.angular_momentum import viscous
from meso.angular_momentum.inverse import two_way
from meso.angular_momentum.viscous_adjoint import ViscousAdjoint
from meso.boundary import Boundary, Periodic, law_of
from meso.case import Case
from meso.flow.result import Flow
from meso.gradients import densities, moments, outputs
from meso.gradients.differences import Moved, settled
from meso.gradients.inputs import Input
from meso.gradients.motion import Velocities
from meso.materials.material import Material
from meso.moment_gradients import density_gradient, has_gradient
from meso.mpi import total
from meso.observables import spot
from meso.results.result import Result
from meso.results.running import solve
from meso.sensitivities import Places, Sensitivity
from meso.units import is_number

#: A coefficient by where it is: its region, or boundary and region; ports; "thickness".
Place = tuple[str, ...]


class Chain:
    """From derivatives in coefficients to those in the inputs of a case.

    Args:
        result: The result, whose flow keeps its adjoint.
        wanted: The inputs.
        velocities: Of the nodes, by parameter of the drawing; may wait for them.
    """

    def __init__(
        self, result: Result, wanted: Sequence[Input], velocities: Callable[[], Velocities]
    ) -> None:
        self.result, self.wanted, self.velocities = result, wanted, velocities
        assert result.flow.adjoint is not None
        self.adjoint = result.flow.adjoint
        base = settled(result)
        moved = [Moved(base, result, one, closed=True) for one in wanted]
        self.moved = moved
        self.slopes = [{} if at.one.parameter else self._slopes(at) for at in moved]
        #: Of coefficients of densities.
        self.rates: list[dict[str, np.ndarray]] = [{} for _ in wanted]
        if result.angular_momentum is not None:
            self.rates = [densities.rates_of(at) for at in moved]

    def _slopes(self, at: Moved) -> dict[Place, float]:
        """How coefficients follow an input."""
        numbers, weights, _ = at.stencil()
        tables = [self.coefficients(at.moved(k)) for k in numbers]
        out: dict[Place, float] = {}
        for place in {place for table in tables for place in table}:
            # No slip is an infinite friction: what is not a number here is for differences.
            values = np.array([table.get(place, np.nan) for table in tables])
            slope = float(np.dot(weights, values - values[0])) / at.step
            if slope:
                out[place] = slope
        return out

    def coefficients(self, case: Case) -> dict[Place, float]:
        """All coefficients of a case, by place."""
        device, out = self.result.device, dict[Place, float]()
        for region, material in case.region_materials.items():
            found = {}
            if self._has_numbers(material):
                found = self.adjoint.coefficients(material, case.flow.magnetic_field)
            for name in ("orbital_coupling", "spin_coupling"):
                if is_number(value := getattr(material, name)):
                    found = {**found, name: value}
            out |= {("region", region, name): value for name, value in found.items()}
        for boundary in device.boundaries:
            law = law_of(case.boundaries, boundary)
            for region, material in case.region_materials.items():
                if not self._has_numbers(material):
                    continue
                found = self.adjoint.wall_coefficients(law, material)
                out |= {(boundary, region, name): value for name, value in found.items()}
        for port in self.adjoint.ports:
            law = case.boundaries[port]
            level = [getattr(law, key, None) for key in ("potential", "voltage", "current")]
            out[("given", port)] = next((x for x in level if x is not None), 0.0)
        out[("thickness",)] = case.geometry.thickness or 1.0
        return {place: value for place, value in out.items() if np.isfinite(value)}

    def _has_numbers(self, material: Material) -> bool:
        """Whether some coefficients do not vary: the rates of a kinetic flow never do."""
        return self.result.flow.kinetic or not material.varies

    def derivatives(self, found: Sensitivity, thickness: float) -> np.ndarray:
        """Of a number in all inputs; NaN where the sensitivity does not know, shape (i,).

        Args:
            found: The derivatives of the number.
            thickness: That in the thickness of a slab, 1 where it has none.
        """
        device, table = self.result.device, dict[Place, float]()
        for region, values in found.over_regions(device).items():
            table |= {("region", region, name): x for name, x in values.items()}
        for (boundary, region), values in found.over_boundaries(device).items():
            table |= {(boundary, region, name): x for name, x in values.items()}
        table |= {("given", port): x for port, x in found.given.items()}
        table[("thickness",)] = thickness
        out = np.full(len(self.wanted), np.nan)
        for i, one in enumerate(self.wanted):
            flow = self.result.flow
            if one.key == "flow.magnetic_field" and not (flow.kinetic or flow.magnetic_field):
                continue  # without a field no coefficient of the hydrodynamic adjoint has it
            if not one.parameter:
                out[i] = sum(table.get(p, 0.0) * slope for p, slope in self.slopes[i].items())
                out[i] += self._of_places(found.places, self.moved[i])
                if found.densities:
                    out[i] += self._of_densities(found.densities, self.rates[i])
            elif found.nodes is not None:
                velocity = self.velocities()[one.parameter]
                if isinstance(velocity, np.ndarray):
                    out[i] = found.along(device, velocity)
        return out

    def _of_places(self, places: Sequence[Places], at: Moved) -> float:
        """What comes through coefficients that vary; all ranks call this."""
        value, device = 0.0, self.result.device
        kind, name = at.one.key.split(".")[:2]
        for place in places if kind in ("materials", "boundaries") else ():
            if kind == "boundaries" and name != place.boundary:
                continue
            numbers, weights, _ = at.stencil()
            for k, weight in zip(numbers, weights, strict=True):
                case = at.moved(k)
                region = device.regions[device.cell_region[place.cells[0]]]
                material = case.region_materials[region].local(
                    place.positions, place.cells, device.cell_data, checked=False
                )
                of = self.adjoint.coefficients(material)
                if place.boundary:
                    law = law_of(case.boundaries, place.boundary)
                    of = self.adjoint.wall_coefficients(law, material)
                value += weight / at.step * float((place.values * of.get(place.name, 0.0)).sum())
        return float(total(device.comm, value))

    def _of_densities(
        self, found: Mapping[str, np.ndarray], rates: Mapping[str, np.ndarray]
    ) -> float:
        """What comes through coefficients of densities."""
        if isinstance(self.adjoint, ViscousAdjoint):
            # It is coupled by one Hall conductivity.
            hall = [rates.get(f"hall.{name}", 0.0) for name in self.result.device.regions]
            if any(np.any(one != hall[0]) for one in hall):
                return np.nan
        return float(sum((found[k] * rate).sum() for k, rate in rates.items() if k in found))


def applies(result: Result) -> bool:
    """Whether the adjoints know this kind of case."""
    varies = any(material.varies for material in result.case.region_materials.values())
    flow, density = result.terms
    if varies and flow:
        return False
    return not (density or (flow and outputs.is_coupled(result)))


def derivatives(
    result: Result,
    names: Sequence[str],
    wanted: Sequence[Input],
    velocities: Callable[[], Velocities],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Derivatives of outputs by adjoints, shape (o, i); NaN where there is none.

    And by name those in the nodes of the mesh, :attr:`Sensitivity.nodes`, where they are known.
    The velocities of nodes are called for when all else is known.
    """
    out, nodes = np.full((len(names), len(wanted)), np.nan), dict[str, np.ndarray]()
    if not applies(result) or not any(map(_is_known, names)):
        return out, nodes
    with kept(result) as again:
        if again.flow.adjoint is None:
            return out, nodes
        chain = Chain(again, wanted, velocities)
        for name, (found, thickness) in _functionals(again, names).items():
            out[names.index(name)] = chain.derivatives(found, thickness)
            if found.nodes is not None:
                nodes[name] = found.nodes
    return out, nodes


def _functionals(result: Result, names: Sequence[str]) -> dict[str, tuple[Sensitivity, float]]:
    """As :func:`functional`, by column, and of densities."""
    out = {name: x for name in names if (x := functional(result, name))}
    if result.angular_momentum is None:
        return out
    ratios = {name: pair for name in names if (pair := outputs.quotient(name))}
    of = densities.parts(result, [*names, *(one for one, _ in ratios.values())])
    parts = {name: (x, _through_currents(result.flow, x)) for name, x in of.items()}
    out |= {name: x for name, x in parts.items() if name in names}
    columns = outputs.values(result) if ratios else {}
    for name, (above, below) in ratios.items():
        column = next(key for key in columns if outputs.short(key) in below)
        if above in parts and (found := functional(result, column)):
            (one, per), (other, per_other) = parts[above], found
            # d(a/b) = da/b - (a/b) db/b
            a, b = 1 / columns[column], -columns[name] / columns[column]
            out[name] = a * one + b * other, a * per + b * per_other
    return out


def _through_currents(flow: Flow, found: Sensitivity) -> float:
    """How a functional of a flow follows the thickness: by the potentials of given currents."""
    ports = {**flow.contacts, **flow.periodic}
    floating = [name for name in ports if _level(flow.boundaries[name]) is None]
    change = sum(found.given.get(name, 0.0) * ports[name].current for name in floating)
    return -change / (flow.thickness or 1.0)


def _level(law: Boundary) -> float | None:
    """The potential, or voltage, that a port is given."""
    return getattr(law, "voltage" if isinstance(law, Periodic) else "potential", None)


def sensitivity(result: Result, name: str) -> Sensitivity | None:
    """The derivatives of an output place by place; None if no adjoint knows it."""
    if not applies(result) or not _is_known(name):
        return None
    with kept(result) as again:
        if again.flow.adjoint is None:
            return None
        found = _functionals(again, [name]).get(name)
        return found and found[0]


@contextmanager
def kept(result: Result) -> Iterator[Result]:
    """The result with a flow that keeps its adjoint: solved again, and closed, if it does not."""
    if result.flow.adjoint is not None:
        yield result
        return
    part, coupled = result.angular_momentum, outputs.is_coupled(result)
    if coupled and result.flow.viscous and part is not None:
        flow = viscous.solved(part.problem, result.flow, keep=True).flow
    else:
        given: Any = {"start": result.flow, "terms": result.terms[0]}
        flow, _ = solve(settled(result), result.device, **given, keep=True, told=False)
        if coupled and part is not None:
            flow = two_way(part.problem, flow, keep=True)[0]
    try:
        yield replace(result, flow=flow)
    finally:
        if flow.adjoint is not None:
            flow.adjoint.close()


#: What the names of numbers that some adjoint knows have in them.
_KNOWN = (
    *("current", "potential", "conductance", "resistance", "dissipated_power"),
    *("_moment", "_over_vorticity", "angular_momentum.", "probe."),
)


def _is_known(name: str) -> bool:
    return any(kind in name for kind in _KNOWN)


def functional(result: Result, name: str) -> tuple[Sensitivity, float] | None:
    """The derivatives of an output in coefficients, and in the thickness; None: not known.

    Its flow has an adjoint.
    """
    if outputs.is_sampled(name):
        return _sampled(result, name)
    short = outputs.short(name)
    if "_moment" in short:
        found = moments.moment(result, short)
        return found and (found[0], found[1] + _through_currents(result.flow, found[0]))
    if short.startswith("inverse."):
        return _inverse(result, short.removeprefix("inverse."))
    terminals = Terminals(result.flow)
    resistance = short.removeprefix("resistance.")
    if short != resistance:
        wish = result.case.output.resistances[resistance]
        return terminals.resistance(wish.current, wish.voltage)
    return terminals.named(short)


def _inverse(result: Result, short: str) -> tuple[Sensitivity, float] | None:
    """Of what a current changes by since angular momentum acts back on the flow."""
    alone = getattr(result.flow.adjoint, "alone", None)
    if alone is None:
        return None
    (one, per), (other, per_other) = (
        Terminals(flow).named(short) or (Sensitivity(), 0.0) for flow in (result.flow, alone)
    )
    return one + -1.0 * other, per - per_other


def _sampled(result: Result, name: str) -> tuple[Sensitivity, float] | None:
    """Of J, the potential, vorticity, or what it makes, along a probe that stays where it is.

    Of J and the potential also what angular momentum adds, where it acts back.
    """
    one, flow = outputs.sample(result, name), result.flow
    assert flow.adjoint is not None
    channel, plain = one.field.removesuffix("_density"), one.field.removeprefix("inverse_")
    made = channel in ("vorticity", "orbital", "spin") and has_gradient(flow, channel)
    alone = getattr(flow.adjoint, "alone", None)
    known = made or (plain in _OF_FLOW and (plain == one.field or alone is not None))
    if not known:
        return None
    weights, motion = spot.at_probe(result.fields[one.field], one.probe, one.number, one.component)
    if made:
        omega = result.fields["vorticity"]
        found = density_gradient(flow, omega, weights, motion.owned, channel)
        return found, _through_currents(flow, found)
    found = flow.adjoint.functional(**{_OF_FLOW[plain]: weights})
    per = _through_currents(flow, found)
    if plain != one.field:
        assert alone is not None and alone.adjoint is not None
        other = alone.adjoint.functional(**{_OF_FLOW[plain]: weights})
        found, per = found + -1.0 * other, per - _through_currents(alone, other)
    return found + Sensitivity(nodes=motion.owned), per


#: Fields of a flow, and what a functional calls them.
_OF_FLOW = {"current_density": "current", "potential": "potential"}


class Terminals:
    """Numbers at contacts as functions of the conductances.

    Those of periodic pairs are known with the adjoint of the flow.
    """

    def __init__(self, flow: Flow) -> None:
        known = flow.adjoint
        ports = {**flow.contacts, **(flow.periodic if known else {})}
        self.flow, self.names, self.contacts = flow, tuple(ports), len(flow.contacts)
        self.G = np.asarray(known.response if known else flow.conductance_matrix)
        self.V = np.array([t.potential for t in ports.values()])
        self.I = np.array([t.current for t in ports.values()])
        levels = [_level(flow.boundaries[name]) for name in self.names]
        self.free = np.array([level is None for level in levels], dtype=bool)

    def named(self, short: str) -> tuple[Sensitivity, float] | None:
        """A current, a potential, a conductance or the power, by its name."""
        count, pairs = self.contacts, len(self.names) - self.contacts
        none, unit = np.zeros(count + pairs), np.eye(count + pairs)
        for i, name in enumerate(self.names):
            if short == f"{name}.current":
                return self._driven(unit[i], none)
            if short in (f"{name}.potential", f"{name}.voltage"):
                return self._driven(none, unit[i])
            for j, other in enumerate(self.names):
                if short == f"conductance_matrix.{name}.{other}":
                    return self._of_matrix(unit[i], unit[j])
        if short == "conductance" and (count in (1, 2) or (count, pairs) == (0, 1)):
            return self._of_matrix(unit[0], unit[0])
        if short == "dissipated_power":
            return self._driven(self.V, self.I)
        return None

    def resistance(
        self, current: tuple[str, str], voltage: tuple[str, str]
    ) -> tuple[Sensitivity, float]:
        """A four-terminal resistance."""
        at = {name: i for i, name in enumerate(self.names)}

        def response(matrix: np.ndarray, pair: tuple[str, str]) -> np.ndarray:
            right = np.zeros(len(self.names))
            right[at[pair[0]]], right[at[pair[1]]] = 1.0, -1.0
            last = self.contacts - 1  # is at zero, as the voltages of periodic pairs are
            right[:last] = np.linalg.solve(matrix[:last, :last], right[:last])
            right[last] = 0.0
            return right

        return self._of_matrix(-response(self.G.T, voltage), response(self.G, current))

    def _of_matrix(self, left: np.ndarray, right: np.ndarray) -> tuple[Sensitivity, float]:
        """Of a number that changes by left^T dG right."""
        assert self.flow.adjoint is not None
        found = self.flow.adjoint.conductance(left, right)
        return found, float(left @ self.G @ right) / (self.flow.thickness or 1.0)

    def _of_currents(self, left: np.ndarray) -> Sensitivity:
        """Of left^T I."""
        assert self.flow.adjoint is not None
        return self.flow.adjoint.current(left, self.V)

    def _driven(self, c: np.ndarray, d: np.ndarray) -> tuple[Sensitivity, float]:
        """Of c I + d V, the currents and potentials of all contacts."""
        free, known = self.free, ~self.free
        left = np.where(known, c, 0.0)
        if free.any():
            inner = self.G[np.ix_(free, free)].T
            left[free] = -np.linalg.solve(inner, d[free] + self.G[np.ix_(known, free)].T @ c[known])
        found = self._of_currents(left)
        thickness = float(left @ self.I) / (self.flow.thickness or 1.0)
        # What is given acts through G, and is a part of the number itself.
        given = np.where(known, left @ self.G + d, c - left)
        return replace(found, given=dict(zip(self.names, given.tolist(), strict=True))), thickness
