"""The file of `meso fit`: data, and what may vary.

title = "Six ribbons"
[data.ribbons]
case = "ribbon.toml"                          # paths are relative to the folder of this file
file = "ribbons.csv"
[parameters.path]
key = "materials.sheet.mean_free_path"
start = "100 nm"
bounds = ["10 nm", "2 um"]
[fit]
starts = 4
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from meso.errors import CaseError
from meso.units import is_number, number
from meso.validation import After, Before, Info, checked, within

#: Required keys and what they may look like.
_EXAMPLES = {
    "data": "a table [data.NAME] for each table of measurements",
    "case": '"ribbon.toml", the case that the data belong to',
    "file": '"ribbons.csv", the table of the data',
    "parameters": "a table [parameters.NAME] for each number that may vary",
    "key": '"materials.sheet.mean_free_path"',
    "start": '"100 nm"',
    "bounds": '["10 nm", "1 um"]',
}


#: What a setting may replace in a file of a fit; all other keys are those of its cases.
OWN = ("title", "data", "parameters", "fit", "output.directory")


def _file(value: object, info: Info) -> Path:
    if not isinstance(value, str | Path):
        raise CaseError(f'found {value!r}; must be a path, e.g. "ribbons.csv"')
    base_directory: Path = info.context["base_directory"]
    path = base_directory / value
    if not path.is_file():
        raise CaseError(f'found "{value}"; no such file: {path}')
    return path


def _nonempty(table: dict[str, Any]) -> dict[str, Any]:
    if not table:
        raise CaseError("empty; at least one entry is needed")
    for name in table:
        if not name.isidentifier():
            raise CaseError((name, "must be a name of letters, digits and _"))
    return table


def _settings(table: object) -> dict[str, Any]:
    """Dotted key -> value; tables whose keys have no dot are a way to write such keys."""
    if not isinstance(table, Mapping):
        raise CaseError(f"found {table!r}; must be a table of keys of the case")
    out: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and "." not in key:
            out |= {f"{key}.{inner}": item for inner, item in _settings(value).items()}
        else:
            out[key] = value
    return out


def _keys(value: object) -> Any:
    """One key, several of them, or those of each set of data."""
    if isinstance(value, Mapping) and value:
        return {str(name): _list(keys) for name, keys in value.items()}
    return _list(value)


def _list(value: object) -> tuple[str, ...]:
    keys = [value] if isinstance(value, str) else value
    if not isinstance(keys, list | tuple) or not keys or not all(isinstance(k, str) for k in keys):
        text = 'must be a name, a list of names, or { DATA = "name" }'
        raise CaseError(f"found {value!r}; {text}")
    return tuple(keys)


def _value(value: object) -> float | str:
    """A number, or a text with a unit, which is read once the unit of the key is known."""
    return value if isinstance(value, str) else number(value)


def _pair(value: object) -> tuple[float | str, float | str]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise CaseError(f"found {value!r}; must be a lower and an upper bound")
    return _value(value[0]), _value(value[1])


def _profile(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    try:
        return _list(value)
    except CaseError:
        raise CaseError(f"found {value!r}; must be true, false, or names of parameters") from None


def _confidence(value: object) -> float:
    if not is_number(value) or not 0 < value < 1:
        raise CaseError(f"found {value!r}; must be between 0 and 1, e.g. 0.95")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A table of measurements, and the case that describes what was measured."""

    case: Annotated[Path, Before(_file, informed=True)]
    file: Annotated[Path, Before(_file, informed=True)]
    set: Annotated[dict[str, Any], Before(_settings)] = field(default_factory=dict)
    probe: str | None = None  # of the case: the table is a profile along it
    uncertainty: str | None = None  # "2 %", "1 uS": where the table has no column of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that may vary: of cases, where several keys have the same value, or a scale."""

    key: Annotated[Any, Before(_keys)] = None
    scale: Annotated[Any, Before(_keys)] = None  # of columns that are in a unit of their own
    start: Annotated[Any, Before(_value)] = None
    bounds: Annotated[Any, Before(_pair)] = None

    def __post_init__(self) -> None:
        if self.key is not None and self.scale is not None:
            raise CaseError("found key and scale; give one")
        needed = () if self.scale is not None else ("key", "start", "bounds")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise CaseError(*((name, f"missing; give {_EXAMPLES[name]}") for name in missing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the fit is done, and what is asked of it."""

    starts: Annotated[int, within(1, 10_000)] = 1
    seed: Annotated[int, within(0)] = 1  # of the further starts
    iterations: Annotated[int, within(1, 100_000)] = 100  # of each start
    confidence: Annotated[float, Before(_confidence)] = 0.95
    profile: Annotated[Any, Before(_profile)] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where the result goes."""

    directory: Path | None = None  # relative to the working directory


@dataclass(frozen=True, kw_only=True)
class FitFile:
    """The tables of a file, checked, but for what only the cases can tell."""

    title: str = ""
    data: Annotated[dict[str, Data], After(_nonempty)]
    parameters: Annotated[dict[str, Parameter], After(_nonempty)]
    fit: Options = field(default_factory=Options)
    output: Output = field(default_factory=Output)


def read(tables: Mapping[str, Any], base_directory: Path) -> FitFile:
    """The checked tables; paths are relative to a directory."""
    return checked(FitFile, tables, {"base_directory": base_directory}, _EXAMPLES)
