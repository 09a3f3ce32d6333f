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
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.boltzmann import Distribution, solve
from meso.bands.continuum import ElectronGas
from meso.bands.engine import integrate
from meso.bands.fermi import TEMPERATURE
from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh, fermi_lines, plane, uniform
from meso.bands.model import SIGMA, Array, Floats, Model, check_positive
from meso.bands.model import operator as operator_of
from meso.bands.result import Quantity
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError

_REFERENCE = "Valet and Raimondi, Phys. Rev. B 111, L041118 (2025), eq. 1-4, 11-15"


def _sea(at: Bands) -> tuple[NDArray]:
    """Σ_nm (f_n − f_m)/(ε_n − ε_m) A^a_nm at each k in the basis of the model (K, 3, N, N)."""
    f = at.occupation
    ratio = (f[:, :, None] - f[:, None, :]) * at.inverse_gap
    return (at.back(at.connection * ratio[:, None]),)


def _both(x: NDArray) -> NDArray:
    """x_n + x_m of (…, N)."""
    return x[..., :, None] + x[..., None, :]


def _disorder(at: Bands, found: Distribution) -> NDArray:
    """What scatterers make of a unit force along each direction, as ⟨n|ρ|m⟩ (K, 3, N, N)."""
    density = at.between(found.density[None])[:, None]
    change = _both(at.surface)[:, None] * at.between(found.arriving[None])
    change = change - _both(found.shift(at) * at.surface[:, None]) * density
    return -1j * np.pi * at.inverse_gap[:, None] * change


def _surface(at: Bands, found: Distribution, gradient: Floats) -> tuple[NDArray, NDArray]:
    """The parts that a distribution on the Fermi surface makes, in the basis of the model.

    That of disorder for a unit force along each direction (K, 3, N, N); −½(f_n + f_m) A^i summed
    over i, of distributions f_n = δ(ε_n − E_F) v_n·C_i with C_i in the columns of `gradient`.
    """
    f = np.einsum("kan,ai,kn->kin", at.velocity, gradient, at.surface)
    mixed = -0.5 * (_both(f) * at.connection).sum(axis=1)
    return at.back(_disorder(at, found)), at.back(mixed)


def _turned(at: Bands, found: Distribution, matrix: Array) -> tuple[NDArray]:
    """Tr[ρ ½{∂_iH, X_n^j}] of the disorder part as [i, j, k] at each k: flow, component, force."""
    x = at.within(at.between(matrix[None]))
    flow = at.slope[:, :, None] @ x[:, None]
    flow = (flow + flow.conj().swapaxes(-1, -2)) / 2
    return (np.einsum("kfnm,kijmn->kijf", _disorder(at, found), flow, optimize=True).real,)


def _parts(
    electrons: Electrons, kmesh: int, current_gradient: Floats, **options: Any
) -> tuple[dict[str, NDArray], str]:
    """The parts of the density matrix, (3, N, N) for a unit field along each direction, in SI.

    And "gradient" (N, N); with the text for the report.
    """
    model, d = electrons.model, electrons.model.dimension
    if model.lattice is None:
        sea = plane(model, electrons.energy, kmesh)
        surface = fermi_lines(model, electrons.energy, kmesh)
        label = f"{sea.label}; {surface.label}"
    else:
        # With −k of each k, so that what is odd cancels.
        half = uniform(model, kmesh, symmetry="none", generic=True)
        points, weights = np.concatenate([half.points, -half.points]), np.tile(half.weights / 2, 2)
        label = f"{half.label}, and their opposites"
        sea = surface = Mesh(points=points, weights=weights, label=label)
    found = solve(electrons, surface, **options)
    (field,) = integrate(electrons, sea, _sea, **options)
    # f = δ(ε − E_F) v·C carries the particle current K·C; all spins share J.
    carried = np.linalg.pinv(found.weight, rcond=1e-10)[:, :d] @ current_gradient.T
    carried = np.pad(carried / ELECTRON_CHARGE / model.degeneracy, [(0, 0), (0, 3 - d)])
    integrand = partial(_surface, found=found, gradient=carried)
    disorder, mixed = integrate(electrons, surface, integrand, **options)
    # e E in V/Å has the number of eV/Å; the integrals are in Å^(1−d)/eV, or 1/eV for gradients.
    scale = np.sign(ELECTRON_CHARGE) * 10.0 ** (10 * d - 10) * model.degeneracy
    gradient = HBAR / ELEMENTARY_CHARGE * model.degeneracy * mixed
    return {"field": -scale * field, "gradient": gradient, "disorder": scale * disorder}, label


