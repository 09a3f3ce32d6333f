"""Generalised electron hydrodynamics: vorticity diffuses, walls let the current slip.

    (1/sigma) J - div( (l^2/sigma) (grad J + grad J^T) ) + grad phi = 0,     div J = 0

(T. Valet et al. 2025, eq. 8, in the form that holds where sigma and l vary), with J.n = 0 and
n.(grad J + grad J^T).t = -s J_t at walls: the member with two harmonics of the moment family.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi

import numpy as np

from meso.boundary import Boundary, Contact
from meso.cells import FacetGeometry
from meso.device import Device
from meso.errors import CaseError
from meso.fields import continuous, continuous_function
from meso.flow.angular import two_harmonics
from meso.flow.result import (
    Flow,
    Scales,
    check_device,
    current_unit,
    relative_divergence,
    terminals_of,
)
from meso.flow.system import Law, Loads, MomentSystem
from meso.material import Material

#: Penalty on J.n at walls, in k^2 (l^2/h + h)/sigma. The multiplier alone makes walls impenetrable;
#: at sharp corners the penalty divides the error by five, elsewhere it changes nothing
#: (1 to 1000 measured, also on curved walls).
CORNER_PENALTY = 100.0


class Hydrodynamic:
    """Hydrodynamic flow in a device.

    Args:
        device: The device.
        materials: Material of each region, by name.
        boundaries: Contact or Wall of each boundary, by name.
        order: Polynomial degree of the current density, at least 2; the potential has one less.
        thickness: Thickness of a slab of 3D material, m; None for a 2D electron gas, or for
            currents per thickness.

    Raises:
        CaseError: A region without material or vorticity diffusion length, a boundary without
            a law, an island without a contact.
    """

    def __init__(
        self,
        device: Device,
        *,
        materials: Mapping[str, Material],
        boundaries: Mapping[str, Boundary],
        order: int = 4,
        thickness: float | None = None,
    ) -> None:
        check_device(device, materials, boundaries)
        for region, material in materials.items():
            if material.vorticity_diffusion_length is None:
                raise CaseError(
                    (
                        f"materials.{material.name or region}",
                        "the hydrodynamic model needs a mean_free_path (or a"
                        " vorticity_diffusion_length)",
                    )
                )
        self.device, self.materials, self.boundaries = device, materials, boundaries
        self.order, self.thickness = order, thickness
        # Viscous flow carries less: the scaled currents stay near one also where l is large.
        self.scales = Scales(
            length=device.extent,
            conductivity=max(
                m.conductivity
                / max(1.0, ((m.vorticity_diffusion_length or 0) / device.extent) ** 2)
                for m in materials.values()
            ),
        )

    def laws(self) -> dict[str, Law]:
        """What each boundary does, in scaled variables."""
        return {name: self._law(law) for name, law in self.boundaries.items()}

    def _law(self, boundary: Boundary) -> Law:
        regions = [self.materials[name] for name in self.device.regions]
        stress = self._stress()
        if isinstance(boundary, Contact):
            if boundary.law == "ideal":
                return Law(ideal=True)
            step = np.array(
                [
                    _contact_step(m) * r
                    for m, r in zip(regions, self._relaxation() / self.scales.length, strict=True)
                ]
            )
            slip = stress * np.array([m.slip_rate(0.0) for m in regions]) * self.scales.length
            return Law(angular=lambda f, r: _normal(f, step[r]) + _tangential(f, slip[r][:, None]))
        slip_rates = np.array([boundary.slip_rate(m) for m in regions]) * self.scales.length
        if np.isinf(slip_rates).any():
            return Law(given=lambda x: np.zeros(x.shape))
        literal = boundary.law == "literal"
        relaxation, penalty = self._relaxation(), CORNER_PENALTY * self.order**2

        def wall(facets: FacetGeometry, region: np.ndarray) -> np.ndarray:
            rate = slip_rates[region][:, None] + (facets.curvature if literal else 0.0)
            friction = _tangential(facets, stress[region][:, None] * rate)
            h = facets.height
            return friction + _normal(
                facets, penalty * (stress[region] / h + relaxation[region] * h)
            )

        return Law(angular=wall, impenetrable=True)

    def _stress(self) -> np.ndarray:
        regions = [self.materials[name] for name in self.device.regions]
        lengths = np.array([m.vorticity_diffusion_length for m in regions]) / self.scales.length
        return lengths**2 * self._relaxation()

    def _relaxation(self) -> np.ndarray:
        regions = [self.materials[name] for name in self.device.regions]
        return self.scales.conductivity / np.array([m.conductivity for m in regions])

    def system(self, loads: Loads | None = None) -> MomentSystem:
        """The factorised system; ``loads`` in scaled variables are for manufactured solutions."""
        return MomentSystem(
            self.device,
            order=self.order,
            moments=two_harmonics(),
            stress=self._stress(),
            relaxation=self._relaxation(),
            laws=self.laws(),
            contacts=tuple(n for n, law in self.boundaries.items() if isinstance(law, Contact)),
            loads=loads,
        )

    def solve(self) -> Flow:
        """Solve for the potentials and currents that the contacts are given.

        Returns:
            The flow.

        Raises:
            ConvergenceError: The system is singular, or the residual too large.
        """
        system = self.system()
        solutions = system.solve()
        device, scales = self.device, self.scales
        conductance, terminals, potential = terminals_of(
            system.contacts, self.boundaries, solutions.flux, scales, self.thickness
        )
        vector = np.tensordot(potential, solutions.vector, 1) * scales.current_density
        scalar = potential @ solutions.scalar
        density = continuous(
            "current_density", current_unit(self.materials), device, self.order, vector
        )
        return Flow(
            model="hydrodynamic",
            device=device,
            materials=self.materials,
            boundaries=self.boundaries,
            thickness=self.thickness,
            order=self.order,
            current_density=continuous_function("current_density", device, self.order, vector),
            potential=continuous_function("potential", device, self.order - 1, scalar),
            fields={
                "current_density": density,
                "potential": continuous("potential", "V", device, self.order - 1, scalar),
            },
            contacts=terminals,
            conductance_matrix=conductance,
            evidence={
                "method": solutions.method,
                "unknowns": solutions.unknowns,
                "residual": solutions.residual,
                "divergence_relative": relative_divergence(density),
            },
        )


def _contact_step(material: Material) -> float:
    """Potential step of a kinetic reservoir over J_n/sigma, m (half-range moments)."""
    if material.mean_free_path is None:
        raise CaseError(
            (f"materials.{material.name}", 'a contact with law "reservoir" needs a mean_free_path')
        )
    factor = 8 / (3 * pi) if material.carriers == "2d" else 3 / 4
    return factor * material.mean_free_path


def _normal(facets: FacetGeometry, coefficient: np.ndarray) -> np.ndarray:
    """Coefficient n n^T at the quadrature points."""
    outer = facets.normal[..., :, None] * facets.normal[..., None, :]
    return coefficient[:, None, None, None] * outer


def _tangential(facets: FacetGeometry, coefficient: np.ndarray) -> np.ndarray:
    """Coefficient t t^T at the quadrature points."""
    outer = facets.tangent[..., :, None] * facets.tangent[..., None, :]
    return coefficient[..., None, None] * outer
