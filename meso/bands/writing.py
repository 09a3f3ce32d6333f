"""A material file, in the form of the library, and the tensors behind it.

The first line of NAME.toml has checksums of the rest of it and of NAME.json, by which a file that
somebody has edited since is told from one that may be written again.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from meso.bands.coefficients import Coefficients
from meso.bands.diffusivity import Diffusivity, Normalisation
from meso.errors import CaseError
from meso.files.directory import hold, staged
from meso.files.naming import file_names

_HEAD = "# Written by meso bands, which will not replace it once it is changed: {} {}"


def material_text(found: Coefficients, title: str = "") -> str:
    """The text of a material file; what bands do not give is named in its comments."""
    import tomli_w

    tables: dict[str, Any] = {"carriers": found.carriers}
    for key, v in found.values.items():
        error = "" if v.error is None else f"; estimated error {np.max(v.error):.2g} {v.unit}"
        tensor = np.ndim(v.value) > 0
        value = {"tensor": v.value.tolist(), "unit": v.unit} if tensor else v.text
        tables[key] = [{"value": value, "source": v.source, "method": v.method + error}]
    if found.scattering:
        tables["scattering"] = dict(found.scattering)
    head = [f"# {line}" for line in (title, f"Computed from {found.model}.") if line]
    head += [f"# Not from bands, yours to supply: {key} ({w})" for key, w in found.missing.items()]
    head += [f"# Warning: {' '.join(text.split())}" for text in found.warnings]
    return "\n".join(head) + "\n" + tomli_w.dumps(tables, multiline_strings=False)


def tensor_text(found: Coefficients) -> str:
    """The tensors as JSON, with errors and provenance."""
    tables: dict[str, Any] = {
        key: {"value": q.value, "unit": q.unit, "error": q.error, "provenance": q.provenance}
        for key, q in found.results.items()
    }
    conduction = found.results.get("diffusivity")
    if isinstance(conduction, Diffusivity):
        # What a device's case takes; "diffusivity" itself is the tensor S[X, i, Y, j] in S/m.
        tables["angular_momentum_diffusivity"] = {
            "value": conduction.blocks(Normalisation.TRACE),
            "unit": "m^2/s",
            "indices": "[i][a][k][b], a and b: S_x, S_y, S_z, L_x, L_y, L_z",
            "provenance": conduction.provenance,
        }
    return json.dumps(tables, indent=1, ensure_ascii=False, default=lambda array: array.tolist())


def _paths(directory: Path, name: str) -> tuple[Path, Path]:
    (stem,) = file_names([name]).values()
    return directory / f"{stem}.toml", directory / f"{stem}.json"


def _checksum(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def check_own(directory: Path, name: str) -> None:
    """Refuse to replace a file that has been changed since, or comes from somewhere else."""
    material, tensors = _paths(directory, name)
    text, data = _text(material), _text(tensors)
    head, _, body = (text or "").partition("\n")
    sums = re.findall(r"\b[0-9a-f]{16}\b", head)
    own = {material: text is None or [_checksum(body)] == sums[:1], tensors: data is None}
    if data is not None:
        # Alone it has no checksum: whoever takes the material away may write it anew.
        own[tensors] = '"provenance": {' in data if text is None else [_checksum(data)] == sums[1:]
    for path, is_own in own.items():
        if not is_own:
            problem = (
                f"{path} was changed after meso bands wrote it, or comes from somewhere else, and"
                " is not replaced: rename it, or choose another --output or output.name"
            )
            raise CaseError(("output.directory", problem))


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        problem = f"{path} is there and cannot be read ({error.strerror})"
        raise CaseError(("output.directory", problem)) from None


def write(found: Coefficients, directory: Path, name: str, title: str = "") -> list[Path]:
    """Write NAME.toml (the material) and NAME.json (tensors, errors, provenance): their paths.

    Where that is not possible, or not allowed (`check_own`), what was there stays as it was.
    """
    material, tensors = _paths(directory, name)
    body = material_text(found, title)
    data = tensor_text(found)
    head = _HEAD.format(_checksum(body), _checksum(data))
    with hold(directory):
        check_own(directory, name)
        with staged(directory) as folder:
            (folder / material.name).write_bytes(f"{head}\n{body}".encode())
            (folder / tensors.name).write_bytes(data.encode())
    return [material, tensors]
