"""Three-dimensional devices: names, volumes, smooth pieces, curved cells, sizes, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import gmsh
import numpy as np
import pytest
from conftest import GEOMETRIES, gmsh_session, material
from helpers import cell_degree, coordinate_element, facets_of, nodes_of, on_facets
from launching import launch
from mpi4py import MPI

from meso import Contact, Device, GeometryError, Layer, Wall
from meso.flow import Ohmic

BOX = """
SetFactory("OpenCASCADE");
Box(1) = {0, 0, 0, 3, 2, 1};
"""
# Surfaces of a box of OpenCASCADE: x, y, z = low, high in turn.
NAMES = """
Physical Volume("metal") = {1}; Physical Surface("source") = {1}; Physical Surface("drain") = {2};
Physical Surface("walls") = {3, 4, 5, 6};
"""
WIRE = GEOMETRIES / "wire.geo"
FILM = GEOMETRIES / "film.geo"


def read(folder: Path, text: str, name: str = "solid.geo", **options) -> Device:
    path = folder / name
    path.write_text(text)
    return Device.from_gmsh(path, length_unit="nm", **options)


def refusal(folder: Path, text: str, **options) -> str:
    with pytest.raises(GeometryError) as caught:
        read(folder, text, **options)
    return str(caught.value)


def facet_corners(device: Device, name: str) -> np.ndarray:
    """Vertices of this rank's facets of a boundary, m, shape (f, 3, 3)."""
    return on_facets(device, name, np.eye(3))


def flat_areas(device: Device, name: str) -> np.ndarray:
    """Areas of the facets of a boundary with straight edges."""
    x = facet_corners(device, name)
    return np.linalg.norm(np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]), axis=1) / 2


def determinants(device: Device) -> np.ndarray:
    x = nodes_of(device)
    return np.linalg.det(x[:, 1:4] - x[:, :1])


def mesh_file(path: Path, drawing: str, *, degree: int = 1, size: float, version: float = 4.1):
    """Mesh a solid with Gmsh alone."""
    source = path.with_suffix(".geo")
    source.write_text(drawing + "\n")
    with gmsh_session():
        gmsh.open(str(source))
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        gmsh.option.setNumber("Mesh.MeshSizeMin", size)
        gmsh.model.mesh.generate(3)
        gmsh.model.mesh.setOrder(degree)
        gmsh.option.setNumber("Mesh.MshFileVersion", version)
        gmsh.write(str(path))
    return path


# -- what a device knows ---------------------------------------------------------------------------


def test_box(tmp_path):
    device = read(tmp_path, BOX + NAMES)
    assert device.dimension == 3
    assert device.order == 2
    assert device.regions == ("metal",)
    assert set(device.boundaries) == {"source", "drain", "walls"}
    assert device.interfaces == ()
    assert device.islands == (tuple(device.boundaries),)
    # Straight cells: rounding.
    assert device.measure == pytest.approx(6e-27, abs=0, rel=1e-12)
    assert device.extent == pytest.approx(3e-9, abs=0, rel=1e-12)
    areas = sorted((p.boundary, p.measure * 1e18) for p in device.pieces)
    assert [name for name, _ in areas] == ["drain", "source", *4 * ["walls"]]
    np.testing.assert_allclose([a for _, a in areas], [2, 2, 3, 3, 6, 6], rtol=1e-12)
    assert not any(p.closed for p in device.pieces)


def test_cells_and_facets(tmp_path):
    """Positive cells that fill the box; facets that lie where their names say."""
    device = read(tmp_path, BOX + NAMES)
    assert (determinants(device) > 0).all()
    assert determinants(device).sum() / 6 == pytest.approx(6e-27, abs=0, rel=1e-12)
    for name, place in (("source", 0), ("drain", 3)):
        corners = facet_corners(device, name) * 1e9
        np.testing.assert_allclose(corners[..., 0], place, atol=1e-12)


