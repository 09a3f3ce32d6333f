"""The demos that are shipped: their titles, and copies to run and to change."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns

from meso.errors import CaseError, MesoError, known

__all__ = ["copy", "titles"]

#: What files of a demo name of the drawings that all share.
_DRAWING = re.compile(rb"geometries/([\w-]+\.\w+)")


def _shared() -> Path:
    """The folder of demos and drawings: in an installed package, or the repository."""
    package = Path(__file__).parent
    for place in (package / "shared", package.parent):
        if (place / "demos/ribbon/case.toml").is_file():
            return place
    raise MesoError(f"no demos in {package}: they are missing in this installation")


def titles() -> dict[str, str]:
    """Title of each demo by its name, as its README has it."""
    folders = sorted(path.parent for path in (_shared() / "demos").glob("*/README.md"))
    readmes = {f.name: (f / "README.md").read_text(encoding="utf-8") for f in folders}
    return {name: text.partition("\n")[0].lstrip("# ") for name, text in readmes.items()}


def copy(name: str, to: Path) -> Path:
    """Copy a demo to DIR/demos/NAME, and the drawings it needs to DIR/geometries.

    As in the repository, so that the commands in its README work in DIR.

    Args:
        name: One of :func:`titles`.
        to: The directory DIR.

    Returns:
        The folder of the copy.

    Raises:
        CaseError: There is no such demo, or something else is in the place of the copy.
    """
    shared, target = _shared(), to / "demos" / name
    names = titles()
    if name not in names:
        raise CaseError(f'unknown demo "{name}"; {known(name, names)}')
    source = shared / "demos" / name
    files = [path.read_bytes() for path in source.iterdir() if path.is_file()]
    drawings = sorted({found.decode() for text in files for found in _DRAWING.findall(text)})
    wanted = {to / "geometries" / d: shared / "geometries" / d for d in drawings}
    taken = [p for p, own in wanted.items() if p.exists() and p.read_bytes() != own.read_bytes()]
    for path in [target] * target.exists() + taken:
        raise CaseError(f"{path}: there already; remove it, or copy elsewhere with --to DIR")
    try:
        copytree(source, target, ignore=ignore_patterns("__pycache__"))
        for path, own in wanted.items():
            path.parent.mkdir(exist_ok=True)
            copyfile(own, path)
    except OSError as error:
        raise MesoError(f"{target}: cannot be written ({error.strerror})") from error
    return target
