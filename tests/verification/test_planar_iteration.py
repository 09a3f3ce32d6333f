"""The iterative solver in 2D: closed forms, conservation, and the numbers of the direct solver."""

from __future__ import annotations

from math import radians

import numpy as np
import pytest
from conftest import draw, material, thorough
from test_conservation import largest_current, normal_current

from meso import CaseError, Contact, Device, Material, Periodic, Profile, Wall
from meso.exact import Bend
from meso.flow import Flow, Hydrodynamic

DIFFUSE = Wall(specularity=0.0)
ENDS = {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0)}
CONTRAST = {
    "lower": material(name="lower", mean_free_path=30e-9),
    "upper": material(name="upper", mean_free_path=1e-9, conductivity=20.0),
}


def flow(device: Device, matter, laws, solver: str = "iterative", order: int = 4) -> Flow:
    if isinstance(matter, Material):
        matter = dict.fromkeys(device.regions, matter)
    boundaries = {**{n: law for n, law in ENDS.items() if n in device.boundaries}, **laws}
    return Hydrodynamic(
        device,
        materials=matter,
        boundaries=boundaries,
        order=order,
        solver=solver,
        elements="Taylor-Hood",
    ).solve()


def bend(path: float, order: int, angle: float = 90.0) -> tuple[Device, Material]:
    matter = material(mean_free_path=path)
    return draw("annulus", matter, ("inner", "outer"), order=order, angle=angle), matter


@pytest.mark.parametrize(
    ("path", "order"),
    [(50e-9, 2), (0.3e-9, 4), (50e-9, 4), (50e-9, 6), *map(thorough, (5e-9, 5e-6), (4, 4))],
)
def test_bend(path, order):
    """Curved walls that let the current slip: the closed form, to the error of the mesh."""
    device, matter = bend(path, order)
    inner, outer = Wall(specularity=0.2), DIFFUSE
    found = flow(device, matter, {"inner": inner, "outer": outer}, order=order)
    exact = Bend(
        inner=100e-9,
        outer=200e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        inner_slip=inner.slip_rate(matter),
        outer_slip=outer.slip_rate(matter),
        drive=matter.conductivity * 1e-3 / radians(90),
    )
    current = found.contacts["source"].current
    assert current == pytest.approx(exact.current, abs=0, rel=1e-4 if order == 2 else 1e-6)
    # Flat cells along the walls, where l is small, take more.
    assert found.evidence["iterations"] < (50 if path > 1e-9 else 120)


def hall_bar():
    device = draw("hall_bar", material(mean_free_path=80e-9), ("edges",))
    probes = {f"probe{i}": Contact(current=1e-8 * (i - 1)) for i in (1, 2, 3)}
    laws = {"edges": Wall(specularity=0.0, law="literal"), **probes}
    reservoir = Contact(potential=5e-4, law="reservoir")
    return device, material(mean_free_path=80e-9), {**laws, "probe4": reservoir}


def sticking():
    device, matter = bend(100e-9, 4, angle=200.0)
    return device, matter, {"inner": Wall(specularity=0.1), "outer": Wall(slip_length=0.0)}


def lattice():
    matter = material(mean_free_path=40e-9)
    pairs = {"left": Periodic(to="right", voltage=1e-3), "bottom": Periodic(to="top", current=1e-6)}
    return draw("antidot", matter, ("edge",)), matter, {"edge": DIFFUSE, **pairs}


def two_materials():
    """A contrast of 1:1000; the potential jumps."""
    device = draw("bilayer", CONTRAST["lower"], ("bottom", "top"))
    return device, CONTRAST, {"bottom": DIFFUSE, "top": Wall(specularity=0.5)}


def varying():
    matter = material(
        conductivity=Profile(expression="0.02*exp(x/100)", length_unit=1e-9),
        mean_free_path=Profile(expression="30 + 0.1*y", scale=1e-9, length_unit=1e-9),
    )
    return draw("ribbon", material(mean_free_path=40e-9), ("edges",)), matter, {"edges": DIFFUSE}


def without_walls():
    matter = material(mean_free_path=60e-9)
    return draw("corbino", matter, ("source", "drain")), matter, {}


def corners():
    """A thin screen, whose ends are as sharp as corners are; cells of a millionth of the size."""
    matter = material(mean_free_path=40e-9)
    return draw("slit", matter, ("screen",)), matter, {"screen": DIFFUSE, "sides": DIFFUSE}


CASES = (hall_bar, sticking, lattice, two_materials, varying, without_walls, thorough(corners))


@pytest.mark.parametrize("case", CASES)
def test_direct_and_iterative_solvers_agree(case):
    """They have the same discretisation, so that what is left is the residual."""
    device, matter, laws = case()
    direct, found = (flow(device, matter, laws, solver) for solver in ("direct", "iterative"))
    assert found.evidence["method"].startswith("GMRES")
    assert found.evidence["iterations"] < 100
    # Currents are products of solutions: residuals count squared.
    near(found.conductance_matrix, direct.conductance_matrix, 1e-11)
    for terminals in ("contacts", "periodic"):
        one, other = getattr(found, terminals), getattr(direct, terminals)
        for quantity in ("current", "potential"):
            values = [[getattr(t, quantity) for t in f.values()] for f in (one, other)]
            near(*values, 1e-10)
    near(found.current_density.x.array, direct.current_density.x.array, 1e-8)
    near(found.potential.x.array, direct.potential.x.array, 1e-6)
    walls = [name for name, law in laws.items() if isinstance(law, Wall)]
    for i, piece in enumerate(device.pieces):
        if piece.boundary in walls and found.contacts:
            assert abs(normal_current(found, i)) < 1e-11 * largest_current(found)
    for name, law in direct.boundaries.items():
        if isinstance(law, Wall) and law.slip_length != 0:
            one, other = found.profile(name, 2), direct.profile(name, 2)
            for column, values in other.items():
                near(one[column], values, 1e-8)


def near(found, wanted, relative: float) -> None:
    wanted = np.asarray(wanted)
    if wanted.size:
        scale = relative * np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=scale)


@pytest.mark.parametrize("length", [1e-3, 1e-1, 10.0])
def test_iterations_depend_little_on_the_diffusion_length(length):
    """Of the width of a ring; where l is below the size of a cell, too."""
    matter = material(mean_free_path=np.sqrt(2) * length * 100e-9)
    device = draw("annulus", material(mean_free_path=30e-9), ("inner", "outer"))
    found = flow(device, matter, {"inner": DIFFUSE, "outer": DIFFUSE})
    assert found.evidence["iterations"] <= 40


def test_what_needs_the_direct_solver():
    matter = material(mean_free_path=40e-9, fermi_wavevector=1.4e8)
    device = draw("ribbon", matter, ("edges",))
    model = {
        "materials": dict.fromkeys(device.regions, matter),
        "boundaries": {**ENDS, "edges": DIFFUSE},
        "solver": "iterative",
    }
    for more in ({"magnetic_field": 0.1}, {"terms": [lambda s: 0 * s.J[0] * s.w[0] * s.dx]}):
        with pytest.raises(CaseError, match=r"flow\.solver: found .iterative.; in 2D"):
            Hydrodynamic(device, **model, **more)
