"""Decay lengths read from a profile, with their uncertainty.

Across a strip a density is a sum of exp(+-y/l), also where l is complex. Equally spaced samples
then obey, with S X_n = X_{n+1} + X_{n-1} and z = 2 cosh(h/l),

    S X = z X    or, for two lengths,    S^2 X = (z_1 + z_2) S X - z_1 z_2 X

whatever the walls do: no end of the profile has to be cut off. z is fitted by least squares over
several spacings h and parts of the profile; their spread is the uncertainty. Whether there are two
lengths is what most of them say; those that say otherwise do not count for two, and count with one
length for one, so that what each says on the edge of it changes little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# One length is enough if it leaves less than this of the curvature of the profile; two are taken
# if they leave less than this of what one leaves.
_ONE = 1e-3
_BETTER = 0.02
_PARTS = (12, 16, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """Decay of a density from a wall: length 1/Re(1/l) and its standard deviation over fits, m.

    The period 2 pi/|Im(1/l)| is that of an oscillation, and the second length where there are two.
    """

    length: float
    uncertainty: float
    period: float | None = None
    second: float | None = None


def fit(distance: np.ndarray, value: np.ndarray) -> Decay | None:
    """Decay of a density at equally spaced distances from a wall, m; NaN beyond the end.

    None where the profile is zero, straight or too short for a fit.
    """
    known = np.isfinite(value)
    if known.sum() < 50 or not np.any(value[known]):
        return None
    step = distance[1] - distance[0]
    count = int(np.argmin(known)) if not known.all() else len(value)
    value = value[:count]
    found = [
        _exponents(value[start:stop], max(1, count // parts), step)
        for parts in _PARTS
        for start, stop in ((0, count), (0, 2 * count // 3))
    ]
    both = [two for _, two in found if two is not None]
    single = [one for one, _ in found if one is not None]
    several = 2 if 2 * len(both) > len(found) else 1
    exponents = np.array(both if several == 2 else single)
    if len(exponents) < 2:
        return None
    lengths = 1 / exponents.real
    mean, (spread, *_) = lengths.mean(axis=0), lengths.std(axis=0, ddof=1).tolist()
    turning = np.abs(exponents.imag).mean(axis=0)
    if several == 2 and turning[0] > 1e-3 * np.abs(exponents).mean():
        period = float(2 * np.pi / turning[0])
        return Decay(length=float(mean[0]), uncertainty=spread, period=period)
    second = float(mean[1]) if several == 2 else None
    return Decay(length=float(mean[0]), uncertainty=spread, second=second)


def _exponents(
    value: np.ndarray, stride: int, step: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """1/l of one exponential, and of two, the slower one first, where these are much better.

    None where there is no such fit.
    """
    n = len(value)
    centre = np.arange(2 * stride, n - 2 * stride)
    X = value[centre]
    if n < 5 * stride or not np.any(X):
        return None, None
    S = value[centre + stride] + value[centre - stride]
    SS = value[centre + 2 * stride] + 2 * X + value[centre - 2 * stride]
    z, two = np.array([(S @ X) / (X @ X)]), None
    rest = np.linalg.norm(S - z * X)
    if rest > _ONE * np.linalg.norm(S - 2 * X):
        (total, product), *_ = np.linalg.lstsq(np.column_stack([S, -X]), SS, rcond=None)
        if np.linalg.norm(SS - total * S + product * X) < _BETTER * rest:
            two = _inverse_lengths(np.roots([1.0, -total, product]), stride * step)
    return _inverse_lengths(z, stride * step), two


def _inverse_lengths(z: np.ndarray, spacing: float) -> np.ndarray | None:
    """1/l with z = 2 cosh(h/l), None where nothing decays."""
    k = np.arccosh(z.astype(complex) / 2) / spacing
    k = np.where(k.real < 0, -k, k)
    if (k.real <= 1e-9 * np.abs(k)).any():
        return None
    return np.asarray(k[np.argsort(k.real)])
