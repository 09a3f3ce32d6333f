"""Ctrl-C and TERM while Gmsh is at work: the command ends, its other process too, no file stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import GEOMETRIES, thorough
from mpi4py import MPI

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="the command starts its own ranks")

# From a signal to the end, with room for a busy machine; measured: 1 s at a load of twenty.
PROMPTLY = 20.0

# Fourteen million cells take minutes: a size in the case is word enough.
HEAVY = f"""
[geometry]
file = "{GEOMETRIES / "ribbon.geo"}"
length_unit = "nm"
parameters = {{ width = 100, length = 200 }}
[mesh]
size = "0.06 nm"
[regions]
metal = "sheet"
[flow]
model = "ohmic"
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
"""


PLATE = """
h = 0.01;
Point(1) = {0, 0, 0, h}; Point(2) = {100, 0, 0, h};
Point(3) = {100, 100, 0, h}; Point(4) = {0, 100, 0, h};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1};
Physical Surface("metal") = {1}; Physical Curve("edges") = {1, 3};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
"""

Busy = subprocess.Popen[str]


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        parents[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
    found, level = [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def busy(folder: Path, *launcher: str, case: str = HEAVY, words: tuple[str, ...] = ()) -> Busy:
    """A command that has told how many cells it is about to make."""
    (folder / "case.toml").write_text(case)
    (folder / "tmp").mkdir()
    process = subprocess.Popen(
        [*launcher, sys.executable, "-m", "meso", "check", "case.toml", "--verbose", *words],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "meshing ribbon.geo: about" in line:
            time.sleep(0.5)
            return process
    raise AssertionError("it ended before it meshed")


def ended(process: Busy, below: list[int]) -> str:
    """What it says until it ends; nothing that it started may go on."""
    try:
        _, err = process.communicate(timeout=PROMPTLY)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    limit = time.monotonic() + PROMPTLY
    while any(map(is_running, below)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not [pid for pid in below if is_running(pid)]
    return err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_it_all(tmp_path, number):
    """Only the command itself gets the signal; no signal tells anyone of the last."""
    process = busy(tmp_path)
    below = descendants(process.pid)
    assert below
    process.send_signal(number)
    err = ended(process, below)
    assert "Traceback" not in err
    wanted = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert process.returncode == wanted[number]
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml", "tmp"]
    assert not list((tmp_path / "tmp").glob("meso-*"))


def test_a_word_is_enough(tmp_path):
    """--yes where only the drawing asks for the cells."""
    (tmp_path / "ribbon.geo").write_text(PLATE)
    case = HEAVY.replace(str(GEOMETRIES / "ribbon.geo"), "ribbon.geo")
    case = case.replace('size = "0.06 nm"', "").replace("parameters", "# parameters")
    process = busy(tmp_path, case=case, words=("--yes",))
    below = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    ended(process, below)


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("whom", "number"),
    [
        ("launcher", signal.SIGINT),
        ("rank 0", signal.SIGTERM),
        thorough("launcher", signal.SIGTERM),
        thorough("rank 0", signal.SIGINT),
    ],
)
def test_ranks_end_too(tmp_path, number, whom):
    process = busy(tmp_path, "mpirun", "-n", "2")
    below = descendants(process.pid)

    def is_first(pid: int) -> bool:
        return b"\0OMPI_COMM_WORLD_RANK=0\0" in Path(f"/proc/{pid}/environ").read_bytes()

    target = process.pid if whom == "launcher" else next(filter(is_first, below))
    os.kill(target, number)
    err = ended(process, below)
    assert "Traceback" not in err
    assert process.returncode
    assert not list((tmp_path / "tmp").glob("meso-*"))
