"""The device: a mesh in metres whose regions and boundaries carry the names of the drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
import ufl
from mpi4py import MPI

from meso import _compat
from meso.errors import FlatCellsError, GeometryError
from meso.geometry import formats, gmsh_process, moving
from meso.geometry.curving import EDGES
from meso.geometry.gmsh_process import Progress, Source
from meso.geometry.groups import Groups
from meso.geometry.layers import DEFAULT_ORDER, Layer, SizeField, Sizes, order_in
from meso.geometry.pieces import Boundary, Facets, Piece
from meso.geometry.planning import Plan, plan_of
from meso.geometry.simplices import CELL
from meso.measures import NamedMeasure, integrate
from meso.mpi import concatenated, largest, on_root, smallest, together, total
from meso.units import quantity

__all__ = ["DEFAULT_ORDER", "Device", "Facets", "Piece", "plan_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Device:
    """A conductor: mesh, regions and boundaries by name.

    Attributes:
        mesh: DOLFINx mesh, coordinates in metres.
        regions: Names of the regions.
        boundaries: Names of the boundaries.
        interfaces: Named curves (3D: surfaces) that lie inside the conductor.
        cell_region: Index into ``regions`` of each cell of this rank.
        facets: Boundary facets of this rank.
        pieces: Smooth stretches of the boundaries.
        islands: Names of the boundaries of each connected part of the conductor.
        length_unit: Metres per unit of the drawing.
        extent: Largest side of the bounding box, m.
        measure: Area, m^2 (volume, m^3, in 3D).
        smallest_cell: Shortest edge of the mesh, m.
        cells: Number of cells of all ranks.
        source: File the device was read from.
        order: Polynomial degree of the fields that the mesh was made for.
        cell_data: Values in the cells of this rank, by the name that they have in a mesh file.
        made: What has been made once of the mesh (:func:`meso.discrete.cells.of_device`).
    """

    mesh: Any
    regions: tuple[str, ...]
    boundaries: tuple[str, ...]
    interfaces: tuple[str, ...]
    cell_region: np.ndarray
    facets: Facets
    pieces: tuple[Piece, ...]
    islands: tuple[tuple[str, ...], ...]
    length_unit: float
    extent: float
    measure: float
    smallest_cell: float
    cells: int
    source: Path
    order: int
    cell_data: dict[str, np.ndarray] = field(default_factory=dict)
    made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def comm(self) -> MPI.Intracomm:
        """Communicator of the mesh."""
        return self.mesh.comm

    @property
    def dimension(self) -> int:
        """Topological dimension of the mesh."""
        return self.mesh.topology.dim

    @cached_property
    def dx(self) -> NamedMeasure:
        """Measure of the conductor: ``f * device.dx``, ``f * device.dx("metal")``."""
        cells = {
            name: np.flatnonzero(self.cell_region == i).astype(np.int32)
            for i, name in enumerate(self.regions)
        }
        return NamedMeasure(kind="dx", mesh=self.mesh, entities=cells)

    @cached_property
    def ds(self) -> NamedMeasure:
        """Measure of the boundary: ``f * device.ds``, ``f * device.ds("source", "drain")``."""
        pairs = np.column_stack([self.facets.cell, self.facets.local]).astype(np.int32)
        facets = {
            name: pairs[self.facets.boundary == i].ravel() for i, name in enumerate(self.boundaries)
        }
        return NamedMeasure(kind="ds", mesh=self.mesh, entities=facets)

    def facets_on(self, boundary: str) -> Facets:
        """This rank's facets of a boundary."""
        return self.facets.of(self.facets.boundary == self.boundaries.index(boundary))

    @cached_property
    def cell_tags(self) -> dolfinx.mesh.MeshTags:
        """DOLFINx tags of this rank's cells: ``device.regions.index(name)``."""
        cells = np.arange(len(self.cell_region), dtype=np.int32)
        values = self.cell_region.astype(np.int32)
        return dolfinx.mesh.meshtags(self.mesh, self.dimension, cells, values)

    @cached_property
    def facet_tags(self) -> dolfinx.mesh.MeshTags:
        """DOLFINx tags of this rank's boundary facets: ``device.boundaries.index(name)``."""
        d, topology = self.dimension, self.mesh.topology
        topology.create_connectivity(d, d - 1)
        topology.create_connectivity(d - 1, d)
        of_cell = topology.connectivity(d, d - 1).array.reshape(-1, d + 1)
        facets = of_cell[self.facets.cell, self.facets.local].astype(np.int32)
        order = np.argsort(facets)
        values = self.facets.boundary[order].astype(np.int32)
        return dolfinx.mesh.meshtags(self.mesh, d - 1, facets[order], values)

    @property
    def n(self) -> ufl.FacetNormal:
        """Outward unit normal of the boundary."""
        return ufl.FacetNormal(self.mesh)

    def integrate(self, form: ufl.Form) -> float:
        """Value of an integral over the device or its boundary; all ranks call this.

        Args:
            form: UFL form without arguments, by :attr:`Device.dx` and :attr:`Device.ds`.

        Returns:
            The number, SI: unit of the integrand times m^d, on boundaries m^(d-1).
        """
        return integrate(self.comm, form)

    def sample(self, function: Any, points: Any) -> np.ndarray:
        """Values of a function of your own at points, the same on every rank.

        Args:
            function: DOLFINx function on :attr:`Device.mesh`, of a Lagrange or "DG" space.
            points: Coordinates in metres, shape (m, d).

        Returns:
            Shape (m,) or (m, components), NaN outside the device.
        """
        from meso.discrete.sampling import sample_functions

        return sample_functions(self, {"f": function}, points)["f"]

    def moved(self, displacement: np.ndarray) -> Device:
        """The device whose nodes have moved, with the same cells, names and boundary facets.

        Corners between pieces, and which facets are opposite to one another on periodic pairs,
        stay what they are. All ranks call this.

        Args:
            displacement: How far each geometry node of this rank moves, m, shape (n, d); of a
                node that several ranks have, what its owner says counts.

        Returns:
            The new device.

        Raises:
            GeometryError: A cell would fold over, or nearly so.
        """
        x, nodes, degree = _compat.geometry(self.mesh)
        d, index_map = self.dimension, self.mesh.geometry.index_map()
        step = dolfinx.la.vector(index_map, d)
        step.array[:] = np.reshape(displacement, (len(x), d)).ravel()
        step.scatter_forward()
        before, change = x[:, :d], step.array.reshape(-1, d)
        after = before + change
        self._check_cells(before, change, nodes, degree)
        boundary = Boundary(
            points=after,
            cell=self.facets.cell,
            nodes=nodes[self.facets.cell],
            local=self.facets.local,
            degree=degree,
            name=self.facets.boundary,
            names=self.boundaries,
            corners=np.empty(0, np.int64),
            path=self.source,
        )
        sizes, inside = together(self.comm, boundary.sizes)
        places = np.column_stack([self.facets.piece, self.facets.order])
        facets, pieces = moving.measured(
            self.facets,
            self.pieces,
            concatenated(self.comm, sizes),
            concatenated(self.comm, places),
            d == 2,
        )
        corners = after[nodes[:, : d + 1]]
        edges = np.linalg.norm(np.diff(corners[:, EDGES[d]], axis=2), axis=-1)
        wide = [
            largest(self.comm, corners[..., i].max(initial=-np.inf))
            - smallest(self.comm, corners[..., i].min(initial=np.inf))
            for i in range(d)
        ]
        return replace(
            self,
            mesh=_compat.with_nodes(self.mesh, after),
            facets=facets,
            pieces=pieces,
            extent=max(wide),
            measure=total(self.comm, inside.sum()),
            smallest_cell=smallest(self.comm, edges.min(initial=np.inf)),
        )

    def _check_cells(
        self, before: np.ndarray, change: np.ndarray, nodes: np.ndarray, degree: int
    ) -> None:
        """Raise a GeometryError if a cell folds over where nodes move by ``change``."""

        def kept(part: float) -> np.ndarray:
            return moving.least_determinants(before, before + part * change, nodes, degree)

        def least(part: float) -> float:
            # What is no number does not fit either.
            return smallest(self.comm, np.nan_to_num(kept(part), nan=-1.0).min(initial=1.0))

        if least(1.0) >= moving.LEAST:
            return
        bad = np.flatnonzero(~(kept(1.0) >= moving.LEAST))
        places = before[nodes[bad, : self.dimension + 1]].mean(axis=1) / self.length_unit
        found = concatenated(self.comm, places)
        part = moving.largest_step(lambda part: least(part) >= moving.LEAST)
        place = ", ".join(f"{x:.6g}" for x in found[0])
        raise GeometryError(
            f"{self.source}: {len(found)} cells would fold over where the nodes move, the first"
            f" near ({place}); {part:.3g} of the displacement is possible"
        )

    @classmethod
    def from_gmsh(
        cls,
        path: str | Path,
        *,
        length_unit: str | float,
        parameters: Mapping[str, float] | None = None,
        order: int | None = None,
        size: str | float | None = None,
        layers: Mapping[str, Layer] | None = None,
        interface: Layer | None = None,
        coarsen: bool = True,
        known_only: bool = False,
        geometry_order: int | None = None,
        groups: Groups | None = None,
        wanted: SizeField | None = None,
        trusted: bool = False,
        many_cells: bool = False,
        progress: Progress = lambda text: None,
        comm: MPI.Comm = MPI.COMM_WORLD,
    ) -> Device:
        """Read a drawing or a CAD file, meshed here, or a mesh, with its names.

        A drawing with physical volumes, and a CAD file with volumes, makes a three-dimensional
        device.

        Args:
            path: The file; :mod:`meso.geometry.formats` lists what is read.
            length_unit: Unit of its coordinates ("nm"), or metres per unit.
            parameters: Variables of a ``.geo`` file to set, in the unit of the file.
            order: Polynomial degree of the fields that the mesh is made for; by default 4, in 3D
                2. :attr:`Device.order` tells it.
            size: Largest cell size ("10 nm", or metres); by default a fraction of the local
                channel width or thickness. Not for mesh files.
            layers: Cell sizes at boundaries, by name, lengths in metres. Not for mesh files.
            interface: The same on both sides of the boundaries between regions.
            coarsen: True if layers may be coarsened where they would take too many cells.
            known_only: True to leave out layers at boundaries that the drawing does not have.
            geometry_order: Degree of curved cells, not for mesh files, in 3D at most 2. By default
                the even degree that keeps the order of the field at curved walls, in 3D 2.
            groups: Names of the regions and boundaries of a CAD file.
            wanted: Sizes that a solution on an earlier mesh asks for, in metres, known to rank 0;
                they take the place of refinement at corners and of flat cells. For 2D drawings.
            trusted: True if the drawing may run commands and write files
                (:mod:`meso.geometry.scripts`).
            many_cells: True to mesh even if more than a million cells are to be expected and no
                size is given.
            progress: Called on rank 0 with the expected number of cells.
            comm: Communicator; rank 0 reads and meshes.

        Returns:
            The device.

        Raises:
            GeometryError: A file that cannot be read or meshed; missing names; boundary facets
                without a name.
        """
        unit = (
            length_unit
            if isinstance(length_unit, float)
            else quantity(f"1 {length_unit}", "m", where="length_unit")
        )
        sizes = Sizes(
            order=order,
            bulk=None if size is None else quantity(size, "m", where="size") / unit,
            layers={name: layer.over(unit) for name, layer in (layers or {}).items()},
            interface=interface.over(unit) if interface else None,
            coarsen=coarsen,
            known_only=known_only,
            stretched=wanted is None,
            wanted=wanted.over(unit) if wanted else None,
        )
        source = Source(
            path=Path(path),
            unit=unit,
            parameters=dict(parameters or {}),
            sizes=sizes,
            geometry_order=geometry_order,
            groups=groups,
            trusted=trusted,
            many_cells=many_cells,
        )
        return device_of(source, comm, progress)

    @classmethod
    def _distribute(
        cls,
        plan: Plan,
        unit: float,
        path: Path,
        comm: MPI.Comm,
        order: int | tuple[int, int] | None = None,
    ) -> Device:
        dimension = plan.dimension
        element = _compat.coordinate_element(CELL[dimension], plan.degree, dimension)
        if comm.rank == 0:
            nodes, points = plan.nodes, plan.points
        else:
            nodes, points = plan.nodes[:0], plan.points[:0]
        mesh = dolfinx.mesh.create_mesh(comm, nodes, x=points, e=element)
        mesh.name = path.stem
        local = mesh.topology.index_map(dimension).size_local
        original = np.asarray(mesh.topology.original_cell_index)[:local]
        where = np.full(len(plan.cell_region), -1)
        where[original] = np.arange(local)
        facets = plan.facets.of(where[plan.facets.cell] >= 0)
        return cls(
            mesh=mesh,
            **plan.parts,
            cell_region=plan.cell_region[original],
            facets=replace(facets, cell=where[facets.cell]),
            length_unit=unit,
            cells=len(plan.cell_region),
            source=path,
            order=order_in(dimension, order),
            cell_data={name: values[original] for name, values in plan.cell_data.items()},
        )


