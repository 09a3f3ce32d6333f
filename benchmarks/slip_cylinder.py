"""Slip flow past a cylinder: meso against NGSolve, in one run, at equal wall-vorticity error.

    python3 benchmarks/slip_cylinder.py              # the table of benchmarks/README.md
    python3 benchmarks/slip_cylinder.py --full       # all of NGSolve's meshes, not the likely ones
    python3 benchmarks/slip_cylinder.py --growth     # degree 4 on 12, 50 and 200 thousand cells
    python3 benchmarks/slip_cylinder.py --smallest   # one mesh for each code: does it still run?

Both codes get the same problem (`slip_cylinder_exact`), choose their best order and mesh, and are
timed alike: everything after meshing (spaces, assembly, factorisation, solution, the current on
the cylinder), one thread, warm, the smallest of several runs. They take turns, round by round, and
time is that of the processor, so that what else the machine does weighs little and on both. After
the first round only what may still be the best goes on. NGSolve competes with three schemes;
without it (`pip install ngsolve`) meso is timed alone.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from datetime import date
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dolfinx
import numpy as np
import slip_cylinder_exact as exact
from mpi4py import MPI

import meso
from meso.device import plan_of
from meso.discrete.cells import facet_geometry, facet_points, lagrange
from meso.flow.discretisation import Law
from meso.flow.hydrodynamic import direct_system
from meso.geometry.simplices import Drawing

try:
    import slip_cylinder_ngsolve as ngsolve
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("ngsolve", "netgen"):
        raise
    ngsolve = None

# Points around, and radii of the rings of the meshes that are tried: coarser means faster, and
# the layer at the cylinder is as thin as l.
MESHES = [
    (around, (0.5, *inner, 1.0))
    for around in (7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
    for inner in ((0.6,), (0.63,), (0.66,), (0.7,), (0.62, 0.82))
]
#: Rings of --growth, and cell sizes of NGSolve with about as many cells.
GROWTH = {"tiny": (8, 0.07), "12k": (25, 0.0218), "50k": (52, 0.0105), "200k": (103, 0.0053)}
ELEMENTS = ("Crouzeix-Raviart", "Taylor-Hood")
PEERS = {"NGSolve H(div)-HDG": "hdg", "NGSolve Taylor-Hood": "th", "NGSolve p-dc": "p-dc"}


def make_device(order: int, around: int, radii: tuple[float, ...]) -> meso.Device:
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
    return meso.Device._distribute(plan_of(plane, path, 1.0), 1.0, path, MPI.COMM_SELF)


#: l and s of the exact solution: point scatterers and a diffuse wall.
METAL = meso.Material(
    carriers="2d",
    conductivity=1.0,
    mean_free_path=np.sqrt(2) * exact.DIFFUSION_LENGTH,
    scattering="radial-tangential",
)


class Meso:
    """One order and mesh of meso.

    Args:
        order: Polynomial degree of the current.
        around: Vertices on each circle.
        radii: Of the circles.
        elements: As of Hydrodynamic.
    """

    def __init__(self, order: int, around: int, radii: tuple[float, ...], elements: str) -> None:
        self.order, self.rings, self.elements = order, (around, radii), elements
        self.seconds = self.clock = np.inf

    def run(self) -> None:
        """Solve once; the part that is timed is everything after meshing."""
        # A new one each time: it keeps the spaces that were made on it.
        self.device = make_device(self.order, *self.rings)
        clock, start = time.perf_counter(), time.process_time()
        model = meso.flow.Hydrodynamic(
            self.device,
            materials={"metal": METAL},
            # The outer circle has a law that no device has: its current is given.
            boundaries={"inner": meso.Wall(specularity=0.0), "outer": meso.Contact(potential=0.0)},
            order=self.order,
            elements=self.elements,
        )
        family = "enriched" if self.elements == ELEMENTS[0] else "Lagrange"
        space = lagrange(self.device, self.order, family)
        held = np.zeros((space.nodes, 2))
        held[space.nodes_on(self.device, "outer"), 0] = 1.0
        laws = {**model.laws(), "outer": Law(sticks=True)}
        problem = replace(model.problem(), laws=laws, held=held, ports=(), grounded=())
        system = direct_system(problem)
        current = system.solve().vector[-1]
        facets = self.device.facets_on("inner")
        points, weights = system.discrete.cells.facet_quadrature(2 * self.order + 4)
        nodes, inside = system.vector.on_facet, facet_points(points)
        table = [system.vector.values(at)[:, own] for at, own in zip(inside, nodes, strict=True)]
        own = current[system.vector.dofs[facets.cell[:, None], nodes[facets.local]]]
        values = np.stack(table)[facets.local] @ own
        self.seconds = min(self.seconds, time.process_time() - start)
        self.clock = min(self.clock, time.perf_counter() - clock)
        self.unknowns = system.unknowns.total
        system.close()
        cells = system.discrete.cells
        geometry = facet_geometry(cells, facets.cell, facets.local, points, weights)
        # The tangent has the conductor on its left: clockwise around the cylinder.
        x, y = geometry.normal[..., 0], geometry.normal[..., 1]
        tangential = values[..., 0] * y - values[..., 1] * x
        angle = np.arctan2(geometry.position[..., 1], geometry.position[..., 0])
        weight = geometry.weight
        self.wall_error = exact.wall_error(angle.ravel(), weight.ravel(), tangential.ravel())

    def row(self) -> dict:
        """What was found."""
        return {
            "order": self.order,
            "elements": self.elements,
            "cells": self.device.cells,
            "unknowns": self.unknowns,
            "seconds": self.seconds,
            "clock": self.clock,
            "wall_error": self.wall_error,
        }


def candidates(options: argparse.Namespace) -> dict[str, list]:
    """Orders and meshes that each code is tried with."""
    if options.smallest:
        out = {"meso": [Meso(4, 12, (0.5, 0.65, 1.0), each) for each in ELEMENTS]}
        shortlist = [("p-dc", 5, 0.3, 0.3), ("th", 7, 0.6, 0.6), ("hdg", 7, 0.6, 0.6)]
    else:
        tried = product(range(4, 10), MESHES, ELEMENTS)
        out = {"meso": [Meso(k, *mesh, each) for k, mesh, each in tried]}
        shortlist = []
        if ngsolve:
            shortlist = ngsolve.all_cases() if options.full else list(ngsolve.SHORTLIST)
    if ngsolve and not options.alone:
        for name, scheme in PEERS.items():
            out[name] = [ngsolve.Candidate(*case) for case in shortlist if case[0] == scheme]
    return out


def main() -> None:
    """Print the best of both codes for each error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8, help="turns of the codes")
    parser.add_argument("--repeats", type=int, default=4, help="runs of each mesh in a turn")
    parser.add_argument("--full", action="store_true", help="all of NGSolve's orders and meshes")
    parser.add_argument("--targets", type=float, nargs="+", default=[1e-4, 1e-6, 1e-8])
    parser.add_argument("--alone", action="store_true", help="meso only")
    parser.add_argument("--smallest", action="store_true", help="one mesh, one error, two runs")
    parser.add_argument("--growth", nargs="*", choices=GROWTH, help="degree 4, large meshes")
    options = parser.parse_args()
    if options.growth is not None:
        growth(options.growth or list(GROWTH)[1:], 1 if options.alone else 1 + len(PEERS))
        return
    if options.smallest:
        options.rounds, options.repeats, options.targets = 1, 2, [1e-4]
    codes = candidates(options)
    if ngsolve is None:
        print("NGSolve is not installed (pip install ngsolve): meso alone")
    for _ in range(options.rounds):
        for name, tried in codes.items():
            for candidate in tried:
                for _ in range(options.repeats):
                    candidate.run()
            codes[name] = promising(tried, options.targets)
    print(versions())
    rows = {name: [candidate.row() for candidate in tried] for name, tried in codes.items()}
    print("| wall error | code | time | by the clock | k | cells | unknowns | error | meso / it |")
    print("|---|---|---|---|---|---|---|---|---|")
    for target in options.targets:
        mine = best(rows["meso"], target)
        for name in rows:
            print(line(target, name, best(rows[name], target), mine))


