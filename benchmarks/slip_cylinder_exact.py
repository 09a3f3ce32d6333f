"""Exact slip flow past a cylinder, the reference of the slip-cylinder benchmark.

The current J obeys the Brinkman problem with unit conductivity in the annulus a < r < R,

    J - l^2 div(grad J + (grad J)^T) + grad phi = 0,      div J = 0,

with an impenetrable slipping cylinder at r = a (n is the outward normal of the fluid, -e_r)

    J.n = 0,      n.(grad J + (grad J)^T).t = -s J.t,

and uniform flow J = e_x on the outer circle r = R.

Derivation.  Write J = (d psi/dy, -d psi/dx) with psi = f(r) sin(theta), so that
J_r = f/r cos(theta), J_theta = -f' sin(theta) and the vorticity is curl J = -laplace(psi).
The curl of the momentum equation, laplace(psi - l^2 laplace(psi)) = 0, leaves

    f = A r + B / r + C I_1(r/l) + D K_1(r/l).

The first two terms are potential flow, J = grad(chi) with chi = (A r - B / r) cos(theta), and
grad(phi) = -J of that part gives phi = -chi; the Bessel terms satisfy J = l^2 laplace(J) and
carry no potential.  The shear strain is (grad J + (grad J)^T)_{r theta}
= -(f'' - f'/r + f/r^2) sin(theta), hence the four conditions

    f(a) = 0,    f''(a) = (1/a + s) f'(a),    f(R) = R,    f'(R) = 1.

On the cylinder curl J = (2/a + s) J_theta, that is |curl J| = |2 kappa_w - s| |J_t| with the
wall curvature kappa_w = -1/a.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import iv, kv

INNER_RADIUS = 0.5
OUTER_RADIUS = 1.0
DIFFUSION_LENGTH = 0.1
# Diffuse wall, radial-tangential scattering: l = lambda / sqrt(2) and s = 8 / (3 pi lambda).
SLIP_RATE = 8.0 / (3.0 * math.pi * math.sqrt(2.0) * DIFFUSION_LENGTH)
WALL_CURVATURE = -1.0 / INNER_RADIUS
# |curl J| = WALL_FACTOR * |J_t| on the cylinder.
WALL_FACTOR = abs(2.0 * WALL_CURVATURE - SLIP_RATE)


def _basis(r: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Values, first and second derivatives of the four radial functions, each (4, ...).

    The Bessel functions are scaled to one at the boundary where they are largest, which keeps
    the 4 by 4 system for their coefficients well conditioned.
    """
    length = DIFFUSION_LENGTH
    z = r / length
    scale_i = iv(1, OUTER_RADIUS / length)
    scale_k = kv(1, INNER_RADIUS / length)
    bessel_i, bessel_k = iv(1, z) / scale_i, kv(1, z) / scale_k
    slope_i = (iv(0, z) / scale_i - bessel_i / z) / length
    slope_k = (-kv(0, z) / scale_k - bessel_k / z) / length
    one = np.ones_like(r)
    value = np.stack([r, 1.0 / r, bessel_i, bessel_k])
    slope = np.stack([one, -1.0 / r**2, slope_i, slope_k])
    # Both Bessel functions solve y'' = -y'/r + (1/l^2 + 1/r^2) y.
    curve = np.stack(
        [
            0.0 * one,
            2.0 / r**3,
            -slope_i / r + (length**-2 + r**-2) * bessel_i,
            -slope_k / r + (length**-2 + r**-2) * bessel_k,
        ]
    )
    return value, slope, curve


@functools.cache
def coefficients() -> tuple[float, float, float, float]:
    """Coefficients of r, 1/r, I_1(r/l)/I_1(R/l) and K_1(r/l)/K_1(a/l) in f."""
    (value, slope, curve) = _basis(np.array([INNER_RADIUS, OUTER_RADIUS]))
    matrix = np.array(
        [
            value[:, 0],
            curve[:, 0] - (1.0 / INNER_RADIUS + SLIP_RATE) * slope[:, 0],
            value[:, 1],
            slope[:, 1],
        ]
    )
    a, b, c, d = np.linalg.solve(matrix, [0.0, 0.0, OUTER_RADIUS, 1.0])
    return float(a), float(b), float(c), float(d)


