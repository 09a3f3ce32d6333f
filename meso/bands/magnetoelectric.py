"""Dipole and orbital angular momentum that an electric field makes, without scattering.

After Cullen et al. (2025), whose charge is −e with e > 0. Off-diagonal connection R between groups:

    ⟨r^a⟩ = eE_b Σ_m ∫ f_m G̃^{ab}_m,    G̃^{ab}_m = Σ_n 2 Re(R^a_mn R^b_nm)/(ε_m − ε_n)

and for the angular momentum without mass, L^a = ε_abc v^b r^c (the order of factors of eq. 49; the
physical r × v is the negative),

    d    eE_b ε_acd ∫ Σ Re[(v^c_m + v^c_n) R^d_mn R^b_nm/(ε_m − ε_n)] f_m
    IC   (eE_b/2ħ) ε_acd ∫ Σ_n f_n {R^d, D_b R^c}_nn
    LC   −½ ε_acd ∫ Tr[R^c {v^d, S_b}],  S_b,nm = eE_b R^b_nm (f_n − f_m)/(ε_n − ε_m)

a convected dipole, itinerant and local circulation. In LC all three bands differ, as in eq. 52.
D_b is the covariant derivative. The printed closed form of IC drops the diagonal connection in it,
so that its value depends on the phases of the states; `definition="printed"` does so where the
overlap of every state with a reference is real. Only "covariant" has a meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Floats, Model, check_positive
from meso.bands.response import check_choice, respond
from meso.bands.result import Quantity
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError
from meso.materials.crystal import LEVI_CIVITA

Definition = Literal["covariant", "printed"]
_REFERENCE = "Cullen et al., Quantum geometry and dipolar dynamics (2025)"


def normalised_metric(at: Bands) -> tuple[NDArray]:
    """Σ_m f_m G̃^{ab}_m at each k, (K, 3, 3), in Å²/eV."""
    r = at.connection
    weighted = at.occupation[:, None, :, None] * r * at.inverse_gap[:, None]
    return (2 * np.einsum("kamn,kbnm->kab", weighted, r, optimize=True).real,)


def circulation(at: Bands, reference: Array | None) -> tuple[NDArray]:
    """The three parts of ⟨L^a⟩/(eE_b) times ħ at each k, (K, 3, 3, 3): part, a, b; in Å³."""
    f, r, gap = at.occupation, at.connection, at.inverse_gap
    inside = at.within(at.slope)
    outside = at.slope - inside
    both = inside[:, :, None] @ r[:, None] + r[:, None] @ inside[:, :, None]
    dipole = np.einsum("km,kcdmn,kbnm,kmn->kcdb", f, both, r, gap, optimize=True)
    change = _derivative(at, reference)
    itinerant = np.einsum("kn,kdnm,kbcmn->kcdb", f, r, change, optimize=True)
    itinerant = itinerant + np.einsum("kn,kbcnm,kdmn->kcdb", f, change, r, optimize=True)
    s = r * ((f[:, :, None] - f[:, None, :]) * gap)[:, None]
    local = np.einsum("kcml,kdln,kbnm->kcdb", r, outside, s, optimize=True)
    local = local + np.einsum("kcml,kbln,kdnm->kcdb", r, s, outside, optimize=True)
    parts = np.stack([dipole, itinerant / 2, -local / 2], axis=1).real
    return (np.einsum("acd,kpcdb->kpab", LEVI_CIVITA, parts),)


def _commutator(x: Array, y: Array) -> Array:
    """[x_a, y_b] as (K, a, b, N, N)."""
    return x[:, :, None] @ y[:, None] - y[:, None] @ x[:, :, None]


def _derivative(at: Bands, reference: Array | None) -> Array:
    """D_b R^c between groups, (K, b, c, N, N)."""
    r, gap = at.connection, at.inverse_gap[:, None, None]
    inside = at.within(at.slope)
    slope = at.bend + _commutator(at.mixing, at.slope)
    alone = -1j * (slope * gap - _commutator(inside, at.slope - inside) * gap**2)
    if reference is not None:
        row = np.einsum("m,kmn->kn", reference.conj(), at.states)
        # The connection of a state whose overlap is real, from its derivative by mixing.
        a = (-np.einsum("km,kbmn->kbn", row, at.mixing) / row[:, None]).imag
        alone = alone + 1j * (a[..., :, None] - a[..., None, :])[:, :, None] * r[:, None]
    return (alone - 1j * _commutator(r, r)) * ~at.same[:, None, None]


def shifted(at: Bands) -> tuple[NDArray]:
    """The part that a shift of the Fermi surface makes, times 2ħ²/eτ: (K, 3, 3) in eV Å³."""
    change = -np.einsum("kbnn,kn->kbn", at.slope, at.surface).real  # ∂f/∂k
    both = change[..., :, None] + change[..., None, :]
    parts = np.einsum("kcmn,kdnm,kbmn->kcdb", at.slope, at.connection, both, optimize=True).real
    return (np.einsum("acd,kcdb->kab", LEVI_CIVITA, parts),)


def dipole(
    model: Model,
    *,
    energy: float = 0.0,
    kmesh: int | Mesh = 64,
    temperature: float = 0.0,
    **options: Any,
) -> Quantity:
    """Density of the electric dipole −e⟨r⟩ that a unit field makes, from the quantum metric.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        kmesh: Points along one direction, rays, or a mesh.
        temperature: k_B T in eV.
        options: `symmetry`, `error`, `processes`, `comm`, `progress`.

    Returns:
        −e⟨r^a⟩/E_b as (3, 3) in F/m, or F in 2D; positive where the dipole follows the field.

    Raises:
        CaseError: A senseless argument.
    """
    electrons = Electrons(model, float(energy), float(temperature))
    sums = respond(electrons, normalised_metric, kmesh, axes=["vv"], **options)
    # e² per eV is e in coulomb per volt.
    scale = ELEMENTARY_CHARGE * model.degeneracy * 1e10 ** (model.dimension - 2)
    return Quantity(
        name="dipole density per field",
        value=-scale * sums.values[0],
        unit="F/m" if model.dimension == 3 else "F",
        error=None if sums.errors is None else scale * sums.errors[0],
        provenance=sums.provenance("normalised quantum metric, intrinsic", f"{_REFERENCE}, eq. 1"),
    )


def orbital_magnetoelectric(
    model: Model,
    *,
    energy: float = 0.0,
    kmesh: int | Mesh = 64,
    definition: Definition = "covariant",
    reference: Sequence[complex] | None = None,
    temperature: float = 0.0,
    time: float | None = None,
    **options: Any,
) -> Quantity:
    """Orbital angular momentum ⟨v × r⟩ per unit field, without mass.

    The density of the orbital moment is −e/2 of ⟨r × v⟩, that is +e/2 of this value.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        kmesh: Points along one direction, rays, or a mesh.
        definition: "covariant", or "printed": depends on the phases of the states, see above.
        reference: For "printed", the state whose overlap with all others is real; None: the first
            of the basis.
        temperature: k_B T in eV.
        time: Relaxation time τ in s: adds the part "extrinsic", a shift of the Fermi surface; None:
            intrinsic only.
        options: `symmetry`, `error`, `processes`, `comm`, `progress`.

    Returns:
        ⟨L^a⟩/E_b as (3, 3) in m/(V s) in 2D, 1/(V s) in 3D; parts "dipole", "itinerant", "local".

    Raises:
        CaseError: A senseless argument.
    """
    check_choice("definition", definition, ("covariant", "printed"))
    state = np.eye(model.size)[0] if reference is None else np.asarray(reference, dtype=complex)
    if state.shape != (model.size,) or not np.any(state):
        raise CaseError(("reference", f"found {reference!r}; expected {model.size} amplitudes"))
    note = "intrinsic, covariant derivative"
    if definition == "printed":
        note = "intrinsic, as printed, depends on phases: overlap with a reference is real"
    integrand = partial(circulation, reference=state if definition == "printed" else None)
    electrons = Electrons(model, float(energy), float(temperature))
    sums = respond(electrons, integrand, kmesh, axes=["av"], **options)
    scale = ELEMENTARY_CHARGE / HBAR * model.degeneracy * 10.0 ** (10 * model.dimension - 30)
    parts = dict(zip(("dipole", "itinerant", "local"), scale * sums.values[0], strict=True))
    if time is not None:
        check_positive(time=time)
        note += f"; τ = {time:g} s"
        factor = scale * ELEMENTARY_CHARGE * time / (2 * HBAR)
        parts["extrinsic"] = factor * _extrinsic(electrons, kmesh, options)
    return Quantity(
        name="orbital magneto-electric response ⟨v × r⟩/E",
        value=sum(parts.values()),
        unit="1/(V s)" if model.dimension == 3 else "m/(V s)",
        error=None if sums.errors is None else scale * sums.errors[0].sum(axis=0),
        parts=parts,
        provenance=sums.provenance(note, f"{_REFERENCE}, eq. 49-56"),
    )


def _extrinsic(electrons: Electrons, kmesh: int | Mesh, options: dict[str, Any]) -> Floats:
    model = electrons.model
    levels = np.linalg.eigvalsh(model.hamiltonian(np.zeros((1, model.dimension))))[0]
    in_gap = model.size == 2 and levels[0] < electrons.energy < levels[-1]
    if model.lattice is None and in_gap:
        return np.zeros((3, 3))
    how = {**options, "error": False}
    return respond(electrons, shifted, kmesh, axes=["av"], surface=True, **how).values[0]
