"""Reports without solving: a case, a mesh, a material, the environment."""

from __future__ import annotations

import os
import platform
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from math import inf, isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.boundary import Contact, Periodic
from meso.errors import CaseError, known
from meso.materials.material import Material, conductivity_unit
from meso.materials.profile import Profile
from meso.materials.published import library_names, load_library, load_material_file

if TYPE_CHECKING:
    from meso.case import Case
    from meso.device import Device


def report(
    case: Case,
    *,
    trusted: bool = False,
    many_cells: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> str:
    """Check a case against its drawing; a text with regions, boundaries, mesh and warnings."""
    from meso.discrete.sampling import check_places
    from meso.evidence.resolution import doubts, knudsen_number, warnings
    from meso.results.running import build_device, located

    with located(case):
        device = build_device(case, trusted=trusted, many_cells=many_cells, progress=progress)
    materials = case.region_materials
    lines = [f"{case.file or case.title}: model {case.flow.model}, order {device.order}", ""]
    lines += _regions(device, materials)
    lines += _boundaries(case, device, materials)
    knudsen = knudsen_number(device, materials, case.boundaries)
    if knudsen is not None:
        lines.append(f"  Knudsen number {knudsen:.3g}")
    found = [*case.warnings, *doubts(device, case.boundaries), *check_places(device, case.output)]
    if case.flow.viscous:
        found += warnings(device, materials, case.boundaries, kinetic=case.flow.kinetic)
    if case.angular_momentum:
        from meso.angular_momentum.lengths import lengths
        from meso.angular_momentum.problem import problem

        diffusion = problem(case, device)
        found += diffusion.warnings
        decay = ", ".join(f"{x * 1e9:.4g}" for x in lengths(diffusion.materials.values()))
        names = ", ".join(diffusion.components)
        what = f"decay lengths {decay} nm" if decay else "no decay length: nothing relaxes"
        lines.append(f"  angular momentum {names}: {what}")
    lines += ["", mesh_quality(device)]
    if case.flow.along:
        lines.append(_cost_of_wire(case, device))
    elif case.flow.kinetic:
        lines.append(_cost(case, device))
    lines += [f"  warning: {text}" for text in found] or ["  nothing wrong found"]
    return "\n".join(lines)


def _regions(device: Device, materials: Mapping[str, Material]) -> list[str]:
    from meso.discrete.coefficients import extremes

    lines = []
    for region, material in materials.items():
        own = {region: material}
        conductivity = _range(*extremes(device, own, lambda m: m.conductivity))
        unit = conductivity_unit(material.carriers)
        line = f"  region    {region:<14} {material.name}: conductivity {conductivity} {unit}"
        if material.viscous:
            length = extremes(device, own, lambda m: m.vorticity_diffusion_length * 1e9)
            line += f", l = {_range(*length)} nm"
        lines.append(line)
    return lines


def _boundaries(case: Case, device: Device, materials: Mapping[str, Material]) -> list[str]:
    from meso.discrete.coefficients import extremes
    from meso.evidence.resolution import wall_resolution

    viscous = case.flow.viscous
    resolution = wall_resolution(device, materials, case.boundaries) if viscous else {}
    ampere = case.current_unit(device.dimension)
    lines = []
    for name, law in case.boundaries.items():
        if isinstance(law, Contact):
            what = f"contact with current {law.current or 0:.6g} {ampere}"
            if law.potential is not None:
                what = f"contact at {law.potential:.6g} V"
        elif isinstance(law, Periodic):
            drive = f"{law.voltage:.6g} V"
            if law.current is not None:
                drive = f"current {law.current:.6g} {ampere}"
            what = f"periodic, continues in {law.to}, with {drive}"
        else:
            what = "wall"
            low, high = extremes(device, materials, law.slip_rate) if viscous else (0.0, inf)
            if high == 0:
                what += ", full slip"
            elif not isinf(high):
                what += f", slip length {_range(1e9 / high, 1e9 / low if low else inf)} nm"
        if name in resolution:
            what += f"; cells up to {resolution[name]:.2g} l high"
        lines.append(f"  boundary  {name:<14} {what}")
    return lines


def _cost(case: Case, device: Device) -> str:
    """What the solution takes, with most harmonics; "auto" says what it is for a number of them."""
    from meso.evidence.convergence import FIRST, MOST
    from meso.flow.cost import cost
    from meso.flow.kinetic import Kinetic

    auto, order = case.flow.harmonics == "auto", case.flow.degree_on(device)
    numbers = (FIRST, 4 * FIRST, MOST[device.dimension]) if auto else (case.flow.harmonics,)
    lines = []
    for number in map(int, numbers):
        model = Kinetic(
            device,
            materials=case.region_materials,
            boundaries=case.boundaries,
            harmonics=number,
            order=order,
            magnetic_field=case.flow.magnetic_field,
            magnetic_direction=case.flow.magnetic_direction,
            thickness=case.geometry.thickness,
            solver=case.flow.solver,
        )
        lines.append(f"{number} harmonics of degree {order}: {cost(model)}")
    if auto:
        lines.append('"auto" takes as few of these as flow.tolerance wants')
    return "  solution  " + "\n            ".join(lines)


def _cost_of_wire(case: Case, device: Device) -> str:
    """What J_z takes, with most harmonics, and whether free flights give it."""
    from meso.evidence.wires import BOUNDING, FIRST, LAST
    from meso.flow.cost import cost_of_wire
    from meso.flow.flights import uniform
    from meso.flow.wire import Wire

    materials = case.region_materials
    numbers: tuple[Any, ...] = (case.flow.harmonics,)
    free = case.flow.kinetic and uniform(device, materials) is not None
    if case.flow.harmonics == "auto":
        numbers = (BOUNDING,) if free else (FIRST, 4 * FIRST, LAST)
    lines = []
    for number in numbers if case.flow.kinetic else (None,):
        model = Wire(
            device,
            materials=materials,
            boundaries=case.boundaries,
            harmonics=None if number is None else int(number),
            order=case.flow.degree_on(device),
        )
        what = "J_z" if number is None else f"{number} harmonics"
        lines.append(f"{what} of degree {model.order}: {cost_of_wire(model)}")
    if free:
        lines.append("these are for bounds; current and moments are those of free flights")
    elif case.flow.harmonics == "auto":
        lines.append('"auto" takes as few of these as flow.tolerance wants')
    return "  solution  " + "\n            ".join(lines)


def _range(low: float, high: float) -> str:
    first, last = f"{low:.6g}", f"{high:.6g}"
    return first if first == last else f"{first} … {last}"


def mesh_quality(device: Device) -> str:
    """Cells, sizes, smallest angle and distortion of curved cells."""
    from meso.discrete.cells import cells_of
    from meso.mpi import smallest

    cells = cells_of(device)
    # Gradients of the barycentric coordinates are normal to the facets.
    inverses, _ = cells.derivatives(np.arange(cells.count))
    normal = np.concatenate([-inverses.sum(axis=1, keepdims=True), inverses], axis=1)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    first, second = np.triu_indices(normal.shape[1], 1)
    cosine = -(normal[:, first] * normal[:, second]).sum(axis=2)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    angle = smallest(device.comm, np.min(angles, initial=180.0))
    points, _ = cells.quadrature(2 * cells.degree + 2)
    determinant = cells.determinants(np.arange(cells.count), points)
    ratio = (determinant.min(axis=1) / determinant.max(axis=1)).min(initial=1.0)
    ratio = smallest(device.comm, ratio)
    what, unit, kind = (
        ("area", "nm²", "") if device.dimension == 2 else ("volume", "nm³", "dihedral ")
    )
    return (
        f"  mesh      {device.cells} cells of degree {cells.degree}, shortest edge"
        f" {device.smallest_cell * 1e9:.4g} nm, smallest {kind}angle {angle:.1f}°,\n"
        f"            smallest ratio of Jacobians in a cell {ratio:.3g}, {what}"
        f" {device.measure * 1e9**device.dimension:.6g} {unit}"
    )


def mesh_names(device: Device) -> str:
    """Regions, boundaries, interfaces and data of a mesh: what a case file may name."""
    from meso.mpi import total

    cells = total(device.comm, np.bincount(device.cell_region, minlength=len(device.regions)))
    count = len(device.boundaries)
    facets = total(device.comm, np.bincount(device.facets.boundary, minlength=count))
    lines = [
        f"  region    {name:<14} {number} cells"
        for name, number in zip(device.regions, np.atleast_1d(cells), strict=True)
    ]
    what, power = ("edges", "nm") if device.dimension == 2 else ("facets", "nm²")
    for name, number in zip(device.boundaries, np.atleast_1d(facets), strict=True):
        measure = sum(p.measure for p in device.pieces if p.boundary == name)
        measure *= 1e9 ** (device.dimension - 1)
        lines.append(f"  boundary  {name:<14} {number} {what}, {measure:.6g} {power}")
    lines += [f"  interface {name}" for name in device.interfaces]
    lines += [f"  cell data {name}" for name in device.cell_data]
    return "\n".join(lines)


#: Where people find what the library does not have.
_ELSEWHERE = {
    "mean_free_path": (
        "D. Gall, J. Appl. Phys. 119, 085101 (2016) has those of the twenty best conducting",
        "elements, and how to compute others: of a metal, λ times its resistivity ρ depends on the",
        "Fermi surface only. Or measure ρ of films of several thicknesses d: for λ < d it is",
        "ρ (1 + 3 λ (1 - p) / (8 d)) with the specularity p (Fuchs and Sondheimer). A case has it",
        'as mean_free_path = "…"; or vorticity_diffusion_length = "…", if that is what is known',
    )
}


def material_report(name: str | None, quantities: Sequence[str] = ()) -> str:
    """A material of the library, or all materials of a case, with what follows and sources.

    The name is one in the library or the path of a case or material file; without one the library
    is listed: the names, or what it has of some quantities.
    """
    if name is None:
        return _library(quantities) if quantities else "library: " + ", ".join(library_names())
    if name.endswith(".toml") and not _is_material_file(Path(name)):
        from meso.case import Case

        return "\n\n".join(_material(m) for m in Case.load(Path(name)).materials.values())
    found = load_material_file(Path(name)) if name.endswith(".toml") else load_library(name)
    lines = [f'{name} (carriers = "{found.carriers}")']
    for quantity, values in found.entries.items():
        for entry in values:
            method = f", {entry.method}" if entry.method else ""
            value = entry.value
            shown = _number(value["tensor"], value["unit"]) if isinstance(value, dict) else value
            lines.append(f"  {quantity:<34} {shown}{method}\n      {entry.source}")
    lines += [f"  scattering.{key:<23} {rate:g}" for key, rate in found.scattering.items()]
    return "\n".join(lines)


def _library(quantities: Sequence[str]) -> str:
    """Materials of the library that have some quantities: each value with its source."""
    entries = {name: load_library(name).entries for name in library_names()}
    names = sorted({quantity for found in entries.values() for quantity in found})
    lines = []
    for quantity in quantities:
        if quantity not in names:
            raise CaseError(("--with", f'no "{quantity}" in the library; {known(quantity, names)}'))
        lines.append(quantity)
        for name in [name for name, found in entries.items() if set(quantities) <= found.keys()]:
            for entry in entries[name][quantity]:
                lines += [f"  {name:<4}{entry.value}, {entry.method}", f"      {entry.source}"]
        if without := [name for name, found in entries.items() if quantity not in found]:
            lines.append(f"  not known: {', '.join(without)}")
        lines += [f"      {line}" for line in _ELSEWHERE.get(quantity, ())]
    return "\n".join(lines)


def unknown_of(name: str) -> list[str]:
    """What the library does not have of a material, and people look for."""
    return [q for q in _ELSEWHERE if q not in load_library(name).entries]


def _is_material_file(path: Path) -> bool:
    """Whether a file is one of a material and not a case: its carriers are at the top."""
    try:
        return "carriers" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False


def _material(material: Material) -> str:
    units = {
        "conductivity": conductivity_unit(material.carriers),
        "mean_free_path": "m",
        "electron_electron_mean_free_path": "m",
        "fermi_energy": "J",
        "vorticity_diffusion_length": "m",
        "orbital_coupling": "J s/A",
        "spin_coupling": "J s/A",
    }
    if material.spin_coupling is None:
        del units["spin_coupling"]  # hardly ever known
    rows = [(quantity, getattr(material, quantity), unit) for quantity, unit in units.items()]
    varying = isinstance(material.mean_free_path, Profile)
    if material.mean_free_path and not varying:
        rows.append(("slip_length_of_diffuse_walls", 1 / material.slip_rate(0.0), "m"))
    lines = [f'{material.name} (carriers = "{material.carriers}")']
    for quantity, value, unit in rows:
        if value is None:
            follows = quantity == "vorticity_diffusion_length" and varying
            shown = "varies with mean_free_path" if follows else "unknown"
        else:
            shown = f"{value} {unit}" if isinstance(value, Profile) else _number(value, unit)
        source = material.provenance.get(quantity, "")
        lines.append(f"  {quantity:<34} {shown:<22} {source}".rstrip())
    return "\n".join(lines)


def _number(value: Any, unit: str) -> str:
    """A number, or what of a tensor fits into a line."""
    if not np.ndim(value):
        return f"{value:.6g} {unit}"
    return f"tensor {' × '.join(map(str, np.shape(value)))}, up to {np.abs(value).max():.6g} {unit}"


def environment() -> str:
    """Versions and configuration for a bug report."""
    from petsc4py import PETSc

    from meso.results.summary import versions

    lines = [f"{name:<10} {version}" for name, version in versions().items()]
    external = [p for p in ("mumps", "hypre", "adios2") if PETSc.Sys.hasExternalPackage(p)]
    lines += [
        f"{'packages':<10} {', '.join(external)} (PETSc)",
        f"{'scalar':<10} {np.dtype(PETSc.ScalarType).name}",
        f"{'platform':<10} {platform.platform()}, {os.cpu_count()} cores",
        f"{'threads':<10} OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}",
        f"{'python':<10} {sys.executable}",
    ]
    return "\n".join(lines)
