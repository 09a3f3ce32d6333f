"""From a case to a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from meso import flow as models  # that of a case is loaded
from meso.case import Case
from meso.compiled import announced
from meso.device import Device, device_of
from meso.discrete.fields import Field
from meso.discrete.own_terms import Term
from meso.discrete.sampling import check_places
from meso.equations.derived import TABLE, Derived
from meso.errors import CaseError, ConvergenceError
from meso.evidence import exact_match, resolution
from meso.flow.result import Flow, check_device
from meso.geometry import gmsh_process
from meso.geometry.layers import SizeField
from meso.mpi import failing_together, on_root
from meso.observables import corners
from meso.observables.accumulation import EdgeMoment, edge_moments
from meso.observables.derived import derive
from meso.orbital import couplings, orbital_density, spin_density, vorticity
from meso.results.mesh import source
from meso.results.result import Result

if TYPE_CHECKING:  # models that a case does not ask for are not loaded
    from meso.angular_momentum import report
    from meso.angular_momentum.diffusion import Diffusion
    from meso.evidence.adapting import Adaptivity
    from meso.evidence.convergence import Convergence
    from meso.flow.bounds import Bounds
    from meso.geometry.layered import Layered

#: What gradients of the current make, whose integrals walls have.
_LOCAL = ("orbital_density", "spin_density")
Progress = Callable[[str], None]


@contextmanager
def located(case: Case) -> Iterator[None]:
    """Errors say the file of the case, those of solvers also what it warns of."""
    file = None if case.file is None else str(case.file)
    try:
        yield
    except CaseError as error:
        raise CaseError(*error.problems, file=error.file or file) from None
    except ConvergenceError as error:
        # What looked like a mistake may be the reason.
        text = "; ".join([str(error), *case.warnings])
        raise ConvergenceError(f"{file}: {text}" if file else text) from None


# --- the mesh


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

    What is ``trusted`` and ``many_cells`` see :func:`run`; ``wanted`` are sizes that a solution
    asks for, where the mesh is adapted. Names of the case are checked against those of the device.
    """
    geometry, mesh = case.geometry, case.mesh
    if wanted is None and mesh.adapt is not None:
        wanted = SizeField.anything()
    if not geometry.is_drawing and (mesh.size or mesh.wall_size):
        raise CaseError(("mesh", f"{geometry.file.name} is a mesh already: no size applies"))
    wish = source(case, wanted, trusted=trusted, many_cells=many_cells, comm=comm)
    device = device_of(wish, comm, progress)
    check_fit(case, device)
    return device


def check_fit(case: Case, device: Device) -> None:
    """Raise a CaseError if a case and a device do not belong together."""
    driven = case.flow.along is None
    check_device(device, case.region_materials, case.boundaries, driven=driven)
    if not driven and device.dimension != 2:
        text = "needs a 2D mesh, the section of the wire, but the mesh is 3D"
        raise CaseError(("flow.along", text))
    case.current_unit(device.dimension)
    check_places(device, case.output)


# --- the solution


