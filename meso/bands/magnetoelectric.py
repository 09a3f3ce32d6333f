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
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import estimate
from meso.bands.geometry import Bands, connection, within
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Model
from meso.bands.result import Quantity
from meso.bands.setup import describe, mesh_for, positive
from meso.bands.symmetry import average, pad
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError, known

Definition = Literal["covariant", "printed"]
_REFERENCE = "Cullen et al., Quantum geometry and dipolar dynamics (2025)"
_LEVI_CIVITA = np.zeros((3, 3, 3))
for _n in range(3):
    _LEVI_CIVITA[_n, (_n + 1) % 3, (_n + 2) % 3] = 1
    _LEVI_CIVITA[_n, (_n + 2) % 3, (_n + 1) % 3] = -1


def normalised_metric(bands: Bands) -> NDArray[np.floating]:
    """G̃^{ab} of each band, (K, N, d, d), in Å²/eV; meaningful as a sum over a group."""
    r = connection(bands)
    weighted = r * bands.inverse_gap[:, None]
    return 2 * np.einsum("kamn,kbnm->kmab", weighted, r, optimize=True).real


@dataclass(frozen=True, kw_only=True, eq=False)
class DipoleTerm:
    """Σ_m f_m G̃^{ab}_m at each k, (K, 3, 3)."""

    energy: float
    temperature: float

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray[np.floating]:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        f = at.occupation(self.energy, self.temperature)
        return _square(np.einsum("km,kmab->kab", f, normalised_metric(at)))


