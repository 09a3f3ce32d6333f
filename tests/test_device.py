"""Devices from drawings and mesh files: names, curved cells, pieces, and refusals."""

from __future__ import annotations

from pathlib import Path

import dolfinx
import numpy as np
import pytest
import ufl
from conftest import GEOMETRIES, material, mesh_file, solve
from helpers import cell_degree, determinants, nodes_of, on_facets

from meso import Contact, Device, GeometryError, Layer, Wall
from meso.exact import Bend
from meso.flow import Ohmic

PLATE = """
w = 2;
Point(1) = {0, 0, 0}; Point(2) = {w, 0, 0}; Point(3) = {w, 1, 0}; Point(4) = {0, 1, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1};
"""
NAMES = """
Physical Surface("metal") = {1}; Physical Curve("source") = {4}; Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3};
"""


def read(folder: Path, text: str, name: str = "plate.geo", **options) -> Device:
    path = folder / name
    path.write_text(text)
    return Device.from_gmsh(path, length_unit="um", **options)


def refusal(folder: Path, text: str, **options) -> str:
    with pytest.raises(GeometryError) as caught:
        read(folder, text, **options)
    message = str(caught.value)
    assert message.startswith(str(folder / "plate.geo"))
    return message


# -- what a device knows ---------------------------------------------------------------------------


def test_plate(tmp_path):
    device = read(tmp_path, PLATE + NAMES)
    assert device.regions == ("metal",)
    assert set(device.boundaries) == {"source", "drain", "edges"}
    assert device.dimension == 2
    # Straight cells: rounding.
    assert device.measure == pytest.approx(2e-12, abs=0, rel=1e-13)
    assert device.extent == pytest.approx(2e-6, abs=0, rel=1e-13)
    lengths = sorted((p.boundary, p.measure) for p in device.pieces)
    assert [name for name, _ in lengths] == ["drain", "edges", "edges", "source"]
    np.testing.assert_allclose([x for _, x in lengths], [1e-6, 2e-6, 2e-6, 1e-6], rtol=1e-12)
    assert device.islands == (tuple(device.boundaries),)
    assert not any(p.closed for p in device.pieces)


def test_arc_length_runs_with_the_conductor_on_the_left(tmp_path):
    device = read(tmp_path, PLATE + NAMES)
    laws = {
        "source": Contact(potential=1e-3),
        "drain": Contact(potential=0.0),
        "edges": Wall(specularity=1.0),
    }
    flow = Ohmic(device, materials={"metal": material()}, boundaries=laws, order=2).solve()
    for name in device.boundaries:
        walls = flow.profile(name, 2)
        pieces = [p for p in device.pieces if p.boundary == name]
        assert set(walls["segment"]) == set(range(len(pieces)))
        for i, piece in enumerate(pieces):
            here = walls["segment"] == i
            s, x = walls["s"][here], np.column_stack([walls["x"], walls["y"]])[here]
            assert (np.diff(s) >= 0).all() and len(np.unique(s)) > 2
            assert s[-1] - s[0] == pytest.approx(piece.measure, abs=0, rel=1e-12)
            along = np.linalg.norm(x - x[0], axis=1)
            np.testing.assert_allclose(along, s, atol=1e-13 * piece.measure)
            step, middle = x[-1] - x[0], np.array([1e-6, 0.5e-6])
            left = step[0] * (middle - x)[:, 1] - step[1] * (middle - x)[:, 0]
            assert (left > 0).all()


def test_parameters_replace_plain_assignments(tmp_path):
    device = read(tmp_path, PLATE + NAMES, parameters={"w": 3})
    assert device.measure == pytest.approx(3e-12, abs=0, rel=1e-13)


@pytest.mark.parametrize("name", ["w", "width of it"])
@pytest.mark.parametrize(
    "text",
    [
        'h = 1; w = DefineNumber[2, Name "width of it"]; ',
        'w = DefineNumber[2, Name "width of it"]; // w = 5; Name "w"\nh = 1;',
        'DefineConstant[ w = {2, Name "width of it"}, h = 1 ]; ',
    ],
)
def test_parameters_of_any_kind(tmp_path, text, name):
    """Variables anywhere in a line, and names in the window of Gmsh."""
    text = f'SetFactory("OpenCASCADE"); {text} Rectangle(1) = {{0, 0, 0, w, h}};\n'
    text += 'Physical Surface("plate") = {1}; Physical Curve("edges") = {1, 2, 3, 4};'
    device = read(tmp_path, text, parameters={name: 3})
    assert device.measure == pytest.approx(3e-12, abs=0, rel=1e-13)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ('w = 2; h = 1; // "wide" wide', "wide", "no variable 'wide' (geometry.parameters)"),
        ('Include "sizes.geo";', "w", "'w' (geometry.parameters) is 2 whatever it is given"),
    ],
)
def test_parameters_without_effect(tmp_path, text, name, words):
    (tmp_path / "sizes.geo").write_text("w = 2; h = 1;\n")
    text = f'SetFactory("OpenCASCADE"); {text}\n Rectangle(1) = {{0, 0, 0, w, h}};\n'
    text += 'Physical Surface("plate") = {1}; Physical Curve("edges") = {1, 2, 3, 4};'
    with pytest.raises(GeometryError) as error:
        read(tmp_path, text, parameters={name: 3})
    assert words in str(error.value)


