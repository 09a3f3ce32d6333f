"""Meshes of other programs: the same device as from Gmsh's own file, and refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gmsh
import numpy as np
import pytest
from conftest import GEOMETRIES, gmsh_session, material, mesh_file
from helpers import cell_degree, measures, nodes_of
from launching import launch
from mpi4py import MPI

from meso import CaseError, Contact, Device, GeometryError, Profile, Wall
from meso.cli import main
from meso.flow import Ohmic

meshio = pytest.importorskip("meshio")

SOLID = """
SetFactory("OpenCASCADE");
Cylinder(1) = {0, 0, 0, 0, 0, 30, 10};
Mesh.MeshSizeMax = 6;
Physical Volume("metal") = {1}; Physical Surface("edges") = {1};
Physical Surface("source") = {2}; Physical Surface("drain") = {3};
"""
NAMES = {
    2: ("metal", "source", "drain", "inner", "outer"),
    3: ("metal", "source", "drain", "edges"),
}


def gmsh_mesh(path: Path, dimension: int, degree: int) -> Path:
    """A quarter of a ring or a cylinder, meshed by Gmsh."""
    if dimension == 2:
        return mesh_file(path, GEOMETRIES / "annulus.geo", degree=degree, size=25.0)
    with gmsh_session():
        geo = path.with_suffix(".geo")
        geo.write_text(SOLID)
        gmsh.open(str(geo))
        gmsh.model.mesh.generate(3)
        gmsh.model.mesh.setOrder(degree)
        gmsh.write(str(path))
    return path


def plain(path: Path) -> Any:
    """The mesh of a Gmsh file without sets, one block of each kind; the number of each name."""
    mesh = meshio.read(path)
    kinds = [k for k in dict.fromkeys(b.type for b in mesh.cells) if k != "vertex"]
    cells = [(kind, mesh.get_cells_type(kind)) for kind in kinds]
    tags = [mesh.get_cell_data("gmsh:physical", kind).astype(np.int64) for kind in kinds]
    return (mesh.points, cells, tags, {n: int(tag) for n, (tag, _) in mesh.field_data.items()})


def abaqus(path: Path, out: Path) -> Path:
    """Plain element blocks, and element sets."""
    points, cells, tags, numbers = plain(path)
    types = {"line": "T3D2", "triangle": "CPS3", "triangle6": "CPS6", "tetra": "C3D4"}
    types |= {"tetra10": "C3D10"}
    lines = ["*HEADING", "a mesh", "*Node"]
    lines += [f"{i + 1}, " + ", ".join(map(repr, map(float, x))) for i, x in enumerate(points)]
    sets: dict[int, list[int]] = {}
    count = 0
    for (kind, nodes), tag in zip(cells, tags, strict=True):
        if kind == "line3":  # the middle node of Abaqus' beams is the second
            kind, nodes = "B22", nodes[:, [0, 2, 1]]
        if kind == "triangle6" and any(k == "tetra10" for k, _ in cells):
            kind = "STRI65"
        lines.append(f"*ELEMENT, TYPE={types.get(kind, kind)}")
        for row, number in zip(nodes + 1, tag, strict=True):
            count += 1
            sets.setdefault(int(number), []).append(count)
            lines.append(f"{count}, " + ", ".join(map(str, row[:7])) + ",")
            if len(row) > 7:
                lines.append(", ".join(map(str, row[7:])))
    for name, number in numbers.items():
        lines.append(f"*ELSET, ELSET={name}")
        lines += [f"{n}," for n in sets[number]]
    out.write_text("\n".join(lines) + "\n")
    return out


def med(path: Path, out: Path) -> Path:
    """Families of Salome, one for each name."""
    points, cells, tags, numbers = plain(path)
    mesh = meshio.Mesh(points, cells, cell_data={"cell_tags": [-tag for tag in tags]})
    mesh.point_tags = {}
    mesh.cell_tags = {-number: [name] for name, number in numbers.items()}
    mesh.write(out)
    return out


def vtk(path: Path, out: Path) -> Path:
    """Regions and boundaries by number."""
    points, cells, tags, _ = plain(path)
    meshio.Mesh(points, cells, cell_data={"region": tags}).write(out)
    return out


def medit(path: Path, out: Path) -> Path:
    points, cells, tags, _ = plain(path)
    meshio.Mesh(points, cells, cell_data={"medit:ref": tags}).write(out)
    return out


def gmsh_writes(path: Path, out: Path) -> Path:
    """Gmsh's own export: a set for each entity in the headers, and for each name."""
    with gmsh_session():
        gmsh.open(str(path))
        gmsh.write(str(out))
    return out


WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    "ours.inp": abaqus,
    "gmsh.inp": gmsh_writes,
    "salome.med": med,
    "mesh.vtu": vtk,
    "mesh.vtk": vtk,
    "mesh.mesh": medit,
}


def current(device: Device, names: dict[str, str]) -> float:
    laws: dict[str, Any] = {
        "source": Contact(potential=1e-3),
        "drain": Contact(potential=0.0),
        **dict.fromkeys(("inner", "outer", "edges"), Wall(specularity=0.0)),
    }
    matter = (
        material() if device.dimension == 2 else material(carriers="3d", scattering="isotropic")
    )
    boundaries = {names[n]: law for n, law in laws.items() if n in names}
    flow = Ohmic(
        device,
        materials={names["metal"]: matter},
        boundaries=boundaries,
        order=2,
        solver="direct",
    ).solve()
    return flow.contacts[names["source"]].current


# meshio does not read cells of degree 2 from Medit's files.
COMBINATIONS = [(n, d) for n in WRITERS for d in (1, 2) if (n, d) != ("mesh.mesh", 2)]


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize(("name", "degree"), COMBINATIONS)
def test_same_device(tmp_path, name, degree, dimension):
    path = gmsh_mesh(tmp_path / "reference.msh", dimension, degree)
    reference = Device.from_gmsh(path, length_unit="nm")
    device = Device.from_gmsh(WRITERS[name](path, tmp_path / name), length_unit="nm")
    numbers = plain(path)[3]
    by_number = name.startswith("mesh")
    names = {n: str(numbers[n]) if by_number else n for n in NAMES[dimension]}
    assert device.regions == (names["metal"],)
    assert set(device.boundaries) == set(names.values()) - {names["metal"]}
    assert device.cells == reference.cells
    assert cell_degree(device) == degree
    assert device.order == reference.order
    # Gmsh writes 14 digits into .inp; the rest is rounding.
    assert device.measure == pytest.approx(reference.measure, abs=0, rel=1e-12)
    expected = measures(reference)
    for known, given in names.items():
        if known != "metal":
            assert measures(device)[given] == pytest.approx(expected[known], abs=0, rel=1e-12)
    if degree == 2:  # an arc is no polygon: the ring and the cylinder are round
        round_ = {2: np.pi / 4 * (200**2 - 100**2) * 1e-18, 3: np.pi * 10**2 * 30 * 1e-27}
        assert device.measure == pytest.approx(round_[dimension], abs=0, rel=1e-3)
    same = {n: n for n in names}
    found, wanted = current(device, names), current(reference, same)
    # Another order of the cells: rounding, magnified by the condition of a small system.
    assert found == pytest.approx(wanted, abs=0, rel=1e-12)


# -- Abaqus ----------------------------------------------------------------------------------------

PLATE = """*Heading
** two squares of two triangles each, and two lines
*Part, name=plate
*Node, nset=everything
 1, 0., 0.
 2, 1., 0.
 3, 2., 0.
 4, 0., 1.
 5, 1., 1.
 6, 2., 1.
*Element, type=CPS3
 1, 1, 2, 5
 2, 1, 5,
 4
*element, TYPE=CPE3, ELSET=right
 3, 2, 6, 5
 4, 2, 3, 6
"""
NODES = """*Nset, nset=source, generate
 1, 4, 3
*Nset, nset=drain
 3,
 6
"""


def read(folder: Path, text: str, name: str = "plate.inp") -> Device:
    path = folder / name
    path.write_text(text)
    return Device.from_gmsh(path, length_unit="um")


def opened(path: Path) -> Device:
    return Device.from_gmsh(path, length_unit="um")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(GeometryError) as caught:
        read(folder, text)
    assert str(caught.value).startswith(str(folder / "plate.inp"))
    return str(caught.value)


LEFT = "*Elset, elset=left\n 1, 2\n"
EDGES = "*Nset, nset=bottom\n 1, 2, 3\n*Nset, nset=top\n 4, 5, 6\n"


