"""The picture of a design: the device before and after, and the target step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.figures.cells import Extent
from meso.figures.data import Drawn
from meso.figures.maps import SPEED
from meso.figures.sheets import frame
from meso.figures.style import (
    CONTACT,
    LINES,
    canvas,
    ink,
    length_scale,
    look,
    open_frame,
    plain,
    scale,
    store,
)

if TYPE_CHECKING:
    from meso.case import Figures

#: Widest and highest map, inches; columns of its grid.
_WIDE, _HIGH, _COLUMNS = 5.4, 2.6, 700
#: The first of these that the results have is drawn.
_FIELDS = ("orbital_density", "vorticity", "current_density", "potential")


def draw_design(directory: Path, figures: Figures | None = None) -> Path | None:
    """Draw ``design.png`` from the table of a design and the results before and after it.

    Returns:
        The picture, or None for 3D devices, which have those of the two results.
    """
    table = json.loads((directory / "design.json").read_text(encoding="utf-8"))
    results = [Drawn(directory / name) for name in ("before", "after")]
    if results[0].dimension == 3:
        return None
    low = np.min([r.box[0] for r in results], axis=0)
    high = np.max([r.box[1] for r in results], axis=0)
    pad = 0.04 * (high - low).max()
    box: Extent = (low[0] - pad, high[0] + pad, low[1] - pad, high[1] + pad)
    wide, tall = box[1] - box[0], box[3] - box[2]
    per_metre = min(_WIDE / wide, _HIGH / tall)
    w, h = per_metre * wide, per_metre * tall
    with look(figures):
        height = 3.2 + 0.95 + 2 * (h + 0.35) + 0.35
        figure, add = canvas(7.6, height, f"{table['title']}: design", 0.95)
        boxes = [(0.95, 3.95 + i * (h + 0.35), w, h) for i in (1, 0)]
        panels = [add(*at) for at in boxes]
        _outlines(panels, results, box)
        if fields := [n for n in _FIELDS if all(n in result.columns for result in results)]:
            bar = add(0.95 + w + 0.12, 3.95, 0.13, 2 * h + 0.35)
            _maps(panels, bar, results, box, fields[0])
        _progress(add(0.95, 0.65, 6.0, 2.3), table)
        return store(figure, directory / "design.png")


def _outlines(panels: list[Any], results: list[Drawn], box: Extent) -> None:
    """Walls and contacts before and after, with the walls before in both."""
    size = max(box[1] - box[0], box[3] - box[2])
    unit = length_scale(size).factor
    for panel, result, what in zip(panels, results, ("before", "after"), strict=True):
        frame(panel, box, size)
        for line in result.outline(True, result.plane(2)):
            panel.plot(*(line[:, :2].T / unit), color=ink(), linewidth=1.3, snap=False)
        for stretch in result.stretches:
            panel.plot(*(stretch.line.T / unit), color=CONTACT, linewidth=2.5, snap=False)
        panel.set_title(what, fontsize=10)
    for line in results[0].outline(True, results[0].plane(2)):
        panels[1].plot(*(line[:, :2].T / unit), color="#888888", linewidth=0.9, linestyle="--")
    panels[0].set_xlabel("")
    panels[0].tick_params(labelbottom=False)


def _maps(panels: list[Any], bar: Any, results: list[Drawn], box: Extent, field: str) -> None:
    """A field in colours before and after."""
    rows = max(2, round(_COLUMNS * (box[3] - box[2]) / (box[1] - box[0])))
    unit = length_scale(max(box[1] - box[0], box[3] - box[2])).factor
    grids = [result.grid(box, _COLUMNS, rows) for result in results]
    factor, name = results[0].readable(field)
    shown = [grid[field] / factor for grid in grids]
    shown = [np.linalg.norm(v, axis=0) if v.ndim == 3 else v for v in shown]
    signed = field != "current_density"
    values = np.abs(np.concatenate([v[np.isfinite(v)] for v in shown]))
    top = float(np.percentile(values, 99.5)) or 1.0
    chosen = scale(top, name)
    limit = top / chosen.factor
    how: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    if not signed:
        how = {"cmap": SPEED, "vmin": 0, "vmax": limit}
    for panel, found in zip(panels, shown, strict=True):
        extent = tuple(x / unit for x in box)
        image = panel.imshow(
            found / chosen.factor, origin="lower", extent=extent, aspect="auto", **how
        )
    label = results[0].label(field)
    label = label if signed else f"|{label}|"
    panels[0].figure.colorbar(image, cax=bar, label=plain(f"{label} ({chosen.name})"))


def _progress(panel: Any, table: dict[str, Any]) -> None:
    """The target at each step; a new line for each mesh, the verified value at the end."""
    open_frame(panel)
    rows = table["iterates"]
    steps = np.cumsum([row["kind"] == "step" for row in rows])
    values = np.array([row["target"] for row in rows])
    meshes = np.array([row["mesh"] for row in rows])
    size = 10.0 ** np.floor(np.log10(np.abs(values).max() or 1.0))
    power = round(np.log10(size))
    plainly = -3 < power < 4
    size = 1.0 if plainly else size
    for mesh in np.unique(meshes):
        here = meshes == mesh
        panel.plot(steps[here], values[here] / size, "o-", color=LINES[0], markersize=4)
    if (outside := np.array([row["limits_exceeded_by"] > 0 for row in rows])).any():
        hollow = {"markersize": 4, "color": LINES[0], "markerfacecolor": "white", "zorder": 3}
        at = steps[outside], values[outside] / size
        panel.plot(*at, "o", label="limits exceeded", **hollow)
    if table["verified"]:
        last = table["verified"]["target"] / size
        panel.plot([steps[-1]], [last], "s", color=LINES[1], markersize=6, label="on a finer mesh")
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="best")
    panel.set_xlabel("step")
    label = table["formula"] if len(table["formula"]) < 44 else "target"
    panel.set_ylabel(plain(label) + ("" if plainly else f" ($10^{{{power}}}$)"), fontsize=9)
    panel.xaxis.get_major_locator().set_params(integer=True)
