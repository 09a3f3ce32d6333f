"""From a file to a plan of its mesh: what the process of Gmsh does.

Nothing here may load MPI: :mod:`meso.geometry.gmsh_process` calls it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np

from meso.errors import FlatCellsError, GeometryError
from meso.geometry import drawing, formats, sizing
from meso.geometry.extraction import extract
from meso.geometry.gmsh_process import Progress, Source
from meso.geometry.layers import Sizes, order_in
from meso.geometry.planning import Plan, plan_of

#: Cells from which on somebody must have asked for them.
MANY = 1_000_000


def plan(source: Source, progress: Progress) -> Plan:
    """Read, and mesh where it is a drawing, the file of a device; progress tells of the cells.

    Raises what :meth:`meso.Device.from_gmsh` raises.
    """
    drawing.start()
    if formats.is_meshed_here(source.path):
        return _meshed(source, progress)
    drawing.open_mesh(source.path, trusted=source.trusted)
    return plan_of(extract(source.path, None), source.path, source.unit)


def bounding_box(source: Source, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of a drawing, in its unit, shape (d,) each."""
    drawing.start()
    dimension = open_source(source)
    low, high = drawing.bounding_box()
    return low[:dimension], high[:dimension]


def open_source(source: Source) -> int:
    """Open a drawing or CAD file; returns its dimension."""
    if formats.kind(source.path) == "cad":
        from meso.geometry.cad import open_cad  # with its groups, which take long to load

        open_cad(source.path, source.groups, source.unit)
    else:
        drawing.open_geo(source.path, source.parameters, trusted=source.trusted)
    dimension = drawing.dimension_of_drawing()
    drawing.named_regions(source.path, dimension)
    return dimension


def _meshed(source: Source, progress: Progress) -> Plan:
    """Open a drawing, mesh it with the wanted sizes and read the mesh."""
    path, dimension = source.path, open_source(source)
    sizes = source.sizes.resolved(order_in(dimension, source.sizes.order))
    degree = _geometry_order(source, dimension)
    _check_names(path, sizes, dimension)
    flat = dimension == 2 and sizes.stretched and bool(sizes.layers)
    try:
        flat &= sizing.mesh_drawing(path, sizes, dimension, _announcement(source, progress))
        return plan_of(extract(path, degree), path, source.unit)
    except GeometryError as error:
        if flat:
            raise FlatCellsError(str(error)) from None
        raise


def _announcement(source: Source, progress: Progress) -> Callable[[float], None]:
    """What is told of the expected number of cells, and when that is too many."""

    def announce(cells: float) -> None:
        about = f"{cells:.2g}" if cells >= MANY else f"{float(f'{cells:.2g}'):.0f}"
        if cells > MANY and not (source.many_cells or source.sizes.is_explicit):
            raise GeometryError(
                f"{source.path}: the mesh would have about {about} cells, more than a million; is"
                " the drawing meant so, with its finest details and its own sizes? Give mesh.size"
                " or mesh.wall_size, or go on with --yes (many_cells = True in Python)"
            )
        progress(f"meshing {source.path.name}: about {about} cells")

    return announce


def _check_names(path: Path, sizes: Sizes, dimension: int) -> None:
    """Raise a GeometryError if a wall size is given for a boundary that the drawing lacks."""
    known = drawing.groups(path, dimension - 1)
    for name in sizes.layers:
        if name not in known and not sizes.known_only:
            raise GeometryError(
                f"{path}: no physical {drawing.KIND[dimension - 1]} '{name}'; the drawing has"
                f" {', '.join(known) or 'none'}"
            )


def _geometry_order(source: Source, dimension: int) -> int:
    """Degree of the curved cells of a drawing."""
    given = source.geometry_order
    if dimension == 2:
        return given or 2 * ceil(order_in(2, source.sizes.order) / 2)
    if given and given > 2:
        raise GeometryError(
            f"{source.path}: found mesh.geometry_order = {given}; curved tetrahedra have degree 2,"
            " so that in three dimensions it is 1 or 2"
        )
    return given or 2