def test_sets_in_headers_and_sets_of_nodes(tmp_path):
    device = read(tmp_path, PLATE + LEFT + NODES + EDGES)
    assert set(device.regions) == {"left", "right"}
    # No boundary of its own for "everything", which has all nodes.
    assert set(device.boundaries) == {"source", "drain", "bottom", "top"}
    # 6 straight edges of a plate of 2 by 1 um: rounding.
    expected = {"source": 1e-6, "drain": 1e-6, "bottom": 2e-6, "top": 2e-6}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-13)
    assert device.measure == pytest.approx(2e-12, abs=0, rel=1e-13)
    middle = nodes_of(device)[:, :3, 0].mean(axis=1)
    right = np.isin(np.arange(device.cells), device.dx.entities["right"])
    assert (right == (middle > 1e-6)).all()


def test_surfaces(tmp_path):
    text = (
        PLATE + "*Elset, elset=_a, internal\n 2,\n*Elset, elset=low\n 1, 4\n"
        "*Elset, elset=metal, generate\n 1, 4, 1\n*Surface, name=source\n _a, S3\n"
        "*Surface, type=ELEMENT, name=drain\n 4, S2\n"
        "*Surface, name=edges\n low, S1\n 2, S2\n 3, S2\n*Surface, name=points, type=NODE\n 5,\n"
    )
    device = read(tmp_path, text)
    assert device.regions == (
        "metal",
    )  # neither the set of a header, nor those that serve surfaces
    expected = {"source": 1e-6, "drain": 1e-6, "edges": 4e-6}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-13)


def test_sets_of_sets_included_files_and_continued_lines(tmp_path):
    (tmp_path / "sets.inp").write_text(LEFT + "*Elset, elset=metal\n left, RIGHT\n" + NODES)
    text = PLATE + '*INCLUDE, INPUT="sets.inp"\n*Nset,\n nset=walls\n source, drain, 2, 5\n'
    device = read(tmp_path, text + EDGES)
    assert device.regions == ("left", "right")  # "metal" is the union of the two
    # A line that is continued: one more set, of nodes that are no boundary facet's alone.
    assert device.boundaries == ("source", "drain", "bottom", "top")


def test_a_union_of_sets_is_left_out(tmp_path):
    text = PLATE + LEFT + "*Elset, elset=other\n 3, 4\n*Elset, elset=Eall\n left, other\n"
    device = read(tmp_path, text + NODES + EDGES)
    assert set(device.regions) == {"left", "other"}


def test_overlapping_sets(tmp_path):
    text = PLATE + LEFT + "*Elset, elset=three\n 2, 3, 4\n"
    assert "the sets 'left' and 'three' share 1 cells" in refusal(tmp_path, text + NODES + EDGES)


def test_equal_sets(tmp_path):
    text = PLATE + LEFT + "*Elset, elset=again\n 1, 2\n"
    message = refusal(tmp_path, text + NODES + EDGES)
    assert "the sets 'left' and 'again' have the same cells" in message


def test_overlapping_sets_of_nodes(tmp_path):
    message = refusal(tmp_path, PLATE + LEFT + NODES + EDGES.replace("4, 5, 6", "1, 4, 5, 6"))
    assert "the sets 'source' and 'top' share 1 boundary facets" in message


def test_cells_without_a_set(tmp_path):
    message = refusal(tmp_path, PLATE + NODES + EDGES)
    assert "2 triangles are in no set, the first near (0.666667, 0.333333)" in message
    assert "right" in message


def test_no_sets(tmp_path):
    text = PLATE.replace(", ELSET=right", "")
    assert "found only the sets everything" in refusal(tmp_path, text)
    text = text.replace(", nset=everything", "")
    message = refusal(tmp_path, text)
    assert "found no sets at all" in message
    assert "ELSET" in message


