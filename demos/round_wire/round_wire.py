"""Round wire: swapping of direction and component acts as a relaxation velocity of a curved wall.

The section of a wire with the current along its axis z. The Hall current J^{ia} = theta eps_iaz E
carries spin that is azimuthal to the surface; it piles up as X = c I_1(r/l) e_phi with

    D X' + (V - B/R) X = theta E    at r = R

so that swapping B > 0 counts as a velocity -B/R of the wall: it raises the density there, the more
the thinner the wire is. In a flat film nothing distinguishes B from D. The script solves wires of
several radii, with and without swapping, and compares with the closed form.

    python demos/round_wire/round_wire.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.special import ive

from meso import Device
from meso.angular_momentum import ONE, Diffusion, diffusion_block, hall_block, layer, material
from meso.constants import ELEMENTARY_CHARGE, HBAR

D = 1e-5  # m^2/s
TAU = 1e-12  # s
SWAPPING = 4e-6  # m^2/s
HALL = 3.9e5  # S/m, in units of hbar/e
FIELD = 1e5  # V/m, along the wire
RADII = (5e-9, 10e-9, 20e-9)  # m


def section(folder: Path, radius: float) -> Device:
    """The section of a wire: a disc without contacts."""
    path = folder / "section.geo"
    path.write_text(
        f'SetFactory("OpenCASCADE"); Disk(1) = {{0, 0, 0, {radius * 1e9}}};\n'
        'Physical Surface("metal") = {1}; Physical Curve("surface") = {1};\n'
    )
    decay = float(np.sqrt(D * TAU))
    return Device.from_gmsh(path, length_unit="nm", layers={"surface": layer(decay)})


def azimuthal(device: Device, swapping: float, radii: np.ndarray) -> np.ndarray:
    """X_phi at radii on the x axis, J s/m^3."""
    transport = material(
        ["spin_x", "spin_y"],
        diffusivity={("spin", "spin"): diffusion_block(D, swapping=swapping)},
        relaxation={("spin", "spin"): ONE / TAU},
        hall={"spin": hall_block(HALL)},
        dimension=2,
    )
    problem = Diffusion(device, components=["spin_x", "spin_y"], materials={"metal": transport})
    found = problem.solve([0.0, 0.0, FIELD])
    points = np.column_stack([radii, np.zeros_like(radii)])
    return found.sample(points)["spin_density_y"]


def exact(radius: float, swapping: float, at: np.ndarray) -> np.ndarray:
    """The closed form, scaled Bessel functions."""
    decay = np.sqrt(D * TAU)
    u = radius / decay
    slope = (ive(0, u) - ive(1, u) / u) / decay  # of I_1(r/l) at R
    flux = HBAR / ELEMENTARY_CHARGE * HALL * FIELD
    c = flux / (D * slope - swapping / radius * ive(1, u))
    return c * ive(1, at / decay) * np.exp((at - radius) / decay)


def main(folder: Path) -> dict[tuple[float, float], float]:
    """Solve all wires, draw the picture, and return the largest relative errors."""
    from matplotlib import rc_context

    from meso.figures.style import LINES, STYLE, line_figure, store

    folder.mkdir(parents=True, exist_ok=True)
    errors = {}
    with rc_context(STYLE):
        figure, (axes,) = line_figure(1, "Round wire: density along the surface")
        for color, radius in zip(LINES, RADII, strict=False):
            device = section(folder, radius)
            at = np.linspace(0.02, 1 - 1e-9, 60) * radius
            for swapping, style in ((0.0, ":"), (SWAPPING, "-")):
                found, wanted = azimuthal(device, swapping, at), exact(radius, swapping, at)
                errors[radius, swapping] = float(np.abs(found / wanted - 1).max())
                text = f"R = {radius * 1e9:g} nm" + (", no swapping" if not swapping else "")
                axes.plot(at * 1e9, found / HBAR / 1e24, style, color=color, label=text)
                axes.plot(at[::6] * 1e9, wanted[::6] / HBAR / 1e24, ".", color="black", ms=4)
                print(
                    f"{text:<28} X(R) = {found[-1] / HBAR:.6g} ħ/m³,"
                    f" relative error {errors[radius, swapping]:.1e}"
                )
        axes.set_xlabel("distance from the axis (nm); dots: closed form")
        axes.set_ylabel("$S_\\varphi$ (10²⁴ ħ/m³)")
        axes.legend(loc="upper left")
        store(figure, folder / "round_wire.png")
    return errors


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/round_wire"))
