"""What a minimum of chi^2 says about the parameters: errors, correlations, regions, profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.stats import chi2 as chi2_law

from meso.fitting.minimising import Fitter
from meso.fitting.parameters import Theta

#: Singular values below this part of the largest one are rounding.
_ROUNDING = 1e-9
#: Steps of a profile in standard errors, and how many there are at most on each side.
_STEP, _STEPS = 0.7, 12
#: A profile ends where chi^2 has risen by so many times what is wanted.
_BEYOND = 1.15
#: Relative change of chi^2 at which a minimum of a profile is found.
_TOLERANCE = 1e-4


def covariance(jacobian: np.ndarray, free: np.ndarray) -> np.ndarray:
    """(J^T J)^-1 of parameters, infinite where the data say nothing.

    Args:
        jacobian: Derivatives of the residuals in the parameters, shape (n, k), in which all columns
            have about the same size.
        free: Which parameters count; the others are held where they are.

    Returns:
        Shape (k, k); NaN in rows and columns of parameters that are held.
    """
    out = np.full((len(free), len(free)), np.nan)
    if not free.any():
        return out
    _, s, v = np.linalg.svd(jacobian[:, free], full_matrices=True)
    s = np.concatenate([s, np.zeros(len(v) - len(s))])
    known = s > _ROUNDING * s.max(initial=0.0)
    inside = (v[known].T / s[known] ** 2) @ v[known]
    # A direction without any information makes all infinite that have a part in it.
    lost = (np.abs(v[~known]) > np.sqrt(_ROUNDING)).any(axis=0)
    inside[lost] = inside[:, lost] = 0.0
    inside[lost, lost] = np.inf
    out[np.ix_(free, free)] = inside
    return out


def correlation(covariance: np.ndarray) -> np.ndarray:
    """Correlations, shape (k, k); NaN where an error is not finite."""
    error = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore"):
        out = covariance / np.outer(error, error)
    out[~np.isfinite(out)] = np.nan
    return out


def probability(chi2: float, freedom: int) -> float:
    """How often chi^2 is larger than this by chance; NaN without degrees of freedom."""
    return float(chi2_law.sf(chi2, freedom)) if freedom else np.nan


def rise(confidence: float, parameters: int) -> float:
    """By how much chi^2 may exceed its minimum in a joint region of some parameters."""
    return float(chi2_law.ppf(confidence, parameters))


def straightness(
    fitter: Fitter, best: Theta, anchor: Theta, free: np.ndarray, scaled: np.ndarray
) -> float:
    """How chi^2 really rises one standard error away, against the 1 of the linear theory.

    Along each principal axis of the ellipse, both ways, as far as the bounds allow; the ratio that
    deviates most. ``scaled`` is the Jacobian of the residuals in the variables of the fit.
    """
    space, worst = fitter.space, 1.0
    at, (low, high) = space.variables(best), space.bounds
    first = fitter.residuals(best, anchor)
    _, s, v = np.linalg.svd(scaled[:, free], full_matrices=False)
    for size, axis in zip(s, v, strict=True):
        if size <= _ROUNDING * s[0]:
            continue
        step = np.zeros(len(best))
        step[free] = axis / size
        for sign in (-1.0, 1.0):
            with np.errstate(divide="ignore"):
                room = np.where(step * sign > 0, high - at, low - at) / (step * sign)
            part = min(1.0, np.nanmin(np.abs(room[step != 0])))
            if part < 0.5:
                continue  # the bounds are nearer
            there = fitter.residuals(space.theta(at + part * sign * step), anchor)
            linear = ((first + scaled @ (part * sign * step)) ** 2).sum() - (first**2).sum()
            ratio = float(((there**2).sum() - (first**2).sum()) / linear)
            if np.isfinite(ratio) and abs(np.log(max(ratio, 1e-3))) > abs(np.log(worst)):
                worst = max(ratio, 1e-3)
    return worst


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileLikelihood:
    """The smallest chi^2 for each value of a parameter, all others fitted.

    Attributes:
        name: Of the parameter.
        values: SI, ascending.
        chi2: The smallest chi^2 of each.
        confidence: Of the interval.
        interval: Where chi^2 is below its minimum and what the confidence allows; the ends are
            those of the bounds where it does not rise so far before.
        open: Whether each end is a bound.
    """

    name: str
    values: np.ndarray
    chi2: np.ndarray
    confidence: float
    interval: tuple[float, float]
    open: tuple[bool, bool]


def profile(
    fitter: Fitter,
    which: int,
    best: Theta,
    anchor: Theta,
    lowest: float,
    covariance: np.ndarray,
) -> ProfileLikelihood:
    """The profile likelihood of a parameter.

    Args:
        fitter: The fit.
        which: Number of the parameter.
        best: Best values of all.
        anchor: What the meshes are made for.
        lowest: chi^2 there.
        covariance: Of the variables of the fit.
    """
    parameter = fitter.problem.parameters[which]
    confidence = fitter.problem.options.confidence
    wanted = rise(confidence, 1)
    found: dict[float, tuple[float, Theta]] = {best[which]: (lowest, best)}
    # How the others follow, to first order.
    variance = covariance[which, which]
    error = float(np.sqrt(variance)) if variance > 0 else np.inf
    along = covariance[:, which] / variance if np.isfinite(error) else np.zeros(len(best))
    along = np.nan_to_num(along)

    def at(u: float, near: Theta) -> float:
        """The smallest chi^2 with this parameter fixed, from a minimum nearby."""
        everywhere = fitter.space.variables(near)
        everywhere += along * (u - everywhere[which])
        everywhere = np.clip(everywhere, *fitter.space.bounds)
        everywhere[which] = u
        start = fitter.space.theta(everywhere)
        how: dict[str, Any] = {"fixed": [which], "tolerance": _TOLERANCE}
        done = fitter.minimise(start, anchor, **how, what=f"profile of {parameter.name}, ")
        found[start[which]] = done.chi2, done.best
        return done.chi2

    ends = [
        _side(fitter, which, best, sign, error, lowest + wanted, at, found) for sign in (-1.0, 1.0)
    ]
    values = np.array(sorted(found))
    low, high = (end if end is not None else np.nan for end in ends)
    return ProfileLikelihood(
        name=parameter.name,
        values=values,
        chi2=np.array([found[value][0] for value in values]),
        confidence=confidence,
        interval=(
            parameter.low if np.isnan(low) else float(low),
            parameter.high if np.isnan(high) else float(high),
        ),
        open=(bool(np.isnan(low)), bool(np.isnan(high))),
    )


def _side(
    fitter: Fitter,
    which: int,
    best: Theta,
    sign: float,
    error: float,
    level: float,
    at: Callable[[float, Theta], float],
    found: dict[float, tuple[float, Theta]],
) -> float | None:
    """Where chi^2 reaches a level on one side of the minimum; None if it does not do so."""
    space = fitter.space
    here = space.variables(best)[which]
    bound = space.bounds[0 if sign < 0 else 1][which]
    room = abs(bound - here)
    if room <= 1e-9:
        return None
    step = min(_STEP * error if np.isfinite(error) else room, room / 4)
    u, near, path = here, best, [(0.0, found[best[which]][0])]
    for k in range(_STEPS):
        distance = min(abs(u - here) + step, room)
        u = here + sign * distance
        path.append((distance, at(u, near)))
        near = found[space.theta(_with(space.variables(near), which, u))[which]][1]
        if path[-1][1] > _BEYOND * (level - path[0][1]) + path[0][1] or distance >= room:
            break
        step *= 1.5 if k > 1 else 1.0
    distances, heights = np.array(path).T
    if not heights[-1] > level:
        return None
    # chi^2 rises as a parabola: its root is what is smooth.
    root = np.sqrt(np.maximum(heights - heights[0], 0.0))
    curve = PchipInterpolator(distances, root)
    crossing = brentq(lambda x: curve(x) - np.sqrt(level - heights[0]), 0, distances[-1])
    at(here + sign * crossing, near)
    return space.theta(_with(space.variables(best), which, here + sign * crossing))[which]


def _with(u: np.ndarray, which: int, value: float) -> np.ndarray:
    out = u.copy()
    out[which] = value
    return out
