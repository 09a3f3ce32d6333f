"""What a result leaves for ParaView: fields, walls and named boundaries as Lagrange cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pprint import pformat

import numpy as np
from scipy.spatial.distance import cdist

from meso.boundary import law_of
from meso.constants import ELECTRON_CHARGE
from meso.device import Device
from meso.discrete.cells import FacetGeometry, cells_of, facet_geometry, lagrange
from meso.discrete.fields import Field, magnitudes, on_facets
from meso.files.vtu import vtk_nodes, vtk_order, write_vtu
from meso.mpi import concatenated
from meso.observables.corners import clipped
from meso.observables.edges import WallValues, piece_centers, wall_values
from meso.orbital import couplings
from meso.results.result import Result

# What gradients of the current make.
MADE = ("orbital_density", "spin_density")
# Cells agree about a value if they differ by no more than this part of the largest: 40 times less
# than one of 256 colours, and 10 times more than jumps of the potential where a mesh is good.
_AGREED = 1e-4


def curls(result: Result) -> dict[str, np.ndarray]:
    """Fields that are multiples of the vorticity, and their factor in each region.

    Of those that are made of all of the gradient of J, the tensor kappa.
    """
    out: dict[str, np.ndarray] = {}
    if "vorticity" in result.fields:
        out["vorticity"] = np.ones(len(result.device.regions))
    for name in [name for name in MADE if name in result.fields]:
        kappa = couplings(result.flow, name.removesuffix("_density"))
        assert kappa is not None
        out[name] = kappa * ELECTRON_CHARGE if kappa.ndim == 1 else kappa
    return out


def write_fields(result: Result, path: Path) -> None:
    """The fields on the cells of this rank."""
    device = result.device
    cells = cells_of(device)
    fields = {name: result.fields[name] for name in result.written}
    degree = max([cells.degree, *(f.degree for f in fields.values())])
    reference = vtk_nodes(degree, device.dimension)
    nodes = lagrange(device, degree).dofs[:, vtk_order(len(reference), device.dimension)]
    # What belongs to a material may jump where two regions meet.
    sides = nodes * len(device.regions) + device.cell_region[:, None]
    data, units = {}, {}
    for name, field in fields.items():
        values = _agreed(field.everywhere(reference), sides)
        found = result.extrema.get(name)
        kinds = {name: values}
        if found is not None and found.spikes:
            # Programs take colours from the whole range, whatever a file says about it.
            kinds[f"{name}_clipped"] = clipped(values, found)
        for kind, shown in kinds.items():
            data[kind] = shown if field.components > 1 else shown[..., 0]
            units[kind] = field.unit
    write_vtu(
        path,
        cells.positions(np.arange(cells.count), reference) * device.extent,
        data,
        nodes=nodes,
        cell_data={"region": device.cell_region.astype(np.int64)},
        names={f"region: {name}": i for i, name in enumerate(device.regions)},
        units=units,
    )


def write_walls(result: Result, path: Path) -> None:
    """The walls of a 3D device as triangles of the true degree, with what happens at them."""
    flow, device = result.flow, result.device
    degree = max(cells_of(device).degree, flow.fields["current_density"].degree)
    walls = {name: wall_values(flow, name, vtk_nodes(degree)) for name in result.walls}

    def joined(take: Callable[[WallValues], np.ndarray]) -> np.ndarray:
        return np.concatenate([take(values) for values in walls.values()])

    nodes = joined(lambda v: _facet_nodes(device, degree, v.geometry))
    piece, region = joined(lambda v: v.facets.piece), joined(lambda v: v.region)
    data = {
        "current_density": joined(lambda v: v.current),
        "normal": joined(lambda v: v.geometry.normal),
    }
    vorticity = joined(lambda v: v.vorticity)
    for name, factor in curls(result).items():
        if factor.ndim == 1:
            data[name] = vorticity * factor[region][:, None, None]
        else:
            data[name] = joined(lambda v, kappa=factor: v.contracted(kappa))  # type: ignore[misc]
    sides = (nodes * len(device.pieces) + piece[:, None]) * len(device.regions) + region[:, None]
    counts = [len(values.region) for values in walls.values()]
    write_vtu(
        path,
        joined(lambda v: v.position),
        # Derivatives jump from facet to facet: their mean is nearer to the truth.
        {name: _agreed(values, sides, np.inf) for name, values in data.items()},
        dimension=2,
        nodes=nodes,
        cell_data={"wall": np.repeat(np.arange(len(walls)), counts), "segment": piece},
        names={f"wall: {name}": i for i, name in enumerate(walls)},
        units={name: result.fields[name].unit for name in data if name in result.fields},
    )


def write_boundaries(result: Result, path: Path) -> None:
    """All boundaries, as lines or triangles, with their names and kinds."""
    device, laws = result.device, result.flow.boundaries
    facets, cells = device.facets, cells_of(device)
    at = vtk_nodes(cells.degree, device.dimension - 1)
    geometry = facet_geometry(cells, facets.cell, facets.local, at)
    kinds = [(type(law_of(laws, name)).__name__.lower(), name) for name in device.boundaries]
    write_vtu(
        path,
        geometry.position * device.extent,
        {},
        dimension=device.dimension - 1,
        nodes=_facet_nodes(device, cells.degree, geometry),
        cell_data={
            "boundary": facets.boundary.astype(np.int64),
            "piece": facets.piece.astype(np.int64),
        },
        names={f"{kind}: {name}": i for i, (kind, name) in enumerate(kinds)},
    )


def _facet_nodes(device: Device, degree: int, geometry: FacetGeometry) -> np.ndarray:
    """Numbers of nodes at points of facets that are Lagrange nodes of some degree, shape (f, q)."""
    space, at = lagrange(device, degree), geometry.points
    place = cdist(at.reshape(-1, at.shape[2]), space.points).argmin(axis=1).reshape(at.shape[:2])
    return np.asarray(space.dofs[geometry.cell[:, None], place[geometry.local]])


def _agreed(values: np.ndarray, sides: np.ndarray, part: float = _AGREED) -> np.ndarray:
    """Values (c, n, k) with the mean at nodes, on one side, about which all cells agree.

    A field may be continuous but for rounding, or, as the potential of flows without divergence,
    but for errors of the method.
    """
    _, first, which = np.unique(sides, return_index=True, return_inverse=True)
    which, flat = which.ravel(), values.reshape(sides.size, values.shape[2])
    count, apart = np.bincount(which), flat - flat[first[which]]
    off = np.column_stack([np.bincount(which, column) for column in apart.T]) / count[:, None]
    limit = part * (np.abs(flat).max(initial=0.0) or 1.0)
    agree = np.bincount(which, (np.abs(apart) > limit).any(axis=1)) == 0
    mean = (flat[first] + off)[which]  # exact where all are equal
    return np.where(agree[which][:, None], mean, flat).reshape(values.shape)


def macro(result: Result) -> str:
    """A script for ParaView that shows the current and the orbital density; on every rank."""
    device, laws = result.device, result.flow.boundaries
    curl = next((n for n in ("orbital_density", "vorticity") if n in result.written), None)
    fields = {}
    for name in filter(None, ("current_density", curl)):
        field = result.fields[name]
        most, axis = _usual(result, field)
        signed = name != "current_density"
        along = "XYZ"[axis] if signed and field.components > 1 else ""
        label = {"current_density": "J", "orbital_density": "L", "vorticity": "vorticity"}[name]
        fields[name] = {
            "range": [-most if signed else 0.0, most],
            "component": along,
            "vector": field.components > 1,
            "palette": "Cool to Warm" if signed else "Inferno (matplotlib)",
            "title": f"{label}{'_' + (along or 'Z').lower() if signed else ''} in {field.unit}",
        }
    currents = {name: t.current for name, t in (result.contacts or result.periodic).items()}
    inlet = max(currents, key=currents.__getitem__, default=None)
    centers = piece_centers(device)
    flat = [0.0] * (3 - device.dimension)
    boundaries = [
        {
            "name": name,
            "kind": type(law_of(laws, name)).__name__.lower(),
            "places": [
                [*map(float, center), *flat]
                for piece, center in zip(device.pieces, centers, strict=True)
                if piece.boundary == name
            ],
        }
        for name in device.boundaries
    ]
    told = {
        "dimension": device.dimension,
        "unit": device.length_unit,
        "length": {1e-9: "nm", 1e-6: "um", 1e-3: "mm", 1.0: "m"}.get(device.length_unit, "units"),
        "size": device.extent / device.length_unit,
        "lines": 60 if device.dimension == 3 else 25,
        "tube": 0.004 if device.dimension == 3 else 0.0015,
        "fields": fields,
        "curl": curl,
        "walls": device.dimension == 3 and bool(result.walls),
        "inlet": device.boundaries.index(inlet) if inlet is not None else None,
        "boundaries": boundaries,
    }
    text = Path(__file__).with_name("paraview_macro.py").read_text(encoding="utf-8")
    return text.replace("DEVICE: dict = {}", f"DEVICE: dict = {pformat(told, width=96)}")


def _usual(result: Result, field: Field) -> tuple[float, int]:
    """What nearly all of a field does not exceed, and which component is the largest at walls."""
    device, cells, comm = result.device, cells_of(result.device), result.device.comm
    center = np.full((1, device.dimension), 1 / (device.dimension + 1))
    inside = concatenated(comm, field.everywhere(center)[:, 0])
    most = _quantile(inside, concatenated(comm, cells.measures(np.arange(cells.count))), 0.98)
    facets = device.facets
    walls = [i for i, name in enumerate(device.boundaries) if name in result.walls]
    chosen = facets.of(np.isin(facets.boundary, walls))
    at = facet_geometry(cells, chosen.cell, chosen.local, *cells.facet_quadrature(1))
    values = concatenated(comm, on_facets(field, at)[:, 0])
    if not len(values):
        return most, 0
    area = concatenated(comm, at.weight[:, 0])
    return max(most, 1.2 * _quantile(values, area, 0.97)), int(np.argmax(area @ values**2))


def _quantile(values: np.ndarray, weights: np.ndarray, part: float) -> float:
    """What a part, by weight, of the magnitudes of values (m, k) does not exceed."""
    size = magnitudes(values)
    order = np.argsort(size)
    total = np.cumsum(weights[order])
    return float(size[order][np.searchsorted(total, part * total[-1])])
