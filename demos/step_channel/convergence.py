r"""Error of the conductance against the number of unknowns: adaptive, graded, uniform meshes.

    python3 demos/step_channel/convergence.py step_channel.png

Runs the case in these ways, prints a table, and draws it beside the adapted mesh.
"""

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

import meso
from meso.discrete.cells import cells_of
from meso.figures.style import INK, LINES, STYLE
from meso.flow import Flow, Hydrodynamic
from meso.geometry import layers
from meso.results.result import Result
from meso.results.running import build_device

FOLDER = Path(__file__).parent
Curve = list[tuple[int, float]]


def conductance(solved: Result | Flow) -> tuple[int, float]:
    """Number of unknowns and conductance, S."""
    flow = solved if isinstance(solved, Flow) else solved.flow
    return int(flow.evidence["unknowns"]), float(flow.conductance_matrix[0, 0])


def measured() -> tuple[Result, dict[str, Curve]]:
    """The adaptive result, and unknowns with relative errors by kind of mesh."""
    case = meso.Case.load(FOLDER / "case.toml")
    solved = meso.run(case)
    assert solved.adaptivity is not None
    plain = replace(case, mesh=replace(case.mesh, adapt=None))
    finest = replace(plain, flow=replace(plain.flow, order=7))
    graded, uniform = [], []
    for layers.CORNER_SIZE in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        graded.append(conductance(meso.run(plain)))
    layers.CORNER_SIZE = 1e-9
    _, exact = conductance(meso.run(finest))
    # The first mesh of an adaptive run has no layers; without its refined corner it is uniform.
    layers.FIRST_CORNER_SIZE = 1.0
    materials = {region: case.materials[name] for region, name in case.regions.items()}
    for size in (20e-9, 10e-9, 5e-9, 2.5e-9, 1.25e-9):
        device = build_device(replace(case, mesh=replace(case.mesh, size=size)))
        flow = Hydrodynamic(device, materials=materials, boundaries=case.boundaries).solve()
        uniform.append(conductance(flow))
    steps = [(step.unknowns, step.value) for step in solved.adaptivity.steps]
    curves = {"uniform": uniform, "graded to the corner": graded, "adaptive": steps}
    errors = {n: [(u, abs(g / exact - 1)) for u, g in curve] for n, curve in curves.items()}
    errors["its estimate"] = [(s.unknowns, s.estimate) for s in solved.adaptivity.steps]
    return solved, errors


def draw_mesh(axes: Axes, solved: Result, half: float) -> None:
    """The mesh within a distance of the corner, nm."""
    corners = cells_of(solved.device).corners * solved.device.extent * 1e9
    axes.add_collection(
        PolyCollection(list(corners), facecolors="#f2f2f2", edgecolors=INK, linewidths=0.35)
    )
    axes.set(xlim=(150 - half, 150 + half), ylim=(50 - half, 50 + half), aspect="equal")
    axes.set(xlabel="x (nm)", ylabel="y (nm)")


def draw(solved: Result, curves: dict[str, Curve], path: Path) -> None:
    """Draw the mesh around the corner and the errors."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.4), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        draw_mesh(left, solved, 50.0)
        left.set_title(f"Adapted mesh, {solved.device.cells} cells")
        draw_mesh(inset := left.inset_axes((0.55, 0.02, 0.43, 0.43)), solved, 0.1)
        inset.set(xticks=[], yticks=[], xlabel="", ylabel="0.2 nm")
        styles = ("s-", "^-", "o-", "o:")
        colors = (LINES[5], LINES[0], LINES[1], LINES[1])
        for (name, curve), style, color in zip(curves.items(), styles, colors, strict=True):
            right.loglog(*np.array(curve).T, style, color=color, markersize=5, label=name)
        right.set(xlabel="unknowns", ylabel="relative error of the conductance")
        right.grid(color="#dddddd", linewidth=0.6)
        right.legend()
        figure.savefig(path)


if __name__ == "__main__":
    result, found = measured()
    for name, curve in found.items():
        print(f"{name:<22}" + "".join(f"{u:>9} {e:.1e}" for u, e in curve))
    draw(result, found, Path(sys.argv[1]))
