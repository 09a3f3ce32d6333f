"""The result does not depend on how the device is placed or measured."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import GEOMETRIES, material, mesh_file, solve

from meso.boundary import Contact, Wall
from meso.device import Device
from meso.edges import profile
from meso.orbital import edge_moments, orbital_density, vorticity

TURN = 0.7345


@pytest.fixture(scope="module")
def reference(folder):
    """A cross with curved cells, solved as drawn."""
    return results(mesh_file(folder / "cross.msh", CROSS, degree=3, size=25.0), "nm")


CROSS = GEOMETRIES / "cross.geo"


def results(path, unit):
    matter = material(mean_free_path=40e-9, fermi_energy=1.6e-19)
    device = Device.from_gmsh(path, length_unit=unit)
    contacts = {
        "left": Contact(potential=1e-3),
        "right": Contact(potential=0.0),
        "top": Contact(current=0.0),
        "bottom": Contact(potential=2e-4, law="reservoir"),
    }
    flow = solve(device, matter, edges=Wall(specularity=0.1, law="literal"), **contacts)
    omega = vorticity(flow)
    density = orbital_density(flow, omega)
    edge = profile(flow, "edges", 2)
    by_place = sorted((np.hypot(*m.center), m.moment) for m in edge_moments(flow, density))
    return {
        "currents": np.array([t.current for t in flow.contacts.values()]),
        "potentials": np.array([t.potential for t in flow.contacts.values()]),
        "conductance": flow.conductance_matrix,
        "wall": np.sort(edge["vorticity"]),
        "vorticity": np.sort(omega.values.ravel()),
        "moments": np.sort([moment for _, moment in by_place]),
    }


# The same mesh and the same physics: only rounding, magnified by the conditioning of the system
# (1e-12 measured).
def compare(found, wanted):
    for name, value in wanted.items():
        np.testing.assert_allclose(
            found[name], value, rtol=0, atol=1e-9 * np.abs(value).max(), err_msg=name
        )


def test_rotation(folder, reference):
    turned = mesh_file(folder / "turned.msh", CROSS, degree=3, size=25.0, turn=TURN)
    compare(results(turned, "nm"), reference)


@pytest.mark.parametrize(("unit", "factor"), [("um", 1e-3), ("m", 1e-9), ("angstrom", 10.0)])
def test_length_unit(folder, reference, unit, factor):
    path = mesh_file(folder / f"{unit}.msh", CROSS, degree=3, size=25.0, unit=factor)
    compare(results(path, unit), reference)


def test_scaling(folder, reference):
    """All lengths times a million: the conductances of a sheet stay, vorticity falls."""
    path = folder / "cross-mm.msh"
    mesh_file(path, CROSS, degree=3, size=25.0)
    matter = {"mean_free_path": 40e-3}
    device = Device.from_gmsh(path, length_unit="mm")
    contacts = {
        "left": Contact(potential=1e-3),
        "right": Contact(potential=0.0),
        "top": Contact(current=0.0),
        "bottom": Contact(potential=2e-4, law="reservoir"),
    }
    flow = solve(device, material(**matter), edges=Wall(specularity=0.1, law="literal"), **contacts)
    wanted = reference["conductance"]
    error = np.abs(flow.conductance_matrix - wanted).max()
    assert error < 1e-9 * np.abs(wanted).max()
    wall = np.sort(profile(flow, "edges", 2)["vorticity"]) * 1e12
    assert np.abs(wall - reference["wall"]).max() < 1e-9 * np.abs(wall).max()


def test_mirror(folder, reference):
    """Source and drain exchanged: a symmetric device gives the same conductance."""
    G = reference["conductance"]  # left, right, top, bottom; the bottom one is a reservoir
    # The mesh is not symmetric: the accuracy of the mesh, not rounding.
    assert G[0, 0] == pytest.approx(G[1, 1], abs=0, rel=1e-4)
    assert G[0, 2] == pytest.approx(G[1, 2], abs=0, rel=1e-4)
