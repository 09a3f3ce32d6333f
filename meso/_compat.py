"""The only place that knows differences between DOLFINx versions (0.9 to 0.11)."""

from __future__ import annotations

import hashlib
from functools import cached_property, lru_cache
from typing import Any

import basix
import numpy as np


def geometry(mesh: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Node coordinates (n, 3), nodes of each cell and polynomial degree of a mesh."""
    g = mesh.geometry
    if hasattr(g, "cmaps"):  # 0.11: one of each for every cell type of a mesh
        cmap, dofmap = g.cmaps[0], g.dofmaps[0]
    else:
        cmap, dofmap = g.cmap, g.dofmap
    return g.x, np.asarray(dofmap), cmap.degree


def with_nodes(mesh: Any, points: np.ndarray) -> Any:
    """The same mesh, its topology shared, with its nodes at other points, shape (n, d)."""
    import dolfinx
    import ufl

    g = mesh.geometry
    cmap = g.cmaps[0] if hasattr(g, "cmaps") else g.cmap
    moved = dolfinx.cpp.mesh.Geometry_float64(
        g.index_map(),
        geometry(mesh)[1],
        getattr(cmap, "_cpp_object", cmap),
        np.ascontiguousarray(points),
        g.input_global_indices,
    )
    cpp = dolfinx.cpp.mesh.Mesh_float64(mesh.comm, mesh._cpp_object.topology, moved)
    out = dolfinx.mesh.Mesh(cpp, ufl.Mesh(mesh.ufl_domain().ufl_coordinate_element()))
    out.name = mesh.name
    return out


def coordinate_element(cell: str, degree: int, dimension: int) -> Any:
    """Lagrange coordinate element with equally spaced nodes."""
    import basix.ufl  # not above: the process of Gmsh needs no UFL

    return with_cell(
        basix.ufl.element(
            "Lagrange",
            cell,
            degree,
            lagrange_variant=basix.LagrangeVariant.equispaced,
            shape=(dimension,),
        )
    )


def with_cell(element: Any) -> Any:
    """The element, which keeps its UFL cell: a space asks six times, and each is made of 13."""
    kind = type(element)
    known = cached_property(lambda self: kind.cell.fget(self))
    known.__set_name__(kind, "cell")
    element.__class__ = type(kind.__name__, (kind,), {"cell": known})
    return element


def custom_element(*definition: Any) -> Any:
    """As of Basix, with a name that takes less time than to print all numbers of the element."""
    import basix.ufl

    def named(element: Any) -> str:
        found = hashlib.sha256(f"{basix.__version__} {definition[:2]} {definition[5:]}".encode())
        tables = (t for level in (*element.x, *element.M) for t in level)
        for table in (element.wcoeffs, *tables):
            found.update(f"{table.shape}".encode() + np.ascontiguousarray(table).tobytes())
        return found.hexdigest()

    own = getattr(basix.ufl, "_compute_signature", None)
    if own is None:
        return basix.ufl.custom_element(*definition)
    try:
        basix.ufl._compute_signature = named
        return basix.ufl.custom_element(*definition)
    finally:
        basix.ufl._compute_signature = own


@lru_cache
def scalar_element(cell: str, degree: int) -> Any:
    """Basix Lagrange element with equally spaced nodes, for tabulation."""
    return basix.create_element(
        basix.ElementFamily.P,
        getattr(basix.CellType, cell),
        degree,
        basix.LagrangeVariant.equispaced,
    )


def kernel_arguments() -> tuple[Any, ...]:
    """What compiled kernels take after the permutation: from 0.10 on a pointer to user data."""
    # Not above: those who only mesh need no MPI.
    import cffi
    import dolfinx

    return () if tuple(map(int, dolfinx.__version__.split(".")[:2])) < (0, 10) else (cffi.FFI.NULL,)


def interpolation_points(element: Any) -> np.ndarray:
    """Points of an element of a function space that values are interpolated at."""
    points = element.interpolation_points
    return np.asarray(points() if callable(points) else points)
