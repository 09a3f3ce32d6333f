"""Drawings of strangers: what reaches out of the drawing is refused before Gmsh sees it.

Each attack leaves a file where it succeeds. That it would succeed is seen where the drawing is
trusted; those that Gmsh reads as statements by mistake are among them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import GEOMETRIES
from mpi4py import MPI

import meso
from meso.cli import main

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="serial")

PLATE = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 200, 100};
Physical Surface("metal") = {1};
Physical Curve("edges") = {1, 2, 3, 4};
"""

# With the line and the word that the message names.
ATTACKS = {
    "command": ('\nSystemCall "touch marker";', 2, "SystemCall"),
    "old command": ('System "touch marker";', 1, "System"),
    "in the background": ('NonBlockingSystemCall "touch marker";', 1, "NonBlockingSystemCall"),
    "between comments": ('/* a */ SystemCall // b\n/* c */ "touch marker";', 1, "SystemCall"),
    "after a comment": ('x = 1; // c\n/* \n */ System "touch marker";', 3, "System"),
    "after a string": ('x = "/*"; SystemCall \'touch marker\'; y = "*/";', 1, "SystemCall"),
    "in a branch": ('If (1)\n  SystemCall "touch marker";\nEndIf', 2, "SystemCall"),
    "name in pieces": ('S2N[StrCat("System", "Call")] "touch marker";', 1, "S2N"),
    "name in a variable": ('n = "System"; StringToName[n] "touch marker";', 1, "StringToName"),
    "redirected": ('Printf("x") > "marker";', 1, "Printf > file"),
    "appended": ('Printf("%g (", 1) >> "marker";', 1, "Printf > file"),
    "print": ('Print "marker.msh";', 1, "Print"),
    "folder": ('CreateDir "marker";', 1, "CreateDir"),
    # Gmsh takes these for statements, where another reader sees comments and strings.
    "string of a skipped branch": (
        "If (0)\nE\" EndIf\nSystemCall 'touch marker';\n\"\nEndIf",
        3,
        "SystemCall",
    ),
    "comment of a skipped branch": (
        "If (0)\nE/* EndIf\nSystemCall 'touch marker'; */\nEndIf",
        3,
        "SystemCall",
    ),
    "comment at a loop": (
        'For i In {1:2} /*\nSystemCall "touch marker"; /* */\nEndFor',
        2,
        "SystemCall",
    ),
}

# These do nothing by themselves here, or wait for another program.
REFUSED = {
    'Field[1] = ExternalProcess;\nField[1].CommandLine = "touch marker";': "ExternalProcess",
    'OnelabRun("x", "touch marker");': "OnelabRun",
    "Plugin(NewView).Run;": "Plugin",
    'Save "marker.msh";': "Save",
    'Save View[0] "marker.pos";': "Save",
    'SendToServer View[0] "x";': "SendToServer",
    'General.TextEditor = "touch marker";': "General.TextEditor",
    'General.ErrorFileName = "marker";': "General.ErrorFileName",
    'Solver.Executable0 = "touch";': "Solver.Executable0",
    'Geometry.DoubleClickedPointCommand = "x";': "Geometry.DoubleClickedPointCommand",
    'View[0].DoubleClickedCommand = "x";': "View.DoubleClickedCommand",
    'file = "x.geo"; Merge file;': "Merge needs",
    'Include StrCat("x", ".geo");': "Include needs",
    'x = "' + 1100 * "a" + " SystemCall 'touch marker'; \";": "SystemCall",
    '/* \0 SystemCall "touch marker"; */': "SystemCall",
}

