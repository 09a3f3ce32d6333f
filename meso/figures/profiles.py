"""Profiles: along the walls, along the probes, over directions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from meso.constants import HBAR
from meso.equations.derived import component
from meso.figures.cells import Plane, chains, cut, straight
from meso.figures.data import Columns, Drawn
from meso.figures.sheets import AXES
from meso.figures.style import (
    LINES,
    Scale,
    canvas,
    ink,
    length_scale,
    line_figure,
    plain,
    scale,
    zero_line,
)
from meso.files.vtu import degree_of

_EXACT: dict[str, Any] = {"linewidth": 1.0, "linestyle": (0, (5, 4)), "zorder": 5}
_ON_LINE: dict[str, Any] = {
    "ha": "center",
    "va": "center",
    "size": 9,
    "zorder": 6,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
}
# What probes show, by symbol.
_SHOWN = {
    "J": "current_density",
    "L": "orbital_density",
    "S": "spin_density",
    "Ω": "vorticity",
    "φ": "potential",
}
_SOURCE = {
    "current_density": "Valet et al. 2025, eq. 9",
    "vorticity": "curl of eq. 9",
    "orbital_density": "eq. 10",
}
_DIFFUSIVE = re.compile(r"(seen_)?(spin|orbital_diffusive)_density_([xyz])_(hbar_per_m[23])")
# Lines below this part of the largest have a panel of their own.
_SMALL = 0.1
# Labels from which on the legend lies above the lines, and letters that a row of it has.
_BESIDE, _LETTERS = 4, 76
# Part of a wall at each end that counts as its corner; what goes beyond the rest by this many times
# what the rest varies is not shown.
_CORNER, _SPIKE = 0.005, 1.0
# How many lines along walls of 3D devices are shown, and how long they are over its size.
_LINES, _SHORTEST = 8, 0.1


@dataclass(frozen=True, kw_only=True)
class Row:
    """One panel: label, unit, note, lines (position in m, values, style) and texts on them."""

    label: str
    unit: str
    note: str = ""
    lines: list[tuple[np.ndarray, np.ndarray, dict[str, Any]]] = field(default_factory=list)
    texts: list[tuple[float, float, str]] = field(default_factory=list)


def _figure(
    title: str, along: str, rows: list[Row], length: Scale, *, legends: bool = True
) -> Figure:
    """Panels with a common axis, with a legend in each that has labels, or in the first only."""
    figure, panels = line_figure(len(rows), title)
    for panel, row in zip(panels, rows, strict=True):
        limits = _shown(row) if row.texts or not legends else None
        found = [limits] if limits else [values for _, values, _ in row.lines]
        largest = max(float(np.nanmax(np.abs(values), initial=0.0)) for values in found)
        unit = scale(largest, row.unit)
        for x, values, how in row.lines:
            label = plain(how.get("label", "_"))
            panel.plot(x / length.factor, values / unit.factor, **{**how, "label": label})
        for x_, value, text in row.texts:
            panel.text(x_ / length.factor, value / unit.factor, text, **_ON_LINE)
        panel.set_ylabel(f"{plain(row.label)} ({unit.name})")
        zero_line(panel)
        panel.margins(x=0, y=0.05 if legends else 0.12)
        if limits:
            panel.set_ylim(*(limit / unit.factor for limit in limits))
        labels = panel.get_legend_handles_labels()[1]
        if labels and (legends or panel is panels[0]):
            place: dict[str, Any] = {"loc": "best"}
            if len(labels) > _BESIDE or row.texts:
                columns = min(max(_LETTERS // (8 + max(map(len, labels))), 1), 4)
                _make_room(panel, -(-len(labels) // columns))
                place = {"loc": "upper left", "ncols": columns}
            panel.legend(**place, title=row.note or None)
    panels[-1].set_xlabel(f"{along} ({length.name})")
    return figure


def _shown(row: Row) -> tuple[float, float] | None:
    """What to show where lines along walls grow without limit at their ends, at sharp corners."""
    ends, usual = [], []
    for s, values, _ in row.lines:
        inside = np.abs(s - (s[0] + s[-1]) / 2) <= (0.5 - _CORNER) * abs(s[-1] - s[0])
        if (inside & np.isfinite(values)).any():
            ends += [np.nanmin(values), np.nanmax(values)]
            usual += [np.nanmin(values[inside]), np.nanmax(values[inside])]
    low, high = min(usual, default=0.0), max(usual, default=0.0)
    room = _SPIKE * (high - low)
    if room <= 0 or max(low - min(ends), max(ends) - high) <= room:
        return None
    return max(min(ends), low - room / 4), min(max(ends), high + room / 4)


def _make_room(panel: Any, rows: int) -> None:
    """Room for a legend above the lines of a panel rather than on them."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, low + (high - low) / max(1 - 0.125 * rows, 0.3))


