"""The command line: what each kind of bad input is told, exit codes, and every command.

Runs are made in this process, in an empty directory, on a ribbon of few cells.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from conftest import GEOMETRIES, gmsh_session, mesh_file
from helpers import factorisations, hopeless
from mpi4py import MPI

from meso import MesoError, __version__
from meso.cli import main

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="the command starts its own ranks")

TINY = f"""
title = "tiny"
[geometry]
file = "{GEOMETRIES / "ribbon.geo"}"
length_unit = "nm"
parameters = {{ width = 100, length = 200 }}
[mesh]
size = "50 nm"
wall_size = "25 nm"
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "10 nm"
scattering = "radial-tangential"
fermi_energy = "1 eV"
[regions]
metal = "sheet"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "hydrodynamic"
order = 2
[output]
directory = "out"
[output.probes]
across = {{ from = ["100 nm", "-50 nm"], to = ["100 nm", "50 nm"], points = 5 }}
"""

PLATES = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 100, 100};
Rectangle(2) = {200, 0, 0, 100, 100};
Physical Surface("metal") = {1, 2};
Physical Curve("source") = {4};
Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3};
Physical Curve("shore") = {5, 6, 7, 8};
"""

BRICK = """
SetFactory("OpenCASCADE");
Box(1) = {0, 0, 0, 50, 50, 50};
Physical Volume("metal") = {1};
Physical Surface("source") = {1};
Physical Surface("drain") = {2};
Physical Surface("edges") = {3, 4, 5, 6};
"""

NAMELESS = "Point(1) = {0, 0, 0};\n" + "".join(
    f"Point({i}) = {{{x}, {y}, 0}};\n" for i, (x, y) in enumerate([(100, 0), (0, 100)], 2)
)
NAMELESS += "Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 1};\n"
NAMELESS += "Curve Loop(1) = {1, 2, 3}; Plane Surface(1) = {1};\n"


def write_case(path=Path("case.toml"), **changes):
    """Write the tiny case with changes: dotted key -> value, None to remove."""
    tables = tomllib.loads(TINY)
    for dotted, value in changes.items():
        *names, last = dotted.split(".")
        table = tables
        for name in names:
            table = table.setdefault(name, {})
        if value is None:
            del table[last]
        else:
            table[last] = value
    path.write_text(tomli_w.dumps(tables))
    return path


