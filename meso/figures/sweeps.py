"""The picture of a sweep: its most telling numbers against the swept key."""

from __future__ import annotations

import json
from itertools import product
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meso.figures.style import (
    LINES,
    Scale,
    length_scale,
    line_figure,
    log_ticks,
    look,
    plain,
    scale,
    store,
    zero_line,
)
from meso.files.headline import headline_of
from meso.files.readable import short, suffix, words
from meso.units import is_number

if TYPE_CHECKING:
    from meso.case import Figures

_UNITS = ("ohm", "ohm_m", "S", "S_per_m", "A", "A_per_m", "hbar", "hbar_per_m", "hbar_per_m2")
_STYLES = ("-", "--", ":", "-.")
_ROW = 0.065  # of a legend, over the height of the axes
_MANY = 20.0  # largest over smallest value of a logarithmic axis


def draw_sweep(directory: Path, figures: Figures | None = None) -> Path | None:
    """Draw the table of a sweep, ``sweep.json``, to ``sweep.png``, if there is anything to draw."""
    table = json.loads((directory / "sweep.json").read_text())
    rows = [row for row in table["points"] if row["status"] == "done"]
    shown = headline_of([row["results"] for row in rows])
    across = next(
        (a for a in table["over"] if sum(is_number(v) for v in a["values"]) > 1), table["over"][0]
    )
    rows = [row for row in rows if is_number(row["swept"][across["column"]])] or rows
    if not rows or not shown:
        return None
    with look(figures):
        figure, (axes,) = line_figure(1, f"{table['title']}: sweep", 3.3)
        families = [a for a in table["over"] if a is not across]
        _draw(axes, rows, shown, across, families)
        axes.set_xlabel(_axis(across, rows, table.get("drawing_unit", "")))
        return store(figure, directory / "sweep.png")


def _draw(
    axes: Any,
    rows: list[dict[str, Any]],
    shown: list[str],
    across: dict[str, Any],
    families: list[dict[str, Any]],
) -> None:
    """Draw a line for each number and each combination of values of the other keys."""
    column = across["column"]
    levels = [list(dict.fromkeys(r["swept"][a["column"]] for r in rows)) for a in families]
    values = [row["results"][key] for row in rows for key in shown if key in row["results"]]
    numeric = all(is_number(row["swept"][column]) for row in rows)
    log = across["scale"] == "log" and numeric
    high = log and min(values) > 0 and max(values) > _MANY * min(values)
    # The unit suits the largest number, or the middle of a logarithmic axis.
    typical = sqrt(min(values) * max(values)) if high else max(map(abs, values))
    y_unit = scale(typical, next((u for u in _UNITS if shown[0].endswith(f"_{u}")), ""))
    x_unit = _unit([row["swept"][column] for row in rows], across["unit"])
    for i, family in enumerate(product(*levels)):
        others = list(zip(families, family, strict=True))
        here = [r for r in rows if all(r["swept"][a["column"]] == v for a, v in others)]
        for j, key in enumerate(shown):
            pairs = [(r["swept"][column], r["results"][key]) for r in here if key in r["results"]]
            if not pairs:
                continue
            color, dashes = (j, i) if len(shown) > 1 else (i, 0)
            line = _STYLES[dashes % len(_STYLES)] if numeric else ""
            axes.plot(
                [x / x_unit.factor if is_number(x) else x for x, _ in pairs],
                [y / y_unit.factor for _, y in pairs],
                marker="o",
                markersize=4,
                color=LINES[color % len(LINES)],
                linestyle=line,
                label=_label(key if len(shown) > 1 else "", others),
            )
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log" if high else "linear")
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                log_ticks(axis)
    if not numeric:
        axes.margins(x=0.2)  # for long words
    zero_line(axes)
    axes.set_ylabel(f"{_what(shown)} ({y_unit.name})")
    if (count := len(axes.get_legend_handles_labels()[1])) > 1:
        # Above the lines: where they fan out there is no room between them.
        columns = 1 + count // 4
        part = 0.04 + _ROW * ceil(count / columns)
        to = axes.yaxis.get_transform()
        low, high = to.transform(axes.get_ylim())
        axes.set_ylim(top=to.inverted().transform(high + (high - low) * part / (1 - part)))
        axes.legend(loc="best", ncols=columns)


def _what(shown: list[str]) -> str:
    """What the lines are; the name of a single one."""
    kinds = ("resistance", "conductance", "current", "moment")
    what = next((kind for kind in kinds if kind in shown[0]), "")
    if len(shown) == 1 and what != "conductance":
        what += f" “{plain(_name(shown[0]))}”"
    return what


def _axis(across: dict[str, Any], rows: list[dict[str, Any]], drawing: str) -> str:
    """What is swept, with its unit: that of the drawing for a variable of it."""
    start = "geometry.parameters."
    unit = _unit([row["swept"][across["column"]] for row in rows], across["unit"]).name
    if across["key"].startswith(start) and drawing:
        unit = f"unit of the drawing: {drawing}"
    return plain(short(across["key"])) + (f" ({unit})" if unit else "")


def _label(key: str, others: list[tuple[dict[str, Any], Any]]) -> str:
    """What tells one line from the others."""
    parts = [_name(key)] if key else []
    for axis, value in others:
        text = str(value)
        if is_number(value):
            unit = _unit([value], axis["unit"])
            text = f"{value / unit.factor:.4g} {unit.name}".strip()
        parts.append(f"{words(axis['key'].split('.')[-1])} = {text.replace('inf', '∞')}")
    return plain(", ".join(parts))


def _name(column: str) -> str:
    """A column without its unit, "resistance.hall_ohm" as "hall"."""
    for ending in (*(f"_{unit}" for unit in _UNITS), ".current", "_moment"):
        column = column.removesuffix(ending)
    return words(column.removeprefix("resistance."))


def _unit(values: list[Any], unit: str) -> Scale:
    """A handy unit for those of the values that are numbers."""
    numbers = [abs(v) for v in values if is_number(v)]
    if unit == "m" and numbers:
        return length_scale(max(numbers))
    return scale(max(numbers, default=0.0), suffix(unit))
