"""Figures: they exist, show something, and show the solution and nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

import meso
from meso import figures
from meso.figures import maps, style
from meso.figures.data import closed_form
from meso.figures.outline import chains
from meso.figures.raster import CellSet, vtk_lattice
from meso.vtu import lagrange_nodes, read_vtu, vtk_order, write_vtu

GEOMETRIES = Path(__file__).parents[1] / "geometries"


def case(name: str, walls: tuple[str, ...], **changes: Any) -> meso.Case:
    """A small case on one of the geometries."""
    contacts = {"source": "1 mV", "drain": "0 V"}
    tables = {
        "title": name,
        "geometry": {"file": str(GEOMETRIES / f"{name}.geo"), "length_unit": "nm"},
        "mesh": {"size": "30 nm", "wall_size": "15 nm"},
        "materials": {
            "m": {
                "carriers": "2d",
                "conductivity": "4 mS",
                "mean_free_path": "20 nm",
                "fermi_energy": "1 eV",
            }
        },
        "regions": {"metal": "m"},
        "boundaries": {
            **{k: {"contact": {"potential": v}} for k, v in contacts.items()},
            **{k: {"wall": {"specularity": 0.0}} for k in walls},
        },
        "flow": {"model": "hydrodynamic", "order": 4},
        "output": {"probes": {"line": {"from": ["110 nm", "0 nm"], "to": ["190 nm", "0 nm"]}}},
    }
    return meso.Case.from_dict(tables, overrides=changes)


@pytest.fixture(scope="module")
def ribbon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result directory of a coarse ribbon."""
    folder = tmp_path_factory.mktemp("ribbon") / "result"
    meso.run(case("ribbon", ("edges",))).save(folder, figures=False)
    return folder


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result directory of a Corbino disc, which has a hole and no walls."""
    folder = tmp_path_factory.mktemp("ring") / "result"
    meso.run(case("corbino", ())).save(folder, figures=False)
    return folder


def not_blank(path: Path) -> None:
    """A picture of a talk's size with ink and colours."""
    image = imread(path)[:, :, :3]
    assert image.shape[1] > 1000 and image.shape[0] > 400
    ink = (image < 0.95).any(axis=2).mean()
    assert 0.005 < ink < 0.95
    assert len(np.unique((image * 15).astype(int) @ [256, 16, 1])) > 5


def test_all_figures_of_a_ribbon(ribbon: Path) -> None:
    files = figures.draw(ribbon)
    names = {file.name for file in files}
    assert names == {
        "current.png",
        "orbital_density.png",
        "potential.png",
        "edges.png",
        "probe_line.png",
    }
    for file in files:
        not_blank(file)


@pytest.mark.parametrize(
    ("name", "walls"), [("annulus", ("inner", "outer")), ("chamber", ("edges", "chambers"))]
)
def test_concave_outlines(name: str, walls: tuple[str, ...], tmp_path: Path) -> None:
    meso.run(case(name, walls, **{"output.probes": {}})).save(tmp_path / "r", figures=False)
    for file in figures.draw(tmp_path / "r"):
        not_blank(file)


def test_ring_is_masked_and_its_error_is_not_magnified(ring: Path) -> None:
    for file in figures.draw(ring):
        not_blank(file)
    result = figures.Drawn.read(ring)
    grid = result.cells.grid((-2e-7, 2e-7, -2e-7, 2e-7), 200, 200)
    values = grid.values(result.data["potential"])
    r = np.hypot(*np.meshgrid(grid.x, grid.y))
    assert np.isnan(values[(r < 49e-9) | (r > 201e-9)]).all()
    assert np.isfinite(values[(r > 51e-9) & (r < 199e-9)]).all()
    with matplotlib.rc_context(style.STYLE):
        figure = maps.curl(result, "orbital_density")
    image = figure.axes[0].images[0]
    assert np.nanmax(np.abs(image.get_array())) < 0.5 * image.get_clim()[1]


