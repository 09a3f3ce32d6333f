"""Results as their files tell them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from meso.constants import ELECTRON_CHARGE, HBAR
from meso.equations.derived import TABLE, component
from meso.figures.cells import (
    Extent,
    Grid,
    Plane,
    boundary,
    chains,
    cut,
    straight,
)
from meso.figures.style import written
from meso.files.readable import circulating
from meso.files.vtu import degree_of, read_names, read_vtu

Columns = dict[str, np.ndarray]
# Places of sections to choose from, an odd number; how much more current makes one the choice.
_PLANES, _CLEARLY = 11, 1.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """A connected part of a contact, or of a periodic boundary, of a 2D device."""

    name: str  # empty where the files do not tell
    values: tuple[str, ...]  # potential (or voltage) and current, as they are read
    line: np.ndarray  # points along it, m, (k, 2)
    normal: np.ndarray  # direction from the anchor to the name, zero for a name inside
    anchor: np.ndarray  # where the name is attached, m
    periodic: bool


class Drawn:
    """The result of a device as the files of its directory tell it.

    Attributes:
        summary: summary.json.
        dimension: 2 or 3.
        nodes: Nodes of the cells of all ranks in the order of VTK, m, and behind the coordinates
            the fields, SI, shape (c, n, d + components).
        columns: Where which field is behind the coordinates.
        walls: In 3D likewise the triangles of the walls, with ``wall_columns``.
        wall_of: Name of the wall and number of its segment of each of them.
        probes: Columns of probes/NAME.csv by probe; likewise ``edges`` (2D) and ``distributions``.
        box: Lower and upper corner, m, shape (2, d).
    """

    def __init__(self, directory: Path) -> None:
        self.summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
        mesh, extrema = self.summary["mesh"], self.summary["extrema"]
        self.dimension = d = 3 if "volume_m3" in mesh else 2
        self.nodes, columns, _ = joined(directory / "fields", mesh["ranks"], d)
        columns = {name: where for name, where in columns.items() if name in extrema}
        self._parent = dict[str, tuple[str, str]]()
        self.columns = dict[str, slice]()
        for name, where in columns.items():
            if name not in self.summary.get("couplings_J_s_per_A", ()):
                self.columns[name] = where
                continue
            for i, axis in enumerate("xyz"):  # a tensor makes each of them
                self._parent[component(name, axis)] = (name, axis)
                self.columns[component(name, axis)] = slice(where.start + i, where.start + i + 1)
        points = self.nodes[..., :d]
        self.box = np.array([points.min(axis=(0, 1)), points.max(axis=(0, 1))])
        self.probes, self.edges, self.distributions = (
            _tables(directory, self.summary, kind) for kind in ("probes", "edges", "distributions")
        )
        self._grids = dict[Any, Grid]()
        self.walls, self.wall_columns, self.wall_of = np.empty((0, 3, 3)), dict[str, slice](), []
        if (directory / "walls").is_dir():
            self.walls, self.wall_columns, of = joined(directory / "walls", mesh["ranks"], 3)
            names = read_names(directory / "walls" / "part0.vtu", "wall")
            pairs = zip(of["wall"].tolist(), of["segment"].tolist(), strict=True)
            self.wall_of = [(names[wall], segment) for wall, segment in pairs]

    @property
    def title(self) -> str:
        """Title of the case."""
        return str(self.summary["title"] or Path(self.summary["mesh"]["file"]).stem)

    @property
    def spans(self) -> np.ndarray:
        """Extents along the axes, m."""
        return np.ptp(self.box, axis=0)

    @property
    def size(self) -> float:
        """Largest extent, m."""
        return float(self.spans.max())

    @property
    def potentials(self) -> tuple[float, float]:
        """Lowest and highest potential of the contacts, or else away from singular corners."""
        given = [c["potential_V"] for c in self.summary["contacts"].values()]
        if len(given) > 1 and min(given) < max(given):
            return min(given), max(given)
        found = self.summary["extrema"]["potential"]
        return found["min"], found["max"]

    def at_nodes(self, field: str) -> np.ndarray:
        """A scalar, or the length of a vector, at the nodes of the cells, (c, n)."""
        values = self.nodes[..., self.dimension :][..., self.columns[field]]
        return values[..., 0] if values.shape[2] == 1 else np.linalg.norm(values, axis=2)

    def readable(self, field: str) -> tuple[float, str]:
        """SI per unit and unit of a field, angular momentum in multiples of ħ."""
        unit = self.unit(field)
        if unit.startswith("J_s_"):
            return HBAR, unit.replace("J_s_", "hbar_")
        return 1.0, unit

    def unit(self, field: str) -> str:
        """SI unit of a field."""
        return str(self.summary["extrema"][self._parent.get(field, (field, ""))[0]]["unit"])

    def is_signed(self, field: str) -> bool:
        """Whether zero is in the middle of the colours of a field."""
        name = self._parent.get(field, (field, ""))[0]
        return name in TABLE and TABLE[name].signed

    def means(self, field: str) -> np.ndarray:
        """Corners of the cells of a 2D kinetic flow in which a field is its mean, m, (k, 3, 2)."""
        if self.dimension != 2 or self.summary.get("model") != "kinetic":
            return np.empty((0, 3, 2))
        values = self.nodes[..., 2:][..., self.columns[field]]
        flat = np.ptp(values, axis=1).max(axis=1) <= 1e-9 * np.abs(values).max(initial=0.0)
        return self.nodes[flat, :3, :2]

    def has(self, field: str) -> bool:
        """Whether a field is there, and, if it is a component of a vector, more than rounding."""
        if field not in self._parent:
            return field in self.columns
        name = self._parent[field][0]
        sizes = {
            k: np.abs(self.at_nodes(k)).max() for k, of in self._parent.items() if of[0] == name
        }
        return bool(sizes[field] > 1e-9 * max(sizes.values()))

    def label(self, field: str) -> str:
        """How a field is called in pictures."""
        if field in self._parent:
            name, axis = self._parent[field]
            return TABLE[name].label.replace("_z$", f"_{axis}$")
        return self.summary["extrema"][field].get("label") or TABLE[field].label

    def plane(self, across: int) -> Plane:
        """A plane at right angles to an axis, where most current flows in it; that of a 2D device.

        It is through the centre, unless clearly more flows elsewhere.
        """
        if self.dimension == 2:
            return Plane(across=2, axes=(0, 1), position=0.0)
        first, second = (axis for axis in self.order if axis != across)
        low, high = self.box[:, across]
        # Beside a round position by nothing that is seen: there, nodes of the mesh may lie in it.
        at = low + (self._richest(across) + 1.2345e-6) * (high - low)
        return Plane(across=across, axes=(first, second), position=float(at))

    @cached_property
    def volumes(self) -> np.ndarray:
        """Volumes of the cells of a 3D device as if they were straight, m³, shape (c,)."""
        corners = self.nodes[:, :4, :3]
        return np.asarray(np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6)

    def _richest(self, across: int) -> float:
        """Where, from 0 to 1 along an axis, most current flows at right angles to it."""
        if "current_density" not in self.columns:
            return 0.5
        corners = self.nodes[:, :4]
        current = corners.mean(axis=1)[:, 3:][:, self.columns["current_density"]]
        inside = np.linalg.norm(np.delete(current, across, axis=1), axis=1)
        # A plane cuts a cell in an area that is, in the mean, volume over extent.
        places = (corners[..., across] - self.box[0, across]) / self.spans[across]
        low, high = places.min(axis=1), places.max(axis=1)
        at = (np.arange(_PLANES) + 0.5) / _PLANES
        cuts = (low[:, None] <= at) & (at <= high[:, None])
        area = cuts * (self.volumes / np.maximum(high - low, 1e-300))[:, None]
        flows, whole = inside @ area, np.linalg.norm(current, axis=1) @ area
        best = int(np.argmax(flows))
        better = flows[best] > _CLEARLY * flows[_PLANES // 2] and flows[best] > 0.05 * whole[best]
        return (best + 0.5) / _PLANES if better else 0.5

    @property
    def order(self) -> list[int]:
        """Axes from the largest to the smallest extent."""
        return np.argsort(-np.round(self.spans, 15), kind="stable").tolist()

    def grid(self, extent: Extent, columns: int, rows: int, plane: Plane | None = None) -> Grid:
        """The fields on a regular grid between left, right, bottom, top, m, in 3D in a plane."""
        key = (extent, columns, rows, plane)
        if key not in self._grids:
            self._grids[key] = Grid(self.nodes, self.columns, extent, (columns, rows), plane)
        return self._grids[key]

    @cached_property
    def surface(self) -> np.ndarray:
        """Facets of the boundary as ``nodes``, the conductor on their left or behind them."""
        return boundary(self.nodes, self.dimension)

    @cached_property
    def is_wall(self) -> np.ndarray:
        """Which facets of the boundary are walls: they are known by their middles, shape (f,)."""
        d = self.dimension
        facets = self.surface[..., :d]
        if d == 3:
            known, middles = self.walls[:, :3, :3].mean(axis=1), facets[:, :3].mean(axis=1)
        else:
            middles, parts = (facets[:, 0] + facets[:, -1]) / 2, [np.empty((0, 2))]
            for columns in self.edges.values():
                points = np.column_stack([columns["x_m"], columns["y_m"]])
                for segment in np.unique(columns["segment"]):
                    own = points[columns["segment"] == segment]
                    ends = own[:: max(1, self.summary["order"])]
                    parts.append((ends[1:] + ends[:-1]) / 2)
            known = np.concatenate(parts)
        if not len(known):
            return np.zeros(len(facets), dtype=bool)
        return np.asarray(cKDTree(known).query(middles)[0] < 1e-7 * self.size)

    def outline(self, walls: bool, plane: Plane | None = None) -> list[np.ndarray]:
        """Lines of the walls, or of what else bounds the device, in a plane, m, (k, 2) each."""
        chosen = self.surface[self.is_wall == walls, :, : self.dimension]
        if plane is not None and self.dimension == 3:
            chosen, _ = cut(straight(chosen, 2, degree_of(chosen.shape[1])), plane)
        return chains(chosen)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """Contacts and periodic boundaries of a 2D device."""
        lines = self.outline(False)
        if self.summary.get("periodic"):  # boundaries of two pairs meet in the corners of a cell
            lines = [part for line in lines for part in _between_corners(line)]
        return [_stretch(line, self.summary) for line in lines]

    @cached_property
    def wall_pieces(self) -> list[tuple[str, Columns]]:
        """Name and table of each smooth piece of a wall of a 2D device, "edges 1", "edges 2"."""
        out = []
        for name, columns in self.edges.items() if self.dimension == 2 else ():
            segments = np.unique(columns["segment"])
            for count, segment in enumerate(segments):
                own = {k: v[columns["segment"] == segment] for k, v in columns.items()}
                out.append((f"{name} {count + 1}" if len(segments) > 1 else name, own))
        return out

    @cached_property
    def piece_names(self) -> dict[tuple[str, int], str]:
        """Names of the pieces of walls of a 3D device, "sides 1", by what ``wall_of`` has."""
        pieces = sorted(set(self.wall_of))
        several = [name for name, _ in pieces]
        return {
            of: f"{name} {several[: i + 1].count(name)}" if several.count(name) > 1 else name
            for i, (of, name) in enumerate(zip(pieces, several, strict=True))
        }

    @cached_property
    def wall_facets(self) -> tuple[list[str], np.ndarray]:
        """Names of the pieces of walls of a 3D device, "sides 1", and which each facet belongs to.

        The facets are those of the surface; -1 is for what is no wall.
        """
        pieces = list(self.piece_names)
        known, middles = (a[:, :3, :3].mean(axis=1) for a in (self.walls, self.surface))
        number = np.array([pieces.index(of) for of in self.wall_of])
        nearest = number[cKDTree(known).query(middles)[1]] if len(number) else -1
        return list(self.piece_names.values()), np.where(self.is_wall, nearest, -1)

    @property
    def terminals(self) -> list[tuple[str, np.ndarray, tuple[str, ...]]]:
        """Name, center (m) and values of contacts and periodic boundaries, piece by piece."""
        return [
            (name, np.array(place["center_m"]), _imposed(self.summary, name))
            for name, place in _places(self.summary)
        ]

    def closed_form(self, points: np.ndarray) -> dict[str, Any] | None:
        """The exact profile of a ribbon at points (k, 2), if the device is one."""
        form = self.summary["closed_form"]
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
        curl, current = ribbon.curl(inside), ribbon.current_density(inside)
        kappa, name = form["orbital_coupling_J_s_per_A"], "orbital_density"
        if isinstance(kappa, list):
            made = {component(name, a): k for a, k in zip("xyz", kappa, strict=True)}
        else:
            made = {} if kappa is None else {name: kappa}
        return {
            "y": y,
            "along": np.array(form["along"]),
            "current_density": current,
            # With the conductor on the left, t is along the ribbon on its right side.
            "current_density_t": -np.sign(y) * current,
            "vorticity": curl / ELECTRON_CHARGE,
            **{name: curl * kappa / HBAR for name, kappa in made.items()},
        }


def joined(
    folder: Path, ranks: int, space: int
) -> tuple[np.ndarray, dict[str, slice], dict[str, np.ndarray]]:
    """Nodes of the cells of all ranks with the fields behind, columns of these, data of cells."""
    parts = [read_vtu(folder / f"part{rank}.vtu", space) for rank in range(ranks)]
    parts = [part for part in parts if len(part[0])] or parts[:1]
    joined = [np.concatenate([points for points, _ in parts])]
    columns, of_cells, at = {}, {}, 0
    for name in parts[0][1]:
        values = np.concatenate([data[name] for _, data in parts])
        if values.ndim == 1:
            of_cells[name] = values
            continue
        # In the plane vectors have a third component for ParaView; densities have one of their own.
        width = 3 if name.endswith("_density") and name in TABLE and TABLE[name].signed else space
        joined.append(values[..., :width] if values.ndim == 3 else values[..., None])
        columns[name] = slice(at, at + joined[-1].shape[2])
        at = columns[name].stop
    return np.concatenate(joined, axis=2), columns, of_cells


def _tables(directory: Path, summary: dict[str, Any], kind: str) -> dict[str, Columns]:
    """Columns of the tables of a kind, by their names."""
    # Without a list of its files it is a result of an earlier version.
    tables = sorted((directory / kind).glob("*.csv"))
    known = {path.stem: path.relative_to(directory) for path in tables}
    found = {}
    for name, file in (summary["files"][kind] if "files" in summary else known).items():
        with (directory / file).open(encoding="utf-8") as lines:
            header = lines.readline().strip().split(",")
            rows = np.loadtxt(lines, delimiter=",", ndmin=2)
        found[name] = dict(zip(header, rows.T, strict=True))
    return found


def _between_corners(line: np.ndarray) -> list[np.ndarray]:
    """Parts of a line between its corners."""

    def corners(points: np.ndarray) -> np.ndarray:
        steps = np.diff(points, axis=0)
        turn = np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))
        return np.flatnonzero(np.abs(turn) > np.pi / 6) + 1

    at = corners(line)
    if len(at) and np.hypot(*(line[-1] - line[0])) < 1e-9 * np.ptp(line, axis=0).max():
        line = np.concatenate([line[at[0] : -1], line[: at[0] + 1]])  # begin at a corner
        at = corners(line)
    bounds = [0, *at.tolist(), len(line) - 1]
    return [line[first : last + 1] for first, last in pairwise(bounds)]


def _stretch(line: np.ndarray, summary: Mapping[str, Any]) -> Stretch:
    """A line with the name of the boundary whose place in the summary is the nearest."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    length = float(steps.sum())
    center = ((line[1:] + line[:-1]) / 2 * steps[:, None]).sum(axis=0) / length
    periodic, places = summary.get("periodic", {}), _places(summary)
    # Rings about one centre differ in length.
    name, _ = min(
        places,
        key=lambda p: np.hypot(*(center - p[1]["center_m"])) + abs(length - p[1]["length_m"]),
        default=("", None),
    )
    along = line[-1] - line[0]
    span = np.hypot(*along)
    if span > 1e-6 * length:
        normal = np.array([along[1], -along[0]]) / span
        anchor = line[np.argmin(np.hypot(*(line - center).T))]
        if span > 0.999 * length and np.hypot(*(anchor - center)) < 0.3 * length:
            anchor = center
    else:
        x, y = line.T
        outer = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
        normal = np.array([0.0, 1.0 if outer else 0.0])
        anchor = line[np.argmax(y)] if outer else center
    return Stretch(
        name=name,
        values=_imposed(summary, name),
        line=line,
        normal=normal,
        anchor=anchor,
        periodic=name in periodic or name in {pair["to"] for pair in periodic.values()},
    )


def _places(summary: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Names of contacts and periodic boundaries, and where their pieces are."""
    contacts, periodic = summary["contacts"], summary.get("periodic", {})
    places = [(name, place) for name, c in contacts.items() for place in c.get("segments", ())]
    for name, pair in periodic.items():
        places += [(name, place) for place in pair["segments"]]
        places += [(pair["to"], place) for place in pair["segments_to"]]
    return places


def _imposed(summary: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Potential (or voltage) and current of a contact, or a periodic pair, as they are read."""
    groups = (summary["contacts"], "potential_V"), (summary.get("periodic", {}), "voltage_V")
    of_mesh = summary["mesh"].get("estimated_errors", {})
    for group, volt in groups:
        if name not in group:
            continue
        found, out = group[name], []
        for key in (volt, next(key for key in found if key.startswith("current_A"))):
            error = found.get(key.replace("_", "_standard_error_", 1), of_mesh.get(f"{name}.{key}"))
            zero = 1e-6 * max(abs(entry[key]) for entry in group.values())
            zero = max(zero, 1e-10 * circulating(summary, key))
            out.append(written(found[key], key.partition("_")[2], zero, error or 0.0))
        return tuple(out)
    return ()
