"""Ohm's law: -div(sigma grad phi) = 0, J = -sigma grad phi, J.n = 0 at walls.

The limit l -> 0 of the hydrodynamic model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meso.algebra import Assembly
from meso.boundary import Boundary, Contact
from meso.cells import Lagrange, cells_of, lagrange, quadrature
from meso.device import Device
from meso.errors import CaseError
from meso.fields import Field, continuous, continuous_function, gradient
from meso.flow.result import (
    Flow,
    Scales,
    check_device,
    current_unit,
    relative_divergence,
    terminals_of,
)
from meso.material import Material
from meso.mpi import total
from meso.unknowns import number


class Ohmic:
    """Ohmic flow in a device.

    Args:
        device: The device.
        materials: Material of each region, by name.
        boundaries: Contact or Wall of each boundary, by name; walls only keep the current in.
        order: Polynomial degree of the potential; the current density has one less.
        thickness: Thickness of a slab of 3D material, m; None for a 2D electron gas, or for
            currents per thickness.

    Raises:
        CaseError: A region without material, a boundary without a law, an island without a
            contact, a contact with law "reservoir".
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
        for name, law in boundaries.items():
            if isinstance(law, Contact) and law.law != "ideal":
                raise CaseError(
                    (f"boundaries.{name}.contact.law", "the ohmic model has ideal contacts only")
                )
        self.device, self.materials, self.boundaries = device, materials, boundaries
        self.order, self.thickness = order, thickness
        self.scales = Scales(
            length=device.extent, conductivity=max(m.conductivity for m in materials.values())
        )

    def solve(self) -> Flow:
        """Solve for the potentials and currents that the contacts are given.

        Returns:
            The flow.

        Raises:
            ConvergenceError: The system is singular, or the residual too large.
        """
        device, scales = self.device, self.scales
        names = tuple(n for n, law in self.boundaries.items() if isinstance(law, Contact))
        space = lagrange(device, self.order)
        at_contact = {name: space.nodes_on(device, name) for name in names}
        given = np.zeros((space.nodes, len(names)))
        for side, name in enumerate(names):
            given[at_contact[name], side] = 1.0
        unknowns = number(
            comm=device.comm,
            components=1,
            vector=None,
            scalar=space,
            prescribed=np.unique(np.concatenate(list(at_contact.values()))),
            wall_nodes=np.empty((0, 1), dtype=np.int64),
            wall_piece=np.empty(0, dtype=np.int64),
        )
        conductivity = np.array(
            [self.materials[name].conductivity / scales.conductivity for name in device.regions]
        )
        assembly = Assembly(unknowns, len(names))
        for batch, straight in cells_of(device).batches(3 * space.dofs.shape[1] ** 2):
            matrix = conduction(device, batch, straight, space, conductivity)
            nodes = space.dofs[batch][:, space.outer]
            assembly.add_cells(batch, matrix, unknowns.scalar[nodes], given=given[nodes])
        factor = assembly.factorise()
        x = factor.solve(assembly.load)
        nodal = given.copy()
        kept = unknowns.scalar >= 0
        nodal[kept] = x[unknowns.scalar[kept]]
        for part in assembly.batches:
            nodal[space.dofs[part.cells][:, space.interior]] = part.inner(x)
        flux = self._fluxes(space, conductivity, nodal)

        conductance, terminals, potential = terminals_of(
            names, self.boundaries, flux, scales, self.thickness
        )
        scalar = nodal @ potential
        voltage = continuous("potential", "V", device, self.order, scalar)
        density = self._current_density(voltage)
        return Flow(
            model="ohmic",
            device=device,
            materials=self.materials,
            boundaries=self.boundaries,
            thickness=self.thickness,
            order=self.order,
            current_density=density.function(),
            potential=continuous_function("potential", device, self.order, scalar),
            fields={"current_density": density, "potential": voltage},
            contacts=terminals,
            conductance_matrix=conductance,
            evidence={
                "method": factor.method,
                "unknowns": unknowns.total,
                "residual": factor.residual,
                "divergence_relative": relative_divergence(density),
            },
        )

    def _fluxes(self, space: Lagrange, conductivity: np.ndarray, nodal: np.ndarray) -> np.ndarray:
        """Scaled conductance matrix by consistent fluxes, G_ij = a(phi_i, phi_j).

        No derivative is taken at the boundary, G is symmetric, and its rows sum to zero because
        the solutions phi_i add up to one.
        """
        flux = np.zeros((nodal.shape[1], nodal.shape[1]))
        for batch, straight in cells_of(self.device).batches(3 * space.dofs.shape[1] ** 2):
            matrix = conduction(self.device, batch, straight, space, conductivity)
            nodes = space.dofs[batch]
            # A constant carries no current: without it nothing is left for rounding to add up.
            value = nodal[nodes] - nodal[nodes].mean(axis=1, keepdims=True)
            flux += np.tensordot(value, matrix @ value, ((0, 1), (0, 1)))
        return np.asarray(total(self.device.comm, flux))

    def _current_density(self, voltage: Field) -> Field:
        device = self.device
        degree = self.order - 1
        points = lagrange(device, degree).points if degree else np.array([[1 / 3, 1 / 3]])
        sigma = np.array([self.materials[name].conductivity for name in device.regions])
        slope = gradient(voltage, points)[..., 0]
        return Field(
            name="current_density",
            unit=current_unit(self.materials),
            device=device,
            degree=degree,
            values=-sigma[device.cell_region][:, None, None] * slope,
        )


def conduction(
    device: Device, batch: np.ndarray, straight: bool, space: Lagrange, conductivity: np.ndarray
) -> np.ndarray:
    """Element matrices of (sigma grad phi, grad psi), shape (c, n, n)."""
    cells = cells_of(device)
    sigma = conductivity[device.cell_region[batch]]
    degree = 2 * space.degree
    if straight:
        points, weights = quadrature(degree)
        gradient_ = space.gradients(points)
        n = gradient_.shape[1]
        stiffness = np.einsum("q,qma,qnb->abmn", weights, gradient_, gradient_).reshape(4, n * n)
        inverses, determinant = cells.derivatives(batch)
        metric = np.einsum("c,cai,cbi->cab", sigma * determinant, inverses, inverses)
        return (metric.reshape(-1, 4) @ stiffness).reshape(len(batch), n, n)
    points, weights = quadrature(degree + 2 * (cells.degree - 1))
    slope, determinant = cells.gradients(batch, points, space.gradients(points))
    rows = slope.reshape(len(batch), -1, slope.shape[3])
    weight = np.repeat(weights * determinant * sigma[:, None], 2, axis=1)
    return (rows * weight[:, :, None]).transpose(0, 2, 1) @ rows
