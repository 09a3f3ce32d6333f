"""Kinds of geometry files, by their suffix."""

from __future__ import annotations

from pathlib import Path

from meso.errors import GeometryError

#: CAD files, meshed here.
CAD = (".step", ".stp", ".brep", ".iges", ".igs")

#: Meshes of other programs, with the name that meshio has for their format.
IMPORTED = {".inp": "abaqus", ".med": "med", ".vtu": "vtu", ".vtk": "vtk", ".mesh": "medit"}

#: What to do about drawings of masks.
_ADVICE = (
    "; a mask has no names of edges: make the outline of one layer a face in FreeCAD or another CAD"
    " program, and export it as .step; the case names its edges in [geometry.groups]"
)

_KINDS = {
    ".geo": "drawing",
    ".msh": "gmsh",
    **dict.fromkeys(CAD, "cad"),
    **dict.fromkeys(IMPORTED, "imported"),
}


def kind(path: Path) -> str:
    """What a file is: "drawing", "cad", "gmsh" or "imported".

    Raises a GeometryError for other suffixes.
    """
    if found := _KINDS.get(path.suffix.lower()):
        return found
    raise GeometryError(
        f"{path}: found '{path.suffix}'; must be a drawing (.geo), a CAD file (.step, .stp, .brep,"
        " .iges, .igs), a mesh of Gmsh (.msh) or of another program (.inp, .med, .vtu, .vtk, .mesh)"
        + _ADVICE
        * (path.suffix.lower() in (".dxf", ".gds", ".oas", ".dwg"))
    )


def is_geometry(path: Path) -> bool:
    """True for drawings, CAD files and meshes."""
    return path.suffix.lower() in _KINDS


def is_meshed_here(path: Path) -> bool:
    """True for drawings and CAD files: mesh sizes apply to them."""
    return _KINDS.get(path.suffix.lower()) in ("drawing", "cad")