def run(
    case: Case,
    *,
    comm: MPI.Comm = MPI.COMM_WORLD,
    progress: Progress = lambda text: None,
    device: Device | None = None,
    earlier: Flow | None = None,
    trusted: bool = False,
    many_cells: bool = False,
    terms: Sequence[Term] = (),
    angular_momentum_terms: Sequence[Term] = (),
    derived: Mapping[str, Derived] = MappingProxyType({}),
    gradients: bool = False,
    elements: str = "auto",
) -> Result:
    """Solve a case.

    Args:
        case: The case.
        comm: Communicator; all ranks call this function. An error on some of them only ends
            all processes (:func:`meso.mpi.failing_together`).
        progress: Called with a line of text at the beginning of each phase.
        device: What the case's drawing makes, if it is there already; it may have moved.
        earlier: Flow of a similar case: if its mesh and boundaries are the same, an iteration
            begins with it.
        trusted: True if the drawing may run commands and write files.
        many_cells: True to mesh even if a million cells are expected and the case gives no size.
        terms: Added to the weak form of the flow: see ``terms`` of :class:`meso.flow.Hydrodynamic`
            and :class:`meso.flow.Ohmic`.
        angular_momentum_terms: The same of :class:`meso.angular_momentum.Diffusion`.
        derived: More fields of the flow, by name: sampled, written and drawn as all others.
        gradients: True to keep with the flow what its derivatives need (``flow.adjoint``).
        elements: Of a hydrodynamic flow: see ``elements`` of :class:`meso.flow.Hydrodynamic`.

    Returns:
        The result, on every rank.

    Raises:
        CaseError: Something in the case does not fit the drawing.
        GeometryError: The drawing cannot be used.
        ConvergenceError: The solver failed.
    """
    clock = _Clock(progress)
    diffusions: dict[int, Diffusion] = {}

    def build(wanted: SizeField | None = None) -> Device:
        with clock.phase("mesh", f"meshing {case.geometry.file.name}"):
            built = device or build_device(
                case, comm, wanted, trusted=trusted, many_cells=many_cells, progress=progress
            )
        if case.angular_momentum:
            # Whether it is well posed is decided before anything is solved.
            diffusions[id(built)] = _diffusion(case, built, angular_momentum_terms)
        return built

    with failing_together(comm), announced(progress):
        with located(case):
            _check(case, terms, angular_momentum_terms, device)
            flow, evidence = _solve(case, build, comm, clock, earlier, terms, gradients, elements)
            flow, part = _densities(case, diffusions.get(id(flow.device)), flow, clock, gradients)
        with clock.phase("orbital", "vorticity and orbital density"):
            fields = fields_of(case, flow, derived)
            moments, spins = _moments_of(flow, fields)
        if part is not None:
            fields |= part.fields | _totals(part, fields)
        found = corners.extrema_of(flow, fields)
        result = Result(
            case=case,
            flow=flow,
            fields=fields,
            edge_moments=moments,
            spin_moments=spins,
            warnings=(
                *case.warnings,
                *_warnings(case, flow, moments or spins, **evidence),
                *filter(None, [corners.warning(found, fields)]),
                *(part.densities.warnings if part else ()),
            ),
            seconds=clock.seconds,
            closed_form=None if terms else exact_match.closed_form(flow),
            angular_momentum=part,
            derived=dict(derived),
            extrema=found,
            terms=(tuple(terms), tuple(angular_momentum_terms)),
            **evidence,
        )
        return _with_errors(result, progress) if case.flow.estimate else result


def _check(
    case: Case, terms: Sequence[Term], densities: Sequence[Term], device: Device | None
) -> None:
    problems = []
    if case.flow.along:
        problems.append(("flow.along", "is for `meso run` of one case, or meso.wire(case)"))
    if device is not None and case.mesh.adapt is not None:
        problems.append(("mesh.adapt", "makes meshes of its own: it takes no device"))
    if terms and (case.flow.kinetic or case.flow.by_particles):
        model = "the kinetic model takes" if case.flow.kinetic else "particles take"
        problems.append(("flow.model", f"{model} no added terms"))
    if terms and case.mesh.adapt is not None:
        problems.append(("mesh.adapt", "does not know the errors of added terms"))
    if densities and not case.angular_momentum:
        problems.append(("angular_momentum", "missing: there are added terms for it"))
    if problems:
        raise CaseError(*problems)
    if device is not None:
        check_fit(case, device)


def _with_errors(result: Result, progress: Progress) -> Result:
    from meso.gradients import with_errors  # stands above results

    return with_errors(result, progress=progress)


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


def _solve(
    case: Case,
    build: Callable[..., Device],
    comm: MPI.Comm,
    clock: _Clock,
    earlier: Flow | None,
    terms: Sequence[Term],
    keep: bool,
    elements: str,
) -> tuple[Flow, dict[str, Any]]:
    """The flow, and what is known of its errors, as attributes of the result."""
    adaptivity = convergence = bounds = None
    # Where a viscous flow is solved once more, the first one is not differentiated.
    table = case.angular_momentum
    keep = keep and not (case.flow.viscous and table and table.is_two_way)
    if case.mesh.adapt is not None:
        from meso.evidence.adapting import adapt
        from meso.gradients.indicating import indicated  # stands above results

        with clock.phase("solve", f"adapting the mesh to the {case.mesh.adapt.target}"):
            device, flow, adaptivity = adapt(
                case, build, clock.progress, indicated, lambda: _layers(case, comm)
            )
            if case.flow.kinetic:
                flow, convergence = solve(case, device, clock.progress, flow, keep=keep)
        clock.seconds["solve"] -= clock.seconds["mesh"]
    else:
        device = build()
        with clock.phase("solve", f"solving {case.flow.model} flow on {device.cells} cells"):
            start = earlier if earlier is not None and _alike(earlier, case, device) else None
            wish: dict[str, Any] = {"keep": keep, "elements": elements}
            flow, convergence = solve(case, device, clock.progress, start, terms, **wish)
    if case.flow.bounds:
        from meso.flow.bounds import conductance_bounds

        with clock.phase("bounds", "bounds of the conductance"):
            bounds = conductance_bounds(flow)
    return flow, {"adaptivity": adaptivity, "convergence": convergence, "bounds": bounds}


