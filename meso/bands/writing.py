"""A material file, in the form of the library, and the tensors behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from meso.bands.coefficients import Coefficients
from meso.bands.diffusivity import Diffusivity, Normalisation
from meso.files.directory import hold, staged
from meso.files.naming import file_names


def material_tables(found: Coefficients) -> dict[str, Any]:
    """Tables of a material file: each quantity a list of entries with value, source, method."""
    tables: dict[str, Any] = {"carriers": found.carriers}
    for key, value in found.values.items():
        method = value.method
        if value.error is not None:
            method += f"; estimated error {value.error:.2g} {value.unit}"
        tables[key] = [{"value": value.text, "source": value.source, "method": method}]
    if found.scattering:
        tables["scattering"] = dict(found.scattering)
    return tables


def material_text(found: Coefficients, title: str = "") -> str:
    """The text of a material file; what bands do not give is named in its comments."""
    import tomli_w

    head = [f"# {line}" for line in (title, f"Computed from {found.model}.") if line]
    head += [f"# Not from bands, yours to supply: {key} ({w})" for key, w in found.missing.items()]
    head += [f"# Warning: {' '.join(text.split())}" for text in found.warnings]
    return "\n".join(head) + "\n" + tomli_w.dumps(material_tables(found), multiline_strings=False)


def write(found: Coefficients, directory: Path, name: str, title: str = "") -> list[Path]:
    """Write NAME.toml (the material) and NAME.json (tensors, errors, provenance).

    Returns:
        The paths.

    Raises:
        CaseError: Somebody else writes into the directory, or it cannot be made.
        MesoError: They cannot be written; what was there is then as it was.
    """
    tables = {
        key: {
            "value": _plain(q.value),
            "unit": q.unit,
            "error": _plain(q.error),
            "provenance": {k: _plain(v) for k, v in q.provenance.items()},
        }
        for key, q in found.results.items()
    }
    conduction = found.results.get("diffusivity")
    if isinstance(conduction, Diffusivity):
        # What a device's case takes; "diffusivity" itself is the tensor S[X, i, Y, j] in S/m.
        tables["angular_momentum_diffusivity"] = {
            "value": _plain(conduction.blocks(Normalisation.TRACE)),
            "unit": "m^2/s",
            "indices": "[i][a][k][b], a and b: S_x, S_y, S_z, L_x, L_y, L_z",
            "provenance": tables["diffusivity"]["provenance"],
        }
    (stem,) = file_names([name]).values()
    texts = {
        f"{stem}.toml": material_text(found, title),
        f"{stem}.json": json.dumps(tables, indent=1, ensure_ascii=False),
    }
    with hold(directory), staged(directory) as folder:
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    return [directory / file for file in texts]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
