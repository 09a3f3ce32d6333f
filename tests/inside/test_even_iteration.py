"""The even harmonics by iteration against their factorisation, also on several ranks.

Inside, because the public upper bound chooses its solver by the number of unknowns, drives by
contacts alone and iterates to the end: here are both solvers on the same small problems, forces in
the volume, and what an iteration that stops early is worth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES, draw, material
from forces import Forced
from launching import launch
from mpi4py import MPI

from meso import Contact, Device, Periodic, Wall
from meso.flow import Kinetic
from meso.flow.even import EvenParity

Boundary = Contact | Periodic | Wall
VOLT = 1e-3
ENDS: dict[str, Boundary] = {"source": Contact(potential=VOLT), "drain": Contact(potential=0.0)}
PAIR = Periodic(to="drain", voltage=VOLT)


def model(device: Device, matter, laws: dict[str, Boundary], harmonics: int, order: int) -> Kinetic:
    materials = matter if isinstance(matter, dict) else dict.fromkeys(device.regions, matter)
    return Kinetic(device, materials=materials, boundaries=laws, order=order, harmonics=harmonics)


def even_of(flow: Kinetic, harmonics: int, force=None) -> Callable[..., EvenParity]:
    if force is None:
        return lambda solver, **given: EvenParity(flow, harmonics, solver=solver, **given)  # type: ignore[arg-type]
    return lambda solver: Forced(flow, harmonics, force, solver=solver)


def bend() -> Callable[..., EvenParity]:
    """Curved cells, walls of two specularities, the smoother one with pairs."""
    matter = material(mean_free_path=40e-9)
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    walls = {"inner": Wall(specularity=0.3), "outer": Wall(specularity=0.99)}
    return even_of(model(device, matter, {**ENDS, **walls}, 8, 2), 8)


def hall_bar() -> Callable[..., EvenParity]:
    """Several contacts."""
    matter = material(mean_free_path=50e-9, electron_electron_mean_free_path=60e-9)
    device = draw("hall_bar", matter, ("edges",), order=2)
    laws: dict[str, Boundary] = {"edges": Wall(specularity=0.2)}
    for name in device.boundaries:
        laws.setdefault(name, Contact(potential=0.0))
    return even_of(model(device, matter, laws, 6, 2), 6)


def strip() -> Callable[..., EvenParity]:
    """A periodic pair, and nothing that fixes the level."""
    matter = material(mean_free_path=30e-9, scattering="isotropic")
    laws: dict[str, Boundary] = {"source": PAIR, "edges": Wall(specularity=0.0)}
    device = Device.from_gmsh(
        GEOMETRIES / "ribbon_period.geo", length_unit="nm", parameters={"cells": 20}, order=3
    )
    return even_of(model(device, matter, laws, 8, 3), 8)


def lattice() -> Callable[..., EvenParity]:
    """Two pairs that meet in the corners."""
    matter = material(mean_free_path=40e-9)
    pairs = {"left": Periodic(to="right", voltage=VOLT), "bottom": Periodic(to="top")}
    device = draw("antidot", matter, ("edge",), order=2)
    laws: dict[str, Boundary] = {**pairs, "edge": Wall(specularity=0.0)}
    return even_of(model(device, matter, laws, 6, 2), 6)


def bilayer() -> Callable[..., EvenParity]:
    """Two materials with different kernels, and a force beside the contacts."""
    first = material(mean_free_path=20e-9)
    second = material(mean_free_path=8e-9, conductivity=0.008, scattering="isotropic")
    device = draw("bilayer", first, ("bottom", "top"), order=2)
    laws = {n: ENDS.get(n, Wall(specularity=0.0)) for n in device.boundaries}
    matter = dict(zip(device.regions, (first, second), strict=True))

    def force(x: np.ndarray) -> np.ndarray:
        return np.stack([1 + x[..., 1], x[..., 0] ** 2], axis=-1)

    return even_of(model(device, matter, laws, 6, 2), 6, force)


def ring() -> Callable[..., EvenParity]:
    """Nothing but walls and a force."""
    matter = material(mean_free_path=60e-9, scattering="isotropic")
    device = draw("corbino", matter, ("source", "drain"), order=2)
    laws: dict[str, Boundary] = dict.fromkeys(device.boundaries, Wall(specularity=0.5))
    # The model itself would want a terminal.
    flow = model(device, matter, dict.fromkeys(device.boundaries, ENDS["drain"]), 6, 2)
    flow.boundaries = laws

    def force(x: np.ndarray) -> np.ndarray:
        return np.stack([-x[..., 1], x[..., 0]], axis=-1)

    return even_of(flow, 6, force)


CASES = {case.__name__: case for case in (bend, hall_bar, strip, lattice, bilayer, ring)}


@pytest.mark.verification
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


@pytest.mark.verification
def test_even_iteration_stops_early():
    """A bound also far from the end, and the closer the further it went."""
    case = bend()
    wanted = case("direct").conductance()[0, 0]
    above = []
    for tolerance in (1e-1, 1e-2, 1e-3):
        found = case("iterative", tolerance=tolerance).conductance()[0, 0]
        above.append(found / wanted - 1)
    assert above[0] > above[1] > above[2] > 0
    # They are errors that can be seen, not rounding.
    assert above[0] > 1e-3


def everything() -> dict[str, list[float]]:
    """What the iterations find on these ranks; on three, of which some wait, that of two cases."""
    cases = (strip, bilayer) if MPI.COMM_WORLD.size > 2 else CASES.values()
    out = {c.__name__: c()("iterative").conductance().ravel().tolist() for c in cases}
    assert all(other == out for other in MPI.COMM_WORLD.allgather(out))
    return out


@pytest.mark.ranks
@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_ranks_agree(tmp_path, pytestconfig):
    """One and two ranks, with ``--thorough`` three: rounding, magnified by the iterations."""
    tables = []
    for ranks in (1, 2, 3) if pytestconfig.getoption("thorough") else (1, 2):
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
