"""Derivatives of what is said of densities of angular momentum, in inputs of a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from meso.angular_momentum.adjoint import Adjoint, Target
from meso.angular_momentum.coupled_adjoint import CoupledAdjoint, Number
from meso.angular_momentum.problem import coefficients_of
from meso.angular_momentum.targets import target
from meso.angular_momentum.viscous_adjoint import ViscousAdjoint
from meso.case import Case
from meso.device import Device
from meso.discrete.motion import Nodes
from meso.flow.result import ports_of
from meso.gradients.differences import Moved, settled
from meso.gradients.inputs import Input
from meso.gradients.outputs import short
from meso.results.result import Result
from meso.sensitivities import Sensitivity


def parts(result: Result, names: Sequence[str]) -> dict[str, Sensitivity]:
    """Derivatives of those outputs that are functionals of densities; all ranks call this.

    One solve for all of them, and one of the flow for each if it keeps its adjoint; where both
    were solved together, one of both for each.

    Args:
        result: The result.
        names: Columns of outputs.

    Returns:
        By column; nothing for what is no functional of densities.
    """
    targets = {name: found for name in names if (found := target(result, name)) is not None}
    if not targets:
        return {}
    if isinstance(both := result.flow.adjoint, ViscousAdjoint):
        return {name: both.of(one) for name, one in targets.items()}
    with kept(result) as adjoint:
        several = adjoint.derivatives(list(targets.values()))
    return {name: one.through(result.flow) for name, one in zip(targets, several, strict=True)}


@contextmanager
def kept(result: Result) -> Iterator[Adjoint]:
    """What the densities of a result were solved with; they are solved again if it is gone."""
    part = result.angular_momentum
    assert part is not None
    if part.densities.adjoint is not None:
        yield part.densities.adjoint
        return
    adjoint = part.problem.solve(result.flow, keep=True).adjoint
    yield adjoint
    adjoint.close()


def is_coupled(result: Result) -> bool:
    """Whether charge and angular momentum were solved together."""
    table = result.case.angular_momentum
    return bool(table) and table.is_two_way


def by_ohm(result: Result) -> bool:
    """Whether that was by Ohm's law."""
    return is_coupled(result) and not result.flow.viscous


def coupled(
    result: Result,
    names: Sequence[str],
    wanted: Sequence[Input],
    velocities: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Where it was: derivatives of densities, currents, potentials and power, (i,) by column.

    One factorisation and one solve for all of them; nothing for other outputs.
    """
    numbers = {name: found for name in names if (found := number(result, name)) is not None}
    if not numbers or result.angular_momentum is None:
        return {}
    part = result.angular_momentum
    adjoint = CoupledAdjoint(part.problem, result.flow, part.densities.adjoint)
    several = adjoint.derivatives(list(numbers.values()))
    adjoint.close()
    base = settled(result)
    rates = [rates_of(Moved(base, result, one, closed=True), _of_both) for one in wanted]
    out = {}
    for name, each in zip(numbers, several, strict=True):
        row = np.array([each.contracted(of) for of in rates])
        for i, one in enumerate(wanted):
            if one.parameter and each.nodes is None:
                row[i] = np.nan
            elif one.parameter:
                shape = Sensitivity(nodes=each.nodes)
                row[i] += shape.along(result.device, velocities[one.parameter])
        out[name] = row
    return out


def number(result: Result, name: str) -> Number | None:
    """An output of a coupled solution."""
    ports = list({**result.flow.contacts, **result.flow.periodic}.items())
    none, unit = np.zeros(len(ports)), np.eye(len(ports))
    if (found := target(result, name)) is not None:
        return Number(target=found, current=none, potential=none)
    assert result.angular_momentum is not None
    density = np.zeros_like(result.angular_momentum.densities.density)
    nothing = Target(density=density, nodes=Nodes(result.device).owned)
    column = short(name)
    for i, (port, _) in enumerate(ports):
        if column == f"{port}.current":
            return Number(target=nothing, current=unit[i], potential=none)
        if column in (f"{port}.potential", f"{port}.voltage"):
            return Number(target=nothing, current=none, potential=unit[i])
    if column == "dissipated_power":
        level, current = np.array([(t.potential, t.current) for _, t in ports]).T
        return Number(target=nothing, current=level, potential=current)
    return None


def _of_both(case: Case, device: Device) -> dict[str, np.ndarray]:
    """Coefficients of the densities, conductivities, and what ports are given."""
    out = coefficients_of(case, device)
    for region in device.regions:
        out[f"conductivity.{region}"] = np.array(case.region_materials[region].conductivity)
    for name in ports_of(case.boundaries):
        law = case.boundaries[name]
        level = [getattr(law, key, None) for key in ("potential", "voltage", "current")]
        out[f"given.{name}"] = np.array(next((x for x in level if x is not None), 0.0))
    return out


def rates_of(
    at: Moved, of: Callable[[Case, Device], dict[str, np.ndarray]] = coefficients_of
) -> dict[str, np.ndarray]:
    """Derivatives of coefficients in an input: they are closed functions of the case."""
    if at.one.parameter:
        return {}
    numbers, weights, _ = at.stencil()
    out: dict[str, np.ndarray] = {}
    for k, weight in zip(numbers, weights, strict=True):
        for name, value in of(at.moved(k), at.result.device).items():
            out[name] = out.get(name, 0.0) + weight / at.step * value
    return {name: rate for name, rate in out.items() if np.abs(rate).max() > 0}
