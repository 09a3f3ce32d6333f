"""The files of Wannier90: hoppings, shortest images, lattice, positions.

    NAME_hr.dat        ⟨m0|H|nR⟩ in eV, six decimals
    NAME_tb.dat        the same with eight digits, lattice vectors and ⟨m0|r|nR⟩
    NAME_wsvec.dat     for each R, m, n the superlattice vectors T that make R + T shortest
    NAME.win           the input: lattice, whether there are spinors
    NAME_centres.xyz   positions

A hopping is divided by the multiplicity of its R and, where Wannier90 ran with use_ws_distance (its
default since version 3), shared by the images R + T: both in equal parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meso.bands.model import Array, Floats
from meso.errors import CaseError

_BOHR = 0.529177210903
_HOPPINGS = "not a Wannier90 file of hoppings (NAME_hr.dat, NAME_tb.dat)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Hoppings:
    """What a file has.

    Attributes:
        cells: R as integers (number, 3).
        matrices: ⟨m0|H|nR⟩ in eV (number, size, size).
        lattice: Primitive vectors as rows in Å, or None.
        centres: Positions of the functions in Å, or None.
    """

    cells: NDArray[np.integer]
    matrices: Array
    lattice: Floats | None = None
    centres: Floats | None = None

    @property
    def size(self) -> int:
        """Number of Wannier functions."""
        return self.matrices.shape[-1]


def text_of(path: Path) -> str:
    """What a file says.

    Raises:
        CaseError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CaseError(f"{path}: {error.strerror or error}") from None


def read_hoppings(path: Path) -> Hoppings:
    """Hoppings of `*_hr.dat` or `*_tb.dat`, divided by the multiplicity of their lattice vector.

    Raises:
        CaseError: The file cannot be read, or is damaged.
    """
    whole, text = path.name.endswith("_tb.dat"), text_of(path)
    try:
        *head, rest = text.split("\n", 6 if whole else 3)
        lattice = np.array([line.split() for line in head[1:4]], float) if whole else None
        size, count = int(head[-2]), int(head[-1])
        multiplicity, table = np.split(np.fromstring(rest, sep=" "), [count])
    except (IndexError, ValueError):
        raise CaseError(f"{path}: {_HOPPINGS}") from None
    expected = count * (6 + 12 * size**2) if whole else 7 * count * size**2
    if len(table) != expected or not (np.isfinite(table).all() and multiplicity.all()):
        text = f"found {len(table)} numbers; {size} functions and {count} vectors need {expected}"
        raise CaseError(f"{path}: damaged or cut off: {text}")
    if whole:
        parts = np.split(table, [count * (3 + 4 * size**2)])
        energies, places = (part.reshape(count, -1) for part in parts)
        cells = energies[:, :3].astype(int)
        elements = energies[:, 3:].reshape(count, size**2, 4)
        same = (places[:, :3] == cells).all()
    else:
        table = table.reshape(count, size**2, 7)
        cells, elements = table[:, 0, :3].astype(int), table[:, :, 3:]
        same = (table[:, :, :3] == cells[:, None]).all()
    if not same:
        raise CaseError(f"{path}: the hoppings of a lattice vector are not together")
    found = Hoppings(
        cells=cells,
        matrices=_matrices(path, elements, size)[..., 0] / multiplicity[:, None, None],
        lattice=lattice,
    )
    home = found.cells.any(axis=1) == 0
    if whole and home.any():
        r = _matrices(path, places[home][:, 3:].reshape(1, size**2, 8), size)[0]
        found = replace(found, centres=np.einsum("nna->na", r).real)
    return found


def _matrices(path: Path, elements: Floats, size: int) -> Array:
    """Rows m, n, Re, Im, … as matrices (…, size, size, values)."""
    m, n = (elements[..., column].astype(int) - 1 for column in (0, 1))
    if m.min() < 0 or n.min() < 0 or max(m.max(), n.max()) >= size:
        raise CaseError(f"{path}: numbers of functions outside 1 … {size}")
    values = elements[..., 2::2] + 1j * elements[..., 3::2]
    matrices = np.zeros((len(elements), size, size, values.shape[-1]), dtype=complex)
    matrices[np.arange(len(elements))[:, None], m, n] = values
    return matrices


