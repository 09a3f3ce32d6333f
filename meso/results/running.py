"""From a case to a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Any

import numpy as np
from mpi4py import MPI

from meso.angular_momentum import report
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.lengths import combined
from meso.angular_momentum.problem import problem, wall_layers
from meso.boundary import Wall
from meso.case import Case
from meso.compiled import announced
from meso.device import Device, bounding_box
from meso.discrete.coefficients import shortest_diffusion_length
from meso.discrete.fields import Field
from meso.discrete.own_terms import Term
from meso.discrete.sampling import check_places
from meso.equations.derived import TABLE, Derived
from meso.errors import CaseError, ConvergenceError
from meso.evidence import exact_match, resolution
from meso.evidence.adapting import Adaptivity, adapt
from meso.evidence.convergence import Convergence, converge
from meso.flow.bounds import Bounds, conductance_bounds
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.kinetic import Kinetic
from meso.flow.ohmic import Ohmic
from meso.flow.result import Flow, check_device
from meso.geometry.layers import Layer, SizeField
from meso.mpi import failing_together
from meso.observables import corners
from meso.observables.accumulation import EdgeMoment, edge_moments
from meso.observables.derived import derive
from meso.observables.grazing import iteration_tolerance
from meso.orbital import couplings, orbital_density, vorticity
from meso.results.result import Result

MODELS: dict[str, Any] = {"ohmic": Ohmic, "hydrodynamic": Hydrodynamic, "kinetic": Kinetic}

Progress = Callable[[str], None]


def build_device(
    case: Case,
    comm: MPI.Comm = MPI.COMM_WORLD,
    wanted: SizeField | None = None,
    *,
    trusted: bool = False,
    many_cells: bool = False,
    progress: Progress = lambda text: None,
) -> Device:
    """Read and mesh the drawing of a case, with the vorticity layers resolved.

    Args:
        case: The case.
        comm: Communicator.
        wanted: Sizes that a solution asks for, where the mesh is adapted.
        trusted: True if the drawing may run commands and write files.
        many_cells: True to mesh whatever number of cells is to be expected.
        progress: Called with the expected number of cells.

    Returns:
        The device, its names checked against those of the case.

    Raises:
        GeometryError: See :meth:`Device.from_gmsh`.
        CaseError: Names or units that do not fit.
    """
    if wanted is None and case.mesh.adapt is not None:
        wanted = SizeField.anything()
    layers: dict[str, Layer] = {}
    given = case.mesh.wall_size
    meshable = case.geometry.is_drawing
    walls = [name for name, law in case.boundaries.items() if isinstance(law, Wall)]
    interface = None
    # Adapted meshes resolve layers where the target needs it.
    viscous = meshable and case.flow.model != "ohmic" and wanted is None
    if viscous and (shortest := _shortest_layer(case, comm, trusted)):
        interface = Layer(decay=shortest)
        layers = {name: Layer(decay=shortest, size=given) for name in walls}
    elif meshable and given:
        layers = {name: Layer(size=given, reach=10 * given) for name in walls}
    if meshable:
        layers, interface = _with_densities(case, layers, walls, interface)
    if not meshable and (case.mesh.size or given):
        raise CaseError(("mesh", f"{case.geometry.file.name} is a mesh already: no size applies"))
    device = Device.from_gmsh(
        case.geometry.file,
        length_unit=case.geometry.length_unit,
        parameters=case.geometry.parameters,
        order=case.flow.degree,
        size=case.mesh.size,
        layers=layers,
        interface=interface,
        known_only=True,
        coarsen=given is None,
        geometry_order=case.mesh.geometry_order,
        groups=case.geometry.groups,
        wanted=wanted,
        trusted=trusted,
        many_cells=many_cells,
        progress=progress,
        comm=comm,
    )
    materials = {region: case.materials[name] for region, name in case.regions.items()}
    check_device(device, materials, case.boundaries)
    case.current_unit(device.dimension)
    check_places(device, case.output)
    return device


def _shortest_layer(case: Case, comm: MPI.Comm, trusted: bool) -> float | None:
    """Decay length of the thinnest layer at walls, m; None if there is none.

    That of the vorticity, or in the kinetic model the mean free path of all collisions.
    """
    shortest = _shortest_diffusion_length(case, comm, trusted)
    if case.flow.model != "kinetic" or shortest is None:
        return shortest
    ratios = []
    for name in case.regions.values():
        material = case.materials[name]
        between = material.electron_electron_mean_free_path
        path = material.mean_free_path
        if between == inf or not isinstance(path, float | int):
            ratios.append(2.0)
        else:  # 1/(1/lambda + 1/lambda_ee) over l
            ratios.append(2.0 / np.sqrt(1 + path / between))
    return shortest * min(ratios)


def _with_densities(
    case: Case, layers: dict[str, Layer], walls: list[str], interface: Layer | None
) -> tuple[dict[str, Layer], Layer | None]:
    """Layers that also resolve the densities of angular momentum."""
    own = wall_layers(case)
    if not own:
        return layers, interface

    def joined(layer: Layer | None) -> Layer:
        return combined([*own, *([layer] if layer and layer.decay else [])])

    plain = [Layer(decay=layer.decay) for layer in own]
    inside = combined([*plain, interface] if interface else plain)
    return {name: joined(layers.get(name)) for name in walls}, inside


def _shortest_diffusion_length(case: Case, comm: MPI.Comm, trusted: bool) -> float | None:
    """Shortest vorticity diffusion length of all regions, m; None if there is none."""
    materials = [case.materials[name] for name in case.regions.values()]
    low = high = np.zeros(2)
    if any(material.varies for material in materials):
        low, high = bounding_box(
            case.geometry.file,
            length_unit=case.geometry.length_unit,
            parameters=case.geometry.parameters,
            groups=case.geometry.groups,
            trusted=trusted,
            comm=comm,
        )
    lengths = [shortest_diffusion_length(material, low, high) for material in materials]
    return min((length for length in lengths if length), default=None)


def run(
    case: Case,
    *,
    comm: MPI.Comm = MPI.COMM_WORLD,
    progress: Progress = lambda text: None,
    earlier: Flow | None = None,
    trusted: bool = False,
    many_cells: bool = False,
    terms: Sequence[Term] = (),
    angular_momentum_terms: Sequence[Term] = (),
    derived: Mapping[str, Derived] = MappingProxyType({}),
) -> Result:
    """Solve a case.

    Args:
        case: The case.
        comm: Communicator; all ranks call this function. An error on some of them only, for
            instance in ``progress``, ends all processes (:func:`meso.mpi.failing_together`).
        progress: Called with a line of text at the beginning of each phase.
        earlier: Flow of a similar case: if its mesh and boundaries are the same, an iteration
            begins with it.
        trusted: True if the drawing may run commands and write files.
        many_cells: True to mesh even if more than a million cells are to be expected and the case
            gives no size.
        terms: Added to the weak form of the flow: see ``terms`` of :class:`meso.flow.Hydrodynamic`
            and :class:`meso.flow.Ohmic`.
        angular_momentum_terms: Added to that of the densities: see ``terms`` of
            :class:`meso.angular_momentum.Diffusion`.
        derived: More fields of the flow, by name: sampled, written and drawn as all others.

    Returns:
        The result, on every rank.

    Raises:
        CaseError: Something in the case does not fit the drawing.
        GeometryError: The drawing cannot be used.
        ConvergenceError: The solver failed.
    """

    def mesh(wanted: SizeField | None) -> Device:
        return build_device(
            case, comm, wanted, trusted=trusted, many_cells=many_cells, progress=progress
        )

    with failing_together(comm), announced(progress):
        _check_terms(case, terms, angular_momentum_terms)
        added = _Added(flow=terms, densities=angular_momentum_terms, fields=derived)
        return _run(case, mesh, progress, earlier, added)


def _check_terms(case: Case, terms: Sequence[Term], densities: Sequence[Term]) -> None:
    problems = []
    if terms and case.flow.model == "kinetic":
        problems.append(("flow.model", "the kinetic model takes no added terms"))
    if terms and case.mesh.adapt is not None:
        problems.append(("mesh.adapt", "does not know the errors of added terms"))
    if densities and not case.angular_momentum:
        problems.append(("angular_momentum", "missing: there are added terms for it"))
    if problems:
        raise CaseError(*problems, file=None if case.file is None else str(case.file))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Added:
    """What a caller adds to a case."""

    flow: Sequence[Term]
    densities: Sequence[Term]
    fields: Mapping[str, Derived]


@dataclass(slots=True)
class _Clock:
    """Says what happens, and how long it took."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[None]:
        self.progress(text)
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, slots=True, kw_only=True)
class _Solved:
    """A flow with what is known of its errors, and the densities in it."""

    flow: Flow
    adaptivity: Adaptivity | None = None
    convergence: Convergence | None = None
    bounds: Bounds | None = None
    part: report.Part | None = None


