"""The case file of `meso bands`: a model, and at which energy, broadening and grid.

    title = "Vanadium"
    [model]
    kind = "SlaterKosterBcc"        # or another of `models`; the other keys are its arguments
    metal = "V"
    [bands]
    energy = "0 eV"
    broadening = "0.1 eV"
    kmesh = 48
    [output]
    directory = "results/V"

Numbers without unit are in eV and Å.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meso.bands import models
from meso.bands.model import Model
from meso.case.tables import override
from meso.constants import ELEMENTARY_CHARGE
from meso.errors import CaseError, known
from meso.units import is_number, quantity

Reader = Callable[[Any, Path], Any]


def _in(unit: str, size: float) -> Reader:
    def read(value: Any, base: Path) -> float:
        if isinstance(value, str):
            return quantity(value, unit) / size
        return _number(value, base)

    return read


def _number(value: Any, base: Path) -> float:
    if not is_number(value):
        raise CaseError(f"found {value!r}; expected a number")
    return float(value)


def _whole(value: Any, base: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise CaseError(f"found {value!r}; expected an integer")
    return value


def _string(value: Any, base: Path) -> str:
    if not isinstance(value, str):
        raise CaseError(f"found {value!r}; expected a text")
    return value


def _flag(value: Any, base: Path) -> bool:
    if not isinstance(value, bool):
        raise CaseError(f"found {value!r}; expected true or false")
    return value


def _file(value: Any, base: Path) -> Path:
    path = base / _string(value, base)
    if not path.is_file():
        raise CaseError(f'found "{value}"; no such file: {path}')
    return path


def _list(item: Reader) -> Reader:
    def read(value: Any, base: Path) -> tuple[Any, ...]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise CaseError(f"found {value!r}; expected a list")
        return tuple(item(v, base) for v in value)

    return read


_ENERGY = _in("J", ELEMENTARY_CHARGE)
_LENGTH = _in("m", 1e-10)
_SLOPE = _in("J*m", ELEMENTARY_CHARGE * 1e-10)
_MODELS: Mapping[str, Mapping[str, Reader]] = {
    "RadialTangential": {"mass": _number, "spin_orbit": _ENERGY},
    "ElectronGas": {
        "mass": _number,
        "exchange": _ENERGY,
        "direction": _list(_number),
        "rashba": _SLOPE,
        "dresselhaus": _SLOPE,
    },
    "TiltedDirac": {"mass": _ENERGY, "velocity": _SLOPE, "tilt": _SLOPE},
    "GappedLattice": {"constant": _LENGTH, "mixing": _ENERGY, "hopping": _ENERGY, "mass": _ENERGY},
    "BccP": {
        "sigma": _ENERGY,
        "pi": _ENERGY,
        "constant": _LENGTH,
        "spin_orbit": _ENERGY,
        "exchange": _list(_ENERGY),
    },
    "SlaterKosterBcc": {"metal": _string, "spin_orbit": _ENERGY, "exchange": _list(_ENERGY)},
    "Wannier90": {
        "hr": _file,
        "win": _file,
        "centres": _file,
        "lattice": _list(_list(_LENGTH)),
        "orbitals": _list(_string),
        "sites": _list(_whole),
        "spin": _string,
        "energy": _ENERGY,
    },
}
_REQUIRED = {"SlaterKosterBcc": ("metal",), "Wannier90": ("hr",)}
_BANDS: Mapping[str, Reader] = {
    "energy": _ENERGY,
    "broadening": _ENERGY,
    "kmesh": _whole,
    "temperature": _ENERGY,
    "hall_tolerance": _number,
    "symmetry": _string,
    "processes": _whole,
    "error": _flag,
}
_OUTPUT: Mapping[str, Reader] = {"directory": _string, "name": _string}


@dataclass(frozen=True, kw_only=True, eq=False)
class BandsCase:
    """A checked case: the model and the arguments of `coefficients`.

    Attributes:
        title: For the material file.
        model: The model.
        arguments: Of `coefficients`.
        directory: For the results.
        name: Of the material file.
    """

    title: str
    model: Model
    arguments: dict[str, Any] = field(default_factory=dict)
    directory: Path
    name: str

    @classmethod
    def load(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> BandsCase:
        """Read a case file.

        Args:
            path: The TOML file; paths in it are relative to its folder.
            overrides: Dotted key -> value, in place of what the file says.

        Raises:
            CaseError: The file cannot be read or something in it is wrong.
        """
        path = Path(path)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            return cls._from(override(tables, overrides or {}), path)
        except OSError as error:
            raise CaseError(f"cannot read: {error.strerror}", file=str(path)) from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CaseError(f"not valid TOML: {error}", file=str(path)) from None
        except CaseError as error:
            raise CaseError(*error.problems, file=str(path)) from None

    @classmethod
    def _from(cls, tables: dict[str, Any], path: Path) -> BandsCase:
        sections = ("title", "model", "bands", "output")
        problems = [
            (key, f"unknown key; {known(key, sections)}") for key in tables if key not in sections
        ]
        kind = _table(tables, "model").pop("kind", None)
        if not isinstance(kind, str) or kind not in _MODELS:
            text = f"found {kind!r}; {known(str(kind), _MODELS)}"
            raise CaseError(*problems, ("model.kind", text))
        arguments = _read(_table(tables, "model"), _MODELS[kind], "model", path.parent, problems)
        bands = _read(_table(tables, "bands"), _BANDS, "bands", path.parent, problems)
        output = _read(_table(tables, "output"), _OUTPUT, "output", path.parent, problems)
        for key in _REQUIRED.get(kind, ()):
            if key not in _table(tables, "model"):
                problems.append((f"model.{key}", f"missing; {kind} needs it"))
        if problems:
            raise CaseError(*problems)
        first = [arguments.pop(key) for key in _REQUIRED.get(kind, ())]
        try:
            model = getattr(models, kind)(*first, **arguments)
        except CaseError as error:
            raise CaseError(*((_under("model", k), t) for k, t in error.problems)) from None
        name = output.get("name", path.stem if path.stem != "case" else path.parent.name)
        return cls(
            title=str(tables.get("title", "")),
            model=model,
            arguments=bands,
            directory=Path(output.get("directory", Path("results") / name)),
            name=name,
        )


def _under(table: str, key: str) -> str:
    return f"{table}.{key}" if key else table


def _table(tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = tables.get(key, {})
    if not isinstance(table, dict):
        raise CaseError((key, f"found {table!r}; must be a table"))
    return table


def _read(
    table: Mapping[str, Any],
    readers: Mapping[str, Reader],
    name: str,
    base: Path,
    problems: list[tuple[str, str]],
) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key not in readers:
            problems.append((f"{name}.{key}", f"unknown key; {known(key, readers)}"))
            continue
        try:
            values[key] = readers[key](value, base)
        except CaseError as error:
            problems += [(f"{name}.{key}", text) for _, text in error.problems]
    return values