def test_colours_of_signed_fields_are_symmetric(ribbon: Path) -> None:
    result = figures.Drawn.read(ribbon)
    for field in ("orbital_density", "vorticity"):
        with matplotlib.rc_context(style.STYLE):
            figure = maps.curl(result, field)
        for axes in figure.axes:
            for image in axes.images:
                low, high = image.get_clim()
                assert low == -high < 0


def test_ohmic_has_no_vorticity_picture(tmp_path: Path) -> None:
    changes = {"flow.model": "ohmic", "output.probes": {}}
    meso.run(case("ribbon", ("edges",), **changes)).save(tmp_path / "r", figures=False)
    files = figures.draw(tmp_path / "r")
    assert {f.name for f in files} == {"current.png", "potential.png", "edges.png"}
    for file in files:
        not_blank(file)


def test_vorticity_without_orbital_coupling(tmp_path: Path) -> None:
    changes = {"output.fields": ["current_density", "vorticity"]}
    meso.run(case("ribbon", ("edges",), **changes)).save(tmp_path / "r", figures=False)
    names = {file.name for file in figures.draw(tmp_path / "r")}
    assert names == {"current.png", "vorticity.png", "edges.png", "probe_line.png"}


def test_parts_of_several_ranks_are_one_picture(ribbon: Path, tmp_path: Path) -> None:
    split = tmp_path / "split"
    shutil.copytree(ribbon, split)
    points, data = read_vtu(ribbon / "fields" / "part0.vtu")
    half = len(points) // 2
    for i, part in enumerate((slice(0, half), slice(half, None), slice(0, 0))):
        write_vtu(
            split / "fields" / f"part{i}.vtu",
            points[part],
            {k: v[part][..., :2] if v.ndim == 3 else v[part] for k, v in data.items()},
        )
    for one, two in zip(figures.draw(ribbon), figures.draw(split), strict=True):
        np.testing.assert_array_equal(imread(one), imread(two))


