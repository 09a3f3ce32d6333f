"""The picture of a sweep: its most telling numbers against the swept key."""

from __future__ import annotations

import json
from itertools import product
from math import floor, log10, sqrt
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.ticker import FuncFormatter, NullFormatter

from meso.figures import style
from meso.figures.style import LINES, STYLE, Scale, line_figure, store
from meso.files.headline import headline

_PREFIX = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}
_UNITS = {"ohm": "Ω", "ohm_m": "Ω m", "S": "S", "S_per_m": "S/m", "A": "A", "A_per_m": "A/m"}
_STYLES = ("-", "--", ":", "-.")
_MANY = 20.0  # largest over smallest value of a logarithmic axis


def draw_sweep(directory: Path) -> Path | None:
    """Draw the table of a sweep, ``sweep.png``.

    Args:
        directory: Where ``sweep.json`` is.

    Returns:
        The picture, or None if there is nothing to draw.
    """
    table = json.loads((directory / "sweep.json").read_text())
    rows = [row for row in table["points"] if row["status"] == "done"]
    shown = list(dict.fromkeys(key for row in rows for key in headline(row["results"])))
    across = next(
        (a for a in table["over"] if sum(_is_number(v) for v in a["values"]) > 1), table["over"][0]
    )
    rows = [row for row in rows if _is_number(row["swept"][across["column"]])] or rows
    if not rows or not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = line_figure(1, f"{table['title']}: sweep")
        figure.set_size_inches(7.2, 4.4)
        axes.set_position((0.95 / 7.2, 0.65 / 4.4, 6.0 / 7.2, 3.3 / 4.4))
        figure.texts[0].set_y(1 - 0.3 / 4.4)
        _draw(axes, table, rows, shown, across)
        return store(figure, directory / "sweep.png")


def _draw(
    axes: Any, table: dict[str, Any], rows: list[dict[str, Any]], shown: list[str], across: Any
) -> None:
    column = across["column"]
    families = [a for a in table["over"] if a is not across]
    found = [
        dict(zip((a["column"] for a in families), values, strict=True))
        for values in product(*(_levels(rows, a) for a in families))
    ]
    values = [row["results"][key] for row in rows for key in shown if key in row["results"]]
    log = across["scale"] == "log" and all(_is_number(row["swept"][column]) for row in rows)
    high = log and min(values) > 0 and max(values) > _MANY * min(values)
    # The unit suits the largest number, or the middle of a logarithmic axis.
    typical = sqrt(min(values) * max(values)) if high else max(map(abs, values))
    y_scale = _y_scale(typical, shown[0])
    x_scale = _x_scale([row["swept"][column] for row in rows], across["unit"])
    count = 0
    for i, family in enumerate(found):
        here = [r for r in rows if all(r["swept"][c] == v for c, v in family.items())]
        for j, key in enumerate(shown):
            pairs = [(r["swept"][column], r["results"][key]) for r in here if key in r["results"]]
            if not pairs:
                continue
            x = [p[0] / x_scale.factor if _is_number(p[0]) else p[0] for p in pairs]
            color, dashes = (j, i) if len(shown) > 1 else (i, 0)
            axes.plot(
                x,
                [p[1] / y_scale.factor for p in pairs],
                marker="o",
                markersize=4,
                color=LINES[color % len(LINES)],
                linestyle=_STYLES[dashes % len(_STYLES)],
                label=_label(key if len(shown) > 1 else "", family, families),
            )
            count += 1
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log" if high else "linear")
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
    if min(values) < 0 < max(values):
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)
    axes.set_xlabel(across["key"] + (f" ({x_scale.name})" if x_scale.name else ""))
    kinds = ("resistance", "conductance", "current")
    what = next((kind for kind in kinds if kind in shown[0]), "")
    if len(shown) == 1 and what != "conductance":
        what += f" “{_name(shown[0])}”"
    axes.set_ylabel(f"{what} ({y_scale.name})")
    if count > 1:
        axes.legend(loc="best", ncols=1 + count // 7)


def _levels(rows: list[dict[str, Any]], axis: dict[str, Any]) -> list[Any]:
    return list(dict.fromkeys(row["swept"][axis["column"]] for row in rows))


def _label(key: str, family: dict[str, Any], families: list[dict[str, Any]]) -> str:
    """What tells one line from the others."""
    parts = [_name(key)] if key else []
    for axis in families:
        value = family[axis["column"]]
        text = str(value)
        if _is_number(value):
            scale = _x_scale([value], axis["unit"])
            text = f"{value / scale.factor:.4g} {scale.name}".strip()
        parts.append(f"{axis['key'].split('.')[-1]} = {text}")
    return ", ".join(parts)


def _name(column: str) -> str:
    """A column without its unit, "resistance.hall_ohm" as "hall"."""
    for ending in (*(f"_{unit}" for unit in _UNITS), ".current"):
        column = column.removesuffix(ending)
    return column.removeprefix("resistance.")


def _x_scale(values: list[Any], unit: str) -> Scale:
    numbers = [abs(v) for v in values if _is_number(v)]
    if unit == "m" and numbers:
        return style.length_scale(max(numbers))
    return _prefixed(max(numbers, default=0.0), unit) if unit else Scale(1.0, "")


def _y_scale(largest: float, column: str) -> Scale:
    unit = next((u for u in _UNITS if column.endswith(f"_{u}")), "")
    return _prefixed(largest, _UNITS[unit]) if unit else Scale(1.0, "")


def _prefixed(largest: float, unit: str) -> Scale:
    """A unit with the prefix that makes the largest number handy."""
    power = 3 * floor(log10(largest * 1.0001) / 3) if largest > 0 else 0
    if power not in _PREFIX:
        return Scale(1.0, unit)
    return Scale(10.0**power, _PREFIX[power] + unit)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
