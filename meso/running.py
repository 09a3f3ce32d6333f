"""From a case to a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import numpy as np
from mpi4py import MPI

from meso import exact_match
from meso.boundary import Wall
from meso.case import Case
from meso.cells import cells_of, facet_geometry
from meso.device import Device
from meso.errors import CaseError
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.ohmic import Ohmic
from meso.flow.result import check_device
from meso.layers import Layer
from meso.mpi import largest
from meso.orbital import couplings, edge_moments, orbital_density, vorticity
from meso.result import Result
from meso.sampling import check_probes

MODELS: dict[str, Any] = {"ohmic": Ohmic, "hydrodynamic": Hydrodynamic}

#: Knudsen number above which the two harmonics are no longer a description of the flow.
LARGE_KNUDSEN = 0.2

Progress = Callable[[str], None]


def build_device(case: Case, comm: MPI.Comm = MPI.COMM_WORLD) -> Device:
    """Read and mesh the drawing of a case, with the vorticity layers resolved.

    Args:
        case: The case.
        comm: Communicator.

    Returns:
        The device, its names checked against those of the case.

    Raises:
        GeometryError: See :meth:`Device.from_gmsh`.
        CaseError: Names or units that do not fit.
    """
    lengths = [case.materials[m].vorticity_diffusion_length for m in case.regions.values()]
    known = [x for x in lengths if x]
    layers: dict[str, Layer] = {}
    given = case.mesh.wall_size
    meshable = case.geometry.file.suffix == ".geo"
    walls = [name for name, law in case.boundaries.items() if isinstance(law, Wall)]
    interface = None
    if meshable and case.flow.model != "ohmic" and known:
        interface = Layer(decay=min(known))
        layers = {name: Layer(decay=min(known), size=given) for name in walls}
    elif meshable and given:
        layers = {name: Layer(size=given, reach=10 * given) for name in walls}
    if not meshable and (case.mesh.size or given):
        raise CaseError(("mesh", f"{case.geometry.file.name} is a mesh already: no size applies"))
    device = Device.from_gmsh(
        case.geometry.file,
        length_unit=case.geometry.length_unit,
        parameters=case.geometry.parameters,
        order=case.flow.order,
        size=case.mesh.size,
        layers=layers,
        interface=interface,
        known_only=True,
        coarsen=given is None,
        geometry_order=case.mesh.geometry_order,
        comm=comm,
    )
    materials = {region: case.materials[name] for region, name in case.regions.items()}
    check_device(device, materials, case.boundaries)
    case.current_unit(device.dimension)
    check_probes(device, case.output.probes)
    return device


def run(
    case: Case, *, comm: MPI.Comm = MPI.COMM_WORLD, progress: Progress = lambda text: None
) -> Result:
    """Solve a case.

    Args:
        case: The case.
        comm: Communicator; all ranks call this function.
        progress: Called with a line of text at the beginning of each phase.

    Returns:
        The result, on every rank.

    Raises:
        CaseError: Something in the case does not fit the drawing.
        GeometryError: The drawing cannot be used.
        ConvergenceError: The solver failed.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def phase(name: str, text: str) -> Iterator[None]:
        progress(text)
        start = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - start

    try:
        with phase("mesh", f"meshing {case.geometry.file.name}"):
            device = build_device(case, comm)
        with phase("solve", f"solving {case.flow.model} flow on {device.cells} cells"):
            flow = MODELS[case.flow.model](
                device,
                materials={r: case.materials[name] for r, name in case.regions.items()},
                boundaries=case.boundaries,
                order=case.flow.order,
                thickness=case.geometry.thickness,
                solver=case.flow.solver,
            ).solve()
    except CaseError as error:
        file = None if case.file is None else str(case.file)
        raise CaseError(*error.problems, file=error.file or file) from None
    with phase("orbital", "vorticity and orbital density"):
        fields: dict[str, Any] = dict(flow.fields)
        moments: tuple[Any, ...] = ()
        # Potential flow has no vorticity, unless somebody wants to see that.
        asked = {"vorticity", "orbital_density"} & set(case.output.fields or ())
        if flow.model != "ohmic" or asked:
            fields["vorticity"] = vorticity(flow)
            if couplings(flow) is not None:
                fields["orbital_density"] = orbital_density(flow, fields["vorticity"])
                moments = tuple(edge_moments(flow, fields["orbital_density"]))
    return Result(
        case=case,
        flow=flow,
        fields=fields,
        edge_moments=moments,
        warnings=(*case.warnings, *resolution_warnings(case, device)),
        seconds=seconds,
        closed_form=exact_match.closed_form(flow),
    )


def knudsen_number(case: Case, device: Device) -> float | None:
    """Largest mean free path over the mean width, twice the area over the length of the walls.

    Collisions of every kind count, 1/(1/lambda + 1/lambda_ee): the closure needs them to be
    frequent, not to relax momentum.
    """
    materials = [case.materials[name] for name in case.regions.values()]
    paths = [
        1 / (1 / m.mean_free_path + 1 / m.electron_electron_mean_free_path)
        for m in materials
        if m.mean_free_path
    ]
    walls = sum(p.measure for p in device.pieces if isinstance(case.boundaries[p.boundary], Wall))
    return max(paths) * walls / (2 * device.measure) if paths and walls else None


def wall_resolution(case: Case, device: Device) -> dict[str, float]:
    """Largest cell at each wall over the vorticity diffusion length there."""
    lengths = np.array(
        [case.materials[case.regions[r]].vorticity_diffusion_length or inf for r in device.regions]
    )
    cells = cells_of(device)
    center = np.full((1, device.dimension - 1), 1 / device.dimension)
    out = {}
    for index, name in enumerate(device.boundaries):
        if not isinstance(case.boundaries[name], Wall):
            continue
        facets = device.facets.of(device.facets.boundary == index)
        geometry = facet_geometry(cells, facets.cell, facets.local, center, np.ones(1))
        size = geometry.height * device.extent
        ratio = size / lengths[device.cell_region[facets.cell]]
        out[name] = largest(device.comm, ratio.max(initial=0.0))
    return out


def resolution_warnings(case: Case, device: Device) -> list[str]:
    """What makes the numbers less than they look."""
    if case.flow.model == "ohmic":
        return []
    out = []
    for name, ratio in wall_resolution(case, device).items():
        if ratio > 1:
            out.append(
                f"wall '{name}': cells are up to {ratio:.2g} vorticity diffusion lengths high:"
                " currents are good, the wall vorticity is not; set a smaller mesh.wall_size"
            )
    knudsen = knudsen_number(case, device)
    if knudsen is not None and knudsen > LARGE_KNUDSEN * (1 + 1e-9):
        out.append(
            f"Knudsen number {knudsen:.2g} (mean free path over mean width): the hydrodynamic"
            " model is an extrapolation above about 0.2"
        )
    return out
