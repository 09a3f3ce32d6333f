"""What data fix and what they leave open, in words.

Small singular values of the Jacobian in logarithms of the inputs are directions in which chi^2 does
not rise: from these follow the products of powers that the data do fix. For the specularity p of a
wall (1 - p)/(1 + p) counts, which is what slip laws know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.linalg import qr

from meso.case import Case
from meso.errors import CaseError
from meso.fitting.parameters import Parameter, Theta
from meso.fitting.problem import Problem
from meso.units import is_number

#: A direction is open if inputs may change by so much (of the logarithm) while chi^2 rises by less
#: than 1.
OPEN = 0.5
#: A combination that is known so much better than another one is worth a line.
_RATIO = 20.0
#: Parts of a direction below this do not count; powers nearer than that to a fraction are one.
_PART, _NEAR = 0.08, 0.15
#: Step of logarithms for derivatives of closed forms.
_STEP = 1e-5

#: From the parameter that is held, and where to begin, to where the others follow and how much
#: chi^2 rises.
Walk = Callable[[int, Theta], tuple[Theta, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A product of powers that the data fix.

    Attributes:
        powers: Of each parameter that has a part in it; of specularities, of (1 - p)/(1 + p).
        error: Standard error of its logarithm.
        formula: For people.
        known_as: What it is in the theory of slip and viscosity; empty if it is none of these.
    """

    powers: Mapping[str, float]
    error: float
    formula: str
    known_as: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Identified:
    """Which combinations the data tell apart.

    Attributes:
        names: Parameters that count: all that are not at a bound.
        singular: Singular values of the scaled Jacobian, descending: one over the standard error
            of the logarithm along each direction.
        directions: Rows; components of the logarithms along each.
        open: Whether each direction is left open by the data.
        combinations: What is fixed of the parameters that are not, each by itself.
        statements: The same in words.
    """

    names: tuple[str, ...]
    singular: np.ndarray
    directions: np.ndarray
    open: np.ndarray
    combinations: tuple[Combination, ...]
    statements: tuple[str, ...]


def logarithmic(parameters: Sequence[Parameter], theta: Theta) -> np.ndarray:
    """Derivative of each parameter in its logarithm, or in that of (1 - p)/(1 + p)."""
    return np.array(
        [
            (x**2 - 1) / 2 if p.kind == "specularity" else x or p.width
            for p, x in zip(parameters, theta, strict=True)
        ]
    )


def identified(
    problem: Problem, theta: Theta, jacobian: np.ndarray, free: np.ndarray, walk: Walk
) -> Identified:
    """Tell apart what the data fix from what they leave open.

    Args:
        problem: The fit.
        theta: Best values.
        jacobian: Derivatives of the residuals in the parameters, shape (n, k).
        free: Which parameters are not held at a bound.
        walk: Goes along a direction (number of the parameter that is held, where to begin) and
            returns where the others follow and how much chi^2 rises.
    """
    at = np.flatnonzero(free)
    chosen = [problem.parameters[i] for i in at]
    scaled = (jacobian * logarithmic(problem.parameters, theta))[:, free]
    _, s, v = np.linalg.svd(scaled, full_matrices=True)
    s = np.concatenate([s, np.zeros(len(chosen) - len(s))])[: len(chosen)]
    suspect = (s * OPEN < 1.0) | (s.max(initial=0.0) > _RATIO * s)
    ways = {i: _far(problem, theta, at, v[i], walk) for i in range(len(s)) if suspect[i]}
    open_ = np.array([ways.get(i) is not None for i in range(len(s))], dtype=bool)
    lost = open_ if open_.any() else suspect
    combinations = _combinations(problem, theta, chosen, s, v, lost, free)
    statements = []
    if open_.any():
        alone = [p.name for i, p in enumerate(chosen) if _alone(v[lost], i)]
        statements += [f"the data say nothing about {name}" for name in alone]
        statements += _fixed(combinations)
        if not combinations and not alone:
            names = ", ".join(p.name for p in chosen)
            statements.append(f"the data fix no combination of {names}")
        statements += [
            _example(problem, theta, *way, free) for way in ways.values() if way is not None
        ]
    else:
        statements += [_better(c) for c in combinations]
    return Identified(
        names=tuple(p.name for p in chosen),
        singular=s,
        directions=v,
        open=open_,
        combinations=tuple(combinations),
        statements=tuple(statements),
    )


