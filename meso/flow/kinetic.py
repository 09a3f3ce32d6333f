"""The Boltzmann equation on a Fermi line or sphere, by N angular harmonics.

    p.grad h + (1/R_c) b.(p x d_p) h + sum_m g_m h_m = 0,     g_m = gamma_m/v_F,     phi = <h>,
    J = d (sigma/lambda) <p h>,     d = 2 (line), 3 (sphere; on 2D meshes nothing depends on z)

(T. Valet et al. 2025, eq. 5). Walls reflect the part p of the carriers and emit the rest in all
directions, at the level h_w that lets no net current through. Contacts are reservoirs: what comes
in has their potential, what goes out is absorbed. Odd harmonics are the unknowns, even ones are
eliminated (:mod:`meso.flow.angular`, :mod:`meso.flow.basis`, :mod:`meso.flow.sphere`); N = 2 is the
hydrodynamic model with reservoirs.

Between materials all harmonics of u = sqrt(2) (sigma/lambda) h_odd and of h_even are continuous:
exact where sigma/lambda, the density of states times the velocity, is the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from meso.boundary import Boundary, Contact, Wall
from meso.device import Device
from meso.discrete.cells import FacetGeometry
from meso.discrete.coefficients import KineticCoefficients, Scales, conductivity_scale
from meso.discrete.fields import continuous
from meso.errors import CaseError
from meso.flow.angular import traceless
from meso.flow.basis import Basis, Circle
from meso.flow.contour import ContourBasis
from meso.flow.discretisation import (
    Discretisation,
    HalfRange,
    Law,
    OnFacets,
    Problem,
    Solutions,
)
from meso.flow.distribution import Distribution
from meso.flow.hydrodynamic import CORNER_PENALTY, WALL_PENALTY
from meso.flow.kinetic_adjoint import PRECISE, KineticAdjoint, Solved
from meso.flow.moments import TOLERANCE, UNSYMMETRIC, IterativeMoments
from meso.flow.result import (
    Flow,
    check_device,
    driven,
    mixture,
    periodic_pairs,
    ports_of,
)
from meso.flow.sphere import ALONG_Z, Axis, Section, Sphere
from meso.flow.system import DirectSystem
from meso.materials.material import Material
from meso.requirements import SMOOTH, kinetic_problems

#: Smallest (1 - p)/(1 + p): walls that are smoother count as this. The cosines of a specular wall
#: vanish there, which a penalty of the inverse of this enforces.
SMOOTHEST = (1 - SMOOTH) / (1 + SMOOTH)
#: Moments in all nodes up to which the direct solver takes less than a second (measured). The
#: iteration is faster from a quarter of that on, but leaves an error in edge moments. And harmonics
#: up to which that holds: 64 take 3 s on 40 cells, ten times the iteration.
DIRECT, DENSE = 20_000, 32
#: N lambda/R_c up to which GMRES converges well: 37 to 120 iterations at 1, 100 to 300 at 1.6.
STRONGEST = 1.0


class Kinetic:
    """Kinetic flow.

    Args:
        device: The device.
        materials: Material of each region, by name; each with a mean free path.
        boundaries: Contact (always a reservoir), Wall (with a specularity) or Periodic of each
            boundary, by name.
        harmonics: N, even; on a sphere the odd degrees are those up to L = N - 1.
        magnetic_field: T, along ``magnetic_direction``; needs the Fermi wave vector of each
            material.
        magnetic_direction: Of any length, in 3D; on 2D meshes the field is along z.
        order: Polynomial degree of the odd moments, at least 2; the potential has one less.
            By default that of the device.
        thickness: Thickness of a slab of 3D material, m; None otherwise.
        solver: "direct", "iterative" or "auto".
        tolerance: Of an iteration, for the natural norm of the residual: fields are about as
            accurate, currents to its square.

    Raises:
        CaseError: A region without material or mean free path; a boundary without a law, or with
            one that is no boundary condition of the Boltzmann equation; on a 2D mesh a magnetic
            field in the plane.
    """

    def __init__(
        self,
        device: Device,
        *,
        materials: Mapping[str, Material],
        boundaries: Mapping[str, Boundary],
        harmonics: int = 16,
        magnetic_field: float = 0.0,
        magnetic_direction: Axis = ALONG_Z,
        order: int | None = None,
        thickness: float | None = None,
        solver: str = "auto",
        tolerance: float = TOLERANCE,
    ) -> None:
        check_device(device, materials, boundaries)
        problems = list(kinetic_problems(materials, boundaries, magnetic_field))
        if harmonics < 2 or harmonics % 2:
            problems.append(("flow.harmonics", f"found {harmonics}; must be an even number from 2"))
        problems += _direction_problems(device, magnetic_direction)
        if problems:
            raise CaseError(*problems)
        self.device, self.materials, self.boundaries = device, materials, boundaries
        self.harmonics, self.magnetic_field = harmonics, magnetic_field
        self.order, self.thickness, self.solver = order or device.order, thickness, solver
        self.tolerance = tolerance
        self.scales = Scales(
            length=device.extent,
            conductivity=conductivity_scale(device, materials, viscous=True),
        )
        self.coefficients = KineticCoefficients(device, materials, self.scales)
        self.kinds, self.phases = different(device, materials)
        x, y, z = map(float, magnetic_direction)
        self.basis = basis_of(device, self.kinds, harmonics, (x, y, z))

    def turning(self, material: Material) -> float:
        """lambda/R_c of a material, positive where its carriers turn counter-clockwise."""
        return float(material.turning(self.magnetic_field))

    # -- the discrete problem ------------------------------------------------------------------

    def problem(self) -> Problem:
        """The discrete problem."""
        members = tuple(self.basis.moments(kind, self.turning(kind)) for kind in self.kinds)
        if self.harmonics == 2 and self.device.dimension == 2:  # as in hydrodynamics
            members = tuple(traceless(member) for member in members)
        return Problem(
            device=self.device,
            order=self.order,
            moments=members[0],
            members=members if len(members) > 1 else (),
            coefficients=self.coefficients,
            phases=self.phases,
            laws=self._laws(),
            ports=ports_of(self.boundaries),
            grounded=tuple(n for n, law in self.boundaries.items() if isinstance(law, Contact)),
            pairs=periodic_pairs(self.boundaries),
            groups=self.basis.groups,
        )

    def _laws(self) -> dict[str, Law]:
        """What each boundary does, in scaled variables."""
        laws = {name: Law() for pair in periodic_pairs(self.boundaries) for name in pair}
        for name, law in self.boundaries.items():
            if isinstance(law, Contact):
                matrix = self.basis.wall(1.0, 1.0)
                half = HalfRange(ratio=1.0, matrix=matrix, weight=self.weight)
                laws[name] = Law(half_range=half)
            elif isinstance(law, Wall):
                half = self._wall(roughness(law))
                laws[name] = Law(half_range=half, impenetrable=True, penalty=self._penalty)
        return laws

    def _wall(self, ratio: float) -> HalfRange:
        large, falls = 1 / max(ratio, SMOOTHEST), -1 / ratio**2 if ratio > SMOOTHEST else 0.0
        if self.harmonics == 2 and isinstance(self.basis, Circle | Sphere):
            large = falls = 0.0  # acts on J.n = 0 alone
        return HalfRange(
            ratio=ratio,
            matrix=self.basis.wall(large, ratio),
            slope=self.basis.wall(falls, 1.0),
            weight=self.weight,
        )

    def weight(self, facets: FacetGeometry) -> np.ndarray:
        """lambda/sigma at the quadrature points of facets."""
        at = Discretisation.at_facets
        return at(self.coefficients.path, facets) * at(self.coefficients.relaxation, facets)

    def _penalty(self, on: OnFacets) -> np.ndarray:
        viscosity = self.coefficients.viscosity(on.cell, on.position)
        relaxation = self.coefficients.relaxation(on.cell, on.position)
        solid = self.device.dimension == 3
        factor = (WALL_PENALTY if solid else CORNER_PENALTY) * self.order**2
        return factor * (viscosity.T / on.height + relaxation.T * on.height).T

    # -- solution ------------------------------------------------------------------------------

    def solve(self, start: Flow | None = None, *, keep: bool = False) -> Flow:
        """Solve for the potentials and currents that the boundaries are given.

        Args:
            start: An earlier flow on this device, from which an iteration begins.
            keep: True to keep what derivatives need, ``Flow.adjoint``, until that is closed; for
                a round Fermi line or sphere.

        Returns:
            The flow.

        Raises:
            ConvergenceError: The system is singular, or the iteration does not converge.
        """
        begin = None
        if start is not None and start.unit_moments is not None and start.order == self.order:
            begin = start.unit_moments[:, :, : self.basis.count] / self.scales.current_density
        system, solutions = solved = self.solved(begin, keep=keep)
        flow = self._flow(solutions)
        if keep and isinstance(self.basis, Circle | Sphere):
            return replace(flow, adjoint=KineticAdjoint(self, solved))
        system.close()
        return flow

    def solved(self, begin: np.ndarray | None = None, *, keep: bool = False) -> Solved:
        """The system, and its solutions for unit potentials."""
        if not self.iterative:
            direct = DirectSystem(self.problem(), keep=keep)
            return direct, direct.solve()
        problem, precise = self.problem(), PRECISE[self.device.dimension] if keep else np.inf
        if not problem.symmetric:
            precise /= UNSYMMETRIC
        system = IterativeMoments(problem, tolerance=min(self.tolerance, precise))
        return system, system.solve(begin)

    def opposite(self) -> Kinetic:
        """The same in the opposite magnetic field."""
        opposite = copy(self)
        opposite.magnetic_field = -self.magnetic_field
        return opposite

    @property
    def iterative(self) -> bool:
        """Whether to iterate: not in small 2D devices, nor in a strong magnetic field."""
        if self.solver != "auto":
            return self.solver == "iterative"
        if self.device.dimension == 3:  # a factor of all moments takes too much, too soon
            return self.harmonics > 2
        if self.harmonics * max(abs(self.turning(m)) for m in self.kinds) > STRONGEST:
            return False
        moments = self.basis.count * self.device.cells * self.order**2 / 2
        return self.harmonics > DENSE or (self.harmonics > 2 and moments > DIRECT)

    def _flow(self, solutions: Solutions) -> Flow:
        """The flow for what the boundaries are given, from solutions for unit potentials."""
        unit_moments = solutions.vector * self.scales.current_density
        flow = driven(
            self,
            "kinetic",
            solutions.flux,
            mixture(self, solutions, joined=len(self.kinds) == 1),
            {"harmonics": self.harmonics, **solutions.evidence},
            unit_moments=unit_moments,
            slips=False,
        )
        terminals = (*flow.contacts.values(), *flow.periodic.values())
        moments = np.tensordot([t.potential for t in terminals], unit_moments, 1)
        unit = flow.fields["current_density"].unit
        distribution = Distribution(
            basis=self.basis,
            odd=continuous("odd_moments", unit, self.device, self.order, moments),
            potential=flow.fields["potential"],
            materials=self.materials,
            turning=tuple(self.turning(self.materials[n]) for n in self.device.regions),
        )
        return replace(flow, distribution=distribution)


def different(
    device: Device, materials: Mapping[str, Material]
) -> tuple[list[Material], np.ndarray]:
    """The different materials, between which the potential may jump, and that of each region."""
    regions = [materials[name] for name in device.regions]
    kinds = [m for i, m in enumerate(regions) if m not in regions[:i]]
    return kinds, np.array([kinds.index(material) for material in regions])


def _direction_problems(device: Device, direction: Axis) -> Iterator[tuple[str, str]]:
    """Why a magnetic field cannot have a direction: keys and texts."""
    x, y, z = direction
    if not np.linalg.norm(direction) > 0:
        yield "flow.magnetic_direction", f"found {list(direction)}; must not vanish"
    elif device.dimension == 2 and (x or y or z < 0):
        text = (
            f"found {list(direction)}; the mesh is 2D: a field in its plane would drive carriers"
            " out of it. Draw the device in 3D, or let the field be along z"
        )
        yield "flow.magnetic_direction", text


def basis_of(
    device: Device, materials: Sequence[Material], harmonics: int, axis: Axis = ALONG_Z
) -> Basis:
    """The basis for the materials of a device with N harmonics, in 3D for a field along an axis."""
    if device.dimension == 3:
        return Sphere(harmonics, axis)
    if (contour := materials[0].contour) is not None:
        return ContourBasis(contour, harmonics)
    return Section(harmonics) if materials[0].carriers == "3d" else Circle(harmonics)


def rate_of(material: Material, harmonic: int) -> float:
    """gamma_m/gamma_1 of a material whose rates do not vary in space."""
    return float(material.rate(harmonic))


def roughness(wall: Wall) -> float:
    """(1 - p)/(1 + p) of a wall."""
    if wall.specularity is None:  # infinite slip length
        return 0.0
    return (1 - wall.specularity) / (1 + wall.specularity)
