"""Models from Wannier90 files, see `wannier_files` for what is in which.

What the functions are, and how spin is ordered, no file says reliably: only the user knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from meso.bands.model import Floats, TightBinding
from meso.bands.orbitals import Spin, operators_of
from meso.bands.wannier_files import (
    Hoppings,
    both_spins,
    has_spinors,
    read_centres,
    read_hoppings,
    read_lattice,
    share_among_images,
)
from meso.errors import CaseError

_ENDS = ("_tb.dat", "_hr.dat")
#: In eV. Rounding in the files and wannierisation break symmetries: without it pairs of levels that
#: should be degenerate (Kramers) would be bands of their own, with a huge curvature.
_RESOLUTION = 1e-3


def Wannier90(  # a model is a thing, even if a function builds it
    seedname: str | Path | Sequence[str | Path],
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
        seedname: NAME with its folder: of NAME_tb.dat, or NAME_hr.dat where that is not there; or
            one of these files. Two of a spin-polarised calculation: up, down. If NAME_wsvec.dat is
            beside it, hoppings are shared by the images that it lists.
        win: The file with the lattice; None looks for `NAME.win` beside it. Not needed with
            NAME_tb.dat.
        centres: The file with the positions of the Wannier functions; None takes those of
            NAME_tb.dat, or looks for `NAME_centres.xyz`. Without any all positions are taken to be
            the same.
        lattice: Primitive vectors as rows in Å, instead of these.
        orbitals: Character of each Wannier function ("s", "px", "dz2", … or "-"), without spin;
            None: no operator L.
        sites: Number of the atom of each; None: by their positions.
        spin: "none": there is no spin in the files and every state stands for two; "up-down": first
            all orbitals with spin up, then all down; "alternating": up and down in turn, as
            Wannier90 has spinors since version 2.
        energy: What is zero afterwards, such as the Fermi energy, in eV.

    Returns:
        The model. Levels within 1 meV are degenerate: `resolution`, which `dataclasses.replace`
        changes.

    Raises:
        CaseError: A file is missing or damaged, the Hamiltonian is not Hermitian, or something that
            the files do not hold is needed and not given.
    """
    names = [seedname] if isinstance(seedname, str | Path) else seedname
    paths = [_file(Path(name)) for name in names]
    if len(paths) not in (1, 2):
        raise CaseError(("seedname", f"found {len(paths)}; expected one, or two: spin up, down"))
    if len(paths) == 2 and spin == "alternating":
        raise CaseError(("spin", 'found "alternating"; of two files one is up and one is down'))
    parts, origins = zip(*(_read(path, centres) for path in paths), strict=True)
    if len({part.size for part in parts}) > 1:
        sizes = " and ".join(str(part.size) for part in parts)
        raise CaseError(("seedname", f"{sizes} functions: both spins need the same ones"))
    found = parts[0] if len(parts) == 1 else both_spins(*parts)
    spin = "up-down" if len(parts) == 2 else spin
    vectors = _lattice(paths[0], found, win, lattice)
    _check_spinors(paths[0], win, spin)
    home = np.flatnonzero((found.cells == 0).all(axis=1))
    if not len(home):
        raise CaseError(("seedname", f"{paths[0]}: no hopping within the cell at the origin"))
    found.matrices[home[0]] -= energy * np.eye(found.size)
    return TightBinding(
        name=f"{' and '.join(map(_name, paths))} (Wannier90: {', '.join(origins)})",
        lattice=vectors,
        vectors=found.cells @ vectors,
        hoppings=found.matrices,
        operators=operators_of(
            orbitals, spin, found.size, sites=sites, centres=found.centres, lattice=vectors
        ),
        degeneracy=2 if spin == "none" else 1,
        centres=found.centres,
        resolution=_RESOLUTION,
    )


def _file(path: Path) -> Path:
    """The file of a seedname; what is one already stays."""
    if path.name.endswith(_ENDS) or path.is_file():
        return path
    files = [path.with_name(path.name + end) for end in _ENDS]
    there = next((file for file in files if file.is_file()), None)
    if there is None:
        text = f"found {str(path)!r}; no file {files[0].name} or {files[1].name} in {path.parent}"
        raise CaseError(("seedname", text))
    return there


def _name(path: Path) -> str:
    return path.name.removesuffix(_ENDS[0]).removesuffix(_ENDS[1])


def _beside(path: Path, end: str) -> Path | None:
    """Another file of the same seedname, if it is there."""
    file = path.with_name(_name(path) + end)
    return file if file.is_file() else None


def _read(path: Path, centres: str | Path | None) -> tuple[Hoppings, str]:
    """Hoppings on their images with positions, and from which files for the report."""
    found, origin = read_hoppings(path), path.name
    images = _beside(path, "_wsvec.dat")
    if images is not None:
        found, origin = share_among_images(found, images), f"{origin} and {images.name}"
    given = None if centres is None else Path(centres)
    if given is None and found.centres is None:
        given = _beside(path, "_centres.xyz")
    return replace(found, centres=read_centres(given, found.size)) if given else found, origin


def _lattice(
    path: Path,
    found: Hoppings,
    win: str | Path | None,
    lattice: Floats | Sequence[Sequence[float]] | None,
) -> Floats:
    """Primitive vectors: those given, or of a file given, or of the file of hoppings, or of win."""
    if lattice is None and win is None and found.lattice is not None:
        return found.lattice
    if lattice is None:
        file = _beside(path, ".win") if win is None else Path(win)
        if file is None:
            text = f"{path.name} holds none: give win = the file NAME.win, or the vectors in Å"
            raise CaseError(("lattice", text))
        lattice = read_lattice(file)
    vectors = np.asarray(lattice, dtype=float)
    if vectors.shape != (3, 3):
        raise CaseError(("lattice", f"found shape {vectors.shape}; expected three vectors"))
    return vectors


def _check_spinors(path: Path, win: str | Path | None, spin: Spin) -> None:
    """Refuse to take spinors for states without spin, which would stand for two each."""
    file = _beside(path, ".win") if win is None else Path(win)
    if file is not None and spin == "none" and has_spinors(file):
        text = (
            f'"none" but {file.name} has spinors = true: "alternating" (Wannier90 2 and later with'
            ' Quantum ESPRESSO or VASP 6.2), or "up-down" (older)'
        )
        raise CaseError(("spin", text))