def test_drawing_needs_the_directory_only(ribbon: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(ribbon, moved)
    (moved / "case.toml").unlink()
    assert len(figures.draw(moved)) == 5


def test_probe_shows_the_closed_form(ribbon: Path) -> None:
    result = figures.Drawn.read(ribbon)
    y = np.linspace(-5e-8, 5e-8, 11)
    points = np.column_stack([np.full(11, 2e-7), y])
    exact = closed_form(result, points)
    assert exact is not None
    found = result.cells.grid((1.9e-7, 2.1e-7, -5e-8, 5e-8), 3, 11)
    values = found.values(result.data["current_density"][:, :, 0])[:, 1]
    exact = closed_form(result, np.column_stack([np.full(11, 2e-7), found.y]))
    np.testing.assert_allclose(values, exact["current_density"], rtol=2e-3)  # a coarse mesh


@pytest.mark.parametrize("degree", range(1, 8))
def test_nodes_are_those_of_vtk(degree: int) -> None:
    nodes = lagrange_nodes(degree)
    np.testing.assert_allclose(
        nodes[vtk_order(len(nodes))], vtk_lattice(degree) / degree, atol=1e-12
    )


@pytest.mark.parametrize("degree", [1, 2, 5])
def test_grid_is_exact_for_polynomials_on_curved_cells(degree: int) -> None:
    lattice = vtk_lattice(degree) / degree
    straight = np.stack([lattice, 1 - lattice])
    bend = np.array([1.0, -0.5]) * 0.1 * (straight[..., :1] * (1 - straight[..., :1]))
    cells = CellSet(points=straight + (bend if degree > 1 else 0))
    grid = cells.grid((-0.2, 1.2, -0.2, 1.2), 60, 50)
    x, y = np.meshgrid(grid.x, grid.y)
    for component, exact in ((0, x), (1, y)):
        found = grid.values(cells.points[:, :, component])
        inside = np.isfinite(found)
        assert inside.mean() == pytest.approx(1 / 1.4**2, abs=0.05)
        # A fraction of a pixel: Newton stops there.
        np.testing.assert_allclose(found[inside], exact[inside], atol=1e-3)


def test_outline_closes_around_holes(ring: Path) -> None:
    result = figures.Drawn.read(ring)
    lines = chains(result.cells.outline())
    assert len(lines) == 2
    for line in lines:
        np.testing.assert_allclose(line[0], line[-1], atol=1e-15)
    contacts = result.outline.contacts
    assert len(contacts) == 2 and not len(result.outline.walls)


def test_walls_and_contacts_are_told_apart(ribbon: Path) -> None:
    outline = figures.Drawn.read(ribbon).outline
    length = np.linalg.norm(np.diff(outline.walls, axis=1), axis=2).sum()
    assert length == pytest.approx(800e-9)
    assert sorted(np.ptp(c.line[:, 1]) for c in outline.contacts) == pytest.approx([1e-7, 1e-7])
    sides = {c.name: c.anchor[0] for c in outline.contacts}
    summary = json.loads((ribbon / "summary.json").read_text())
    if "segments" in summary["contacts"]["source"]:
        assert sides == pytest.approx({"source": 0.0, "drain": 4e-7})


def test_periodic_boundaries_are_named_and_drawn(tmp_path: Path) -> None:
    laws = {
        "source": {"periodic": {"to": "drain", "voltage": "1 mV"}},
        "edges": {"wall": {"specularity": 0.0}},
    }
    meso.run(case("ribbon", ("edges",), boundaries=laws)).save(tmp_path / "r", figures=False)
    files = figures.draw(tmp_path / "r")
    assert {f.name for f in files} == {
        *("current.png", "orbital_density.png", "potential.png", "edges.png", "probe_line.png")
    }
    for file in files:
        not_blank(file)
    result = figures.Drawn.read(tmp_path / "r")
    ends = {c.name: c for c in result.outline.contacts}
    assert ends.keys() == {"source", "drain"}
    assert all(c.periodic for c in ends.values())
    assert ends["source"].values[0] == "1 mV" and not ends["drain"].values
    assert closed_form(result, np.zeros((1, 2))) is not None


def test_two_periodic_pairs_are_told_apart(tmp_path: Path) -> None:
    """All around the cell, one boundary begins where another ends."""
    laws = {
        "left": {"periodic": {"to": "right", "voltage": "1 mV"}},
        "bottom": {"periodic": {"to": "top"}},
        "edge": {"wall": {"specularity": 0.0}},
    }
    changes = {"boundaries": laws, "output.probes": {}}
    meso.run(case("antidot", ("edge",), **changes)).save(tmp_path / "r", figures=False)
    outline = figures.Drawn.read(tmp_path / "r").outline
    normals = {c.name: tuple(np.round(c.normal, 6)) for c in outline.contacts}
    assert normals == {"left": (-1, 0), "right": (1, 0), "bottom": (0, -1), "top": (0, 1)}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.18e-5, "A", "11.8 µA"),
        (-1e-3, "V", "−1 mV"),
        (2.5e9, "A_per_m2", "2.5 GA/m²"),
        (1.36e13, "hbar_per_m2", "13.6 10¹² ħ/m²"),
        (0.0, "V", "0 V"),
        (9.9999999e-4, "V", "1 mV"),
    ],
)
def test_engineering_notation(value: float, unit: str, text: str) -> None:
    assert style.written(value, unit) == text


@pytest.mark.parametrize(("length", "unit"), [(4e-7, "nm"), (5e-6, "µm"), (0.01, "mm")])
def test_length_units(length: float, unit: str) -> None:
    assert style.length_scale(length).name == unit


def test_mesh_picture(tmp_path: Path) -> None:
    device = meso.Device.from_gmsh(GEOMETRIES / "corbino.geo", length_unit="nm", order=2)
    figures.draw_mesh(device, tmp_path / "mesh.png")
    not_blank(tmp_path / "mesh.png")


def test_a_probe_of_the_potential_alone(tmp_path: Path) -> None:
    changes = {"output.fields": ["potential"]}
    meso.run(case("ribbon", ("edges",), **changes)).save(tmp_path / "r", figures=False)
    names = {file.name for file in figures.draw(tmp_path / "r")}
    assert names == {"potential.png", "edges.png", "probe_line.png"}
