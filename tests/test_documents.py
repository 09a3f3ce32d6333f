"""Every block of code in README, guide and the other documents works as it is printed.

Case files, whole or in part, are loaded with what they leave out; commands go through the argument
parser, those of the README run; Python is executed; links lead somewhere.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from documents import BLOCKS, FILE, LINK, PAGES, ROOT, Block

import meso
from meso.cli import main

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").exists(), reason="the documents are part of the source tree only"
)


def of(kind: str, *names: str) -> list[Any]:
    """The blocks in a language, of some pages or of all, as parameters."""
    pages = [ROOT / name for name in names]
    chosen = [b for b in BLOCKS if b.language == kind and (not pages or b.page in pages)]
    return [pytest.param(block, id=block.name) for block in chosen]


def readme(kind: str, containing: str) -> str:
    """A block of the README."""
    found = [b for b in BLOCKS if b.page == ROOT / "README.md" and b.language == kind]
    (text,) = (block.text for block in found if containing in block.text)
    return text


def test_blocks_are_found() -> None:
    """Nothing is overlooked: each language is there, and no formula is a command in disguise."""
    assert {b.language for b in BLOCKS} == {"command", "geo", "toml", "python", "text"}
    for block in BLOCKS:
        if block.language == "text":
            assert not re.search(r"docker/run|meso (run|check)|^import ", block.text), block.name


# --- links -------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Names of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    heads = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Links between documents, to files and to headings, lead somewhere; named files are there."""
    text = page.read_text(encoding="utf-8")
    wrong = [file for file in FILE.findall(text) if not (ROOT / file).exists()]
    for link in LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


# --- commands ----------------------------------------------------------------------------------


