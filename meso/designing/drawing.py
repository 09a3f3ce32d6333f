"""A shape as a drawing: Gmsh's language, curves through the nodes of a mesh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from meso.designing.outline import Outline, length

#: Points of a curve: where it has turned by so much (radians) since the last one.
_TURN = 0.1
#: A piece is straight if no node is that far from its chord, over its length.
_STRAIGHT = 1e-9
_FEWEST = 6


def written(
    outline: Outline,
    *,
    unit: float,
    region: str,
    free: Sequence[str],
    apart: float,
    periodic: Mapping[str, str] | None = None,
    title: str = "",
) -> str:
    """The text of a drawing with the boundary that an outline is.

    Args:
        outline: Boundary, conductor on the left.
        unit: Metres per unit of the drawing.
        region: Name of the surface.
        free: Boundaries that are curves even where they are straight.
        apart: Distance of the points of a curve, m, at most.
        periodic: Boundaries that continue in others.
        title: For the first line.
    """
    lines = [f"// {title}" if title else "// A shape.", 'SetFactory("OpenCASCADE");', ""]
    number: dict[int, int] = {}

    def point(node: int) -> int:
        if node not in number:
            number[node] = len(number) + 1
            x, y = outline.points[node] / unit
            lines.append(f"Point({number[node]}) = {{{x:.15g}, {y:.15g}, 0}};")
        return number[node]

    loops: list[list[int]] = []
    names: dict[str, list[int]] = {}
    inside: list[int] = []
    count = 0
    for loop in np.unique(outline.loop):
        loops.append([])
        for name, nodes in _pieces(outline, np.flatnonzero(outline.loop == loop)):
            line = name not in free and _is_straight(outline.points[nodes])
            kept = nodes[[0, -1]] if line else _kept(outline.points, nodes, apart)
            tags = [point(int(node)) for node in kept]
            inside += tags[1:-1]
            count += 1
            kind = "Line" if line else "Spline"
            lines.append(f"{kind}({count}) = {{{', '.join(map(str, tags))}}};")
            loops[-1].append(count)
            names.setdefault(name, []).append(count)
    areas = [abs(_area(outline, loop)) for loop in np.unique(outline.loop)]
    order = np.argsort(areas)[::-1]
    for i, loop in enumerate(order, 1):
        lines.append(f"Curve Loop({i}) = {{{', '.join(map(str, loops[loop]))}}};")
    lines.append(f"Plane Surface(1) = {{{', '.join(map(str, range(1, len(order) + 1)))}}};")
    if inside:
        lines.append(f"Recursive Delete {{ Point{{{', '.join(map(str, inside))}}}; }}")
    for name, other in (periodic or {}).items():
        step = (_middle(outline, other) - _middle(outline, name)) / unit
        pair = names[other][0], names[name][0]
        lines.append(
            f"Periodic Curve {{{pair[0]}}} = {{{pair[1]}}}"
            f" Translate {{{step[0]:.15g}, {step[1]:.15g}, 0}};"
        )
    lines += ["", f'Physical Surface("{region}") = {{1}};']
    for name, tags in names.items():
        lines.append(f'Physical Curve("{name}") = {{{", ".join(map(str, tags))}}};')
    return "\n".join(lines) + "\n"


def _pieces(outline: Outline, edges: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Name and nodes of each smooth piece along a loop."""
    piece = outline.piece[edges]
    for part in np.split(edges, np.flatnonzero(np.diff(piece)) + 1):
        along = outline.edges[part]
        nodes = np.append(along[:, :-1].ravel(), along[-1, -1])
        yield outline.names[outline.boundary[part[0]]], nodes


def _is_straight(points: np.ndarray) -> bool:
    chord = points[-1] - points[0]
    size = length(chord)
    if size == 0:
        return False
    away = points - points[0]
    high = np.abs(away[:, 0] * chord[1] - away[:, 1] * chord[0]) / size
    return bool(high.max() < _STRAIGHT * size)


def _kept(points: np.ndarray, nodes: np.ndarray, apart: float) -> np.ndarray:
    """Nodes that a curve is drawn through: close to one another where it bends."""
    steps = np.diff(points[nodes], axis=0)
    size = length(steps)
    angle = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    turn = np.abs(np.diff(angle))
    apart = min(apart, size.sum() / _FEWEST)
    kept, far, turned = [0], 0.0, 0.0
    for i in range(1, len(nodes) - 1):
        far += size[i - 1]
        turned += turn[i - 1]
        if far >= apart or turned >= _TURN:
            kept.append(i)
            far = turned = 0.0
    if len(kept) > 1 and far + size[-1] < apart / 2 and turned < _TURN / 2:
        kept.pop()
    return nodes[[*kept, len(nodes) - 1]]


def _area(outline: Outline, loop: int) -> float:
    """Area inside a loop of straight edges, signed."""
    x, y = outline.points[outline.edges[outline.loop == loop, 0]].T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _middle(outline: Outline, name: str) -> np.ndarray:
    """Mean of the nodes of a boundary."""
    nodes = np.unique(outline.edges[outline.on((name,))])
    middle: np.ndarray = outline.points[nodes].mean(axis=0)
    return middle