def share_among_images(found: Hoppings, path: Path) -> Hoppings:
    """Hoppings on the shortest images of `*_wsvec.dat`, in equal parts; as they are if it says so.

    Raises:
        CaseError: The file cannot be read, is damaged, or is not of these hoppings.
    """
    head, _, rest = text_of(path).partition("\n")
    if "use_ws_distance" not in head:
        raise CaseError(f"{path}: not a Wannier90 file of images (NAME_wsvec.dat)")
    # The development version can apply them itself: then the file is for information.
    if "use_ws_distance=.true." not in head or "write_ndegen_applied=.true." in head:
        return found
    numbers = np.fromstring(rest, dtype=int, sep=" ")
    listed, starts, at = numbers.tolist(), [], 0
    while at + 5 < len(listed) and listed[at + 5] > 0:
        starts.append(at)
        at += 6 + 3 * listed[at + 5]
    wanted = len(found.cells) * found.size**2
    if at != len(listed) or len(starts) != wanted:
        text = f"found {len(starts)} pairs; these hoppings have {wanted}"
        raise CaseError(f"{path}: damaged, cut off or of another calculation: {text}")
    start = np.array(starts)
    count = numbers[start + 5]
    pair = np.repeat(np.arange(len(start)), count)
    nth = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    shift = numbers[(start[pair] + 6 + 3 * nth)[:, None] + np.arange(3)]
    cells = numbers[start[:, None] + np.arange(3)]
    m, n = numbers[start + 3] - 1, numbers[start + 4] - 1
    reach = int(max(np.abs(found.cells).max(), np.abs(cells).max()) + np.abs(shift).max(initial=0))
    base = 2 * reach + 1
    code = np.array([base**2, base, 1])
    known, which = np.unique(found.cells @ code, return_index=True)
    place = np.minimum(np.searchsorted(known, cells @ code), len(known) - 1)
    inside = max(m.max(), n.max()) < found.size and min(m.min(), n.min()) >= 0
    if not inside or (known[place] != cells @ code).any():
        raise CaseError(f"{path}: lattice vectors or functions that these hoppings do not have")
    value = found.matrices[which[place], m, n] / count
    new, where = np.unique((cells[pair] + shift) @ code, return_inverse=True)
    matrices = np.zeros((len(new), found.size, found.size), dtype=complex)
    np.add.at(matrices, (where.ravel(), m[pair], n[pair]), value[pair])
    digits = np.array([(new + reach * code.sum()) // part % base for part in code]).T - reach
    return replace(found, cells=digits, matrices=matrices)


def both_spins(up: Hoppings, down: Hoppings) -> Hoppings:
    """Two files of one spin each as one: first all functions with spin up, then all down."""
    n = up.size
    cells, where = np.unique(np.concatenate([up.cells, down.cells]), axis=0, return_inverse=True)
    matrices = np.zeros((len(cells), 2 * n, 2 * n), dtype=complex)
    first, second = np.split(where.ravel(), [len(up.cells)])
    matrices[first, :n, :n] = up.matrices
    matrices[second, n:, n:] = down.matrices
    places = None
    if up.centres is not None and down.centres is not None:
        places = np.concatenate([up.centres, down.centres])
    return replace(up, cells=cells, matrices=matrices, centres=places)


def has_spinors(win: Path) -> bool:
    """Whether a `.win` file says `spinors = true`."""
    found = re.search(r"^\s*spinors\s*[=:]?\s*\.?(\w)", text_of(win), re.MULTILINE | re.IGNORECASE)
    return found is not None and found[1].lower() == "t"


def read_lattice(path: Path) -> Floats:
    """Primitive vectors in Å from a `.win` file."""
    text = re.sub(r"[!#].*", "", text_of(path))
    block = re.search(
        r"begin\s+unit_cell_cart\s*\n\s*(bohr|ang)?[a-z]*(.*?)end\s+unit_cell_cart",
        *(text, re.DOTALL | re.IGNORECASE),
    )
    if block is None:
        raise CaseError(f"{path}: no block unit_cell_cart, so no lattice")
    factor = _BOHR if (block[1] or "").lower() == "bohr" else 1.0
    try:
        return factor * np.array(block[2].split(), dtype=float).reshape(3, 3)
    except ValueError:
        raise CaseError(f"{path}: unit_cell_cart is not three vectors") from None


def read_centres(path: Path, size: int) -> Floats:
    """Positions of the Wannier functions in Å from `*_centres.xyz`."""
    lines = [line.split() for line in text_of(path).splitlines()[2:]]
    try:
        found = [[float(v) for v in w[1:4]] for w in lines if w and w[0] == "X"]
    except ValueError:
        raise CaseError(f"{path}: not a file of Wannier centres") from None
    if len(found) != size:
        raise CaseError(f"{path}: {len(found)} centres for {size} Wannier functions")
    return np.array(found)