def _run(
    case: Case,
    mesh: Callable[[SizeField | None], Device],
    progress: Progress,
    earlier: Flow | None,
    added: _Added,
) -> Result:
    clock = _Clock(progress)
    try:
        solved = _solve(case, mesh, clock, earlier, added)
    except CaseError as error:
        file = None if case.file is None else str(case.file)
        raise CaseError(*error.problems, file=error.file or file) from None
    except ConvergenceError as error:
        if case.file is None:
            raise
        raise ConvergenceError(f"{case.file}: {error}") from None
    flow, part = solved.flow, solved.part
    with clock.phase("orbital", "vorticity and orbital density"):
        fields, moments = _fields(case, flow, added.fields)
    if part is not None:
        fields |= part.fields | report.totals(part, fields)
    found = corners.extrema_of(flow, fields)
    spike = corners.warning(found, fields)
    return Result(
        case=case,
        flow=flow,
        fields=fields,
        edge_moments=moments,
        warnings=(
            *case.warnings,
            *_warnings(case, solved),
            *([] if spike is None else [spike]),
            *(solved.adaptivity.warnings if solved.adaptivity else ()),
            *(part.densities.warnings if part else ()),
        ),
        seconds=clock.seconds,
        closed_form=None if added.flow else exact_match.closed_form(flow),
        convergence=solved.convergence,
        bounds=solved.bounds,
        adaptivity=solved.adaptivity,
        angular_momentum=part,
        derived=dict(added.fields),
        extrema=found,
    )


