"""Particles against what is known exactly: as far off as their errors say, and as often."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES, thorough
from scipy.stats import chi2

import meso
from meso import CaseError, Contact, Device, Material, Periodic, Wall
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.exact_kinetic import KineticRibbon
from meso.flow import Flow, Particles

PER_PATH, WIDTH, WAVEVECTOR = 1e4, 100e-9, 1.4e8  # sigma/lambda, S/m; m; 1/m
SHARVIN = 2 / np.pi * PER_PATH * WIDTH
ENDS = {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0)}
BALLISTIC = 1e6


def material(path: float, **more: Any) -> Material:
    """A sheet with a mean free path in widths."""
    path *= WIDTH
    return Material(
        carriers="2d",
        conductivity=PER_PATH * path,
        mean_free_path=path,
        fermi_wavevector=WAVEVECTOR,
        **more,
    )


@cache
def device(name: str, **parameters: float) -> Device:
    return Device.from_gmsh(
        GEOMETRIES / f"{name}.geo", length_unit="nm", parameters=parameters, order=2
    )


def solved(
    place: Device,
    metal: Material,
    laws: dict[str, Any],
    tolerance: float,
    radius: float = np.inf,
    seed: int = 0,
) -> Flow:
    """A flow; the cyclotron radius is in widths."""
    return Particles(
        place,
        materials=dict.fromkeys(place.regions, metal),
        boundaries=laws,
        magnetic_field=HBAR * WAVEVECTOR / (ELEMENTARY_CHARGE * radius * WIDTH),
        tolerance=tolerance,
        seed=seed,
    ).solve()


def clausing(length: float) -> float:
    """Part of the particles that pass a channel with rough walls: P. Clausing's equation, in 2D."""
    x, weight = np.polynomial.legendre.leggauss(60)
    x, weight = length * (x + 1) / 2, length * weight / 2
    beyond = np.hypot(1, length - x)
    kernel = 0.5 / np.hypot(1, x[:, None] - x) ** 3
    passes = np.linalg.solve(np.eye(60) - kernel * weight, (1 - (length - x) / beyond) / 2)
    return np.hypot(1, length) - length + float(weight @ ((1 - x / np.hypot(1, x)) * passes))


def ribbon(path: float, p: float, scattering: str = "isotropic", **more: float) -> Any:
    """Conductance of a period over Drude's."""
    length = 0.5 if path < 0.3 else 1.0
    place = device("ribbon_period", width=100, length=100 * length, cells=4)
    laws = {"source": Periodic(to="drain", voltage=1e-3), "edges": Wall(specularity=p)}
    metal = material(path, scattering=scattering, **more)
    return place, metal, laws, PER_PATH * path * WIDTH / length


def channel(path: float, p: float, length: float = 1.0) -> Any:
    place = device("ribbon", width=100, length=100 * length)
    return place, material(path), {**ENDS, "edges": Wall(specularity=p)}, SHARVIN


def square() -> Any:
    """Three contacts, all walls are absorbed by one of them."""
    place = device("ribbon", width=100, length=100)
    laws = {**ENDS, "edges": Contact(potential=0.0)}
    return place, material(BALLISTIC), laws, SHARVIN


def corbino() -> Any:
    place = device("corbino", inner_radius=50, outer_radius=100)
    return place, material(BALLISTIC), ENDS, np.pi * SHARVIN


def exact(path: float, p: float) -> float:
    return KineticRibbon(width=1, mean_free_path=path, specularity=p).conductance


