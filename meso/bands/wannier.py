"""Models from Wannier90 files.

`*_hr.dat` holds hopping matrices and nothing else: the lattice is in `.win`, the positions are in
`*_centres.xyz`, and what the orbitals are, and how spin is ordered, only the user knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meso.bands.model import Array, Floats, TightBinding
from meso.bands.orbitals import Spin, operators_of
from meso.errors import CaseError

_BOHR = 0.529177210903


def Wannier90(  # a model is a thing, even if a function builds it
    hr: str | Path,
    *,
    win: str | Path | None = None,
    centres: str | Path | None = None,
    lattice: Floats | Sequence[Sequence[float]] | None = None,
    orbitals: Sequence[str] | None = None,
    sites: Sequence[int] | None = None,
    spin: Spin = "none",
    energy: float = 0.0,
) -> TightBinding:
    """Read a tight-binding model that Wannier90 has written.

    Args:
        hr: The file `NAME_hr.dat`.
        win: The file with the lattice; None looks for `NAME.win` beside it.
        centres: The file with the positions of the Wannier functions; None looks for
            `NAME_centres.xyz`. Without it all positions are taken to be the same.
        lattice: Primitive vectors as rows in Å, instead of `win`.
        orbitals: Character of each Wannier function ("s", "px", "dz2", … or "-"), without spin;
            None: no operator L.
        sites: Number of the atom of each; None: by their positions.
        spin: "none": there is no spin in the files and every state stands for two; "up-down": first
            all orbitals with spin up, then all down; "alternating": up and down in turn.
        energy: What is zero afterwards, such as the Fermi energy, in eV.

    Raises:
        CaseError: A file is missing or damaged, the Hamiltonian is not Hermitian, or something that
            the files do not hold is needed and not given.
    """
    path = Path(hr)
    name = path.name.removesuffix("_hr.dat")
    if lattice is None:
        file = Path(win) if win is not None else path.with_name(f"{name}.win")
        if win is None and not file.is_file():
            text = f"{path.name} holds none: give win = the file NAME.win, or the vectors in Å"
            raise CaseError(("lattice", text))
        lattice = _read_lattice(file)
    vectors = np.asarray(lattice, dtype=float)
    if vectors.shape != (3, 3):
        raise CaseError(("lattice", f"found shape {vectors.shape}; expected three vectors"))
    cells, hoppings = _read_hr(path)
    size = hoppings.shape[-1]
    home = np.flatnonzero((cells == 0).all(axis=1))
    if not len(home):
        raise CaseError(("hr", f"{path}: no hopping within the cell at the origin"))
    hoppings[home[0]] -= energy * np.eye(size)
    file = Path(centres) if centres is not None else path.with_name(f"{name}_centres.xyz")
    positions = _read_centres(file, size) if centres is not None or file.is_file() else None
    return TightBinding(
        name=f"{name} (Wannier90)",
        lattice=vectors,
        vectors=cells @ vectors,
        hoppings=hoppings,
        operators=operators_of(
            orbitals, spin, size, sites=sites, centres=positions, lattice=vectors
        ),
        degeneracy=2 if spin == "none" else 1,
        centres=positions,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CaseError(f"{path}: {error.strerror or error}") from None


def _read_hr(path: Path) -> tuple[NDArray[np.integer], Array]:
    """Lattice vectors (number, 3) as integers and hopping matrices, divided by their multiplicity.

    Raises:
        CaseError: The file cannot be read, or is damaged.
    """
    lines = _text(path).split("\n", 3)
    try:
        size, count = int(lines[1]), int(lines[2])
        rows = -(-count // 15)
        head = lines[3].split("\n", rows)
        multiplicity = np.array(" ".join(head[:rows]).split(), dtype=float)
        table = np.fromstring(head[rows], sep=" ")
    except (IndexError, ValueError):
        raise CaseError(f"{path}: not a Wannier90 file of hoppings (NAME_hr.dat)") from None
    expected = 7 * count * size**2
    if len(multiplicity) != count or len(table) != expected or not np.isfinite(table).all():
        text = f"found {len(table)} numbers; {size} functions and {count} vectors need {expected}"
        raise CaseError(f"{path}: damaged or cut off: {text}")
    table = table.reshape(count, size**2, 7)
    cells = table[:, 0, :3].astype(int)
    if (table[:, :, :3] != cells[:, None]).any():
        raise CaseError(f"{path}: the hoppings of a lattice vector are not together")
    m, n = (table[:, :, column].astype(int) - 1 for column in (3, 4))
    if m.min() < 0 or n.min() < 0 or max(m.max(), n.max()) >= size:
        raise CaseError(f"{path}: numbers of functions outside 1 … {size}")
    hoppings = np.zeros((count, size, size), dtype=complex)
    values = table[:, :, 5] + 1j * table[:, :, 6]
    hoppings[np.arange(count)[:, None], m, n] = values / multiplicity[:, None]
    return cells, hoppings


def _read_lattice(path: Path) -> Floats:
    """Primitive vectors in Å from a `.win` file."""
    text = re.sub(r"[!#].*", "", _text(path))
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


def _read_centres(path: Path, size: int) -> Floats:
    """Positions of the Wannier functions in Å from `*_centres.xyz`."""
    lines = [line.split() for line in _text(path).splitlines()[2:]]
    try:
        found = [[float(v) for v in w[1:4]] for w in lines if w and w[0] == "X"]
    except ValueError:
        raise CaseError(f"{path}: not a file of Wannier centres") from None
    if len(found) != size:
        raise CaseError(f"{path}: {len(found)} centres for {size} Wannier functions")
    return np.array(found)
