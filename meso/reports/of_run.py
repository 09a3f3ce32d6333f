"""The report of a run: what its directory says, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from meso.constants import HBAR
from meso.files.readable import ROUNDING, circulating, split_unit, words
from meso.reports import of_momentum
from meso.reports.markup import (
    Errors,
    Node,
    code,
    facts,
    folded,
    grid,
    page,
    quantities,
    record,
    tag,
    warnings,
    with_unit,
)
from meso.reports.papers import method
from meso.reports.parts import citations, figures, materials, pictures, read_case, the_case

#: What errors are from, as keys of the summary and in words.
_KINDS = {
    "standard_deviation_from_inputs": "inputs",
    "estimated_error_mesh": "mesh",
    "estimated_error_harmonics": "harmonics",
}
_STATISTICS = "statistics"


def report(folder: Path) -> str:
    """The report of a result directory, from its files alone."""
    text = (folder / "summary.json").read_text(encoding="utf-8")
    found = json.loads(text)
    toml = folder / "case.toml"
    toml_text = toml.read_text(encoding="utf-8") if toml.is_file() else ""
    case, errors = read_case(toml_text), _errors(found)
    words, drawn = method(found, case), figures(folder)
    solid = "volume_m3" in found["mesh"]
    title = str(found["title"] or Path(found["mesh"]["file"]).stem)
    hidden = {key: value for key, value in found.items() if key != "files"}
    parts: list[tuple[str, list[Node]]] = [
        ("", [_key(found, errors), warnings(found["warnings"]), *pictures(drawn[:1], solid=solid)]),
        ("Contacts and walls", list(_tables(found, errors))),
        ("How sure the numbers are", list(_certainty(found))),
        ("Figures", [_means(found), *pictures(drawn[1:], solid=solid)]),
        ("Angular momentum", list(of_momentum.tables(found, errors, _nothing(found)))),
        ("Extrema of the fields", list(_extrema(found))),
        ("Materials", list(materials(case))),
        ("How it was computed", [*(tag("p", text) for text in words), *_computed(found)]),
        ("What to cite", citations(words)),
        ("Versions", [facts(found["versions"])]),
        (
            "The case and all numbers",
            [
                *the_case({"The case, with all defaults (case.toml)": toml_text}),
                folded(
                    "All numbers in SI units (summary.json)", code(json.dumps(hidden, indent=1))
                ),
            ],
        ),
    ]
    model = f"meso: {found['model']} flow in {found['mesh']['file']}"
    foot = f"Case {found['case_hash'][:16]}, computed with meso {found['versions']['meso']}."
    return page(title, model, parts, foot)


def _means(found: Mapping[str, Any]) -> Node:
    """What outlined cells are on maps."""
    if found["model"] != "kinetic" or "vorticity" not in found["extrema"]:
        return None
    return tag(
        "p",
        "Cells that are outlined on maps of the vorticity and of the orbital density lie at walls,"
        " where the vorticity of the kinetic model has no bound: they show its mean.",
    )


def _errors(found: Mapping[str, Any]) -> Mapping[str, Errors]:
    """Errors of numbers by their column of a sweep, and by what they are from."""
    out: dict[str, dict[str, float]] = {}
    for column, one in found.get("uncertainties", {}).items():
        # No column where nothing is known: 0 would say that there is none.
        out[column] = {_KINDS[key]: one[key] for key in _KINDS if one[key]}
    for column, value in found["mesh"].get("estimated_errors", {}).items():
        out.setdefault(column, {})["mesh"] = value
        if column.endswith(("_x", "_y", "_z")):  # what a cell with the whole vector shows
            whole = out.setdefault(column[:-2], {})
            whole["mesh"] = max(value, whole.get("mesh", 0.0))
    for name, value in found.get("resistances_standard_error_ohm", {}).items():
        out.setdefault(f"resistance.{name}_ohm", {})[_STATISTICS] = value
    for key in [k for k in found if k.startswith("conductance_matrix_standard_error")]:
        unit = key.removeprefix("conductance_matrix_standard_error_")
        out.setdefault(f"conductance_{unit}", {})[_STATISTICS] = found[key][0][0]
    return out


def _conductance(found: Mapping[str, Any]) -> tuple[str, list[list[float]]] | None:
    """Unit and matrix of the conductances."""
    start = "conductance_matrix_S"
    key = next((k for k in found if k.startswith(start)), None)
    return (key.removeprefix("conductance_matrix_"), found[key]) if key else None


def _resistances(found: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """Unit and values of the resistances that the case names."""
    start = "resistances_ohm"
    key = next((k for k in found if k.startswith(start)), None)
    return (key.removeprefix("resistances_"), found[key]) if key else ("ohm", {})


def _key(found: Mapping[str, Any], errors: Mapping[str, Errors]) -> Node:
    """What the run was about, large: resistances, the conductance, or else the currents."""
    entries: list[tuple[str, Any, str, Errors]] = []
    unit, values = _resistances(found)
    for name, value in values.items():
        column = f"resistance.{name}_{unit}"
        entries.append((f"Resistance {name}", value, unit, errors.get(column, {})))
    conductance = _conductance(found)
    if conductance and len(found["contacts"]) == 2:
        unit, matrix = conductance
        column = f"conductance_{unit}"
        entries.insert(0, ("Conductance", matrix[0][0], unit, errors.get(column, {})))
    if not entries:
        rows = {**found["contacts"], **found.get("periodic", {})}
        most = max((abs(x) for row in rows.values() for x in _currents(row).values()), default=0.0)
        for name, row in rows.items():
            ((key, value),) = _currents(row).items()
            if abs(value) <= 1e-9 * most:
                continue
            own = errors.get(f"{name}.{key}", {})
            entries.append((f"Current {name}", value, key.removeprefix("current_"), own))
    boxes = [
        tag("div", tag("dt", name), tag("dd", with_unit(value, unit, own)))
        for name, value, unit, own in entries[:9]
    ]
    return tag("dl", boxes, class_="key") if boxes else None


def _currents(row: Mapping[str, Any]) -> dict[str, float]:
    """The current of a terminal by its key."""
    return {k: x for k, x in row.items() if k.startswith("current_A")}


def _split(
    rows: Mapping[str, Mapping[str, Any]], errors: Mapping[str, Errors]
) -> tuple[dict[str, dict[str, Any]], dict[str, Errors]]:
    """Rows without what errors say of their numbers, and these."""
    plain: dict[str, dict[str, Any]] = {}
    out = dict(errors)
    for name, row in rows.items():
        plain[name] = {}
        for key, value in row.items():
            if "_standard_error_" in key:
                column = f"{name}.{key.replace('_standard_error', '')}"
                out[column] = {**out.get(column, {}), _STATISTICS: value}
            elif not isinstance(value, list) or not any(isinstance(v, dict) for v in value):
                plain[name][key] = value
    return plain, out


def _tables(found: Mapping[str, Any], errors: Mapping[str, Errors]) -> Iterator[Node]:
    """Contacts, periodic pairs, resistances, conductances, walls."""
    for kind, head in (("contacts", "contact"), ("periodic", "pair")):
        yield quantities(*_part(*_without_rounding(found, kind, errors), head))
    unit, values = _resistances(found)
    rows = {name: {f"resistance_{unit}": value} for name, value in values.items()}
    own = {f"{n}.resistance_{unit}": errors.get(f"resistance.{n}_{unit}", {}) for n in values}
    yield quantities(rows, "resistance", errors=own)
    conductance = _conductance(found)
    if conductance and len(found["contacts"]) > 2:
        unit, matrix = conductance
        names_ = found["conductance_matrix_contacts"]
        table = {
            name: {f"{other}_{unit}": x for other, x in zip(names_, row, strict=True)}
            for name, row in zip(names_, matrix, strict=True)
        }
        doubts = found.get(f"conductance_matrix_standard_error_{unit}", [])
        own = {
            f"{name}.{other}_{unit}": {_STATISTICS: error}
            for name, row in zip(names_, doubts, strict=False)
            for other, error in zip(names_, row, strict=True)
        }
        text = "Conductances: current into a contact per potential at another"
        yield quantities(table, "current into", text, own)
    key = next(k for k in found if k.startswith("dissipated_power_W"))
    power = with_unit(found[key], key.removeprefix("dissipated_power_"), errors.get(key, {}))
    yield tag("p", "Dissipated power ", power)
    yield quantities(*_part(_walls(found), {**errors, **_of_walls(found, errors)}, "wall"))


def _nothing(found: Mapping[str, Any]) -> float:
    """Current of a contact below which there is but rounding."""
    rows = [_currents(row) for row in found["contacts"].values()]
    largest = [max(abs(x), circulating(found, key)) for row in rows for key, x in row.items()]
    return ROUNDING * max(largest, default=0.0)


def _without_rounding(
    found: Mapping[str, Any], kind: str, errors: Mapping[str, Errors]
) -> tuple[dict[str, dict[str, Any]], dict[str, Errors]]:
    """Terminals whose currents are zero where these are but rounding, and errors without that."""
    zero, rows, own = _nothing(found), dict[str, dict[str, Any]](), dict(errors)
    for name, row in found.get(kind, {}).items():
        none = {key: 0.0 for key, x in _currents(row).items() if abs(x) <= zero}
        rows[name] = {**row, **none}
        for key in none:
            column = f"{name}.{key}"
            own[column] = {k: x for k, x in own.get(column, {}).items() if x > zero}
    return rows, own


def _part(
    rows: Mapping[str, Mapping[str, Any]], errors: Mapping[str, Errors], head: str
) -> tuple[Any, str, str, Any]:
    plain, own = _split(rows, errors)
    return plain, head, "", own


def _of_walls(found: Mapping[str, Any], errors: Mapping[str, Errors]) -> dict[str, Errors]:
    """Errors of the numbers of walls by the names that :func:`_walls` gives these."""
    labels = {}
    for name, wall in found["walls"].items():
        pieces = wall.get("segments", [])
        if len(pieces) > 1:
            labels[name] = f"{name}, all"
            labels |= {f"{name}.{i + 1}": f"{name} {i + 1}" for i in range(len(pieces))}
    split = {column: column.rpartition(".") for column in errors}
    return {
        f"{labels[start]}.{key}": errors[column]
        for column, (start, _, key) in split.items()
        if start in labels
    }


def _walls(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Walls and their smooth pieces, numbered as on the map, moments in multiples of ħ."""
    out = {}
    for name, wall in found["walls"].items():
        pieces = wall.get("segments", [])
        parts = (
            {f"{name} {i + 1}": piece for i, piece in enumerate(pieces)} if len(pieces) > 1 else {}
        )
        for label, row in {name: wall, **parts}.items():
            whole = label == name and bool(parts)
            out[f"{label}, all" if whole else label] = {
                key: value
                for key, value in row.items()
                if key not in ("segments", "center_m") and "_J_s" not in key
            }
    return out


