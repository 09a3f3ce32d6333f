"""Files as Wannier90 writes them, from a model whose bands are known.

    python3 demos/bands_wannier90/write_files.py FOLDER

stands for a run of Wannier90 with write_hr, write_tb, write_xyz and use_ws_distance: in FOLDER it
leaves toy_hr.dat, toy_tb.dat, toy_wsvec.dat, toy_centres.xyz and toy.win. The model is the p model
`BccP` in the cubic cell with two atoms, seen on a grid of 2³ wave vectors. That is enough for its
hoppings, but only with the shortest images of `_wsvec.dat` between the grid points as well.
"""

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meso.bands import models

#: What the functions are, in the order in which Wannier90 has p orbitals.
ORBITALS = ("pz", "px", "py") * 2


def two_atoms(model: models.BccP) -> tuple[NDArray, NDArray, NDArray]:
    """The p model in its cubic cell: lattice, R (number, 3), ⟨m0|H|nR⟩ with spin up, then down."""
    constant = 2 * np.abs(model.lattice).max()
    spins = model.size // 3
    order = np.array([3 * s + p for s in range(spins) for p in (2, 0, 1)])
    cells: dict[tuple[int, ...], NDArray] = {}
    for vector, matrix in zip(model.vectors, model.hoppings, strict=True):
        hop = matrix[order][:, order].reshape(spins, 3, spins, 3)
        far = vector.any()
        for a in (0, 1):
            b = 1 - a if far else a
            cell = tuple(np.rint(vector / constant - (b - a) / 2 * far).astype(int))
            home = cells.setdefault(cell, np.zeros((spins, 2, 3, spins, 2, 3), dtype=complex))
            home[:, a, :, :, b] += hop
    size = 6 * spins
    matrices = np.array([m.reshape(size, size) for m in cells.values()])
    return constant * np.eye(3), np.array(list(cells)), matrices


def positions(lattice: NDArray, spins: int) -> NDArray:
    """Of the functions of `two_atoms`, in Å."""
    return np.tile(np.repeat([np.zeros(3), lattice.sum(axis=0) / 2], 3, axis=0), (spins, 1))


class Files:
    """What Wannier90 knows of a model on a grid of n³ wave vectors."""

    def __init__(
        self, lattice: NDArray, cells: NDArray, hoppings: NDArray, centres: NDArray, n: int
    ):
        self.lattice, self.centres, self.size, self.n = lattice, centres, len(centres), n
        k = np.array(list(product(range(n), repeat=3))) / n
        h = np.tensordot(np.exp(2j * np.pi * k @ cells.T), hoppings, 1)
        self.super = n * np.array(list(product(range(-2, 3), repeat=3)))
        near = np.array(list(product(range(-n, n + 1), repeat=3)))
        ties = [self.shortest(cell, np.zeros(3)) for cell in near]
        inside = [(c, len(t)) for c, t in zip(near, ties, strict=True) if not t.any(axis=1).all()]
        self.cells = np.array([c for c, _ in inside])
        self.multiplicity = [m for _, m in inside]
        self.hoppings = np.tensordot(np.exp(-2j * np.pi * self.cells @ k.T), h, 1) / n**3

    def shortest(self, cell: NDArray, shift: NDArray) -> NDArray:
        """The superlattice vectors T that make R + T, shifted (in Å), shortest."""
        length = np.linalg.norm((cell + self.super) @ self.lattice + shift, axis=1)
        return self.super[length < length.min() + 1e-5]

    def write(self, folder: Path, name: str = "toy", spinors: bool = False) -> None:
        """All five files."""
        count = f"{self.size:12d}\n{len(self.cells):12d}\n"
        per = [self.multiplicity[s : s + 15] for s in range(0, len(self.cells), 15)]
        count += "".join("".join(f"{m:5d}" for m in line) + "\n" for line in per)
        vectors = "".join(" ".join(f"{x:24.16f}" for x in row) + "\n" for row in self.lattice)
        hr, tb, places = [" written\n", count], [" written\n", vectors, count], []
        ws = ["## written  with use_ws_distance=.true.\n"]
        for cell, matrix in zip(self.cells, self.hoppings, strict=True):
            head = "".join(f"{c:5d}" for c in cell)
            tb.append(f"\n{head}\n")
            places.append(f"\n{head}\n")
            for n, m in product(range(self.size), repeat=2):  # m runs first
                v, pair = matrix[m, n], f"{m + 1:5d}{n + 1:5d}"
                hr.append(f"{head}{pair}{v.real:12.6f}{v.imag:12.6f}\n")
                tb.append(f"{pair}   {v.real:15.8E} {v.imag:15.8E}\n")
                r = self.centres[m] * (m == n and not cell.any())
                places.append(pair + "   " + " ".join(f"{x:15.8E} {0:15.8E}" for x in r) + "\n")
            for m, n in product(range(self.size), repeat=2):  # n runs first
                images = self.shortest(cell, self.centres[n] - self.centres[m])
                ws.append(f"{head}{m + 1:5d}{n + 1:5d}\n{len(images):5d}\n")
                ws += ["".join(f"{t:5d}" for t in image) + "\n" for image in images]
        atoms = "".join(f"X {x:15.8f} {y:15.8f} {z:15.8f}\n" for x, y, z in self.centres)
        texts = {
            "_hr.dat": "".join(hr),
            "_tb.dat": "".join(tb + places),
            "_wsvec.dat": "".join(ws),
            "_centres.xyz": f"{self.size:6d}\n Wannier centres\n{atoms}",
            ".win": f"num_wann = {self.size}\nspinors = {str(spinors).lower()}\n"
            f"begin unit_cell_cart\nang\n{vectors}end unit_cell_cart\n",
        }
        for end, text in texts.items():
            (folder / f"{name}{end}").write_text(text)


def turn(order: Sequence[int], *arrays: NDArray) -> list[NDArray]:
    """Matrices with their functions in another order."""
    return [a[:, order][:, :, order] for a in arrays]


def main(folder: Path) -> None:
    """Spinors, up and down in turn, as Wannier90 has them since version 2."""
    lattice, cells, hoppings = two_atoms(models.BccP(spin_orbit=0.1))
    order = np.arange(12).reshape(2, 6).T.ravel()
    (hoppings,) = turn(order, hoppings)
    centres = positions(lattice, 2)[order]
    folder.mkdir(parents=True, exist_ok=True)
    Files(lattice, cells, hoppings, centres, 2).write(folder, spinors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