def commands(text: str) -> list[list[str]]:
    """The commands of a block, word by word, continued lines joined and comments gone."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def of_meso(words: list[str]) -> list[str]:
    """The arguments of meso in a command, whatever launches it; none for other commands."""
    if "meso" not in words or words[0] == "conda":  # where it is the name of an environment
        return []
    start = len(words) - words[::-1].index("meso")
    return words[start:] if words[start - 2] != "-f" else []


def settings(words: list[str]) -> list[str]:
    """What a command sets; of a swept value the first."""
    out = []
    for option, value in zip(words, words[1:], strict=False):
        key, _, text = value.partition("=")
        if option == "--set":
            out.append(value)
        elif option == "--over":
            out.append(f"{key}={re.split('[,:]', text)[0]}")
    return out


@pytest.mark.parametrize("block", of("command"))
def test_commands(block: Block, tmp_path: Path, monkeypatch, capsys) -> None:
    """Files are there, the parser takes the words, the case takes what is set."""
    monkeypatch.chdir(tmp_path)
    for words in commands(block.text):
        if "[--over" in words:  # a synopsis: its options are those of the help
            with pytest.raises(SystemExit):
                main([words[1], "--help"])
            known = capsys.readouterr().out
            options = [word.strip("[]") for word in words if word.lstrip("[").startswith("--")]
            assert all(option in known for option in options)
            continue
        ours = ("demos/", "geometries/", "benchmarks/", "tests/")
        for word in words:
            if word.startswith(ours):
                assert (ROOT / word).exists(), word
            if word.endswith(".py") and (ROOT / word).exists():
                ast.parse((ROOT / word).read_text(encoding="utf-8"))
        arguments = of_meso(words)
        if not arguments:
            continue
        if arguments[0] in ("info", "material"):
            assert main(arguments) == 0
            continue
        # In an empty folder: beyond the parser, which would exit, the first thing is the file.
        assert main(arguments) == 2
        assert re.search("no such file|cannot read|no result", capsys.readouterr().err, re.I)
        if arguments[1].startswith(ours) and arguments[0] in ("run", "sweep", "compare", "check"):
            try:
                meso.Case.load(ROOT / arguments[1], settings(arguments))
            except meso.CaseError as error:
                # A material that an earlier line makes.
                made = any(of_meso(each)[:1] == ["bands"] for each in commands(block.text))
                if not (made and "no material file" in str(error)):
                    raise


# --- case files --------------------------------------------------------------------------------

METAL = {
    "carriers": "3d",
    "conductivity": "2.4e6 S/m",
    "mean_free_path": "7 nm",
    "fermi_energy": "1 eV",
}
SHEET = {"carriers": "2d", "conductivity": "2 mS", "mean_free_path": "10 nm"}
CONTACTS: dict[str, Any] = {
    "source": {"contact": {"potential": "1 mV"}},
    "drain": {"contact": {"potential": "0 V"}},
}
#: What the fragments of a page take for granted.
GRANTED: dict[str, dict[str, Any]] = {
    "docs/angular_momentum.md": {
        "flow": {"model": "ohmic"},
        "regions": {"top": "metal", "bottom": "metal"},
        "boundaries": {
            **CONTACTS,
            "tip": {"wall": {"specularity": 0}},
            "edges": {"wall": {"specularity": 0}},
        },
        "angular_momentum": {
            "orbital": {
                "components": ["z"],
                "diffusivity": "1e-4 m^2/s",
                "relaxation_time": "1 ps",
                "susceptibility": "2.7e-21 J s^2/m^3",
            }
        },
    },
}


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables with those of another on top."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if both else value
    return out


def printed(block: Block) -> dict[str, Any]:
    """The tables of a block; lines that stand alone are those of a material or of boundaries."""
    tables = tomllib.loads(block.text)
    if "[" in re.sub(r"=.*", "", block.text):
        return tables
    laws = all({"contact", "wall", "periodic"} & set(value) for value in tables.values())
    return {"boundaries": tables} if laws else {"materials": {"metal": tables}}


def completed(block: Block, folder: Path) -> dict[str, Any]:
    """A case that the tables of a block are a part of."""
    tables = merged(GRANTED.get(str(block.page.relative_to(ROOT)), {}), printed(block))
    flow = tables["flow"] = {"model": "hydrodynamic", **tables.get("flow", {})}
    geometry = tables.get("geometry", {})
    # Data of cells come from a mesh file.
    usual = "sheet.vtu" if "{ data =" in block.text else "ribbon.geo"
    named = Path(geometry.get("file", usual)).name
    file = ROOT / "geometries" / ("notched_bar.step" if "groups" in geometry else named)
    if not file.exists():
        file = folder / named
        file.touch()
    tables["geometry"] = {"length_unit": "nm", **geometry, "file": str(file)}
    laws = tables.setdefault("boundaries", dict(CONTACTS))
    driven = "along" not in flow  # the section of a wire has walls alone
    if driven and not any({"contact", "periodic"} & set(law) for law in laws.values()):
        laws |= CONTACTS
    for ends in tables.get("output", {}).get("resistances", {}).values():
        for name in (*ends["current"], *ends["voltage"]):
            laws.setdefault(name, {"contact": {"current": "0 A"}})
    materials = tables.setdefault("materials", {"metal": {}})
    for name in tables.setdefault("regions", {"metal": next(iter(materials))}).values():
        if "library" not in materials.setdefault(name, {}):
            known = SHEET if driven and flow["model"] in ("kinetic", "particles") else METAL
            materials[name] = merged(known, materials[name])
    return tables


def is_design(block: Block) -> bool:
    """Whether tables are those of a design file."""
    return bool(re.search(r"^(maximise|minimise) =", block.text, re.M))


@pytest.mark.parametrize("block", [p for p in of("toml") if is_design(p.values[0])])
def test_design_files(block: Block, tmp_path: Path, monkeypatch, capsys) -> None:
    """They lack nothing but the case."""
    monkeypatch.chdir(tmp_path)
    Path("design.toml").write_text(block.text)
    assert main(["design", "design.toml"]) == 2
    assert 'design.toml: case: found "case.toml"; no such file' in capsys.readouterr().err


#: Files of other commands: `meso bands`, `meso fit`.
OTHERS = ("[model]", "[parameters.")


def is_case(block: Block) -> bool:
    """Whether tables are those of a case."""
    return not (any(other in block.text for other in OTHERS) or is_design(block))


@pytest.mark.parametrize("block", of("toml", "docs/fitting.md"))
def test_files_of_fits(block: Block, tmp_path: Path, capsys) -> None:
    """All that is missing are the files that they name."""
    (tmp_path / "fit.toml").write_text(block.text)
    assert main(["fit", str(tmp_path / "fit.toml")]) == 2
    _, *problems = capsys.readouterr().err.splitlines()
    assert len(problems) == 2 and all("no such file" in line for line in problems)


@pytest.mark.parametrize("block", [p for p in of("toml") if is_case(p.values[0])])
def test_case_files(block: Block, tmp_path: Path) -> None:
    """Every table that is printed is one that a case file may have."""
    loaded = meso.Case.from_dict(completed(block, tmp_path), tmp_path).given
    tables = printed(block)
    for table in (tables.get("geometry", {}), *tables.get("materials", {}).values()):
        table.pop("file", None), table.pop("library", None)
    assert merged(loaded, tables) == loaded  # it is the printed text that was loaded


# --- the device of the README ------------------------------------------------------------------

#: Coarse enough to be quick.
COARSE = (
    *("--set", "mesh.size=40", "--set", "mesh.wall_size=20"),
    *("--set", "flow.order=2", "--no-figures"),
)
HOLE = (
    "Disk(2) = {150, 100, 0, notch};",
    "Disk(2) = {150, 100, 0, notch};\nDisk(4) = {80, 50, 0, 15};",
)
CUT = ("{ Surface{2}; Delete; }", "{ Surface{2, 4}; Delete; }")


@pytest.fixture
def device(tmp_path: Path, monkeypatch) -> Path:
    """A folder with the drawing and the case file of the README."""
    (tmp_path / "device.geo").write_text(readme("geo", "Rectangle"))
    (tmp_path / "case.toml").write_text(readme("toml", "A notch"))
    for name in ("demos", "geometries", "docker"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str], folder: Path) -> str:
    """Run a command of a document in the interpreter of the tests; what it says."""
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "MESO_ENGINE": "native"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_device_of_the_readme(device: Path) -> None:
    """It is checked and solved as it is printed, but for the size of the cells."""
    words = commands(readme("command", "meso check case.toml"))
    assert [of_meso(w)[0] for w in words] == ["check", "run", "run", "run", "sweep"]
    assert "edges" in run(words[0], device)
    run([*words[1], *COARSE], device)
    left = {path.name for path in (device / "results" / "notch").rglob("*")}
    assert {"summary.json", "edges.csv", "across.csv", "fields.pvd", "case.toml"} <= left
    summary = json.loads((device / "results/notch/summary.json").read_text())
    current = summary["contacts"]["source"]["current_A"]
    # Ohm's law without the notch, sigma * thickness * width/length * V, is an upper bound; the
    # narrowest place, 60 of 100 nm for 80 nm, and slip leave more than half of it
    ohm = 2.4e6 * 20e-9 * (100 / 300) * 1e-3
    assert 0.5 * ohm < current < ohm


@pytest.mark.parametrize("model", ["ohmic", "hydrodynamic"])
def test_device_with_a_hole(device: Path, model: str) -> None:
    """A hole that is added to the drawing is a wall like the others."""
    drawing = device / "device.geo"
    text = drawing.read_text()
    assert HOLE[0] in text and CUT[0] in text
    whole = resistance(model, "whole")
    drawing.write_text(text.replace(*HOLE).replace(*CUT))
    # less metal: more resistance, by less than the lost width, 30 of 100 nm for 30 of 300 nm
    assert 1.01 < resistance(model, "hole") / whole < 1.3


def resistance(model: str, output: str) -> float:
    """Of the device in the working directory, ohm."""
    assert (
        main(["run", "case.toml", *COARSE, "--set", f"flow.model={model}", "--output", output]) == 0
    )
    summary = json.loads(Path(output, "summary.json").read_text())
    return 1e-3 / summary["contacts"]["source"]["current_A"]


@pytest.mark.verification
def test_commands_of_the_readme(device: Path) -> None:
    """The others run as well: the first one of all, a parameter set, two ranks, a sweep."""
    first = commands(readme("command", "docker/run pytest"))[0]
    run([*first, "--output", "results/ribbon"], device)
    assert (device / "results" / "ribbon" / "figures").is_dir()
    words = commands(readme("command", "meso check case.toml"))
    alone, changed, both, sweep = ([*w, *COARSE] for w in words[1:])
    run(alone, device)
    summary = device / "results" / "notch" / "summary.json"
    current = json.loads(summary.read_text())["contacts"]["source"]["current_A"]
    run(both, device)
    again = json.loads(summary.read_text())["contacts"]["source"]["current_A"]
    # "the same numbers, in parallel": one direct solver on one mesh
    assert again == pytest.approx(current, rel=1e-9)
    run(changed, device)
    shallow = json.loads((device / "results" / "shallow" / "summary.json").read_text())
    assert shallow["contacts"]["source"]["current_A"] > current
    run(sweep, device)
    rows = (device / "results" / "notch_sweep" / "sweep.csv").read_text().splitlines()
    assert len(rows) == 1 + 6


# --- Python ------------------------------------------------------------------------------------

#: A small case in the folder, and what the guide calls device, materials, boundaries and flow.
NAMES = """
import meso, ufl
from pathlib import Path
Path("case.toml").write_text(meso.Case.load("given.toml").to_toml("."))
flow = meso.run(meso.Case.load("case.toml")).flow
device, materials, boundaries = flow.device, flow.materials, flow.boundaries
"""
SMALL = """
[geometry]
file = "geometries/ribbon.geo"
length_unit = "nm"
parameters = { width = 100, length = 200 }
[mesh]
size = "40 nm"
wall_size = "30 nm"
[materials.metal]
carriers = "2d"
conductivity = "2 mS"
mean_free_path = "50 nm"
fermi_energy = "1 eV"
[regions]
metal = "metal"
[boundaries]
source = { contact = { potential = "1 mV" } }
drain = { contact = { potential = "0 V" } }
edges = { wall = { specularity = 0 } }
[flow]
model = "hydrodynamic"
harmonics = 4
order = 2
[output]
directory = "results/small"
"""


#: A fit to one number.
RIBBONS = """
[data.ribbons]
case = "case.toml"
file = "ribbons.csv"
uncertainty = "1 %"
set = { flow.model = "hydrodynamic" }
[parameters.path]
key = "materials.metal.mean_free_path"
start = "20 nm"
bounds = ["2 nm", "500 nm"]
"""


@pytest.mark.verification
def test_python_of_the_readme(device: Path) -> None:
    """It runs as it is printed, and leaves the results that it saves."""
    text = readme("python", "meso.run(case)")
    out = run([sys.executable, "-c", text + "print(result.contacts['source'].current)"], device)
    summary = json.loads((device / "results/ribbon/summary.json").read_text())
    assert float(out) == summary["contacts"]["source"]["current_A"] > 0


@pytest.mark.verification
@pytest.mark.parametrize("block", of("python", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))))
def test_python_of_the_documents(block: Block, device: Path) -> None:
    """Blocks of the guide and its pages run, with few wave vectors where there are many."""
    (device / "given.toml").write_text(SMALL)
    if "device.toml" in block.text:
        run_bands(device, "results/metal", "metal")
        metal = merged(tomllib.loads(SMALL), {"materials": {"metal": {"carriers": "3d"}}})
        metal["materials"]["metal"]["conductivity"] = "2e6 S/m"
        import tomli_w

        (device / "device.toml").write_text(tomli_w.dumps(metal))
    if "wire.toml" in block.text:
        import tomli_w

        section = tomllib.loads(SMALL)
        rough = {"wall": {"specularity": 0.0}}
        section["boundaries"] = dict.fromkeys(("source", "drain", "edges"), rough)
        section["materials"]["metal"] |= {"carriers": "3d", "conductivity": "2e6 S/m"}
        section["flow"] = {"model": "hydrodynamic", "along": "z", "field": "1 kV/m"}
        (device / "wire.toml").write_text(tomli_w.dumps(section))
    if "meso.fit(" in block.text:
        (device / "fit.toml").write_text(RIBBONS)
        (device / "ribbons.csv").write_text("source.current_uA\n0.9\n")
    text = re.sub(r"kmesh=\d+", "kmesh=6", block.text)
    # one of the designs that is quick
    text = text.replace("design/largest.toml", "design/width.toml")
    # what stands for something of the reader's own
    text = text.replace("sample(function, points)", "sample(flow.current_density, [[1e-7, 1e-8]])")
    run([sys.executable, "-c", NAMES + text], device)


def run_bands(folder: Path, output: str, name: str) -> dict[str, Any]:
    """Run the case of meso bands that is printed, on a coarse grid; the tensors."""
    (block,) = (b for b in BLOCKS if b.language == "toml" and "[model]" in b.text)
    (folder / f"{name}.toml").write_text(re.sub(r"kmesh = \d+", "kmesh = 6", block.text))
    run(["docker/run", "meso", "bands", f"{name}.toml", "--output", output], folder)
    (file,) = (folder / output).glob("*.json")
    return json.loads(file.rename(file.with_name(f"{name}.json")).read_text())


@pytest.mark.verification
def test_bands_case(device: Path) -> None:
    """The case of meso bands gives the file that a device reads, and the tensors."""
    tensors = run_bands(device, "results/Ta", "Ta")
    assert {"angular_momentum_diffusivity", "orbital_hall_conductivity"} <= set(tensors)
    (material,) = (device / "results" / "Ta").glob("*.toml")
    assert "conductivity" in run(["docker/run", "meso", "material", str(material)], device)


def test_papers_leave_nothing_out() -> None:
    """Every numbered equation has a row, and no row an empty cell."""
    sections = re.split(r"^## ", (ROOT / "docs/papers.md").read_text(encoding="utf-8"), flags=re.M)
    last = {"[V]": (10, 0), "[VR]": (15, 0), "[N]": (15, 36), "[C]": (9, 57)}
    for section in sections[1:]:
        rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
        found: dict[bool, set[int]] = {False: set(), True: set()}
        for row in rows:
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            assert len(cells) == 4 and all(cells), row
            if cells[0].startswith(("Fig", "S Fig", "Table", "after")):
                continue
            for first, end in re.findall(r"(\d+)[ab]?(?:–(\d+))?", cells[0]):
                found[cells[0].startswith("S ")] |= set(range(int(first), int(end or first) + 1))
        main, supplement = last[section.split()[0]]
        assert found[False] == set(range(1, main + 1)), section.split()[0]
        numbers = set(range(1, supplement + 1))
        assert found[True] == (numbers - set(range(1, 10)) if main == 9 else numbers)
