"""Files for ParaView: shared nodes, names, regions and units; programs read them."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import meshio
import numpy as np
import pytest
from conftest import GEOMETRIES
from helpers import read_vtu, vtu_names

import meso

LAYER = {"carriers": "3d", "mean_free_path": "10 nm", "fermi_energy": "1 eV"}
TABLES: dict[str, Any] = {
    "geometry": {"file": str(GEOMETRIES / "bilayer.geo"), "length_unit": "nm"},
    "mesh": {"size": "20 nm", "wall_size": "10 nm"},
    "materials": {
        "good": LAYER | {"conductivity": "1e7 S/m"},
        "bad": LAYER | {"conductivity": "1e6 S/m"},
    },
    "regions": {"lower": "good", "upper": "bad"},
    "boundaries": {
        "source": {"contact": {"potential": "1 mV"}},
        "drain": {"contact": {"potential": "0 V"}},
        "bottom": {"wall": {"specularity": 0.0}},
        "top": {"wall": {"specularity": 1.0}},
    },
    "flow": {"model": "hydrodynamic", "order": 3},
    "output": {"probes": {}},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of a metal: J is continuous, the vorticity jumps where they meet."""
    folder = tmp_path_factory.mktemp("bilayer") / "result"
    meso.run(meso.Case.from_dict(TABLES)).save(folder, figures=False)
    return folder


def places(points: np.ndarray) -> np.ndarray:
    """Numbers of points, equal where they are at one place: a picometre."""
    return np.unique(np.round(points * 1e12), axis=0, return_inverse=True)[1].ravel()


def test_points_are_shared_but_where_something_jumps(saved: Path) -> None:
    path = saved / "fields/part0.vtu"
    points, data = read_vtu(path)
    piece = next(ElementTree.parse(path).iter("Piece"))
    at = places(points.reshape(-1, 3))
    jumps = np.zeros(at.max() + 1, dtype=bool)
    for values in data.values():
        flat = values.reshape(len(at), -1)
        first = flat[np.unique(at, return_index=True)[1]]
        jumps |= np.bincount(at, (flat != first[at]).any(axis=1)) > 0
    # On the line between the layers there are two of each, on the same side none.
    assert 0 < jumps.sum() < 0.1 * len(jumps)
    assert int(piece.attrib["NumberOfPoints"]) == len(jumps) + jumps.sum()
    middles = np.array([points.reshape(-1, 3)[at == place][0] for place in np.flatnonzero(jumps)])
    assert np.ptp(middles[:, 1]) < 1e-12


def test_names_and_units_are_in_the_files(saved: Path) -> None:
    fields, boundaries = saved / "fields/part0.vtu", saved / "boundaries/part0.vtu"
    regions = vtu_names(fields, "region")
    assert regions == ["lower", "upper"]
    units = {
        array.attrib["Name"]: (array.findtext("InformationKey") or "")
        for array in ElementTree.parse(fields).iterfind(".//PointData/DataArray")
    }
    extrema = json.loads((saved / "summary.json").read_text())["extrema"]
    assert units == {name: found["unit"] for name, found in extrema.items()}
    mesh = meshio.read(boundaries)
    kinds = {name: int(number.item()) for name, number in mesh.field_data.items()}
    known = ["contact: source", "contact: drain", "wall: bottom", "wall: top"]
    assert sorted(kinds) == sorted(known)
    (cells,), (number,) = mesh.cells, mesh.cell_data["boundary"]
    for name, x in (("contact: source", 0), ("wall: bottom", 1)):
        found = mesh.points[cells.data[number == kinds[name]]]
        assert np.ptp(found[..., x]) < 1e-15


def test_meshio_reads_the_fields(saved: Path) -> None:
    points, data = read_vtu(saved / "fields/part0.vtu")
    mesh = meshio.read(saved / "fields/part0.vtu")
    assert "unit: potential in V" in mesh.field_data
    (cells,) = mesh.cells
    np.testing.assert_array_equal(mesh.points[cells.data], points)
    for name, values in data.items():
        found = mesh.point_data[name][cells.data]
        np.testing.assert_array_equal(found.reshape(values.shape), values)
    (region,) = mesh.cell_data["region"]
    upper = points[:, :3].mean(axis=1)[:, 1] > points[..., 1].mean()
    assert len(np.unique(region)) == 2 and abs(np.corrcoef(region, upper)[0, 1]) > 0.5


def test_vtk_reads_and_interpolates_the_fields(saved: Path) -> None:
    """The nodes of cubic cells are in the order of VTK: cells have their size and their values."""
    pyvista = pytest.importorskip("pyvista")
    fields = pyvista.read(saved / "fields/part0.vtu")
    area = json.loads((saved / "summary.json").read_text())["mesh"]["area_m2"]
    scaled = fields.scale(1e9)
    assert scaled.compute_cell_sizes()["Area"].sum() == pytest.approx(area * 1e18, rel=1e-6)
    assert scaled.extract_feature_edges(manifold_edges=False).n_points > 0
    x, y = (fields.points[:, i] for i in (0, 1))
    line = np.column_stack([np.full(9, np.median(x)), np.linspace(y.min(), y.max(), 11)[1:-1]])
    points = pyvista.PolyData(np.column_stack([line, np.zeros(9)]) * 1e9)
    found = points.sample(scaled)
    result = meso.run(meso.Case.from_dict(TABLES)).sample(line)
    # VTK divides curved cells into straight ones when it looks for points.
    np.testing.assert_allclose(found["potential"], result["potential"], rtol=1e-3)
    current = found["current_density"][:, 0]
    np.testing.assert_allclose(current, result["current_density"][:, 0], rtol=1e-2)


def test_state_for_paraview(saved: Path) -> None:
    """A program whose first statement tells what is shown: its ranges are those of the values."""
    program = ast.parse((saved / "paraview_state.py").read_text(encoding="utf-8"))
    (told,) = (node.value for node in program.body if isinstance(node, ast.AnnAssign))
    device = ast.literal_eval(told)  # type: ignore[arg-type]
    assert [b["name"] for b in device["boundaries"]] == ["source", "drain", "bottom", "top"]
    assert [b["kind"] for b in device["boundaries"]] == ["contact", "contact", "wall", "wall"]
    assert device["boundaries"][device["inlet"]]["name"] == "source"
    extrema = json.loads((saved / "summary.json").read_text())["extrema"]
    for name, field in device["fields"].items():
        low, high = field["range"]
        most = max(abs(extrema[name]["min"]), abs(extrema[name]["max"]))
        assert 0.3 * most < high < 1.3 * most
        assert low == (0.0 if name == "current_density" else -high)
    assert device["curl"] == "orbital_density"
