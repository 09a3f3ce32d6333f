"""Diffusion in the toy model: three p orbitals on a bcc lattice, spin-orbit coupling, exchange.

After the supplement of X. Ning et al., Phys. Rev. Lett. 134, 026303 (2025): Fig. 2-5, eq. 27-36.

    python3 demos/bands_toy_diffusion/run.py [FOLDER]
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso import bands
from meso.bands import models
from meso.bands.model import Floats
from meso.figures.style import LINES, STYLE

#: V_σ = 0.2 eV, V_π = 0.05 eV and ξ = 0.05 eV are the paper's; Γ and a = 3 Å it does not give.
BROADENING, ENERGY, COUPLING = 0.1, 0.5, 0.05
RED, PINK, BLUE, CYAN = LINES[1], LINES[4], LINES[0], LINES[6]


def two_channel(
    diffusivities: tuple[float, float], times: tuple[float, float], exchange: float
) -> Floats:
    """Spin and orbital diffusivity of eq. 29 and 30, [current, density].

    Args:
        diffusivities: Bare D⁰ = v²τ/3 of spin and orbit.
        times: τ_s and τ_o.
        exchange: τ_so, in which the channels exchange.
    """
    # Eq. 30 is printed with j_s for j_o in its first term.
    rates = np.diag(1 / np.array(times)) + np.array([[1, -1], [-1, 1]]) / exchange
    return np.linalg.solve(rates, np.diag(np.array(diffusivities) / times))


def printed(
    diffusivities: tuple[float, float], times: tuple[float, float], exchange: float
) -> Floats:
    """Eq. 33-36: [[D_s, D_os], [D_so, D_o]], in the order of eq. 31 and 32."""
    (spin, orbit), (s, o), so = diffusivities, times, exchange
    return np.array(
        [
            [(1 + so / o) / (1 + s / o + so / o) * spin, orbit / (1 + o / s + so / s)],
            [spin / (1 + s / o + so / o), (1 + so / s) / (1 + o / s + so / s) * orbit],
        ]
    )


def rotating(exchange: float, angles: Floats, n: int, coupling: float) -> Floats:
    """S of s_x and s_z along x, in S/m, for a magnetisation in the xz plane (angles, 2)."""
    # All of the cubic grid but for inversion, the one symmetry that is left: m and −m see the same.
    wedge = bands.uniform(models.BccP(), n, symmetry="mirror")
    signs = np.array([[1, b, c] for b in (1, -1) for c in (1, -1)])
    points = (wedge.points[:, None] * signs).reshape(-1, 3)
    mesh = bands.Mesh(points=points, weights=np.repeat(wedge.weights / 4, 4), label=f"2·{n}³ / 2")
    found = []
    for angle in angles:
        field = exchange * np.array([np.sin(angle), 0, np.cos(angle)])
        model = models.BccP(spin_orbit=coupling, exchange=tuple(field))
        d = bands.diffusivity(model, ENERGY, BROADENING, mesh, error=False, directions="x")
        found.append([d.between("sx", "sx"), d.between("sz", "sz")])
    return np.array(found)


def isolated(exchange: float) -> float:
    """D of a spin across a strong exchange field over that along it, for a flat density of states.

    It precesses by the angle 2Jτ/ħ = J/Γ between collisions, and turns its sign at J = Γ.
    """
    square, width = exchange**2, BROADENING**2
    return width * (width - square) / (width + square) ** 2


def over_energy(panel: Axes, energies: Floats, found: list, lines: dict[str, tuple]) -> None:
    for label, (source, sink, directions, colour, style) in lines.items():
        values = [d.between(source, sink, directions) / 1e5 for d in found]
        panel.plot(energies, values, style, color=colour, label=label)
    panel.axhline(0, color="0.7", linewidth=0.8)
    panel.set(xlabel="energy (eV)", ylabel="10⁵ S/m")
    panel.legend()


def run(folder: Path, n: int = 48, points: int = 81, angles: int = 13) -> dict[str, float]:
    """Nine panels; returns the numbers that the text quotes."""
    energies = np.linspace(-0.78, 0.78, points)
    free, coupled = (
        bands.diffusivities(models.BccP(spin_orbit=x), energies, BROADENING, n, error=False)
        for x in (0.0, COUPLING)
    )
    strengths = np.linspace(0.005, 0.2, 14)
    scan = [
        bands.diffusivity(models.BccP(spin_orbit=x), ENERGY, BROADENING, n, error=False)
        for x in strengths
    ]

    def over_strength(panel: Axes, lines: dict[str, tuple], ylabel: str) -> None:
        for label, (function, colour) in lines.items():
            panel.plot(strengths, [function(d) for d in scan], color=colour, label=label)
        panel.set(xlabel="ξ (eV)", ylabel=ylabel, title=f"E = {ENERGY} eV")
        panel.legend()

    def part(source: str, sink: str, directions: str = "xx"):  # noqa: ANN202
        return lambda d: d.between(source, sink, directions) / 1e5

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(13, 10.5), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        rows = figure.subplots(3, 3)
        # Fig. 2.
        (a, b, c), (d, e, f), (g, h, i) = rows
        over_energy(a, energies, free, {"c = s, ξ = 0": ("c", "c", "xx", "k", "--")})
        own = {"c": ("c", "k"), "s$_x$": ("sx", RED), "s$_y$": ("sy", PINK)}
        over_energy(a, energies, coupled, {k: (x, x, "xx", y, "-") for k, (x, y) in own.items()})
        own = {"l$_x$": ("lx", BLUE), "l$_y$": ("ly", CYAN)}
        over_energy(b, energies, coupled, {k: (x, x, "xx", y, "-") for k, (x, y) in own.items()})
        own = {f"{k}, ξ = 0": (x, x, "xx", y, "--") for k, (x, y) in own.items()}
        over_energy(b, energies, free, own)
        diagonal = {"s$_x$": ("sx", RED), "s$_y$": ("sy", PINK)}
        diagonal |= {"l$_x$": ("lx", BLUE), "l$_y$": ("ly", CYAN)}
        lines = {k: (part(x, x), colour) for k, (x, colour) in diagonal.items()}
        over_strength(c, lines, "10⁵ S/m")
        # Fig. 3, with one prefactor for both: eq. 12 is twice, eq. 13 half of it.
        crossed = {
            "s$_x$ → l$_x$": ("sx", "lx", "xx", RED, "-"),
            "s$_y$ → l$_y$": ("sy", "ly", "xx", PINK, "-"),
            "l$_x$ → s$_x$": ("lx", "sx", "xx", BLUE, "-"),
            "l$_y$ → s$_y$": ("ly", "sy", "xx", CYAN, "-"),
        }
        over_energy(d, energies, coupled, crossed)
        efficiencies = {
            "s → l": (lambda d: 100 * d.polarization("s"), RED),
            "l → s": (lambda d: 100 * d.polarization("l"), BLUE),
        }
        over_strength(e, efficiencies, "polarization (%)")
        # Fig. 4.
        turned = {
            "l$_x$, x → l$_y$, y": ("lx", "ly", "xy", BLUE, "-"),
            "l$_x$, y → l$_y$, x": ("lx", "ly", "yx", CYAN, "-"),
        }
        over_energy(f, energies, free, turned)
        f.set(title="ξ = 0, swapping")
        efficiencies = {
            "s → s": (lambda d: 100 * d.swapping("s"), RED),
            "l → l": (lambda d: 100 * d.swapping("l"), BLUE),
        }
        over_strength(g, efficiencies, "swapping (%)")
        lines = {
            "s$_x$ → l$_y$": (part("sx", "ly", "xy"), RED),
            "l$_x$ → s$_y$": (part("lx", "sy", "xy"), BLUE),
        }
        over_strength(h, lines, "swapping (10⁵ S/m)")
        # Fig. 5.
        turns = np.linspace(0, np.pi, angles)
        exchange = {}
        for strength, style in ((0.02, ":"), (0.1, "-."), (0.2, "--"), (1.0, "-")):
            values = exchange[strength] = rotating(strength, turns, n // 2, COUPLING) / 1e5
            i.plot(np.degrees(turns), values[:, 0], style, color=RED)
            i.plot(np.degrees(turns), values[:, 1], style, color=BLUE)
            i.plot([], [], style, color="k", label=f"J = {strength:g} eV")
        i.plot([], [], color=RED, label="s$_x$")
        i.plot([], [], color=BLUE, label="s$_z$")
        i.axhline(0, color="0.7", linewidth=0.8)
        i.set(xlabel="angle of m to z (°)", ylabel="10⁵ S/m", title="exchange J m·σ")
        i.legend(ncols=2)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "figure.png")
    bare = rotating(0.0, turns[:1], n // 2, 0.0)[0, 0]
    across = [rotating(j, turns[:1], n // 2, 0.0)[0, 0] / bare for j in (0.05, 0.2)]
    model = (2e-3, 1e-3), (1e-14, 3e-15), 5e-15
    at = coupled[int(np.argmin(np.abs(energies - ENERGY)))]
    return {
        "s_x along m, J = 1": float(exchange[1.0][angles // 2, 0]),
        "s_x across, J = 0.02": float(exchange[0.02][0, 0]),
        "s_x across, J = 0.2": float(exchange[0.2][0, 0]),
        "s_x across, J = 1": float(exchange[1.0][0, 0]),
        "m and -m": float(np.abs(exchange[0.2][0] - exchange[0.2][-1]).max()),
        "across over free, J = Γ/2, ξ = 0": float(across[0]),
        "the same, flat": isolated(0.05),
        "across over free, J = 2Γ, ξ = 0": float(across[1]),
        "the same at 2Γ, flat": isolated(0.2),
        "orbital over spin at 0.5 eV": at.between("lx", "lx") / at.between("sx", "sx"),
        "polarization s at 0.5 eV": float(at.polarization("s")),
        "polarization l at 0.5 eV": float(at.polarization("l")),
        "two channels": float(np.abs(two_channel(*model) / printed(*model) - 1).max()),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bands_toy_diffusion")
    for key, value in run(out).items():
        print(f"{key:<34}{value:.7g}")
