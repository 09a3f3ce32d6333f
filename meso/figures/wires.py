"""The pictures of a wire's section, from the files of its result: J_z, and what is along walls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from meso.case import Figures
from meso.constants import HBAR
from meso.figures.cells import Grid
from meso.figures.data import joined
from meso.figures.style import SPEED, canvas, length_scale, line_figure, look, scale, store

#: Pixels of the picture along a side of the box.
PIXELS = 400


def draw_wire(directory: Path, figures: Figures | None = None) -> list[Path]:
    """Draw the pictures of a wire's result directory into its folder ``figures``; the files."""
    record = json.loads((directory / "wire.json").read_text(encoding="utf-8"))
    out = directory / "figures"
    out.mkdir(exist_ok=True)
    with look(figures):
        return [
            store(_density(directory, record), out / "current_density_z.png"),
            store(_edges(directory, record), out / "edges.png"),
        ]


def _density(directory: Path, record: dict[str, Any]) -> Figure:
    """J_z over the section."""
    nodes, columns, _ = joined(directory / "fields", record["mesh"]["ranks"], 2)
    low, high = nodes[..., :2].min(axis=(0, 1)), nodes[..., :2].max(axis=(0, 1))
    span = high - low
    wide, tall = (int(n) for n in np.ceil(PIXELS * span / span.max()))
    grid = Grid(nodes, columns, (low[0], high[0], low[1], high[1]), (wide, tall))
    values, length = grid["current_density_z"], length_scale(float(span.max()))
    size = np.maximum(span * 3.6 / span.max(), 2.2)  # room for the label of the colours
    figure, add = canvas(size[0] + 1.9, size[1] + 1.0, record["title"], 0.7)
    axes = add(0.7, 0.5, *size)
    unit = scale(float(np.nanmax(np.abs(values))), "A_per_m2")
    image = axes.imshow(
        values / unit.factor,
        origin="lower",
        extent=np.array([low[0], high[0], low[1], high[1]]) / length.factor,
        cmap=SPEED,
        interpolation="bilinear",
    )
    axes.set_aspect("equal")
    axes.set_xlabel(f"x ({length.name})")
    axes.set_ylabel(f"y ({length.name})")
    bar = add(0.85 + size[0], 0.5, 0.14, size[1])
    figure.colorbar(image, cax=bar, label=f"current density along z ({unit.name})")
    return figure


def _edges(directory: Path, record: dict[str, Any]) -> Figure:
    """J_z along each smooth piece of the walls, and its moment for each length."""
    table = np.genfromtxt(directory / "walls.csv", delimiter=",", names=True)
    moments, key = record["edge_moments"], "current_density_z_A_per_m2"
    figure, panels = line_figure(2 if moments else 1, f"{record['title']}: along the walls")
    unit = scale(float(np.abs(table[key]).max()), "A_per_m2")
    length = length_scale(float(table["s_m"].max()))
    for number, name in enumerate(record["walls"]):
        own = table[table["segment"] == number]
        x, label = own["s_m"] / length.factor, f"{name} {number + 1}"
        dashes = ("-", "-", (0, (5, 5)), (0, (5, 5)))[number % 4]  # opposite walls are often alike
        (line,) = panels[0].plot(x, own[key] / unit.factor, label=label, ls=dashes)
        if moments:
            row = moments[number]
            each = row["orbital_moment_J_s_per_m"] / HBAR / row["length_m"] * 1e-12
            error = row["orbital_moment_error_J_s_per_m"] / HBAR / row["length_m"] * 1e-12
            ends = np.array([0.0, row["length_m"]]) / length.factor
            panels[1].plot(ends, [each, each], color=line.get_color(), ls=dashes)
            panels[1].fill_between(ends, each - error, each + error, alpha=0.3, lw=0)
    panels[0].set_ylabel(f"$J_z$ ({unit.name})")
    panels[0].legend(loc="best")
    if moments:
        panels[1].set_ylabel("moment (ħ/µm²)")
        panels[1].margins(y=0.25)
    panels[-1].set_xlabel(f"arc length, conductor on the left ({length.name})")
    return figure
