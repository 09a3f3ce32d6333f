"""Files of published values of materials: those of the library, and of the same form."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from meso.errors import CaseError, known

_LIBRARY = Path(__file__).parent / "library"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One published value, as a case file has it, the reference, and how it was obtained."""

    value: Any
    source: str
    method: str = ""


class MaterialFile(NamedTuple):
    """What a file knows of a material.

    Values of one quantity differ between sources, so each has a list of entries; the first is the
    default. A quantity for which no source is known has none.
    """

    carriers: str
    entries: dict[str, tuple[Entry, ...]]
    scattering: dict[str, float]  # relaxation rates


def library_names() -> list[str]:
    """Names of the materials in the library."""
    return sorted(path.stem for path in _LIBRARY.glob("*.toml"))


def load_library(name: str) -> MaterialFile:
    """Read a material of the library, e.g. "Cu"."""
    names = library_names()
    if name not in names:
        raise CaseError(f'no material "{name}" in the library; {known(name, names)}')
    return load_material_file(_LIBRARY / f"{name}.toml")


def load_material_file(path: Path) -> MaterialFile:
    """Read a material file, such as `meso bands` writes."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        carriers = table.pop("carriers")
        scattering = table.pop("scattering", {})
        entries = {k: tuple(Entry(**entry) for entry in v) for k, v in table.items()}
    except OSError as error:
        raise CaseError(f'no material file "{path}": {error.strerror}') from None
    except tomllib.TOMLDecodeError as error:
        raise CaseError(f'"{path}" is not valid TOML: {error}') from None
    except (KeyError, TypeError, AttributeError):
        text = "expected carriers, and [[quantity]] with value, source and method"
        raise CaseError(f'"{path}" is not a material file: {text}') from None
    return MaterialFile(carriers, entries, scattering)
