"""Results as their files tell them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meso.constants import ELECTRON_CHARGE, HBAR
from meso.figures.outline import Outline
from meso.figures.raster import CellSet
from meso.vtu import read_vtu


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
        points, data = joined(directory / "fields")
        summary = json.loads((directory / "summary.json").read_text())
        return {
            "summary": summary,
            "cells": CellSet(points=points),
            "data": {name: data[name] for name in data if name in summary["extrema"]},
            "probes": tables(directory / "probes"),
        }

    @property
    def title(self) -> str:
        """Title of the case."""
        return self.summary["title"] or Path(self.summary["mesh"]["file"]).stem

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
        edges = tables(directory / "edges")
        outline = Outline.of(found["cells"].outline(), edges, found["summary"])
        return cls(**found, edges=edges, outline=outline)


def joined(folder: Path, space: int | None = None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cells and data of all ranks, as :func:`meso.vtu.read_vtu` returns them."""
    parts = [read_vtu(p, space) for p in sorted(folder.glob("part*.vtu"))]
    parts = [part for part in parts if len(part[0])] or parts[:1]
    points = np.concatenate([points for points, _ in parts])
    return points, {name: np.concatenate([data[name] for _, data in parts]) for name in parts[0][1]}


def tables(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Columns of the tables in a folder, by the names of the files."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open() as file:
            names = file.readline().strip().split(",")
            rows = np.loadtxt(file, delimiter=",", ndmin=2)
        found[path.stem] = dict(zip(names, rows.T, strict=True))
    return found


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