def everything(folder=Path()):
    """All files and directories, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def summary(folder="out"):
    return json.loads((Path(folder) / "summary.json").read_text())


def the_message(text):
    """The one message on stderr."""
    assert sum(line.startswith("meso: ") for line in text.splitlines()) == 1, text
    assert text.startswith("meso: "), text
    assert "Traceback" not in text
    return text.removeprefix("meso: ")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory; the signal handler of the command does not outlive the test."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def meso(capsys):
    """Run the command; returns its exit code, stdout and stderr."""

    def meso(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return meso


@pytest.fixture
def refused(meso):
    """Run a bad input: exit code 2, one message, nothing left behind; returns the message."""

    def refused(*words):
        before = everything()
        code, out, err = meso(*words)
        assert (code, out) == (2, ""), err
        assert everything() == before
        message = the_message(err)
        assert message.startswith("error: ")
        return message

    return refused


# What is wrong -> the changes that make it so, and what the message must name.
BAD = {
    "unknown key": (
        {"materials.sheet.mean_free_pth": "9 nm"},
        ["case.toml", "materials.sheet.mean_free_pth", 'did you mean "mean_free_path"'],
    ),
    "unknown table": ({"meshes": {}}, ["case.toml", "meshes", 'did you mean "mesh"']),
    "missing unit": (
        {"materials.sheet.mean_free_path": "10"},
        ["case.toml", "materials.sheet.mean_free_path", '"10"', "unit"],
    ),
    "wrong dimension": (
        {"materials.sheet.mean_free_path": "10 mV"},
        ["case.toml", "materials.sheet.mean_free_path", "potential", "length"],
    ),
    "negative mean free path": (
        {"materials.sheet.mean_free_path": "-10 nm"},
        ["case.toml", "materials.sheet.mean_free_path", "positive"],
    ),
    "specularity above 1": (
        {"boundaries.edges.wall.specularity": 1.01},
        ["case.toml", "boundaries.edges.wall.specularity", "1.01", "0 … 1"],
    ),
    "specularity below 0": (
        {"boundaries.edges.wall.specularity": -0.01},
        ["case.toml", "boundaries.edges.wall.specularity", "-0.01", "0 … 1"],
    ),
    "boundary not named in the case": (
        {"boundaries.edges": None},
        ["case.toml", "boundaries", "ribbon.geo", "'edges'", "not named in the case"],
    ),
    "boundary that is not in the mesh": (
        {"boundaries.edgs": {"wall": {"specularity": 1.0}}},
        ["case.toml", "boundaries.edgs", "not in ribbon.geo", 'did you mean "edges"'],
    ),
    "region that is not in the mesh": (
        {"regions": {"metal": "sheet", "oxide": "sheet"}},
        ["case.toml", "regions.oxide", "not in ribbon.geo", "known: metal"],
    ),
    "region without material": (
        {"regions": {"oxide": "sheet"}},
        ["case.toml", "regions", "'metal'", "no material"],
    ),
    "region of an unknown material": (
        {"regions.metal": "sheets"},
        ["case.toml", "regions.metal", '"sheets"', 'did you mean "sheet"'],
    ),
    "no fixed potential": (
        {
            "boundaries.source": {"contact": {"current": "1 uA"}},
            "boundaries.drain": {"contact": {"current": "-1 uA"}},
        },
        ["case.toml", "boundaries", "fixed potential"],
    ),
    "missing drawing": (
        {"geometry.file": "no.geo"},
        ["case.toml", "geometry.file", "no.geo", "no such file"],
    ),
    "unknown variable of the drawing": (
        {"geometry.parameters": {"widht": 3}},
        ["ribbon.geo", "geometry.parameters", "'widht'", "did you mean 'width'"],
    ),
    "the drawing's own check": (
        {"geometry.parameters.width": -1},
        ["ribbon.geo", "Gmsh refuses", "width = -1 is not permitted"],
    ),
    "probe outside": (
        {"output.probes.across": {"from": ["1 nm", "51 nm"], "to": ["9 nm", "90 nm"]}},
        ["case.toml", "output.probes.across", "outside the device"],
    ),
    "thickness of a 2d gas": (
        {"geometry.thickness": "3 nm"},
        ["case.toml", "geometry.thickness", "2D electron gas"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values(refused, name):
    changes, fragments = BAD[name]
    # Two levels, neither of which exists: no parent directory may be left behind either.
    message = refused("run", write_case(**{"output.directory": "results/out", **changes}))
    assert [f for f in fragments if f not in message] == [], message


@pytest.mark.parametrize("name", BAD)
def test_check_finds_the_same_without_solving(refused, name):
    before = factorisations()
    changes, fragments = BAD[name]
    message = refused("check", write_case(**changes))
    assert [f for f in fragments if f not in message] == [], message
    assert factorisations() == before


# Files -> their content, None for those that are written by Gmsh below, and the message.
FILES = {
    "syntax error": (
        "own.geo",
        "Point(1) = {0, 0, 0};\nPlane Surfce(1) = {1};\n",
        ["own.geo", "Gmsh refuses", "line 2", "syntax error"],
    ),
    "unknown curve": (
        "own.geo",
        'Plane Surface(1) = {77};\nPhysical Surface("metal") = {1};\n',
        ["own.geo", "Gmsh refuses", "77"],
    ),
    "no physical groups": ("own.geo", NAMELESS, ["own.geo", "no physical surface"]),
    "unnamed boundary": (
        "own.geo",
        NAMELESS + 'Physical Surface("metal") = {1}; Physical Curve("edges") = {1, 2};\n',
        ["own.geo", "no physical curve", "Physical Curve("],
    ),
    "3D drawing": ("own.geo", BRICK, ["regions", "2d", "the mesh is 3D"]),
    "not a mesh": ("own.msh", "what is this?\n", ["own.msh"]),
    "unknown suffix": ("own.svg", "<svg/>", ["geometry.file", "'.svg'", ".geo", ".step"]),
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("name", FILES)
def test_bad_drawings(refused, name, command):
    file, content, fragments = FILES[name]
    Path(file).write_text(content)
    changes = {"geometry.file": file, "geometry.parameters": {}}
    changes["mesh"] = {"size": "50 nm", "wall_size": "25 nm"} if file.endswith(".geo") else {}
    message = refused(command, write_case(**changes))
    assert [f for f in fragments if f not in message] == [], message


MESHED = {"geometry.parameters": {}, "mesh": {}}


def test_mesh_file_without_groups(refused):
    mesh_file(Path("own.msh"), NAMELESS, size=50)
    message = refused("run", write_case(**MESHED, **{"geometry.file": "own.msh"}))
    assert "own.msh: no physical surface" in message


def test_3d_mesh_file(refused):
    import gmsh

    Path("own.geo").write_text(BRICK)
    with gmsh_session():
        gmsh.open("own.geo")
        gmsh.option.setNumber("Mesh.MeshSizeMin", 50)
        gmsh.model.mesh.generate(3)
        gmsh.write("own.msh")
    message = refused("run", write_case(**MESHED, **{"geometry.file": "own.msh"}))
    assert 'carriers = "2d" need a 2D mesh, but the mesh is 3D' in message


def test_sizes_of_a_mesh_file(refused):
    mesh_file(Path("own.msh"), GEOMETRIES / "ribbon.geo", size=50)
    changes = {"geometry.file": "own.msh", "geometry.parameters": {}}
    message = refused("run", write_case(**changes))
    assert "case.toml: mesh: own.msh is a mesh already" in message


def test_island_without_a_contact(refused, meso):
    Path("plates.geo").write_text(PLATES)
    changes = {"geometry.file": "plates.geo", "geometry.parameters": {}}
    shore = {"boundaries.shore": {"wall": {"specularity": 1.0}}, "output.probes": {}}
    message = refused("run", write_case(**changes, **shore))
    assert "case.toml: boundaries: the part of the conductor bounded by shore" in message
    assert "fixed potential" in message
    # A contact with a given current fixes nothing; one at a given potential is enough.
    shore["boundaries.shore"] = {"contact": {"current": "0 A"}}
    assert "bounded by shore" in refused("run", write_case(**changes, **shore))
    shore["boundaries.shore"] = {"contact": {"potential": "0 V"}}
    code, _, err = meso("run", write_case(**changes, **shore), "--no-figures")
    assert code == 0, err


def test_unreadable_case_files(refused):
    assert "no.toml: cannot read the case file: No such file" in refused("run", "no.toml")
    Path("folder.toml").mkdir()
    assert "folder.toml: cannot read" in refused("run", "folder.toml")
    Path("latin.toml").write_bytes('title = "Sch\xfctz"'.encode("latin-1"))
    assert "latin.toml: not a TOML file" in refused("run", "latin.toml")
    Path("broken.toml").write_text("[geometry\n")
    message = refused("run", "broken.toml")
    assert "broken.toml: not valid TOML" in message
    assert "line 1" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_files_without_permission(refused):
    write_case().chmod(0)
    assert "Permission denied" in refused("run", "case.toml")
    Path("own.geo").write_text(PLATES)
    Path("own.geo").chmod(0)
    Path("case.toml").unlink()
    message = refused("run", write_case(**{"geometry.file": "own.geo"}))
    assert "own.geo: cannot be read (Permission denied)" in message


def test_all_problems_at_once(refused):
    changes = {"mesh.sizes": 1, "materials.sheet.mean_free_path": "-1 nm", "flow.order": 20}
    message = refused("run", write_case(**changes))
    assert "case.toml: 3 problems" in message
    for key in ("mesh.sizes", "materials.sheet.mean_free_path", "flow.order"):
        assert f"\n  {key}: " in message


def test_bad_settings(refused):
    write_case()
    assert "key=value" in refused("run", "case.toml", "--set", "nonsense")
    assert "mesh.siz" in refused("run", "case.toml", "--set", "mesh.siz=1 nm")
    message = refused("run", "case.toml", "--set", "geometry.parameters.lenght=300")
    assert "'lenght'" in message
    assert "did you mean 'length'" in message


# --- the output directory


def test_other_files_are_not_replaced(refused, monkeypatch):
    monkeypatch.setattr("dolfinx.mesh.create_mesh", None)  # found out before there is a mesh
    write_case()
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("ten years")
    message = refused("run", "case.toml")
    assert "output.directory" in message
    assert "out holds other files" in message
    assert Path("out/thesis.tex").read_text() == "ten years"
    assert "case.toml is a file" in refused("run", "case.toml", "--output", "case.toml")


def test_a_summary_of_somebody_else_is_not_replaced(refused):
    """A file of that name alone does not make a result."""
    write_case()
    Path("out").mkdir()
    Path("out/summary.json").write_text('{"chapters": 10}')
    Path("out/thesis.tex").write_text("ten years")
    assert "output.directory" in refused("run", "case.toml")
    assert Path("out/thesis.tex").read_text() == "ten years"


def test_directory_that_cannot_be_made(refused):
    write_case()
    message = refused("run", "case.toml", "--output", "case.toml/deeper")
    assert "output.directory" in message
    assert "case.toml/deeper" in message


def test_working_directory_as_output(meso):
    """An empty directory may be filled, or refused, but not by a traceback."""
    write_case()
    Path("empty").mkdir()
    os.chdir("empty")
    code, _, err = meso("run", "../case.toml", "--output", ".", "--no-figures")
    if code == 0:
        assert Path("summary.json").exists()
    else:
        assert code == 2
        the_message(err)
        assert everything() == []


# --- failures that are not the user's


def test_a_failed_solve_is_exit_3_and_leaves_a_log_only(meso):
    write_case()
    with hopeless():
        code, out, err = meso("run", "case.toml", "--output", "results/out")
    assert (code, out) == (3, "")
    assert "not converge: case.toml: the direct solver left a relative residual" in the_message(err)
    assert everything() == ["case.toml", "results", "results/out.log"]
    log = Path("results/out.log").read_text()
    assert "case.toml" in log
    assert "relative residual" in log


def test_a_failed_solve_keeps_the_older_result_and_its_log_goes(meso):
    write_case()
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    before = {p: p.read_bytes() for p in Path("out").rglob("*") if p.is_file()}
    with hopeless():
        assert meso("run", "case.toml", "--no-figures")[0] == 3
    assert {p: p.read_bytes() for p in Path("out").rglob("*") if p.is_file()} == before
    assert Path("out.log").exists()
    # A log of a failure beside a newer result would mislead.
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    assert not Path("out.log").exists()


def test_a_file_of_the_users_where_a_log_would_be_stays(meso):
    write_case()
    Path("out.log").write_text("what I wrote down\n")  # or where the terminal goes to
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    with hopeless():
        assert meso("run", "case.toml", "--no-figures")[0] == 3
    assert Path("out.log").read_text() == "what I wrote down\n"


def test_internal_errors_are_exit_1(meso, monkeypatch):
    def bug(*_, **__):
        raise RuntimeError("a bug")

    write_case()
    with monkeypatch.context() as patch:
        patch.setattr("dolfinx.mesh.create_mesh", bug)
        code, out, err = meso("run", "case.toml")
    assert (code, out) == (1, "")
    assert "Traceback" in err
    assert "RuntimeError: a bug" in err
    assert everything() == ["case.toml"]

    def known(*_, **__):
        raise MesoError("not in this build")

    monkeypatch.setattr("dolfinx.mesh.create_mesh", known)
    code, _, err = meso("run", "case.toml")
    assert code == 1
    assert the_message(err) == "error: not in this build\n"
    assert everything() == ["case.toml"]


# --- good runs


def test_run_reports_and_writes(meso):
    write_case()
    code, out, err = meso("run", "case.toml", "--no-figures")
    assert code == 0
    assert "Traceback" not in err
    assert "[" not in err  # progress is for terminals
    numbers = summary()
    current = numbers["contacts"]["source"]["current_A"]
    # The table has no more than two digits of the error.
    (told,) = re.findall(r"^  source +(\S+)", out, re.MULTILINE)
    error = numbers["mesh"]["estimated_errors"]["source.current_A"]
    assert abs(float(told) - current) <= error / 20 < 1e-4 * current
    assert "tiny: hydrodynamic flow, order 2" in out
    assert f"{numbers['mesh']['dofs']} unknowns" in out
    assert "results in out" in out


def test_quiet_and_verbose(meso):
    write_case()
    code, out, err = meso("run", "case.toml", "--no-figures", "--quiet")
    assert (code, out) == (0, "")
    # Its cells are larger than the vorticity diffusion length: that is said all the same.
    assert len(summary()["warnings"]) == 1
    assert the_message(err) == f"warning: {summary()['warnings'][0]}\n"
    code, out, err = meso("run", "case.toml", "--no-figures", "--verbose")
    assert code == 0
    assert "results in out" in out
    for word in ("meshing ribbon.geo", "solving hydrodynamic flow", "writing files"):
        assert word in err
    with pytest.raises(SystemExit) as stop:
        main(["run", "case.toml", "--quiet", "--verbose"])
    assert stop.value.code == 2


def test_set_and_output(meso):
    """Ohm's law: a ribbon of 20 mS, 1 mV, has a current of 20 uA W/L."""
    write_case()
    settings = ["flow.model=ohmic", "geometry.parameters.length=400", "title=other"]
    words = [word for setting in settings for word in ("--set", setting)]
    code, out, err = meso("run", "case.toml", *words, "--output", "deep/er", "--no-figures")
    assert code == 0, err
    assert not Path("out").exists()
    numbers = summary("deep/er")
    assert numbers["title"] == "other"
    # A linear potential is in the space: rounding of a direct solve of 1e2 unknowns.
    assert numbers["contacts"]["source"]["current_A"] == pytest.approx(5e-6, rel=1e-11, abs=0)
    assert "results in deep/er" in out


