"""The only place that knows differences between DOLFINx versions (0.9 to 0.11)."""

from __future__ import annotations

from typing import Any

import basix
import basix.ufl
import numpy as np


def geometry(mesh: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Node coordinates (n, 3), nodes of each cell and polynomial degree of a mesh."""
    g = mesh.geometry
    cmap = getattr(g, "cmap", None) or g.cmaps[0]
    if callable(cmap):
        cmap = cmap(0)
    dofmap = g.dofmap
    if callable(dofmap):
        dofmap = dofmap(0)
    return g.x, np.asarray(dofmap), cmap.degree


def coordinate_element(cell: str, degree: int, dimension: int) -> Any:
    """Lagrange coordinate element with equally spaced nodes."""
    return basix.ufl.element(
        "Lagrange",
        cell,
        degree,
        lagrange_variant=basix.LagrangeVariant.equispaced,
        shape=(dimension,),
    )


def scalar_element(cell: str, degree: int) -> Any:
    """Basix Lagrange element with equally spaced nodes, for tabulation."""
    return basix.create_element(
        basix.ElementFamily.P,
        getattr(basix.CellType, cell),
        degree,
        basix.LagrangeVariant.equispaced,
    )