def test_pieces_of_a_box(tmp_path):
    """Each is plane and as large as its facets are together."""
    device = read(tmp_path, BOX + NAMES)
    laws = {
        "source": Contact(potential=1e-3),
        "drain": Contact(potential=0.0),
        "walls": Wall(specularity=1.0),
    }
    matter = {"metal": material(carriers="3d", scattering="isotropic")}
    flow = Ohmic(device, materials=matter, boundaries=laws, order=1).solve()
    for name in device.boundaries:
        table = flow.profile(name, 2)
        pieces = [p for p in device.pieces if p.boundary == name]
        assert set(table["segment"]) == set(range(len(pieces)))
        for i, piece in enumerate(pieces):
            here = table["segment"] == i
            assert table["area"][here].sum() == pytest.approx(piece.measure, abs=0, rel=1e-12)
            points = np.column_stack([table[axis][here] for axis in "xyz"]) * 1e9
            assert np.ptp(points, axis=0).min() < 1e-12


def test_wire_converges():
    """Quadratic cells miss the round wall by h^4, straight ones by h^2."""
    exact = np.pi * 20**2 * 60 * 1e-27
    error: dict[int, list[float]] = {1: [], 2: []}
    for degree, found in error.items():
        for size in (6, 3):
            device = Device.from_gmsh(
                WIRE,
                length_unit="nm",
                parameters={"length": 60},
                size=f"{size} nm",
                geometry_order=degree,
            )
            found.append(abs(device.measure / exact - 1))
            area = {p.boundary: p.measure for p in device.pieces}
            # The same orders for areas.
            limit = {1: size**2 / 20**2, 2: size**4 / 20**4}[degree]
            assert area["surface"] == pytest.approx(2 * np.pi * 20 * 60e-18, abs=0, rel=limit)
            assert area["source"] == pytest.approx(np.pi * 20**2 * 1e-18, abs=0, rel=limit)
            assert len(device.pieces) == 3
    # Sizes follow to some ten per cent: 2^2 and 2^4 to a factor of 1.6.
    assert 2.5 < error[1][0] / error[1][1] < 6.5
    assert 10 < error[2][0] / error[2][1] < 26
    assert error[2][1] < 1e-2 * error[1][1]


def test_curved_nodes_are_on_the_wall():
    device = Device.from_gmsh(WIRE, length_unit="nm", size="8 nm")
    x = nodes_of(device)
    assert x.shape[1] == 10
    points = coordinate_element(device).basix_element.points
    barycentric = np.column_stack([1 - points.sum(axis=1), points])
    cell, local = facets_of(device, "surface").T
    for i in range(4):
        on_facet = x[cell[local == i]][:, barycentric[:, i] < 1e-12] * 1e9
        # The CAD kernel works to 1e-7.
        np.testing.assert_allclose(np.hypot(on_facet[..., 1], on_facet[..., 2]), 20, rtol=1e-8)
    # Nodes of edges inside are in their middles.
    middle = x[:, :4].mean(axis=1)
    inside = np.hypot(middle[:, 1], middle[:, 2]) < 8e-9
    np.testing.assert_allclose(
        x[inside][:, 4:], barycentric[4:] @ x[inside][:, :4], atol=1e-12 * device.extent
    )