def test_last_line_without_its_end(tmp_path):
    """Gmsh alone drops the last statement of such a file."""
    text = PLATE + NAMES.rstrip()
    assert not text.endswith("\n")
    device = read(tmp_path, text)
    assert "edges" in device.boundaries


def test_two_regions(tmp_path):
    text = """
    Point(1) = {0, 0, 0}; Point(2) = {1, 0, 0}; Point(3) = {1, 1, 0}; Point(4) = {0, 1, 0};
    Point(5) = {2, 0, 0}; Point(6) = {2, 1, 0};
    Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
    Line(5) = {2, 5}; Line(6) = {5, 6}; Line(7) = {6, 3};
    Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1};
    Curve Loop(2) = {5, 6, 7, -2}; Plane Surface(2) = {2};
    Physical Surface("left") = {1}; Physical Surface("right") = {2};
    Physical Curve("middle") = {2}; Physical Curve("rim") = {1, 3, 4, 5, 6, 7};
    """
    device = read(tmp_path, text)
    assert device.regions == ("left", "right")
    assert device.boundaries == ("rim",)
    assert device.interfaces == ("middle",)
    centre = nodes_of(device)[:, :3, 0].mean(axis=1)
    right = np.isin(np.arange(device.cells), device.dx.entities["right"])
    assert (right == (centre > 1e-6)).all()


def test_islands(tmp_path):
    text = (
        PLATE
        + """
    Point(5) = {5, 0, 0}; Point(6) = {6, 0, 0}; Point(7) = {6, 1, 0};
    Line(5) = {5, 6}; Line(6) = {6, 7}; Line(7) = {7, 5};
    Curve Loop(2) = {5, 6, 7}; Plane Surface(2) = {2};
    Physical Surface("metal") = {1, 2}; Physical Curve("a") = {1, 2, 3, 4};
    Physical Curve("b") = {5, 6, 7};
    """
    )
    assert sorted(read(tmp_path, text).islands) == [("a",), ("b",)]


def test_sizes(tmp_path):
    coarse = read(tmp_path, PLATE + NAMES)
    fine = read(tmp_path, PLATE + NAMES, size="0.05 um")
    layer = {"edges": Layer(size=0.01e-6, reach=0.05e-6)}
    graded = read(tmp_path, PLATE + NAMES, layers=layer)
    assert fine.cells > 4 * coarse.cells
    length = {
        name: np.linalg.norm(np.diff(on_facets(graded, name, np.eye(2)), axis=1), axis=2)
        for name in ("edges", "source")
    }
    # Gmsh keeps sizes to some ten per cent.
    assert length["edges"].max() < 1.5 * 0.01e-6
    assert length["source"].max() > 3 * 0.01e-6


# -- mesh files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2.2, 4.1])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_mesh_file(tmp_path, degree, version):
    """Names and curves survive; the area of the bend shows the order of its cells."""
    path = mesh_file(
        tmp_path / "bend.msh", GEOMETRIES / "annulus.geo", degree=degree, size=20.0, version=version
    )
    device = Device.from_gmsh(path, length_unit="nm")
    assert device.regions == ("metal",)
    assert set(device.boundaries) == {"source", "drain", "inner", "outer"}
    assert cell_degree(device) == degree
    # Area by quadrature of the curved cells; an arc of angle a in degree-g edges is off by
    # a^(g + 1) or a^(g + 2) (g odd, even), here with a = 0.2 and constants below 0.1.
    weights, determinant = determinants(device, 2 * degree)
    assert (determinant > 0).all()
    area = (determinant * weights).sum()
    exact = np.pi / 4 * (200e-9**2 - 100e-9**2)
    limit = {1: 5e-3, 2: 2e-5, 3: 2e-5, 4: 2e-8}[degree]
    assert abs(area / exact - 1) < limit
    length = {p.boundary: p.measure for p in device.pieces}
    assert length["outer"] == pytest.approx(np.pi * 100e-9, abs=0, rel=limit)
    if degree == 1:
        assert length["outer"] < np.pi * 100e-9 * (1 - 1e-4)  # a polygon is not a bend
    assert len(device.pieces) == 4


