"""Figures: they exist, show something, and show the solution and nothing else."""

import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import GEOMETRIES
from helpers import draw
from matplotlib import colormaps
from matplotlib.image import imread
from scipy.spatial import cKDTree

import meso
from meso.cli import main


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


def falls_like_a_line(path: Path) -> None:
    """A potential along a ribbon, within two of 256 colours: some of them are alike."""
    image = imread(path)[:, :, :3]
    some = image[: len(image) // 2 : 7]  # rows of the map, those of the colour bar are below
    off, step = cKDTree(colormaps["cividis"](np.arange(256))[:, :3]).query(some.reshape(-1, 3))
    known, step = (off < 1 / 256).reshape(some.shape[:2]), step.reshape(some.shape[:2])
    row = known.sum(axis=1).argmax()
    at, found = np.flatnonzero(known[row]), step[row, known[row]]
    line = np.polyval(np.polyfit(at, found, 1), at)
    assert len(at) > 500
    assert np.abs(line - found).max() < 2.0
    assert line[0] > 253 and line[-1] < 2


def test_all_figures_of_a_ribbon(ribbon: Path) -> None:
    files = draw(ribbon)
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
    falls_like_a_line(ribbon / "figures" / "potential.png")


@pytest.mark.parametrize(
    ("name", "walls"), [("annulus", ("inner", "outer")), ("chamber", ("edges", "chambers"))]
)
def test_concave_outlines(name: str, walls: tuple[str, ...], tmp_path: Path) -> None:
    meso.run(case(name, walls, **{"output.probes": {}})).save(tmp_path / "r", figures=False)
    for file in draw(tmp_path / "r"):
        not_blank(file)


def test_ring_is_drawn(ring: Path) -> None:
    for file in draw(ring):
        not_blank(file)


def test_ohmic_has_no_vorticity_picture(tmp_path: Path) -> None:
    changes = {"flow.model": "ohmic", "output.probes": {}}
    meso.run(case("ribbon", ("edges",), **changes)).save(tmp_path / "r", figures=False)
    files = draw(tmp_path / "r")
    assert {f.name for f in files} == {"current.png", "potential.png", "edges.png"}
    for file in files:
        not_blank(file)


def test_vorticity_without_orbital_coupling(tmp_path: Path) -> None:
    changes = {"output.fields": ["current_density", "vorticity"]}
    meso.run(case("ribbon", ("edges",), **changes)).save(tmp_path / "r", figures=False)
    names = {file.name for file in draw(tmp_path / "r")}
    assert names == {"current.png", "vorticity.png", "edges.png", "probe_line.png"}


def test_drawing_needs_the_directory_only(ribbon: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(ribbon, moved)
    (moved / "case.toml").unlink()
    assert len(draw(moved)) == 5


def test_periodic_boundaries_are_named_and_drawn(tmp_path: Path) -> None:
    laws = {
        "source": {"periodic": {"to": "drain", "voltage": "1 mV"}},
        "edges": {"wall": {"specularity": 0.0}},
    }
    meso.run(case("ribbon", ("edges",), boundaries=laws)).save(tmp_path / "r", figures=False)
    files = draw(tmp_path / "r")
    assert {f.name for f in files} == {
        *("current.png", "orbital_density.png", "potential.png", "edges.png", "probe_line.png")
    }
    for file in files:
        not_blank(file)


STYLE = """
axes.prop_cycle: cycler("color", ["112233", "445566"])
svg.fonttype: none
"""


def test_names_styles_and_formats(tmp_path: Path) -> None:
    """Contacts and pieces of walls are named, in the colours of a style; vectors beside PNG."""
    style, folder = tmp_path / "talk.mplstyle", tmp_path / "r"
    style.write_text(STYLE)
    changes = {"output.fields": ["current_density"], "output.probes": {}}
    wished = case("ribbon", ("edges",), **changes, **{"figures.style": str(style)})
    assert wished.hash == case("ribbon", ("edges",), **changes).hash
    meso.run(wished).save(folder, figures=False)
    assert 'style = "../talk.mplstyle"' in (folder / "case.toml").read_text()
    assert main(["plot", str(folder), "--format", "svg"]) == 0
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {"current.png", "current.svg", "edges.png", "edges.svg"}
    root = ElementTree.parse(folder / "figures" / "current.svg").getroot()
    groups = {e.get("id"): ElementTree.tostring(e, encoding="unicode") for e in root.iter()}
    assert {"source", "drain"} <= groups.keys()
    assert "#112233" in groups["edges 1"] and "#445566" in groups["edges 2"]
    # The lines of the current are heavier where it is larger.
    styles = "".join(e.get("style", "") for e in root.iter())
    assert len(set(re.findall(r"stroke-width: [\d.]+; ?", styles))) > 10
    assert main(["plot", str(folder), "--format", "pdf"]) == 0
    assert (folder / "figures" / "edges.pdf").read_bytes().startswith(b"%PDF")
    assert not (folder / "figures" / "edges.svg").exists()


@pytest.mark.parametrize("text", ["figure.colour: red", "font.size: large-ish", None])
def test_styles_that_are_none(text: str | None, tmp_path: Path) -> None:
    style = tmp_path / "bad.mplstyle"
    if text is not None:
        style.write_text(text)
    with pytest.raises(meso.CaseError, match="figures.style.*bad.mplstyle"):
        case("ribbon", ("edges",), **{"figures.style": str(style)})


def test_mesh_picture(tmp_path: Path) -> None:
    picture = str(tmp_path / "mesh.png")
    assert main(["mesh", str(GEOMETRIES / "corbino.geo"), "--picture", picture]) == 0
    not_blank(tmp_path / "mesh.png")


def test_a_probe_of_the_potential_alone(tmp_path: Path) -> None:
    changes = {"output.fields": ["potential"]}
    meso.run(case("ribbon", ("edges",), **changes)).save(tmp_path / "r", figures=False)
    names = {file.name for file in draw(tmp_path / "r")}
    assert names == {"potential.png", "edges.png", "probe_line.png"}