# -- smooth pieces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("geometry_order", [1, 2])
@pytest.mark.parametrize(
    ("text", "areas", "closed"),
    [
        # Everything one name: the edges of the drawing part it, the seam of a cylinder does not.
        ("Box(1) = {0, 0, 0, 3, 2, 1};", [2, 2, 3, 3, 6, 6], 0),
        ("Cylinder(1) = {0, 0, 0, 5, 0, 0, 1};", [np.pi, np.pi, 10 * np.pi], 0),
        ("Sphere(1) = {0, 0, 0, 1};", [4 * np.pi], 1),
        # A shell has two closed surfaces.
        (
            "Sphere(2) = {0, 0, 0, 1}; Sphere(3) = {0, 0, 0, 0.5};"
            "BooleanDifference(1) = { Volume{2}; Delete; }{ Volume{3}; Delete; };",
            [np.pi, 4 * np.pi],
            2,
        ),
        # Two walls that meet smoothly: the flat and the round part of a stadium are one piece.
        (
            "Box(2) = {0, -1, 0, 3, 2, 1}; Cylinder(3) = {3, 0, 0, 0, 0, 1, 1};"
            "BooleanUnion(1) = { Volume{2}; Delete; }{ Volume{3}; Delete; };",
            [2, 6 + np.pi, 6 + np.pi / 2, 6 + np.pi / 2],
            0,
        ),
    ],
)
def test_pieces(tmp_path, text, areas, closed, geometry_order):
    text = f'SetFactory("OpenCASCADE");\n{text}\nPhysical Volume("metal") = {{1}};\n'
    device = read(
        tmp_path,
        text + 'Physical Surface("all") = Surface{:};\n',
        size="0.3 nm",
        geometry_order=geometry_order,
    )
    assert device.boundaries == ("all",)
    # Chords of 0.3 radians: a^2/8 of straight cells, with two directions; 1e-3 of curved ones.
    found = sorted(p.measure * 1e18 for p in device.pieces)
    np.testing.assert_allclose(found, sorted(areas), rtol={1: 4e-2, 2: 1e-3}[geometry_order])
    assert sum(p.closed for p in device.pieces) == closed


def test_two_regions_and_their_interface(tmp_path):
    text = """
    SetFactory("OpenCASCADE");
    Box(1) = {0, 0, 0, 1, 1, 1}; Box(2) = {1, 0, 0, 2, 1, 1};
    BooleanFragments{ Volume{1}; Delete; }{ Volume{2}; Delete; }
    middle() = Surface In BoundingBox{0.99, -1, -1, 1.01, 2, 2};
    outside() = Surface{:};
    outside() -= middle();
    Physical Volume("left") = {1}; Physical Volume("right") = {2};
    Physical Surface("middle") = {middle()}; Physical Surface("rim") = {outside()};
    """
    device = read(tmp_path, text)
    assert device.regions == ("left", "right")
    assert device.boundaries == ("rim",)
    assert device.interfaces == ("middle",)
    centre = nodes_of(device)[:, :4, 0].mean(axis=1)
    right = np.isin(np.arange(device.cells), device.dx.entities["right"])
    assert (right == (centre > 1e-9)).all()
    assert determinants(device)[right].sum() / 6 == pytest.approx(2e-27, abs=0, rel=1e-12)
    # The four walls of two boxes each are smooth across the interface.
    assert len(device.pieces) == 6


def test_islands(tmp_path):
    text = BOX + "Box(2) = {9, 0, 0, 1, 1, 1};\n" + 'Physical Volume("metal") = {1, 2};\n'
    text += 'Physical Surface("a") = {1:6}; Physical Surface("b") = {7:12};\n'
    assert sorted(read(tmp_path, text).islands) == [("a",), ("b",)]


def test_deterministic(tmp_path):
    first, second = (Device.from_gmsh(WIRE, length_unit="nm", size="9 nm") for _ in range(2))
    np.testing.assert_array_equal(nodes_of(first), nodes_of(second))
    assert first.pieces == second.pieces
    for name in first.boundaries:
        np.testing.assert_array_equal(facets_of(first, name), facets_of(second, name))


# -- sizes -----------------------------------------------------------------------------------------


def edge_lengths(device: Device) -> np.ndarray:
    x = nodes_of(device)
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    return np.stack([np.linalg.norm(x[:, a] - x[:, b], axis=1) for a, b in pairs], axis=1)


def cell_size(device: Device) -> float:
    """Mean size in nm: Gmsh puts about five tetrahedra of size h into h^3."""
    return (5 * device.measure / device.cells) ** (1 / 3) * 1e9


@pytest.mark.parametrize("length", [100, 400])
def test_default_size_follows_the_thickness(length):
    """Six cells across, a little less in the middle, whatever the length."""
    device = Device.from_gmsh(WIRE, length_unit="nm", parameters={"length": length})
    assert 0.9 < cell_size(device) / (40 / 6) < 1.4


