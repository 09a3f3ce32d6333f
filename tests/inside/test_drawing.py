"""What figures show, before it is ink: rasters, outlines, colours, labels."""

import json
import shutil
from pathlib import Path

import dolfinx
import matplotlib
import numpy as np
import pytest
import test_figures
from matplotlib.image import imread
from test_figures import case

import meso
from meso import _compat, figures
from meso.figures import maps, style
from meso.figures.cells import Grid, boundary, chains
from meso.files.vtu import read_vtu, vtk_lattice, vtk_nodes, write_vtu
from meso.geometry import gmsh_process

ribbon, ring = test_figures.ribbon, test_figures.ring  # fixtures


def test_ring_is_masked_and_its_error_is_not_magnified(ring: Path) -> None:
    result = figures.Drawn(ring)
    grid = result.grid((-2e-7, 2e-7, -2e-7, 2e-7), 200, 200)
    values = grid["potential"]
    r = np.hypot(*np.meshgrid(grid.x, grid.y))
    assert np.isnan(values[(r < 49e-9) | (r > 201e-9)]).all()
    assert np.isfinite(values[(r > 51e-9) & (r < 199e-9)]).all()
    with matplotlib.rc_context(style.STYLE):
        figure = maps.signed(result, "orbital_density")
    image = figure.axes[0].images[0]
    assert np.nanmax(np.abs(image.get_array())) < 0.5 * image.get_clim()[1]


def test_colours_of_signed_fields_are_symmetric(ribbon: Path) -> None:
    result = figures.Drawn(ribbon)
    for field in ("orbital_density", "vorticity"):
        with matplotlib.rc_context(style.STYLE):
            figure = maps.signed(result, field)
        for axes in figure.axes:
            for image in axes.images:
                low, high = image.get_clim()
                assert low == -high < 0


def test_parts_of_several_ranks_are_one_picture(ribbon: Path, tmp_path: Path) -> None:
    split = tmp_path / "split"
    shutil.copytree(ribbon, split)
    points, data = read_vtu(ribbon / "fields" / "part0.vtu")
    half = len(points) // 2
    for i, part in enumerate((slice(0, half), slice(half, None), slice(0, 0))):
        write_vtu(
            split / "fields" / f"part{i}.vtu",
            points[part],
            {
                k: v[part][..., :2] if v.ndim == 3 else v[part]
                for k, v in data.items()
                if k != "region"
            },
        )
    text = json.loads((split / "summary.json").read_text())
    text["mesh"]["ranks"] = 3
    (split / "summary.json").write_text(json.dumps(text))
    numbers = json.loads((split / "summary.json").read_text())
    numbers["mesh"]["ranks"] = 3
    (split / "summary.json").write_text(json.dumps(numbers))
    for one, two in zip(figures.draw(ribbon), figures.draw(split), strict=True):
        np.testing.assert_array_equal(imread(one), imread(two))


def test_forks_draw_the_same(ribbon: Path, tmp_path: Path) -> None:
    shutil.copytree(ribbon, tmp_path / "copy")
    shared = gmsh_process.call("figures.draw_shared", tmp_path / "copy")
    for one, two in zip(figures.draw(ribbon), shared, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(imread(one), imread(two))


def test_probe_shows_the_closed_form(ribbon: Path) -> None:
    result = figures.Drawn(ribbon)
    y = np.linspace(-5e-8, 5e-8, 11)
    points = np.column_stack([np.full(11, 2e-7), y])
    exact = result.closed_form(points)
    assert exact is not None
    found = result.grid((1.9e-7, 2.1e-7, -5e-8, 5e-8), 3, 11)
    values = found["current_density"][0][:, 1]
    exact = result.closed_form(np.column_stack([np.full(11, 2e-7), found.y]))
    np.testing.assert_allclose(values, exact["current_density"], rtol=2e-3)  # a coarse mesh


@pytest.mark.parametrize("degree", range(1, 8))
def test_nodes_are_those_of_vtk(degree: int) -> None:
    nodes = _compat.scalar_element("triangle", degree).points
    order = np.argsort(dolfinx.cpp.io.perm_vtk(dolfinx.mesh.CellType.triangle, len(nodes)))
    np.testing.assert_allclose(nodes[order], vtk_nodes(degree), atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 5])
def test_grid_is_exact_for_polynomials_on_curved_cells(degree: int) -> None:
    lattice = vtk_lattice(degree) / degree
    flat = np.stack([lattice, 1 - lattice])
    bend = np.array([1.0, -0.5]) * 0.1 * (flat[..., :1] * (1 - flat[..., :1]))
    points = flat + (bend if degree > 1 else 0)
    nodes = np.concatenate([points, points], axis=2)
    grid = Grid(nodes, {"point": slice(0, 2)}, (-0.2, 1.2, -0.2, 1.2), (60, 50))
    x, y = np.meshgrid(grid.x, grid.y)
    for found, exact in zip(grid["point"], (x, y), strict=True):
        inside = np.isfinite(found)
        assert inside.mean() == pytest.approx(1 / 1.4**2, abs=0.05)
        # A fraction of a pixel: Newton stops there.
        np.testing.assert_allclose(found[inside], exact[inside], atol=1e-3)


def test_outline_closes_around_holes(ring: Path) -> None:
    result = figures.Drawn(ring)
    lines = chains(boundary(result.nodes, 2)[..., :2])
    assert len(lines) == 2
    for line in lines:
        np.testing.assert_allclose(line[0], line[-1], atol=1e-15)
    assert len(result.stretches) == 2 and not result.outline(walls=True)


def test_walls_and_contacts_are_told_apart(ribbon: Path) -> None:
    result = figures.Drawn(ribbon)
    walls = result.outline(walls=True)
    length = sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in walls)
    assert length == pytest.approx(800e-9)
    contacts = result.stretches
    assert sorted(np.ptp(c.line[:, 1]) for c in contacts) == pytest.approx([1e-7, 1e-7])
    sides = {c.name: c.anchor[0] for c in contacts}
    summary = json.loads((ribbon / "summary.json").read_text())
    if "segments" in summary["contacts"]["source"]:
        assert sides == pytest.approx({"source": 0.0, "drain": 4e-7})


def test_two_periodic_pairs_are_told_apart(tmp_path: Path) -> None:
    """All around the cell, one boundary begins where another ends."""
    laws = {
        "left": {"periodic": {"to": "right", "voltage": "1 mV"}},
        "bottom": {"periodic": {"to": "top"}},
        "edge": {"wall": {"specularity": 0.0}},
    }
    changes = {"boundaries": laws, "output.probes": {}}
    meso.run(case("antidot", ("edge",), **changes)).save(tmp_path / "r", figures=False)
    contacts = figures.Drawn(tmp_path / "r").stretches
    normals = {c.name: tuple(np.round(c.normal, 6)) for c in contacts}
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


def test_periodic_boundaries_are_named(tmp_path: Path) -> None:
    laws = {
        "source": {"periodic": {"to": "drain", "voltage": "1 mV"}},
        "edges": {"wall": {"specularity": 0.0}},
    }
    meso.run(case("ribbon", ("edges",), boundaries=laws)).save(tmp_path / "r", figures=False)
    result = figures.Drawn(tmp_path / "r")
    ends = {c.name: c for c in result.stretches}
    assert ends.keys() == {"source", "drain"}
    assert all(c.periodic for c in ends.values())
    assert ends["source"].values[0] == "1 mV" and not ends["drain"].values
    assert result.closed_form(np.zeros((1, 2))) is not None
