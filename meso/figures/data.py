"""A result as its files tell it."""

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
class Drawn:
    """A result as its files tell it.

    Attributes:
        summary: summary.json.
        cells: Cells of all ranks.
        data: Fields at their nodes, SI, shape (c, n) or (c, n, 3).
        edges: Columns of edges/NAME.csv by wall.
        probes: Columns of probes/NAME.csv by probe.
        outline: Contacts and walls.
    """

    summary: dict[str, Any]
    cells: CellSet
    data: dict[str, np.ndarray]
    edges: dict[str, dict[str, np.ndarray]]
    probes: dict[str, dict[str, np.ndarray]]
    outline: Outline

    @classmethod
    def read(cls, directory: Path) -> Drawn:
        """Read a result directory."""
        summary = json.loads((directory / "summary.json").read_text())
        parts = [read_vtu(p) for p in sorted((directory / "fields").glob("part*.vtu"))]
        parts = [part for part in parts if len(part[0])]
        names = parts[0][1].keys()
        cells = CellSet(points=np.concatenate([points for points, _ in parts]))
        edges = _tables(directory / "edges")
        return cls(
            summary=summary,
            cells=cells,
            data={name: np.concatenate([data[name] for _, data in parts]) for name in names},
            edges=edges,
            probes=_tables(directory / "probes"),
            outline=Outline.of(cells.outline(), edges, summary),
        )

    @property
    def title(self) -> str:
        """Title of the case."""
        return self.summary["title"] or Path(self.summary["mesh"]["file"]).stem

    def unit(self, field: str) -> str:
        """Unit of a field, as in the headers of the tables."""
        return self.summary["extrema"][field]["unit"]


def _tables(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    tables = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open() as file:
            names = file.readline().strip().split(",")
            rows = np.loadtxt(file, delimiter=",", ndmin=2)
        tables[path.stem] = dict(zip(names, rows.T, strict=True))
    return tables


def closed_form(result: Drawn, points: np.ndarray) -> dict[str, Any] | None:
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