HARMLESS = """
// SystemCall "touch marker"; or Save "x.msh"; as one would by hand
/* Print "marker";
   Merge "nothing.py"; */
Save = 1; Print.Background = 0; General.Terminal = 0; Mesh.Algorithm = 6;
Printf("SystemCall is %g", Save > 0);
title = "Merge, Include and System";
Include "own.geo"; Merge "own.pos";
If (Save > 2)
  Error("too many");
EndIf
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drawn(text: str, name: str = "own.geo") -> Path:
    path = Path(name)
    path.write_text(text + PLATE)
    return path


def mesh(path: Path, **options: bool) -> meso.Device:
    return meso.Device.from_gmsh(path, length_unit="nm", size="50 nm", order=1, **options)


def marked() -> bool:
    return any(Path().glob("marker*"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_with_their_place(attack):
    text, line, word = ATTACKS[attack]
    with pytest.raises(meso.GeometryError) as refused:
        mesh(drawn(text))
    assert str(refused.value).startswith(f"own.geo, line {line}: ")
    assert word in str(refused.value)
    assert "--trust" in str(refused.value)
    assert not marked()


@pytest.mark.parametrize("attack", ["command", "redirected", "string of a skipped branch"])
def test_they_work_where_the_drawing_is_trusted(attack):
    path = drawn(ATTACKS[attack][0].replace("marker", str(Path("marker").resolve())))
    try:
        mesh(path, trusted=True)
    except meso.GeometryError:
        assert "skipped" in attack  # the rest of it is no sound drawing
    assert marked()


@pytest.mark.parametrize("text", REFUSED)
def test_what_serves_other_programs_is_refused(text):
    with pytest.raises(meso.GeometryError, match="line [12]: ") as refused:
        mesh(drawn(text))
    assert REFUSED[text] in str(refused.value)


def test_words_in_comments_names_and_strings_are_not_statements():
    drawn("", "inner.geo")
    Path("own.pos").write_text('View "sizes" {\nSP(0, 0, 0){1};\n};\n')
    path = drawn(HARMLESS.replace("own.geo", "width.geo"), "outer.geo")
    Path("width.geo").write_text("width = 100;\n")
    assert mesh(path).cells > 0


@pytest.mark.parametrize(
    ("statement", "file"),
    [
        ('Include "parts/inner.geo";', "inner.geo"),
        ('Merge "parts/inner.geo";', "inner.geo"),
        ('Merge "parts/inner.pos";', "inner.pos"),
        ('Merge "parts/inner.msh";', "inner.msh"),  # Gmsh goes by what is in it
        ('Include "parts/outer.geo";', "inner.geo"),
        ('Merge "parts/bar.step";', "bar.step.opt"),
    ],
)
def test_included_and_merged_files_count(statement, file):
    parts = Path("parts")
    parts.mkdir()
    (parts / "outer.geo").write_text('Include "inner.geo";\n')
    (parts / "bar.step").write_bytes((GEOMETRIES / "notched_bar.step").read_bytes())
    (parts / file).write_text('x = 1;\nSystemCall "touch marker";\n')
    with pytest.raises(meso.GeometryError, match=rf"parts/{file}, line 2: SystemCall"):
        mesh(drawn(statement))
    assert not marked()


def test_programs_cannot_be_merged():
    Path("own.py").write_text("open('marker', 'w')\n")
    with pytest.raises(meso.GeometryError, match="line 1: Merge makes Gmsh start a program"):
        mesh(drawn('Merge "own.py";'))


def test_mesh_files_are_meshes():
    drawn('SystemCall "touch marker";', "own.msh")
    with pytest.raises(meso.GeometryError, match=r"own.msh: no mesh of Gmsh"):
        mesh(Path("own.msh"), trusted=True)
    assert not marked()


def test_command_line(capsys):
    path = drawn(f'SystemCall "touch {Path("marker").resolve()}";')
    assert main(["mesh", str(path)]) == 2
    assert "own.geo, line 1: SystemCall" in capsys.readouterr().err
    assert not marked()
    assert main(["mesh", "--trust", str(path)]) == 0
    assert marked()


CASE = """
geometry = { file = "own.geo", length_unit = "nm", parameters = { wide = 100 } }
mesh = { size = "100 nm" }
regions = { metal = "metal" }
flow = { model = "ohmic", order = 1 }
[materials.metal]
carriers = "2d"
conductivity = "1 mS"
[boundaries]
left = { contact = { potential = "1 mV" } }
right = { contact = { potential = "0 V" } }
edges = { wall = { specularity = 1.0 } }
"""


def test_cases_are_trusted_from_python():
    text = f'wide = 100;\nSystemCall "touch {Path("marker").resolve()}";\n'
    named = 'Curve("left") = {4}; Physical Curve("right") = {2}; Physical Curve("edges") = {1, 3}'
    path = drawn(text)
    path.write_text(path.read_text().replace('Curve("edges") = {1, 2, 3, 4}', named))
    Path("case.toml").write_text(CASE)
    over = ["geometry.parameters.wide=100,150"]
    with pytest.raises(meso.GeometryError, match="line 2: SystemCall"):
        meso.run(meso.Case.load("case.toml"))
    with pytest.raises(meso.GeometryError, match="line 2: SystemCall"):
        meso.sweep("case.toml", over)
    assert not marked()
    meso.run(meso.Case.load("case.toml"), trusted=True)
    assert marked()
    rows = meso.sweep("case.toml", over, trusted=True)
    assert [row["status"] for row in rows] == ["done", "done"]