def _solve(
    case: Case,
    mesh: Callable[[SizeField | None], Device],
    clock: _Clock,
    earlier: Flow | None,
    added: _Added,
) -> _Solved:
    """Mesh, flow, and the densities of angular momentum in it."""
    diffusions: dict[int, Diffusion] = {}

    def build(wanted: SizeField | None = None) -> Device:
        with clock.phase("mesh", f"meshing {case.geometry.file.name}"):
            device = mesh(wanted)
        if case.angular_momentum:
            # Whether it is well posed is decided before anything is solved.
            diffusions[id(device)] = problem(case, device, added.densities)
        return device

    adaptivity = convergence = bounds = part = None
    if case.mesh.adapt is not None:
        with clock.phase("solve", f"adapting the mesh to the {case.mesh.adapt.target}"):
            device, flow, adaptivity = adapt(case, build, clock.progress)
        clock.seconds["solve"] -= clock.seconds["mesh"]
    else:
        device = build()
        materials = {region: case.materials[name] for region, name in case.regions.items()}
        with clock.phase("solve", f"solving {case.flow.model} flow on {device.cells} cells"):
            same = earlier is not None and _alike(earlier, case, device)
            start = earlier if same else None
            flow, convergence = solve(case, device, materials, clock.progress, start, added.flow)
        if case.flow.bounds:
            with clock.phase("bounds", "bounds of the conductance"):
                bounds = conductance_bounds(flow)
    if diffusion := diffusions.get(id(device)):
        with clock.phase("angular momentum", "diffusion of angular momentum"):
            flow, part = report.solve(diffusion, flow, case.angular_momentum.coupling)
    return _Solved(
        flow=flow, adaptivity=adaptivity, convergence=convergence, bounds=bounds, part=part
    )


