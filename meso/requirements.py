"""What the kinetic model needs of materials and boundaries, and what is no part of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from meso.boundary import Wall
from meso.materials.material import Material

#: Largest specularity for which the kinetic model solves what it is asked, and has bounds.
SMOOTH = 1 - 2e-5


def kinetic_problems(
    materials: Mapping[str, Material], boundaries: Mapping[str, Any], magnetic_field: float
) -> Iterator[tuple[str, str]]:
    """What the kinetic model cannot do with materials and boundaries: keys and texts."""
    for region, material in materials.items():
        key = f"materials.{material.name or region}"
        if material.mean_free_path is None:
            yield f"{key}.mean_free_path", "missing; the kinetic model needs it"
            continue
        source = material.provenance.get("vorticity_diffusion_length", "")
        if material.vorticity_diffusion_length is not None and not source.startswith("derived"):
            text = "has no effect in the kinetic model, where the scattering decides; remove it"
            yield f"{key}.vorticity_diffusion_length", text
        constant = "needs regions with one value each in the kinetic model"
        if "mean_free_path" in material.profiles:
            if material.electron_electron_mean_free_path != float("inf"):
                text = f"varies in space: with electron_electron_mean_free_path it {constant}"
                yield f"{key}.mean_free_path", text
            if magnetic_field:
                text = f"varies in space: with a magnetic field it {constant}"
                yield f"{key}.mean_free_path", text
        if magnetic_field and material.fermi_wavevector is None:
            text = 'missing; a magnetic field needs it, e.g. "1.4e8 1/m" (sqrt(2 pi n))'
            yield f"{key}.fermi_wavevector", text
    yield from line_problems(materials)
    for name, law in boundaries.items():
        if not isinstance(law, Wall):
            continue
        if law.slip_length is not None and law.slip_length != float("inf"):
            text = "the walls of the kinetic model have a specularity, not a slip length"
            yield f"boundaries.{name}.wall.slip_length", text
        if law.law != "traction":
            text = f'found "{law.law}"; it is a variant of the hydrodynamic model only'
            yield f"boundaries.{name}.wall.law", text


def wire_problems(
    dimension: int,
    materials: Mapping[str, Material],
    boundaries: Mapping[str, Any],
    harmonics: int | None,
) -> Iterator[tuple[str, str]]:
    """What a wire along its axis cannot have: keys and texts; ``harmonics`` None: hydrodynamic."""
    if dimension != 2:
        yield "flow.along", "needs a 2D mesh, the section of the wire, but the mesh is 3D"
    for name, law in boundaries.items():
        if not isinstance(law, Wall):
            kind = type(law).__name__.lower()
            text = (
                f"found a {kind}; the current flows along z, all boundaries of a section are walls"
            )
            yield f"boundaries.{name}.{kind}", text
    for region, material in materials.items():
        key = f"materials.{material.name or region}"
        if material.carriers != "3d":
            text = f'found "{material.carriers}"; the current along z needs carriers = "3d"'
            yield f"{key}.carriers", text
    if harmonics is None:
        yield from hydrodynamic_problems(materials)
        return
    if harmonics < 2 or harmonics % 2:
        yield "flow.harmonics", f"found {harmonics}; must be an even number from 2"
    yield from kinetic_problems(materials, boundaries, 0.0)


def line_problems(materials: Mapping[str, Material]) -> Iterator[tuple[str, str]]:
    """What the kinetic model cannot do with Fermi lines: keys and texts."""
    lines = {m.name or region: m.contour for region, m in materials.items()}
    first = next(iter(lines), "")
    for name, line in lines.items():
        if line != lines[first]:
            text = f'the line, or its orientation, is another one than that of "{first}"'
            yield f"materials.{name}.fermi_line", f"{text}: all regions must have the same"


def hydrodynamic_problems(materials: Mapping[str, Material]) -> Iterator[tuple[str, str]]:
    """What the hydrodynamic model cannot do with materials: keys and texts."""
    for region, material in materials.items():
        if material.fermi_line is not None:
            text = (
                "viscosity and slip are tensors of this Fermi line, which the hydrodynamic model"
                ' has not; flow.model = "kinetic" with flow.harmonics = 2 is this limit'
            )
            yield f"materials.{material.name or region}.fermi_line", text


def particle_problems(
    materials: Mapping[str, Material], boundaries: Mapping[str, Any], magnetic_field: float
) -> Iterator[tuple[str, str]]:
    """What particles cannot do: keys and texts."""
    wrong = list(kinetic_problems(materials, boundaries, magnetic_field))
    for region, material in materials.items():
        key = f"materials.{material.name or region}"
        for name in material.profiles:
            text = 'varies in space: particles need one value in each region; or model = "kinetic"'
            wrong.append((f"{key}.{name}", text))
    yield from wrong
    if wrong:
        return
    for region, material in materials.items():
        key = f"materials.{material.name or region}"
        least, angle = rarest(material.collisions()[1])
        if least < -1e-9:
            colliding = material.electron_electron_mean_free_path != float("inf")
            what = "electron_electron_mean_free_path" if colliding else "scattering"
            text = (
                f"the rate of collisions that turn a carrier by {angle:.0f} degrees would be"
                f" negative ({least:.2g} of the mean): no particle can follow it"
            )
            yield f"{key}.{what}", f'{text}. Use flow.model = "kinetic"'
    ratios = {
        region: float(m.conductivity / m.mean_free_path)  # type: ignore[operator]
        for region, m in materials.items()
    }
    first, *others = ratios
    for region in others:
        if abs(ratios[region] / ratios[first] - 1) > 1e-6:
            text = (
                f"conductivity/mean_free_path is {ratios[region]:.6g} S/m, that of region"
                f" '{first}' {ratios[first]:.6g} S/m: particles pass interfaces where both"
                " materials have the same Fermi line"
            )
            yield f"regions.{region}", f'{text}. Use flow.model = "kinetic"'


def rarest(series: tuple[float, ...]) -> tuple[float, float]:
    """Smallest value of sum over m of series[m] cos(m angle), and the angle in degrees."""
    angles = np.linspace(0, np.pi, 64 * len(series) + 1)
    values = np.array(series) @ np.cos(np.arange(len(series))[:, None] * angles)
    at = int(values.argmin())
    return float(values[at]), float(np.degrees(angles[at]))


def magnetic_problems(materials: Mapping[str, Material]) -> Iterator[tuple[str, str]]:
    """What hydrodynamic flow cannot do in a magnetic field: keys and texts."""
    for region, material in materials.items():
        key = f"materials.{material.name or region}"
        if material.mean_free_path is None:
            yield f"{key}.mean_free_path", "missing; a magnetic field needs it"
        if material.fermi_wavevector is None:
            text = 'missing; a magnetic field needs it, e.g. "1.4e8 1/m" (sqrt(2 pi n))'
            yield f"{key}.fermi_wavevector", text


def bounds_problems(
    boundaries: Mapping[str, Any], magnetic_field: float
) -> Iterator[tuple[str, str]]:
    """Why the conductance has no bounds: keys and texts."""
    if magnetic_field:
        yield "flow.bounds", "there are none in a magnetic field"
    for name, law in boundaries.items():
        if isinstance(law, Wall) and (law.specularity is None or law.specularity > SMOOTH):
            found = "an infinite slip length" if law.specularity is None else law.specularity
            text = f"found {found}; at most {SMOOTH:g} where bounds are wanted"
            yield f"boundaries.{name}.wall.specularity", text
