"""Slip flow past a cylinder: meso against NGSolve, in one run, at equal wall-vorticity error.

    python3 benchmarks/slip_cylinder.py            # the table of benchmarks/README.md

Both codes get the same problem (`slip_cylinder_exact`), choose their best order and mesh, and are
timed alike: everything after meshing (spaces, assembly, factorisation, solution), one thread,
warm, the smallest of several runs, the two codes in turn. NGSolve competes with its best scheme.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import slip_cylinder_exact as exact
from mpi4py import MPI

from meso.cells import by_facet, cells_of, facet_geometry, facet_quadrature, lagrange
from meso.device import Device, plan_of
from meso.drawing import Drawing
from meso.flow.angular import two_harmonics
from meso.flow.system import Law, MomentSystem

# Points around, and radii of the rings of the meshes that are tried: coarser means faster, and
# the layer at the cylinder is as thin as l.
MESHES = [
    (around, (0.5, *inner, 1.0))
    for around in (7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
    for inner in ((0.65,), (0.68,), (0.7,), (0.62, 0.82))
]


def make_device(order: int, around: int, radii: tuple[float, ...]) -> Device:
    """Rings of triangles between circles, curved to the even degree that suits the order."""
    degree = 2 * -(-order // 2)
    rings = len(radii)
    # Every other circle is turned by half a step, for better triangles.
    step = 2 * np.pi / around
    angle = step * (np.arange(around) + 0.5 * (np.arange(rings) % 2)[:, None])
    r = np.array(radii)[:, None]
    points = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=2).reshape(-1, 2)
    i = np.arange(around)
    cells = []
    for ring in range(rings - 1):
        inner, outer, turned = ring * around, (ring + 1) * around, ring % 2
        j = (i + 1) % around
        here, there = inner + i, inner + j
        if turned:
            cells += [
                np.column_stack([here, outer + j, there]),
                np.column_stack([here, outer + i, outer + j]),
            ]
        else:
            cells += [
                np.column_stack([here, outer + i, there]),
                np.column_stack([outer + i, outer + j, there]),
            ]
    cells = np.concatenate(cells)
    edges = np.concatenate(
        [np.column_stack([k * around + i, k * around + (i + 1) % around]) for k in (0, rings - 1)]
    )
    s = np.arange(1, degree) / degree
    first = angle[[0, -1]].reshape(-1, 1)
    radius = np.repeat(np.array(radii)[[0, -1]], around)[:, None]
    nodes = np.stack([radius * np.cos(first + step * s), radius * np.sin(first + step * s)], axis=2)
    plane = Drawing(
        points=points,
        cells=cells,
        cell_region=np.zeros(len(cells), int),
        regions=("metal",),
        facets=edges,
        facet_boundary=np.repeat([0, 1], around),
        boundaries=("inner", "outer"),
        corners=np.empty(0, int),
        degree=degree,
        curved_edges=edges,
        curved_nodes=nodes,
    )
    path = Path("annulus")
    return Device._distribute(plan_of(plane, path, 1.0), 1.0, path, MPI.COMM_SELF)


def solve(device: Device, order: int) -> tuple[MomentSystem, np.ndarray]:
    """Everything that is timed: from the mesh to the current density at the nodes."""
    scale = device.extent
    stress = np.array([(exact.DIFFUSION_LENGTH / scale) ** 2])

    def friction(facets: object, region: np.ndarray) -> np.ndarray:
        t = facets.tangent  # type: ignore[attr-defined]
        return stress[0] * exact.SLIP_RATE * scale * t[..., :, None] * t[..., None, :]

    system = MomentSystem(
        device,
        order=order,
        moments=two_harmonics(),
        stress=stress,
        relaxation=np.ones(1),
        laws={
            "inner": Law(angular=friction, impenetrable=True),
            "outer": Law(given=lambda x: np.broadcast_to([1.0, 0.0], x.shape)),
        },
        contacts=(),
    )
    return system, system.solve().vector[-1]


def wall_error(device: Device, order: int, current: np.ndarray) -> float:
    """Relative L2 error of the wall vorticity recovered from the slip law."""
    facets = device.facets.of(device.facets.boundary == device.boundaries.index("inner"))
    s, weight = facet_quadrature(2 * order + 4)
    geometry = facet_geometry(cells_of(device), facets.cell, facets.local, s, weight)
    space = lagrange(device, order)
    table = by_facet(facets.local, lambda i: space.values(geometry.points[i]))
    values = np.einsum("fqn,fnk->fqk", table, current[space.dofs[facets.cell]])
    # The tangent has the conductor on its left: clockwise around the cylinder.
    tangential = -np.einsum("fqk,fqk->fq", values, geometry.tangent)
    angle = np.arctan2(geometry.position[..., 1], geometry.position[..., 0])
    return exact.wall_error(angle.ravel(), geometry.weight.ravel(), tangential.ravel())


def measure(order: int, around: int, radii: tuple[float, ...], repeats: int) -> dict:
    """Smallest time of several runs, and the error."""
    device = make_device(order, around, radii)
    best = np.inf
    for _ in range(repeats):
        device.cache.clear()
        start = time.perf_counter()
        system, current = solve(device, order)
        best = min(best, time.perf_counter() - start)
    return {
        "order": order,
        "around": around,
        "radii": radii,
        "cells": device.cells,
        "unknowns": system.unknowns.total,
        "seconds": best,
        "wall_error": wall_error(device, order, current),
    }


def sweep(repeats: int) -> list[dict]:
    """All orders and meshes that are worth a try."""
    return [measure(k, *mesh, repeats) for k in range(4, 10) for mesh in MESHES]


def main() -> None:
    """Print the best of both codes for each error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--targets", type=float, nargs="+", default=[1e-4, 1e-6])
    parser.add_argument("--alone", action="store_true", help="meso only")
    options = parser.parse_args()
    own = sweep(options.repeats)
    peers: dict[str, list[dict]] = {}
    if not options.alone:
        import slip_cylinder_ngsolve as ngsolve

        rows = ngsolve.sweep(ngsolve.SHORTLIST, options.repeats)
        peers = {
            "NGSolve H(div)-HDG": [row for row in rows if row["scheme"] == "hdg"],
            "NGSolve, its best scheme": rows,
        }
    print("| wall error | code | time | k, cells | error | meso / it |")
    print("|---|---|---|---|---|---|")
    for target in options.targets:
        mine = best(own, target)
        print(line(target, "meso", mine, mine))
        for name, rows in peers.items():
            print(line(target, name, best(rows, target), mine))


def best(rows: list[dict], target: float) -> dict:
    """The fastest row that reaches an error."""
    return min((r for r in rows if r["wall_error"] <= target), key=lambda r: r["seconds"])


def line(target: float, name: str, row: dict, mine: dict) -> str:
    """A row of the table."""
    scheme = f"{row['scheme']}, " if "scheme" in row else ""
    return (
        f"| {target:.0e} | {name} | {1e3 * row['seconds']:.1f} ms | {scheme}{row['order']},"
        f" {row['cells']} | {row['wall_error']:.1e} | {mine['seconds'] / row['seconds']:.2f} |"
    )


if __name__ == "__main__":
    main()
