"""Profiles: along the walls, and along the probes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from meso.figures import style
from meso.figures.data import Drawn, Files, closed_form
from meso.figures.style import LINES, line_figure

_EXACT: dict[str, Any] = {"color": "black", "linewidth": 1.0, "linestyle": (0, (5, 4)), "zorder": 5}


def _column(columns: dict[str, np.ndarray], start: str) -> tuple[np.ndarray, str] | None:
    """A column and its unit; densities in multiples of the reduced Planck constant."""
    names = [n for n in columns if n.startswith(f"{start}_")]
    names.sort(key=lambda n: "hbar" not in n)
    return (columns[names[0]], names[0].removeprefix(f"{start}_")) if names else None


def draw_lines(axes: Any, lines: list[tuple[Any, ...]], unit: str, label: str) -> None:
    """Draw lines (x, y, style) with a common unit."""
    chosen = style.scale(max(float(np.nanmax(np.abs(y))) for _, y, _ in lines), unit)
    for x, y, how in lines:
        axes.plot(x, y / chosen.factor, **how)
    axes.set_ylabel(f"{label} ({chosen.name})")
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)


def edges(result: Drawn) -> Figure:
    """Orbital density or vorticity, and tangential current, along each wall."""
    first = next(iter(result.edges.values()))
    kinds = [("orbital_density", "$L_z$"), ("vorticity", "Ω")]
    curl = next(((k, t) for k, t in kinds if _column(first, k)), None)
    rows = [*([curl] if curl else []), ("current_density_t", "$J_t$")]
    longest = max(float(c["s_m"].max()) for c in result.edges.values())
    length = style.length_scale(longest)
    figure, axes = line_figure(len(rows), f"{result.title}: along the walls")
    walls = [
        (name, columns, segment, int(columns["segment"].max()) + 1)
        for name, columns in result.edges.items()
        for segment in np.unique(columns["segment"])
    ]
    for panel, (key, label) in zip(axes, rows, strict=True):
        lines: list[tuple[Any, ...]] = []
        unit = ""
        for i, (name, columns, segment, of) in enumerate(walls):
            here = columns["segment"] == segment
            found = _column(columns, key)
            if found is None:
                continue
            text = name if of == 1 else f"{name} {int(segment) + 1}"
            how = {
                "color": LINES[i % len(LINES)],
                "label": text,
                "linestyle": ("-", "--", ":")[i // len(LINES) % 3],
            }
            unit = found[1]
            x = columns["s_m"][here] / length.factor
            lines.append((x, found[0][here], how))
            points = np.column_stack([columns["x_m"], columns["y_m"]])[here]
            exact = closed_form(result, points)
            if exact and key in exact:
                text = "closed form" if i == len(walls) - 1 else "_"
                lines.append((x, exact[key], {**_EXACT, "label": text}))
        draw_lines(panel, lines, unit, label)
    axes[-1].set_xlabel(f"arc length, conductor on the left ({length.name})")
    axes[-1].set_xlim(0, longest / length.factor)
    for panel in axes:
        panel.margins(y=0.12)
    axes[0].legend(loc="best", ncols=1 + len(walls) // 5)
    return figure


def probe(result: Files, columns: dict[str, np.ndarray], name: str) -> Figure:
    """Profiles along a probe, with the closed form where there is one."""
    points = np.column_stack([columns["x_m"], columns["y_m"]])
    s, axis_label = columns["s_m"], "distance along the probe"
    exact = closed_form(result, points)
    along = None
    if exact and np.ptp(exact["y"]) < 1e-3 * np.ptp(s):
        along = exact["along"]
    elif exact:
        s, along, axis_label = exact["y"], exact["along"], "distance from the centre line"
    rows = _probe_rows(columns, along)
    # A probe along an equipotential would show nothing but errors of discretisation.
    if len(rows) > 1 and rows[-1][0] == "potential":
        potential = rows[-1][2][0][1]
        low, high = result.potentials
        if np.nanmax(potential) - np.nanmin(potential) < 1e-3 * (high - low):
            rows.pop()
    length = style.length_scale(float(np.ptp(s)))
    figure, axes = line_figure(len(rows), f"{result.title}: probe “{name}”")
    for panel, (key, label, lines, unit) in zip(axes, rows, strict=True):
        several = len(lines) > 1
        drawn: list[tuple[Any, ...]] = [
            (s / length.factor, y, {"color": LINES[i], "label": text if several else "meso"})
            for i, (text, y) in enumerate(lines)
        ]
        if exact and key in exact:
            how = {**_EXACT, "label": f"closed form, {exact['source'][key]}"}
            drawn.append((s / length.factor, exact[key], how))
        draw_lines(panel, drawn, unit, label)
        if len(drawn) > 1:
            panel.legend(loc="best")
    axes[-1].set_xlabel(f"{axis_label} ({length.name})")
    axes[-1].margins(x=0)
    return figure


def _probe_rows(
    columns: dict[str, np.ndarray], along: np.ndarray | None
) -> list[tuple[str, str, list[tuple[str, np.ndarray]], str]]:
    """Panels of a probe: key, label, lines (name, values), unit."""
    rows = []
    current = _components(columns, "current_density")
    if current and along is not None:
        value = current[0][0] * along[0] + current[1][0] * along[1]
        rows.append(("current_density", "$J$", [("$J$", value)], current[0][1]))
    elif current:
        lines = _named(current, "J")
        label = "$J$" if len(lines) > 1 else lines[0][0]
        rows.append(("current_density", label, lines, current[0][1]))
    for key, label, symbol in (("orbital_density", "$L_z$", "L"), ("vorticity", "Ω", "Ω")):
        parts = _components(columns, key)
        found = None if parts else _column(columns, key)
        if parts:
            lines = _named(parts, symbol)
            label = f"${symbol}$" if len(lines) > 1 else lines[0][0]
            rows.append((key, label, lines, parts[0][1]))
        elif found:
            rows.append((key, label, [(label, found[0])], found[1]))
        if parts or found:
            break
    potential = _column(columns, "potential")
    if potential and (along is None or not rows):
        rows.append(("potential", "φ", [("φ", potential[0])], "V"))
    return rows


def _components(columns: dict[str, np.ndarray], start: str) -> list[tuple[np.ndarray, str]]:
    """Columns and units of a vector; empty for a scalar."""
    found = (_column(columns, f"{start}_{axis}") for axis in "xyz")
    return [part for part in found if part is not None]


def _named(parts: list[tuple[np.ndarray, str]], symbol: str) -> list[tuple[str, np.ndarray]]:
    """Lines of the components of a vector; in 3D without those that are nothing."""
    lines = [
        (f"${symbol}_{axis}$", values) for axis, (values, _) in zip("xyz", parts, strict=False)
    ]
    if len(lines) < 3:
        return lines
    sizes = [np.nanmax(np.abs(values), initial=0.0) for _, values in lines]
    kept = [line for line, size in zip(lines, sizes, strict=True) if size > 1e-3 * max(sizes)]
    return kept or lines[:1]
