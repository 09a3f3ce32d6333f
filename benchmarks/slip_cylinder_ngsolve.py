"""The slip-cylinder benchmark in NGSolve, the peer that `meso` is timed against.

Three schemes on Netgen triangles with curved cells of the order of the current:

* ``p-dc``: continuous P_k currents, discontinuous P_{k-2} potentials.  Everything inside a cell
  except one potential per cell is condensed.
* ``th``: Taylor-Hood P_k / P_{k-1}, cell interiors condensed.
* ``hdg``: H(div)-conforming BDM_k currents without their divergence bubbles, tangential facet
  currents of order k, one potential per cell; symmetric-gradient interior penalty; condensed.

Impenetrability is strong in ``hdg`` and imposed by a continuous P_{k-1} multiplier on the
cylinder otherwise.  The slip law is natural in all of them.

Facet integrals make the assembly of ``hdg`` dear, and it knows phi only as one constant per
cell; ``p-dc`` needs none and condenses further than ``th``: it wins at every target.

The condensed system is symmetric indefinite.  NGSolve's own sparse Cholesky (an LDL^T without
pivoting) was its fastest solver, ahead of Pardiso and UMFPACK; it needs non-zero pivots, so
the zero diagonal of the retained potentials and multipliers is shifted by -SHIFT times the area
of the cell (the length of the edge), as their pivots scale, and the exact system is recovered by
iterative refinement, which costs one cheap solve per step.

Timed: spaces, forms, assembly with condensation, boundary data, factorisation, solution,
recovery of the condensed unknowns, evaluation of the current on the cylinder.  Not timed:
meshing, curving of the mesh, the areas of its cells, and the error.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import ngsolve as ng
import numpy as np
import slip_cylinder_exact as exact
from netgen.geom2d import SplineGeometry

SHIFT = 1e-6
REFINEMENTS = 1
PENALTY = 4.0
UNIFORM_FLOW = (1.0, 0.0)

# (scheme, order, h on the outer circle and inside, h on the cylinder), and the radius of a circle
# of vertices in between if there is one: the neighbourhood of the fastest runs of the full sweep.
SHORTLIST: tuple[tuple, ...] = (
    *((s, k, 0.6, 0.25, r) for s in ("p-dc", "th") for k in (5, 7, 9) for r in (0.63, 0.7)),
    *(("p-dc", 5, 0.3, 0.3), ("p-dc", 6, 0.35, 0.2), ("p-dc", 7, 0.6, 0.6)),
    *(("p-dc", 6, 0.25, 0.15), ("p-dc", 7, 0.3, 0.3), ("p-dc", 7, 0.25, 0.25)),
    *(("p-dc", 9, 0.6, 0.6), ("p-dc", 9, 0.35, 0.35)),
    *(("p-dc", 8, 0.25, 0.15), ("p-dc", 9, 0.3, 0.2), ("p-dc", 9, 0.3, 0.15)),
    *(("th", 7, 0.6, 0.6), ("th", 7, 0.3, 0.3), ("th", 7, 0.2, 0.1)),
    *(("p-dc", 7, 0.2, 0.1), ("hdg", 9, 0.3, 0.2), ("th", 9, 0.3, 0.2), ("th", 7, 0.3, 0.2)),
    *(("hdg", 7, 0.6, 0.6), ("hdg", 10, 0.6, 0.6), ("hdg", 9, 0.3, 0.15)),
    *(("hdg", 5, 0.4, 0.4), ("hdg", 6, 0.6, 0.6), ("hdg", 6, 0.4, 0.4), ("hdg", 7, 0.3, 0.3)),
    *(("hdg", 8, 0.6, 0.6), ("hdg", 8, 0.4, 0.4), ("hdg", 9, 0.6, 0.6), ("hdg", 8, 0.3, 0.3)),
)
SIZES = (
    *((0.6, 0.25, 0.63), (0.6, 0.25, 0.7)),
    *((0.6, 0.6), (0.6, 0.3), (0.5, 0.5), (0.5, 0.25), (0.4, 0.4), (0.4, 0.2), (0.3, 0.3)),
    *((0.35, 0.35), (0.35, 0.2), (0.3, 0.2), (0.3, 0.15), (0.25, 0.25), (0.25, 0.15), (0.2, 0.2)),
    *((0.2, 0.1), (0.15, 0.15), (0.1, 0.1)),
)


def make_mesh(order: int, h: float, inner_h: float, ring: float | None = None) -> ng.Mesh:
    """Curved triangulation of the annulus.

    Args:
        order: Polynomial order of the geometry.
        h: Largest cell size.
        inner_h: Largest cell size on the cylinder.
        ring: Radius of a circle with as many vertices, None for none.
    """
    geometry, inside = SplineGeometry(), 1 if ring is None else 2
    geometry.AddCircle((0, 0), exact.OUTER_RADIUS, leftdomain=1, rightdomain=0, bc="outer")
    if ring is not None:
        # A little more, so that rounding makes none too many.
        size = 1.01 * inner_h * ring / exact.INNER_RADIUS
        geometry.AddCircle((0, 0), ring, leftdomain=2, rightdomain=1, bc="ring", maxh=size)
    geometry.AddCircle(
        (0, 0), exact.INNER_RADIUS, leftdomain=0, rightdomain=inside, bc="cylinder", maxh=inner_h
    )
    mesh = ng.Mesh(geometry.GenerateMesh(maxh=h))
    mesh.Curve(order)
    return mesh


def _continuous(mesh: ng.Mesh, order: int, areas: np.ndarray, *, broken: bool) -> tuple:
    """Spaces and forms of the schemes with continuous currents."""
    length2, normal = exact.DIFFUSION_LENGTH**2, ng.specialcf.normal(2)
    scalar = ng.H1(mesh, order=order, dirichlet="outer")
    if broken:
        phi = ng.L2(mesh, order=order - 2, lowest_order_wb=True)
    else:
        phi = ng.H1(mesh, order=order - 1)
    wall = ng.H1(mesh, order=order - 1, definedon=mesh.Boundaries("cylinder"))
    # Two scalar spaces assemble faster than one vector space: their zero blocks are not formed.
    space = scalar * scalar * phi * wall
    (u1, u2, p, w), (v1, v2, q, m) = space.TnT()
    g1, g2, h1, h2 = ng.grad(u1), ng.grad(u2), ng.grad(v1), ng.grad(v2)
    strain = 2 * g1[0] * h1[0] + 2 * g2[1] * h2[1] + (g1[1] + g2[0]) * (h1[1] + h2[0])
    volume = u1 * v1 + u2 * v2 + length2 * strain
    volume += -(g1[0] + g2[1]) * q - (h1[0] + h2[1]) * p
    un, vn = u1 * normal[0] + u2 * normal[1], v1 * normal[0] + v2 * normal[1]
    ut, vt = u2 * normal[0] - u1 * normal[1], v2 * normal[0] - v1 * normal[1]
    # The term un * vn vanishes for the solution; it keeps the pivots of the multiplier away
    # from zero.
    edge = length2 * exact.SLIP_RATE * ut * vt + un * m + vn * w + un * vn
    form = ng.BilinearForm(space, condense=True, symmetric=True, symmetric_storage=True)
    form += volume.Compile() * ng.dx(bonus_intorder=-1)
    form += edge * ng.ds("cylinder", bonus_intorder=-1)
    # The high-order functions on an edge are small: shift each in proportion to its norm.
    mass = ng.BilinearForm(wall, diagonal=True)
    mass += wall.TrialFunction() * wall.TestFunction() * ng.ds("cylinder", bonus_intorder=-1)
    mass.Assemble()
    shift = np.zeros(space.ndof)
    if broken:
        # The first function of each cell, the constant, is the one that is not condensed.
        per_cell = order * (order - 1) // 2
        shift[space.Range(2).start : space.Range(2).stop : per_cell] = SHIFT * areas
    shift[space.Range(3).start : space.Range(3).stop] = SHIFT * mass.mat.AsVector().FV().NumPy()

    def boundary_data(flow: ng.GridFunction) -> None:
        for component, value in zip(flow.components, UNIFORM_FLOW, strict=False):
            if value:
                component.Set(value, definedon=mesh.Boundaries("outer"))

    def current(flow: ng.GridFunction) -> ng.CoefficientFunction:
        return ng.CF((flow.components[0], flow.components[1]))

    return space, form, shift, space.Range(2).start, boundary_data, current


def _hdg(mesh: ng.Mesh, order: int, areas: np.ndarray) -> tuple:
    """Spaces and forms of the hybrid H(div) scheme."""
    length2, normal = exact.DIFFUSION_LENGTH**2, ng.specialcf.normal(2)
    bdm = ng.HDiv(mesh, order=order, dirichlet="outer|cylinder", hodivfree=True)
    facet = ng.TangentialFacetFESpace(mesh, order=order, dirichlet="outer")
    phi = ng.L2(mesh, order=0, lowest_order_wb=True)
    space = bdm * facet * phi
    (u, uh, p), (v, vh, q) = space.TnT()
    eu, ev = ng.Grad(u) + ng.Grad(u).trans, ng.Grad(v) + ng.Grad(v).trans
    tangent = ng.CF((-normal[1], normal[0]))
    ju, jv = (u - uh) * tangent, (v - vh) * tangent
    volume = u * v + 0.5 * length2 * ng.InnerProduct(eu, ev) - ng.div(u) * q - ng.div(v) * p
    facets = PENALTY * (order + 1) ** 2 / ng.specialcf.mesh_size * ju * jv
    facets += -ng.InnerProduct(eu * normal, tangent) * jv
    facets += -ng.InnerProduct(ev * normal, tangent) * ju
    form = ng.BilinearForm(space, condense=True, symmetric=True, symmetric_storage=True)
    form += volume.Compile() * ng.dx
    form += (length2 * facets).Compile() * ng.dx(element_boundary=True)
    form += length2 * exact.SLIP_RATE * (uh.Trace() * vh.Trace()) * ng.ds("cylinder")

    shift = np.zeros(space.ndof)
    shift[space.Range(2).start :] = SHIFT * areas

    def boundary_data(flow: ng.GridFunction) -> None:
        for component in flow.components[:2]:
            component.Set(ng.CF(UNIFORM_FLOW), definedon=mesh.Boundaries("outer"))

    def current(flow: ng.GridFunction) -> ng.CoefficientFunction:
        return flow.components[1]

    return space, form, shift, space.Range(2).start, boundary_data, current


SCHEMES: dict[str, Callable[[ng.Mesh, int, np.ndarray], tuple]] = {
    "p-dc": lambda mesh, order, areas: _continuous(mesh, order, areas, broken=True),
    "th": lambda mesh, order, areas: _continuous(mesh, order, areas, broken=False),
    "hdg": _hdg,
}


def solve(mesh: ng.Mesh, order: int, scheme: str, areas: np.ndarray) -> tuple[np.ndarray, int]:
    """One timed run.

    Args:
        mesh: The mesh.
        order: Polynomial degree of the current.
        scheme: Key of `SCHEMES`.
        areas: Of the cells of the mesh.

    Returns:
        The current at the quadrature points of the cylinder, shape (n, 2); the number of
        unknowns before condensation.
    """
    space, form, shift, pinned, boundary_data, current = SCHEMES[scheme](mesh, order, areas)
    free = space.FreeDofs(True)
    # Dirichlet data all round leave phi free up to a constant.
    free.Clear(pinned)
    form.Assemble()
    flow = ng.GridFunction(space)
    boundary_data(flow)
    residual = (-form.mat * flow.vec).Evaluate()
    matrix = form.mat
    values, _, starts = matrix.CSR()
    # The lower triangle is stored row by row: the diagonal is the last entry of a row.
    shift[pinned] = 0.0
    retained = np.flatnonzero(shift)
    shift = shift[retained]
    values.NumPy()[np.asarray(starts)[retained + 1] - 1] -= shift
    inverse = matrix.Inverse(free, inverse="sparsecholesky")
    # The exact matrix is the stored one with the shift taken back: refinement recovers its
    # solution, with the known data b = -A x_0.
    step = (inverse * residual).Evaluate()
    total = step
    for _ in range(REFINEMENTS):
        defect = (residual - matrix * total).Evaluate()
        defect.FV().NumPy()[retained] -= shift * total.FV().NumPy()[retained]
        total.data += inverse * defect
    flow.vec.data += total
    flow.vec.data += form.harmonic_extension * flow.vec
    _, points = _cylinder_points(mesh, order)
    wall = current(flow)(points)
    return wall, space.ndof


def _cylinder_points(mesh: ng.Mesh, order: int) -> tuple:
    rule = ng.IntegrationRule(ng.SEGM, 2 * order + 4)
    return rule, mesh.MapToAllElements({ng.SEGM: rule}, mesh.Boundaries("cylinder"))


def wall_error(mesh: ng.Mesh, order: int, wall: np.ndarray) -> float:
    """Relative error of the wall vorticity, see `slip_cylinder_exact.wall_error`."""
    rule, points = _cylinder_points(mesh, order)
    position = ng.CF((ng.x, ng.y))(points)
    angle = np.arctan2(position[:, 1], position[:, 0])
    stretch = ng.Norm(ng.specialcf.JacobianMatrix(2, 1))(points).ravel()
    weight = stretch * np.tile(np.array(rule.weights), len(angle) // len(rule.points))
    return exact.wall_error(angle, weight, -np.sin(angle) * wall[:, 0] + np.cos(angle) * wall[:, 1])


class Candidate:
    """One discretisation: a scheme, its order and mesh; timed whenever `run` is called.

    Args:
        scheme: Key of `SCHEMES`.
        order: Polynomial degree of the current.
        h: Largest cell size.
        inner_h: Largest cell size on the cylinder.
        ring: As of `make_mesh`.
    """

    def __init__(
        self, scheme: str, order: int, h: float, inner_h: float, ring: float | None = None
    ) -> None:
        ng.ngsglobals.msg_level = 0
        ng.SetNumThreads(1)
        self.case = {"scheme": scheme, "order": order, "h": h, "inner_h": inner_h}
        self.mesh = make_mesh(order, h, inner_h, ring)
        self.areas = np.array(ng.Integrate(ng.CF(1), self.mesh, element_wise=True))
        self.seconds: list[float] = []
        self.clock: list[float] = []

    def run(self) -> None:
        """Solve once."""
        scheme, order = self.case["scheme"], self.case["order"]
        clock, start = time.perf_counter(), time.process_time()
        self.wall, self.unknowns = solve(self.mesh, order, scheme, self.areas)
        self.seconds.append(time.process_time() - start)
        self.clock.append(time.perf_counter() - clock)

    def row(self) -> dict:
        """What was found; seconds of the processor and by the clock."""
        return {
            **self.case,
            "cells": self.mesh.ne,
            "unknowns": self.unknowns,
            "seconds": min(self.seconds),
            "clock": min(self.clock),
            "median_seconds": statistics.median(self.seconds),
            "wall_error": wall_error(self.mesh, self.case["order"], self.wall),
        }


def measure(case: Sequence, repeats: int) -> dict:
    """The row of one discretisation, as of `SHORTLIST`; the first run warms up."""
    candidate = Candidate(*case)
    for _ in range(repeats + 1):
        candidate.run()
    return candidate.row()


def best(rows: Iterable[dict], target: float) -> dict | None:
    """The fastest row whose wall error does not exceed `target`, or None."""
    reached = [row for row in rows if row["wall_error"] <= target]
    return min(reached, key=lambda row: row["seconds"], default=None)


def all_cases() -> list[tuple]:
    """The full sweep: every scheme, k = 3...12 and meshes of up to some 25,000 unknowns."""
    cases = [(s, k, *sizes) for s, k, sizes in itertools.product(SCHEMES, range(3, 13), SIZES)]
    return [c for c in cases if 5.0 * c[1] ** 2 / (c[2] ** 1.5 * c[3] ** 0.5) < 2.5e4]


def _line(row: dict) -> str:
    return (
        f"{row['scheme']:5s} {row['order']:3d} {row['h']:6.3f} {row['inner_h']:6.3f} "
        f"{row['cells']:6d} {row['unknowns']:8d} {1e3 * row['seconds']:9.1f} "
        f"{1e3 * row['median_seconds']:9.1f}  {row['wall_error']:.2e}"
    )


def main() -> None:
    """Print the table and the fastest run for each target."""
    parser = argparse.ArgumentParser(description="slip-cylinder benchmark in NGSolve")
    parser.add_argument("--full", action="store_true", help="sweep everything")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--targets", type=float, nargs="+", default=[1e-4, 1e-6, 1e-8])
    options = parser.parse_args()
    print("scheme  k      h  h_cyl  cells unknowns    ms min ms median  wall error")
    rows = []
    for case in all_cases() if options.full else SHORTLIST:
        rows.append(measure(case, options.repeats))
        print(_line(rows[-1]), flush=True)
    for target in options.targets:
        row = best(rows, target)
        print(f"error <= {target:.0e}:", _line(row) if row else "not reached")


if __name__ == "__main__":
    main()