def test_boundary_without_a_set(tmp_path):
    message = refusal(tmp_path, PLATE + LEFT + NODES)
    assert "4 boundary edges belong to no set of lines or nodes" in message
    assert "near (0.5, 0)" in message
    assert "source, drain" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("CPS3\n 1, 1, 2, 5\n 2, 1, 5,\n 4\n", "CPS4\n 1, 1, 2, 5, 4\n"), "type CPS4"),
        (("1, 1, 2, 5\n", "1, 1, 2, 9\n"), "names node 9"),
        (("1, 1, 2, 5\n", "1, 1, 2\n"), "elements of type CPS3"),
        (("6, 2., 1.", "6, 2., one"), "a node cannot be read"),
        (("6, 2., 1.", "6, 2., 1., 0.5"), "z = const"),
        (("*Part, name=plate", "*Part, name=a\n*End Part\n*Part, name=b"), "several parts"),
        (("*Part, name=plate", "*Instance, name=a, part=b\n 1., 0., 0."), "instance that is moved"),
        (("*Node, nset", "*Node, system=C, nset"), "Cartesian"),
        (("*Heading", "*Ngen"), "*NGEN"),
        (("4, 2, 3, 6\n", "4, 2, 3, 6\n*Elset, elset=x\n nowhere\n"), "no set 'nowhere'"),
        (("*Heading", "*Include, input=nothing.inp"), "cannot be read"),
        (("*Heading", "*Include, input=plate.inp"), "includes itself"),
        ((PLATE, "*Heading\n"), "no *NODE and *ELEMENT"),
    ],
)
def test_what_abaqus_files_may_not_have(tmp_path, change, said):
    assert PLATE.count(change[0]) == 1
    path = tmp_path / "plate.inp"
    path.write_text((PLATE + LEFT + NODES + EDGES).replace(*change))
    with pytest.raises(GeometryError) as caught:
        opened(path)
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)


# -- other formats ---------------------------------------------------------------------------------

