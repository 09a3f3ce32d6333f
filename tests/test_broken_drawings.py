"""Drawings that no one could use: one message each, and the next drawing is read as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES
from mpi4py import MPI

import meso
from meso.cli import main

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="serial")

PERIODIC = """
geometry = { file = "own.geo", length_unit = "nm" }
regions = { metal = "metal" }
flow = { model = "hydrodynamic" }
[materials.metal]
carriers = "2d"
conductivity = "4 mS"
mean_free_path = "10 nm"
fermi_energy = "1 eV"
scattering = "radial-tangential"
[boundaries]
source = { periodic = { to = "drain", voltage = "1 mV" } }
edges = { wall = { specularity = 0.0 } }
"""
GARBAGE = np.random.default_rng(1).integers(0, 256, 400, dtype=np.uint8).tobytes()
WHOLE = (GEOMETRIES / "ribbon_period.geo").read_bytes()


def usable() -> bool:
    """Whether a sound drawing is read, with the names that it has."""
    device = meso.Device.from_gmsh(GEOMETRIES / "ribbon.geo", length_unit="nm")
    return device.boundaries == ("source", "drain", "edges")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"Point(1) = {0, 0, 0",
        WHOLE[: len(WHOLE) // 2],
        GARBAGE,
        b'Physical Surface("metal") = {1};\n',
        b'SetFactory("\xe9\xff");\nPoint(1) = {0, 0, 0};\n',
        b'Error("\xe9\xe8 \xff");\n',
        b'Include "inner.geo";\n',
    ],
    ids=["empty", "line", "start", "half", "garbage", "no entity", "name", "error", "included"],
)
def test_broken_scripts_of_periodic_cases(tmp_path, monkeypatch, capsys, content):
    monkeypatch.chdir(tmp_path)
    Path("own.geo").write_bytes(content)
    # Gmsh repeats these bytes in its messages as they are.
    Path("inner.geo").write_bytes(b'Printf("\xe9");\nError("\xe9\xe8 \xff");\n x\xff\xe9 = {{;\n')
    Path("case.toml").write_text(PERIODIC)
    assert main(["check", "case.toml"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("meso: error: ")
    assert "own.geo: " in message
    assert "Traceback" not in message
    assert usable()


def test_names_that_are_not_utf8(tmp_path):
    path = tmp_path / "own.msh"
    whole = (
        b'$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$PhysicalNames\n2\n1 1 "edges"\n2 2 "M\xe9tal"\n'
        b"$EndPhysicalNames\n$Nodes\n3\n1 0 0 0\n2 1 0 0\n3 0 1 0\n$EndNodes\n$Elements\n4\n"
        b"1 1 2 1 1 1 2\n2 1 2 1 1 2 3\n3 1 2 1 1 3 1\n4 2 2 2 2 1 2 3\n$EndElements\n"
    )
    path.write_bytes(whole)
    with pytest.raises(meso.GeometryError, match=r"own\.msh: 'M.tal' is not written in UTF-8"):
        meso.Device.from_gmsh(path, length_unit="nm")
    path.write_bytes(whole.replace(b"\xe9", b"e"))
    assert meso.Device.from_gmsh(path, length_unit="nm").regions == ("Metal",)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        # A curve without its number: OpenCASCADE 7.8 ends with a segmentation fault.
        lambda text: text.replace("#48 = SURFACE_CURVE", "#68 = SURFACE_CURVE"),
    ],
    ids=["empty", "half", "lost"],
)
def test_broken_step(tmp_path, capsys, change):
    path = tmp_path / "own.step"
    path.write_text(change((GEOMETRIES / "notched_bar.step").read_text()))
    assert main(["mesh", str(path), "--picture", str(tmp_path / "mesh.png")]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"meso: error: {path}: ")
    assert message.count("\n") == 1
    assert usable()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ('SystemCall "kill -SEGV $PPID";', "crashed on this file"),
        ('SystemCall "kill -KILL $PPID";', "memory is full"),
        ("Exit;", "Exit is not for drawings"),
        ("Abort;", "no physical surface"),
    ],
)
def test_the_end_of_gmsh_is_an_error(tmp_path, statement, message):
    path = tmp_path / "own.geo"
    path.write_text(statement + "\n")
    with pytest.raises(meso.GeometryError, match=message):
        meso.Device.from_gmsh(path, length_unit="nm", trusted=True)
    assert usable()


def test_no_drawing_leaves_anything_for_the_next(tmp_path):
    """Macros, options and variables: what one drawing has set the next one does not know."""
    path = tmp_path / "own.geo"
    macro = "Macro own\n  wide = 50;\nReturn\nCall own;\nMesh.MeshSizeFactor = 0.3;\n"
    path.write_text(macro + (GEOMETRIES / "ribbon.geo").read_text())
    fine = [meso.Device.from_gmsh(path, length_unit="nm").cells for _ in range(2)]
    assert fine[0] == fine[1]
    plain = [
        meso.Device.from_gmsh(GEOMETRIES / "ribbon.geo", length_unit="nm").cells for _ in range(2)
    ]
    assert plain[0] == plain[1] < fine[0]
