"""Electrons among scalar point scatterers, in the self-consistent Born approximation.

    G(k, z) = (z − H(k) − Σ(z))⁻¹,    Σ(z) = u ∫_k G(k, z),    u = n_i v₀²

Σ does not depend on k. Its real part at the Fermi energy is a shift of all levels alike, which in
the plane may even diverge, and a change of the Hamiltonian; the shift is left out: the Fermi energy
is measured from the same zero at any u. What a uniform field changes is given for a unit force
eE along each direction, at zero temperature, by two formulations that share this file only: Kubo's
formula with its ladder of vertex corrections (`ladder`) and the quantum kinetic equation
(`kinetics`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np

from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh, plane, uniform
from meso.bands.model import Array, Floats, Model, check_positive
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError, ConvergenceError

#: Σ is converged when it changes by less than this, relative.
_TOLERANCE = 3e-14
_ITERATIONS = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response:
    """The change of the density matrix by a field of 1 V/m along each direction.

    Attributes:
        intraband: ∫ Σ_n P_n ρ P_n as (d, N, N) in 1/m^d, in the basis of the model.
        interband: ∫ Σ_{n≠m} P_n ρ P_m, likewise.
        conductivity: [field, current] in S (2D) or S/m.
        vertex: The part of the dressed vertex J − ∂H/∂k that scatterers add at the Fermi energy,
            (d, N, N) in eV Å.
    """

    intraband: Array
    interband: Array
    conductivity: Floats
    vertex: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Scatterers:
    """A model with point scatterers on a mesh of wave vectors.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        strength: u = n_i v₀² in eV² Å^d.
        mesh: Wave vectors of all the plane, or of a Brillouin zone.
    """

    model: Model
    energy: float
    strength: float
    mesh: Mesh

    @cached_property
    def bands(self) -> Bands:
        """The bands without scatterers."""
        return Electrons(self.model, self.energy).bands(self.mesh.points)

    @cached_property
    def hamiltonian(self) -> Array:
        """H at the mesh (K, N, N)."""
        return self.model.hamiltonian(self.mesh.points).astype(complex)

    @cached_property
    def velocity(self) -> Array:
        """∂H/∂k at the mesh (d, K, N, N)."""
        return np.ascontiguousarray(self.model.gradient(self.mesh.points).swapaxes(0, 1)) + 0j

    def integral(self, value: Array) -> Array:
        """∫ d^dk/(2π)^d of (…, K, N, N)."""
        return np.tensordot(value, self.mesh.weights, axes=(-3, 0))

    def pairs(self, left: Array, right: Array) -> Array:
        """The matrix of A ↦ u ∫ left A right for A as a vector of N² entries."""
        n = self.model.size
        product = np.einsum("k,kab,kcd->adbc", self.mesh.weights, left, right, optimize=True)
        return self.strength * product.reshape(n * n, n * n)

    def _free(self, z: complex, sigma: Array) -> Array:
        return np.linalg.inv(z * np.eye(self.model.size) - self.hamiltonian - sigma)

    def _iterate(self, z: complex, start: Array, shift: float | None) -> Array:
        sigma, one = start, np.eye(self.model.size)
        for _ in range(_ITERATIONS):
            whole = self.strength * self.integral(self._free(z, sigma))
            at = whole.trace().real / len(one) if shift is None else shift
            sigma, before = whole - at * one, sigma
            change = np.abs(sigma - before).max()
            if change <= _TOLERANCE * np.abs(whole).max():
                return sigma
        raise ConvergenceError(f"self-consistent Born approximation at {z:.4g} eV: {change:.2g} eV")

    @cached_property
    def self_energy(self) -> Array:
        """Retarded Σ at the Fermi energy in eV; the mean of its real part is zero."""
        return self._iterate(self.energy, -1e-2j * np.eye(self.model.size), None)

    @cached_property
    def _shift(self) -> float:
        """What that leaves out."""
        raw = self.strength * self.integral(self._free(self.energy, self.self_energy))
        return float(raw.trace().real) / self.model.size

    def green(self, height: float = 0.0) -> Array:
        """Retarded G at the Fermi energy + i·height (K, N, N)."""
        if height == 0:
            return self._free(self.energy, self.self_energy)
        z = self.energy + 1j * height
        return self._free(z, self._iterate(z, self.self_energy, self._shift))

    def response(self, density: Array, vertex: Array) -> Response:
        """Sums over k of a density matrix 2π ρ/eE (d, K, N, N)."""
        d, model = self.model.dimension, self.model
        # A force in eV/Å is 1e-10 times the field in V/m; an integral is in 1/Å^d.
        scale = np.sign(ELECTRON_CHARGE) * 10.0 ** (10 * d - 10) * model.degeneracy / (2 * pi)
        found = self.bands.between(density.swapaxes(0, 1))
        inner = self.bands.within(found)
        both = [self.bands.back(x).swapaxes(0, 1) for x in (inner, found - inner)]
        flow = np.einsum("k,ikab,jkba->ij", self.mesh.weights, density, self.velocity).real
        charge = ELECTRON_CHARGE * ELEMENTARY_CHARGE * 1e-10 / HBAR
        return Response(
            intraband=scale * self.integral(both[0]),
            interband=scale * self.integral(both[1]),
            conductivity=scale * charge * flow,
            vertex=vertex,
        )


def _radial(model: Model, energy: float, strength: float, rays: int) -> int:
    """Gauss points of a ring: there are poles at the distance Γ/v from its ends."""
    mesh = plane(model, energy, rays)
    rough = Scatterers(model=model, energy=energy, strength=strength, mesh=mesh)
    levels = rough.bands.energies
    low, high = energy - levels.min(axis=0), levels.max(axis=0) - energy
    depth = np.minimum(low, high)[(low > 0) & (high > 0)]
    if not len(depth):
        raise CaseError(("energy", f"no Fermi line of {model.name} at {energy:g} eV"))
    width = np.abs(rough.self_energy.imag).max()
    return int(np.clip(20 * np.sqrt(depth.max() / width), 96, 400))


def scatterers(
    model: Model, *, energy: float, strength: float, kmesh: int = 32, radial: int | None = None
) -> Scatterers:
    """Point scatterers of a strength u in a model.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        strength: u = n_i v₀² in eV² Å^d.
        kmesh: Rays, or points of a grid along one direction.
        radial: Gauss points of each ring of a model of the plane; None: from the width of its
            spectral lines.

    Raises:
        CaseError: The strength is not positive, or there is no Fermi surface.
    """
    check_positive(strength=strength)
    if model.lattice is not None:
        mesh = uniform(model, kmesh, symmetry="none", generic=True)
        return Scatterers(model=model, energy=energy, strength=strength, mesh=mesh)
    if radial is None:
        radial = _radial(model, energy, strength, kmesh)
    mesh = plane(model, energy, kmesh, radial)
    return Scatterers(model=model, energy=energy, strength=strength, mesh=mesh)
