"""Two-centre integrals of s, p, d orbitals, and their angular momentum.

Orbitals are polynomials of the unit vector n: 1; x, y, z; and d = nᵀQn with traceless symmetric Q.
A bond along n couples only states with the same |m| about n. Those with m = 0 are the polynomials
at n; those with |m| = 1 are their tangential derivatives. This gives every table in closed form,
e.g. p–d: σ d(n) nᵀ and π (∇d − 2 n d)/√3. Within one shell the projectors on |m| are polynomials
of (n·L)².
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: The ten integrals of a bond, in the order of the tables.
INTEGRALS = ("sss", "sps", "pps", "ppp", "sds", "pds", "pdp", "dds", "ddp", "ddd")
#: Names of the orbitals in their order within a shell.
SHELLS: Mapping[str, tuple[str, ...]] = {
    "s": ("s",),
    "p": ("px", "py", "pz"),
    "d": ("dxy", "dyz", "dzx", "dx2-y2", "dz2"),
}
ORBITALS = tuple(name for names in SHELLS.values() for name in names)


@cache
def _quadratics() -> NDArray[np.floating]:
    """Q of the five d orbitals: nᵀQn is the orbital, normalised to 1 along its z axis."""
    root = np.sqrt(3) / 2
    q = np.zeros((5, 3, 3))
    for i, (a, b) in enumerate([(0, 1), (1, 2), (2, 0)]):
        q[i, a, b] = q[i, b, a] = root
    q[3] = np.diag([root, -root, 0])
    q[4] = np.diag([-0.5, -0.5, 1])
    return q


@cache
def _rotations() -> NDArray[np.floating]:
    """Generators of rotations about x, y, z: v ↦ E_k v."""
    e = np.zeros((3, 3, 3))
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        e[k, b, a], e[k, a, b] = 1, -1
    return e


@cache
def shell_momentum(shell: str) -> NDArray[np.complexfloating]:
    """L of a shell as (3, n, n), in ħ, between real orbitals."""
    rotations = _rotations()
    if shell == "s":
        return np.zeros((3, 1, 1), dtype=complex)
    if shell == "p":
        return 1j * rotations
    q = _quadratics()
    moved = np.einsum("kab,nbc->knac", rotations, q) - np.einsum("nab,kbc->knac", q, rotations)
    return 1j * np.einsum("mab,knab->kmn", q, moved) / np.einsum("mab,mab->m", q, q)[0]


def angular_momentum(orbitals: Sequence[str]) -> NDArray[np.complexfloating]:
    """L between orbitals at one atom, named as in `ORBITALS`, as (3, n, n) in ħ."""
    size = len(ORBITALS)
    full = np.zeros((3, size, size), dtype=complex)
    start = 0
    for shell, names in SHELLS.items():
        part = slice(start, start + len(names))
        full[:, part, part] = shell_momentum(shell)
        start += len(names)
    index = [ORBITALS.index(name) for name in orbitals]
    return full[:, index][:, :, index]


def bond(direction: NDArray[np.floating], integrals: Mapping[str, float]) -> NDArray[np.floating]:
    """⟨orbital at 0|H|orbital at R⟩ of s, p, d, as (9, 9), for R along `direction`.

    Args:
        direction: R, of any length.
        integrals: Some of `INTEGRALS` in eV; the others are zero.
    """
    v = {name: integrals.get(name, 0.0) for name in INTEGRALS}
    n = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    q = _quadratics()
    d = np.einsum("nab,a,b->n", q, n, n)
    slope = (2 * np.einsum("nab,b->an", q, n) - 2 * np.outer(n, d)) / np.sqrt(3)
    h = np.zeros((9, 9))
    s, p, dd = slice(0, 1), slice(1, 4), slice(4, 9)
    h[s, s] = v["sss"]
    h[s, p] = v["sps"] * n
    h[p, s] = -h[s, p].T
    h[s, dd] = v["sds"] * d
    h[dd, s] = h[s, dd].T
    h[p, p] = v["pps"] * np.outer(n, n) + v["ppp"] * (np.eye(3) - np.outer(n, n))
    h[p, dd] = v["pds"] * np.outer(n, d) + v["pdp"] * slope
    h[dd, p] = -h[p, dd].T
    along = np.einsum("k,kmn->mn", n, shell_momentum("d"))
    a, one = (along @ along).real, np.eye(5)
    h[dd, dd] = (
        v["dds"] * (one - a) @ (4 * one - a) / 4
        + v["ddp"] * a @ (4 * one - a) / 3
        + v["ddd"] * a @ (a - one) / 12
    )
    return h
