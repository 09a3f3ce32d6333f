"""Models from objects of other packages, which are not needed otherwise: sisl and pythtb.

Both are asked for H(k) on a grid; the hopping matrices are its Fourier coefficients. The grid is
made finer until they give H(k) back at other k, so it does not matter how far hoppings reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from meso.bands.model import Array, Floats, TightBinding
from meso.bands.orbitals import Spin, operators_of
from meso.errors import CaseError


def from_bloch(
    name: str,
    hamiltonian: Callable[[Floats], Array],
    lattice: Floats,
    *,
    operators: dict[str, Array] | None = None,
    centres: Floats | None = None,
    degeneracy: int = 1,
    most: int = 33,
) -> TightBinding:
    """A model from H(k) as a periodic function.

    Args:
        name: For reports.
        hamiltonian: H in eV at one k in fractional coordinates of the reciprocal lattice, without
            phases of positions: periodic with 1 in each.
        lattice: Primitive vectors as rows in Å.
        operators: "S" and "L" in ħ.
        centres: Positions of the orbitals in Å.
        degeneracy: 2 where spin is left out.
        most: Largest number of k along each direction.

    Raises:
        CaseError: H(k) is not periodic, or its hoppings reach too far.
    """
    lattice = np.asarray(lattice, dtype=float)
    d = len(lattice)
    trial = np.random.default_rng(5).random((3, d))
    exact = np.array([hamiltonian(k) for k in trial])
    n = 5
    while n <= most:
        index = np.array(list(product(range(n), repeat=d)))
        values = np.array([hamiltonian(k) for k in index / n])
        values = np.fft.fftn(values.reshape(*(n,) * d, *exact.shape[1:]), axes=range(d)) / n**d
        hoppings = values.reshape(-1, *exact.shape[1:])
        cells = np.where(index > n // 2, index - n, index)
        scale = np.abs(hoppings).max(initial=1e-300)
        phases = np.exp(2j * np.pi * trial @ cells.T)
        if np.abs(np.tensordot(phases, hoppings, 1) - exact).max() < 1e-9 * scale:
            keep = np.abs(hoppings).max(axis=(1, 2)) > 1e-12 * scale
            return TightBinding(
                name=name,
                lattice=lattice,
                vectors=cells[keep] @ lattice,
                hoppings=hoppings[keep],
                operators=operators or {},
                centres=centres,
                degeneracy=degeneracy,
            )
        n = 2 * n - 1
    text = f"{name}: not given by hoppings of less than {most // 2} cells, or not periodic in k"
    raise CaseError(("hamiltonian", text))


def from_sisl(hamiltonian: Any, *, orbitals: Sequence[str] | None = None) -> TightBinding:
    """A model from a `sisl.Hamiltonian` with an orthogonal basis, periodic in three directions.

    Args:
        hamiltonian: The object; unpolarized, or non-collinear with or without spin-orbit coupling.
        orbitals: Character of each orbital ("s", "px", …) in its order; None: no operator L.

    Raises:
        CaseError: The basis is not orthogonal, or a kind of spin that is not known.
    """
    if not getattr(hamiltonian, "orthogonal", True):
        raise CaseError(("hamiltonian", "the sisl basis is not orthogonal; orthogonalise it first"))
    kind = hamiltonian.spin
    spinful = kind.is_noncolinear or kind.is_spinorbit
    if not (kind.is_unpolarized or spinful):
        raise CaseError(("hamiltonian", f"sisl spin {kind}: unpolarized or non-collinear only"))
    spin: Spin = "none" if kind.is_unpolarized else "alternating"
    geometry = hamiltonian.geometry
    lattice = np.array(geometry.lattice.cell)
    copies = 1 if kind.is_unpolarized else 2
    atoms = geometry.o2a(np.arange(hamiltonian.no))
    centres = np.repeat(np.array(geometry.xyz)[atoms], copies, axis=0)
    return from_bloch(
        "sisl model",
        lambda k: np.asarray(hamiltonian.Hk(k, gauge="lattice", format="array")),
        lattice,
        operators=operators_of(orbitals, spin, len(centres), centres=centres, lattice=lattice),
        centres=centres,
        degeneracy=3 - copies,
    )


def from_pythtb(
    model: Any, *, orbitals: Sequence[str] | None = None, degeneracy: int | None = None
) -> TightBinding:
    """A model from a pythtb `TBModel` (version 2) or `tb_model` (1.8), periodic in all directions.

    Args:
        model: The object, with numbers for all its parameters.
        orbitals: Character of each orbital, without spin; None: no operator L.
        degeneracy: 2 where the model leaves spin out; None: 1.

    Raises:
        CaseError: The model is not periodic in all its directions.
    """
    new = hasattr(model, "dim_k")
    periodic, directions = (model.dim_k, model.dim_r) if new else (model._dim_k, model._dim_r)
    if periodic != directions or periodic not in (2, 3):
        text = f"found {periodic} periodic directions of {directions}; needs all of 2 or 3"
        raise CaseError(("model", text))
    lattice = np.array(model.lat_vecs if new else model.get_lat())
    spins = int(model.nspin if new else model._nspin)
    fractional = np.repeat(np.array(model.orb_vecs if new else model.get_orb()), spins, axis=0)
    size = len(fractional)

    def at(k: Floats) -> Array:
        raw = model.hamiltonian([k])[0] if new else model._gen_ham(k)
        phase = np.exp(2j * np.pi * fractional @ k)
        return phase[:, None] * np.asarray(raw).reshape(size, size) * phase.conj()

    spin: Spin = "none" if spins == 1 else "alternating"
    centres = fractional @ lattice
    return from_bloch(
        "pythtb model",
        at,
        lattice,
        operators=operators_of(orbitals, spin, size, centres=centres, lattice=lattice),
        centres=centres,
        degeneracy=1 if degeneracy is None else degeneracy,
    )
