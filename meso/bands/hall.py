"""Intrinsic spin, orbital and anomalous Hall conductivity.

Band-projected (Valet et al. 2025, eq. 4): the current of the part of X that stays within bands,

    𝒥^{ij} = −e ħ ε_ikl E_k Σ_n ∫ n_FD Tr[X_n^j F_n^l],   X_n = P_n X P_n,

with the non-Abelian Berry curvature F. Conventional, for comparison: the Kubo sea term of the
operator ½{∂_iH, X^j}, which the same paper argues is not a physical current. Both as σ^{ij}_k in
𝒥^{ij} = (ħ/|e|) σ^{ij}_k E_k, with X in units of ħ (so spin is ½): the usual "(ħ/e) S/m".

What a grid cannot see: two bands that nearly cross carry a Berry flux of up to π within q ≈
gap/velocity of the crossing, which may be far less than a step h. The metric sees it:
|⟨n|∂H|m⟩|/gap is 1/2q at a distance q, however small the gap. About π points, in the cross-section
of a line of crossings or round one in two dimensions, have q < h, so each stands for a flux of 1;
that of one crossing is of one sign, different ones are independent: a sum over N points is √(πN).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import Integrand
from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Floats, Model
from meso.bands.model import operator as operator_of
from meso.bands.response import Sums, check_choice, mesh_for, respond
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


def unseen(at: Bands, step: float | Floats, matrix: Array, pairs: bool) -> NDArray:
    """Squares of what crossings within a step (of each k) carry, added up: (K,).

    `pairs`: equally occupied bands cancel.
    """
    near = (np.abs(at.mixing) ** 2).sum(axis=1) > np.reshape(0.25 / np.square(step), (-1, 1, 1))
    x = np.abs(at.within(at.between(matrix[None]))) ** 2
    largest = x.sum(axis=3).max(axis=1)
    first, second = at.occupation[:, :, None], at.occupation[:, None, :]
    here, there = largest[:, :, None], largest[:, None, :]
    if pairs:
        carried = (first - second) ** 2 * (here + there) / 2
    else:
        carried = first**2 * here + second**2 * there
    return (np.triu(near) * carried).sum(axis=(1, 2))


def _with_unseen(
    at: Bands, integrand: Integrand, unseen: Callable[[Bands, float], NDArray], step: float
) -> tuple[NDArray, ...]:
    return *integrand(at), unseen(at, step)


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
    matrix = operator_of(model, operator)
    integrand = partial(_INTEGRANDS[definition], matrix=matrix)
    electrons = Electrons(model, float(energy), float(temperature))
    hidden = partial(unseen, matrix=matrix, pairs=definition == "conventional")
    if tolerance is None:
        mesh = mesh_for(electrons, kmesh, options, generic=True)
        value, error, sums = _on_grid(electrons, mesh, integrand, hidden, options)
    else:
        sums = respond(
            electrons,
            integrand,
            kmesh,
            axes=["vav"],
            tolerance=tolerance,
            unseen=hidden,
            **options,
        )
        value, error = sums.values[0], (sums.errors or (None,))[0]
    scale = ELEMENTARY_CHARGE**2 / HBAR * model.degeneracy * 1e10 ** (model.dimension - 2)
    # Far below any digit that such an integral can have: rounding.
    clean, wrong = (
        None if v is None else scale * np.where(np.abs(v) < 1e-11, 0.0, v) for v in (value, error)
    )
    return Quantity(
        name=f"intrinsic Hall conductivity of {operator}, {definition}",
        value=clean,
        unit="(hbar/e) S/m" if model.dimension == 3 else "(hbar/e) S",
        error=wrong,
        provenance=sums.provenance(
            f"{definition} operators, intrinsic, without vertex corrections",
            "Valet et al. (2025), eq. 4",
        ),
    )


def _on_grid(
    electrons: Electrons,
    mesh: Mesh,
    integrand: Integrand,
    hidden: Callable[[Bands, float], NDArray],
    options: dict[str, Any],
) -> tuple[NDArray, NDArray | None, Sums]:
    """Value and error, not below what the grid cannot see; what symmetry makes zero is zero."""
    if mesh.step is None or not options.get("error", True):
        sums = respond(electrons, integrand, mesh, axes=["vav"], **options)
        return sums.values[0], None if sums.errors is None else sums.errors[0], sums
    both = partial(_with_unseen, integrand=integrand, unseen=hidden, step=mesh.step)
    sums = respond(electrons, both, mesh, axes=["vav", ""], **options)
    value, squares = sums.values
    weight = (mesh.step / (2 * np.pi)) ** electrons.model.dimension
    least = np.sqrt(np.pi * weight * squares) / mesh.step**2
    error = 0.0 if sums.errors is None else sums.errors[0]
    return value, np.where(value == 0, error, np.maximum(error, least)), sums