def test_default_directory_is_named_after_the_case(meso):
    write_case(Path("my.toml"), **{"output.directory": None})
    assert meso("run", "my.toml", "--no-figures", "--set", "flow.model=ohmic")[0] == 0
    assert summary("results/my")["model"] == "ohmic"


def test_paths_are_relative_to_the_case_and_to_the_working_directory(meso):
    """The drawing lies beside the case, the results where the command is given."""
    Path("project").mkdir()
    Path("project/own.geo").write_text((GEOMETRIES / "ribbon.geo").read_text())
    write_case(Path("project/case.toml"), **{"geometry.file": "own.geo", "flow.model": "ohmic"})
    assert meso("run", "project/case.toml", "--no-figures")[0] == 0
    assert Path("out/summary.json").exists()
    assert everything(Path("project")) == ["case.toml", "own.geo"]


def test_check(meso):
    write_case()
    code, out, _ = meso("check", "case.toml", "--set", "mesh.wall_size=2 nm")
    assert code == 0
    for word in ("metal", "sheet", "source", "drain", "edges", "cells", "nothing wrong found"):
        assert word in out
    # Kn = 10 nm over a width of 100 nm.
    assert "Knudsen number 0.1\n" in out
    assert everything() == ["case.toml"]
    code, out, _ = meso("check", "case.toml")
    assert code == 0
    assert "warning: wall 'edges'" in out
    assert "nothing wrong found" not in out


