"""Point groups: which rotations leave a model as it is, and what they do to its tensors.

A sum over the wave vectors of an irreducible wedge, with the size of each orbit as weight, differs
from the sum over all of them only by components that symmetry forbids or relates. Averaging the
tensor over the group makes the two equal: forbidden components become zero, not garbage.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from meso.bands.model import Floats, Model

_TOLERANCE = 1e-8


def lattice_group(lattice: Floats) -> Floats:
    """Rotations and reflections that map a lattice onto itself, (number, d, d)."""
    d = len(lattice)
    entries = np.array(list(product((-1, 0, 1), repeat=d * d))).reshape(-1, d, d)
    moved = entries @ lattice
    metric = moved @ moved.swapaxes(1, 2)
    scale = np.abs(lattice @ lattice.T).max()
    keep = np.abs(metric - lattice @ lattice.T).max(axis=(1, 2)) < 1e-6 * scale
    # Rows transform as a_i ↦ Σ_j W_ij a_j = a_i Rᵀ.
    rotations = np.linalg.inv(lattice) @ moved[keep]
    rotations = np.ascontiguousarray(rotations.swapaxes(1, 2))
    whole = np.rint(rotations)  # exact where it can be, so that what cancels does so exactly
    return np.where(np.abs(rotations - whole) < 1e-9, whole + 0.0, rotations)


def find_group(model: Model) -> Floats:
    """Operations of the lattice that leave energies, spin and orbital momentum of a model alone.

    Each is tried at a general k: traces of Green functions with the velocity and the operators have
    to turn as vectors and axial vectors do. Without a lattice only the identity is found.
    """
    if model.lattice is None:
        return np.eye(model.dimension)[None]
    candidates = lattice_group(np.asarray(model.lattice))
    k = np.random.default_rng(1).normal(size=model.dimension)
    k *= 2 / np.linalg.norm(model.lattice, axis=1).max() / np.linalg.norm(k)
    moments = _moments(model, candidates @ k)
    here = next(i for i, r in enumerate(candidates) if np.allclose(r, np.eye(model.dimension)))
    keep = [
        all(
            np.allclose(value[n], _turn(value[here], rotation, axes), rtol=0, atol=_TOLERANCE)
            for value, axes in moments
        )
        for n, rotation in enumerate(candidates)
    ]
    return candidates[keep]


def _moments(model: Model, k: Floats) -> list[tuple[NDArray, str]]:
    """Traces at the points k, of order one, each with the kinds of its axes after the first."""
    h, slope = model.hamiltonian(k), pad(model.gradient(k), 1)
    h = h / np.abs(np.linalg.eigvalsh(h)).max()
    slope = slope / np.abs(slope).max()
    one = np.eye(model.size)
    green = [np.linalg.inv(z * one - h) for z in (0.3 + 0.7j, -0.4 - 0.5j, 0.1 + 1.1j)]
    chain = green[0][:, None] @ slope @ green[1][:, None]
    found = [(np.einsum("kmm->k", green[0]), ""), (np.einsum("kamm->ka", chain), "v")]
    for x in model.operators.values():
        found.append((np.einsum("xmn,knm->kx", x, green[0]), "a"))
        found.append((np.einsum("xmn,kanm->kax", x, chain), "va"))
        twice = chain[:, :, None] @ (x[None] @ green[2][:, None])[:, None]
        found.append((np.einsum("kaxmn,kbnm->kaxb", twice, slope), "vav"))
    return found


def pad(value: NDArray, *axes: int) -> NDArray:
    """A tensor of a 2D model as one of three dimensions, with zeros along z."""
    if value.shape[axes[0]] == 3:
        return value
    return np.pad(value, [(0, int(axis in axes)) for axis in range(value.ndim)])


def _turn(value: NDArray, rotation: Floats, axes: str) -> NDArray:
    full = np.eye(3)
    full[: len(rotation), : len(rotation)] = rotation
    axial = np.linalg.det(rotation) * full
    matrices = {"v": full, "a": axial, "c": block_diag(1, axial, axial)}
    for n, kind in enumerate(axes):
        matrix = matrices[kind][: value.shape[n], : value.shape[n]]
        value = np.moveaxis(np.tensordot(matrix, value, axes=(1, n)), 0, n)
    return value


def average(value: NDArray, group: Floats | None, axes: str) -> NDArray:
    """Mean of a tensor over a group of rotations (number, d, d); None or one: nothing to do.

    Its last axes have the kinds given, those before are left alone: "v" is a vector, "a" an axial
    vector, "c" channels (1, S, L) or (1, L).
    """
    if group is None or len(group) <= 1 or not axes:
        return value
    lead = value.ndim - len(axes)
    flat = value.reshape(-1, *value.shape[lead:])
    out = np.array([sum(_turn(v, r, axes) for r in group) / len(group) for v in flat])
    # What cancels does so up to the order of the sum.
    out[np.abs(out) < 1e-14 * np.abs(value).max(initial=0.0)] = 0.0
    return out.reshape(value.shape)


def averaging(group: Floats | None, axes: str, shape: tuple[int, ...]) -> NDArray | None:
    """`average` for tensors of a shape as a matrix that multiplies them from the right, flattened.

    None where there is nothing to do.
    """
    if group is None or len(group) <= 1 or not axes:
        return None
    size = int(np.prod(shape))
    return average(np.eye(size).reshape(size, *shape), group, axes).reshape(size, size)
