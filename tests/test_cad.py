"""CAD files: names by labels and selectors, parts that touch, sizes, refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gmsh
import numpy as np
import pytest
from conftest import GEOMETRIES, gmsh_session, material
from helpers import cell_degree, measures, nodes_of
from launching import launch
from mpi4py import MPI

import meso
from meso import Case, CaseError, Contact, Device, GeometryError, Groups, Selector, Wall
from meso.flow import Ohmic

NM = 1e-9
REST = (Selector(rest=True),)
METAL = {"metal": REST}


def near(x: float, y: float, *z: float, unit: float = NM) -> tuple[Selector, ...]:
    return (Selector(near=tuple(unit * c for c in (x, y, *z))),)


BAR = {"source": near(0, 50), "drain": near(400, 50), "edges": REST}


def write(path: Path, draw: Callable[[Any], object]) -> Path:
    """Draw with OpenCASCADE and write a CAD file, whose name tells its format."""
    with gmsh_session():
        draw(gmsh.model.occ)
        gmsh.model.occ.synchronize()
        gmsh.write(str(path))
    return path


def bar(occ: Any) -> None:
    body = occ.addRectangle(0, 0, 0, 400, 100)
    notches = [occ.addDisk(200, y, 0, 30, 30) for y in (0, 100)]
    occ.cut([(2, body)], [(2, n) for n in notches])


def two_boxes(occ: Any) -> None:
    occ.addBox(0, 0, 0, 10, 10, 10)
    occ.addBox(10, 0, 0, 20, 10, 10)


def relabel(path: Path, names: dict[str, str]) -> Path:
    """Give names to the parts of a STEP file, which Gmsh cannot write."""
    text = path.read_text()
    for old, new in names.items():
        text, count = re.subn(rf"'Open CASCADE STEP translator \S+ \d+{old}'", f"'{new}'", text)
        assert count
    path.write_text(text)
    return path


def read(path: Path, unit: str = "nm", **options: Any) -> Device:
    regions, boundaries = options.pop("regions", {}), options.pop("boundaries", {})
    groups = Groups(regions=regions, boundaries=boundaries)
    return Device.from_gmsh(path, length_unit=unit, groups=groups, **options)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(GeometryError) as caught:
        read(path, **options)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


# -- what is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".step", ".stp", ".brep", ".iges", ".igs", ".STEP"])
def test_formats(tmp_path, suffix, capfd):
    path = write(tmp_path / f"bar{suffix.lower()}", bar).rename(tmp_path / f"bar{suffix}")
    capfd.readouterr()
    device = read(path, regions=METAL, boundaries=BAR, size="20 nm")
    assert capfd.readouterr() == ("", "")  # OpenCASCADE talks
    assert device.regions == ("metal",)
    assert set(device.boundaries) == set(BAR)
    # Arcs of cells of degree 4, 0.3 radians each: true to 1e-8.
    assert device.measure == pytest.approx((400 * 100 - np.pi * 30**2) * NM**2, abs=0, rel=1e-7)
    expected = {"source": 100 * NM, "drain": 100 * NM, "edges": (680 + 60 * np.pi) * NM}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-7)
    assert cell_degree(device) == 4


def test_one_selector_may_stand_alone() -> None:
    one = Selector(near=(0.0, 5e-8))
    assert Groups(boundaries={"source": one}) == Groups(boundaries={"source": (one,)})


def test_same_device_as_a_drawing(tmp_path):
    """The bar of the gallery is what a script draws."""
    geo = tmp_path / "bar.geo"
    geo.write_text(
        """
        SetFactory("OpenCASCADE");
        Rectangle(1) = {0, 0, 0, 400, 100}; Disk(2) = {200, 0, 0, 30}; Disk(3) = {200, 100, 0, 30};
        BooleanDifference(4) = { Surface{1}; Delete; }{ Surface{2, 3}; Delete; };
        left() = Curve In BoundingBox{-1, -1, -1, 1, 101, 1};
        right() = Curve In BoundingBox{399, -1, -1, 401, 101, 1};
        walls() = Boundary{ Surface{4}; }; walls() -= {left(), right()};
        Physical Surface("metal") = {4}; Physical Curve("source") = {left()};
        Physical Curve("drain") = {right()}; Physical Curve("edges") = {walls()};
        """
    )
    drawn = Device.from_gmsh(geo, length_unit="nm")
    device = read(GEOMETRIES / "notched_bar.step", boundaries=BAR)
    assert device.regions == ("metal",)  # the label in the file
    assert measures(device) == pytest.approx(measures(drawn), abs=0, rel=1e-7)
    laws = {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0)}
    currents = [
        Ohmic(d, materials={"metal": material()}, boundaries={**laws, "edges": Wall(specularity=0)})
        .solve()
        .contacts["source"]
        .current
        for d in (device, drawn)
    ]
    # Two meshes of degree 4: the sizes promise 1e-6.
    assert currents[0] == pytest.approx(currents[1], abs=0, rel=1e-6)


@pytest.mark.parametrize("prefix", [".MICRO.", "$", ".NANO."])
def test_lengths_count_as_they_are_written(tmp_path, prefix):
    """OpenCASCADE would convert them to millimetres."""
    path = write(tmp_path / "bar.step", bar)
    text, count = re.subn(
        r"SI_UNIT\(\.MILLI\.,\.METRE\.\)", f"SI_UNIT({prefix},.METRE.)", path.read_text()
    )
    assert count
    path.write_text(text)
    device = read(path, regions=METAL, boundaries=BAR, size="20 nm")
    assert device.extent == pytest.approx(400 * NM, abs=0, rel=1e-9)


def test_sizes(tmp_path):
    path = GEOMETRIES / "notched_bar.step"
    coarse = read(path, boundaries=BAR, size="40 nm")
    fine = read(path, boundaries=BAR, size="5 nm")
    assert fine.cells > 4 * coarse.cells
    assert fine.order == 4


def test_selectors(tmp_path):
    boundaries = {
        "contacts": (*near(-50, 20), *near(500, 80)),
        "notches": (Selector(box=((231 * NM, 101 * NM), (169 * NM, -1 * NM))),),
        "edges": REST,
    }
    device = read(GEOMETRIES / "notched_bar.step", boundaries=boundaries, size="20 nm")
    expected = {"contacts": 200 * NM, "notches": 60 * np.pi * NM, "edges": 680 * NM}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-7)


# -- parts -----------------------------------------------------------------------------------------


def test_parts_that_touch_are_one_conductor(tmp_path):
    def draw(occ: Any) -> None:
        occ.addRectangle(0, 0, 0, 100, 50)
        occ.addRectangle(100, 0, 0, 100, 100)

    path = write(tmp_path / "parts.step", draw)
    device = read(
        path,
        regions={"left": near(10, 10), "right": near(190, 90)},
        boundaries={"joint": near(100, 25), "source": near(0, 25), "edges": REST},
        size="20 nm",
    )
    assert device.interfaces == ("joint",)
    assert device.islands == (tuple(device.boundaries),)
    assert device.measure == pytest.approx(15_000 * NM**2, abs=0, rel=1e-12)
    # The upper half of the long edge is a wall, the lower half is not.
    assert measures(device)["edges"] == pytest.approx(550 * NM, abs=0, rel=1e-12)


def test_solids(tmp_path):
    path = relabel(write(tmp_path / "two.step", two_boxes), {r"\.1": "lead", r"\.2": "film"})
    boundaries = {"source": near(0, 5, 5), "drain": near(30, 5, 5), "walls": REST}
    device = read(path, boundaries=boundaries, size="10 nm")
    assert device.dimension == 3
    assert set(device.regions) == {"lead", "film"}
    assert device.measure == pytest.approx(3000 * NM**3, abs=0, rel=1e-12)
    expected = {"source": 100 * NM**2, "drain": 100 * NM**2, "walls": 1200 * NM**2}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-12)
    joined = read(
        path,
        regions={"all": (Selector(label="lead"), Selector(label="film"))},
        boundaries=boundaries,
        size="10 nm",
    )
    assert joined.regions == ("all",)


def test_contacts_drawn_on_a_surface(tmp_path):
    """A surface on that of a solid divides it; its label names the part below it."""

    def draw(occ: Any) -> None:
        occ.addBox(0, 0, 0, 30, 10, 10)
        occ.addRectangle(2, 3, 10, 4, 4)
        occ.addRectangle(24, 3, 10, 4, 4)

    names = {r"\.1": "metal", r"\.2": "source", r"\.3": "drain"}
    path = relabel(write(tmp_path / "pads.step", draw), names)
    boundaries = {n: (Selector(label=n),) for n in ("source", "drain")}
    device = read(path, boundaries={**boundaries, "walls": REST}, size="10 nm")
    expected = {"source": 16 * NM**2, "drain": 16 * NM**2, "walls": (1400 - 32) * NM**2}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-12)
    message = refusal(path)
    assert "boundaries so far: source, drain" in message or "drain, source" in message


def test_contact_drawn_on_an_edge(tmp_path):
    def draw(occ: Any) -> None:
        occ.addRectangle(0, 0, 0, 100, 50)
        occ.addLine(occ.addPoint(20, 50, 0), occ.addPoint(50, 50, 0))
        occ.addLine(occ.addPoint(20, 80, 0), occ.addPoint(50, 80, 0))  # not on the conductor

    path = write(tmp_path / "edge.brep", draw)
    boundaries = {"pad": near(35, 50), "edges": REST}
    device = read(path, regions=METAL, boundaries=boundaries, size="20 nm")
    expected = {"pad": 30 * NM, "edges": 270 * NM}
    assert measures(device) == pytest.approx(expected, abs=0, rel=1e-12)


# -- refusals --------------------------------------------------------------------------------------


def test_no_names(tmp_path):
    path = write(tmp_path / "bar.step", bar)
    message = refusal(path)
    assert "1 surface has no name" in message
    assert "[geometry.groups.regions]" in message
    assert "surface 1: centre (200, 50, 0), area 37172.6" in message
    message = refusal(path, regions=METAL)
    assert "8 curves have no name" in message
    assert "curve 7: centre (0, 50, 0), length 100" in message
    message = refusal(path, regions=METAL, boundaries={"source": near(0, 50)})
    assert "7 curves have no name; boundaries so far: source" in message


@pytest.mark.parametrize(
    ("boundaries", "said"),
    [
        (
            {"source": near(0, 50), "probe": near(-5, 60), "edges": REST},
            r"groups\.boundaries\.probe: near = \[-5, 60\] chooses curve \d, which 'source' has",
        ),
        (
            {"source": near(0, 0), "edges": REST},
            r"boundaries\.source: near = \[0, 0\] is as near to curve \d and \d",
        ),
        (
            {"source": (Selector(box=((0.0, 0.0), (NM, NM))),), "edges": REST},
            r"boundaries\.source: box = \[\[0, 0\], \[1, 1\]\] chooses nothing",
        ),
        ({"all": REST, "edges": REST}, r"boundaries\.edges: rest = true chooses nothing"),
        ({"source": (Selector(label="source"),)}, r"no label 'source'; known: none"),
    ],
)
def test_selectors_that_do_not_fit(boundaries, said):
    message = refusal(GEOMETRIES / "notched_bar.step", boundaries=boundaries)
    assert re.search(said, message)
    assert "centre (0, 50, 0), length 100" in message  # a list to choose from


def test_parts_that_overlap(tmp_path):
    def draw(occ: Any) -> None:
        occ.addRectangle(0, 0, 0, 100, 50)
        occ.addRectangle(90, 0, 0, 100, 50)

    path = write(tmp_path / "parts.brep", draw)
    assert "two surfaces overlap near (95, 25, 0)" in refusal(path, regions=METAL)


def test_tiny_drawings(tmp_path):
    path = write(tmp_path / "tiny.brep", lambda occ: occ.addRectangle(0, 0, 0, 4e-4, 1e-4))
    assert "draw in a smaller unit" in refusal(path, regions=METAL, unit="mm")


def test_not_in_a_plane(tmp_path):
    def draw(occ: Any) -> None:
        occ.rotate([(2, occ.addRectangle(0, 0, 0, 100, 50))], 0, 0, 0, 1, 0, 0, 0.5)

    path = write(tmp_path / "tilted.brep", draw)
    assert "plane z = const" in refusal(path, regions=METAL, boundaries={"edges": REST})


def test_only_curves(tmp_path):
    path = write(tmp_path / "line.brep", lambda occ: occ.addCircle(0, 0, 0, 10))
    assert "no volume and no surface" in refusal(path)


@pytest.mark.parametrize("suffix", [".step", ".brep", ".iges"])
def test_no_cad_file(tmp_path, suffix):
    path = tmp_path / f"bar{suffix}"
    assert "cannot be read" in refusal(path)
    path.write_text("this is no drawing\n")
    message = refusal(path)
    assert "/meso-" not in message  # the name of a temporary copy


def test_what_is_not_for_these_files(tmp_path):
    path = GEOMETRIES / "notched_bar.step"
    assert "parameters are for .geo" in refusal(path, boundaries=BAR, parameters={"w": 1.0})
    assert "groups are for CAD files" in refusal(GEOMETRIES / "ribbon.geo", boundaries=BAR)


# -- the case file ---------------------------------------------------------------------------------


def tables(**groups: Any) -> dict[str, Any]:
    """The tables of a case with a CAD file."""
    file = str(GEOMETRIES / "notched_bar.step")
    return {
        "geometry": {"file": file, "length_unit": "nm", "groups": groups},
        "materials": {"sheet": {"carriers": "2d", "conductivity": "0.02 S"}},
        "regions": {"metal": "sheet"},
        "boundaries": {
            "source": {"contact": {"potential": "1 mV"}},
            "drain": {"contact": {"potential": "0 V"}},
            "edges": {"wall": {"specularity": 0.0}},
        },
        "flow": {"model": "ohmic", "order": 2},
        "mesh": {"size": "20 nm"},
    }


NAMES = {
    "source": {"near": ["0 nm", "50 nm"]},
    "drain": [{"box": [["399 nm", "-1 nm"], ["0.401 um", "101 nm"]]}],
    "edges": {"rest": True},
}


def test_case(tmp_path):
    case = Case.from_dict(tables(boundaries=NAMES))
    assert case.geometry.is_drawing
    result = meso.run(case)
    # 4 squares and a notch, 0.02 S, 1 mV.
    assert 2e-6 < result.contacts["source"].current < 5e-6
    # What is written is the same case again.
    (tmp_path / "case.toml").write_text(case.to_toml(tmp_path))
    again = Case.load(tmp_path / "case.toml")
    assert again.hash == case.hash
    assert again.geometry.groups == case.geometry.groups
    other = Case.from_dict(tables(boundaries={**NAMES, "drain": {"near": ["400 nm", "9 nm"]}}))
    assert other.hash != case.hash


@pytest.mark.parametrize(
    ("groups", "key", "said"),
    [
        ({"regoins": {}}, "geometry.groups.regoins", 'did you mean "regions"'),
        (
            {"boundaries": {"source": {"naer": ["0 nm", "1 nm"]}}},
            "geometry.groups.boundaries.source.0.naer",
            'did you mean "near"',
        ),
        (
            {"boundaries": {"source": {"near": ["0 nm", "1 nm"], "rest": True}}},
            "geometry.groups.boundaries.source.0",
            "found near and rest; give exactly one",
        ),
        (
            {"boundaries": {"source": {}}},
            "geometry.groups.boundaries.source.0",
            "found none of them; give exactly one of near, box, label and rest",
        ),
        (
            {"boundaries": {"source": {"near": ["0 nm"]}}},
            "geometry.groups.boundaries.source.0.near",
            "found 1 coordinates",
        ),
        (
            {"boundaries": {"source": {"near": ["0 nm", "1 V"]}}},
            "geometry.groups.boundaries.source.0.near.1",
            "1 V",
        ),
        (
            {"boundaries": {"source": {"box": [["0 nm", "0 nm"], ["1 nm", "1 nm", "1 nm"]]}}},
            "geometry.groups.boundaries.source.0.box",
            "same number of coordinates",
        ),
        ({"boundaries": {"source": "rest"}}, "geometry.groups.boundaries.source.0", "'rest'"),
    ],
)
def test_wrong_tables(groups, key, said):
    with pytest.raises(CaseError) as caught:
        Case.from_dict(tables(**groups))
    ((found, text),) = caught.value.problems
    assert found == key
    assert said in text


def test_groups_of_a_drawing():
    case = tables(boundaries=NAMES)
    case["geometry"]["file"] = str(GEOMETRIES / "ribbon.geo")
    with pytest.raises(CaseError, match=r"geometry\.groups: is for CAD files"):
        Case.from_dict(case)


def test_unreadable_suffix(tmp_path):
    case = tables()
    case["geometry"]["file"] = str(tmp_path / "bar.dwg")
    (tmp_path / "bar.dwg").write_text("")
    with pytest.raises(CaseError, match=r"geometry\.file: found '\.dwg'; must be .*\.step.*\.inp"):
        Case.from_dict(case)


# -- ranks -----------------------------------------------------------------------------------------


@pytest.mark.ranks
def test_two_ranks():
    launch(__file__, 2)


def on_a_rank() -> None:
    """What each of several ranks checks."""
    path = GEOMETRIES / "notched_bar.step"
    device = read(path, boundaries=BAR, size="20 nm")
    single = read(path, boundaries=BAR, size="20 nm", comm=MPI.COMM_SELF)
    assert device.comm.allreduce(len(nodes_of(device))) == device.cells == single.cells
    assert measures(device) == measures(single)
    try:
        read(path, boundaries={"source": near(0, 0)})
    except GeometryError as error:
        assert "is as near to" in str(error)
    else:
        raise AssertionError


if __name__ == "__main__":
    on_a_rank()