def test_mesh(meso, refused):
    write_case()
    code, out, _ = meso("mesh", "case.toml")
    assert code == 0
    assert "20000 nm²" in out  # 100 nm x 200 nm
    assert "picture in mesh.png" in out
    assert Path("mesh.png").read_bytes().startswith(b"\x89PNG")
    geo = GEOMETRIES / "ribbon.geo"
    code, out, _ = meso("mesh", geo, "--unit", "um", "--picture", "a/b.png")
    assert code == 0
    assert "4e+10 nm²" in out  # 100 um x 400 um
    assert Path("a/b.png").read_bytes().startswith(b"\x89PNG")
    assert everything() == ["a", "a/b.png", "case.toml", "mesh.png"]
    assert "--set" in refused("mesh", geo, "--set", "mesh.size=1 nm")
    assert "length" in refused("mesh", geo, "--unit", "V")
    assert "no.geo" in refused("mesh", "no.geo")
    assert "no.toml" in refused("mesh", "no.toml")


def test_mesh_picture_of_unknown_format(refused):
    assert "foo" in refused("mesh", GEOMETRIES / "ribbon.geo", "--picture", "mesh.foo")


def test_mesh_picture(meso):
    assert meso("mesh", GEOMETRIES / "ribbon.geo", "--picture", "mesh.png")[0] == 0
    assert Path("mesh.png").stat().st_size > 1000