def _far(
    problem: Problem, theta: Theta, at: np.ndarray, axis: np.ndarray, walk: Walk
) -> tuple[Theta, float] | None:
    """Where chi^2 has not risen by 1 although an input has changed much; None if it has."""
    which = int(np.abs(axis).argmax())
    out = []
    for sign in (-1.0, 1.0):
        there = list(theta)
        for i, part in zip(at, sign * OPEN * axis / axis[which], strict=True):
            there[i] = _shifted(problem.parameters[i], theta[i], part)
        parameter = problem.parameters[at[which]]
        if abs(_log(parameter, there[at[which]]) - _log(parameter, theta[at[which]])) < OPEN / 2:
            continue  # the bound is near
        where, rise = walk(int(at[which]), tuple(there))
        if rise < 1.0:
            out.append((where, rise))
    return min(out, key=lambda way: way[1], default=None)


def _log(parameter: Parameter, x: float) -> float:
    """Logarithm of an input, of a specularity p that of (1 - p)/(1 + p)."""
    if parameter.kind == "specularity":
        return float(np.log(max(1 - x, 1e-12) / (1 + x)))
    return float(np.log(abs(x))) if x else float(x)


def _shifted(parameter: Parameter, x: float, change: float) -> float:
    """An input whose logarithm has changed, within its bounds."""
    if parameter.kind == "specularity":
        ratio = (1 - x) / (1 + x) * np.exp(change)
        moved = (1 - ratio) / (1 + ratio)
    elif x:
        moved = x * np.exp(change)
    else:
        moved = change * parameter.width
    return float(min(max(moved, parameter.low), parameter.high))


def _alone(lost: np.ndarray, which: int) -> bool:
    """Whether a direction that is lost is that of one parameter."""
    return any(np.sqrt(max(1 - axis[which] ** 2, 0.0)) < _PART for axis in lost)


def _combinations(
    problem: Problem,
    theta: Theta,
    chosen: Sequence[Parameter],
    s: np.ndarray,
    v: np.ndarray,
    lost: np.ndarray,
    free: np.ndarray,
) -> list[Combination]:
    """Products of powers that do not change along the directions that are lost."""
    null = v[lost]
    part = [i for i in range(len(chosen)) if np.abs(null[:, i]).max(initial=0.0) > _PART]
    part = [i for i in part if not _alone(null, i)]
    if len(part) < 2 or not lost.any():
        return []
    rank = np.linalg.matrix_rank(null[:, part], tol=_PART)
    pivots = qr(null[:, part], pivoting=True, mode="r")[1][:rank]
    pivot = [part[i] for i in pivots]
    out = []
    for i in (i for i in part if i not in pivot):
        powers = np.zeros(len(chosen))
        powers[i] = 1.0
        powers[pivot] = -np.linalg.lstsq(null[:, pivot], null[:, i], rcond=None)[0]
        first = next(j for j in part if abs(powers[j]) > _PART)
        exact = powers / powers[first]
        inside = (v[~lost] @ exact) / s[~lost]
        rounded = np.array([_rounded(x) for x in exact])
        out.append(
            Combination(
                powers={p.name: float(x) for p, x in zip(chosen, exact, strict=True) if x},
                error=float(np.linalg.norm(inside)),
                formula=_formula(chosen, rounded),
                known_as=_known(problem, theta, null, part, free),
            )
        )
    return out


def _rounded(power: float) -> float:
    """A power as a simple fraction, if it is close to one."""
    nearest = Fraction(power).limit_denominator(2)
    near = abs(power - nearest) < _NEAR and (nearest or abs(power) < _PART)
    return float(nearest) if near else round(power, 2)


def _formula(parameters: Sequence[Parameter], powers: np.ndarray) -> str:
    """A product of powers: "path (1 - p)/(1 + p)"."""
    factors = []
    for p, power in zip(parameters, powers, strict=True):
        if not power:
            continue
        name = f"(1 − {p.name})/(1 + {p.name})" if p.kind == "specularity" else p.name
        if power == -1 and p.kind == "specularity":
            name, power = f"(1 + {p.name})/(1 − {p.name})", 1.0
        if power != 1:
            name = f"({name})" if p.kind == "specularity" else name
            name += (
                f"^{Fraction(power).limit_denominator(2)}" if power * 2 % 1 == 0 else f"^{power}"
            )
        factors.append(name)
    return " · ".join(factors)


# --- what theory knows


