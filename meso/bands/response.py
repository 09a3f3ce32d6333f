"""What all responses share: mesh, energy, sums with errors, and what reports say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import Integrand, Unseen, adaptive, integrate
from meso.bands.geometry import Electrons
from meso.bands.kmesh import Mesh, fermi_lines, plane, uniform
from meso.bands.model import Model, check_hermitian, check_positive
from meso.bands.symmetry import average
from meso.errors import CaseError, known

_OPTIONS = ("symmetry", "processes", "comm", "progress", "batch", "error")


def check_choice(key: str, found: str, names: Sequence[str]) -> None:
    """Refuse a name that is not known."""
    if found not in names:
        raise CaseError((key, f'found "{found}"; {known(found, names)}'))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """Integrals over k, averaged over the symmetry of the mesh, their errors, and where from."""

    values: tuple[NDArray, ...]
    errors: tuple[NDArray, ...] | None
    electrons: Electrons
    mesh: Mesh
    grid: Mapping[str, str]

    def provenance(self, method: str, reference: str | None = None, **more: Any) -> dict[str, Any]:
        """Where a result comes from; entries that are None are left out."""
        smeared = None if self.mesh.on_fermi_surface else self.electrons.temperature
        found = {
            "model": self.electrons.model.name,
            "method": method,
            "reference": reference,
            **({"energy_eV": self.electrons.energy, "temperature_eV": smeared} | more),
            **self.grid,
        }
        return {key: value for key, value in found.items() if value is not None}


def respond(
    electrons: Electrons,
    integrand: Integrand,
    kmesh: int | Mesh,
    *,
    axes: Sequence[str],
    surface: bool = False,
    generic: bool = False,
    tolerance: float | None = None,
    unseen: Unseen | None = None,
    **options: Any,
) -> Sums:
    """Integrate over k, on a mesh or with as many points (rays, for a model without lattice).

    `axes` are the kinds of the last axes of each value of the integrand, see `average`. What
    matters only at the Fermi surface has `surface`; a `generic` grid misses lines of symmetry, see
    `uniform`; a relative `tolerance` refines k adaptively instead of a grid, see `adaptive` for
    `unseen`. Options are `symmetry`, `error` (False: do not estimate it), and those of `integrate`.

    Raises:
        CaseError: Unknown options, energy outside the bands, or a Hamiltonian that is not
            Hermitian.
        ConvergenceError: The tolerance was not reached.
    """
    line = kmesh.on_fermi_surface if isinstance(kmesh, Mesh) else electrons.model.lattice is None
    if electrons.temperature != 0 or (surface and not line):
        check_positive(temperature=electrons.temperature)
    errors = None
    if tolerance is None:
        mesh = mesh_for(electrons, kmesh, options, surface=surface, generic=generic)
        values, errors, grid = _on_grid(electrons, mesh, integrand, axes, options)
    else:
        check_positive(tolerance=tolerance)
        mesh = mesh_for(electrons, 8, options, surface=surface)
        how = {key: options[key] for key in ("processes", "progress") if key in options}
        symmetry = None if mesh.group is None else (mesh.group, axes)
        values, errors, text = adaptive(
            electrons,
            integrand,
            tolerance=tolerance,
            symmetry=symmetry,
            unseen=unseen,
            **how,
        )
        values = tuple(average(v, mesh.group, a) for v, a in zip(values, axes, strict=True))
        grid = {"grid": text}
    return Sums(values=values, errors=errors, electrons=electrons, mesh=mesh, grid=grid)


def _on_grid(
    electrons: Electrons,
    mesh: Mesh,
    integrand: Integrand,
    axes: Sequence[str],
    options: Mapping[str, Any],
) -> tuple[tuple[NDArray, ...], tuple[NDArray, ...] | None, dict[str, str]]:
    """Integrals on a mesh, averaged, with their errors and what a report says of the mesh.

    The error is how far the farthest other answer is that the same work could have given: each of
    the interleaved grids of every other point, and the coarse mesh. It is not divided by the root
    of their number, as for independent values with a variance: near a crossing of bands an
    integrand goes as 1/q², and a distribution with P(> x) ∝ x^(−3/2) has none.
    """
    how = {key: value for key, value in options.items() if key not in ("symmetry", "error")}

    def on(mesh: Mesh) -> list[NDArray]:
        """By interleaved grid."""
        found = integrate(electrons, mesh, integrand, **how)
        each = found if mesh.parts is not None else [value[None] for value in found]
        return [average(v, mesh.group, a) for v, a in zip(each, axes, strict=True)]

    parts, grid = on(mesh), {"grid": mesh.label}
    values = tuple(part.sum(axis=0) for part in parts)
    share = np.ones(1) if mesh.parts is None else np.bincount(mesh.parts) / len(mesh.points)
    others = [(part.T / share).T for part in parts]
    if mesh.coarse is not None:
        how["progress"] = None
        rough = on(mesh.coarse)
        others = [
            np.concatenate([a, b.sum(axis=0)[None]]) for a, b in zip(others, rough, strict=True)
        ]
        grid["error from"] = mesh.coarse.label
    if not options.get("error", True) or (mesh.parts is None and mesh.coarse is None):
        return values, None, grid
    if mesh.parts is not None:
        interleaved = f"{len(parts[0])} interleaved grids"
        grid["error from"] = "; ".join([interleaved, *filter(None, [grid.get("error from")])])
    errors = tuple(np.abs(o - v).max(axis=0) for o, v in zip(others, values, strict=True))
    return values, errors, grid


def mesh_for(
    electrons: Electrons,
    kmesh: int | Mesh,
    options: dict[str, Any],
    *,
    surface: bool = False,
    generic: bool = False,
) -> Mesh:
    """The mesh of a calculation, after a look at what it is for; as for `respond`."""
    unknown = [key for key in options if key not in _OPTIONS]
    if unknown:
        raise CaseError((unknown[0], f"unknown option; {known(unknown[0], _OPTIONS)}"))
    model, energy = electrons.model, electrons.energy
    if not isfinite(energy):
        raise CaseError(("energy", f"found {energy!r}; must be finite"))
    probe = model.hamiltonian(np.full((1, model.dimension), 0.1234))
    check_hermitian(probe, f"{model.name}.hamiltonian")
    if isinstance(kmesh, Mesh):
        return kmesh

    def make(n: int) -> Mesh:
        if model.lattice is not None:
            symmetry = options.get("symmetry", "auto")
            return uniform(model, n, symmetry=symmetry, generic=generic)
        return fermi_lines(model, energy, n) if surface else plane(model, energy, n)

    mesh = make(kmesh)
    if options.get("error", True):
        half = kmesh // 2
        mesh = replace(mesh, coarse=make(max(half + half % 2, 2)))
    if model.lattice is not None:
        _check_energy(model, mesh, energy)
    return mesh


def _check_energy(model: Model, mesh: Mesh, energy: float) -> None:
    """Refuse an energy outside all bands."""
    step = max(1, len(mesh.points) // 512)
    levels = np.linalg.eigvalsh(model.hamiltonian(mesh.points[::step]))
    low, high = levels.min(), levels.max()
    margin = 0.02 * (high - low)
    if not low - margin <= energy <= high + margin:
        text = f"found {energy:g} eV, outside the bands of {model.name}: {low:.4g} … {high:.4g} eV"
        raise CaseError(("energy", text))
