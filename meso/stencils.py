"""Differences: steps from a value, and what the values there weigh in the derivative."""

from __future__ import annotations

#: Numbers of steps, weights for the derivative times h, and those of a lower order beside.
Stencil = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]
_CENTRAL: Stencil = ((-2, -1, 1, 2), (1 / 12, -2 / 3, 2 / 3, -1 / 12), (0.0, -1 / 2, 1 / 2, 0.0))
_FORWARD: Stencil = (
    (0, 1, 2, 3, 4),
    (-25 / 12, 4.0, -3.0, 4 / 3, -1 / 4),
    (-11 / 6, 3.0, -3 / 2, 1 / 3, 0.0),
)
_BACKWARD: Stencil = (
    tuple(-i for i in _FORWARD[0]),
    tuple(-w for w in _FORWARD[1]),
    tuple(-w for w in _FORWARD[2]),
)

#: In the order in which they are tried.
STENCILS = (_CENTRAL, _FORWARD, _BACKWARD)

#: The same of coefficients, which are closed functions: known to rounding, 1e-16, they take smaller
#: steps and fewer of them, for 1e-10.
CLOSED_STEP = 1e-5
CLOSED_STENCILS: tuple[Stencil, ...] = (
    ((-1, 1), (-1 / 2, 1 / 2), (0.0, 0.0)),
    ((0, 1, 2), (-3 / 2, 2.0, -1 / 2), (0.0, 0.0, 0.0)),
    ((0, -1, -2), (3 / 2, -2.0, 1 / 2), (0.0, 0.0, 0.0)),
)
