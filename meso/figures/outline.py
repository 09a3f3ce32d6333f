"""The outline of a drawn device: which of its edges are walls, which are contacts, and whose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.figures.raster import Extent, vertex_numbers
from meso.figures.style import written


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnContact:
    """A connected stretch of a contact, or of a periodic boundary.

    Attributes:
        name: Its name; empty where the files do not tell.
        values: Its potential (or voltage) and current, as they are read.
        line: Points along it, m, shape (k, 2).
        normal: Direction from the anchor to the name, zero for a name inside.
        anchor: Where the name is attached, m.
        periodic: True for a periodic boundary.
    """

    name: str
    values: tuple[str, ...]
    line: np.ndarray
    normal: np.ndarray
    anchor: np.ndarray
    periodic: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """Walls and contacts.

    Attributes:
        walls: Edges of cells, m, shape (e, k, 2).
        contacts: Connected stretches of contacts.
        box: Left, right, bottom, top, m.
    """

    walls: np.ndarray
    contacts: tuple[DrawnContact, ...]
    box: Extent

    @classmethod
    def of(
        cls,
        edges: np.ndarray,
        walls: Mapping[str, Mapping[str, np.ndarray]],
        summary: Mapping[str, Any],
    ) -> Outline:
        """Tell walls from contacts.

        Args:
            edges: Boundary edges of the cells, cell on the left, shape (e, k, 2).
            walls: Columns of the edge profiles by wall.
            summary: summary.json.
        """
        flat = edges.reshape(-1, 2)
        low, high = flat.min(axis=0), flat.max(axis=0)
        wall = _on_walls(edges, walls, summary["order"])
        stretches = chains(edges[~wall])
        if summary.get("periodic"):  # boundaries of two pairs meet in the corners of a cell
            stretches = [part for line in stretches for part in _straightened(line)]
        return cls(
            walls=edges[wall],
            contacts=tuple(
                _contact(line, name, summary)
                for line, name in zip(stretches, _names(stretches, summary), strict=True)
            ),
            box=(low[0], high[0], low[1], high[1]),
        )

    def pads(self, values: bool) -> Extent:
        """Room for the names of the contacts, inches.

        Args:
            values: True if potentials and currents stand below the names.
        """
        out = [0.15] * 4
        longest = max([len(t) for c in self.contacts for t in (c.name, *c.values * values)] or [0])
        lines = 3 if values else 1
        for contact in self.contacts:
            x, y = contact.normal
            if not contact.name:
                continue
            for axis, (side, size) in enumerate(
                ((x, 0.2 + 0.085 * longest), (y, 0.15 + 0.17 * lines))
            ):
                if abs(side) > 0.3:
                    index = 2 * axis + (side > 0)
                    out[index] = max(out[index], size)
        return tuple(out)  # type: ignore[return-value]


def chains(edges: np.ndarray) -> list[np.ndarray]:
    """Join edges to lines, shape (k, 2) each; closed ones end where they begin.

    Args:
        edges: Directed edges: two coordinates, perhaps followed by values, shape (e, k, 2 + v).
    """
    if not len(edges):
        return []
    numbers = vertex_numbers(edges[:, [0, -1], :2].reshape(-1, 2)).reshape(-1, 2)
    following = {int(a): i for i, (a, _) in enumerate(numbers)}
    ends = set(numbers[:, 1].tolist())
    heads = [i for i, (a, _) in enumerate(numbers) if int(a) not in ends]
    left = set(range(len(edges)))
    lines = []
    for head in (*heads, *range(len(edges))):
        line, at = [], head
        while at in left:
            left.discard(at)
            line.append(edges[at, :-1])
            last = edges[at, -1:]
            at = following.get(int(numbers[at, 1]), -1)
        if line:
            lines.append(np.concatenate([*line, last]))
    return lines


def _straightened(line: np.ndarray) -> list[np.ndarray]:
    """Parts of a line between its corners."""

    def corners(points: np.ndarray) -> np.ndarray:
        steps = np.diff(points, axis=0)
        turn = np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))
        return np.flatnonzero(np.abs(turn) > np.pi / 6) + 1

    at = corners(line)
    if len(at) and np.hypot(*(line[-1] - line[0])) < 1e-9 * np.ptp(line, axis=0).max():
        line = np.concatenate([line[at[0] : -1], line[: at[0] + 1]])  # begin at a corner
        at = corners(line)
    ends = [0, *at.tolist(), len(line) - 1]
    return [line[first : last + 1] for first, last in zip(ends[:-1], ends[1:], strict=True)]


def _on_walls(
    edges: np.ndarray, walls: Mapping[str, Mapping[str, np.ndarray]], order: int
) -> np.ndarray:
    """Mask of the edges whose two ends follow each other in a wall's profile."""
    pairs = []
    for columns in walls.values():
        points = np.column_stack([columns["x_m"], columns["y_m"]])
        for segment in np.unique(columns["segment"]):
            ends = points[columns["segment"] == segment][:: max(1, order)]
            pairs.append(np.stack([ends[:-1], ends[1:]], axis=1))
    if not pairs:
        return np.zeros(len(edges), dtype=bool)
    known = np.concatenate(pairs)
    both = np.concatenate([known.reshape(-1, 2), edges[:, [0, -1]].reshape(-1, 2)])
    numbers = np.sort(vertex_numbers(both).reshape(-1, 2), axis=1)
    key = numbers[:, 0] * (numbers.max() + 1) + numbers[:, 1]
    return np.isin(key[len(known) :], key[: len(known)])


