"""Adaptive refinement: meshes that follow the error of a target.

On each mesh the flow is solved with degree k and with k + 1. The target's own difference
estimates its error; the energy of the difference e of the flows says where it comes from. The
bilinear form is symmetric: the error of a conductance is the energy a(e, e) itself, that of a
four-terminal resistance is a(e_1, e_2), with the flows that the current and that the voltage
contacts drive; no further adjoint problem is solved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import basix
import numpy as np

from meso.boundary import Boundary, Contact, Periodic
from meso.cells import cells_of, inverse
from meso.device import Device
from meso.fields import Field
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.ohmic import Ohmic
from meso.flow.result import Flow, ports_of
from meso.layers import SizeField

#: Largest increase of the cell size with distance.
GROWTH = 0.5
#: A cell whose solution of degree k + 1 has a last degree above this part of the last but one
#: does not converge by its degree: there is a corner, or a layer that is not resolved.
_ROUGH = 0.35
#: Power of the cell size by which the squared error falls at a corner (free slip, 270 degrees).
_CORNER_POWER = 2 / 3
_SMALLEST_RATIO = {False: 1 / 3, True: 1 / 100}
_LARGEST_RATIO = 2.0
#: Smallest cell over the extent of the device: OpenCASCADE is no more precise than that.
_SMALLEST = 1e-8
_MORE_CELLS = 4.0  # at most, from one mesh to the next
#: Part of the tolerance that the next mesh is made for.
_SAFETY = 0.3
_BATCH = 4000

Build = Callable[[SizeField], Device]
Model = Callable[[Device, Mapping[str, Boundary], int], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    cells: int
    unknowns: int
    target: float
    estimate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptivity:
    target: str
    unit: str
    tolerance: float | None
    steps: tuple[Step, ...]
    kept: int


class _Remembered:
    """A system whose solutions are kept."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def solve(self) -> Any:
        self.solutions = self._system.solve()
        return self.solutions


class _Hydrodynamic(Hydrodynamic):
    def system(self, loads=None):
        self.remembered = _Remembered(super().system(loads))
        return self.remembered


@dataclass
class Solved:
    model: Any
    flow: Flow

    def states(self, potentials: np.ndarray):
        """J (fields) and potential for port potentials, scaled by nothing (SI)."""
        out = []
        for p in potentials:
            if isinstance(self.model, _Hydrodynamic):
                s = self.model.remembered.solutions
                sc = self.model.scales.current_density
                J = np.tensordot(p, s.vector, 1)
                from meso.cells import lagrange

                J = J[lagrange(self.flow.device, self.model.order).dofs]
                phi = np.tensordot(p, s.scalar, 1)[..., None]
                out.append(
                    (
                        Field(
                            name="j",
                            unit="",
                            device=self.flow.device,
                            degree=self.model.order,
                            values=J,
                        ),
                        Field(
                            name="p",
                            unit="",
                            device=self.flow.device,
                            degree=self.model.order - 1,
                            values=phi,
                        ),
                    )
                )
            else:
                m = self.model
                b = dict(m.boundaries)
                for name, v in zip(ports_of(b), p):
                    old = b[name]
                    b[name] = (
                        Periodic(to=old.to, voltage=float(v))
                        if isinstance(old, Periodic)
                        else Contact(potential=float(v))
                    )
                f = Ohmic(
                    m.device,
                    materials=m.materials,
                    boundaries=b,
                    order=m.order,
                    thickness=m.thickness,
                ).solve()
                J = f.fields["current_density"]
                out.append(
                    (
                        Field(
                            name="j",
                            unit="",
                            device=J.device,
                            degree=J.degree,
                            values=J.values / m.scales.current_density,
                        ),
                        f.fields["potential"],
                    )
                )
        return out


def embed(field, degree):
    from meso.cells import lagrange

    pts = lagrange(field.device, degree).points
    return np.einsum("qn,cnk->cqk", field.table(pts), field.values)


def energies(model, J, phi, parts=False):
    """Energy of a flow in each cell."""
    device = model.device
    cells = cells_of(device)
    points, weights = cells.quadrature(2 * J.degree)
    from meso.cells import lagrange

    ref = lagrange(device, J.degree).gradients(points)
    out = np.zeros((cells.count, 3))
    for s in range(0, cells.count, _BATCH):
        b = np.arange(s, min(s + _BATCH, cells.count))
        at = cells.positions(b, points)
        inv, det = inverse(cells.jacobians(b, points))
        w = weights * det
        v = np.einsum("qn,cnk->cqk", J.table(points), J.values[b], optimize=True)
        r = model.coefficients.relaxation(b, at).reshape(len(b), -1)
        out[b, 0] = (w * r * (v**2).sum(-1)).sum(1)
        if isinstance(model, Hydrodynamic):
            g = np.einsum("qna,cnk->cqak", ref, J.values[b], optimize=True)
            g = np.einsum("cqai,cqak->cqik", inv, g, optimize=True)
            div = np.trace(g, axis1=2, axis2=3)
            S = g + g.swapaxes(2, 3) - div[..., None, None] * np.eye(2)
            mu = model.coefficients.stress(b, at).reshape(len(b), -1)
            out[b, 1] = (w * mu * 0.5 * (S**2).sum((-1, -2))).sum(1)
            f = np.einsum("qn,cnk->cqk", phi.table(points), phi.values[b], optimize=True)[..., 0]
            out[b, 2] = 2 * np.abs((w * f * div).sum(1))
    return out


def roughness(J):
    from meso.cells import lagrange

    sp = lagrange(J.device, J.degree)
    k = J.degree
    V = basix.tabulate_polynomials(
        basix.PolynomialType.legendre, basix.CellType.triangle, k, sp.points
    ).T
    M = np.linalg.inv(V)
    c = np.einsum("mn,cnk->cmk", M, J.values)
    deg = np.concatenate([[d] * (d + 1) for d in range(k + 1)])
    E = np.stack([(c[:, deg == d] ** 2).sum((1, 2)) for d in range(k + 1)], 1)
    return E
