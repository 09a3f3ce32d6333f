"""The case file: everything that defines a run, checked, in SI units.

A case is read without any solver being loaded. Its tables pass through `tables` (overrides,
library), `validation` (against `schema`) and `checks` (against each other); `writing` is the way
back to a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from meso.case import checks, writing
from meso.case.schema import FIELDS, Figures, Flow, Geometry, Mesh, Output, Probe, Tables
from meso.case.tables import (
    fill_from_library,
    override,
    parse_overrides,
    unchanged,
    with_provenance,
)
from meso.case.validation import validate
from meso.errors import CaseError
from meso.geometry import formats

__all__ = [
    "FIELDS",
    "Case",
    "Figures",
    "Flow",
    "Geometry",
    "Mesh",
    "Output",
    "Probe",
    "parse_overrides",
]


@dataclass(frozen=True, kw_only=True)
class Case(Tables):
    """A case: geometry, mesh, materials, regions, boundaries, flow and output, in SI units.

    Build one with `Case.load` or `Case.from_dict`.

    Attributes:
        given: the tables as the user wrote them, materials of the library filled in.
        warnings: what is legal but looks like a mistake.
        file: the case file, for messages.
    """

    given: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    file: Path | None = None

    @classmethod
    def load(cls, path: str | Path, overrides: Mapping[str, Any] | Iterable[str] = ()) -> Case:
        """Read a case file.

        Args:
            path: the TOML file; the path of the geometry is relative to its folder.
            overrides: dotted key -> value, in place of what the file says; or texts as those of
                ``--set``, "dotted.key=value".

        Raises:
            CaseError: the file cannot be read, or something in it is wrong. All problems are
                reported at once, each with its key.
        """
        try:
            case = cls.from_dict(_read(Path(path)), Path(path).parent, overrides)
            return replace(case, file=Path(path))
        except CaseError as error:
            raise CaseError(*error.problems, file=str(path)) from None

    @classmethod
    def from_dict(
        cls,
        tables: Mapping[str, Any],
        base_directory: str | Path = ".",
        overrides: Mapping[str, Any] | Iterable[str] = (),
    ) -> Case:
        """Build a case from the tables of a case file.

        Args:
            tables: as `tomllib` returns them.
            base_directory: what the path of the geometry is relative to.
            overrides: dotted key -> value, in place of what the tables say; or texts as those of
                ``--set``, "dotted.key=value".

        Raises:
            CaseError: something is wrong.
        """
        return cls._built(tables, base_directory, overrides)

    def changed(self, overrides: Mapping[str, Any]) -> Case:
        """The case with other values by dotted key; other tables are not checked once more.

        Raises:
            CaseError: something is wrong.
        """
        files = {"geometry.file": str(self.geometry.file)}
        case = self._built(self.given, ".", {**files, **overrides}, self)
        return replace(case, file=self.file)

    @classmethod
    def _built(
        cls,
        tables: Mapping[str, Any],
        base_directory: str | Path,
        overrides: Mapping[str, Any] | Iterable[str],
        like: Case | None = None,
    ) -> Case:
        """As `from_dict`; tables like those of a case are not checked once more."""
        if not isinstance(overrides, Mapping):
            overrides = parse_overrides(overrides)
        given = fill_from_library(override(tables, overrides), base_directory)
        ready = {} if like is None else unchanged(given, like.given, like)
        checked = validate(with_provenance(given), ready, base_directory=Path(base_directory))
        problems = tuple(checks.problems(checked, given))
        if problems:
            raise CaseError(*problems)
        values = {f.name: getattr(checked, f.name) for f in fields(checked)}
        if checked.mesh.accuracy and checked.flow.kinetic and "harmonics" not in given["flow"]:
            tolerance = given["flow"].get("tolerance", checked.mesh.accuracy)
            values["flow"] = replace(checked.flow, harmonics="auto", tolerance=tolerance)
        names = checked.output.fields
        if names is None:
            values["output"] = replace(checked.output, fields=checks.default_fields(checked))
        return cls(**values, given=given, warnings=tuple(checks.warnings(checked)))

    def current_unit(self, dimension: int) -> str:
        """Unit of the current of a contact, "A" or "A/m", on a mesh of a given dimension.

        Args:
            dimension: of the mesh, 2 or 3.

        Raises:
            CaseError: the case does not fit a mesh of this dimension.
        """
        sheet = self.carriers == "2d"
        slab = self.geometry.thickness is not None
        if dimension == 3 and sheet:
            raise CaseError(("regions", 'carriers = "2d" need a 2D mesh, but the mesh is 3D'))
        if dimension == 3 and slab:
            raise CaseError(("geometry.thickness", "is for a 2D mesh, but the mesh is 3D"))
        unit = "A" if dimension == 3 or sheet or slab else "A/m"
        if unit not in checks.current_units(self, self.given):
            text = f"found currents of contacts in another unit than {unit}, which a"
            hint = " without geometry.thickness" if unit == "A/m" else ""
            raise CaseError(("boundaries", f"{text} {dimension}D mesh needs{hint}"))
        return unit

    def to_dict(self, relative_to: str | Path | None = None) -> dict[str, Any]:
        """The resolved case as tables: what the user wrote, with the defaults filled in.

        Loading it gives the same case, whatever becomes of defaults and library.

        Args:
            relative_to: the folder that paths of files are relative to; absolute if None.
        """
        tables = writing.resolved(self, self.given)
        for name, key in (("geometry", "file"), ("figures", "style")):
            file = getattr(getattr(self, name), key)
            if file is not None:
                if relative_to is not None:
                    file = Path(os.path.relpath(file, Path(relative_to).resolve()))
                tables[name][key] = file.as_posix()
        return tables

    def to_toml(self, relative_to: str | Path | None = None) -> str:
        """The resolved case as the text of a case file; see `to_dict`."""
        import tomli_w

        return tomli_w.dumps(self.to_dict(relative_to))

    @property
    def hash(self) -> str:
        """SHA-256 of everything that decides about the results.

        That is each value in SI units and the content of the geometry's files, but neither titles
        and looks nor where values come from nor where files are.
        """
        values = {f.name: writing.plain(getattr(self, f.name)) for f in fields(Tables)}
        for material in values["materials"].values():
            del material["provenance"], material["name"]
        del values["title"], values["figures"], values["geometry"]["file"]
        values["output"].pop("directory", None)
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
        for content in writing.contents(self.geometry.file):
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    if formats.is_geometry(path) and path.is_file():
        raise CaseError(f"no case, but a drawing or mesh; `meso new {path}` writes a case for it")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaseError(f"cannot read the case file: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CaseError("not a TOML file: it is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise CaseError(f"not valid TOML: {error}") from None