def test_forgotten_length_unit_is_refused_before_meshing(refused):
    """50 nm cells in a drawing of 100 m: the message asks for the unit."""
    write_case()
    assert "length_unit" in refused("run", "case.toml", "--set", "geometry.length_unit=m")


def test_files_of_the_user_stay_in_a_result_directory(meso):
    write_case()
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    Path("out/view.pvsm").write_text("a ParaView state")
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    assert Path("out/view.pvsm").read_text() == "a ParaView state"
    assert sorted(p.name for p in Path().iterdir()) == ["case.toml", "out"]


def test_plot(meso, refused):
    write_case()
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    assert not Path("out/figures").exists()
    code, out, _ = meso("plot", "out")
    assert code == 0
    files = out.split()
    assert sorted(files) == sorted(str(p) for p in Path("out/figures").iterdir())
    assert "out/figures/current.png" in files
    for file in files:
        assert Path(file).read_bytes().startswith(b"\x89PNG")
    assert "no result directory" in refused("plot", "nowhere")


def test_plot_of_something_else(refused, meso):
    """No fields that could be drawn: a message, no traceback."""
    Path("other").mkdir()
    Path("other/summary.json").write_text("{")
    assert "other" in refused("plot", "other")
    dolfinx = pytest.importorskip("dolfinx")
    if dolfinx.has_adios2:
        write_case(**{"flow.model": "ohmic"})
        assert meso("run", "case.toml", "--format", "vtx")[0] == 0
        assert "out" in refused("plot", "out")


