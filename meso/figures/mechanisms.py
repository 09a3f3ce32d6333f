"""Densities of angular momentum: what diffuses, what the vorticity makes, and their sum."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from meso.figures import style
from meso.figures.data import Files
from meso.figures.profiles import draw_lines
from meso.figures.style import LINES, line_figure

# Lines below this part of the largest have a panel of their own.
_SMALL = 0.1
_DIFFUSIVE = re.compile(r"(spin|orbital_diffusive)_density_([xyz])_(hbar_per_m[23])")


def has_densities(columns: dict[str, np.ndarray]) -> bool:
    """Whether a table has columns of diffusive densities."""
    return any(_DIFFUSIVE.fullmatch(name) for name in columns)


def along_probe(result: Files, columns: dict[str, np.ndarray], name: str) -> Figure:
    """Profiles of all densities along a probe."""
    s = columns["s_m"]
    return _figure(
        [(s, _mechanisms(columns))], f"{result.title}: probe “{name}”", "distance along the probe"
    )


def along_wall(result: Files, columns: dict[str, np.ndarray], name: str) -> Figure:
    """The same along a wall, one line for each of its smooth pieces."""
    parts = []
    for segment in np.unique(columns["segment"]):
        here = columns["segment"] == segment
        own = {key: value[here] for key, value in columns.items()}
        parts.append((own["s_m"], _mechanisms(own)))
    return _figure(parts, f"{result.title}: wall “{name}”", "arc length, conductor on the left")


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """One component: its unit, and name, values and colour of each mechanism that it has."""

    unit: str
    lines: list[tuple[str, np.ndarray, str]]


Lines = dict[tuple[str, str], Mechanisms]


def _mechanisms(columns: dict[str, np.ndarray]) -> Lines:
    """Mechanisms by channel and axis."""
    out: Lines = {}
    for name, value in columns.items():
        match = _DIFFUSIVE.fullmatch(name)
        if match is None:
            continue
        channel, axis, unit = match.groups()
        key = ("spin" if channel == "spin" else "orbital", axis)
        lines = [("diffusive (Hall current)", value, LINES[0])]
        if channel != "spin":
            local = columns.get(f"orbital_density_{axis}_{unit}")
            if local is None and axis == "z":
                local = columns.get(f"orbital_density_{unit}")
            if local is not None:
                lines.append(("from vorticity", local, LINES[1]))
                lines.append(("sum", value + local, "black"))
        out[key] = Mechanisms(unit, lines)
    return out


def _figure(parts: list[tuple[np.ndarray, Lines]], title: str, label: str) -> Figure:
    panels: list[tuple[tuple[str, str], tuple[str, ...]]] = []
    for key in parts[0][1]:
        sizes: dict[str, float] = {}
        for _, lines in parts:
            for text, value, _ in lines[key].lines:
                size = float(np.nanmax(np.abs(value), initial=0.0))
                sizes[text] = max(size, sizes.get(text, 0.0))
        panels.append((key, tuple(sizes)))
        top = max(sizes.values())
        panels += [(key, (text,)) for text, size in sizes.items() if 0 < size < _SMALL * top]
    longest = max(float(np.ptp(s)) for s, _ in parts)
    length = style.length_scale(longest)
    figure, axes = line_figure(len(panels), title)
    for panel, (key, texts) in zip(axes, panels, strict=True):
        drawn = []
        for i, (s, lines) in enumerate(parts):
            for text, value, color in lines[key].lines:
                if text not in texts:
                    continue
                dashed = {"linestyle": (0, (5, 4)), "linewidth": 1.2} if text == "sum" else {}
                how = {"color": color, "label": text if i == 0 else "_", **dashed}
                drawn.append((s / length.factor, value, how))
        symbol = f"${'S' if key[0] == 'spin' else 'L'}_{key[1]}$"
        draw_lines(panel, drawn, parts[0][1][key].unit, symbol)
        panel.legend(loc="best")
    axes[-1].set_xlabel(f"{label} ({length.name})")
    axes[-1].margins(x=0)
    return figure
