"""Intrinsic spin, orbital and anomalous Hall conductivity.

Band-projected (Valet et al. 2025, eq. 4): the current of the part of X that stays within bands,

    𝒥^{ij} = −e ħ ε_ikl E_k Σ_n ∫ n_FD Tr[X_n^j F_n^l],   X_n = P_n X P_n,

with the non-Abelian Berry curvature F. Conventional, for comparison: the Kubo sea term of the
operator ½{∂_iH, X^j}, which the same paper argues is not a physical current. Both as σ^{ij}_k in
𝒥^{ij} = (ħ/|e|) σ^{ij}_k E_k, with X in units of ħ (so spin is ½): the usual "(ħ/e) S/m".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import adaptive, estimate
from meso.bands.geometry import Bands, curvature
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Model, operator
from meso.bands.result import Quantity
from meso.bands.setup import describe, mesh_for, positive
from meso.bands.symmetry import average, pad
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError, known

Definition = Literal["band-projected", "conventional"]
_LEVI_CIVITA = np.zeros((3, 3, 3))
for _n in range(3):
    _LEVI_CIVITA[_n, (_n + 1) % 3, (_n + 2) % 3] = 1
    _LEVI_CIVITA[_n, (_n + 2) % 3, (_n + 1) % 3] = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class HallTerm:
    """Σ_n n_FD Im … at each k as [i, j, k], in Å²: flow, component, field."""

    matrix: Array
    energy: float
    temperature: float
    projected: bool

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray[np.floating]:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        occupied = at.occupation(self.energy, self.temperature)
        x = at.operator(self.matrix)
        if self.projected:
            f = curvature(at)  # already within groups, so X is projected by the trace
            c = np.einsum("kn,kjnm,klmn->kjl", occupied, x, f, optimize=True).real
            return np.einsum("abl,kjl->kajb", _LEVI_CIVITA, c)
        slope = pad(at.slope, 1)
        flow = np.einsum("kinp,kjpm->kijnm", slope, x, optimize=True)
        flow = (flow + flow.conj().swapaxes(-1, -2)) / 2
        square = at.inverse_gap**2
        # Pairs of equally occupied states cancel.
        difference = (occupied[:, :, None] - occupied[:, None, :]) * square
        return -np.einsum("kijnm,kbmn,knm->kijb", flow, slope, difference, optimize=True).imag


def hall_conductivity(
    model: Model,
    operator: str = "L",
    *,
    energy: float = 0.0,
    kmesh: int | Mesh = 64,
    definition: Definition = "band-projected",
    temperature: float = 0.0,
    tolerance: float | None = None,
    **options: Any,
) -> Quantity:
    """Intrinsic Hall conductivity σ^{ij}_k as [i, j, k]: flow, component of X, field.

    Args:
        model: The model.
        operator: "S", "L", "J" = S + L, or "1" (anomalous Hall effect: the current of particles, as
            j = z).
        energy: Fermi energy in eV.
        kmesh: Points of the grid along one direction, rays, or a mesh.
        definition: "band-projected" or "conventional", see above.
        temperature: k_B T in eV.
        tolerance: Relative; refine the k mesh adaptively until it is reached, instead of a grid.
            Near-degenerate bands need that.
        options: `symmetry`, `error`, `processes`, `comm`, `progress`.

    Returns:
        σ in (ħ/e) S/m, or (ħ/e) S in 2D.

    Raises:
        CaseError: No such operator, energy outside the bands, a senseless argument.
        ConvergenceError: The tolerance was not reached.
    """
    if definition not in ("band-projected", "conventional"):
        names = known(definition, ("band-projected", "conventional"))
        raise CaseError(("definition", f'found "{definition}"; {names}'))
    term = HallTerm(
        matrix=_operator(model, operator),
        energy=float(energy),
        temperature=temperature if temperature == 0 else positive("temperature", temperature),
        projected=definition == "band-projected",
    )
    if tolerance is None:
        mesh, how = mesh_for(model, kmesh, options, energy=energy, generic=True)
        value, error = estimate(model, mesh, term, **how)
        value = average(value, mesh.group, "vav")
        grid: Mesh | str = mesh
    else:
        mesh, how = mesh_for(model, 8, options, energy=energy)
        how = {key: how[key] for key in ("processes", "progress") if key in how}
        value, error, grid = adaptive(
            model, term, tolerance=positive("tolerance", tolerance), floor=1e-11, **how
        )
        value = average(value, mesh.group, "vav")
    # Far below any digit that such an integral can have: rounding.
    value = np.where(np.abs(value) < 1e-11, 0.0, value)
    if error is not None:
        error = np.where(np.abs(error) < 1e-11, 0.0, error)
    scale = ELEMENTARY_CHARGE**2 / HBAR * model.degeneracy * 1e10 ** (model.dimension - 2)
    return Quantity(
        name=f"intrinsic Hall conductivity of {operator}, {definition}",
        value=scale * value,
        unit="(hbar/e) S/m" if model.dimension == 3 else "(hbar/e) S",
        error=None if error is None else scale * error,
        provenance=describe(
            model,
            grid,
            method=f"{definition} operators, intrinsic, without vertex corrections",
            reference="Valet et al. (2025), eq. 4",
            energy_eV=float(energy),
            temperature_eV=float(temperature),
        ),
    )


def _operator(model: Model, name: str) -> Array:
    return operator(model, name)


def isotropic(tensor: NDArray[np.floating]) -> float:
    """The part of [i, j, k] that all directions share: θ of 𝒥^{ij} = θ ε_ijk E_k.

    For a model of the plane j = z alone counts.
    """
    full = float(np.einsum("ijk,ijk->", _LEVI_CIVITA, tensor)) / 6
    planar = float(tensor[0, 2, 1] - tensor[1, 2, 0]) / -2
    others = np.abs(tensor[2]).max() + np.abs(tensor[:, :2]).max() + np.abs(tensor[:, :, 2]).max()
    return planar if others < 1e-9 * np.abs(tensor).max(initial=1e-300) else full
