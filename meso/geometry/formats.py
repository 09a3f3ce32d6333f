"""Kinds of geometry files, by their suffix."""

from __future__ import annotations

from pathlib import Path

from meso.errors import GeometryError

#: Gmsh scripts, meshed here.
DRAWINGS = (".geo",)

#: CAD files, meshed here.
CAD = (".step", ".stp", ".brep", ".iges", ".igs")

#: Meshes of Gmsh.
GMSH = (".msh",)

#: Meshes of other programs, with the name that meshio has for their format.
IMPORTED = {
    ".inp": "abaqus",
    ".med": "med",
    ".vtu": "vtu",
    ".vtk": "vtk",
    ".mesh": "medit",
}

READABLE = (
    "a drawing (.geo), a CAD file (.step, .stp, .brep, .iges, .igs), a mesh of Gmsh (.msh) or of"
    " another program (.inp, .med, .vtu, .vtk, .mesh)"
)


def kind(path: Path) -> str:
    """What a file is.

    Args:
        path: The file.

    Returns:
        "drawing", "cad", "gmsh" or "imported".

    Raises:
        GeometryError: A suffix that is none of these.
    """
    suffix = path.suffix.lower()
    kinds = (("drawing", DRAWINGS), ("cad", CAD), ("gmsh", GMSH), ("imported", IMPORTED))
    for name, suffixes in kinds:
        if suffix in suffixes:
            return name
    raise GeometryError(f"{path}: found '{path.suffix}'; must be {READABLE}")


def is_meshed_here(path: Path) -> bool:
    """True for drawings and CAD files: mesh sizes apply to them."""
    return path.suffix.lower() in (*DRAWINGS, *CAD)