def _fields(
    case: Case, flow: Flow, own: Mapping[str, Derived]
) -> tuple[dict[str, Field], tuple[EdgeMoment, ...]]:
    """Fields that follow from a flow, and the orbital moments of its walls."""
    fields = dict(flow.fields)
    moments: tuple[EdgeMoment, ...] = ()
    # Potential flow has no vorticity, unless somebody wants to see that.
    asked = set(case.output.fields or ())
    if flow.model != "ohmic" or {"vorticity", "orbital_density"} & asked:
        fields["vorticity"] = vorticity(flow)
        if couplings(flow) is not None:
            fields["orbital_density"] = orbital_density(flow, fields["vorticity"])
            moments = tuple(edge_moments(flow, fields["orbital_density"]))
    for name, of in {**TABLE, **own}.items():
        if of.expression is not None and (name in own or name in asked):
            fields[name] = derive(flow, name, of)
    return fields, moments


def _warnings(case: Case, solved: _Solved) -> list[str]:
    flow, convergence = solved.flow, solved.convergence
    out = list(check_places(flow.device, case.output))
    if flow.model != "ohmic":
        kinetic = flow.model == "kinetic"
        materials = dict(flow.materials)
        out += resolution.warnings(flow.device, materials, case.boundaries, kinetic=kinetic)
    if convergence is not None and not convergence.converged:
        left = max(convergence.error_extrapolated)
        out.append(
            f"{convergence.harmonics[-1]} harmonics leave an estimated error of {left:.1e}, more"
            f" than flow.tolerance = {case.flow.tolerance:g}"
        )
    return out


def _alike(flow: Flow, case: Case, device: Device) -> bool:
    """Whether a kinetic flow lives on the same mesh, between boundaries of the same kinds."""

    def kinds(boundaries: Any) -> dict[str, str]:
        return {name: type(law).__name__ for name, law in boundaries.items()}

    one, two = (d.mesh.geometry.x for d in (flow.device, device))
    same = one.shape == two.shape and bool((one == two).all())
    same = same and kinds(flow.boundaries) == kinds(case.boundaries)
    return all(device.comm.allgather(same))


def solve(
    case: Case,
    device: Device,
    materials: dict[str, Any],
    progress: Progress = lambda text: None,
    start: Flow | None = None,
    terms: Sequence[Term] = (),
) -> tuple[Flow, Convergence | None]:
    """Solve the flow of a case on its device.

    Args:
        case: The case.
        device: Its device.
        materials: Material of each region.
        progress: Called with a line of text for each number of harmonics.
        start: A kinetic flow on this device to begin with.
        terms: Added to the weak form of another model.

    Returns:
        The flow, and for the kinetic model how it converges with the harmonics.
    """
    given: dict[str, Any] = {
        "materials": materials,
        "boundaries": case.boundaries,
        "thickness": case.geometry.thickness,
        "solver": case.flow.solver,
    }
    if case.flow.model == "hydrodynamic":
        given["magnetic_field"] = case.flow.magnetic_field
    if case.flow.model != "kinetic":
        model = MODELS[case.flow.model]
        return model(device, order=case.flow.order, terms=terms, **given).solve(), None

    if all(material.orbital_coupling is not None for material in materials.values()):
        wanted = case.flow.tolerance if case.flow.harmonics == "auto" else None
        given["tolerance"] = iteration_tolerance(case.boundaries, wanted)

    def kinetic(harmonics: int, order: int, earlier: Flow | None) -> Flow:
        progress(f"solving {harmonics} harmonics of degree {order}")
        field = case.flow.magnetic_field
        model = Kinetic(device, order=order, harmonics=harmonics, magnetic_field=field, **given)
        many = start is not None and start.unit_moments.shape[2] >= harmonics
        return model.solve(start if many else earlier or start)

    return converge(
        kinetic,
        order=case.flow.degree or device.order,
        harmonics=case.flow.harmonics,
        tolerance=case.flow.tolerance,
        estimate=case.flow.estimate,
    )