def interband_density(
    model: Model,
    *,
    energy: float,
    field: Sequence[float] | Floats | None = None,
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
    if model.lattice is not None:
        check_positive(temperature=temperature)
    smeared = 0.0 if model.lattice is None else float(temperature)
    electrons = Electrons(model, float(energy), smeared)

    def parts(n: int, **how: Any) -> tuple[dict[str, NDArray], str]:
        found, label = _parts(electrons, n, gradient, **how)
        along = {k: np.einsum("a,amn->mn", force, found[k][:d]) for k in ("field", "disorder")}
        return found | along, label

    found, label = parts(kmesh, **options)
    value, wrong = sum(found.values()), None
    if error:
        coarse, _ = parts(max(kmesh // 2, 4), **{**options, "progress": None})
        wrong = np.abs(value - sum(coarse.values()))
    return Quantity(
        name="interband density matrix",
        value=value,
        unit=f"1/m^{d}",
        error=wrong,
        parts=found,
        provenance=_provenance(electrons, label),
    )


def _provenance(electrons: Electrons, label: str) -> dict[str, Any]:
    return {
        "model": electrons.model.name,
        "method": "Boltzmann equation with point scatterers; interband part is local",
        "reference": _REFERENCE,
        "energy_eV": electrons.energy,
        "grid": label,
    }


def torque(
    model: ElectronGas, *, energy: float, kmesh: int = 64, error: bool = True, **options: Any
) -> Quantity:
    """Torque density per electric field on the magnetisation of an electron gas.

    Args:
        model: With an exchange field.
        energy: Fermi energy in eV.
        kmesh: Points of each Fermi line.
        error: Whether to estimate it, from half as many points.
        options: `processes`, `comm`, `progress`.

    Returns:
        T^a/E_b as (3, 2) in J/m² per V/m = C/m; parts "intrinsic" and "disorder", and their sum.

    Raises:
        CaseError: No exchange field, or no Fermi line.
    """
    if not isinstance(model, ElectronGas) or model.exchange == 0:
        raise CaseError(("model", "the torque is that of an electron gas with exchange"))
    electrons = Electrons(model, float(energy))
    found, label = _parts(electrons, kmesh, np.zeros((2, 2)), **options)
    arm = model.exchange * ELEMENTARY_CHARGE * model.magnetisation

    def of(density: NDArray) -> Floats:
        spin = np.einsum("amn,bnm->ab", SIGMA, density[:2]).real
        return np.cross(arm[:, None], spin, axis=0)

    parts = {"intrinsic": of(found["field"]), "disorder": of(found["disorder"])}
    wrong = None
    if error:
        coarse, _ = _parts(
            electrons, max(kmesh // 2, 4), np.zeros((2, 2)), **{**options, "progress": None}
        )
        change = sum(found[key] - coarse[key] for key in ("field", "disorder"))
        scale = 2 * abs(model.exchange) * ELEMENTARY_CHARGE
        wrong = scale * np.abs(change)[:2].max(axis=(1, 2)) * np.ones((3, 1))
    return Quantity(
        name="spin-orbit torque per field, [component, field]",
        value=parts["intrinsic"] + parts["disorder"],
        error=wrong,
        unit="C/m",
        parts=parts,
        provenance=_provenance(electrons, label),
    )


def vertex_correction(
    model: Model, operator: str = "S", *, energy: float, kmesh: int = 64
) -> Quantity:
    """What point scatterers add to a Hall conductivity, of the order of the intrinsic one.

    The disorder part of the interband density matrix in the current ½{∂_iH, X_n} of what stays
    within bands. For a conserved X that is its current; for others it is one definition of several,
    and none that eq. 3 of Valet et al. (2025) would give: the formula is not in print.

    Args:
        model: A model of the plane without lattice.
        operator: "S", "L", "J", or "1".
        energy: Fermi energy in eV.
        kmesh: Points of each Fermi line.

    Returns:
        σ^{ij}_k as [i, j, k] in (ħ/e) S, to be added to that of `hall_conductivity`.

    Raises:
        CaseError: A lattice, no such operator, or no Fermi line.
    """
    electrons = Electrons(model, float(energy))
    lines = fermi_lines(model, energy, kmesh)
    found = solve(electrons, lines)
    integrand = partial(_turned, found=found, matrix=operator_of(model, operator))
    (value,) = integrate(electrons, lines, integrand)
    scale = np.sign(ELECTRON_CHARGE) * ELEMENTARY_CHARGE**2 / HBAR * model.degeneracy
    return Quantity(
        name=f"vertex correction of the Hall conductivity of {operator}",
        value=scale * value,
        unit="(hbar/e) S",
        provenance=_provenance(electrons, lines.label),
    )
