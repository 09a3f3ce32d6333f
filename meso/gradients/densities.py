"""Derivatives of what is said of densities of angular momentum, in inputs of a case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from meso.angular_momentum.adjoint import Adjoint
from meso.angular_momentum.problem import coefficients_of
from meso.angular_momentum.targets import target
from meso.gradients.differences import Moved, settled
from meso.gradients.inputs import Input
from meso.results.result import Result
from meso.sensitivities import Sensitivity


class Part(NamedTuple):
    """Derivatives of one output.

    Attributes:
        own: In inputs through the coefficients of the densities, shape (i,).
        flow: In what the flow is made of, and in the nodes of the mesh.
    """

    own: np.ndarray
    flow: Sensitivity


def parts(result: Result, names: Sequence[str], wanted: Sequence[Input]) -> dict[str, Part]:
    """Derivatives of those outputs that are functionals of densities; all ranks call this.

    One solve for all of them, and one of the flow for each if it keeps its adjoint.

    Args:
        result: The result.
        names: Columns of outputs.
        wanted: The inputs.

    Returns:
        By column; nothing for what is no functional of densities, or where charge and angular
        momentum are solved together.
    """
    if result.case.angular_momentum.coupling == "two-way":
        return {}
    targets = {name: found for name in names if (found := target(result, name)) is not None}
    if not targets:
        return {}
    several = kept(result).derivatives(list(targets.values()))
    base = settled(result)
    rates = [_rates(Moved(base, result, one, None)) for one in wanted]
    out = {}
    for name, one in zip(targets, several, strict=True):
        own = [sum((one.coefficients[k] * rate).sum() for k, rate in of.items()) for of in rates]
        out[name] = Part(np.array(own), one.through(result.flow))
    return out


def kept(result: Result) -> Adjoint:
    """What the densities of a result were solved with; they are solved again if it is gone."""
    part = result.angular_momentum
    assert part is not None
    if part.densities.adjoint is not None:
        return part.densities.adjoint
    return part.problem.solve(result.flow, keep=True).adjoint


def _rates(at: Moved) -> dict[str, np.ndarray]:
    """Derivatives of the coefficients of the densities in an input: they are closed functions."""
    numbers, weights, _ = at.stencil()
    out: dict[str, np.ndarray] = {}
    for k, weight in zip(numbers, weights, strict=True):
        for name, value in coefficients_of(at.moved(k), at.result.device).items():
            out[name] = out.get(name, 0.0) + weight / at.step * value
    return {name: rate for name, rate in out.items() if np.abs(rate).max() > 0}
