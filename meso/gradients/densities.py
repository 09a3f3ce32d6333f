"""Derivatives of what is said of densities of angular momentum, in inputs of a case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from meso.angular_momentum.adjoint import Adjoint, Target
from meso.angular_momentum.coupled_adjoint import CoupledAdjoint
from meso.angular_momentum.inverse import one_way
from meso.angular_momentum.problem import coefficients_of
from meso.angular_momentum.report import wholes
from meso.angular_momentum.targets import of_field, target
from meso.angular_momentum.viscous_adjoint import ViscousAdjoint
from meso.case import Case
from meso.device import Device
from meso.discrete.cells import lagrange
from meso.gradients.differences import Moved
from meso.gradients.outputs import sample, short
from meso.moment_gradients import density_gradient, has_gradient
from meso.observables import spot
from meso.results.result import Result
from meso.sensitivities import Sensitivity
from meso.units import is_number


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
    targets |= _of_response(result, names)
    whole = _of_totals(result, names)
    targets |= {name: one for name, (one, _) in whole.items()}
    if not targets:
        return {}
    if isinstance(both := result.flow.adjoint, ViscousAdjoint | CoupledAdjoint):
        out = {name: both.of(one) for name, one in targets.items()}
    else:
        with kept(result) as adjoint:
            several = adjoint.derivatives(list(targets.values()))
        of = zip(targets, several, strict=True)
        out = {name: one.through(result.flow) for name, one in of}
    return out | {name: out[name] + made for name, (_, made) in whole.items()}


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


def _of_totals(result: Result, names: Sequence[str]) -> dict[str, tuple[Target, Sensitivity]]:
    """Whole densities along probes: what diffuses, and what gradients of the current make."""
    part, flow, out = result.angular_momentum, result.flow, {}
    wanted = [name for name in names if "_total_density_" in name]
    assert part is not None
    made_of = {of[0]: of for of in wholes(part, result.fields)} if wanted else {}
    for name in wanted:
        one = sample(result, name)
        _, component, local, column = made_of[one.field]
        channel = component.rsplit("_", 1)[0]
        if has_gradient(flow, channel):
            field = result.fields[one.field]
            weights, motion = spot.at_probe(field, one.probe, one.number, one.component)
            points = lagrange(result.device, field.degree).points
            pull = local.table(points).T @ weights * np.eye(local.components)[column]
            given = flow, result.fields["vorticity"], pull, np.zeros_like(motion.owned)
            made = density_gradient(*given, channel)
            out[name] = of_field(part.densities, component, weights, motion), made
    return out


def _of_response(result: Result, names: Sequence[str]) -> dict[str, Target]:
    """Currents, J and potential that densities make without being acted back on."""
    part = result.angular_momentum
    assert part is not None
    wanted = [name for name in names if name.startswith("inverse.") or ".inverse_" in name]
    if not wanted or part.response is None or part.response.two_way:
        return {}
    adjoint, out = part.response.adjoint, {}
    if adjoint is None:
        adjoint = one_way(part.problem, part.densities, result.flow, keep=True).adjoint
        assert adjoint is not None
    ports = [*part.response.contacts, *part.response.periodic]
    for name in wanted:
        if name.startswith("inverse."):
            port = short(name).removeprefix("inverse.").removesuffix(".current")
            out[name] = adjoint.of(current=np.array([float(port == one) for one in ports]))
        else:
            one = sample(result, name)
            field = result.fields[one.field]
            weights, motion = spot.at_probe(field, one.probe, one.number, one.component)
            found = adjoint.of(**{one.field.removeprefix("inverse_").split("_")[-1]: weights})
            out[name] = replace(found, nodes=found.nodes + motion.owned)
    if part.response.adjoint is None:
        adjoint.close()
    return out


def coefficients(case: Case, device: Device) -> dict[str, np.ndarray]:
    """Of the densities, and conductivities."""
    out = coefficients_of(case, device)
    for region in device.regions:
        if is_number(sigma := case.region_materials[region].conductivity):
            out[f"conductivity.{region}"] = np.array(sigma)
    return out


def rates_of(at: Moved) -> dict[str, np.ndarray]:
    """Derivatives of coefficients in an input: they are closed functions of the case."""
    if at.one.parameter or at.one.key.split(".")[0] in ("boundaries", "flow"):
        return {}  # neither potentials nor specularities are in them, nor the field
    numbers, weights, _ = at.stencil()
    out: dict[str, np.ndarray] = {}
    for k, weight in zip(numbers, weights, strict=True):
        for name, value in coefficients(at.moved(k), at.result.device).items():
            out[name] = out.get(name, 0.0) + weight / at.step * value
    return {name: rate for name, rate in out.items() if np.abs(rate).max() > 0}