def test_material(meso, refused):
    code, out, _ = meso("material")
    assert code == 0
    assert "Ti" in out
    code, out, _ = meso("material", "Ti")
    assert code == 0
    assert "2.4e6 S/m" in out
    assert "CRC Handbook" in out
    message = refused("material", "Tii")
    assert 'did you mean "Ti"' in message
    write_case()
    code, out, _ = meso("material", "case.toml")
    assert code == 0
    assert "sheet" in out
    # The model of Valet et al.: l = lambda/sqrt 2, and kappa = -hbar^2/(2 eps_F e) < 0.
    assert "7.07107e-09 m" in out
    assert "-2.16621e-31 J s/A" in out
    assert "no.toml" in refused("material", "no.toml")


def test_info_and_version(meso, capsys):
    code, out, _ = meso("info")
    assert code == 0
    for word in (__version__, "dolfinx", "petsc", "mumps", "gmsh", "float64"):
        assert word in out
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"meso {__version__}\n"


@pytest.mark.parametrize("words", [[], ["frobnicate"], ["run"], ["run", "a.toml", "--format", "x"]])
def test_bad_words_are_exit_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: meso" in capsys.readouterr().err


# --- in a process of its own


def environment():
    """Without what this process's own MPI added to it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMPI_COMM", "PMIX_", "OMPI_UNIVERSE"))
    }
    root = str(Path(__file__).parents[1])
    return kept | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [kept.get("PYTHONPATH")])])}


def execute(*words):
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        check=False,
    )


def meso_on(ranks, *words):
    return execute("mpirun", "-n", ranks, sys.executable, "-m", "meso", *words)


def test_killed_half_way_leaves_nothing_that_looks_finished(meso):
    """SIGKILL while files are written: nobody can clean up."""
    write_case()
    script = (
        "import os, signal, zlib, meso.cli\n"
        "zlib.compressobj = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "meso.cli.main(['run', 'case.toml', '--no-figures', '--quiet'])\n"
    )
    done = execute(sys.executable, "-c", script)
    assert done.returncode == -signal.SIGKILL
    assert not Path("out").exists()
    left = [p for p in Path().iterdir() if p.name != "case.toml"]
    assert all(p.name.startswith(".") for p in left)
    # The next run is not disturbed, and tidies up.
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    assert sorted(p.name for p in Path().iterdir()) == ["case.toml", "out"]


def columns(path):
    with path.open() as file:
        header = file.readline().strip().split(",")
    return header, np.loadtxt(path, delimiter=",", skiprows=1)


def test_two_ranks_give_the_same_numbers(meso):
    write_case()
    assert meso("run", "case.toml", "--no-figures")[0] == 0
    done = meso_on(2, "run", "case.toml", "--no-figures", "--output", "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("results in two") == 1
    one, two = summary("out"), summary("two")
    assert (one["mesh"]["ranks"], two["mesh"]["ranks"]) == (1, 2)
    assert one["case_hash"] == two["case_hash"]
    assert one["mesh"]["dofs"] == two["mesh"]["dofs"]
    assert one["warnings"] == two["warnings"]
    # 1e-9 is what the project promises: sums in another order, magnified by the conditioning.
    for name, contact in one["contacts"].items():
        other = two["contacts"][name]["current_A"]
        assert other == pytest.approx(contact["current_A"], rel=1e-9, abs=0)
    for a, b in zip(
        one["walls"]["edges"]["segments"], two["walls"]["edges"]["segments"], strict=True
    ):
        wanted = a["orbital_moment_J_s_per_m"]
        assert b["orbital_moment_J_s_per_m"] == pytest.approx(wanted, rel=1e-9, abs=0)
    np.testing.assert_allclose(
        two["conductance_matrix_S"], one["conductance_matrix_S"], rtol=1e-9, atol=0
    )
    for file in ("probes/across.csv", "edges/edges.csv"):
        header, values = columns(Path("out") / file)
        same, others = columns(Path("two") / file)
        assert same == header
        assert others.shape == values.shape
        # Of the largest of each quantity: J_y is zero but for rounding, so J counts as one.
        for i, name in enumerate(header):
            alike = [j for j, other in enumerate(header) if other[:-12] == name[:-12]] or [i]
            scale = np.abs(values[:, alike]).max()
            np.testing.assert_allclose(
                others[:, i], values[:, i], rtol=0, atol=1e-9 * scale, err_msg=f"{file} {name}"
            )
    parts = sorted(p.name for p in Path("two/fields").iterdir())
    assert parts == ["part0.vtu", "part1.vtu"]


@pytest.mark.parametrize("setting", ["mesh.siz=1 nm", "geometry.parameters.width=-1"])
def test_two_ranks_say_once_what_is_wrong(setting):
    """Found before the ranks talk to each other, and by rank 0 alone in Gmsh."""
    write_case()
    done = meso_on(2, "run", "case.toml", "--set", setting)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("meso: error: ") == 1
    assert "Traceback" not in done.stderr
    assert everything() == ["case.toml"]


def test_what_needs_no_solver_loads_none():
    """So that it starts at once."""
    code = (
        "import sys\n"
        "from meso.cli import main\n"
        "def loaded(*names):\n"
        "    print([name for name in names if name in sys.modules], file=sys.stderr)\n"
        "main(['demo'])\n"
        "loaded('numpy', 'pint', 'meso.case')\n"
        "main(['material', 'Ti'])\n"
        "loaded('scipy', 'ufl', 'dolfinx', 'mpi4py')\n"
        "main(['check', 'none.toml'])\n"
        "loaded('scipy', 'ufl', 'dolfinx', 'mpi4py')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("meso: error")]
    assert lines == ["[]"] * 3
