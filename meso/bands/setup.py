"""What the response functions share: meshes from numbers, options, and what reports say."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from meso.bands.kmesh import Mesh, fermi_lines, plane, uniform, with_coarse
from meso.bands.model import Model, check_hermitian
from meso.errors import CaseError, known

_OPTIONS = ("symmetry", "processes", "comm", "progress", "batch", "error")


def positive(key: str, value: float) -> float:
    """Check a positive finite number.

    Raises:
        CaseError: It is not.
    """
    if not (isinstance(value, int | float | np.number) and isfinite(value) and value > 0):
        raise CaseError((key, f"found {value!r}; must be positive and finite"))
    return float(value)


def mesh_for(
    model: Model,
    kmesh: int | Mesh,
    options: dict[str, Any],
    *,
    energy: float,
    surface: bool = False,
    generic: bool = False,
) -> tuple[Mesh, dict[str, Any]]:
    """The mesh of a calculation and what remains of the options.

    Args:
        model: The model.
        kmesh: A mesh, or the number of points (rays, for a model without lattice).
        options: `symmetry`, `error` (False: do not estimate it from half as many points), and
            those of the engine.
        energy: The Fermi energy in eV.
        surface: Whether only the Fermi line matters.
        generic: Whether a grid has to miss lines of symmetry, see `uniform`.

    Raises:
        CaseError: Unknown options, energy outside the bands, or a Hamiltonian that is not
            Hermitian.
    """
    unknown = [key for key in options if key not in _OPTIONS]
    if unknown:
        raise CaseError((unknown[0], f"unknown option; {known(unknown[0], _OPTIONS)}"))
    options = dict(options)
    symmetry = options.pop("symmetry", "auto")
    with_error = options.pop("error", True)
    if not isfinite(energy):
        raise CaseError(("energy", f"found {energy!r}; must be finite"))
    probe = model.hamiltonian(np.full((1, model.dimension), 0.1234))
    check_hermitian(probe, f"{model.name}.hamiltonian")
    if isinstance(kmesh, Mesh):
        return kmesh, options

    def make(n: int) -> Mesh:
        if model.lattice is not None:
            return uniform(model, n, symmetry=symmetry, generic=generic)
        return fermi_lines(model, energy, n) if surface else plane(model, energy, n)

    mesh = make(kmesh)
    if with_error:
        half = kmesh // 2
        mesh = with_coarse(mesh, make(max(half + half % 2, 2)))
    if model.lattice is not None:
        _check_energy(model, mesh, energy)
    return mesh, options


def _check_energy(model: Model, mesh: Mesh, energy: float) -> None:
    """Refuse an energy outside all bands."""
    step = max(1, len(mesh.points) // 512)
    levels = np.linalg.eigvalsh(model.hamiltonian(mesh.points[::step]))
    low, high = levels.min(), levels.max()
    margin = 0.02 * (high - low)
    if not low - margin <= energy <= high + margin:
        text = f"found {energy:g} eV, outside the bands of {model.name}: {low:.4g} … {high:.4g} eV"
        raise CaseError(("energy", text))


def describe(model: Model, mesh: Mesh | str, **items: Any) -> dict[str, Any]:
    """Provenance of a result; entries that are None are left out."""
    grid = mesh if isinstance(mesh, str) else mesh.label
    found = {"model": model.name, **items, "grid": grid}
    if isinstance(mesh, Mesh) and mesh.coarse is not None:
        found["error from"] = mesh.coarse.label
    return {key: value for key, value in found.items() if value is not None}