PLAIN = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 2, 1};
Physical Surface("metal") = {1}; Physical Curve("edges") = {1:4};
"""
POINTS = np.array([[0, 0, 5], [1, 0, 5], [2, 0, 5], [0, 1, 5], [1, 1, 5], [2, 1, 5]], dtype=float)
TRIANGLES = np.array([[0, 1, 4], [0, 4, 3], [1, 5, 4], [1, 2, 5]])
LINES = np.array([[0, 3], [2, 5], [0, 1], [1, 2], [3, 4], [4, 5]])
CELLS = [("triangle", TRIANGLES), ("line", LINES)]
WHICH = [np.array([7, 7, 8, 8]), np.array([1, 2, 3, 3, 3, 3])]


def write(path: Path, cells: Any = CELLS, **data: Any) -> Path:
    meshio.Mesh(POINTS, cells, cell_data=data).write(path)
    return path


def test_regions_by_number_in_a_plane_above_zero(tmp_path):
    device = Device.from_gmsh(write(tmp_path / "plate.vtu", Material=WHICH), length_unit="um")
    assert set(device.regions) == {"7", "8"}
    expected = {"1": 1e-6, "2": 1e-6, "3": 4e-6}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-13)


def test_joined_sets_of_meshio(tmp_path):
    """`meshio convert` makes numbers of sets, and a name of their names."""
    sets = {
        "left": [[0, 1], []],
        "right": [[2, 3], []],
        "source": [[], [0]],
        "drain": [[], [1]],
        "edges": [[], [2, 3, 4, 5]],
    }
    mesh = meshio.Mesh(
        POINTS, CELLS, cell_sets={n: list(map(np.array, s)) for n, s in sets.items()}
    )
    for parts in mesh.cell_sets.values():
        parts[:] = [p.astype(np.int64) for p in parts]
    mesh.write(tmp_path / "plate.vtu")
    device = Device.from_gmsh(tmp_path / "plate.vtu", length_unit="um")
    assert set(device.regions) == {"left", "right"}
    assert set(device.boundaries) == {"source", "drain", "edges"}


def test_several_integer_data(tmp_path):
    path = write(tmp_path / "plate.vtu", first=WHICH, second=WHICH)
    with pytest.raises(GeometryError, match="integer cell data first, second.*'region'"):
        opened(path)


def test_groups_of_salome_may_overlap(tmp_path):
    """A family is in several groups; a group of everything says nothing new."""
    tags = [-np.array([1, 1, 2, 2]), -np.array([3, 4, 5, 5, 5, 5])]
    mesh = meshio.Mesh(POINTS, CELLS, cell_data={"cell_tags": tags})
    mesh.point_tags = {}
    names = (["left", "all"], ["right", "all"], ["source"], ["drain"], ["edges"])
    mesh.cell_tags = {-i - 1: group for i, group in enumerate(names)}
    mesh.write(tmp_path / "plate.med")
    device = Device.from_gmsh(tmp_path / "plate.med", length_unit="um")
    assert set(device.regions) == {"left", "right"}
    assert set(device.boundaries) == {"source", "drain", "edges"}


def test_groups_of_nodes_of_salome(tmp_path):
    tags = [-np.array([1, 1, 1, 1])]
    mesh = meshio.Mesh(POINTS, CELLS[:1], cell_data={"cell_tags": tags})
    mesh.point_data["point_tags"] = np.array([1, 3, 2, 4, 5, 6])
    mesh.cell_tags = {-1: ["metal"]}
    groups = (["s", "low"], ["d", "low"], ["low"], ["s", "high"], ["high"], ["d", "high"])
    mesh.point_tags = {i + 1: group for i, group in enumerate(groups)}
    mesh.write(tmp_path / "plate.med")
    device = Device.from_gmsh(tmp_path / "plate.med", length_unit="um")
    expected = {"s": 1e-6, "d": 1e-6, "low": 2e-6, "high": 2e-6}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-13)


def test_quadrilaterals(tmp_path):
    path = write(
        tmp_path / "plate.vtu", [("quad", [[0, 1, 4, 3]]), ("triangle", [[1, 2, 5], [1, 5, 4]])]
    )
    with pytest.raises(GeometryError, match="found quad; meso needs triangles or tetrahedra"):
        opened(path)


def test_nothing_but_lines(tmp_path):
    with pytest.raises(GeometryError, match="no triangles and no tetrahedra"):
        opened(write(tmp_path / "plate.vtu", CELLS[1:]))


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".med", ".mesh"])
def test_not_a_mesh(tmp_path, suffix, capfd):
    path = tmp_path / f"plate{suffix}"
    path.write_text("this is no mesh\n")
    with pytest.raises(GeometryError, match="cannot read it") as caught:
        opened(path)
    assert str(caught.value).startswith(str(path))
    assert capfd.readouterr() == ("", "")  # meshio's own words are in the message
    with pytest.raises(GeometryError, match="no such file"):
        opened(tmp_path / f"nothing{suffix}")


def test_kinds_of_cells_without_families(tmp_path):
    """Salome writes no families where no cell is in a group."""
    h5py = pytest.importorskip("h5py")
    path = med(mesh_file(tmp_path / "m.msh", PLAIN, size=0.5), tmp_path / "plate.med")
    with h5py.File(path, "r+") as file:
        found: list[str] = []
        file.visit(lambda name: found.append(name) if name.endswith("SE2/FAM") else None)
        (name,) = found
        del file[name]
    with pytest.raises(GeometryError, match="no set of lines or nodes.*the file has none"):
        Device.from_gmsh(path, length_unit="um")


@pytest.mark.parametrize("module", ["meshio", "h5py"])
def test_missing_modules(tmp_path, monkeypatch, module):
    path = tmp_path / "plate.med"
    path.write_text("")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(GeometryError, match=f"needs {module}: pip install {module}"):
        opened(path)


def test_unknown_suffix(tmp_path):
    path = tmp_path / "plate.stl"
    path.write_text("")
    with pytest.raises(GeometryError, match=r"found '\.stl'.*\.geo.*\.step.*\.msh.*\.med"):
        Device.from_gmsh(path, length_unit="nm")


# -- data of the cells -----------------------------------------------------------------------------


def with_data(path: Path) -> Path:
    """A mesh of Gmsh with a view: the place of the centre of each cell."""
    mesh_file(path, GEOMETRIES / "annulus.geo", degree=2, size=25.0)
    with gmsh_session():
        gmsh.open(str(path))
        tags, nodes = gmsh.model.mesh.getElementsByType(9)
        number, xyz, _ = gmsh.model.mesh.getNodes()
        place = dict(zip(number.tolist(), xyz.reshape(-1, 3).tolist(), strict=True))
        corners = nodes.reshape(len(tags), -1)[:, :3].tolist()
        centre = np.array([[place[n] for n in row] for row in corners]).mean(axis=1)
        view = gmsh.view.add("centre")
        turned = np.arange(len(tags))[::-1]  # in another order than the cells
        gmsh.view.addModelData(
            view, 0, "", "ElementData", tags[turned], centre[turned, :2].tolist()
        )
        sheet = gmsh.view.add("sheet")
        gmsh.view.addModelData(sheet, 0, "", "ElementData", tags[:5], np.full((5, 1), 0.5).tolist())
        gmsh.write(str(path))
        gmsh.option.setNumber("PostProcessing.SaveMesh", 0)
        for v in (view, sheet):
            gmsh.view.write(v, str(path), append=True)
    return path


@pytest.mark.parametrize("kind", ["msh", "vtu"])
def test_cell_data(tmp_path, kind):
    if kind == "msh":
        with_data(tmp_path / "ring.msh")
    else:
        path = mesh_file(tmp_path / "bare.msh", GEOMETRIES / "annulus.geo", degree=2, size=25.0)
        points, cells, tags, _ = plain(path)
        centre = [points[nodes[:, :3]].mean(axis=1)[:, :2] for _, nodes in cells]
        data = {"region": tags, "centre": centre, "sheet": [c[:, 0] for c in centre]}
        meshio.Mesh(points, cells, cell_data=data).write(tmp_path / "ring.vtu")
    device = Device.from_gmsh(tmp_path / f"ring.{kind}", length_unit="nm")
    assert set(device.cell_data) == {"centre", "sheet"}
    found = nodes_of(device)[:, :3].mean(axis=1)
    # A mean of three numbers that were written with 16 digits.
    np.testing.assert_allclose(device.cell_data["centre"] * 1e-9, found, rtol=1e-12, atol=1e-20)
    assert device.cell_data["sheet"].shape == (len(found),)
    if kind == "msh":  # given for five cells only
        assert np.isfinite(device.cell_data["sheet"]).sum() == 5


def test_conductivity_of_the_cells(tmp_path):
    """A plate of two halves in series, by data and by two regions."""
    given = 0.02 * np.array([1.0, 1.0, 3.0, 3.0])
    path = write(
        tmp_path / "plate.vtu",
        region=[np.ones(4, int), WHICH[1]],
        sigma=[given, np.zeros(6)],
    )
    device = Device.from_gmsh(path, length_unit="um")
    laws = {
        "1": Contact(potential=1e-3),
        "2": Contact(potential=0.0),
        "3": Wall(specularity=1.0),
    }
    matter = material(conductivity=Profile(data="sigma"))
    flow = Ohmic(device, materials={"1": matter}, boundaries=laws, order=2).solve()
    # Two squares in series; the potential is piecewise linear: in the space, so up to rounding.
    exact = 1e-3 / (1 / 0.02 + 1 / 0.06)
    assert flow.contacts["1"].current == pytest.approx(exact, abs=0, rel=1e-11)
    with pytest.raises(CaseError, match="sigma"):
        wrong = material(conductivity=Profile(data="sgima"))
        Ohmic(device, materials={"1": wrong}, boundaries=laws, order=2).solve()


def test_mesh_command_lists_the_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("plate.inp").write_text(PLATE + LEFT + NODES + EDGES)
    assert main(["mesh", "plate.inp", "--unit", "um"]) == 0
    said = capsys.readouterr().out
    for line in (
        "region    left           2 cells",
        "region    right          2 cells",
        "boundary  source         1 edges, 1000 nm",
        "boundary  bottom         2 edges, 2000 nm",
        "area 2e+06 nm²",
    ):
        assert line in said
    write(Path("plate.vtu"), region=WHICH, sigma=[np.ones(4), np.zeros(6)])
    assert main(["mesh", "plate.vtu", "--unit", "um"]) == 0
    assert "cell data sigma" in capsys.readouterr().out


# -- ranks -----------------------------------------------------------------------------------------


@pytest.mark.ranks
@pytest.mark.parametrize("name", ["salome.med", "gmsh.inp"])
def test_two_ranks(tmp_path, name):
    path = gmsh_mesh(tmp_path / "reference.msh", 2, 2)
    WRITERS[name](path, tmp_path / name)
    with_data(tmp_path / "ring.msh")
    launch(__file__, 2, tmp_path, name)


def on_a_rank(folder: str, name: str) -> None:
    """What each of several ranks checks."""
    device = Device.from_gmsh(Path(folder) / name, length_unit="nm")
    single = Device.from_gmsh(Path(folder) / name, length_unit="nm", comm=MPI.COMM_SELF)
    assert device.comm.allreduce(len(nodes_of(device))) == single.cells
    assert measures(device) == measures(single)
    names = {n: n for n in NAMES[2]}
    # Another order of summation.
    assert abs(current(device, names) / current(single, names) - 1) < 1e-11
    device = Device.from_gmsh(Path(folder) / "ring.msh", length_unit="nm")
    found = nodes_of(device)[:, :3].mean(axis=1)
    given = device.cell_data["centre"] * 1e-9
    assert device.comm.allreduce(len(given)) == device.cells
    assert np.abs(given - found).max() < 1e-12 * device.extent
    try:
        Device.from_gmsh(Path(folder) / "nothing.med", length_unit="nm")
    except GeometryError as error:
        assert "no such file" in str(error)
    else:
        raise AssertionError


if __name__ == "__main__":
    on_a_rank(*sys.argv[1:])
