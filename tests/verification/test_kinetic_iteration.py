"""The iterations of the Boltzmann equation against factorisations, also on several ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES, draw, material
from mpi4py import MPI

from meso.boundary import Boundary, Contact, Periodic, Wall
from meso.device import Device
from meso.flow.even import EvenParity
from meso.flow.even_iteration import IterativeEven
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.kinetic import Kinetic

VOLT = 1e-3
ENDS: dict[str, Boundary] = {"source": Contact(potential=VOLT), "drain": Contact(potential=0.0)}
PAIR = Periodic(to="drain", voltage=VOLT)


def model(
    device: Device, matter, laws: dict[str, Boundary], harmonics: int, order: int, solver: str
) -> Kinetic:
    materials = matter if isinstance(matter, dict) else dict.fromkeys(device.regions, matter)
    return Kinetic(
        device,
        materials=materials,
        boundaries=laws,
        order=order,
        harmonics=harmonics,
        solver=solver,
    )


# -- odd harmonics -----------------------------------------------------------------------------

ITERATIONS: dict[tuple[str, float], int] = {}


@pytest.mark.parametrize("p", [0.0, 0.5, 0.97, 0.99, 1.0])
@pytest.mark.parametrize("name", ["annulus", "constriction"])
def test_iteration(name, p):
    """The currents of the factorisation; at smooth walls in no more steps than at rough ones."""
    matter = material(mean_free_path=30e-9)
    walls = ("inner", "outer") if name == "annulus" else ("edges",)
    device = draw(name, matter, walls, order=3)
    laws = {**ENDS, **dict.fromkeys(walls, Wall(specularity=p))}
    direct = model(device, matter, laws, 8, 3, "direct").solve()
    flow = model(device, matter, laws, 8, 3, "iterative").solve()
    one, two = flow.conductance_matrix[0, 0], direct.conductance_matrix[0, 0]
    # The tolerance 1e-4, squared, over the smallest eigenvalue of the preconditioned operator.
    assert one == pytest.approx(two, rel=1e-6)
    assert flow.conductance_matrix.sum() == pytest.approx(0, abs=1e-12 * two)
    # Fields: the natural norm, 1e-4, is a mean; the largest error is at walls and corners.
    change = flow.fields["current_density"].values - direct.fields["current_density"].values
    size = direct.fields["current_density"].values
    assert np.linalg.norm(change) < 2e-4 * np.linalg.norm(size)
    assert np.abs(change).max() < 2e-3 * np.abs(size).max()
    ITERATIONS[name, p] = flow.evidence["iterations"]
    if (name, 0.0) in ITERATIONS and p == 0.99:
        assert ITERATIONS[name, 0.99] <= ITERATIONS[name, 0.0]


def test_start():
    """From the solution with half the harmonics, an iteration needs fewer steps."""
    matter = material(mean_free_path=30e-9)
    device = draw("constriction", matter, ("edges",), order=2)
    laws = {**ENDS, "edges": Wall(specularity=0.0)}
    whole = model(device, matter, laws, 16, 2, "iterative")
    half = model(device, matter, laws, 8, 2, "iterative").solve()
    cold, warm = whole.solve(), whole.solve(half)
    assert warm.evidence["iterations"] < cold.evidence["iterations"]
    assert warm.conductance_matrix[0, 0] == pytest.approx(cold.conductance_matrix[0, 0], rel=1e-6)


# -- a period of one cell ----------------------------------------------------------------------


def period(order: int) -> Device:
    """A strip of a single layer of cells between its periodic boundaries."""
    return Device.from_gmsh(
        GEOMETRIES / "ribbon_period.geo",
        length_unit="nm",
        parameters={"cells": 20},
        order=order,
    )


@pytest.mark.parametrize("solver", ["direct", "iterative"])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_one_cell(order, solver):
    """One facet of a wall is its whole period: its levels of odd degree contained one too many."""
    matter = material(mean_free_path=10e-9, scattering="isotropic")
    laws: dict[str, Boundary] = {"source": PAIR, "edges": Wall(specularity=0.0)}
    device = period(order)
    for harmonics in (2, 8):
        flow = model(device, matter, laws, harmonics, order, solver).solve()
        fine = model(period(5), matter, laws, harmonics, 5, "direct").solve()
        # The mesh: k = 2 errs by 2e-6, the iteration by less than 1e-6.
        found, wanted = (f.periodic["source"].current for f in (flow, fine))
        assert found == pytest.approx(wanted, rel=5e-6)
        assert flow.evidence["residual"] < (1e-8 if solver == "direct" else 1e-4)
    other = Hydrodynamic(device, materials={"metal": matter}, boundaries=laws, order=order).solve()
    two = model(device, matter, laws, 2, order, solver).solve()
    assert other.periodic["source"].current == pytest.approx(
        two.periodic["source"].current, rel=1e-9
    )


# -- even harmonics ----------------------------------------------------------------------------


def even_of(flow: Kinetic, harmonics: int, force=None) -> Callable[[str], EvenParity]:
    return lambda solver: EvenParity(flow, harmonics, force, solver=solver)  # type: ignore[arg-type]


def bend() -> Callable[[str], EvenParity]:
    """Curved cells, walls of two specularities, the smoother one with pairs."""
    matter = material(mean_free_path=40e-9)
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    walls = {"inner": Wall(specularity=0.3), "outer": Wall(specularity=0.99)}
    return even_of(model(device, matter, {**ENDS, **walls}, 8, 2, "iterative"), 8)


def hall_bar() -> Callable[[str], EvenParity]:
    """Several contacts."""
    matter = material(mean_free_path=50e-9, electron_electron_mean_free_path=60e-9)
    device = draw("hall_bar", matter, ("edges",), order=2)
    laws: dict[str, Boundary] = {"edges": Wall(specularity=0.2)}
    for name in device.boundaries:
        laws.setdefault(name, Contact(potential=0.0))
    return even_of(model(device, matter, laws, 6, 2, "iterative"), 6)


def strip() -> Callable[[str], EvenParity]:
    """A periodic pair, and nothing that fixes the level."""
    matter = material(mean_free_path=30e-9, scattering="isotropic")
    laws: dict[str, Boundary] = {"source": PAIR, "edges": Wall(specularity=0.0)}
    return even_of(model(period(3), matter, laws, 8, 3, "iterative"), 8)


def lattice() -> Callable[[str], EvenParity]:
    """Two pairs that meet in the corners."""
    matter = material(mean_free_path=40e-9)
    pairs = {"left": Periodic(to="right", voltage=VOLT), "bottom": Periodic(to="top")}
    device = draw("antidot", matter, ("edge",), order=2)
    laws: dict[str, Boundary] = {**pairs, "edge": Wall(specularity=0.0)}
    return even_of(model(device, matter, laws, 6, 2, "iterative"), 6)


def bilayer() -> Callable[[str], EvenParity]:
    """Two materials with different kernels, and a force beside the contacts."""
    first = material(mean_free_path=20e-9)
    second = material(mean_free_path=8e-9, conductivity=0.008, scattering="isotropic")
    device = draw("bilayer", first, ("bottom", "top"), order=2)
    laws = {n: ENDS.get(n, Wall(specularity=0.0)) for n in device.boundaries}
    matter = dict(zip(device.regions, (first, second), strict=True))

    def force(x: np.ndarray) -> np.ndarray:
        return np.stack([1 + x[..., 1], x[..., 0] ** 2], axis=-1)

    return even_of(model(device, matter, laws, 6, 2, "iterative"), 6, force)


def ring() -> Callable[[str], EvenParity]:
    """Nothing but walls and a force."""
    matter = material(mean_free_path=60e-9, scattering="isotropic")
    device = draw("corbino", matter, ("source", "drain"), order=2)
    laws: dict[str, Boundary] = dict.fromkeys(device.boundaries, Wall(specularity=0.5))
    # The model itself would want a terminal.
    flow = model(device, matter, dict.fromkeys(device.boundaries, ENDS["drain"]), 6, 2, "direct")
    flow.boundaries = laws

    def force(x: np.ndarray) -> np.ndarray:
        return np.stack([-x[..., 1], x[..., 0]], axis=-1)

    return even_of(flow, 6, force)


CASES = {case.__name__: case for case in (bend, hall_bar, strip, lattice, bilayer, ring)}


@pytest.mark.parametrize("case", CASES)
def test_even_iteration(case):
    """The minimum of the factorisation, from above."""
    even = CASES[case]()
    direct, found = even("direct").conductance(), even("iterative").conductance()
    size = np.abs(np.diag(direct)).max()
    # The tolerance 1e-4, squared, over the smallest eigenvalue of the preconditioned operator.
    assert np.abs(found - direct).max() < 1e-6 * size
    # A bound wherever it stops: rounding only.
    assert np.linalg.eigvalsh(found - direct).min() > -1e-11 * size
    assert np.abs(found - found.T).max() < 1e-12 * size


def test_even_iteration_stops_early():
    """A bound also far from the end, and the closer the further it went."""
    even = bend()("iterative")
    wanted = bend()("direct").conductance()[0, 0]
    factor = even.flow.thickness or 1.0
    above = []
    for tolerance in (1e-1, 1e-2, 1e-3):
        found = IterativeEven(even, tolerance=tolerance).energy()[0, 0] * factor
        above.append(found / wanted - 1)
    assert above[0] > above[1] > above[2] > 0
    # They are errors that can be seen, not rounding.
    assert above[0] > 1e-3


# -- ranks -------------------------------------------------------------------------------------


def everything() -> dict[str, list[float]]:
    """What the iterations find on these ranks."""
    out = {name: case()("iterative").conductance().ravel().tolist() for name, case in CASES.items()}
    matter = material(mean_free_path=30e-9)
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    walls = {"inner": Wall(specularity=0.0), "outer": Wall(specularity=0.99)}
    pairs = model(device, matter, {**ENDS, **walls}, 6, 2, "iterative").solve()
    out["odd, pairs"] = pairs.conductance_matrix.ravel().tolist()
    laws: dict[str, Boundary] = {"source": PAIR, "edges": Wall(specularity=0.0)}
    for solver in ("direct", "iterative"):
        flow = model(period(2), matter, laws, 6, 2, solver).solve()
        out[f"one cell, {solver}"] = [flow.periodic["source"].current]
    assert all(other == out for other in MPI.COMM_WORLD.allgather(out))
    return out


def launch(ranks: int, path: Path) -> dict[str, list[float]]:
    """Run this file under MPI; what pytest's own MPI told its environment must not be inherited."""
    inherited = ("OMPI_COMM", "PMIX_", "OMPI_UNIVERSE")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(inherited)}
    roots = [str(Path(__file__).parents[i]) for i in (1, 2)]
    before = filter(None, [environment.get("PYTHONPATH")])
    environment["PYTHONPATH"] = os.pathsep.join([*roots, *before])
    command = ["mpirun", "-n", str(ranks), sys.executable, "-W", "ignore", __file__, str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(path.read_text())


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_ranks_agree(tmp_path):
    """One, two and three ranks: rounding, magnified by the iterations."""
    wanted = launch(1, tmp_path / "1.json")
    for ranks in (2, 3):
        found = launch(ranks, tmp_path / f"{ranks}.json")
        assert found.pop("ranks") == [ranks]
        for name, values in found.items():
            one, two = np.array(values), np.array(wanted[name])
            assert np.abs(one - two).max() < 1e-9 * np.abs(two).max(), name


if __name__ == "__main__":
    table = {"ranks": [MPI.COMM_WORLD.size], **everything()}
    if MPI.COMM_WORLD.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(table))
