"""Reports of sweeps, comparisons, fits, designs and sensitivities, from what they leave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meso.constants import HBAR
from meso.files.headline import headline_of
from meso.files.readable import (
    Scale,
    length_scale,
    scale,
    short,
    split_unit,
    suffix,
    unit_name,
    words,
)
from meso.reports.markup import (
    Node,
    bullets,
    code,
    facts,
    folded,
    grid,
    headed,
    number,
    page,
    quantities,
    record,
    shown,
    tag,
    value_of,
    warnings,
    with_unit,
)
from meso.reports.papers import method, method_of_wire
from meso.reports.parts import (
    citations,
    figures,
    materials,
    pictures,
    read_case,
    the_case,
    versions,
)

#: Part of the largest influence below which another one counts as none.
NOTHING = 1e-6
#: Files of the input, by name.
Files = Mapping[str, str]
Parts = list[tuple[str, list[Node]]]


def _read(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def _page(
    title: str,
    kind: str,
    parts: Parts,
    case: Files,
    whole: Mapping[str, Any],
    name: str,
    models: Sequence[str] = (),
    words: Sequence[str] = (),
) -> str:
    """The parts of one kind, then those that all have."""
    tables = [read_case(text) for key, text in case.items() if text and key.endswith(".toml)")]
    words = list(words)
    for table in () if words else tables:
        written = {"extrema": table.get("output", {}).get("fields", [])}
        channels = {"spin", "orbital"} & table.get("angular_momentum", {}).keys()
        written |= {"angular_momentum": True} if channels else {}
        for model in models or [table["flow"]["model"]]:
            words += [x for x in method({"model": model} | written, table) if x not in words]
    parts = [
        *parts,
        ("Materials", [node for table in tables[:1] for node in materials(table)]),
        ("How it was computed", [tag("p", text) for text in words]),
        ("What to cite", citations(words)),
        ("Versions", [facts(versions())]),
        (
            "The case and all numbers",
            [
                *the_case(case),
                folded(f"All numbers in SI units ({name})", code(json.dumps(whole, indent=1))),
            ],
        ),
    ]
    return page(title, f"meso: {kind}", parts, f"Written by meso {versions()['meso']}.")


def _drawn(folder: Path, *names: str) -> list[Node]:
    paths = [path for name in names for path in sorted(folder.glob(f"{name}.png"))]
    return [*pictures(paths)]


# --- sweeps


def sweep(folder: Path, case: Files) -> str:
    """The table of a sweep."""
    found = _read(folder, "sweep.json")
    points = found["points"]
    done = [row for row in points if row["status"] == "done"]
    shown = headline_of([row["results"] for row in done])
    keys = [axis["key"] for axis in found["over"]]
    failed = [f"{_at(row)}: {row['error']}" for row in points if row["status"] != "done"]
    said: dict[str, list[str]] = {}
    for row in points:
        for text in row["warnings"]:
            said.setdefault(text, []).append(_at(row))
    texts = [f"{text} (at {_few(where)})" for text, where in said.items()]

    def table(columns: Iterable[str] | None) -> Node:
        rows = {}
        for i, row in enumerate(points):
            results = row["results"]
            kept = results if columns is None else {k: results[k] for k in columns if k in results}
            rows[str(i + 1)] = {_swept(k): x for k, x in row["swept"].items()} | kept
        return quantities(rows, "point")

    parts: Parts = [
        (
            "",
            [
                tag("p", f"{len(done)} of {len(points)} points solved, over {' and '.join(keys)}."),
                warnings([*(f"failed at {text}" for text in failed), *texts]),
                *_drawn(folder, "sweep"),
            ],
        ),
        ("Results", [table(shown), folded("All columns (sweep.csv)", table(None))]),
    ]
    title = f"{found['title']}: sweep"
    return _page(title, f"sweep of {found['case']}", parts, case, found, "sweep.json")


def _swept(column: str) -> str:
    """The column of a key that is varied, without the tables that it is in."""
    name, unit = split_unit(column)
    return f"{short(name)}_{unit}" if unit else short(name)


def _at(row: Mapping[str, Any]) -> str:
    """The swept values of a point as text."""
    out = []
    for column, value in row["swept"].items():
        name, unit = split_unit(column)
        number = isinstance(value, int | float)
        chosen = None
        if number and unit:
            chosen = length_scale(abs(value)) if unit == "m" else scale(abs(value), unit)
        text = f"{value / chosen.factor:.4g} {chosen.name}" if chosen else str(value)
        out.append(f"{name.rpartition('.')[2]} = {text}")
    return ", ".join(out)


def _few(items: list[str]) -> str:
    more = f", and {len(items) - 2} more points" if len(items) > 2 else ""
    return "; ".join(items[:2]) + more


# --- comparisons


def compare(folder: Path, case: Files) -> str:
    """The three models on one device."""
    found = _read(folder, "compare.json")
    rows = found["quantities"]
    others = ("quantity", "unit", "kinetic", "kinetic_error")
    models = [key for key in rows[0] if key not in others] if rows else []
    table = [_compared(row, models) for row in rows]
    (text, *_) = case.values()
    title = read_case(text).get("title") or "Comparison"
    error = found["convergence"]
    kinds = ("harmonics", "extrapolated", "mesh")
    errors = [
        [name.replace("_", " "), *(error[f"estimated_error_{kind}"][name] for kind in kinds)]
        for name in ("currents", "edge_moments")
    ]
    note = f"Estimated relative errors of the kinetic model with {error['harmonics'][-1]} harmonics"
    parts: Parts = [
        ("", _drawn(folder, "compare")),
        (
            "What each model gives",
            [
                grid(["", *models, "kinetic"], table),
                tag("p", "Per cent: against the kinetic model, extrapolated in its harmonics."),
                grid(["", *kinds], errors, note),
            ],
        ),
    ]
    three = ("ohmic", "hydrodynamic", "kinetic")
    title = f"{title}: comparison"
    return _page(title, "three models", parts, case, found, "compare.json", three)


def _compared(row: Mapping[str, Any], models: Iterable[str]) -> list[Node | list[Node]]:
    """A number by all models in one unit, moments in ħ, with what they deviate by."""
    reference, error = row["kinetic"], row["kinetic_error"]
    moment = row["unit"] == "J s"
    one, unit = (HBAR, "hbar") if moment else (1.0, suffix(row["unit"]))
    handy = scale(abs(reference) / one, unit)
    handy = Scale(handy.factor * one, handy.name)
    kind = {"A": "current", "V": "potential", "J s": "moment"}.get(row["unit"], "")
    cells: list[Node | list[Node]] = [headed(f"{kind} {words(row['quantity'])}", handy.name)]
    for model in models:
        off = f"{row[model] / reference - 1:+.1%}" if reference else ""
        off = off.replace("-", "−").replace("%", " %")
        cells.append([*number(row[model], handy, digits=4), " ", tag("span", off, class_="error")])
    doubt = {} if error is None else {"estimated": error}
    return [*cells, number(reference, handy, doubt, 4)]


# --- fits


def fit(folder: Path, case: Files) -> str:
    """Best values, how sure they are, and the data."""
    found = _read(folder, "fit.json")
    rows = []
    for name, one in found["parameters"].items():
        unit = suffix(one["unit"])
        error = one["standard_error"]
        errors = {"standard error": error} if isinstance(error, float) else {}
        note = "at its bound" if one["at_bound"] else "" if errors else "the data do not tell"
        keys = [key for own in (one["keys"] or one["scale_of"]).values() for key in own]
        rows.append(
            [
                name,
                [*with_unit(one["value"], unit, errors), f" {note}"],
                ("" if one["keys"] else "scale of ") + ", ".join(dict.fromkeys(keys)),
            ]
        )
    chi = f"χ² = {found['chi2']:.4g} for {len(found['data'])} data and"
    count = found["degrees_of_freedom"]
    chi += f" {count} degree{'s' * (count != 1)} of freedom"
    if found["degrees_of_freedom"] and isinstance(found["probability"], float):
        chi += f"; chance makes it larger with a probability of {shown(found['probability'], 2)}"
    names = list(found["parameters"])
    matrix = [[n, *row] for n, row in zip(names, found["correlation"], strict=True)]
    said = found["identified"]["statements"]
    data = {str(i + 1): row for i, row in enumerate(found["data"])}
    header = list(dict.fromkeys(key for row in data.values() for key in row))
    lines = [[n, *(value_of(row.get(key)) for key in header)] for n, row in data.items()]
    parts: Parts = [
        ("", [warnings(found["warnings"]), *_drawn(folder, "fit")]),
        (
            "Best values",
            [
                grid(["parameter", "value", "key of the case, or column"], rows),
                tag("p", f"{chi}."),
                grid(["", *names], matrix, "Correlation") if len(names) > 1 else None,
            ],
        ),
        ("What the data tell apart", [bullets(said)]),
        ("Profile likelihoods", _drawn(folder, "profiles")),
        ("Data", [folded("Data, fit and residuals", grid(["", *header], lines))]),
    ]
    return _page(found["title"], "fit", parts, case, found, "fit.json")


# --- designs


def design(folder: Path, case: Files) -> str:
    """The shape before and after."""
    found = _read(folder, "design.json")
    first, last, final = found["iterates"][0], found["iterates"][-1], found["verified"] or {}
    rows = {"target": {"start": first["target"], "end": last["target"]}}
    rows["target"] |= {"finer mesh": final["target"]} if final else {}
    lines: list[list[Any]] = [[found["formula"], *rows["target"].values()]]
    for column, value in last["outputs"].items():
        unit = split_unit(column)[1]
        values = [first["outputs"][column], value]
        values += [final["outputs"][column]] if final else []
        lines.append([split_unit(column)[0], *(with_unit(x, unit) for x in values)])
    more = [""] if final else []
    for key, value in last["parameters"].items():
        lines.append([key, first["parameters"][key], value, *more])
    areas = [with_unit(row["area_m2"], "m2") for row in (first, last)]
    lines.append(["area", *areas, *more])
    steps = sum(row["kind"] == "step" for row in found["iterates"])
    text = f"To {found['sense']} {found['formula']}: {found['status']} after {steps} steps."
    unfinished = [] if found["status"] == "converged" else [f"The design is {found['status']}."]
    after = folder / "after"
    own = _read(after, "summary.json")["warnings"] if (after / "summary.json").is_file() else []
    history = {
        str(row["index"]): {k: v for k, v in row.items() if not isinstance(v, dict | str)}
        for row in found["iterates"]
    }
    parts: Parts = [
        ("", [tag("p", text), warnings([*unfinished, *own]), *_drawn(folder, "design")]),
        ("What was found", [grid(["", *rows["target"]], lines)]),
        ("Pictures of the final shape", list(pictures(figures(after), of="Final shape. "))),
        ("Steps", [folded("All steps (design.csv)", quantities(history, "step"))]),
    ]
    return _page(found["title"], f"design {found['design']}", parts, case, found, "design.json")


# --- sensitivities


def sensitivity(folder: Path, case: Files) -> str:
    """Which inputs decide."""
    found = _read(folder, "sensitivity.json")
    outputs: dict[str, list[dict[str, Any]]] = {}
    for row in found["derivatives"]:
        outputs.setdefault(row["output"], []).append(row)
    tables: list[Node] = []
    for name, rows in outputs.items():
        rows = sorted(rows, key=lambda row: -abs(row["per_cent_for_one"]))
        one, least = rows[0], NOTHING * abs(rows[0]["per_cent_for_one"])
        value = with_unit(one["output_value"], suffix(one["output_unit"]))
        tables.append(tag("h3", words(name), " = ", value))
        without = [row["input"] for row in rows if abs(row["per_cent_for_one"]) <= least]
        rows = [row for row in rows if row["input"] not in without]
        spread = any(row["input_uncertainty"] for row in rows)
        header = ["input", "value", "derivative", "% for 1 %", "method"]
        header += ["input uncertainty"] if spread else []
        lines = []
        for row in rows:
            value = [*value_of(row["input_value"]), f" {unit_name(row['input_unit'])}"]
            if row["input_unit"] in ("m", "V", "A", "S", "S/m"):
                value = with_unit(row["input_value"], suffix(row["input_unit"]))
            part = number(row["per_cent_for_one"], Scale(1.0, ""), digits=3)
            line = [row["input"], value, row["derivative"], part, row["method"]]
            lines.append([*line, row["input_uncertainty"]] if spread else line)
        tables.append(grid(header, lines) if lines else None)
        if without:
            tables.append(tag("p", f"No influence: {', '.join(without)}."))
    text = "Derivatives are in the unit of the number over that of the input (SI; variables of a"
    text += " drawing in its unit). Per cent: of the number for one per cent of the input; where"
    text += " the input is zero, for a hundredth of a large change of it."
    parts: Parts = [
        ("", _drawn(folder, "sensitivity")),
        ("Derivatives", [tag("p", text), *tables]),
        ("Walls that move", [_moved(found, outputs), *_drawn(folder, "walls_*")]),
    ]
    title = f"{found['title']}: what decides"
    return _page(title, "sensitivity", parts, case, found, "sensitivity.json")


def _moved(found: Mapping[str, Any], outputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Node:
    """What a whole contact or wall does that moves outwards by a nanometre, per cent."""
    lines, header = [], dict[str, None]()
    for column, moved in found["walls_outwards_per_m"].items():
        name = split_unit(column)[0]
        size = abs(outputs[name][0]["output_value"]) if name in outputs else 0.0
        if size:
            header |= dict.fromkeys(moved)
            lines.append((words(name), {k: 1e-7 * x / size for k, x in moved.items()}))
    if not lines:
        return None
    least = {name: NOTHING * max(map(abs, row.values())) for name, row in lines}
    rows = [
        [
            name,
            *(
                number(x if abs(x) > least[name] else 0.0, Scale(1.0, ""), digits=3)
                for x in (row.get(key, 0.0) for key in header)
            ),
        ]
        for name, row in lines
    ]
    return grid(["", *header], rows, "Per cent of each number for 1 nm outwards")


# --- wires


def wire(folder: Path, case: Files) -> str:
    """The current along a wire, and the moments of its walls."""
    found = _read(folder, "wire.json")
    toml = (folder / "case.toml").read_text(encoding="utf-8")
    case = case or {"The case, with all defaults (case.toml)": toml}
    rows = [
        ["current", with_unit(found["current_A"], "A"), with_unit(found["current_error_A"], "A")],
        ["field", with_unit(found["field_V_per_m"], "V_per_m"), ""],
        ["conductivity over bulk", found["conductivity_over_bulk"]]
        + [found["conductivity_over_bulk_error"]],
        ["resistance per metre", with_unit(found["resistance_per_length_ohm_per_m"], "ohm"), ""],
    ]
    bounds = {key: with_unit(value, "S_m") for key, value in found.get("bounds", {}).items()}
    moments = {
        f"{m['wall']} {i + 1}": {
            "length_m": m["length_m"],
            "orbital_moment_hbar_per_m": m["orbital_moment_hbar_per_m"],
            "orbital_moment_error_hbar_per_m": m["orbital_moment_error_J_s_per_m"] / HBAR,
        }
        for i, m in enumerate(found["edge_moments"])
    }
    drawn = sorted((folder / "figures").glob("*.png"))
    parts: Parts = [
        ("", [grid(["", "value", "error"], rows), warnings(found["warnings"])]),
        ("Figures", list(pictures(drawn))),
        ("Bounds of current over field", [facts(bounds)] if bounds else []),
        ("Moments of the walls", [quantities(moments, "wall")] if moments else []),
        ("Solution", record({"mesh": found["mesh"], "solver": found["solver"]})),
    ]
    title = str(found["title"] or Path(found["mesh"]["file"]).stem)
    words = method_of_wire(found)
    return _page(title, "wire along z", parts, case, found, "wire.json", words=words)


#: By the record that tells the kind of a directory.
KINDS = {
    "sweep.json": sweep,
    "compare.json": compare,
    "fit.json": fit,
    "design.json": design,
    "sensitivity.json": sensitivity,
    "wire.json": wire,
}
