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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meso.bands import models
from meso.bands.model import Model
from meso.case.tables import from_file, override
from meso.constants import ELEMENTARY_CHARGE
from meso.errors import CaseError, known
from meso.units import number, quantity

Reader = Callable[[Any], Any]


def _in(unit: str, size: float) -> Reader:
    """A quantity with a unit, or a number in that of `bands`, which is `size` SI units."""
    return lambda v: quantity(v, unit) / size if isinstance(v, str) else number(v)


def _is(kind: type, expected: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise CaseError(f"found {value!r}; expected {expected}")
        return value

    return read


def _list(item: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise CaseError(f"found {value!r}; expected a list")
        return tuple(map(item, value))

    return read


_ENERGY = _in("J", ELEMENTARY_CHARGE)
_LENGTH = _in("m", 1e-10)
_SLOPE = _in("J*m", ELEMENTARY_CHARGE * 1e-10)
_WHOLE, _TEXT = _is(int, "an integer"), _is(str, "a text")
_FILES = ("hr", "win", "centres")


def _seedname(value: Any) -> Any:
    return _TEXT(value) if isinstance(value, str) else _list(_TEXT)(value)


_MODELS: Mapping[str, Mapping[str, Reader]] = {
    "RadialTangential": dict(mass=number, spin_orbit=_ENERGY),
    "ElectronGas": dict(
        mass=number, exchange=_ENERGY, direction=_list(number), rashba=_SLOPE, dresselhaus=_SLOPE
    ),
    "TiltedDirac": dict(mass=_ENERGY, velocity=_SLOPE, tilt=_SLOPE),
    "GappedLattice": dict(constant=_LENGTH, mixing=_ENERGY, hopping=_ENERGY, mass=_ENERGY),
    "BccP": dict(
        sigma=_ENERGY, pi=_ENERGY, constant=_LENGTH, spin_orbit=_ENERGY, exchange=_list(_ENERGY)
    ),
    "SlaterKosterBcc": dict(metal=_TEXT, spin_orbit=_ENERGY, exchange=_list(_ENERGY)),
    "Wannier90": dict(
        **dict.fromkeys(_FILES, _TEXT),
        seedname=_seedname,
        resolution=_ENERGY,
        lattice=_list(_list(_LENGTH)),
        orbitals=_list(_TEXT),
        sites=_list(_WHOLE),
        spin=_TEXT,
        energy=_ENERGY,
    ),
}
_REQUIRED = {"SlaterKosterBcc": "metal", "Wannier90": "seedname"}
_BANDS: Mapping[str, Reader] = dict(
    **dict.fromkeys(("energy", "broadening", "temperature"), _ENERGY),
    **dict.fromkeys(("kmesh", "processes"), _WHOLE),
    hall_tolerance=number,
    symmetry=_TEXT,
    error=_is(bool, "true or false"),
)
_OUTPUT: Mapping[str, Reader] = dict(directory=_TEXT, name=_TEXT)


@dataclass(frozen=True, kw_only=True, eq=False)
class BandsCase:
    """A checked case: the model, the arguments of `coefficients`, and where results go.

    `title` and `name` are those of the material file.
    """

    title: str
    model: Model
    arguments: dict[str, Any]
    directory: Path
    name: str

    @classmethod
    def load(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> BandsCase:
        """Read a TOML file, with overrides (dotted key -> value) in place of what it says.

        Paths in it are relative to its folder.
        """
        path = Path(path)
        return from_file(path, lambda tables: cls._from(override(tables, overrides or {}), path))

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
        arguments, bands, output = (
            _read(_table(tables, name), readers, name, problems)
            for name, readers in (("model", _MODELS[kind]), ("bands", _BANDS), ("output", _OUTPUT))
        )
        required = _REQUIRED.get(kind)
        if "hr" in arguments and "seedname" in arguments:
            problems.append(("model.hr", "is of the seedname; give one of the two"))
        elif required and not {required, "hr"} & arguments.keys():
            problems.append((f"model.{required}", f"missing; {kind} needs it"))
        for key in arguments.keys() & _FILES:
            file = path.parent / arguments[key]
            if not file.is_file():
                text = f'found "{arguments[key]}"; no such file: {file}'
                problems.append((f"model.{key}", text))
            arguments[key] = file
        if problems:
            raise CaseError(*problems)
        resolution = arguments.pop("resolution", None)
        if "hr" in arguments:
            arguments["seedname"] = arguments.pop("hr")
        elif "seedname" in arguments:
            names = arguments["seedname"]
            several = not isinstance(names, str)
            found = [path.parent / n for n in (names if several else [names])]
            arguments["seedname"] = found if several else found[0]
        try:
            model = getattr(models, kind)(**arguments)
        except CaseError as error:
            under = ((f"model.{key}" if key else "model", text) for key, text in error.problems)
            raise CaseError(*under) from None
        if resolution is not None:
            model = replace(model, resolution=resolution)
        name = output.get("name", path.stem if path.stem != "case" else path.parent.name)
        return cls(
            title=str(tables.get("title", "")),
            model=model,
            arguments=bands,
            directory=Path(output.get("directory", Path("results") / name)),
            name=name,
        )


def _table(tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = tables.get(key, {})
    if not isinstance(table, dict):
        raise CaseError((key, f"found {table!r}; must be a table"))
    return table


def _read(
    table: Mapping[str, Any],
    readers: Mapping[str, Reader],
    name: str,
    problems: list[tuple[str, str]],
) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key not in readers:
            problems.append((f"{name}.{key}", f"unknown key; {known(key, readers)}"))
            continue
        try:
            values[key] = readers[key](value)
        except CaseError as error:
            problems += [(f"{name}.{key}", text) for _, text in error.problems]
    return values
