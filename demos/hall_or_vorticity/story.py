"""Hall current or vorticity at the edges of Ti and Cr: python3 story.py PICTURE.png."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from math import cosh
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR
from meso.exact import Ribbon
from meso.figures.style import LINES, STYLE

FOLDER = Path(__file__).parent.parent
FIELD = 1e5  # V/m, of the cases
HALL = "angular_momentum.orbital.hall_conductivity"
LENGTH = "angular_momentum.orbital.diffusion_length"
#: Orbital diffusivity of Mn (Sala et al. 2023), the only measured one; that of charge is the upper
#: end.
LEAST_DIFFUSIVITY = 2.5e-6
#: kappa of the two bands of Valet et al. with 2 eV between them; that of V, from bands, is a 12th.
LARGE_COUPLING = HBAR**2 / (2 * ELEMENTARY_CHARGE * ELECTRON_CHARGE)
#: Resolution of a microscope, m (FWHM).
SPOT = 400e-9


@dataclass(frozen=True)
class Metal:
    """A metal as its demo has it.

    Attributes:
        name: Its symbol.
        demo: The folder of its case.
        lengths: Measured orbital diffusion lengths by method, m.
    """

    name: str
    demo: str
    lengths: dict[str, float]

    @property
    def path(self) -> Path:
        """The case file."""
        return FOLDER / self.demo / "case.toml"

    @cached_property
    def case(self) -> meso.Case:
        """The case."""
        return meso.Case.load(self.path)

    @property
    def material(self) -> meso.Material:
        """Of the flow."""
        return self.case.materials[self.name]

    @property
    def orbital(self) -> Any:
        """Hall conductivity, diffusivity, diffusion length."""
        return self.case.angular_momentum.orbital

    @property
    def width(self) -> float:
        """Of the strip, m."""
        return self.case.geometry.parameters["width"] * self.case.geometry.length_unit


METALS = (
    Metal("Ti", "titanium", {"Kerr effect": 60e-9, "electron loss": 7.3e-9}),
    Metal("Cr", "chromium", {"Kerr effect": 6.6e-9}),
)


def vorticity_moment(metal: Metal, coupling: float | None = None) -> float:
    """Orbital moment of an edge from the vorticity, J s/m^2: kappa (J_centre - J_wall)."""
    matter = metal.material
    flow = Ribbon(
        width=metal.width,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=matter.slip_rate(0.0),
        drive=matter.conductivity * FIELD,
    )
    return (coupling or matter.orbital_coupling) * flow.half_moment


def diffusive_moment(metal: Metal, hall: Any, length: float, diffusivity: float) -> Any:
    """The same from a Hall current that diffuses: theta E l^2/D (1 - sech(W/2l))."""
    rest = 1 - 1 / cosh(metal.width / (2 * length))
    return HBAR / ELEMENTARY_CHARGE * hall * FIELD * length**2 / diffusivity * rest


def crossover(
    metal: Metal,
    length: float | None = None,
    diffusivity: float | None = None,
    coupling: float | None = None,
) -> float:
    """Hall conductivity, S/m, at which both moments are of equal size; defaults are the case's."""
    own = metal.orbital
    one = diffusive_moment(
        metal, 1.0, length or own.diffusion_length, diffusivity or own.diffusivity
    )
    return abs(vorticity_moment(metal, coupling)) / one


def solved(metal: Metal, hall: list[float]) -> list[tuple[float, float]]:
    """Moments of both mechanisms by the solver, J s/m^2, diffusive and from vorticity."""
    rows = meso.sweep(metal.path, [f"{HALL}=" + ",".join(f"{x!r} S/m" for x in hall)])
    out = []
    for row in rows:
        found = row["results"]
        one = found["edges.2.orbital_z.diffusive_moment_hbar_per_m2"]
        out.append((HBAR * one, HBAR * found["edges.2.orbital_moment_hbar_per_m2"]))
    return out


