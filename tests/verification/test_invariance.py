"""The result does not depend on how the device is placed or measured."""

from __future__ import annotations

import gmsh
import numpy as np
import pytest
from conftest import GEOMETRIES, gmsh_session, material, mesh_file, solve

from meso import Contact, Device, Wall
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
    edge = flow.profile("edges", 2)
    by_place = sorted((np.hypot(*m.center), m.moment) for m in edge_moments(flow, density))
    return {
        "currents": np.array([t.current for t in flow.contacts.values()]),
        "potentials": np.array([t.potential for t in flow.contacts.values()]),
        "conductance": flow.conductance_matrix,
        "wall": np.sort(edge["vorticity"]),
        "vorticity": np.sort(omega.function().x.array),
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
    wall = np.sort(flow.profile("edges", 2)["vorticity"]) * 1e12
    assert np.abs(wall - reference["wall"]).max() < 1e-9 * np.abs(wall).max()


def test_mirror(folder, reference):
    """Source and drain exchanged: a symmetric device gives the same conductance."""
    G = reference["conductance"]  # left, right, top, bottom; the bottom one is a reservoir
    # The mesh is not symmetric: the accuracy of the mesh, not rounding.
    assert G[0, 0] == pytest.approx(G[1, 1], abs=0, rel=1e-4)
    assert G[0, 2] == pytest.approx(G[1, 2], abs=0, rel=1e-4)


# --- three dimensions

# A rotation about an axis along no axis.
AXIS = np.array([1.0, 2.0, -0.5]) / np.linalg.norm([1.0, 2.0, -0.5])
CROSS_WITH = np.cross(np.eye(3), AXIS).T
ROTATION = np.eye(3) + np.sin(TURN) * CROSS_WITH + (1 - np.cos(TURN)) * CROSS_WITH @ CROSS_WITH


def solid(path, matrix):
    """A bent bar with a round edge, turned by a matrix after it was meshed."""
    with gmsh_session():
        occ = gmsh.model.occ
        bar = occ.addBox(0, 0, 0, 90, 40, 30)
        hole = occ.addCylinder(40, 40, 0, 0, 0, 30, 20)
        occ.cut([(3, bar)], [(3, hole)])
        occ.synchronize()
        (body,) = gmsh.model.getEntities(3)
        groups = {"source": [], "drain": [], "walls": []}
        for _, surface_tag in gmsh.model.getEntities(2):
            x = occ.getCenterOfMass(2, surface_tag)[0]
            name = "source" if x < 1e-6 else "drain" if x > 90 - 1e-6 else "walls"
            groups[name].append(surface_tag)
        for name, tags in groups.items():
            gmsh.model.addPhysicalGroup(2, tags, name=name)
        gmsh.model.addPhysicalGroup(3, [body[1]], name="metal")
        gmsh.option.setNumber("Mesh.MeshSizeMax", 16.0)
        gmsh.model.mesh.generate(3)
        gmsh.model.mesh.setOrder(2)
        gmsh.model.mesh.affineTransform(
            [value for i in range(3) for value in (*matrix[i], 0.0)] + [0.0, 0.0, 0.0, 1.0]
        )
        gmsh.write(str(path))
    matter = material(carriers="3d", conductivity=2e6, scattering="isotropic")
    device = Device.from_gmsh(path, length_unit="nm")
    flow = solve(device, matter, order=2, walls=Wall(specularity=0.0))
    omega = vorticity(flow)
    moments = edge_moments(flow, orbital_density(flow, omega))
    table = flow.profile("walls", 2)

    def vectors(name):
        found = np.column_stack([table[f"{name}{axis}"] for axis in "xyz"]) @ matrix
        return found[np.lexsort(np.round(places, 6).T)]

    places = np.column_stack([table[axis] for axis in "xyz"]) @ matrix * 1e9
    moments.sort(key=lambda m: tuple(np.round(np.array(m.center) @ matrix * 1e9, 3)))
    return {
        "current": np.array([flow.contacts["source"].current]),
        "normal": vectors("normal_"),
        "wall current": vectors("J_"),
        "wall vorticity": vectors("vorticity_"),
        "vorticity": np.sort(np.linalg.norm(omega.function().x.array.reshape(-1, 3), axis=1)),
        "moments": np.array([m.moment for m in moments]) @ matrix,
        "areas": np.array([m.measure for m in moments]),
    }


def test_rotation_in_space(folder):
    """Vectors turn with the device."""
    wanted = solid(folder / "bar.msh", np.eye(3))
    found = solid(folder / "turned bar.msh", ROTATION)
    assert len(wanted["areas"]) == 6
    for name, value in wanted.items():
        # Iterations stop at a relative residual of 1e-10 (5e-10 measured).
        limit = 2e-8 * np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=limit, err_msg=name)