def _plan(source: Source, progress: Progress) -> Plan:
    """Read, and mesh where it is a drawing, the file of a device."""
    path, kind = source.path, formats.kind(source.path)
    if source.parameters and kind != "drawing":
        raise GeometryError(
            f"{path}: parameters are for .geo drawings, not for a"
            f" {'CAD file' if kind == 'cad' else 'mesh'}"
        )
    if source.groups is not None and kind != "cad":
        raise GeometryError(f"{path}: groups are for CAD files ({', '.join(formats.CAD)})")
    if kind == "imported":
        from meso.geometry.foreign import read_mesh

        return plan_of(read_mesh(path), path, source.unit)
    try:
        return gmsh_process.call("geometry.meshing.plan", source, progress)
    except FlatCellsError:
        source = replace(source, sizes=replace(source.sizes, stretched=False))
        return gmsh_process.call("geometry.meshing.plan", source, progress)


def device_of(
    source: Source, comm: MPI.Comm = MPI.COMM_WORLD, progress: Progress = lambda text: None
) -> Device:
    """What :meth:`Device.from_gmsh` returns, of a drawing and sizes in the unit of its file."""
    plan = on_root(comm, lambda: _plan(source, progress))
    return Device._distribute(plan, source.unit, source.path, comm, order=source.sizes.order)


def bounding_box(source: Source, comm: MPI.Comm | None) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of a drawing, m, shape (d,) each, without a mesh."""
    low, high = on_root(
        comm or MPI.COMM_SELF, lambda: gmsh_process.call("geometry.meshing.bounding_box", source)
    )
    return low * source.unit, high * source.unit