def _layers(case: Case, comm: MPI.Comm) -> Layered | None:
    """What a drawing says of layers that a mesh is to be adapted in; None where it has none."""
    from meso.geometry.layered import Layered

    wish, name = case.mesh.adapt, case.geometry.file.name
    drawing = source(case, SizeField.anything(), comm=comm)
    found = on_root(comm, lambda: gmsh_process.call("geometry.drawn.layers", drawing))
    assert wish is not None
    if found is None:
        if given := wish.layers or wish.size:
            text = f'found "{given[0]}", but {name} has no layers of cells'
            raise CaseError((f"mesh.adapt.{'layers' if wish.layers else 'size'}", text))
        return None
    is_free, parameters = found
    return Layered.of(name, is_free, parameters, (wish.layers, wish.size))


def _alike(flow: Flow, case: Case, device: Device) -> bool:
    """Whether a kinetic flow lives on the same mesh, between boundaries of the same kinds."""
    one, two = (d.mesh.geometry.x for d in (flow.device, device))
    kinds, wanted = (
        {name: type(law) for name, law in laws.items()}
        for laws in (flow.boundaries, case.boundaries)
    )
    return all(device.comm.allgather(np.array_equal(one, two) and kinds == wanted))


def solve(
    case: Case,
    device: Device,
    progress: Progress = lambda text: None,
    start: Flow | None = None,
    terms: Sequence[Term] = (),
    *,
    keep: bool = False,
    told: bool = True,
    elements: str = "auto",
) -> tuple[Flow, Convergence | None]:
    """The flow of a case on its device, and for the kinetic model how it converges.

    A kinetic iteration begins with ``start``, a flow on this device; the other models take
    ``terms`` in their weak forms, and ``keep`` what derivatives need; ``elements`` are those of the
    hydrodynamic one. ``told`` is False where the
    number of harmonics is settled, and nobody asks how the flow converges.
    """
    given: dict[str, Any] = {
        "materials": case.region_materials,
        "boundaries": case.boundaries,
        "thickness": case.geometry.thickness,
    }
    assert case.flow.tolerance is not None
    if case.flow.by_particles:
        for key in ("magnetic_field", "tolerance", "particles", "seed"):
            given[key] = getattr(case.flow, key)
        return models.Particles(device, progress=progress, **given).solve(), None
    given["solver"] = case.flow.solver
    if not case.flow.viscous:
        return models.Ohmic(device, order=case.flow.order, terms=terms, **given).solve(
            keep=keep
        ), None
    given["magnetic_field"] = case.flow.magnetic_field
    if not case.flow.kinetic:
        given |= {"order": case.flow.order, "terms": terms, "elements": elements}
        return models.Hydrodynamic(device, **given).solve(keep=keep), None
    return _kinetic(case, device, progress, start, given, keep=keep, told=told)