def profiles(metal: Metal, y: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Densities across the strip over their moments, 1/m: as they are, and seen with the spot."""
    points = np.column_stack([np.full_like(y, 0.5 * metal.width), y])
    out = {}
    for method, length in metal.lengths.items():
        found = meso.run(meso.Case.load(metal.path, {LENGTH: length}))
        sharp, seen = found.sample(points), found.sample(points, resolution=SPOT)
        moment = diffusive_moment(
            metal, metal.orbital.hall_conductivity, length, metal.orbital.diffusivity
        )
        name = "orbital_diffusive_density_z"
        label = f"diffusion, l = {length * 1e9:.3g} nm ({method})"
        out[label] = sharp[name] / moment, seen[name] / moment
    name, moment = "orbital_density", vorticity_moment(metal)
    out["vorticity"] = sharp[name] / moment, seen[name] / moment
    return out


def draw_moments(axes: Axes, metal: Metal) -> None:
    """Moments against the Hall conductivity, from next to nothing to the conventional one."""
    hall, own = np.geomspace(1e-1, 2e6, 60), metal.orbital
    for i, (method, length) in enumerate(metal.lengths.items()):
        sides = [
            diffusive_moment(metal, hall, length, D) / HBAR
            for D in (own.diffusivity, LEAST_DIFFUSIVITY)
        ]
        label = f"diffusion, l = {length * 1e9:.3g} nm ({method})"
        axes.fill_between(hall, *sides, color=LINES[i], alpha=0.3, linewidth=0, label=label)
        axes.plot(hall, sides[0], color=LINES[i], linewidth=1.2)
    sides = [abs(vorticity_moment(metal, k)) / HBAR for k in (None, LARGE_COUPLING)]
    axes.axhspan(*sides, color=LINES[3], alpha=0.3, linewidth=0, label="vorticity")
    axes.axhline(sides[0], color=LINES[3], linewidth=1.2)
    points = [10.0, 1e3, float(own.hall_conductivity)]
    moments = np.abs(solved(metal, points)) / HBAR
    axes.plot(points, moments[:, 0], "o", color="black", markersize=4, label="meso")
    axes.plot(points, moments[:, 1], "o", color="black", markersize=4)
    axes.axvline(own.hall_conductivity, color="#777777", linestyle="--", linewidth=1)
    how = {"rotation": 90, "ha": "right", "va": "top"}
    axes.text(own.hall_conductivity * 0.8, 8e21, "conventional", **how)
    axes.annotate("band-projected: 0", (0.1, 3e9), (0.5, 3e9), va="center", arrowprops=_ARROW)
    axes.set(xscale="log", yscale="log", xlim=(0.1, 2e6), ylim=(1e9, 1e22))
    axes.set(xlabel="orbital Hall conductivity (ħ/e) (S/m)", ylabel="|moment of an edge| (ħ/m²)")
    axes.set_title(f"{metal.name}: which is larger")
    axes.legend(loc="upper left")


def draw_lengths(axes: Axes, metal: Metal) -> None:
    """The line where both are equal, in the plane of the two lengths; wide strips.

    A cleaner metal has sigma and D in proportion to its mean free path.
    """
    own, now = metal.orbital, metal.material.mean_free_path
    # theta E l^2/D against kappa sigma E B, with sigma and D in proportion to the mean free path.
    wide = crossover(metal, 1e-9) * (1 - 1 / cosh(metal.width / 2e-9)) * 1e-18 / now**2
    path, length = np.geomspace(0.5e-9, 200e-9, 80), np.geomspace(0.5e-9, 200e-9, 80)
    needed = wide * (path / length[:, None]) ** 2
    levels = np.arange(-3, 9)
    shade = axes.contourf(
        path * 1e9, length * 1e9, np.log10(needed), levels, cmap="RdBu_r", extend="both"
    )
    bar = axes.figure.colorbar(shade, ax=axes)
    bar.set_ticks(levels[::2], labels=[f"10{str(x).translate(_RAISED)}" for x in levels[::2]])
    bar.set_label("σ$_H$ for equal moments (S/m)")
    for part, style in ((1.0, "-"), (1e-2, "--"), (1e-4, ":")):
        line = path * np.sqrt(wide / (part * own.hall_conductivity))
        label = "σ$_H$ conventional" if part == 1 else f"{part:g} of it"
        axes.plot(path * 1e9, line * 1e9, "k" + style, linewidth=1.4, label=label)
    for method, measured in metal.lengths.items():
        axes.plot(now * 1e9, measured * 1e9, "ko", markersize=5)
        axes.annotate(f" {method}", (now * 1e9, measured * 1e9), va="center")
    axes.set(xscale="log", yscale="log", xlim=(0.5, 200), ylim=(0.5, 200))
    axes.set(xlabel="mean free path (nm)", ylabel="orbital diffusion length (nm)")
    axes.set_title(f"{metal.name}: equal on the lines")
    axes.legend(loc="lower right", title="above it diffusion wins", framealpha=1.0)


_ARROW = {"arrowstyle": "->"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw_profiles(above: Axes, below: Axes, metal: Metal) -> dict[str, float]:
    """Profiles as they are, and with the resolution of a microscope."""
    half = metal.width / 2
    near = half - np.geomspace(1e-12, 0.9 * half, 160)
    y = np.unique(np.append(np.linspace(-2 * half, 2 * half, 161), near))
    found = profiles(metal, y)
    for i, (label, (sharp, seen)) in enumerate(found.items()):
        how = {"color": LINES[(0, 1, 3)[i]], "linestyle": ("-", "-", "--")[i], "label": label}
        above.plot((half - y) * 1e9, sharp * 1e-9, **how)
        below.plot(y * 1e9, seen * 1e-9, **how)
    above.set(xlim=(0, 150), xlabel="distance from the edge (nm)", yscale="log", ylim=(1e-5, 1))
    above.set_title(f"{metal.name}: density over its moment (1/nm)")
    below.set(xlabel="place of the spot across the strip (nm)")
    below.set_title(f"{metal.name}: the same, seen with {SPOT * 1e9:.0f} nm (FWHM)")
    above.legend(loc="upper right")
    return {label: float(np.nanmax(seen)) for label, (_, seen) in found.items()}


def main(picture: Path) -> dict[str, float]:
    """Solve and draw."""
    numbers = {}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(15, 8.6), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 3)
        for row, metal in zip(axes, METALS, strict=True):
            draw_moments(row[0], metal)
            draw_lengths(row[1], metal)
            for method, length in metal.lengths.items():
                where = f"{metal.name}, l = {length * 1e9:.3g} nm ({method})"
                for D, kappa in ((None, None), (None, LARGE_COUPLING), (LEAST_DIFFUSIVITY, None)):
                    needed = crossover(metal, length, D, kappa)
                    text = f"D {D or metal.orbital.diffusivity:.3g} m²/s"
                    text += f", κ {kappa or metal.material.orbital_coupling:.3g} J s/A"
                    numbers[f"{where}, {text}"] = needed
        seen = draw_profiles(axes[0, 2], axes[1, 2], METALS[0])
        numbers |= {f"largest seen over moment, {k} (1/m)": v for k, v in seen.items()}
        figure.savefig(picture)
    return numbers


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for text, number in main(Path(sys.argv[1])).items():
        print(f"{text:<75}{number:10.3g}")
