"""Intrinsic spin, orbital and anomalous Hall conductivity.

Band-projected (Valet et al. 2025, eq. 4): the current of the part of X that stays within bands,

    𝒥^{ij} = −e ħ ε_ikl E_k Σ_n ∫ n_FD Tr[X_n^j F_n^l],   X_n = P_n X P_n,

with the non-Abelian Berry curvature F. Conventional, for comparison: the Kubo sea term of the
operator ½{∂_iH, X^j}, which the same paper argues is not a physical current. Both as σ^{ij}_k in
𝒥^{ij} = (ħ/|e|) σ^{ij}_k E_k, with X in units of ħ (so spin is ½): the usual "(ħ/e) S/m".
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Model
from meso.bands.model import operator as operator_of
from meso.bands.response import check_choice, respond
from meso.bands.result import Quantity
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.materials.crystal import LEVI_CIVITA

Definition = Literal["band-projected", "conventional"]


def projected(at: Bands, matrix: Array) -> tuple[NDArray]:
    """Σ_n n_FD Tr[X_n^j F_n^l] ε_ikl at each k as [i, j, k], in Å²: flow, component, field."""
    x, f = at.between(matrix[None]), at.curvature  # F is within groups, so the trace projects X
    trace = np.einsum("kn,kjnm,klmn->kjl", at.occupation, x, f, optimize=True).real
    return (np.einsum("abl,kjl->kajb", LEVI_CIVITA, trace),)


def conventional(at: Bands, matrix: Array) -> tuple[NDArray]:
    """−Σ_nm (n_n − n_m) Im[½{∂_iH, X^j}_nm ∂_kH_mn]/(ε_n − ε_m)² at each k as [i, j, k], in Å²."""
    flow = at.slope[:, :, None] @ at.between(matrix[None])[:, None]
    flow = (flow + flow.conj().swapaxes(-1, -2)) / 2
    # Pairs of equally occupied states cancel.
    change = (at.occupation[:, :, None] - at.occupation[:, None, :]) * at.inverse_gap**2
    value = np.einsum("kijnm,kbmn,knm->kijb", flow, at.slope, change, optimize=True)
    return (-value.imag,)


_INTEGRANDS = {"band-projected": projected, "conventional": conventional}


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
    check_choice("definition", definition, list(_INTEGRANDS))
    integrand = partial(_INTEGRANDS[definition], matrix=operator_of(model, operator))
    electrons = Electrons(model, float(energy), float(temperature))
    how = {"generic": True, "tolerance": tolerance, **options}
    sums = respond(electrons, integrand, kmesh, axes=["vav"], **how)
    scale = ELEMENTARY_CHARGE**2 / HBAR * model.degeneracy * 1e10 ** (model.dimension - 2)
    # Far below any digit that such an integral can have: rounding.
    value, *error = (
        scale * np.where(np.abs(v) < 1e-11, 0.0, v) for v in (*sums.values, *(sums.errors or ()))
    )
    return Quantity(
        name=f"intrinsic Hall conductivity of {operator}, {definition}",
        value=value,
        unit="(hbar/e) S/m" if model.dimension == 3 else "(hbar/e) S",
        error=error[0] if error else None,
        provenance=sums.provenance(
            f"{definition} operators, intrinsic, without vertex corrections",
            "Valet et al. (2025), eq. 4",
        ),
    )