def test_mesh_size():
    device = Device.from_gmsh(WIRE, length_unit="nm", size="4 nm")
    # Gmsh keeps sizes to some ten per cent.
    assert 0.85 < cell_size(device) / 4 < 1.15


def test_layer(tmp_path):
    device = read(tmp_path, BOX + NAMES, layers={"source": Layer(decay=0.3e-9)})
    size = {n: np.sqrt(flat_areas(device, n) * 4 / np.sqrt(3)) * 1e9 for n in device.boundaries}
    # Six cells per decay length for degree 2; 1/6 of the thickness at the other end.
    assert size["source"].mean() == pytest.approx(0.05, rel=0.3)
    assert size["drain"].mean() > 2.5 * 0.05


def test_reentrant_edges(tmp_path):
    """Cells at the inner edge of a step are a quarter of those around it."""
    device = Device.from_gmsh(GEOMETRIES / "step.geo", length_unit="nm")
    x, size = nodes_of(device)[:, :4].mean(axis=1) * 1e9, edge_lengths(device).mean(axis=1) * 1e9
    near = np.hypot(x[:, 0] - 100, x[:, 2] - 20) < 2
    around = np.hypot(x[:, 0] - 100, x[:, 2] - 20) > 15
    assert near.any()
    assert size[near].mean() < 0.5 * size[around].mean()
    assert device.cells < 20_000


def test_film_has_its_layers():
    """The drawing's own cells: so many layers, growing from both surfaces."""
    parameters = {"thickness": 10, "layers": 7, "grading": 1.5, "size": 30}
    device = Device.from_gmsh(
        FILM, length_unit="nm", parameters=parameters, layers={"surfaces": Layer(decay=1e-9)}
    )
    z = np.unique(np.round(nodes_of(device)[..., 2] * 1e9, 9))
    heights = 1.5 ** np.array([0, 1, 2, 3, 2, 1, 0])
    np.testing.assert_allclose(np.diff(z), 10 * heights / heights.sum(), rtol=1e-8)
    assert device.cells == 4 * 14 * 7 * 6  # boxes of six tetrahedra


# -- periodic pairs --------------------------------------------------------------------------------


def ends(device: Device, name: str) -> np.ndarray:
    """Nodes of the facets of a boundary, sorted, without their x: shape (f, n, 2)."""
    points = coordinate_element(device).basix_element.points
    outside = np.column_stack([1 - points.sum(axis=1), points]) < 1e-12
    nodes = nodes_of(device)
    rows = [nodes[cell, outside[:, local], 1:] for cell, local in facets_of(device, name)]
    rows = [row[np.lexsort(np.round(row * 1e9, 6).T)] for row in rows]
    return np.array(sorted(rows, key=lambda row: np.round(row * 1e9, 6).ravel().tolist()))


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (FILM, {"parameters": {"layers": 5, "grading": 1.3}}),
        (WIRE, {}),
        (WIRE, {"size": "7 nm", "layers": {"surface": Layer(size=4e-9, reach=10e-9)}}),
    ],
)
def test_ends_match(path, options):
    """Node for node, those of curved edges too, and triangle for triangle."""
    device = Device.from_gmsh(path, length_unit="nm", **options)
    first, second = ends(device, "source"), ends(device, "drain")
    assert first.shape == second.shape
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-10 * device.smallest_cell)


# -- mesh files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2.2, 4.1])
@pytest.mark.parametrize("degree", [1, 2])
def test_mesh_file(tmp_path, degree, version):
    text = 'SetFactory("OpenCASCADE");\nCylinder(1) = {0, 0, 0, 5, 0, 0, 1};\n'
    text += 'Physical Volume("metal") = {1}; Physical Surface("wall") = {1};'
    text += 'Physical Surface("ends") = {2, 3};'
    path = mesh_file(tmp_path / "wire.msh", text, degree=degree, size=0.3, version=version)
    device = Device.from_gmsh(path, length_unit="nm")
    assert device.dimension == 3
    assert cell_degree(device) == degree
    assert set(device.boundaries) == {"wall", "ends"}
    assert len(device.pieces) == 3
    # Edges of 0.3 radians: a^2/6 of the section, or a^4/480 and what the mesher rounds.
    error = 1 - device.measure / (5 * np.pi * 1e-27)
    assert abs(error) < {1: 0.3**2 / 5, 2: 1e-4}[degree]
    assert degree == 2 or error > 5e-3


