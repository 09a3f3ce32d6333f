"""Derivatives of the numbers of a result in the inputs of its case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from meso.errors import CaseError, known
from meso.gradients import adjoint, outputs
from meso.gradients.differences import differences
from meso.gradients.inputs import Input, inputs_of
from meso.gradients.motion import all_known, begun
from meso.results.result import Result

Method = Literal["auto", "adjoint", "differences"]
METHODS = ("auto", "adjoint", "differences")


@dataclass(frozen=True, kw_only=True, eq=False)
class Gradient:
    """Derivatives of outputs in inputs.

    Attributes:
        outputs: Names of the outputs: the columns of a sweep, which end in their unit.
        inputs: The inputs, with their values, units and uncertainties.
        values: Of the outputs, shape (o,).
        derivatives: Unit of the output over that of the input, shape (o, i).
        errors: Estimates of the errors of differences, shape (o, i); 0 for adjoints, which are
            those of the discrete numbers.
        how: "adjoint" or "differences" for each, shape (o, i).
        left_out: Inputs without a derivative, where none were asked for by name, and why.
        nodes: By output, where adjoints know it, the derivative in the nodes of the mesh, as of
            :attr:`meso.gradients.ShapeGradient.nodes`.
    """

    outputs: tuple[str, ...]
    inputs: tuple[Input, ...]
    values: np.ndarray
    derivatives: np.ndarray
    errors: np.ndarray
    how: np.ndarray
    left_out: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """How the derivatives of each output were found."""
        return tuple(", ".join(sorted(set(row))) or "nothing asked" for row in self.how.tolist())

    def relative(self) -> np.ndarray:
        """Per cent of each output for one per cent of each input, (o, i); NaN for outputs of 0."""
        given = np.array([one.value for one in self.inputs])
        with np.errstate(divide="ignore", invalid="ignore"):
            out = self.derivatives * given / self.values[:, None]
        out[~np.isfinite(out)] = np.nan
        return np.asarray(out)

    def uncertainties(self) -> np.ndarray:
        """Standard deviations of the outputs from those of the inputs, shape (o,).

        To first order, of independent inputs: the root of the sum of squares.
        """
        given = np.array([one.uncertainty for one in self.inputs])
        return np.asarray(np.sqrt(((self.derivatives * given) ** 2).sum(axis=1)))

    def of(self, output: str, key: str) -> float:
        """One derivative, by the name of an output, with or without its unit, and an input's key.

        Raises:
            CaseError: A name that is not among those that were asked for.
        """
        names = {outputs.short(name): o for o, name in enumerate(self.outputs)}
        names |= {name: o for o, name in enumerate(self.outputs)}
        keys = [one.key for one in self.inputs]
        if output not in names:
            raise CaseError(f'no output "{output}"; {known(output, names)}')
        if key not in keys:
            raise CaseError(f'no input "{key}"; {known(key, keys)}')
        return float(self.derivatives[names[output], keys.index(key)])


def gradient(
    result: Result,
    output: str | Sequence[str] | None = None,
    of: str | Sequence[str] | None = None,
    *,
    method: Method = "auto",
    trusted: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Gradient:
    """Derivatives of the numbers of a result; all ranks call this.

    Args:
        result: The result.
        output: Names of outputs, such as "edges.orbital_moment"; all by default.
        of: Dotted keys of inputs, such as "materials.Ti.mean_free_path"; by default all continuous
            numbers that the case gives.
        method: "adjoint", "differences", or "auto": adjoint where there is one.
        trusted: True if the drawing may run commands and write files.
        progress: Called with lines of text.

    Returns:
        The derivatives, each with its method.

    Raises:
        CaseError: An unknown output, an unknown or discrete input.
        GeometryError: A parameter that curves come or go with.
    """
    if method not in METHODS:
        raise CaseError(f'found method "{method}"; {known(method, METHODS)}')
    if result.case.flow.by_particles:
        text = "differences of statistical errors are no derivatives; take another model"
        raise CaseError(("flow.model", f'found "particles"; {text}'))
    names = outputs.chosen(result, [output] if isinstance(output, str) else output)
    wanted = inputs_of(result.case, [of] if isinstance(of, str) else of)
    parameters = [one.parameter for one in wanted if one.parameter]
    moving = begun(result.case, result.device, parameters, trusted=trusted)
    exact, nodes = np.full((len(names), len(wanted)), np.nan), dict[str, np.ndarray]()
    if method != "differences":
        exact, nodes = adjoint.derivatives(result, names, wanted, moving)
    motions = moving()
    velocities = all_known(motions, of is None)
    left_out = {f"geometry.parameters.{n}": str(motions[n]) for n in set(motions) - set(velocities)}
    there = [i for i, one in enumerate(wanted) if one.key not in left_out]
    wanted, exact = tuple(wanted[i] for i in there), exact[:, there]
    derivatives, errors = np.nan_to_num(exact), np.zeros_like(exact)
    for i, one in enumerate(wanted):
        missing = np.flatnonzero(np.isnan(exact[:, i]))
        if len(missing) and method == "adjoint":
            text = f"no adjoint knows how {outputs.short(names[missing[0]])} depends on it"
            raise CaseError((one.key, f'{text}; method "auto" takes differences'))
        if len(missing):
            some = [names[o] for o in missing]
            column = differences(result, some, [one], velocities=velocities, progress=progress)
            derivatives[missing, i], errors[missing, i] = (part[:, 0] for part in column)
    found = outputs.values(result, names)
    return Gradient(
        outputs=names,
        inputs=wanted,
        values=np.array([found[name] for name in names]),
        derivatives=derivatives,
        errors=errors,
        how=np.where(np.isnan(exact), "differences", "adjoint"),
        left_out=left_out,
        nodes=nodes,
    )
