"""From the tables of a case file to those that the schema checks: overrides and the library.

Tables have not been checked yet: what has a wrong type is passed on for the schema to find.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from meso.errors import CaseError, known
from meso.materials.fermi_line import read_points
from meso.materials.material import Material
from meso.materials.published import load_library, load_material_file

#: Material quantities with a default.
_DEFAULTS = {"scattering": "default", "electron_electron_mean_free_path": "default"}

Made = TypeVar("Made")

#: Tables whose entries have names of the user's choice.
_NAMED = ("materials", "regions", "boundaries")


def from_file(path: Path, make: Callable[[dict[str, Any]], Made]) -> Made:
    """What the tables of a TOML file make.

    Raises:
        CaseError: It cannot be read, or what ``make`` says of its tables; with the file.
    """
    try:
        return make(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CaseError(f"cannot read: {error.strerror}", file=str(path)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaseError(f"not valid TOML: {error}", file=str(path)) from None
    except CaseError as error:
        raise CaseError(*error.problems, file=str(path)) from None


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
    """Read "dotted.key=value"; a value that is not a TOML literal is a plain string."""
    overrides = {}
    for item in items:
        key, separator, text = (part.strip() for part in item.partition("="))
        if not separator or not all(key.split(".")):
            raise CaseError(f'found "{item}"; expected key=value, e.g. "flow.order=4"')
        try:
            overrides[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key] = text
    return overrides


def shared(
    overrides: Mapping[str, Any], own: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Overrides of a file that names cases: those of the file, and those of the cases.

    Args:
        overrides: Dotted key -> value.
        own: Keys of the file; what lies in their tables is the file's, too.
    """
    found: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for key, value in overrides.items():
        of_case = not any(f"{key}.".startswith(f"{name}.") for name in own)
        found[of_case][key] = value
    return found


def override(tables: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the tables with other values, by dotted key.

    A key must not name a material, region or boundary that is not in the tables, nor go through
    something that is not a table.
    """
    result = copy.deepcopy(dict(tables))
    problems = []
    for key, value in overrides.items():
        *path, last = key.split(".")
        entry = [*path, last][1] if path and path[0] in _NAMED else None
        if entry is not None and entry not in (names := _table(result, path[0])):
            problems.append((key, f'no "{entry}" in the case; {known(entry, names)}'))
            continue
        table: Any = result
        for part in path:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[last] = value
        else:
            problems.append((key, f"{'.'.join(path)} is not a table"))
    if problems:
        raise CaseError(*problems)
    return result


def fill_from_library(
    tables: Mapping[str, Any], base_directory: str | Path = "."
) -> dict[str, Any]:
    """Replace `library = NAME` by the values that the library has and the case has not.

    NAME may be the path of a material file, relative to the base directory. The file with the
    points of a Fermi line is replaced by these.
    """
    problems = []
    materials = dict(_table(tables, "materials"))
    for name, table in materials.items():
        if isinstance(table, dict) and "library" in table:
            try:
                table = materials[name] = _filled(table, Path(base_directory))
            except CaseError as error:
                problems.append((f"materials.{name}.library", str(error)))
        line = table.get("fermi_line") if isinstance(table, dict) else None
        if isinstance(line, dict) and isinstance(line.get("points"), str):
            try:
                points = read_points(Path(base_directory) / line["points"])
                materials[name] = {**table, "fermi_line": {**line, "points": points}}
            except CaseError as error:
                problems.append((f"materials.{name}.fermi_line.points", str(error)))
    if problems:
        raise CaseError(*problems)
    return {**tables, "materials": materials} if materials else dict(tables)


def with_provenance(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Name each material as the case does, and say where each of its values comes from."""
    materials = dict(_table(tables, "materials"))
    for name, table in materials.items():
        if isinstance(table, dict) and isinstance(table.get("provenance", {}), dict):
            given = {key: "case file" for key in table if key not in ("name", "provenance")}
            sources = {"provenance": _DEFAULTS | given | table.get("provenance", {})}
            materials[name] = {"name": name, **table, **sources}
    return {**tables, "materials": materials} if materials else dict(tables)


def unchanged(
    tables: Mapping[str, Any], earlier: Mapping[str, Any], checked: Any
) -> dict[str, Any]:
    """Of tables that are those of an earlier case, what these were checked to be.

    Args:
        tables: The tables, filled in from the library.
        earlier: Those of the earlier case.
        checked: That case.
    """

    def units(of: Mapping[str, Any]) -> tuple[Any, ...]:
        """What the numbers in other tables are read by."""
        return of["geometry"]["length_unit"], [m["carriers"] for m in of["materials"].values()]

    if units(tables) != units(earlier):
        return {}
    out: dict[str, Any] = {
        key: getattr(checked, key)
        for key in ("geometry", "mesh", "angular_momentum", "figures", "output")
        # What is written by default depends on the others.
        if tables.get(key) == earlier.get(key, ()) and (key != "output" or "fields" in tables[key])
    }
    for key in ("materials", "boundaries"):
        old, known = earlier[key], getattr(checked, key)
        out[key] = {n: known[n] if t == old.get(n) else t for n, t in tables[key].items()}
    return out


def _filled(table: dict[str, Any], base_directory: Path) -> dict[str, Any]:
    name = str(table["library"])
    path = base_directory / name
    found = load_material_file(path) if name.endswith(".toml") else load_library(name)
    own = {key: value for key, value in table.items() if key != "library"}
    wanted = {f.name for f in fields(Material)} - own.keys()
    entries = {key: values[0] for key, values in found.entries.items() if key in wanted}
    values: dict[str, Any] = {key: entry.value for key, entry in entries.items()}
    sources = {
        key: f"library {name}: {'; '.join(filter(None, [e.source, e.method]))}"
        for key, e in entries.items()
    }
    if found.scattering and "scattering" in wanted:
        values["scattering"] = dict(found.scattering)
        sources["scattering"] = f"library {name}"
    provenance = own.get("provenance", {})
    if isinstance(provenance, dict):
        provenance = sources | provenance
    return {"carriers": found.carriers, **values, **own, "provenance": provenance}


def _table(tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = tables.get(key)
    return table if isinstance(table, dict) else {}