def growth(sizes: list[str], codes: int) -> None:
    """Print time and memory of degree 4 on large meshes, each run in a process of its own."""
    print(versions())
    print("| mesh | code | cells | unknowns | time, s | by the clock | memory, GB | error |")
    print("|---|---|---|---|---|---|---|---|")
    names = [*ELEMENTS, *(PEERS.values() if ngsolve else [])][: len(ELEMENTS) + codes - 1]
    for size, name in product(sizes, names):
        with get_context("spawn").Pool(1) as pool:
            row = pool.apply(alone, (name, *GROWTH[size]))
        print(
            f"| {size} | {name} | {row['cells']} | {row['unknowns']} | {row['seconds']:.2f}"
            f" | {row['clock']:.2f} | {row['memory']:.2f} | {row['wall_error']:.1e} |",
            flush=True,
        )


def alone(name: str, rings: int, h: float) -> dict:
    """One mesh of degree 4 in one code; a coarse one before, which loads forms."""
    cases = []
    for count, size in ((4, 0.2), (rings, h)):
        if name in ELEMENTS:
            radii = tuple(np.linspace(0.5, 1.0, count + 1))
            cases.append(Meso(4, round(9.4 * count), radii, name))
        else:
            cases.append(ngsolve.Candidate(name, 4, size, size))
    for case in cases:
        case.run()
    return {**case.row(), "memory": getrusage(RUSAGE_SELF).ru_maxrss / 1e6}


def versions() -> str:
    """When this was measured, and of what."""
    peer = f", NGSolve {ngsolve.ng.__version__}" if ngsolve else ""
    return f"{date.today()}: meso {meso.__version__}, DOLFINx {dolfinx.__version__}{peer}"


def promising(tried: list, targets: list[float]) -> list:
    """Those that are at most 1.5 times slower than the best for an error that they reach."""
    rows = [candidate.row() for candidate in tried]
    limits = [(target, row["seconds"]) for target in targets if (row := best(rows, target))]
    return [
        candidate
        for candidate, row in zip(tried, rows, strict=True)
        if any(row["wall_error"] <= t and row["seconds"] < 1.5 * s for t, s in limits)
    ]


def best(rows: list[dict], target: float) -> dict | None:
    """The fastest row that reaches an error, if one does."""
    reached = [row for row in rows if row["wall_error"] <= target]
    return min(reached, key=lambda row: row["seconds"], default=None)


def line(target: float, name: str, row: dict | None, mine: dict | None) -> str:
    """A row of the table."""
    if row is None:
        return f"| {target:.0e} | {name} | not reached |  |  |  |  |  |  |"
    ratio = f"{mine['seconds'] / row['seconds']:.2f}" if mine else ""
    return (
        f"| {target:.0e} | {name} | {1e3 * row['seconds']:.1f} ms | {1e3 * row['clock']:.1f} ms"
        f" | {row['order']} | {row['cells']} | {row['unknowns']} | {row['wall_error']:.1e}"
        f" | {ratio} |"
    )


if __name__ == "__main__":
    main()