def _square(tensor: NDArray) -> NDArray:
    return pad(pad(tensor, tensor.ndim - 1), tensor.ndim - 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class OrbitalTerm:
    """The three parts of ⟨L^a⟩/(eE_b) times ħ at each k, (K, 3, 3, 3): part, a, b; in Å³."""

    energy: float
    temperature: float
    reference: Array | None

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray[np.floating]:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        f = at.occupation(self.energy, self.temperature)
        r, gap, v = connection(at), at.inverse_gap[:, None], at.slope
        inside = within(at, v)
        both = np.einsum("kcmp,kdpn->kcdmn", inside, r) + np.einsum("kdmp,kcpn->kcdmn", r, inside)
        dipole = np.einsum(
            "km,kcdmn,kbnm,kmn->kcdb", f, both, r, at.inverse_gap, optimize=True
        ).real
        change = self._derivative(at, r)
        itinerant = 0.5 * (
            np.einsum("kn,kdnm,kbcmn->kcdb", f, r, change, optimize=True)
            + np.einsum("kn,kbcnm,kdmn->kcdb", f, change, r, optimize=True)
        )
        s = r * (f[:, :, None] - f[:, None, :])[:, None] * gap
        outside = v - inside
        local = -0.5 * (
            np.einsum("kcml,kdln,kbnm->kcdb", r, outside, s, optimize=True)
            + np.einsum("kcml,kbln,kdnm->kcdb", r, s, outside, optimize=True)
        )
        parts = np.stack([dipole, itinerant.real, local.real], axis=1)
        for axis in (2, 3, 4):
            parts = pad(parts, axis)
        return np.einsum("acd,kpcdb->kpab", _LEVI_CIVITA, parts)

    def _derivative(self, at: Bands, r: Array) -> Array:
        """D_b R^c between groups, (K, b, c, N, N)."""
        v, d, gap = at.slope, at.mixing, at.inverse_gap[:, None, None]
        inside = within(at, v)
        outside = v - inside

        def commutator(x: Array, y: Array) -> Array:
            return x[:, :, None] @ y[:, None] - y[:, None] @ x[:, :, None]

        slope = at.between(at.model.hessian(at.k)) + commutator(d, v)
        alone = -1j * (slope * gap - commutator(inside, outside) * gap**2)
        if self.reference is not None:
            row = np.einsum("m,kmn->kn", self.reference.conj(), at.states)
            # The connection of a state whose overlap is real, from its derivative by mixing.
            a = (-np.einsum("km,kbmn->kbn", row, d) / row[:, None]).imag
            alone = alone + 1j * (a[..., :, None] - a[..., None, :])[:, :, None] * r[:, None]
        return (alone - 1j * commutator(r, r)) * ~at.same[:, None, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtrinsicTerm:
    """The part that a shift of the Fermi surface makes, times 2ħ²/eτ: (K, 3, 3) in eV Å³."""

    energy: float
    temperature: float

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray[np.floating]:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        weight = at.surface(self.energy, self.temperature, bands)
        change = -np.einsum("kbnn,kn->kbn", at.slope, weight).real  # ∂f/∂k
        both = change[..., :, None] + change[..., None, :]
        parts = np.einsum("kcmn,kdnm,kbmn->kcdb", at.slope, connection(at), both, optimize=True)
        parts = parts.real
        for axis in (1, 2, 3):
            parts = pad(parts, axis)
        return np.einsum("acd,kcdb->kab", _LEVI_CIVITA, parts)


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
    _temperature(temperature)
    mesh, how = mesh_for(model, kmesh, options, energy=energy)
    term = DipoleTerm(energy=float(energy), temperature=float(temperature))
    value, error = estimate(model, mesh, term, **how)
    value = average(value, mesh.group, "vv")
    # e² per eV is e in coulomb per volt.
    scale = -ELEMENTARY_CHARGE * model.degeneracy * 1e10 ** (model.dimension - 2)
    return Quantity(
        name="dipole density per field",
        value=scale * value,
        unit="F/m" if model.dimension == 3 else "F",
        error=None if error is None else abs(scale) * error,
        provenance=describe(
            model,
            mesh,
            method="normalised quantum metric, intrinsic",
            reference=f"{_REFERENCE}, eq. 1",
            energy_eV=float(energy),
            temperature_eV=float(temperature),
        ),
    )


def _temperature(value: float) -> None:
    if value != 0:
        positive("temperature", value)


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
    if definition not in ("covariant", "printed"):
        names = known(definition, ("covariant", "printed"))
        raise CaseError(("definition", f'found "{definition}"; {names}'))
    state = np.eye(model.size)[0] if reference is None else np.asarray(reference, dtype=complex)
    if state.shape != (model.size,) or not np.any(state):
        raise CaseError(("reference", f"found {reference!r}; expected {model.size} amplitudes"))
    _temperature(temperature)
    mesh, how = mesh_for(model, kmesh, options, energy=energy)
    term = OrbitalTerm(
        energy=float(energy),
        temperature=float(temperature),
        reference=state if definition == "printed" else None,
    )
    value, error = estimate(model, mesh, term, **how)
    value = average(value, mesh.group, "av")
    scale = ELEMENTARY_CHARGE / HBAR * model.degeneracy * 10.0 ** (10 * model.dimension - 30)
    value = scale * value
    parts = dict(zip(("dipole", "itinerant", "local"), value, strict=True))
    if time is not None:
        parts["extrinsic"] = _extrinsic(model, energy, kmesh, temperature, time, options)
    note = "covariant derivative"
    if definition == "printed":
        note = "as printed, depends on phases: overlap with a reference is real"
    return Quantity(
        name="orbital magneto-electric response ⟨v × r⟩/E",
        value=sum(parts.values()),
        unit="1/(V s)" if model.dimension == 3 else "m/(V s)",
        error=None if error is None else scale * error.sum(axis=0),
        parts=parts,
        provenance=describe(
            model,
            mesh,
            method=f"intrinsic, {note}" + ("" if time is None else f"; τ = {time:g} s"),
            reference=f"{_REFERENCE}, eq. 49-56",
            energy_eV=float(energy),
            temperature_eV=float(temperature),
        ),
    )


def _extrinsic(
    model: Model,
    energy: float,
    kmesh: int | Mesh,
    temperature: float,
    time: float,
    options: dict[str, Any],
) -> NDArray[np.floating]:
    positive("time", time)
    levels = np.linalg.eigvalsh(model.hamiltonian(np.zeros((1, model.dimension))))
    if model.lattice is not None:
        positive("temperature", temperature)
    elif levels[0, 0] < energy < levels[0, -1] and model.size == 2:
        return np.zeros((3, 3))  # in the gap
    mesh, how = mesh_for(model, kmesh, options, energy=energy, surface=True)
    term = ExtrinsicTerm(energy=float(energy), temperature=float(temperature))
    value = average(estimate(model, mesh, term, **how)[0], mesh.group, "av")
    scale = ELEMENTARY_CHARGE**2 * time / (2 * HBAR**2) * model.degeneracy
    return scale * 10.0 ** (10 * model.dimension - 30) * value