#: Case, entry of G, its value over the last of the case, cyclotron radius.
CASES: list[tuple[Any, tuple[int, int], float, float]] = [
    *(
        (ribbon(path, p), (0, 0), exact(path, p), np.inf)
        for path, p in (
            *((0.1, 0.0), (0.1, 0.5), (0.3, 0.9), (0.5, 0.0), (0.5, 0.5), (1.0, 0.0)),
            *((2.0, 0.0), (2.0, 0.5), (5.0, 0.0)),
        )
    ),
    # Of this kernel from an integral equation.
    (ribbon(0.1, 0.0, "radial-tangential"), (0, 0), 0.95096976, np.inf),
    (ribbon(0.1, 0.5, "radial-tangential"), (0, 0), 0.97725886, np.inf),
    # Smooth walls: Drude's, whatever collisions there are, and with Hall's field.
    (ribbon(0.2, 1.0, electron_electron_mean_free_path=3e-8), (0, 0), 1.0, np.inf),
    (ribbon(0.2, 1.0, "radial-tangential"), (0, 0), 1.0, 0.3),
    # What each contact adds to a long channel is known within .0007 of these.
    (channel(0.1, 1.0), (0, 1), -np.pi / 2 * 0.1 / (1 + 0.2 * 0.8184), np.inf),
    *((channel(BALLISTIC, 0.0, n), (0, 1), -clausing(n), np.inf) for n in (0.5, 1.0, 2.0)),
    # Half as many modes as a Fermi line has along the radius of the orbits.
    *((channel(BALLISTIC, 1.0), (0, 1), -np.pi / 2 * r, r) for r in (0.15, 0.3, 0.45)),
    (square(), (0, 1), 1 - np.sqrt(2), np.inf),
    (square(), (0, 2), np.sqrt(2) - 2, np.inf),
    (corbino(), (0, 1), -1.0, np.inf),
]


@pytest.mark.parametrize("tolerance", [0.02, thorough(0.004)])
def test_errors_are_what_they_say(tolerance: float) -> None:
    off = []
    for seed, ((place, metal, laws, unit), entry, value, radius) in enumerate(CASES):
        found = solved(place, metal, laws, tolerance, radius, seed).counted
        off.append((found.matrix[entry] / unit - value) / (found.errors[entry] / unit))
        assert found.relative <= tolerance
    assert np.abs(off).max() < 3.2
    assert 0.01 < chi2.cdf(np.square(off).sum(), len(off)) < 0.99


@pytest.mark.parametrize("path", [0.2, 2.0])
def test_moments_of_edges(path: float, tmp_path: Path) -> None:
    """Of a ribbon, by its current in the middle and at the walls."""
    case = tmp_path / "case.toml"
    case.write_text(f"""
        [geometry]
        file = "{GEOMETRIES}/ribbon_period.geo"
        length_unit = "nm"
        parameters = {{ width = 100, length = 100, cells = 4 }}
        [materials.sheet]
        carriers = "2d"
        conductivity = {PER_PATH * path * WIDTH}
        mean_free_path = "{100 * path} nm"
        fermi_energy = "10 meV"
        [regions]
        metal = "sheet"
        [boundaries]
        source = {{ periodic = {{ to = "drain", voltage = "1 mV" }} }}
        edges = {{ wall = {{ specularity = 0.0 }} }}
        [flow]
        model = "particles"
        tolerance = 0.02
    """)
    result = meso.run(meso.Case.load(case))
    kappa = result.flow.materials["metal"].orbital_coupling
    exact = KineticRibbon(width=1, mean_free_path=path).edge_step
    unit = kappa * PER_PATH * path * WIDTH * 1e-3
    for moment in result.edge_moments:
        off = (abs(moment.moment) - abs(unit) * exact) / moment.error
        assert abs(off) < 3.2
        assert moment.error < 0.1 * abs(moment.moment)
    one, two = (m.moment for m in result.edge_moments)
    assert one * two < 0


def test_interfaces() -> None:
    """Materials with the same Fermi line: a bilayer of equal layers is one; others are refused."""
    place = device("bilayer")
    laws = dict.fromkeys(place.boundaries, Wall(specularity=1.0)) | ENDS
    one, other = material(0.2), material(0.1)
    alike = dict(zip(place.regions, (one, one), strict=True))
    found = Particles(place, materials=alike, boundaries=laws, tolerance=0.03, seed=1).solve()
    mixed = dict(zip(place.regions, (one, other), strict=True))
    less = Particles(place, materials=mixed, boundaries=laws, tolerance=0.03, seed=1).solve()
    poor = dict.fromkeys(place.regions, other)
    least = Particles(place, materials=poor, boundaries=laws, tolerance=0.03, seed=1).solve()
    values = [flow.conductance_matrix[0, 0] for flow in (found, less, least)]
    assert values[0] > 1.1 * values[1] > 1.2 * values[2]
    dirty = Material(carriers="2d", conductivity=1e-3, mean_free_path=1e-6)
    with pytest.raises(CaseError, match="the same Fermi line"):
        Particles(place, materials={**mixed, place.regions[0]: dirty}, boundaries=laws)