def _known(
    problem: Problem, theta: Theta, null: np.ndarray, part: Sequence[int], free: np.ndarray
) -> tuple[str, ...]:
    """Lengths and coefficients of the theory that do not change along what is lost."""
    at = np.flatnonzero(free)
    slopes = logarithmic(problem.parameters, theta)
    out: dict[str, np.ndarray] = {}
    for point in {point.data: point for point in problem.points}.values():
        try:
            first = theory(point.at(problem.inputs(theta)))
        except CaseError:
            continue
        found: dict[str, np.ndarray] = {name: np.zeros(len(at)) for name in first}
        for i in part:
            parameter, there = problem.parameters[at[i]], list(theta)
            if not parameter.keys:
                continue  # no theory knows a scale
            there[at[i]] += _STEP * slopes[at[i]]
            sign = 1.0
            if not parameter.low <= there[at[i]] <= parameter.high:
                there[at[i]], sign = theta[at[i]] - _STEP * slopes[at[i]], -1.0
            elsewhere = theory(point.at(problem.inputs(tuple(there))))
            for name, value in first.items():
                found[name][i] = sign * np.log(elsewhere[name] / value) / _STEP
        for name, gradient in found.items():
            size = np.linalg.norm(gradient)
            whole = (np.abs(gradient[part]) > _PART).all()
            new = all(np.linalg.norm(gradient - other) > _PART for other in out.values())
            if whole and new and np.linalg.norm(null @ gradient) < _PART * size:
                out[name] = gradient
    return tuple(out)


def theory(case: Case) -> dict[str, float]:
    """Numbers that hydrodynamics knows, by name, of materials and walls without profiles."""
    out: dict[str, float] = {}
    for name, material in case.used_materials.items():
        sigma, path = material.conductivity, material.mean_free_path
        length = material.vorticity_diffusion_length
        if not is_number(sigma):
            continue
        if case.geometry.thickness is not None:
            out[f"the sheet conductance σd of {name}"] = sigma * case.geometry.thickness
        if is_number(path):
            out[f"σ/λ of {name}, which is that of the Fermi surface"] = sigma / path
        if not is_number(length):
            continue
        out[f"the vorticity diffusion length l of {name}"] = length
        out[f"the viscosity l²/σ of {name}"] = length**2 / sigma
        for wall, law in case.walls.items():
            out |= _slips(wall, float(law.slip_rate(material)), sigma, length)
    return {name: value for name, value in out.items() if value > 0 and np.isfinite(value)}


def _slips(wall: str, rate: float, sigma: float, length: float) -> dict[str, float]:
    """What a wall does: slip length, friction, and what it takes from the current beside it."""
    if not (rate and np.isfinite(rate)):
        return {}
    depth = rate * length / (1 + rate * length)
    return {
        f"the slip length 1/s of {wall}": 1 / rate,
        f"the friction l²s of {wall}, all that a channel narrower than l knows": length**2 * rate,
        f"l²s/σ of {wall}, all that a channel narrower than l knows": length**2 * rate / sigma,
        f"l/(1 + 1/sl), the width that {wall} takes from the current of a channel wider than l": (
            length * depth
        ),
    }


# --- sentences


def _fixed(combinations: Sequence[Combination]) -> list[str]:
    """What is fixed, but not its parts."""
    out = []
    for one in combinations:
        names = list(one.powers)
        alone = f"neither {names[0]} nor {names[1]} alone" if len(names) == 2 else "none alone"
        text = f"the data fix {one.formula} to {_percent(one.error)}, but {alone}"
        out.append(text + (f" ({'; '.join(one.known_as)})" if one.known_as else ""))
    return out


def _better(one: Combination) -> str:
    known_as = f" ({'; '.join(one.known_as)})" if one.known_as else ""
    return f"{one.formula} is known to {_percent(one.error)}, far better than its factors{known_as}"


def _percent(error: float) -> str:
    return f"{100 * error:.2g} %"


def _example(problem: Problem, theta: Theta, there: Theta, rise: float, free: np.ndarray) -> str:
    """A change that the data hardly notice."""
    parts = []
    for p, x, to, f in zip(problem.parameters, theta, there, free, strict=True):
        if f and abs(to - x) > 0.02 * max(abs(x), abs(to)):
            unit = f" {p.shown}" if p.shown else ""
            parts.append(f"{p.name} from {x / p.size:.3g} to {to / p.size:.3g}{unit}")
    return f"chi^2 rises by no more than {max(rise, 0):.2g} with {', '.join(parts)}"