def _line(number: int, label: str) -> dict[str, Any]:
    """How the line of a number looks."""
    dashes = ("-", "--", ":")[number // len(LINES) % 3]
    return {"color": LINES[number % len(LINES)], "linestyle": dashes, "label": label}


def _column(columns: Columns, start: str) -> tuple[np.ndarray, str] | None:
    """A column and its unit; densities in multiples of the reduced Planck constant."""
    # Not a component, of which a field of another name may have columns.
    names = [name for name in columns if re.match(rf"{start}_(?![xyz]_|local_)", name)]
    names.sort(key=lambda name: "hbar" not in name)
    return (columns[names[0]], names[0].removeprefix(f"{start}_")) if names else None


def edges(result: Drawn) -> Figure | None:
    """What is along the walls; None if nothing is."""
    return _wall_tables(result) if result.dimension == 2 else _wall_sections(result)


def _wall_tables(result: Drawn) -> Figure | None:
    """Orbital density or vorticity, and tangential current, along each wall."""
    if not result.edges:
        return None
    walls = result.wall_pieces
    everything = {k: np.concatenate([wall[k] for _, wall in walls]) for k in walls[0][1]}
    kinds = ("L", "S") if _components(everything, "orbital_density", "L") else ("S", "Ω")
    found = [part for symbol in kinds for part in _components(everything, _SHOWN[symbol], symbol)]
    shown = [(key, label) for label, _, _, key in found]
    rows = []
    for key, label in (*shown, ("current_density_t", "$J_t$")):
        lines = [(i, *wall, _column(wall[1], key)) for i, wall in enumerate(walls)]
        row = Row(label=label, unit=next(c[1] for *_, c in lines if c))
        for i, name, columns, column in lines:
            if column is None:
                continue
            row.lines.append((columns["s_m"], column[0], _line(i, name)))
            exact = result.closed_form(np.column_stack([columns["x_m"], columns["y_m"]]))
            if exact and key in exact:
                text = "closed form" if i == len(walls) - 1 else "_"
                row.lines.append(
                    (columns["s_m"], exact[key], {**_EXACT, "color": ink(), "label": text})
                )
        rows.append(row)
    length = length_scale(max(float(columns["s_m"].max()) for _, columns in walls))
    title, along = f"{result.title}: along the walls", "arc length, conductor on the left"
    return _figure(title, along, rows, length, legends=False)


def _wall_sections(result: Drawn) -> Figure | None:
    """What is along the lines in which the two long sections of a 3D device cut its walls."""
    columns = result.wall_columns
    name = next((n for n in ("orbital_density", "vorticity") if n in columns), None)
    _, middle, least = result.order
    length = length_scale(result.size)
    factor, unit = result.readable(name) if name else (1.0, "")
    symbol = "L" if factor == HBAR else "Ω"
    first = Row(label=f"${symbol}$ across", unit=unit)
    second = Row(label="$J_t$", unit=result.readable("current_density")[1])
    found = [
        (plane, wall, line)
        for plane in (result.plane(axis) for axis in (least, middle) if len(result.walls))
        for wall in dict.fromkeys(result.wall_of)
        for line in _wall_lines(result, wall, plane)
    ]
    longest = np.argsort([-line[-1, -1] for *_, line in found])[:_LINES]
    chosen = [found[i] for i in sorted(longest)]
    names = result.piece_names
    texts = [f"{names[wall]}, {_place(line, plane, length)}" for plane, wall, line in chosen]
    for (plane, _, line), text in zip(chosen, texts, strict=True):
        if texts.count(text) > 1:
            start = ", ".join(f"{round(x / length.factor, 1) + 0.0:g}" for x in line[0, :2])
            text += f" from ({start})"
        how = _line(len(second.lines), text.replace("-", "−"))
        second.lines.append((line[:, -1], line[:, -2], how))
        if name:
            how = {**how, "label": f"{how['label']}: ${symbol}_{AXES[plane.across]}$"}
            values = line[:, 2 + columns[name].start + plane.across] / factor
            first.lines.append((line[:, -1], values, how))
    if not second.lines:
        return None
    rows = [first, second] if name else [second]
    figure = _figure(f"{result.title}: along the walls", "arc length", rows, length, legends=False)
    for panel in figure.axes:
        low, high = panel.get_ylim()
        if low * high > 0 and abs(high - low) < 0.1 * max(abs(low), abs(high)):
            # What hardly varies shall look so.
            panel.set_ylim(min(0.0, 1.2 * low), max(0.0, 1.2 * high))
    return figure


def _wall_lines(result: Drawn, wall: tuple[str, int], plane: Plane) -> list[np.ndarray]:
    """Where a plane cuts a piece of a wall: lines along the current (k, 2 + v + 2).

    Behind place and fields are the current along the line and the arc length, m.
    """
    own = result.walls[[of == wall for of in result.wall_of]]
    at = 2 + result.wall_columns["current_density"].start
    lines = []
    for line in chains(cut(straight(own, 2, degree_of(own.shape[1])), plane)[0]):
        steps = np.diff(line[:, :2], axis=0)
        sizes = np.hypot(*steps.T)
        if sizes.sum() < _SHORTEST * result.size:
            continue
        tangent = steps / np.maximum(sizes, 1e-300)[:, None]
        tangent = np.concatenate([tangent[:1], (tangent[1:] + tangent[:-1]) / 2, tangent[-1:]])
        along = (line[:, at : at + 3][:, plane.axes] * tangent).sum(axis=1)
        arc = np.concatenate([[0.0], np.cumsum(sizes)])
        if along.sum() < 0:
            line, along, arc = line[::-1], -along[::-1], arc[-1] - arc[::-1]
        lines.append(np.column_stack([line, along, arc]))
    return lines


def _place(line: np.ndarray, plane: Plane, length: Scale) -> str:
    """Where a line (k, 2 + …) is in a plane: its coordinate that varies less."""
    spans = np.ptp(line[:, :2], axis=0)
    axis = int(np.argmin(spans))
    at = round(line[:, axis].mean() / length.factor, 2) + 0.0
    sign = "=" if spans[axis] < 1e-3 * spans.max() else "≈"
    return f"{AXES[plane.axes[axis]]} {sign} {at:.4g} {length.name}"


def probe(result: Drawn, name: str) -> Figure:
    """Profiles along a probe, with the closed form where there is one."""
    columns = result.probes[name]
    exact = result.closed_form(np.column_stack([columns["x_m"], columns["y_m"]])) or {}
    s, axis = columns["s_m"], "distance along the probe"
    if exact and np.ptp(exact["y"]) >= 1e-3 * np.ptp(s):
        s, axis = exact["y"], "distance from the centre line"
    rows: list[Row] = []
    found = {symbol: _components(columns, key, symbol) for symbol, key in _SHOWN.items()}
    if found["L"]:
        found["Ω"] = []
    if exact and found["J"]:
        (_, x, unit, _), (_, y, _, _) = found["J"]
        along = x * exact["along"][0] + y * exact["along"][1]
        found["J"] = [("$J$", along, unit, "current_density")]
    if any(found[symbol] for symbol in "JLSΩ") and found["φ"]:
        # A probe along an equipotential would show nothing but errors of discretisation.
        low, high = result.potentials
        if exact or np.ptp(_finite(found["φ"][0][1])) < 1e-3 * (high - low):
            found["φ"] = []
    for symbol, lines in found.items():
        if not lines:
            continue
        several, source = len(lines) > 1, _SOURCE.get(_SHOWN[symbol])
        row = Row(label=f"${symbol}$" if several else lines[0][0], unit=lines[0][2])
        known = [key for *_, key in lines if key in exact]
        for i, (text, values, _, _) in enumerate(lines):
            label = text if several else "meso" if known else "_"
            row.lines.append((s, values, {"color": LINES[i], "label": label}))
        for i, key in enumerate(known):
            text = "_" if i else f"closed form, {source}"
            row.lines.append((s, exact[key], {**_EXACT, "color": ink(), "label": text}))
        rows.append(row)
    for i, line in enumerate(_components(columns, "seen_orbital_density", "L")):
        text, values, unit, _ = line
        how = {"color": LINES[i], "label": spot(result, name)}
        rows.append(Row(label=f"{text} seen", unit=unit, lines=[(s, values, how)]))
    return _figure(f"{result.title}: probe “{name}”", axis, rows, length_scale(float(np.ptp(s))))


def spot(result: Drawn, name: str) -> str:
    """What a probe is seen with."""
    width = result.summary.get("resolutions_m", {}).get(name)
    if width is None:
        return ""
    unit = length_scale(width)
    return f"seen with {width / unit.factor:.4g} {unit.name} (FWHM)"


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _components(columns: Columns, key: str, symbol: str) -> list[tuple[str, np.ndarray, str, str]]:
    """Label, values, unit, name of a scalar, or of components of a vector, of three if not nothing.

    Names are as in the table, without the unit.
    """
    found = [
        (f"${symbol}_{axis}$", *column, component(key, axis))
        for axis in AXES
        if (column := _column(columns, component(key, axis))) is not None
    ]
    if not found and (scalar := _column(columns, key)) is not None:
        return [(f"${symbol}_z$" if symbol in "LS" else symbol, *scalar, key)]
    sizes = [float(np.nanmax(np.abs(values), initial=0.0)) for _, values, *_ in found]
    large = [size > 1e-3 * max(sizes) or len(found) < 3 for size in sizes]
    return [part for part, kept in zip(found, large, strict=True) if kept] or found[:1]


def has_densities(columns: Columns) -> bool:
    """Whether a table has columns of diffusive densities of angular momentum."""
    return any(_DIFFUSIVE.fullmatch(name) for name in columns)


def densities(columns: Columns, title: str, note: str = "") -> Figure:
    """Angular momentum along a probe or the smooth pieces of a wall, from the columns of its table.

    What diffuses, what gradients of the current make, and their sum; below it what an instrument of
    finite resolution, which the note names, sees of them.
    """
    s = columns["s_m"]
    segments = columns.get("segment", np.zeros(len(s)))
    rows: list[Row] = []
    for name in columns:
        match = _DIFFUSIVE.fullmatch(name)
        if match is None:
            continue
        seen, channel, axis, unit = match.groups(default="")
        lines: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
        lines["diffusive (Hall current)"] = columns[name], {"color": LINES[0]}
        whole = f"{seen}{channel.removesuffix('_diffusive')}_density"
        both = [component(whole, axis), *([whole] if axis == "z" else [])]
        start = next((at for at in both if f"{at}_{unit}" in columns), None)
        if start is not None:
            local = columns[f"{start}_{unit}"]
            dashed = {"color": ink(), "linestyle": (0, (5, 4)), "linewidth": 1.2}
            made = "from vorticity" if start == whole else "from gradients of J"
            lines[made] = local, {"color": LINES[1]}
            lines["sum"] = columns[name] + local, dashed
        sizes = {text: np.nanmax(np.abs(y), initial=0.0) for text, (y, _) in lines.items()}
        small = [text for text, size in sizes.items() if 0 < size < _SMALL * max(sizes.values())]
        for texts in (list(lines), *([text] for text in small)):
            symbol = f"${'S' if channel == 'spin' else 'L'}_{axis}$"
            row = Row(label=f"{symbol} seen" if seen else symbol, unit=unit, note=note * bool(seen))
            pieces = np.unique(segments)
            for count, segment in enumerate(pieces):
                here = segments == segment
                if len(pieces) > 1:
                    values = lines[texts[0]][0][here]
                    at = _beside_others(s[here], values, count, len(pieces))
                    row.texts.append((s[here][at], values[at], f"{count + 1}"))
                for text in texts:
                    values, how = lines[text]
                    label = text if count == 0 else "_"
                    row.lines.append((s[here], values[here], {**how, "label": label}))
            rows.append(row)
    length = length_scale(float(np.ptp(s)))
    wall = "segment" in columns
    along = "arc length, conductor on the left" if wall else "distance along the probe"
    return _figure(title, along, rows, length)


def _beside_others(s: np.ndarray, values: np.ndarray, number: int, count: int) -> int:
    """Where along a line its number is written: where it is large, each at a place of its own."""
    size = np.abs(np.nan_to_num(values)) * (np.abs(s - (s[0] + s[-1]) / 2) < 0.48 * np.ptp(s))
    large = np.flatnonzero(size >= 0.8 * size.max())
    return int(large[int((number + 0.5) / count * len(large))])


def distribution(columns: Columns, title: str) -> Figure:
    """h(theta) - <h> of columns "theta_rad" and "h_V", as a distance from a circle."""
    theta, h = columns["theta_rad"], columns["h_V"]
    mean = h[:-1].mean()
    size = np.abs(h - mean).max() or 1.0
    unit = scale(size, "V")
    figure, add = canvas(5.0, 5.2, title, 0.2)
    axes = add(0.6, 0.416, 3.8, 3.848, projection="polar")
    axes.plot(theta, np.full_like(theta, 2.0), color="#999999", linewidth=0.8, linestyle="--")
    axes.plot(theta, 2.0 + (h - mean) / size, color=LINES[0])
    axes.fill_between(theta, 2.0, 2.0 + (h - mean) / size, color=LINES[0], alpha=0.2)
    axes.set_ylim(0, 3.1)
    low, high = (f"{x * size / unit.factor:+.3g}".replace("-", "−") for x in (-1, 1))
    axes.set_yticks([1.0, 2.0, 3.0], [low, "mean", f"{high} {unit.name}"])
    axes.set_rlabel_position(112.5)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for label in axes.get_yticklabels():
        label.set(size=9, ha="center", bbox=white, zorder=5)
    return figure