def _radial(r: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """f(r) and f'(r)."""
    value, slope, _ = _basis(r)
    c = np.array(coefficients())
    return np.tensordot(c, value, 1), np.tensordot(c, slope, 1)


def velocity(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Current J = (J_x, J_y), shape (2, ...), at points of the annulus.

    Args:
        x: First coordinates, any shape.
        y: Second coordinates, same shape.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    r = np.hypot(x, y)
    f, slope = _radial(r)
    cos, sin = x / r, y / r
    radial, azimuthal = f / r * cos, -slope * sin
    return np.stack([radial * cos - azimuthal * sin, radial * sin + azimuthal * cos])


def potential(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Potential phi = -(A r - B / r) cos(theta), with zero mean.

    Args:
        x: First coordinates, any shape.
        y: Second coordinates, same shape.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    a, b, _, _ = coefficients()
    return -(a - b / (x**2 + y**2)) * x


def vorticity(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Vorticity dJ_y/dx - dJ_x/dy = -(C I_1(r/l) + D K_1(r/l)) sin(theta) / l^2.

    Args:
        x: First coordinates, any shape.
        y: Second coordinates, same shape.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    r = np.hypot(x, y)
    value, _, _ = _basis(r)
    _, _, c, d = coefficients()
    return -(c * value[2] + d * value[3]) / DIFFUSION_LENGTH**2 * y / r


def wall_vorticity(angle: ArrayLike) -> NDArray[np.float64]:
    """Vorticity on the cylinder at polar angles (radians, any shape)."""
    angle = np.asarray(angle, float)
    return vorticity(INNER_RADIUS * np.cos(angle), INNER_RADIUS * np.sin(angle))


def wall_error(angle: ArrayLike, weight: ArrayLike, tangential: ArrayLike) -> float:
    """Relative L2 error over the cylinder of the vorticity recovered from the slip law.

    The recovered vorticity is WALL_FACTOR * J_theta; the measure of the benchmark is

        || WALL_FACTOR * J_theta - curl J_exact || / || curl J_exact ||   on r = a.

    Args:
        angle: Polar angles of the quadrature points in radians, shape (n,).
        weight: Quadrature weights (arc length), shape (n,).
        tangential: Computed counter-clockwise tangential current J_theta, shape (n,).
    """
    exact = wall_vorticity(angle)
    error = WALL_FACTOR * np.asarray(tangential, float) - exact
    weight = np.asarray(weight, float)
    return float(np.sqrt(np.sum(weight * error**2) / np.sum(weight * exact**2)))


def check(step: float = 1e-3) -> dict[str, float]:
    """Largest residuals of the equations (sixth-order differences) and boundary conditions.

    Args:
        step: Step of the finite differences, in units of the outer radius.
    """
    rng = np.random.default_rng(1)
    r = rng.uniform(INNER_RADIUS + 6 * step, OUTER_RADIUS - 6 * step, 400)
    angle = rng.uniform(0, 2 * np.pi, 400)
    x, y = r * np.cos(angle), r * np.sin(angle)
    first = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    second = {0: -49 / 18, 1: 3 / 2, 2: -3 / 20, 3: 1 / 90}

    def d(function, axis):  # noqa: ANN001, ANN202 - derivative along one axis
        hx, hy = (step, 0.0) if axis == 0 else (0.0, step)
        return (
            sum(
                c * (function(x + i * hx, y + i * hy) - function(x - i * hx, y - i * hy))
                for i, c in first.items()
            )
            / step
        )

    def laplace(function):  # noqa: ANN001, ANN202
        total = 2 * second[0] * function(x, y)
        for i in (1, 2, 3):
            for hx, hy in ((i * step, 0.0), (0.0, i * step)):
                total = total + second[i] * (function(x + hx, y + hy) + function(x - hx, y - hy))
        return total / step**2

    jx, jy = d(velocity, 0), d(velocity, 1)
    grad_phi = np.stack([d(potential, 0), d(potential, 1)])
    momentum = velocity(x, y) - DIFFUSION_LENGTH**2 * laplace(velocity) + grad_phi
    t = np.linspace(0.0, 2 * np.pi, 50)
    inner = INNER_RADIUS * np.cos(t), INNER_RADIUS * np.sin(t)
    wall = velocity(*inner)
    tangential = -np.sin(t) * wall[0] + np.cos(t) * wall[1]
    outer = velocity(OUTER_RADIUS * np.cos(t), OUTER_RADIUS * np.sin(t))
    # The strain at the wall by analytic continuation of f: the formulas hold for r < a too.
    x, y = inner
    gx, gy = d(velocity, 0), d(velocity, 1)
    normal, tangent = -np.stack([np.cos(t), np.sin(t)]), np.stack([-np.sin(t), np.cos(t)])
    strain = np.array([[2 * gx[0], gx[1] + gy[0]], [gx[1] + gy[0], 2 * gy[1]]])
    traction = np.einsum("ik,ijk,jk->k", normal, strain, tangent)
    return {
        "div J": float(np.abs(jx[0] + jy[1]).max()),
        "curl J - vorticity": float(np.abs(jx[1] - jy[0] - _at(r, angle)).max()),
        "momentum": float(np.abs(momentum).max()),
        "J.n on the cylinder": float(np.abs(np.cos(t) * wall[0] + np.sin(t) * wall[1]).max()),
        "slip law": float(np.abs(traction + SLIP_RATE * tangential).max()),
        "wall vorticity": float(np.abs(WALL_FACTOR * tangential - wall_vorticity(t)).max()),
        "J - e_x on the outer circle": float(np.abs(outer - np.array([[1.0], [0.0]])).max()),
    }


def _at(r: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return vorticity(r * np.cos(angle), r * np.sin(angle))


def main() -> None:
    """Print the coefficients and the residuals; exit non-zero if one is not small."""
    print("A, B, C, D =", *(f"{c:.15g}" for c in coefficients()))
    print(f"largest |wall vorticity| = {float(np.abs(wall_vorticity(np.pi / 2))):.15g}")
    residuals = check()
    for name, value in residuals.items():
        print(f"{name:30s} {value:.1e}")
    if max(residuals.values()) > 1e-7:
        raise SystemExit("the exact solution fails its check")


if __name__ == "__main__":
    main()