def test_cubic_mesh_file(tmp_path):
    path = mesh_file(tmp_path / "box.msh", BOX + NAMES, degree=3, size=1.0)
    with pytest.raises(GeometryError, match=r"tetrahedra, all of one degree \(1 to 2\)"):
        Device.from_gmsh(path, length_unit="nm")


def test_hexahedra(tmp_path):
    text = """
    Point(1) = {0, 0, 0}; Point(2) = {1, 0, 0};
    Line(1) = {1, 2};
    square[] = Extrude {0, 1, 0} { Line{1}; Layers{2}; Recombine; };
    cube[] = Extrude {0, 0, 1} { Surface{square[1]}; Layers{2}; Recombine; };
    Physical Volume("metal") = {cube[1]}; Physical Surface("all") = Surface{:};
    """
    message = refusal(tmp_path, text)
    assert "meso needs tetrahedra" in message
    assert "Hexahedron" in message


# -- refusals --------------------------------------------------------------------------------------


def test_unnamed_surface(tmp_path):
    message = refusal(tmp_path, BOX + NAMES.replace("{3, 4, 5, 6}", "{3, 4, 5}"))
    assert "belong to no physical surface, the first near (" in message
    assert message.count(",") > 4  # three coordinates
    assert 'Physical Surface("walls")' in message


def test_unnamed_volume(tmp_path):
    message = refusal(tmp_path, BOX + 'Physical Surface("walls") = {1:6};\n')
    assert 'Physical Volume("metal")' in message


def test_geometry_order(tmp_path):
    message = refusal(tmp_path, BOX + NAMES, geometry_order=4)
    assert "geometry_order = 4" in message
    assert "1 or 2" in message


def test_impossible_size(tmp_path):
    message = refusal(tmp_path, BOX + NAMES, size="1 pm")
    assert "3 by 2 by 1" in message
    assert "length_unit" in message


def test_unknown_layer(tmp_path):
    message = refusal(tmp_path, BOX + NAMES, layers={"wall": Layer(decay=1e-10)})
    assert "no physical surface 'wall'" in message
    assert "walls" in message


def test_layer_without_lengths():
    with pytest.raises(ValueError, match="decay"):
        Layer(size=1.0)


# -- parallel --------------------------------------------------------------------------------------


def summary() -> dict[str, float]:
    """Sums over all ranks of what each has of the wire."""
    comm = MPI.COMM_WORLD
    device = Device.from_gmsh(WIRE, length_unit="nm", size="7 nm")
    out = {
        "cells": comm.allreduce(len(nodes_of(device))),
        "volume": comm.allreduce(float(determinants(device).sum() / 6 * 1e27)),
        "own": comm.allreduce(int((determinants(device) > 0).all()), op=MPI.MIN),
    }
    for name in device.boundaries:
        out[name] = comm.allreduce(float(flat_areas(device, name).sum() * 1e18))
        out[name + " facets"] = comm.allreduce(len(facets_of(device, name)))
    return out


@pytest.mark.ranks
@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_agree(ranks):
    said = launch(__file__, ranks)
    found = dict(line.split(" = ") for line in said.splitlines() if " = " in line)
    expected = summary()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Sums in another order: rounding.
        assert float(found[name]) == pytest.approx(value, abs=0, rel=1e-12)


if __name__ == "__main__":
    table = summary()
    if MPI.COMM_WORLD.rank == 0:
        sys.stdout.write("".join(f"{name} = {value!r}\n" for name, value in table.items()))
