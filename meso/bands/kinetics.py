"""The quantum kinetic equation of a uniform conductor with point scatterers, at finite broadening.

Wigner functions of k and energy, products to first order in a force F = eE,

    A ⋆ B = AB + (i/2) F·(∂_εA ∂_kB − ∂_kA ∂_εB),

and the Keldysh equations for the retarded and for the lesser function. Of the latter,
G^< = −G^R⋆n + n⋆G^A + X, the part X answers to the force and to collisions (−i∂n/∂ε left out),

    −(H + Σ^R) X + X (H + Σ^A) = (F·∂_kH + Y) G^A − G^R (F·∂_kH + Y),    Y = u ∫_k X

a Boltzmann equation for matrices, here solved as such: for each k the generalised commutator is
inverted in the basis of the complex levels, and the collisions Y are iterated (GMRES). What the
field does to G^R adds the rest, by the Dyson equation to first order; nothing is written in terms
of vertices. At weak disorder this is eq. 1–4 of Valet and Raimondi (2025), see `weak_limit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from meso.bands.boltzmann import Distribution, solve
from meso.bands.disorder import Response, Scatterers
from meso.bands.engine import integrate
from meso.bands.geometry import Bands, Electrons
from meso.bands.interband import interband_density
from meso.bands.kmesh import fermi_lines, plane
from meso.bands.model import Array, Model
from meso.constants import ELECTRON_CHARGE
from meso.errors import CaseError, ConvergenceError


def _collisions(s: Scatterers, force: Array) -> Array:
    """X/i of a unit force along one direction at each k: (K, N, N), from ∂H/∂k (K, N, N)."""
    n = s.model.size
    levels, right = np.linalg.eig(s.hamiltonian + s.self_energy)
    left, back = np.linalg.inv(right), right.conj().swapaxes(1, 2)
    # Between complex levels a and b, drive and commutator share the factor a − b*, small on shell
    # and lost in rounding far from it: what is left is one over the distances of both.
    distance = s.energy - levels
    inverse = 1 / (distance[:, :, None] * distance[:, None, :].conj())

    def solved(drive: Array) -> Array:
        """X of a drive, by inverting the commutator at each k."""
        return right @ (left @ drive @ left.conj().swapaxes(1, 2) * inverse) @ back

    def arriving(y: Array) -> Array:
        return s.strength * s.integral(solved(y.reshape(1, n, n))).ravel()

    # Collisions keep the number of particles: Im Σ is a null vector, of rows and of columns.
    number = ((s.self_energy - s.self_energy.conj().T) / 2j).ravel()
    number = number / np.linalg.norm(number)

    def without(y: Array) -> Array:
        return y - number * np.vdot(number, y)

    def lost(y: Array) -> Array:
        return without(y - arriving(without(y))) + number * np.vdot(number, y)

    first = without(s.strength * s.integral(solved(force)).ravel())
    system = LinearOperator((n * n, n * n), matvec=lost, dtype=complex)
    size = np.abs(force).max()
    y = np.zeros(n * n, dtype=complex)
    for _ in range(3):  # of refinement
        rest = first - system @ y
        if np.abs(rest).max() <= 1e-15 * size:
            break
        y = y + gmres(system, rest, rtol=1e-12, atol=1e-16 * size, restart=n * n)[0]
    if np.abs(first - system @ y).max() > 1e-12 * size:
        raise ConvergenceError("collisions of the quantum kinetic equation: no convergence")
    return solved(force + y.reshape(n, n))


def _fixed(step: Callable[[Array], Array], start: Array, scale: float) -> Array:
    """Iterate x ↦ step(x), which contracts, until nothing is left but rounding on a scale."""
    x = start
    for _ in range(400):
        y = step(x)
        if np.abs(y - x).max() <= 1e-14 * scale:
            return y
        x = y
    raise ConvergenceError("self-energy in a field: no convergence")


def _retarded(s: Scatterers, height: float) -> Array:
    """δG^R of a unit force along each direction at E_F + i·height (d, K, N, N)."""
    g, one = s.green(height), np.eye(s.model.size)
    # 1 − dΣ/dε and ∂_εG follow from each other.
    by_energy = _fixed(lambda x: one + s.strength * s.integral(g @ x @ g), one + 0j, 1.0)
    slope = -g @ by_energy @ g
    by_k = g @ s.velocity @ g
    # G⁻¹ ⋆ G = 1, with ∂_kG⁻¹ = −∂H/∂k: what the gradients leave is met by δG and δΣ.
    gradients = 0.5j * (by_energy @ by_k + s.velocity @ slope)

    def field(sigma: Array) -> Array:
        return g @ (sigma[:, None] @ g - gradients)

    start = np.zeros((len(s.velocity), *one.shape), dtype=complex)
    scale = s.strength * float(s.integral(np.abs(g @ gradients)).max())
    return field(_fixed(lambda x: s.strength * s.integral(field(x)), start, scale))


def quantum_kinetic(s: Scatterers, *, points: int = 40, scale: float = 1.0) -> Response:
    """The response to a uniform field by the quantum kinetic equation.

    Args:
        s: The model with its scatterers.
        points: Points of the integral over the Fermi sea.
        scale: Energy in eV about which they lie.
    """
    g = s.green()
    flow = np.array([_collisions(s, force) for force in s.velocity])
    by_k = g @ s.velocity @ g
    density = flow - (by_k + by_k.conj().swapaxes(2, 3)) / 2
    x, w = np.polynomial.legendre.leggauss(points)
    root = (1 + x) / (1 - x)
    heights, weights = scale * root**2, scale * 4 * root * w / (1 - x) ** 2
    for height, weight in zip(heights, weights, strict=True):
        change = weight * _retarded(s, height)
        density = density + change + change.conj().swapaxes(2, 3)
    return s.response(density, s.strength * s.integral(flow))


def _shifted(at: Bands, found: Distribution, real: Array) -> tuple[Array]:
    """Distributions that follow the change u·real of the Hamiltonian (K, 3, N, N)."""
    f = found.shift(at) * at.surface[:, None]
    change = (f[..., :, None] - f[..., None, :]) * at.inverse_gap[:, None]
    return (at.back(change * at.between(real[None])[:, None]),)


def _virtual(at: Bands, found: Distribution, energy: float) -> tuple[Array]:
    """Coherences by arriving electrons off the shell (K, 3, N, N)."""
    pole = 1 / (energy - at.energies)
    both = np.where(at.same, 0.0, pole[:, :, None] * pole[:, None, :])
    return (at.back(at.between(found.arriving[None]) * both[:, None]),)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeakLimit:
    """What does not depend on the strength of scatterers as that goes to zero.

    Attributes:
        field: First term of eq. 1 as (d, N, N) in 1/m² for 1 V/m along each direction, integrated
            over k, in the basis of the model.
        disorder: Third term of eq. 1, likewise.
        principal: The principal values that eq. 1 leaves out, of the same order: the change of
            states by the real part of the self-energy, which distributions follow, and coherences
            that electrons arriving by scattering make off the shell.
        vertex: The part of the dressed vertex of eq. 9 and 10 that is due to scatterers (d, N, N).
    """

    field: Array
    disorder: Array
    principal: Array
    vertex: Array

    @property
    def interband(self) -> Array:
        """All of the interband density matrix."""
        return self.field + self.disorder + self.principal


def weak_limit(model: Model, *, energy: float, kmesh: int = 32) -> WeakLimit:
    """The interband density matrix for u → 0, from the Boltzmann equation: eq. 1 and what it omits.

    Args:
        model: A model of the plane without lattice.
        energy: Fermi energy in eV.
        kmesh: Rays.

    Raises:
        CaseError: A lattice, or no Fermi line.
    """
    if model.lattice is not None:
        raise CaseError(("model", f"{model.name}: this needs a model of the plane, no lattice"))
    electrons = Electrons(model, float(energy))
    lines = fermi_lines(model, energy, kmesh)
    around = plane(model, energy, kmesh, principal=True)
    found = solve(electrons, lines)
    pole = energy * np.eye(model.size) - model.hamiltonian(around.points)
    real = np.tensordot(around.weights, np.linalg.inv(pole), axes=1)
    (shifted,) = integrate(electrons, lines, partial(_shifted, found=found, real=real))
    (virtual,) = integrate(electrons, around, partial(_virtual, found=found, energy=energy))
    scale = np.sign(ELECTRON_CHARGE) * 1e10 * model.degeneracy
    parts = [
        interband_density(model, energy=energy, field=e, kmesh=kmesh, error=False).parts
        for e in np.eye(2)
    ]
    return WeakLimit(
        field=np.array([p["field"] for p in parts]),
        disorder=np.array([p["disorder"] for p in parts]),
        principal=scale * (shifted + virtual)[:2],
        vertex=2 * np.pi * found.arriving[:2],
    )
