"""Ohm's law: -div(sigma grad phi) = 0, J = -sigma grad phi, J.n = 0 at walls.

The limit l -> 0 of the hydrodynamic model. sigma is a tensor where the Fermi line makes it one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl

from meso.boundary import Boundary, Contact
from meso.device import Device
from meso.discrete.algebra import Assembly
from meso.discrete.cells import Lagrange, cells_of, lagrange
from meso.discrete.coefficients import Coefficients, Scales, conductivity_scale
from meso.discrete.expressions import coefficient, interpolated
from meso.discrete.fields import Field, cellwise, continuous
from meso.discrete.kernels import Space
from meso.discrete.own_terms import OwnTerms, Symbols, Term, own_terms
from meso.discrete.periodic import ground_nodes, twin_nodes
from meso.discrete.scalar import ScalarForms
from meso.discrete.unknowns import kept, number
from meso.equations import ohmic
from meso.errors import CaseError
from meso.flow.ohmic_adjoint import OhmicAdjoint, OhmicSystem
from meso.flow.result import (
    Flow,
    check_device,
    current_unit,
    driven,
    periodic_pairs,
    ports_of,
)
from meso.materials.material import Material
from meso.mpi import total


@dataclass(frozen=True, slots=True, kw_only=True)
class OhmicSymbols(Symbols):
    """What a term of an ohmic flow may be made of, beside those of any model.

    Attributes:
        phi: Electrochemical potential.
        psi: Its test function.
        conductivity: sigma.
    """

    phi: Any
    psi: Any
    conductivity: Any


class Ohmic:
    """Ohmic flow in a device.

    Args:
        device: The device.
        materials: Material of each region, by name.
        boundaries: Contact, Wall or Periodic of each boundary, by name; walls only keep the
            current in.
        order: Polynomial degree of the potential; the current density has one less. By default
            that of the device.
        thickness: Thickness of a slab of 3D material, m; None for a 2D electron gas, a 3D mesh,
            or for currents per thickness.
        solver: "direct", "iterative" or "auto": direct in 2D, iterative in 3D.
        terms: Functions from :class:`OhmicSymbols` to UFL forms, which are added to the left-hand
            side of the weak form.
        tolerance: Relative residual of iterations; by default 1e-13.

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
        order: int | None = None,
        thickness: float | None = None,
        solver: str = "auto",
        terms: Sequence[Term] = (),
        tolerance: float | None = None,
    ) -> None:
        check_device(device, materials, boundaries)
        for name, law in boundaries.items():
            if isinstance(law, Contact) and law.law != "ideal":
                raise CaseError(
                    (f"boundaries.{name}.contact.law", "the ohmic model has ideal contacts only")
                )
        self.device, self.materials, self.boundaries = device, materials, boundaries
        self.order, self.thickness = order or device.order, thickness
        self.terms, self._tolerance = tuple(terms), tolerance
        self.iterative = solver == "iterative" or (solver == "auto" and device.dimension == 3)
        self.scales = Scales(
            length=device.extent,
            conductivity=conductivity_scale(device, materials, viscous=False),
        )
        self.coefficients = Coefficients(device, materials, self.scales)
        tensors = [materials[name].conductivity_tensor for name in device.regions]
        #: sigma_ij over sigma of each region, shape (regions, 2, 2); None for ones.
        self.tensors = None
        if any(tensor is not None for tensor in tensors):
            self.tensors = np.array([np.eye(2) if t is None else t for t in tensors])

    def solve(self, *, keep: bool = False) -> Flow:
        """Solve for the potentials and currents that the boundaries are given.

        Args:
            keep: True to keep what derivatives need: the flow has an ``adjoint`` then, unless
                added terms are loads, or the conductivity is a tensor.

        Returns:
            The flow.

        Raises:
            ConvergenceError: The system is singular, or the residual too large.
        """
        space, own = lagrange(self.device, self.order), self._own_terms()
        keep = keep and (own is None or own.loads is None) and self.tensors is None
        nodal, evidence, system = self._unit_potentials(space, own, keep=keep)

        flux = self._fluxes(space, nodal, own)
        adjoint = OhmicAdjoint(self, space, nodal, flux, system) if keep else None
        return driven(
            self,
            "ohmic",
            flux,
            lambda mix: self.state(nodal @ mix),
            evidence,
            slips=False,
            adjoint=adjoint,
        )

    def state(self, nodal: np.ndarray) -> tuple[Field, Field]:
        """Current density and potential from the latter at the nodes, (nodes,)."""
        voltage = continuous("potential", "V", self.device, self.order, nodal)
        return self._current_density(voltage.function()), voltage

    def _unit_potentials(
        self, space: Lagrange, own: OwnTerms | None, *, keep: bool
    ) -> tuple[np.ndarray, dict[str, Any], OhmicSystem]:
        """Solutions at the nodes, (nodes, sides), for unit potentials, and how they were found.

        A unit potential at a contact; a unit step from the second boundary of a pair to the first,
        where a node has the value of its twin plus one; with loads of added terms one more.
        """
        names, pairs = ports_of(self.boundaries), periodic_pairs(self.boundaries)
        contacts = names[: len(names) - len(pairs)]
        sides = len(names) + (own is not None and own.loads is not None)
        given = np.zeros((space.nodes, sides))
        twins = twin_nodes(self.device, space, pairs)
        prescribed = [ground_nodes(self.device, space, contacts, pairs, twins)]
        for side, name in enumerate(names):
            nodes = space.nodes_on(self.device, name)
            if name in contacts:
                given[nodes] = 0.0
                prescribed.append(nodes)
            given[nodes, side] = 1.0
        unknowns = number(
            scalar=space,
            keep_scalar=kept(space, np.unique(np.concatenate(prescribed))),
            twins=twins,
        )
        rows = unknowns.scalar[0]
        symmetric = own is None or own.symmetric
        assembly = Assembly(unknowns, sides, symmetric, own=own is not None, keep=keep)
        for batch, matrix in self.conduction(space):
            nodes, load = space.dofs[batch][:, space.outer], None
            if own is not None:
                matrix = matrix + own.matrices[batch]
            if own is not None and own.loads is not None:
                load = np.zeros((*matrix.shape[:2], sides))
                load[..., -1] = own.loads[batch]
            assembly.add_cells(batch, matrix, rows[nodes], load, given=given[nodes])
        factor = None
        if unknowns.total:
            iterative, tolerance = self.iterative, self._tolerance
            factor = assembly.iterative(tolerance=tolerance) if iterative else assembly.factorise()
            x = factor.solve(assembly.load)
            evidence = factor.evidence
            if not keep:
                factor.close()
        else:  # all nodes are on contacts
            x = np.zeros((unknowns.size, sides))
            evidence = {"method": "nothing to solve", "unknowns": 0, "residual": 0.0}
        nodal = given.copy()
        nodal[rows >= 0] += x[rows[rows >= 0]]
        for part in assembly.batches:
            nodal[space.dofs[part.cells][:, space.interior]] = part.inner(x)
        return nodal, evidence, OhmicSystem(space, assembly, factor, rows, own)

    def _fluxes(self, space: Lagrange, nodal: np.ndarray, own: OwnTerms | None) -> np.ndarray:
        """Scaled currents by consistent fluxes, G_ij = a(phi_j, phi_i), shape (ports, sides).

        No derivative is taken at the boundary, G is symmetric, and without added terms its rows
        sum to zero because the solutions phi_i add up to one.
        """
        ports = len(ports_of(self.boundaries))
        flux = np.zeros((ports, nodal.shape[1]))
        for batch, matrix in self.conduction(space):
            values = nodal[space.dofs[batch]]
            # A constant carries no current: without it nothing is left for rounding to add up.
            slopes = values - values.mean(axis=1, keepdims=True)
            flux += np.tensordot(slopes[..., :ports], matrix @ slopes, ((0, 1), (0, 1)))
            if own is not None:
                added = own.matrices[batch] @ values
                if own.loads is not None:
                    added[..., -1] -= own.loads[batch]
                flux += np.tensordot(values[..., :ports], added, ((0, 1), (0, 1)))
        return np.asarray(total(self.device.comm, flux))

    def _own_terms(self) -> OwnTerms | None:
        def symbols(common: dict[str, Any], trial: Any, test: Any) -> OhmicSymbols:
            sigma = common["material"](lambda m: m.conductivity)
            return OhmicSymbols(phi=trial, psi=test, conductivity=sigma, **common)

        unit = self.device.extent ** (2 - self.device.dimension) / self.scales.conductivity
        fields = [(Space(self.order, 0), unit, 1.0)]
        return own_terms(self.device, fields, self.terms, symbols, self.coefficients.evaluate)

    def conduction(self, space: Lagrange) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cells of a batch and their matrices of (sigma grad phi, grad psi), shape (c, n, n)."""
        cells = cells_of(self.device)
        forms = ScalarForms(cells, space, bend=2 * (cells.degree - 1))
        simple = cells.affine & ~self.coefficients.varies
        for batch, same in cells.batches(3 * space.dofs.shape[1] ** 2, simple):
            if len(batch):
                points, _ = forms.quadrature(same)
                at = cells.positions(batch, points[:1] if same else points)
                sigma = self.coefficients.conductivity(batch, at)
                if self.tensors is None:
                    yield batch, forms.conduction(batch, same, sigma)
                    continue
                tensor = self.tensors[self.device.cell_region[batch]]
                slopes = tensor[:, :, None, :, None] * forms.stiffness(batch, same, sigma)
                yield batch, slopes.sum(axis=(1, 3))

    def _current_density(self, potential: Any) -> Field:
        """J = -sigma grad phi, in each cell at the nodes of one degree less."""
        device, degree = self.device, self.order - 1

        def conductivity(cells: np.ndarray, positions: np.ndarray) -> np.ndarray:
            return self.coefficients.conductivity(cells, positions) * self.scales.conductivity

        sigma = coefficient(device, degree, conductivity)
        if self.tensors is not None:
            xx, xy, yy = (
                cellwise("share", "", device, 0, each[:, None]).function()
                for each in self.tensors[device.cell_region].reshape(-1, 4)[:, [0, 1, 3]].T
            )
            sigma *= ufl.as_matrix([[xx, xy], [xy, yy]])
        return interpolated(
            "current_density",
            current_unit(self.materials),
            device,
            degree,
            ohmic.current_density(potential, sigma),
        )
