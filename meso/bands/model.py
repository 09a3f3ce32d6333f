"""Bloch models: what the response functions ask of a Hamiltonian.

Energies are in eV, lengths in Å, wave vectors in 1/Å, angular momenta in units of ħ. A model is a
matrix H(k) of a few states with its derivatives by k, the operators S and L in the same basis, and
a lattice, or none where H(k) is an expansion for all k of the plane.

The matrices of a tight-binding model carry the positions of the orbitals in their phases,
exp(ik·(R + r_n − r_m)), so that ∂H/∂k is ħ times the velocity if positions are diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from meso.constants import ELECTRON_MASS, ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError, known

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating]

#: ħ²/m_e in eV Å².
HBAR2_OVER_MASS = HBAR**2 / ELECTRON_MASS / ELEMENTARY_CHARGE * 1e20
SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])

#: Primitive vectors of a body-centred cubic lattice, in units of its cubic constant.
BCC = np.array([[-1.0, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2


@runtime_checkable
class Model(Protocol):
    """What every model offers."""

    @property
    def name(self) -> str:
        """For reports."""

    @property
    def dimension(self) -> int:
        """2 or 3."""

    @property
    def size(self) -> int:
        """Number of states at each k."""

    @property
    def degeneracy(self) -> int:
        """2 where spin is left out and every state stands for two, else 1."""

    @property
    def lattice(self) -> Floats | None:
        """Rows are primitive vectors in Å; None for a model without a lattice."""

    @property
    def operators(self) -> Mapping[str, Array]:
        """Of "S" and "L" as (3, size, size), in ħ, those that there are."""

    def hamiltonian(self, k: Floats) -> Array:
        """H in eV at the wave vectors k (K, dimension): (K, size, size)."""

    def gradient(self, k: Floats) -> Array:
        """∂H/∂k in eV Å: (K, dimension, size, size)."""

    def hessian(self, k: Floats) -> Array:
        """∂²H/∂k∂k in eV Å²: (K, dimension, dimension, size, size)."""


def operator(model: Model, name: str) -> Array:
    """The operator "S", "L", "J" = S + L, or "1" (the number of particles, as z component)."""
    if name == "1":
        unit = np.zeros((3, model.size, model.size))
        unit[2] = np.eye(model.size)
        return unit
    if name == "J" and {"S", "L"} <= model.operators.keys():
        return model.operators["S"] + model.operators["L"]
    if name == "S" and model.degeneracy == 2:
        # Spin is left out, both directions are there: all its matrix elements here are traced.
        return np.zeros((3, model.size, model.size))
    if name not in model.operators:
        names = known(name, [*model.operators, "1"])
        raise CaseError(("operator", f'{model.name} has no operator "{name}"; {names}'))
    return model.operators[name]


def with_spin(orbital: Array) -> Array:
    """Operators (…, N, N) of the orbitals in the space of spin ⊗ orbitals."""
    return np.kron(np.eye(2), orbital)


def spin_operator(orbitals: int) -> Array:
    """S = σ/2 in the space of spin ⊗ orbitals."""
    return np.kron(SIGMA, np.eye(orbitals)) / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class TightBinding:
    """A model by its hopping matrices: H(k) = Σ_R T_R exp(ik·(R + r_n − r_m)).

    Args:
        name: For reports.
        lattice: Rows are primitive vectors in Å.
        vectors: Lattice vectors R of the hoppings in Å, (number, dimension).
        hoppings: ⟨m in cell 0|H|n in cell R⟩ in eV, (number, size, size); T_−R = T_R†.
        operators: "S" and "L" in ħ.
        degeneracy: 2 where spin is left out.
        centres: Positions r of the orbitals in Å; None: all at the lattice points.
        resolution: In eV; levels closer than the hoppings can tell count as degenerate.

    Raises:
        CaseError: The Hamiltonian is not Hermitian, or shapes do not fit.
    """

    name: str
    lattice: Floats
    vectors: Floats
    hoppings: Array
    operators: Mapping[str, Array] = field(default_factory=dict)
    degeneracy: int = 1
    centres: Floats | None = None
    resolution: float = 0.0

    def __post_init__(self) -> None:
        count, size = np.shape(self.hoppings)[:2]
        lattice = np.asarray(self.lattice, dtype=float)
        if lattice.ndim != 2 or lattice.shape[0] != lattice.shape[1] or len(lattice) not in (2, 3):
            text = f"found an array of shape {lattice.shape}; expected primitive vectors as rows"
            raise CaseError(("lattice", text))
        if abs(np.linalg.det(lattice)) < 1e-9:
            raise CaseError(("lattice", "the primitive vectors are linearly dependent"))
        if np.shape(self.vectors) != (count, len(lattice)):
            raise CaseError(("vectors", f"found {len(self.vectors)} for {count} hopping matrices"))
        if self.centres is not None and np.shape(self.centres) != (size, len(lattice)):
            text = f"found shape {np.shape(self.centres)}; expected one position for each of {size}"
            raise CaseError(("centres", text))
        for name, matrix in self.operators.items():
            if np.shape(matrix) != (3, size, size):
                text = f"found shape {np.shape(matrix)}; expected (3, {size}, {size})"
                raise CaseError((f"operators.{name}", text))
            check_hermitian(matrix, f"operators.{name}")
        self._check_hoppings()

    def _check_hoppings(self) -> None:
        if not np.isfinite(self.hoppings).all():
            raise CaseError(("hoppings", "not all are finite numbers"))
        cells = np.rint(np.asarray(self.vectors) @ np.linalg.inv(self.lattice)).astype(int)
        where = {tuple(cell): n for n, cell in enumerate(cells)}
        scale = np.abs(self.hoppings).max(initial=1e-300)
        for n, cell in enumerate(cells):
            back = where.get(tuple(-cell))
            other = 0.0 if back is None else self.hoppings[back].conj().T
            worst = np.abs(self.hoppings[n] - other).max()
            if worst > 1e-6 * scale:
                text = (
                    f"the Hamiltonian is not Hermitian: the hopping by {tuple(map(int, cell))}"
                    f" differs from the adjoint of its reverse by {worst:.3g} eV"
                )
                raise CaseError(("hoppings", text))

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.lattice)

    @property
    def size(self) -> int:
        """Number of states at each k."""
        return self.hoppings.shape[-1]

    @cached_property
    def _real(self) -> bool:
        """Whether H(k) is real: T_−R = T_R* as well, so each T_R is symmetric."""
        scale = np.abs(self.hoppings).max(initial=1e-300)
        symmetric = np.abs(self.hoppings - self.hoppings.swapaxes(1, 2)).max() < 1e-14 * scale
        return bool(symmetric and self.centres is None)

    @cached_property
    def _tables(self) -> dict[int, Array]:
        """By the order of the derivative, T_R times powers of i(R + r_n − r_m): (number, …)."""
        return {}

    def _table(self, order: int) -> Array:
        if order not in self._tables:
            r = np.zeros((self.size, self.dimension)) if self.centres is None else self.centres
            shift = np.asarray(r)[None, :] - np.asarray(r)[:, None]
            path = 1j * (np.asarray(self.vectors)[:, None, None] + shift)
            table = np.asarray(self.hoppings, dtype=complex)
            for _ in range(order):
                table = np.einsum("rmna,r...mn->ra...mn", path, table)
            self._tables[order] = table.reshape(len(table), -1)
        return self._tables[order]

    def _sum(self, k: Floats, order: int) -> Array:
        """The derivative of H(k) of an order."""
        shape = (len(k), *(self.dimension,) * order, self.size, self.size)
        angle = k @ np.asarray(self.vectors).T
        table = self._table(order)
        if self._real:
            # Re[exp(iφ) t], without the imaginary part that the reverse hopping cancels.
            both = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
            return (both @ np.concatenate([table.real, -table.imag])).reshape(shape)
        found = (np.exp(1j * angle) @ table).reshape(shape)
        if self.centres is None:
            return found
        phase = np.exp(1j * k @ np.asarray(self.centres).T)
        phase = phase.reshape(len(k), *(1,) * order, -1)
        return phase.conj()[..., :, None] * found * phase[..., None, :]

    def hamiltonian(self, k: Floats) -> Array:
        """H in eV at the wave vectors k (K, dimension)."""
        return self._sum(k, 0)

    def gradient(self, k: Floats) -> Array:
        """∂H/∂k in eV Å."""
        return self._sum(k, 1)

    def hessian(self, k: Floats) -> Array:
        """∂²H/∂k∂k in eV Å²."""
        return self._sum(k, 2)


def check_positive(**values: Any) -> None:
    """Refuse what is not a positive finite number, by its name."""
    problems = [
        (key, f"found {value!r}; must be positive and finite")
        for key, value in values.items()
        if not (isinstance(value, int | float | np.number) and isfinite(value) and value > 0)
    ]
    if problems:
        raise CaseError(*problems)


def check_hermitian(matrix: Array, key: str, tolerance: float = 1e-8) -> None:
    """Refuse what is not Hermitian."""
    scale = np.abs(matrix).max(initial=1e-300)
    worst = np.abs(matrix - np.conj(np.swapaxes(matrix, -1, -2))).max(initial=0.0)
    if not worst <= tolerance * scale:
        raise CaseError((key, f"not Hermitian: off by {worst:.3g}, largest entry {scale:.3g}"))


def check_model(model: Model, seed: int = 0) -> None:
    """Look at a model at a few random k: shapes, Hermitian, gradient and Hessian as differences.

    Args:
        model: The model.
        seed: Of the random k.

    Raises:
        CaseError: Something does not fit, with its name.
    """
    rng = np.random.default_rng(seed)
    k = rng.normal(size=(3, model.dimension)) * 0.3
    d, n = model.dimension, model.size
    shapes = {"hamiltonian": (3, n, n), "gradient": (3, d, n, n), "hessian": (3, d, d, n, n)}
    for key, shape in shapes.items():
        found = getattr(model, key)(k)
        if found.shape != shape:
            raise CaseError((f"{model.name}.{key}", f"found shape {found.shape}, not {shape}"))
        check_hermitian(found, f"{model.name}.{key}")
    step = 1e-5
    for lower, upper in (("hamiltonian", "gradient"), ("gradient", "hessian")):
        function, derivative = getattr(model, lower), getattr(model, upper)(k)
        for a in range(d):
            e = step * np.eye(d)[a]
            slope = (function(k + e) - function(k - e)) / (2 * step)
            scale = max(np.abs(derivative).max(), 1.0)
            if np.abs(slope - derivative[:, a]).max() > 1e-6 * scale:
                raise CaseError((f"{model.name}.{upper}", f"is not the derivative of {lower}"))