def _along(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Errors of the mesh by field, then by probe."""
    out: dict[str, dict[str, float]] = {}
    for column, value in found["mesh"].get("estimated_errors", {}).items():
        start, _, name = column.partition(".")
        if start == "probe":
            probe, _, key = name.rpartition(".")
            out.setdefault(key, {})[probe] = value
    return out


def _without(columns: Sequence[str]) -> str:
    """Numbers by columns as words: those of extrema by their fields, along probes by these."""
    found: dict[str, dict[str, None]] = {}
    for column in columns:
        first, _, rest = column.partition(".")
        place, _, last = rest.rpartition(".")
        if first == "extrema":
            found.setdefault("extrema", {})[words(place)] = None
        elif first == "probe":
            found.setdefault(f"fields along the probe {place}", {})[_field(last)] = None
        else:
            found.setdefault(words(split_unit(column)[0]), {})
    parts = [f"{what} ({', '.join(of)})" if of else what for what, of in found.items()]
    return "; ".join(parts)


def _field(key: str) -> str:
    return split_unit(key)[0].replace("_", " ")


def _cells(key: str, row: Mapping[str, float], probes: Sequence[str]) -> list[Any]:
    """Errors of a field, densities of angular momentum in multiples of ħ."""
    unit = split_unit(key)[1]
    one = HBAR if unit.startswith("J_s") else 1.0
    unit = unit.replace("J_s", "hbar")
    return [with_unit(row[p] / one, unit, digits=2) if p in row else "" for p in probes]


def _certainty(found: Mapping[str, Any]) -> Iterator[Node]:
    """Estimated errors, bounds, statistics, and what uncertain inputs contribute."""
    seen = False
    if (table := found.get("convergence")) is not None:
        seen = True
        kinds = ("harmonics", "extrapolated", "mesh")
        rows = [
            [name.replace("_", " "), *(table[f"estimated_error_{kind}"][name] for kind in kinds)]
            for name in ("currents", "edge_moments")
        ]
        text = f"Estimated relative errors with {table['harmonics'][-1]} harmonics"
        yield grid(["", "harmonics", "extrapolated", "mesh"], rows, text)
    if (bounds := found.get("bounds")) is not None:
        seen = True
        yield tag("h3", "Proved bounds of the conductances")
        yield from record(bounds, 4)
    if (adapted := found.get("adaptivity")) is not None:
        seen = True
        yield tag("h3", f"Mesh adapted to {adapted['target']}")
        yield from record(adapted, 4)
    if along := _along(found):
        seen = True
        probes = list(dict.fromkeys(name for row in along.values() for name in row))
        lines = [[_field(key), *_cells(key, row, probes)] for key, row in along.items()]
        yield grid(["", *probes], lines, "Largest errors of the mesh along probes")
    if uncertain := found.get("uncertainties"):
        seen = True
        rows_ = {
            column: {_KINDS[key]: one[key] for key in _KINDS} | one["by_input"]
            for column, one in uncertain.items()
        }
        text = "Errors in the unit of each number: of the inputs one standard deviation, to first"
        text += " order, all independent; then what each input contributes"
        yield tag("p", f"{text}.")
        keys = list(dict.fromkeys(key for row in rows_.values() for key in row))
        yield grid(["", *keys], [[c, *(r.get(k) for k in keys)] for c, r in rows_.items()])
    if "resistances_standard_error_ohm" in found or found["model"] == "particles":
        seen = True
        yield tag("p", "Errors marked “statistics” are standard errors of the particles.")
    if "estimated_errors" in found["mesh"]:
        seen = True
        yield tag("p", "Errors marked “mesh” are estimates of what the discretisation leaves.")
    if without := found["mesh"].get("no_estimate"):
        yield tag("p", f"No estimate of the error of {_without(without)}.")
    if form := found.get("closed_form"):
        text = f"This device has an exact solution ({form['name']}), which figures show dashed."
        yield tag("p", text)
    if not seen:
        yield tag(
            "p",
            "No error has been estimated in this run. [flow] estimate = true estimates those of the"
            " mesh; inputs with an uncertainty, such as “7(1) nm”, tell what they contribute.",
        )


def _extrema(found: Mapping[str, Any]) -> Iterator[Node]:
    """Smallest and largest value of each field."""
    rows = []
    for name, one in found["extrema"].items():
        density = one["unit"].startswith("J_s_")
        unit = one["unit"].replace("J_s_", "hbar_") if density else one["unit"]
        scale = HBAR if density else 1.0
        known = found["mesh"].get("estimated_errors", {})
        pairs = [
            (one.get(k), known.get(f"extrema.{name}.{k}_{one['unit']}")) for k in ("min", "max")
        ]
        pairs += [(value, None) for value in one.get("everywhere", {}).values()]
        cells = [
            with_unit(x / scale, unit, {"mesh": error / scale} if error else {})
            for x, error in pairs
            if x is not None
        ]
        ends = [[*cells[2], " … ", *cells[3]]] if len(cells) > 2 else []
        rows.append([one.get("label", name.replace("_", " ")), *cells[:2], *ends])
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        return
    wide = max(map(len, rows))
    header = ["", "smallest", "largest", "with sharp corners"][:wide]
    yield grid(header, [[*row, *[""] * (wide - len(row))] for row in rows])


def _computed(found: Mapping[str, Any]) -> Iterator[Node]:
    """Elements, mesh, solver, times and memory."""
    mesh, solver = dict(found["mesh"]), dict(found["solver"])
    yield facts(
        {
            **({"degree of the elements": found["order"]} if mesh["dofs"] else {}),
            **{k: solver.pop(k) for k in ("elements",) if k in solver},
            "cells": mesh["cells"],
            "smallest cell_m": mesh["h_min_m"],
            **{k: mesh[k] for k in ("area_m2", "volume_m3") if k in mesh},
            **({"unknowns": mesh["dofs"]} if mesh["dofs"] else {}),
            "processes": mesh["ranks"],
        },
        "Mesh and elements",
    )
    memory = {k: solver.pop(k) for k in ("memory_bytes",) if k in solver}
    flat = {k.replace("_relative", ", relative"): v for k, v in solver.items() if k != "unknowns"}
    yield facts(flat, "Solver")
    times = {f"{phase}_s": t for phase, t in found["wall_clock_s"].items()}
    yield facts({**times, "all_s": sum(times.values()), **memory}, "Time and memory")
