"""Generalised electron hydrodynamics: vorticity diffuses, walls let the current slip.

    (1/sigma) J - div( (l^2/sigma) (grad J + grad J^T) ) + grad phi = 0,     div J = 0

(T. Valet et al. 2025, eq. 8, in the form that holds where sigma and l vary), with J.n = 0 and
n.(grad J + grad J^T).t = -s J_t at walls: the member with two harmonics of the moment family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np

from meso.boundary import Boundary, Contact, Wall
from meso.device import Device
from meso.discrete.coefficients import Coefficients, Scales, conductivity_scale
from meso.discrete.kernels import Space
from meso.discrete.own_terms import OwnTerms, Symbols, Term, own_terms
from meso.equations import contacts, walls
from meso.errors import CaseError, TooLargeError
from meso.flow.angular import two_harmonics
from meso.flow.discretisation import (
    CROUZEIX_RAVIART,
    TAYLOR_HOOD,
    Law,
    OfFacets,
    OnFacets,
    Problem,
)
from meso.flow.planar import PlanarSystem
from meso.flow.result import (
    Flow,
    check_device,
    driven,
    mixture,
    periodic_pairs,
    ports_of,
)
from meso.flow.saddle import IterativeSystem
from meso.flow.skeletal import SkeletalSystem
from meso.flow.system import DirectSystem
from meso.materials.material import Material
from meso.mpi import largest
from meso.requirements import hydrodynamic_problems, magnetic_problems

#: Penalty on J.n at walls in 2D, in k^2 (l^2/h + h)/sigma. The multiplier alone makes walls
#: impenetrable; at sharp corners the penalty divides the error by five, elsewhere it changes
#: nothing (1 to 1000 measured, also on curved walls).
CORNER_PENALTY = 100.0
#: The same in 3D, where walls have no multiplier: smaller ones lose coercivity, larger ones lock
#: on curved walls.
WALL_PENALTY = 10.0
#: From so many cells in 2D on, with so few contacts, iterations are faster on several ranks: 0.9 of
#: the time at 50,000 cells, 0.55 at 200,000 and half of the memory (two ranks and contacts); each
#: further contact takes as long as the first. On one rank they are even at 200,000.
MANY_CELLS, FEW_PORTS = 100_000, 3
#: Degree from which Crouzeix-Raviart elements are the better ones.
ENRICHED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSymbols(Symbols):
    """What a term of a hydrodynamic flow may be made of, beside those of any model.

    The weak form is tested with w (a force density, V/m) and psi (a divergence of J).

    Attributes:
        J: Current density.
        w: Its test function.
        phi: Electrochemical potential.
        psi: Its test function.
        conductivity: sigma.
        diffusion_length: Vorticity diffusion length l.
    """

    J: Any
    w: Any
    phi: Any
    psi: Any
    conductivity: Any
    diffusion_length: Any


class Hydrodynamic:
    """Hydrodynamic flow in a device.

    Args:
        device: The device.
        materials: Material of each region, by name.
        boundaries: Contact, Wall or Periodic of each boundary, by name.
        order: Polynomial degree of the current density, at least 2; the potential has one less.
            By default that of the device.
        thickness: Thickness of a slab of 3D material, m; None for a 2D electron gas, a 3D mesh,
            or for currents per thickness.
        solver: "direct", "iterative", or "auto": iterative in 3D; direct in 2D, but iterative
            where that does not fit into memory, and on several ranks for large devices. In 2D a
            magnetic field and terms need "direct".
        elements: "Taylor-Hood"; "Crouzeix-Raviart" (direct, 2D, without terms that are no loads),
            positive definite in the skeleton of J; or "auto", which prefers the latter where it is
            at least as accurate, from degree 4, and the system is solved directly.
        magnetic_field: Along z, T, in 2D; needs the Fermi wave vector of each material.
        terms: Functions from :class:`FlowSymbols` to UFL forms, which are added to the left-hand
            side of the weak form; in 3D, but for loads, of J and w only.
        tolerance: Relative residual of iterations in 3D; by default 1e-10.

    Raises:
        CaseError: A region without material or vorticity diffusion length, a boundary without
            a law, an island without a contact; a 2D electron gas on a 3D mesh; an iterative
            solver for what needs a direct one.
    """

    def __init__(
        self,
        device: Device,
        *,
        materials: Mapping[str, Material],
        boundaries: Mapping[str, Boundary],
        order: int | None = None,
        thickness: float | None = None,
        solver: str = "auto",
        elements: str = "auto",
        magnetic_field: float = 0.0,
        terms: Sequence[Term] = (),
        tolerance: float | None = None,
    ) -> None:
        check_device(device, materials, boundaries)
        for region, material in materials.items():
            if not material.viscous:
                text = (
                    "the hydrodynamic model needs a mean_free_path (or a"
                    " vorticity_diffusion_length)"
                )
                raise CaseError((f"materials.{material.name or region}", text))
        if solver == "iterative" and device.dimension == 2 and (terms or magnetic_field):
            text = 'found "iterative"; in 2D a magnetic field and terms need the direct solver'
            raise CaseError(("flow.solver", text))
        if elements not in ("auto", TAYLOR_HOOD, CROUZEIX_RAVIART):
            known = f'"{TAYLOR_HOOD}", "{CROUZEIX_RAVIART}" or "auto"'
            raise CaseError(("elements", f"found {elements!r}; must be {known}"))
        if elements == CROUZEIX_RAVIART and (device.dimension == 3 or solver == "iterative"):
            text = f"{CROUZEIX_RAVIART} elements are for 2D and the direct solver"
            raise CaseError(("elements", text))
        problems = list(hydrodynamic_problems(materials))
        if magnetic_field:
            from meso.flow.magnetic import magnetic_term

            problems += magnetic_problems(materials)
            if device.dimension != 2:
                text = 'is for 2D devices, perpendicular to them; or flow.model = "kinetic"'
                problems.append(("flow.magnetic_field", text))
            terms = (*terms, magnetic_term(boundaries, magnetic_field))
        if problems:
            raise CaseError(*problems)
        self.terms, self.magnetic_field = tuple(terms), magnetic_field
        self.device, self.materials, self.boundaries = device, materials, boundaries
        self.order, self.thickness = order or device.order, thickness
        self.solver = solver
        self.elements, self._tolerance = elements, tolerance
        self.iterative = solver == "iterative" or (solver == "auto" and self._iteration_pays())
        # Viscous flow carries less: the scaled currents stay near one also where l is large.
        self.scales = Scales(
            length=device.extent,
            conductivity=conductivity_scale(device, materials, viscous=True),
        )
        self.coefficients = Coefficients(device, materials, self.scales)

    def _iteration_pays(self) -> bool:
        """In 3D; in 2D on several ranks, for large devices with few sides."""
        if self.device.dimension == 3:
            return True
        if self.terms or self.elements == CROUZEIX_RAVIART or self.device.comm.size == 1:
            return False
        return self.device.cells >= MANY_CELLS and len(ports_of(self.boundaries)) <= FEW_PORTS

    def laws(self, *, yielding: bool = False) -> dict[str, Law]:
        """What each boundary does, in scaled variables.

        If they are ``yielding`` walls may let a given current through: those without slip hold
        what goes along them by Nitsche's method, and there is no penalty beside a multiplier.
        """
        laws = {name: Law() for pair in periodic_pairs(self.boundaries) for name in pair}
        for name, law in self.boundaries.items():
            if isinstance(law, Contact):
                of = self._coefficients(Wall(specularity=0.0))
                laws[name] = Law(terms=(contacts.LAWS[law.law],), coefficients=of)
            elif isinstance(law, Wall) and law.slip_length == 0 and not yielding:
                laws[name] = Law(sticks=True)
            elif isinstance(law, Wall):
                sticks = law.slip_length == 0
                laws[name] = Law(
                    terms=(contacts.LAWS["ideal"] if sticks else walls.LAWS[law.law],),
                    coefficients=self._coefficients(law),
                    impenetrable=True,
                    penalty=None if yielding else self._penalty,
                )
        return laws

    def _coefficients(self, wall: Wall) -> dict[str, OfFacets]:
        """What terms of boundaries may be made of, by the names of their arguments."""
        c, coercive = self.coefficients, 4 * self.order * (self.order + 1)
        return {
            "stress": lambda on: c.stress(on.cell, on.position),
            "slip_rate": lambda on: c.slip_rate(wall, on.cell, on.position),
            "step": lambda on: (
                c.relaxation(on.cell, on.position) * c.contact_step(on.cell, on.position)
            ),
            "coercive": lambda on: coercive / on.height,
        }

    def _penalty(self, on: OnFacets) -> np.ndarray:
        stress = self.coefficients.stress(on.cell, on.position)
        relaxation = self.coefficients.relaxation(on.cell, on.position)
        of_stress, of_relaxation = self.penalty_parts(on.height)
        return (stress.T * of_stress + relaxation.T * of_relaxation).T

    def penalty_parts(self, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factors of stress and relaxation in the penalty on J.n, for heights of cells."""
        factor = (WALL_PENALTY if self.device.dimension == 3 else CORNER_PENALTY) * self.order**2
        return factor / height, factor * height

    def problem(self, *, yielding: bool = False) -> Problem:
        """The discrete problem; see :meth:`laws`."""
        regions = [self.materials[name] for name in self.device.regions]
        _, phases = np.unique([regions.index(m) for m in regions], return_inverse=True)
        elements, own = self._elements()
        return Problem(
            device=self.device,
            order=self.order,
            elements=elements,
            moments=two_harmonics(self.device.dimension),
            coefficients=self.coefficients,
            phases=phases,
            laws=self.laws(yielding=yielding),
            ports=ports_of(self.boundaries),
            grounded=tuple(n for n, law in self.boundaries.items() if isinstance(law, Contact)),
            pairs=periodic_pairs(self.boundaries),
            own=own,
        )

    def _elements(self) -> tuple[str, OwnTerms | None]:
        """The elements, and added terms on them."""
        direct = self.device.dimension == 2 and not self.iterative
        if self.elements == CROUZEIX_RAVIART or (
            self.elements == "auto" and direct and self.order >= ENRICHED
        ):
            own = self._own_terms(enriched=True)
            if own is None or not largest(self.device.comm, np.abs(own.matrices).max(initial=0.0)):
                return CROUZEIX_RAVIART, own
            if self.elements != "auto":
                raise CaseError("terms: Crouzeix-Raviart elements take loads only")
        return TAYLOR_HOOD, self._own_terms()

    def _own_terms(self, *, enriched: bool = False) -> OwnTerms | None:
        device, k, d = self.device, self.order, self.device.dimension
        length, sigma = device.extent, self.scales.conductivity

        def symbols(common: dict[str, Any], trial: Any, test: Any) -> FlowSymbols:
            material = common["material"]
            return FlowSymbols(
                J=trial[0],
                w=test[0],
                phi=trial[1],
                psi=test[1],
                conductivity=material(lambda m: m.conductivity),
                diffusion_length=material(lambda m: m.vorticity_diffusion_length),
                **common,
            )

        fields = [
            (Space(k, d, enriched), length ** (1 - d), sigma / length),
            (Space(k - 1, 0), length ** (2 - d) / sigma, 1.0),
        ]
        own = own_terms(device, fields, self.terms, symbols, self.coefficients.evaluate)
        if own is not None and self.iterative:
            rest = own.matrices.copy()
            current = comb(k + d, d) * d
            rest[:, :current, :current] = 0.0
            if largest(device.comm, np.abs(rest).max(initial=0.0)):
                raise CaseError("terms: the iterative solver takes terms of J and w only")
        return own

    def _system(
        self, *, keep: bool = False
    ) -> tuple[Problem, DirectSystem | SkeletalSystem | IterativeSystem | PlanarSystem]:
        """The discrete problem, and what solves it."""
        problem = self.problem()
        if self.iterative:
            planar = self.device.dimension == 2
            if planar:
                return problem, PlanarSystem(problem, keep=keep)
            return problem, IterativeSystem(problem, self._tolerance)
        try:
            return problem, direct_system(problem, keep=keep)
        except TooLargeError:
            if self.solver != "auto" or self.elements == CROUZEIX_RAVIART or self.terms:
                raise
            problem = replace(problem, elements=TAYLOR_HOOD)
            return problem, PlanarSystem(problem, keep=keep)

    def solve(self, *, keep: bool = False) -> Flow:
        """Solve for the potentials and currents that the boundaries are given.

        Args:
            keep: True to keep what derivatives need: the flow has an ``adjoint`` then, unless
                there are added terms that are loads, or make the matrix of an iterative solver
                unsymmetric.

        Returns:
            The flow.

        Raises:
            ConvergenceError: The system is singular, or the residual too large.
        """
        problem, system = self._system(keep=keep)
        solutions = system.solve()
        adjoint = None
        transposes = problem.symmetric or isinstance(system, DirectSystem)
        if keep and transposes and not system.discrete.loaded:
            from meso.flow.hydrodynamic_adjoint import HydrodynamicAdjoint

            adjoint = HydrodynamicAdjoint(self, system, solutions)
        else:
            system.close()
        return driven(
            self,
            "hydrodynamic",
            solutions.flux,
            mixture(
                self,
                solutions,
                joined=not problem.phases.any() and problem.elements == TAYLOR_HOOD,
            ),
            {"elements": problem.elements, **solutions.evidence},
            slips=not self.terms,
            magnetic_field=self.magnetic_field,
            adjoint=adjoint,
        )


def direct_system(problem: Problem, *, keep: bool = False) -> DirectSystem | SkeletalSystem:
    """The direct system for the elements of a problem; ``keep`` it for other loads."""
    kind = SkeletalSystem if problem.elements == CROUZEIX_RAVIART else DirectSystem
    return kind(problem, keep=keep)