def test_polygonal_and_curved_flow(tmp_path):
    """Straight cells cost two orders on slip walls; degree 4 keeps what the field can do."""
    matter = material(mean_free_path=100e-9)
    wall = Wall(specularity=0.0)
    exact = Bend(
        inner=100e-9,
        outer=200e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        inner_slip=wall.slip_rate(matter),
        outer_slip=wall.slip_rate(matter),
        drive=matter.conductivity * 1e-3 / (np.pi / 2),
    )
    error = {}
    for degree in (1, 2, 4):
        path = tmp_path / f"{degree}.msh"
        mesh_file(path, GEOMETRIES / "annulus.geo", degree=degree, size=25.0)
        flow = solve(Device.from_gmsh(path, length_unit="nm"), matter, inner=wall, outer=wall)
        error[degree] = abs(flow.contacts["source"].current / exact.current - 1)
    assert error[4] < 1e-7
    assert error[2] < 2e-4
    assert error[1] > 20 * error[2]


def test_ring_has_closed_pieces():
    device = Device.from_gmsh(GEOMETRIES / "corbino.geo", length_unit="nm")
    assert [p.closed for p in device.pieces] == [True, True]
    length = {p.boundary: p.measure for p in device.pieces}
    # Cells of degree 4: the arcs are true to 1e-8.
    assert length["source"] == pytest.approx(2 * np.pi * 50e-9, abs=0, rel=1e-7)
    assert length["drain"] == pytest.approx(2 * np.pi * 200e-9, abs=0, rel=1e-7)


# -- periodic pairs --------------------------------------------------------------------------------

BENT = """
SetFactory("OpenCASCADE");
Point(1) = {0, 0, 0}; Point(2) = {6, 30, 0}; Point(3) = {4, 60, 0}; Point(4) = {0, 100, 0};
Point(5) = {200, 0, 0}; Point(6) = {206, 30, 0}; Point(7) = {204, 60, 0}; Point(8) = {200, 100, 0};
Spline(1) = {1, 2, 3, 4}; Spline(2) = {8, 7, 6, 5}; Line(3) = {1, 5}; Line(4) = {4, 8};
Curve Loop(1) = {3, -2, 4, 1}; Plane Surface(1) = {1};
Recursive Delete { Point{2, 3, 6, 7}; }
Periodic Curve {2} = {-1} Translate {200, 0, 0};
Physical Surface("metal") = {1}; Physical Curve("left") = {1}; Physical Curve("right") = {2};
Physical Curve("edges") = {3, 4};
"""


def along(device: Device, name: str) -> np.ndarray:
    """Points on a boundary: five of each facet, one row a facet, in an order of their places."""
    s = np.linspace(0, 1, 5)
    rows = on_facets(device, name, np.column_stack([1 - s, s]))
    place = np.round(rows / device.smallest_cell, 3)
    key = place[:, [0, -1]] @ [1.0, 2.0]  # no facet lies along its lines
    rows[key[:, 0] > key[:, 1]] = rows[key[:, 0] > key[:, 1], ::-1]
    return rows[np.argsort(np.sort(key, axis=1)[:, 0])]


@pytest.mark.parametrize("decay", [None, 10.0, 0.5])
@pytest.mark.parametrize(
    ("drawing", "walls", "pairs"),
    [
        (GEOMETRIES / "wavy_channel.geo", "edges", {"left": ("right", (300, 0))}),
        (
            GEOMETRIES / "antidot.geo",
            "edge",
            {"left": ("right", (200, 0)), "bottom": ("top", (0, 200))},
        ),
        # Curved, and drawn in opposite directions.
        (BENT, "edges", {"left": ("right", (200, 0))}),
    ],
)
def test_periodic_meshes_match(tmp_path, drawing, walls, pairs, decay):
    """The default sizes, flat cells in thin layers too, keep what Gmsh's Periodic Curve asks."""
    if isinstance(drawing, str):
        path = tmp_path / "bent.geo"
        path.write_text(drawing)
        drawing = path
    layers = {walls: Layer(decay=decay * 1e-9)} if decay else {}
    device = Device.from_gmsh(drawing, length_unit="nm", layers=layers)
    for first, (second, step) in pairs.items():
        here, there = along(device, first), along(device, second)
        assert here.shape == there.shape
        there -= np.array(step) * 1e-9
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10 * device.smallest_cell)


def test_default_orders(tmp_path):
    """Fields of degree 4; cells of the even degree that suits the fields."""
    device = Device.from_gmsh(GEOMETRIES / "corbino.geo", length_unit="nm")
    assert (device.order, cell_degree(device)) == (4, 4)
    device = Device.from_gmsh(GEOMETRIES / "corbino.geo", length_unit="nm", order=5)
    assert (device.order, cell_degree(device)) == (5, 6)


# -- refusals --------------------------------------------------------------------------------------


