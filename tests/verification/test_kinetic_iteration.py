"""The iterations of the Boltzmann equation against factorisations, also on several ranks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES, draw, material, thorough
from launching import launch
from mpi4py import MPI

from meso import Contact, ConvergenceError, Device, Periodic, Wall
from meso.flow import Hydrodynamic, Kinetic, conductance_bounds

Boundary = Contact | Periodic | Wall
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


ITERATIONS: dict[tuple[str, float], int] = {}


@pytest.mark.parametrize("p", [0.0, thorough(0.5), thorough(0.97), 0.99, 1.0])
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
    size = direct.current_density.x.array
    change = flow.current_density.x.array - size
    assert np.linalg.norm(change) < 2e-4 * np.linalg.norm(size)
    assert np.abs(change).max() < 2e-3 * np.abs(size).max()
    ITERATIONS[name, p] = flow.evidence["iterations"]
    if (name, 0.0) in ITERATIONS and p == 0.99:
        assert ITERATIONS[name, 0.99] <= ITERATIONS[name, 0.0]


@pytest.mark.thorough
def test_a_tolerance_below_rounding():
    """It is refused, or the conductance is right: rounding made it wrong by 3e-3 once."""
    matter = material(mean_free_path=30e-9)
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    laws = {**ENDS, **dict.fromkeys(("inner", "outer"), Wall(specularity=0.9))}
    whole = model(device, matter, laws, 16, 2, "iterative")
    exact = whole.solve().conductance_matrix[0, 0]
    whole.tolerance = 1e-10
    try:
        found = whole.solve().conductance_matrix[0, 0]
    except ConvergenceError as error:
        assert "1e-10" in str(error)
    else:
        assert found == pytest.approx(exact, rel=1e-6)


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


# -- ranks -------------------------------------------------------------------------------------


def everything() -> dict[str, list[float]]:
    """What the iterations find on these ranks."""
    matter = material(mean_free_path=30e-9)
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    walls = {"inner": Wall(specularity=0.0), "outer": Wall(specularity=0.99)}
    pairs = model(device, matter, {**ENDS, **walls}, 6, 2, "iterative").solve()
    bounds = conductance_bounds(pairs)
    out = {
        "pairs": pairs.conductance_matrix.ravel().tolist(),
        "upper bound": bounds.upper.ravel().tolist(),
    }
    laws: dict[str, Boundary] = {"source": PAIR, "edges": Wall(specularity=0.0)}
    for solver in ("direct", "iterative"):
        flow = model(period(2), matter, laws, 6, 2, solver).solve()
        out[f"one cell, {solver}"] = [flow.periodic["source"].current]
    assert all(other == out for other in MPI.COMM_WORLD.allgather(out))
    return out


@pytest.mark.ranks
@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_ranks_agree(tmp_path):
    """One and three ranks: rounding, magnified by the iterations."""
    tables = []
    for ranks in (1, 3):
        path = tmp_path / f"{ranks}.json"
        launch(__file__, ranks, path)
        tables.append(json.loads(path.read_text()))
        assert tables[-1].pop("ranks") == [ranks]
    wanted, *others = tables
    for found in others:
        for name, values in found.items():
            one, two = np.array(values), np.array(wanted[name])
            assert np.abs(one - two).max() < 1e-9 * np.abs(two).max(), name


if __name__ == "__main__":
    table = {"ranks": [MPI.COMM_WORLD.size], **everything()}
    if MPI.COMM_WORLD.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(table))
