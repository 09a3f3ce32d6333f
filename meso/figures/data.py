"""Results as their files tell them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meso.constants import ELECTRON_CHARGE, HBAR
from meso.equations.derived import TABLE
from meso.figures.outline import Outline
from meso.figures.raster import CellSet
from meso.files.vtu import read_vtu


@dataclass(frozen=True, kw_only=True, eq=False)
class Files:
    """What the files of any result tell.

    Attributes:
        summary: summary.json.
        cells: Cells of all ranks.
        data: Fields at their nodes, SI, shape (c, n) or (c, n, 3).
        probes: Columns of probes/NAME.csv by probe.
    """

    summary: dict[str, Any]
    cells: CellSet
    data: dict[str, np.ndarray]
    probes: dict[str, dict[str, np.ndarray]]

    @classmethod
    def common(cls, directory: Path) -> dict[str, Any]:
        """Read the attributes of this class."""
        summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
        points, data = joined(directory / "fields", ranks=summary["mesh"]["ranks"])
        return {
            "summary": summary,
            "cells": CellSet(points=points),
            "data": {name: data[name] for name in data if name in summary["extrema"]},
            "probes": tables(directory, summary, "probes"),
        }

    @property
    def title(self) -> str:
        """Title of the case."""
        return str(self.summary["title"] or Path(self.summary["mesh"]["file"]).stem)

    @property
    def potentials(self) -> tuple[float, float]:
        """Lowest and highest potential of the contacts, or else away from singular corners."""
        given = [c["potential_V"] for c in self.summary["contacts"].values()]
        if len(given) > 1 and min(given) < max(given):
            return min(given), max(given)
        found = self.summary["extrema"]["potential"]
        return found["min"], found["max"]

    def unit(self, field: str) -> str:
        """Unit of a field, as in the headers of the tables."""
        return self.summary["extrema"][field]["unit"]

    def label(self, field: str) -> str:
        """How a field is called in pictures."""
        return self.summary["extrema"][field].get("label") or TABLE[field].label

    def sizes(self, field: str) -> tuple[np.ndarray, tuple[float, float], str, str]:
        """Values of a scalar, lengths of vectors; their bounds, unit and label."""
        values, label = self.data[field], self.label(field)
        if values.ndim > 2:
            values, label = np.linalg.norm(values, axis=2), f"|{label}|"
        found = values[np.isfinite(values)]
        return values, (float(found.min()), float(found.max())), self.unit(field), label


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn(Files):
    """The result of a 2D device as its files tell it.

    Attributes:
        edges: Columns of edges/NAME.csv by wall.
        outline: Contacts and walls.
    """

    edges: dict[str, dict[str, np.ndarray]]
    outline: Outline

    @classmethod
    def read(cls, directory: Path) -> Drawn:
        """Read a result directory."""
        found = cls.common(directory)
        edges = tables(directory, found["summary"], "edges")
        outline = Outline.of(found["cells"].outline(), edges, found["summary"])
        return cls(**found, edges=edges, outline=outline)


def joined(
    folder: Path, space: int | None = None, *, ranks: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cells and data of all ranks, as :func:`meso.files.vtu.read_vtu` returns them."""
    parts = [read_vtu(folder / f"part{rank}.vtu", space) for rank in range(ranks)]
    parts = [part for part in parts if len(part[0])] or parts[:1]
    points = np.concatenate([points for points, _ in parts])
    return points, {name: np.concatenate([data[name] for _, data in parts]) for name in parts[0][1]}


def tables(directory: Path, summary: dict[str, Any], kind: str) -> dict[str, dict[str, np.ndarray]]:
    """Columns of the tables of a kind ("probes", "edges", "distributions"), by their names."""
    found = {}
    for name, file in files(directory, summary, kind).items():
        with (directory / file).open(encoding="utf-8") as lines:
            header = lines.readline().strip().split(",")
            rows = np.loadtxt(lines, delimiter=",", ndmin=2)
        found[name] = dict(zip(header, rows.T, strict=True))
    return found


def files(directory: Path, summary: dict[str, Any], kind: str) -> dict[str, str]:
    """Which file has the table of which name."""
    if "files" in summary:
        return summary["files"][kind]
    # A result of an earlier version.
    return {path.stem: f"{kind}/{path.name}" for path in sorted((directory / kind).glob("*.csv"))}


def closed_form(result: Files, points: np.ndarray) -> dict[str, Any] | None:
    """The exact profile of a ribbon at points, if the device is one."""
    form = result.summary["closed_form"]
    if not form or form["name"] != "ribbon":
        return None
    from meso.exact import Ribbon

    ribbon = Ribbon(
        width=form["width_m"],
        diffusion_length=form["vorticity_diffusion_length_m"],
        slip_rate=form["slip_rate_per_m"],
        drive=form["drude_current_density"],
    )
    y = (points - form["center_m"]) @ np.array(form["across"])
    half = ribbon.width / 2
    inside = np.where(np.abs(y) <= half * (1 + 1e-9), np.clip(y, -half, half), np.nan)
    curl = ribbon.curl(inside)
    out = {
        "y": y,
        "along": np.array(form["along"]),
        "current_density": ribbon.current_density(inside),
        # With the conductor on the left, t is along the ribbon on its right side.
        "current_density_t": -np.sign(y) * ribbon.current_density(inside),
        "vorticity": curl / ELECTRON_CHARGE,
        "source": {
            "current_density": "Valet et al. 2025, eq. 9",
            "vorticity": "curl of eq. 9",
            "orbital_density": "eq. 10",
        },
    }
    if form["orbital_coupling_J_s_per_A"] is not None:
        out["orbital_density"] = curl * form["orbital_coupling_J_s_per_A"] / HBAR
    return out
