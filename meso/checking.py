"""Reports without solving: a case, a mesh, a material, the environment."""

from __future__ import annotations

import os
import platform
import sys
import tomllib
from math import inf, isinf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meso.boundary import Contact
from meso.errors import CaseError
from meso.material import Material, library_names, load_library, load_material_file

if TYPE_CHECKING:
    from meso.case import Case
    from meso.device import Device


def report(case: Case) -> str:
    """Check a case against its drawing and tell what the mesh resolves.

    Args:
        case: The case.

    Returns:
        A text: regions, boundaries, mesh, warnings.

    Raises:
        CaseError: Something is wrong.
        GeometryError: The drawing cannot be used.
    """
    from meso.running import build_device, knudsen_number, resolution_warnings, wall_resolution

    try:
        device = build_device(case)
    except CaseError as error:
        raise CaseError(*error.problems, file=error.file or str(case.file)) from None
    lines = [f"{case.file or case.title}: model {case.flow.model}, order {case.flow.order}", ""]
    for region, name in case.regions.items():
        material = case.materials[name]
        length = material.vorticity_diffusion_length
        lines.append(
            f"  region    {region:<14} {name}: conductivity {material.conductivity:.6g}"
            f" {'S' if material.carriers == '2d' else 'S/m'}"
            + (f", l = {length * 1e9:.6g} nm" if length else "")
        )
    resolution = wall_resolution(case, device) if case.flow.model != "ohmic" else {}
    for name, law in case.boundaries.items():
        if isinstance(law, Contact):
            what = (
                f"contact at {law.potential:.6g} V"
                if law.potential is not None
                else f"contact with current {law.current:.6g}"
            )
        else:
            slip = (
                [law.slip_rate(case.materials[m]) for m in case.regions.values()]
                if (case.flow.model != "ohmic")
                else [inf]
            )
            what = (
                "wall"
                if isinf(slip[0])
                else (f"wall, slip length {1e9 / slip[0]:.6g} nm" if slip[0] else "wall, full slip")
            )
            if name in resolution:
                what += f"; cells up to {resolution[name]:.2g} l high"
        lines.append(f"  boundary  {name:<14} {what}")
    knudsen = knudsen_number(case, device)
    if knudsen is not None:
        lines.append(f"  Knudsen number {knudsen:.3g}")
    lines += ["", mesh_quality(device)]
    warnings = (*case.warnings, *resolution_warnings(case, device))
    lines += [f"  warning: {text}" for text in warnings]
    lines.append("  nothing wrong found" if not warnings else "")
    return "\n".join(lines).rstrip()


def mesh_quality(device: Device) -> str:
    """Cells, sizes, smallest angle and distortion of curved cells."""
    from meso.cells import cells_of, inverse, quadrature
    from meso.mpi import smallest

    cells = cells_of(device)
    corner = cells.nodes[:, :3]
    angles = []
    for i in range(3):
        u, v = corner[:, (i + 1) % 3] - corner[:, i], corner[:, (i + 2) % 3] - corner[:, i]
        cosine = (u * v).sum(1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1))
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    angle = smallest(device.comm, np.min(angles, initial=180.0))
    points, _ = quadrature(2 * cells.degree + 2)
    _, determinant = inverse(cells.jacobians(np.arange(cells.count), points))
    ratio = (determinant.min(axis=1) / determinant.max(axis=1)).min(initial=1.0)
    ratio = smallest(device.comm, ratio)
    return (
        f"  mesh      {device.cells} cells of degree {cells.degree}, shortest edge"
        f" {device.smallest_cell * 1e9:.4g} nm, smallest angle {angle:.1f}°,\n"
        f"            smallest ratio of Jacobians in a cell {ratio:.3g}, area"
        f" {device.measure * 1e18:.6g} nm²"
    )


def material_report(name: str | None) -> str:
    """A material of the library, or all materials of a case, with what follows and sources.

    Args:
        name: Name in the library, path of a case or material file, or None: list the library.

    Raises:
        CaseError: No such material.
    """
    if name is None:
        return "library: " + ", ".join(library_names())
    if name.endswith(".toml") and not _is_material_file(Path(name)):
        from meso.case import Case

        return "\n\n".join(_material(m) for m in Case.load(Path(name)).materials.values())
    if name.endswith(".toml"):
        carriers, entries, scattering = load_material_file(Path(name))
    else:
        scattering = {}
        carriers, entries = load_library(name)
    lines = [f'{name} (carriers = "{carriers}")']
    for quantity, values in entries.items():
        for entry in values:
            method = f", {entry.method}" if entry.method else ""
            lines.append(f"  {quantity:<34} {entry.value}{method}\n      {entry.source}")
    lines += [f"  scattering.{key:<23} {rate:g}" for key, rate in scattering.items()]
    return "\n".join(lines)


def _is_material_file(path: Path) -> bool:
    """Whether a file is one of a material and not a case: its carriers are at the top."""
    try:
        return "carriers" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False


def _material(material: Material) -> str:
    values = {
        "conductivity": (material.conductivity, "S" if material.carriers == "2d" else "S/m"),
        "mean_free_path": (material.mean_free_path, "m"),
        "electron_electron_mean_free_path": (material.electron_electron_mean_free_path, "m"),
        "fermi_energy": (material.fermi_energy, "J"),
        "vorticity_diffusion_length": (material.vorticity_diffusion_length, "m"),
        "orbital_coupling": (material.orbital_coupling, "J s/A"),
    }
    if material.mean_free_path:
        values["slip_length_of_diffuse_walls"] = (1 / material.slip_rate(0.0), "m")
    lines = [f'{material.name} (carriers = "{material.carriers}")']
    for quantity, (value, unit) in values.items():
        shown = "unknown" if value is None else f"{value:.6g} {unit}"
        source = material.provenance.get(quantity, "")
        lines.append(f"  {quantity:<34} {shown:<22} {source}".rstrip())
    return "\n".join(lines)


def environment() -> str:
    """Versions and configuration for a bug report."""
    from petsc4py import PETSc

    from meso.summary import versions

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