def _names(stretches: list[np.ndarray], summary: Mapping[str, Any]) -> list[str]:
    """The contact that each stretch belongs to, by the places in the summary."""
    places = [
        (name, segment["center_m"], segment["length_m"])
        for name, contact in summary["contacts"].items()
        for segment in contact.get("segments", ())
    ]
    for name, pair in summary.get("periodic", {}).items():
        for end, key in ((name, "segments"), (pair["to"], "segments_to")):
            places += [(end, segment["center_m"], segment["length_m"]) for segment in pair[key]]
    if not places:
        return [""] * len(stretches)
    out = []
    for line in stretches:
        center, length = _center(line)
        # Rings about one centre differ in length.
        off = [np.hypot(*(center - c)) + abs(length - x) for _, c, x in places]
        out.append(places[int(np.argmin(off))][0])
    return out


def _center(line: np.ndarray) -> tuple[np.ndarray, float]:
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    middle = (line[1:] + line[:-1]) / 2
    return (middle * steps[:, None]).sum(axis=0) / steps.sum(), float(steps.sum())


def _contact(line: np.ndarray, name: str, summary: Mapping[str, Any]) -> DrawnContact:
    center, length = _center(line)
    along = line[-1] - line[0]
    if np.hypot(*along) > 1e-6 * length:
        normal = np.array([along[1], -along[0]]) / np.hypot(*along)
        anchor = line[np.argmin(np.hypot(*(line - center).T))]
        if np.hypot(*(anchor - center)) < 0.3 * length:
            anchor = center if np.hypot(*along) > 0.999 * length else anchor
    else:
        x, y = line.T
        outer = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
        normal = np.array([0.0, 1.0 if outer else 0.0])
        anchor = line[np.argmax(y)] if outer else center
    periodic = summary.get("periodic", {})
    ends = {*periodic, *(pair["to"] for pair in periodic.values())}
    return DrawnContact(
        name=name,
        values=_values(name, summary),
        line=line,
        normal=normal,
        anchor=anchor,
        periodic=name in ends,
    )


def _values(name: str, summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Potential and current of a contact, voltage and current at the first of a periodic pair."""
    groups = ((summary["contacts"], "potential_V"), (summary.get("periodic", {}), "voltage_V"))
    for group, volt in groups:
        if name in group:
            key = next(k for k in group[name] if k.startswith("current_A"))
            largest = [max(abs(entry[k]) for entry in group.values()) for k in (volt, key)]
            return (
                written(group[name][volt], "V", 1e-6 * largest[0]),
                written(group[name][key], key.removeprefix("current_"), 1e-6 * largest[1]),
            )
    return ()