def _kinetic(
    case: Case,
    device: Device,
    progress: Progress,
    start: Flow | None,
    given: dict[str, Any],
    *,
    keep: bool,
    told: bool,
) -> tuple[Flow, Convergence | None]:
    """The same of the kinetic model, with what all models are given."""
    from meso.evidence.convergence import converge
    from meso.observables.grazing import iteration_tolerance

    assert case.flow.tolerance is not None
    given["magnetic_direction"] = case.flow.magnetic_direction
    if any(case.couples(channel) for channel in ("orbital", "spin")):
        wanted = case.flow.tolerance if case.flow.harmonics == "auto" else None
        given["tolerance"] = iteration_tolerance(case.boundaries, wanted)

    def kinetic(harmonics: int, order: int, before: Flow | None, *, keep: bool = False) -> Flow:
        progress(f"solving {harmonics} harmonics of degree {order}")
        model = models.Kinetic(device, order=order, harmonics=harmonics, **given)
        many = start is not None and start.unit_moments.shape[2] >= harmonics
        return model.solve(start if many else before or start, keep=keep)

    degree = case.flow.degree_on(device)
    if not told:
        return kinetic(int(case.flow.harmonics), degree, None, keep=keep), None
    last = (case.flow.harmonics, degree) if keep else None
    flow, convergence = converge(
        lambda n, order, before: kinetic(n, order, before, keep=(n, order) == last),
        order=degree,
        harmonics=case.flow.harmonics,
        tolerance=case.flow.tolerance,
        estimate=case.flow.estimate is not False,
    )
    if keep and flow.adjoint is None:  # nobody knew which one would be the last
        flow = kinetic(flow.distribution.harmonics, flow.order, flow, keep=True)
    return flow, convergence


def _diffusion(case: Case, device: Device, terms: Sequence[Term]) -> Diffusion:
    from meso.angular_momentum.problem import problem

    return problem(case, device, terms)


def _densities(
    case: Case, diffusion: Diffusion | None, flow: Flow, clock: _Clock, keep: bool
) -> tuple[Flow, report.Part | None]:
    """The flow with what densities of angular momentum do to it, and these, if there are any."""
    if diffusion is None:
        return flow, None
    from meso.angular_momentum import report

    with clock.phase("angular momentum", "diffusion of angular momentum"):
        asked, coupling = case.output.fields or (), case.angular_momentum.coupling
        return report.solve(diffusion, flow, coupling, asked, keep=keep)


# --- what follows from it


def _totals(part: report.Part, fields: dict[str, Field]) -> dict[str, Field]:
    from meso.angular_momentum import report

    return report.totals(part, fields)


def fields_of(case: Case, flow: Flow, own: Mapping[str, Derived]) -> dict[str, Field]:
    """Fields that follow from a flow."""
    fields = dict(flow.fields)
    # Potential flow has no vorticity, unless somebody wants to see that; but it has shear.
    asked = set(case.output.fields or ())
    if case.flow.viscous or {"vorticity", *_LOCAL} & asked:
        fields["vorticity"] = vorticity(flow)
        for name, density in (("orbital", orbital_density), ("spin", spin_density)):
            if couplings(flow, name) is not None:
                fields[f"{name}_density"] = density(flow, fields["vorticity"])
    for name, of in {**TABLE, **own}.items():
        if of.expression is not None and (name in own or name in asked):
            fields[name] = derive(flow, name, of)
    return fields


def _moments_of(flow: Flow, fields: Mapping[str, Field]) -> list[tuple[EdgeMoment, ...]]:
    """Orbital moments and spins of the walls of a flow."""
    if flow.swarm is not None:
        from meso.observables import circulation

        found = circulation.moments(flow)
        return [found[name] for name in _LOCAL]
    return [tuple(edge_moments(flow, fields[name])) if name in fields else () for name in _LOCAL]


def _warnings(
    case: Case,
    flow: Flow,
    moments: Sequence[EdgeMoment],
    *,
    convergence: Convergence | None,
    bounds: Bounds | None,
    adaptivity: Adaptivity | None,
) -> list[str]:
    out = resolution.doubts(flow.device, case.boundaries) + check_places(flow.device, case.output)
    if not case.flow.viscous and flow.counted is None:
        out += corners.touching(flow.device, case.boundaries)
    if case.flow.viscous:
        out += resolution.warnings(
            flow.device, case.region_materials, case.boundaries, kinetic=case.flow.kinetic
        )
        out += resolution.leaks(flow)
    if flow.counted is not None:
        from meso.observables import circulation

        assert case.flow.tolerance is not None
        out += flow.counted.warnings(case.flow.tolerance)
        out += circulation.warnings(moments, case.flow.tolerance)
    if convergence is not None:
        out += convergence.warnings
    if bounds is not None:
        out += bounds.warnings
    if adaptivity is not None:
        out += adaptivity.warnings
    return out
