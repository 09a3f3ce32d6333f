"""Reports: one file, well formed, with every number and picture, whatever things are called."""

import json
from pathlib import Path
from xml.etree import ElementTree

from helpers import Page
from test_cli import TINY, here, summary, write_case  # noqa: F401 (here: a fixture)

import meso
from meso.cli import main
from meso.constants import HBAR

ROOT = Path(__file__).parents[1]
EVIL = "<script>alert('x')</script> & \"<b>\""
#: As a drawing may call things; quotes end its strings.
NAMES = {"source": "<b>source</b>", "drain": "drain & 'co' → μ"}


def run(*words, code=0, **changes):
    write_case(**changes)
    assert main(["run", "case.toml", "--quiet", *words]) == code


def test_a_run():
    """Everything that the summary has, the case; pictures, and that from the directory alone."""
    changes = {"output.probes": {}, "output.fields": ["current_density"]}
    run("--no-figures", "--set", f"title={json.dumps(EVIL)}", **changes)
    page, found = Page(Path("out/report.html")), summary()
    assert {"summary.json", "report.html"} <= set(found["files"]["written"])
    assert EVIL in page.text and page.images == []
    assert page.record() == {key: value for key, value in found.items() if key != "files"}
    for one in found["contacts"].values():
        assert {one["current_A"], one["potential_V"]} <= set(page.numbers)
    assert found["conductance_matrix_S"][0][0] in page.numbers
    assert found["dissipated_power_W"] in page.numbers
    for piece in found["walls"]["edges"]["segments"]:
        assert piece["orbital_moment_hbar_per_m"] in page.numbers
    assert set(found["wall_clock_s"].values()) <= set(page.numbers)
    assert float(found["solver"]["memory_bytes"]) in page.numbers
    assert Path("out/case.toml").read_text() in page.blocks
    for text in ("edges 2", "Electron hydrodynamics", "given in the case file", "derived: "):
        assert text in page.text
    # What is to be cited is what the project cites.
    title = "Quantum Kinetic Anatomy of Electron Angular Momenta Edge Accumulation"
    assert title in page.text and title in (ROOT / "CITATION.cff").read_text()
    assert f"version {meso.__version__}" in page.text
    # An earlier version has told less, and left no report.
    Path("out/report.html").unlink()
    del found["solver"]["memory_bytes"]
    Path("out/summary.json").write_text(json.dumps(found))
    assert main(["plot", "out"]) == 0
    again = Page(Path("out/report.html"))
    assert len(again.images) == len(list(Path("out/figures").iterdir())) == 2
    assert "Current density" in again.images[0]
    assert len(again.numbers) == len(page.numbers) - 1


def test_names_are_no_markup():
    """Names of contacts and probes; a title with what HTML cannot hold; sources of a library."""
    drawing = Path("names.geo")
    text = Path(TINY.split('file = "')[1].split('"')[0]).read_text()
    for old, new in NAMES.items():
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', f'"{new}"')
    drawing.write_text(text)
    laws = {NAMES["source"]: "1 mV", NAMES["drain"]: "0 V"}
    boundaries = {name: {"contact": {"potential": value}} for name, value in laws.items()}
    boundaries["edges"] = {"wall": {"specularity": 0.0}}
    probe = {"</pre><h1>": {"from": ["9 nm", "0 nm"], "to": ["99 nm", "0 nm"]}}
    changes = {"boundaries": boundaries, "output.probes": probe, "title": "a\x00b\x1f"}
    changes |= {"geometry.file": "names.geo", "flow.model": "ohmic", "flow.order": 1}
    run("--no-figures", **changes, **{"materials.sheet": {"library": "Ti"}})
    page = Page(Path("out/report.html"))
    assert page.images == [] and page.text.count("a\ufffdb\ufffd") == 2  # title and heading
    assert all(name in page.text for name in NAMES.values())
    assert "</pre><h1>" in page.blocks[0]
    assert "library Ti: T. Valet et al. (2025)" in page.text and "CRC Handbook" in page.text


def test_warnings_and_errors():
    """Warnings come before the numbers, errors of inputs beside them."""
    run("--no-figures", **{"materials.sheet.mean_free_path": "40(4) nm"})
    page, found = Page(Path("out/report.html")), summary()
    assert found["warnings"]
    assert page.text.index(found["warnings"][0]) < page.text.rindex("Contacts and walls")
    one = found["uncertainties"]["conductance_S"]
    assert one["standard_deviation_from_inputs"] in page.numbers
    assert " inputs" in page.text and "materials.sheet.mean_free_path" in page.text


def test_errors_of_the_mesh():
    """Beside every number that has one, those of pieces of walls too."""
    run("--no-figures", **{"flow.estimate": True})
    page, found = Page(Path("out/report.html")), summary()["mesh"]["estimated_errors"]
    assert {"conductance_S", "edges.2.orbital_moment_hbar_per_m"} <= set(found)
    assert "extrema.vorticity.max_per_m2_s" in found
    scale = {name: HBAR if ".orbital_density" in name else 1.0 for name in found}
    assert {error / scale[name] for name, error in found.items()} <= set(page.numbers)


def test_a_sweep():
    """Failed points and their errors, too."""
    write_case(**{"flow.model": "ohmic"})
    words = ["sweep", "case.toml", "--quiet", "--over", "geometry.parameters.width=50,100"]
    style = Path("talk.mplstyle")
    style.write_text("svg.fonttype: none\n")
    assert main([*words, "--format", "svg", "--style", str(style), "--output", "grid"]) == 0
    page = Page(Path("grid/report.html"))
    table = json.loads(Path("grid/sweep.json").read_text())
    assert page.record() == table and len(page.images) == 1
    for row in table["points"]:
        assert set(row["results"].values()) <= set(page.numbers)
    text = "".join(ElementTree.parse("grid/sweep.svg").getroot().itertext())
    assert "width (unit of the drawing: nm)" in text and "S)" in text


def test_a_comparison_and_a_sensitivity():
    changes = {"flow.model": "kinetic", "flow.harmonics": 2, "flow.estimate": False}
    write_case(**changes, **{"output.probes": {}})
    assert main(["compare", "case.toml", "--quiet", "--output", "three"]) == 0
    page = Page(Path("three/report.html"))
    for row in json.loads(Path("three/compare.json").read_text())["quantities"]:
        assert {row["ohmic"], row["kinetic"]} <= set(page.numbers)
    assert "Ohm’s law" in page.text and "Boltzmann" in page.text and len(page.images) == 1
    write_case(**{"flow.model": "ohmic"})
    words = ["sensitivity", "case.toml", "--quiet", "--of", "conductance", "--no-figures"]
    assert main([*words, "--output", "why"]) == 0
    page = Page(Path("why/report.html"))
    rows = json.loads(Path("why/sensitivity.json").read_text())["derivatives"]
    told = [row for row in rows if abs(row["per_cent_for_one"]) > 1e-6]
    assert {row["derivative"] for row in told} <= set(page.numbers) and len(told) < len(rows)
    assert all(row["input"] in page.text for row in rows)
