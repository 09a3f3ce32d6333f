"""Interband density matrix and the torque of a two-dimensional electron gas.

Between bands n ≠ m the density matrix follows locally from distributions within bands (Valet and
Raimondi 2025, eq. 1): with A_nm = i P_n ∂_k P_m and u = n_i v₀²,

    field      −e (f_n − f_m)/(ε_n − ε_m) E·A_nm
    gradient   −½ ∂_x(f_n + f_m)·A_nm
    disorder   −(iπu/(ε_n − ε_m)) Σ_q ∫ P_n P_q P_m [δ(ε_q−ε_n)(f_q−f_n) + δ(ε_q−ε_m)(f_q−f_m)]

The third does not depend on how strong the disorder is, since f ∝ 1/u. The torque on a
magnetisation is T = J m × ⟨σ⟩; for a parabolic band the first and the third part cancel. (In print,
eq. 13 and 15 lack a factor σ under the sum, and eq. 14 a σ′ and half of its prefactor; nothing here
uses them.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.boltzmann import Distribution, solve
from meso.bands.continuum import ElectronGas
from meso.bands.engine import integrate
from meso.bands.geometry import Bands, connection
from meso.bands.kmesh import plane
from meso.bands.model import SIGMA, Array, Model
from meso.bands.result import Quantity
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE
from meso.errors import CaseError

_REFERENCE = "Valet and Raimondi, Phys. Rev. B 111, L041118 (2025), eq. 1-4, 11-15"


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldTerm:
    """Σ_nm (f_n − f_m)/(ε_n − ε_m) A^a_nm at each k in the basis of the model (K, 2, N, N)."""

    energy: float

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        f = at.occupation(self.energy)
        ratio = (f[:, :, None] - f[:, None, :]) * at.inverse_gap
        return _back(at, connection(at) * ratio[:, None])


def _back(at: Bands, matrix: Array) -> Array:
    """From the basis of the bands to that of the model; (K, a, N, N)."""
    u = at.states[:, None]
    return u @ matrix @ u.conj().swapaxes(-1, -2)


def _disorder(found: Distribution) -> Array:
    """The third part for unit force along x and y, in 1/(eV Å²) times Å: (2, N, N)."""
    w = found.mesh.weights * found.weight
    arriving = np.einsum("k,ka,kmn->amn", w, found.shift, found.projectors)
    leaving = np.einsum("k,kmn->mn", w, found.projectors)
    vertex = arriving[None] - found.shift[:, :, None, None] * leaving
    at = found.bands
    u = at.states[:, None]
    vertex = u.conj().swapaxes(-1, -2) @ vertex @ u
    on_line = at.surface(0.0, 1.0, found.mesh.bands) > 0
    either = on_line[:, :, None] * 1.0 + on_line[:, None, :] * 1.0
    matrix = -1j * np.pi * vertex * (at.inverse_gap * either)[:, None]
    return np.einsum("k,kamn->amn", w, _back(at, matrix))


def _gradient(found: Distribution, model: Model, gradient: NDArray[np.floating]) -> Array:
    """The second part for ∂_i J_k in A/m², as a matrix in 1/m²."""
    w = found.mesh.weights * found.weight
    v = found.velocity
    k_tensor = np.einsum("k,ka,kb->ab", w, v, v)
    # f = δ(ε − E_F) v·C carries the particle current K·C per state; J counts all of them.
    shift = np.linalg.solve(k_tensor, gradient.T / ELECTRON_CHARGE / model.degeneracy)
    force = v @ shift  # ∂_i of g: (K, i), in 1/m² per (eV …), made SI below
    at = found.bands
    on_line = at.surface(0.0, 1.0, found.mesh.bands) > 0
    either = on_line[:, :, None] * 0.5 + on_line[:, None, :] * 0.5
    matrix = -np.einsum("ki,kinm->knm", force, connection(at)) * either
    # K⁻¹ is in 1/(eV Å⁰), v in eV Å/ħ, A in Å: together ħ/eV.
    hbar_ev = 6.62607015e-34 / (2 * np.pi) / ELEMENTARY_CHARGE
    return hbar_ev * np.einsum("k,kamn->amn", w, _back(at, matrix[:, None]))[0]


def interband_density(
    model: Model,
    *,
    energy: float,
    field: tuple[float, float] = (1.0, 0.0),
    current_gradient: Any = None,
    rays: int = 64,
    error: bool = True,
    **options: Any,
) -> Quantity:
    """The density matrix between bands, integrated over k, for a model of the plane.

    Args:
        model: A 2D model without lattice.
        energy: Fermi energy in eV.
        field: Electric field in V/m.
        current_gradient: ∂_i J_k in A/m² as (2, 2), of a flow whose distribution is a common shift
            of the Fermi lines; None: uniform.
        rays: Points of each Fermi line.
        error: Whether to estimate it, from half as many rays.
        options: `processes`, `comm`, `progress`.

    Returns:
        A Hermitian matrix in 1/m², in the basis of the model: the density of an operator X is
        Tr[ρX]. Its parts are "field", "gradient", "disorder".

    Raises:
        CaseError: No model of the plane, or no Fermi line.
    """
    found = solve(model, energy, rays)
    force = np.asarray(field, dtype=float)
    if force.shape != (2,):
        raise CaseError(("field", f"found {field!r}; expected two components"))
    mesh = plane(model, energy, rays)
    sea = integrate(model, mesh, FieldTerm(energy=float(energy)), **options)
    # e E in V/Å has the number of eV/Å; ∫d²k A (f_n − f_m)/(ε_n − ε_m) is in 1/(eV Å).
    scale = 1e-10 * 1e20 * model.degeneracy
    sign = np.sign(ELECTRON_CHARGE)
    parts = {
        "field": -sign * scale * np.einsum("a,amn->mn", force, sea),
        "gradient": np.zeros((model.size, model.size), dtype=complex),
        "disorder": sign * scale * np.einsum("a,amn->mn", force, _disorder(found)),
    }
    if current_gradient is not None:
        gradient = np.asarray(current_gradient, dtype=float)
        if gradient.shape != (2, 2):
            raise CaseError(("current_gradient", f"found shape {gradient.shape}, not (2, 2)"))
        parts["gradient"] = model.degeneracy * _gradient(found, model, gradient)
    value = sum(parts.values())
    wrong = None
    if error:
        coarse = interband_density(
            model,
            energy=energy,
            field=field,
            current_gradient=current_gradient,
            rays=max(rays // 2, 4),
            error=False,
            **{**options, "progress": None},
        )
        wrong = np.abs(value - coarse.value)
    return Quantity(
        name="interband density matrix",
        value=value,
        unit="1/m^2",
        error=wrong,
        parts=parts,
        provenance={
            "model": model.name,
            "method": "Boltzmann equation with point scatterers; interband part is local",
            "reference": _REFERENCE,
            "energy_eV": float(energy),
            "grid": f"{mesh.label}; {found.mesh.label}",
        },
    )


def torque(model: ElectronGas, *, energy: float, rays: int = 64, **options: Any) -> Quantity:
    """Torque density per electric field on the magnetisation of an electron gas.

    Args:
        model: With an exchange field.
        energy: Fermi energy in eV.
        rays: Points of each Fermi line.
        options: `processes`, `comm`, `progress`.

    Returns:
        T^a/E_b as (3, 2) in J/m² per V/m = C/m; parts "intrinsic" and "disorder", and their sum.

    Raises:
        CaseError: No exchange field, or no Fermi line.
    """
    if not isinstance(model, ElectronGas) or model.exchange == 0:
        raise CaseError(("model", "the torque is that of an electron gas with exchange"))
    columns = [
        interband_density(model, energy=energy, field=unit, rays=rays, **options)
        for unit in ((1.0, 0.0), (0.0, 1.0))
    ]

    def of(part: str) -> NDArray[np.floating]:
        spin = np.array([np.einsum("amn,nm->a", SIGMA, c.parts[part]).real for c in columns]).T
        arm = model.exchange * ELEMENTARY_CHARGE * model.magnetisation
        return np.cross(arm[:, None], spin, axis=0)

    parts = {"intrinsic": of("field"), "disorder": of("disorder")}
    wrong = None
    if all(c.error is not None for c in columns):
        scale = model.exchange * ELEMENTARY_CHARGE
        wrong = abs(scale) * np.array([np.broadcast_to(2 * c.error.max(), 3) for c in columns]).T
    return Quantity(
        name="spin-orbit torque per field, [component, field]",
        value=parts["intrinsic"] + parts["disorder"],
        error=wrong,
        unit="C/m",
        parts=parts,
        provenance=columns[0].provenance,
    )
