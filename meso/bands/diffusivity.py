"""Diffusivities of charge, spin and orbital angular momentum with a broadening Γ.

    S[X,i→Y,j] = (e²/ħ)(Γ/π) ∫d³k/(2π)³ Im Tr[½{∂_jH, Y} G^R X G^A ∂_iH G^A],  X, Y ∈ {1, σ, L}

in S/m, after Ning et al. (2025), eq. 8–13, with one prefactor for all blocks: their printed eq. 12
is 2S and their eq. 13 is S/2. In terms of the densities s = ½Tr[σρ] and l = Tr[Lρ] those factors
are right, and `Diffusivity.blocks` has them. Two more things the reader of a number has to know:

* A source density is ρ = X ∂⟨…⟩. For σ, Tr σ² = N, for L it is not. "printed" keeps the formula;
  "trace" divides by Tr X²/N, so that D ∂l is the answer to a gradient ∂l of the density itself.
* The charge block is the Kubo–Greenwood conductivity, so that D = σ/(e²N_F) holds identically.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Floats, Model, check_positive
from meso.bands.response import mesh_for, respond
from meso.bands.result import Quantity
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError

#: Bytes that a batch of intermediate matrices may take: they stay in the cache and are reused.
_CACHE = 256 << 10
CHANNELS = ("c", "sx", "sy", "sz", "lx", "ly", "lz")
#: From S of two channels to the densities: the spin of σ is half of it.
_FACTORS = {"ss": 1.0, "sl": 2.0, "ls": 0.5, "ll": 1.0}


class Normalisation(StrEnum):
    """What the gradient of an orbital density is measured in."""

    PRINTED = "printed"
    TRACE = "trace"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diffusivity(Quantity):
    """The tensor S[X, i, Y, j] in S/m (S in 2D) at one energy, and what follows from it.

    Attributes:
        energy: In eV.
        broadening: Γ in eV.
        density_of_states: N_F in 1/(J m³) or 1/(J m²), both spins.
        states_per_cell: N_F in 1/eV per cell; None without a lattice.
        norms: Tr X²/N of the channels.
    """

    energy: float
    broadening: float
    density_of_states: float
    states_per_cell: float | None
    norms: tuple[float, ...]

    def between(self, source: str, sink: str, directions: str = "xx") -> float:
        """S[X,i→Y,j] of two channels ("c", "sx", … "lz"), with its directions i, j."""
        i, j = ("xyz".index(a) for a in directions)
        x, y = (CHANNELS.index(a) for a in (source, sink))
        return float(self.value[x, i, y, j])

    @property
    def conductivity(self) -> Floats:
        """σ_ij in S/m (S in 2D)."""
        return self.value[0, :, 0, :]

    @property
    def relaxation_time(self) -> float:
        """τ = ħ/2Γ in s."""
        return HBAR / (2 * self.broadening * ELEMENTARY_CHARGE)

    def blocks(self, normalisation: Normalisation | str = "printed") -> Floats:
        """D^{ia}_{kb} in m²/s: the current of a along i for a gradient of b along k.

        The components a, b are the densities (S_x, S_y, S_z, L_x, L_y, L_z); the law of the current
        is 𝒥^{ia} = −D^{ia}_{kb} ∂_k X^b.

        Args:
            normalisation: Of the source density, see `Normalisation`.
        """
        printed = Normalisation(normalisation) is Normalisation.PRINTED
        norm = np.ones(6) if printed else np.array(self.norms[1:])
        unit = np.array([0.5] * 3 + [1.0] * 3)
        scale = ELEMENTARY_CHARGE**2 * self.density_of_states
        d = self.value[1:, :, 1:, :] / scale / (norm * unit)[:, None, None, None] * unit[:, None]
        return np.ascontiguousarray(d.transpose(3, 2, 1, 0))

    def polarization(self, source: str = "s", axis: str = "x", direction: str = "x") -> float:
        """Part of the angular momentum current that is of the other kind than the density.

        Args:
            source: "s": spin to orbital, "l": orbital to spin.
            axis: Component of the angular momentum.
            direction: Of the gradient and the current.
        """
        other = {"s": "l", "l": "s"}[source]
        same = abs(self.between(source + axis, source + axis, direction * 2))
        crossed = abs(self.between(source + axis, other + axis, direction * 2))
        crossed *= _FACTORS[source + other]
        return crossed / (same + crossed)

    def swapping(self, source: str = "l", sink: str | None = None) -> float:
        """|D[X_x, x → Y_y, y] / D[X_x, x → X_x, x]|: how much of a current turns.

        Args:
            source: "s" or "l".
            sink: "s" or "l"; None for the same kind.
        """
        sink = sink or source
        turned = _FACTORS[source + sink] * self.between(source + "x", sink + "y", "xy")
        return abs(turned / self.between(source + "x", source + "x", "xx"))


@dataclass(frozen=True, kw_only=True)
class Conduction:
    """The density of states and S[X, i, Y, j] of several energies at each k, in 1/eV and eV Å².

    (K, energies) and (K, energies, n, 3, n, 3), for the channels `operators` (n, N, N) in the space
    of the model; directions i that are left out stay zero.
    """

    energies: Sequence[float]
    broadening: float
    operators: Array
    directions: Sequence[int]

    def __call__(self, at: Bands) -> tuple[NDArray, NDArray]:
        """The integrand at a batch of wave vectors."""
        step = max(2, _CACHE // (16 * 3 * len(self.operators) * at.model.size**2))
        found = [self._part(at.model, at.k[s : s + step]) for s in range(0, len(at.k), step)]
        states, tensors = zip(*found, strict=True)
        return np.concatenate(states), np.concatenate(tensors)

    def _part(self, model: Model, k: Floats) -> tuple[NDArray, NDArray]:
        h, slope = model.hamiltonian(k), model.gradient(k).astype(complex)
        number, dims, size = slope.shape[:3]
        directions = [i for i in self.directions if i < dims]
        count = len(self.operators)
        row = np.ascontiguousarray(self.operators.transpose(1, 0, 2)).reshape(size, -1)

        def times_operators(left: Array) -> Array:
            """A_i X for all X in one product: (K, i, rows, X, columns)."""
            return (left.reshape(-1, size) @ row).reshape(*left.shape[:3], count, size)

        def lined_up(blocks: Array) -> Array:
            """(K, i, rows, X, columns) as vectors (K, i X, rows columns)."""
            return blocks.swapaxes(2, 3).reshape(number, -1, size * size)

        # Im Tr[½{A, Y} Q] = ½ Im Tr[A Y (Q − Q†)]: the fewer matrices are made anti-Hermitian.
        sinks = lined_up(times_operators(slope)).swapaxes(1, 2)
        chosen = slope if len(directions) == dims else np.ascontiguousarray(slope[:, directions])
        states = np.zeros((number, len(self.energies)))
        tensor = np.zeros((number, len(self.energies), count, 3, count, 3))
        for e, energy in enumerate(self.energies):
            retarded = np.linalg.inv((energy + 1j * self.broadening) * np.eye(size) - h)
            advanced = np.ascontiguousarray(retarded.conj().swapaxes(1, 2))
            states[:, e] = -np.einsum("knn->k", retarded).imag / pi
            v = (chosen.reshape(number, -1, size) @ retarded).reshape(chosen.shape)
            v = retarded[:, None] @ v
            between = times_operators(v).reshape(number, -1, size) @ advanced
            between = between.reshape(number, len(directions), size, count, size)
            difference = between.transpose(0, 1, 4, 3, 2) - between.conj()
            trace = (lined_up(difference) @ sinks).imag / -2
            trace = trace.reshape(number, len(directions), count, dims, count)
            tensor[:, e, :, directions, :, :dims] = trace.transpose(1, 0, 2, 4, 3)
        return states, tensor


def channels(model: Model) -> Array:
    """1, σ and L of a model as (7, N, N), or 1 and L as (4, N, N) where spin is left out."""
    one = np.eye(model.size)[None]
    momentum = model.operators.get("L", np.zeros((3, model.size, model.size)))
    if model.degeneracy == 2 or "S" not in model.operators:
        return np.concatenate([one, momentum])
    return np.concatenate([one, 2 * model.operators["S"], momentum])


def diffusivities(
    model: Model,
    energies: Sequence[float],
    broadening: float,
    kmesh: int | Mesh = 48,
    *,
    directions: str = "xyz",
    **options: Any,
) -> list[Diffusivity]:
    """Diffusivities at several energies, for the work of diagonalising once.

    Args:
        model: A model with a lattice.
        energies: In eV.
        broadening: Γ in eV.
        kmesh: Points of the grid along one direction, or a mesh.
        directions: Of the gradient; with fewer the others stay zero, unless symmetry has them.
        options: As for `diffusivity`.
    """
    check_positive(broadening=broadening)
    electrons = Electrons(model, float(energies[0]))
    mesh = mesh_for(electrons, kmesh, options)
    chosen = tuple("xyz".index(d) for d in directions)
    if mesh.group is not None and np.any(mesh.group[:, ~np.eye(mesh.points.shape[1], dtype=bool)]):
        chosen = (0, 1, 2)  # the average over the group mixes directions
    operators = channels(model).astype(complex)
    integrand = Conduction(
        energies=[float(energy) for energy in energies],
        broadening=float(broadening),
        operators=operators,
        directions=chosen,
    )
    sums = respond(electrons, integrand, mesh, axes=["", "cvcv"], **options)
    states = model.degeneracy * sums.values[0]
    # From e²/ħ times 1/Å to S/m (3D), or times 1 to S (2D).
    scale = ELEMENTARY_CHARGE**2 / HBAR * broadening / pi * 1e10 ** (model.dimension - 2)
    scale *= model.degeneracy
    tensors = _all_channels(model, scale * sums.values[1])
    errors = None if sums.errors is None else _all_channels(model, scale * sums.errors[1])
    squares = np.einsum("amn,anm->a", operators, operators).real / model.size
    norms = np.ones(7)
    norms[_places(len(operators))] = np.where(squares == 0, 1.0, squares)
    cell = None if model.lattice is None else abs(np.linalg.det(np.asarray(model.lattice)))
    found = []
    for n, energy in enumerate(integrand.energies):
        if not states[n] > 0:
            raise CaseError(("energy", f"no states of {model.name} at {energy:g} eV"))
        found.append(
            Diffusivity(
                name="diffusivity S[X, i, Y, j], X, Y of c sx sy sz lx ly lz",
                value=tensors[n],
                unit="S/m" if model.dimension == 3 else "S",
                error=None if errors is None else errors[n],
                provenance=sums.provenance(
                    "broadened response of charge, spin and orbital densities",
                    "Ning et al., Phys. Rev. Lett. 134, 026303 (2025), eq. 8-13",
                    energy_eV=energy,
                    temperature_eV=None,
                    broadening_eV=broadening,
                ),
                energy=energy,
                broadening=float(broadening),
                density_of_states=float(states[n]) / ELEMENTARY_CHARGE * 1e10**model.dimension,
                states_per_cell=None if cell is None else float(states[n] * cell),
                norms=tuple(map(float, norms)),
            )
        )
    return found


def diffusivity(
    model: Model, energy: float, broadening: float, kmesh: int | Mesh = 48, **options: Any
) -> Diffusivity:
    """Diffusivities of charge, spin and orbital angular momentum, with all cross terms.

    Args:
        model: A model with a lattice.
        energy: In eV.
        broadening: Γ in eV.
        kmesh: Points of the grid along one direction, or a mesh.
        options: `symmetry`, `processes`, `comm`, `progress`, `error` as for all responses;
            `directions` of the gradient.

    Returns:
        The tensor in S/m with what follows from it.

    Raises:
        CaseError: The energy is outside the bands, or an argument makes no sense.
    """
    return diffusivities(model, [energy], broadening, kmesh, **options)[0]


def _places(count: int) -> list[int]:
    """Where the channels of a model are among all seven."""
    return list(range(7)) if count == 7 else [0, 4, 5, 6]


def _all_channels(model: Model, tensor: Floats) -> Floats:
    """Tensors (energies, n, 3, n, 3) with the channels that the model leaves out."""
    place = _places(tensor.shape[1])
    full = np.zeros((len(tensor), 7, 3, 7, 3))
    full[np.ix_(range(len(tensor)), place, range(3), place, range(3))] = tensor
    if len(place) == 4 and model.degeneracy == 2:
        for s in (1, 2, 3):  # without spin-orbit coupling spin goes with charge
            full[:, s, :, s] = tensor[:, 0, :, 0]
    return full
