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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.boltzmann import Distribution, shift, solve, velocity
from meso.bands.continuum import ElectronGas
from meso.bands.engine import integrate
from meso.bands.fermi import TEMPERATURE
from meso.bands.geometry import Bands, connection
from meso.bands.kmesh import fermi_lines, plane, uniform, with_opposites
from meso.bands.model import SIGMA, Array, Model
from meso.bands.result import Quantity
from meso.bands.setup import positive
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError

_REFERENCE = "Valet and Raimondi, Phys. Rev. B 111, L041118 (2025), eq. 1-4, 11-15"


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldTerm:
    """Σ_nm (f_n − f_m)/(ε_n − ε_m) A^a_nm at each k in the basis of the model (K, d, N, N)."""

    energy: float
    temperature: float

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        f = at.occupation(self.energy, self.temperature)
        ratio = (f[:, :, None] - f[:, None, :]) * at.inverse_gap
        return _back(at, connection(at) * ratio[:, None])


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceTerm:
    """The parts that a distribution on the Fermi surface makes, in the basis of the model.

    (K, 2d, N, N): the disorder part for a unit force along each direction; then −½(f_n + f_m) A^i
    for each i, of a distribution f_n = δ(ε_n − E_F) v_n·C_i.
    """

    found: Distribution
    gradient: NDArray[np.floating]

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray:
        """The integrand at a batch of wave vectors."""
        at, found = Bands.at(model, k), self.found
        weight = at.surface(found.energy, found.temperature, bands)
        moved = shift(found, at) * weight[:, None]
        arriving = at.between(found.arriving[None] + np.zeros((len(k), 1, 1, 1)))
        density = at.between(found.density[None, None] + np.zeros((len(k), 1, 1, 1)))
        both = (weight[:, :, None] + weight[:, None, :])[:, None] * arriving
        both = both - (moved[..., :, None] + moved[..., None, :]) * density
        disorder = -1j * np.pi * at.inverse_gap[:, None] * both
        f = np.einsum("kan,ai,kn->kin", velocity(at), self.gradient, weight)
        mixed = -0.5 * (f[..., :, None] + f[..., None, :]) * connection(at)
        return _back(at, np.concatenate([disorder, mixed], axis=1))


def _back(at: Bands, matrix: Array) -> Array:
    """From the basis of the bands to that of the model; (K, a, N, N)."""
    u = at.states[:, None]
    return u @ matrix @ u.conj().swapaxes(-1, -2)


def interband_density(
    model: Model,
    *,
    energy: float,
    field: Sequence[float] | None = None,
    current_gradient: Any = None,
    kmesh: int = 64,
    temperature: float = TEMPERATURE,
    error: bool = True,
    **options: Any,
) -> Quantity:
    """The density matrix between bands, integrated over k.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        field: Electric field in V/m; None: 1 V/m along x.
        current_gradient: ∂_i J_k in A/m^d as (d, d), of a flow whose distribution is a common shift
            of the Fermi surface; None: uniform.
        kmesh: Points of each Fermi line, or of a grid along one direction.
        temperature: k_B T in eV on a grid; a model without lattice has sharp Fermi lines.
        error: Whether to estimate it, from half as many points.
        options: `processes`, `comm`, `progress`.

    Returns:
        A Hermitian matrix in 1/m^d, in the basis of the model: the density of an operator X is
        Tr[ρX]. Its parts are "field", "gradient", "disorder".

    Raises:
        CaseError: No Fermi surface, or a field or gradient of the wrong shape.
    """
    d = model.dimension
    force = np.eye(d)[0] if field is None else np.asarray(field, dtype=float)
    gradient = np.zeros((d, d)) if current_gradient is None else np.asarray(current_gradient)
    for key, array, shape in (("field", force, (d,)), ("current_gradient", gradient, (d, d))):
        if array.shape != shape:
            raise CaseError((key, f"found shape {array.shape}; expected {shape}"))
    if model.lattice is None:
        sea, surface, smear = plane(model, energy, kmesh), fermi_lines(model, energy, kmesh), 0.0
    else:
        sea = surface = with_opposites(uniform(model, kmesh, symmetry="none", generic=True))
        smear = positive("temperature", temperature)
    found = solve(model, energy, surface, temperature=temperature, **options)
    field_part = integrate(
        model, sea, FieldTerm(energy=float(energy), temperature=smear), **options
    )
    # f = δ(ε − E_F) v·C carries the particle current K·C; all spins share J.
    carried = np.linalg.pinv(found.weight, rcond=1e-10) @ gradient.T
    term = SurfaceTerm(found=found, gradient=carried / ELECTRON_CHARGE / model.degeneracy)
    both = integrate(model, surface, term, **options)
    # e E in V/Å has the number of eV/Å; the integrals are in Å^(1−d)/eV, or 1/eV for gradients.
    scale = np.sign(ELECTRON_CHARGE) * 10.0 ** (10 * d - 10) * model.degeneracy
    hbar_ev = HBAR / ELEMENTARY_CHARGE
    parts = {
        "field": -scale * np.einsum("a,amn->mn", force, field_part),
        "gradient": hbar_ev * model.degeneracy * both[d:].sum(axis=0),
        "disorder": scale * np.einsum("a,amn->mn", force, both[:d]),
    }
    value = sum(parts.values())
    wrong = None
    if error:
        coarse = interband_density(
            model,
            energy=energy,
            field=force,
            current_gradient=gradient,
            kmesh=max(kmesh // 2, 4),
            temperature=temperature,
            error=False,
            **{**options, "progress": None},
        )
        wrong = np.abs(value - coarse.value)
    return Quantity(
        name="interband density matrix",
        value=value,
        unit=f"1/m^{d}",
        error=wrong,
        parts=parts,
        provenance={
            "model": model.name,
            "method": "Boltzmann equation with point scatterers; interband part is local",
            "reference": _REFERENCE,
            "energy_eV": float(energy),
            "grid": sea.label if sea is surface else f"{sea.label}; {surface.label}",
        },
    )


def torque(model: ElectronGas, *, energy: float, kmesh: int = 64, **options: Any) -> Quantity:
    """Torque density per electric field on the magnetisation of an electron gas.

    Args:
        model: With an exchange field.
        energy: Fermi energy in eV.
        kmesh: Points of each Fermi line.
        options: `error`, `processes`, `comm`, `progress`.

    Returns:
        T^a/E_b as (3, 2) in J/m² per V/m = C/m; parts "intrinsic" and "disorder", and their sum.

    Raises:
        CaseError: No exchange field, or no Fermi line.
    """
    if not isinstance(model, ElectronGas) or model.exchange == 0:
        raise CaseError(("model", "the torque is that of an electron gas with exchange"))
    columns = [
        interband_density(model, energy=energy, field=unit, kmesh=kmesh, **options)
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