def test_no_physical_groups(tmp_path):
    assert "no physical surface" in refusal(tmp_path, PLATE)


def test_unnamed_edges(tmp_path):
    text = PLATE + 'Physical Surface("metal") = {1}; Physical Curve("source") = {4};\n'
    message = refusal(tmp_path, text)
    assert "belong to no physical curve" in message
    assert "near (" in message


def test_volume(tmp_path):
    """A volume makes the drawing three-dimensional; names of its edges are no names of walls."""
    text = PLATE + 'Extrude {0, 0, 1} { Surface{1}; }\nPhysical Volume("metal") = {1};\n'
    message = refusal(tmp_path, text + 'Physical Curve("source") = {4};\n')
    assert "belong to no physical surface" in message


def test_surface_out_of_plane(tmp_path):
    text = PLATE.replace("{w, 1, 0}", "{w, 1, 0.5}").replace("{0, 1, 0}", "{0, 1, 0.5}") + NAMES
    assert "plane z = const" in refusal(tmp_path, text)


def test_syntax_error(tmp_path):
    message = refusal(tmp_path, PLATE + "Lime(9) = {1, 2};\n")
    assert "Gmsh refuses this drawing" in message
    assert "'plate.geo', line 6: syntax error" in message  # Gmsh's own words
    assert "/meso-" not in message  # and not the name of a temporary copy


def test_error_leaves_nothing_behind(tmp_path):
    """Gmsh's parser would go on with the rest of a refused file in the next one."""
    refusal(tmp_path, "Lime(9) = {1, 2, 3, 4};\n" + PLATE)
    assert read(tmp_path, PLATE + NAMES).measure == pytest.approx(2e-12, abs=0, rel=1e-13)


def test_own_error_of_a_drawing(tmp_path):
    with pytest.raises(GeometryError, match="inner_radius > 0"):
        Device.from_gmsh(
            GEOMETRIES / "annulus.geo", length_unit="nm", parameters={"inner_radius": -1}
        )


def test_unknown_parameter():
    with pytest.raises(GeometryError, match="did you mean 'width'"):
        Device.from_gmsh(GEOMETRIES / "ribbon.geo", length_unit="nm", parameters={"widht": 50})


def test_parameters_of_a_mesh_file(tmp_path):
    path = mesh_file(tmp_path / "plate.msh", PLATE + NAMES)
    with pytest.raises(GeometryError, match="not for a mesh"):
        Device.from_gmsh(path, length_unit="nm", parameters={"w": 50})


def test_unknown_layer(tmp_path):
    message = refusal(tmp_path, PLATE + NAMES, layers={"edge": Layer(size=1e-8, reach=1e-7)})
    assert "no physical curve 'edge'" in message
    assert "edges" in message


def test_two_names_on_one_curve(tmp_path):
    message = refusal(tmp_path, PLATE + NAMES + 'Physical Curve("top") = {3};\n')
    assert "curve 3 is in two physical groups" in message
    assert "'edges'" in message
    assert "'top'" in message


def test_quadrilaterals(tmp_path):
    message = refusal(tmp_path, PLATE + NAMES + "Recombine Surface {1};\n")
    assert "meso needs triangles" in message
    assert "Quadrilateral" in message


def test_missing_file(tmp_path):
    with pytest.raises(GeometryError, match="cannot be read"):
        Device.from_gmsh(tmp_path / "nothing.geo", length_unit="nm")


def test_other_files(tmp_path):
    path = tmp_path / "plate.stl"
    path.write_text("solid")
    with pytest.raises(GeometryError, match=r"found .\.stl.; must be .*\.geo.*\.msh"):
        Device.from_gmsh(path, length_unit="nm")


def test_not_a_mesh(tmp_path):
    path = tmp_path / "plate.msh"
    path.write_text("this is no mesh\n")
    with pytest.raises(GeometryError, match=str(path)):
        Device.from_gmsh(path, length_unit="nm")


def test_tags_are_the_measures():
    """MeshTags for a measure of one's own, and the named one: the same lengths and areas."""
    device = Device.from_gmsh(GEOMETRIES / "bilayer.geo", length_unit="nm")
    one = dolfinx.fem.Constant(device.mesh, 1.0)
    dx = ufl.Measure("dx", domain=device.mesh, subdomain_data=device.cell_tags)
    for i, name in enumerate(device.regions):
        wanted = device.integrate(one * device.dx(name))
        assert device.integrate(one * dx(i)) == pytest.approx(wanted, rel=1e-13)
    ds = ufl.Measure("ds", domain=device.mesh, subdomain_data=device.facet_tags)
    for i, name in enumerate(device.boundaries):
        wanted = device.integrate(one * device.ds(name))
        assert wanted > 0
        assert device.integrate(one * ds(i)) == pytest.approx(wanted, rel=1e-13)
