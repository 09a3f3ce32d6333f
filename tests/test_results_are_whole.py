"""What is on the disk after anything that may happen to a run: whole results, the user's files.

Two runs at once, kills, a full disk, names that are no file names, links.
"""

# ruff: noqa: F811 (fixtures)
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import GEOMETRIES, mesh_file
from test_cli import environment, everything, here, meso, refused, write_case  # noqa: F401

from meso.cli import main

# What somebody keeps beside the files of a run.
MINE = ("view.pvsm", "figures/mine.png", "fields/notes/deep/read.me", "probes/mine.csv")


def start(*words, **options):
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "meso", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def run(*words, code=0):
    assert main(["run", "case.toml", "--quiet", "--no-figures", *words]) == code


def keep(*names, folder="out"):
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def kept(*names, folder="out"):
    return [name for name in names if (Path(folder) / name).read_text() == name] == list(names)


def summary(folder="out"):
    return json.loads((Path(folder) / "summary.json").read_text())


def check_whole(folder="out", mine=()):
    """Exactly the files that the summary lists, and those of the user; nothing beside it."""
    files = {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}
    assert files == {*summary(folder)["files"]["written"], *mine}
    assert kept(*mine, folder=folder)
    hidden = [str(p) for p in Path().rglob(".*")]
    assert hidden == []


# --- the user's files


def test_files_of_the_user_survive_everywhere():
    """Also where a later result has other files, and when pictures are drawn again."""
    write_case()
    assert main(["run", "case.toml", "--quiet"]) == 0
    keep(*MINE)
    run("--set", "output.probes={}", "--set", "title=second")
    assert summary()["title"] == "second"
    assert not Path("out/probes/across.csv").exists()
    assert not Path("out/figures/current.png").exists()
    check_whole(mine=MINE)
    assert main(["plot", "out"]) == 0
    assert Path("out/figures/current.png").exists()
    check_whole(mine=MINE)


def test_a_file_of_the_user_with_the_name_of_a_new_one_is_put_aside():
    """As backups of other programs are named."""
    write_case()
    run()
    keep("probes/mine.csv")
    settings = ["--set", 'output.probes.mine={from=["9 nm", "0 nm"], to=["99 nm", "0 nm"]}']
    run(*settings)
    assert Path("out/probes/mine.csv").read_text().startswith("x_m,y_m")
    assert Path("out/probes/mine.csv.~1~").read_text() == "probes/mine.csv"
    run(*settings)
    run()
    assert Path("out/probes/mine.csv.~1~").read_text() == "probes/mine.csv"
    assert not Path("out/probes/mine.csv").exists()


def test_results_of_an_earlier_version_give_way():
    """They have no list of their files; what cannot be theirs stays."""
    write_case()
    run()
    old = summary()
    del old["files"]
    Path("out/summary.json").write_text(json.dumps(old))
    keep("probes/notes.txt", "view.pvsm")
    assert main(["plot", "out"]) == 0  # its tables are known by the names of the files
    run("--set", "output.probes={}")
    check_whole(mine=("probes/notes.txt", "view.pvsm"))


def test_a_comparison_replaces_comparisons_only(refused):
    """Its files are listed too."""
    write_case(**{"flow.harmonics": 2, "flow.estimate": False})
    compare = ["compare", "case.toml", "--quiet", "--output", "both"]
    assert main(compare) == 0
    keep("notes.txt", folder="both")
    assert main(compare) == 0
    assert kept("notes.txt", folder="both")
    run()
    assert "holds other files" in refused("compare", "case.toml", "--output", "out")
    assert "holds other files" in refused("run", "case.toml", "--output", "both")


def test_numbers_of_kept_points_that_are_taken(capsys):
    """A directory of the user is passed over, a result that no row knows is replaced."""
    write_case(**{"flow.model": "ohmic"})
    run("--output", "out_sweep/000")
    keep("001/notes.txt", folder="out_sweep")
    shutil.move("out_sweep", "aside")
    words = ["sweep", "case.toml", "--over", "flow.order=1", "--no-figures", "--keep"]
    assert main(words) == 0
    shutil.rmtree("out_sweep/000")
    for name in ("000", "001"):
        shutil.move(f"aside/{name}", "out_sweep")
    words[3] = "flow.order=1,2,3"
    assert main(words) == 0
    assert kept("001/notes.txt", folder="out_sweep")
    names = sorted(p.name for p in Path("out_sweep").iterdir() if p.is_dir())
    assert names == ["000", "001", "002", "003"]


# --- one at a time


def test_who_comes_second_is_told():
    """While one process holds the lock, which ends with it, others stop before they solve."""
    write_case()
    code = (
        "import fcntl, sys, time\n"
        "lock = open('.out.lock', 'w')\n"
        "fcntl.lockf(lock, fcntl.LOCK_EX)\n"
        "print('process 7', file=lock, flush=True)\n"
        "print('locked', flush=True)\n"
        "time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        for words in (["run", "case.toml"], ["plot", "out"]):
            process = start(*words)
            _, err = process.communicate(timeout=300)
            assert process.returncode == 2
            assert "output.directory: another run is writing out (process 7" in err
    finally:
        holder.kill()
        holder.wait()
    run()
    check_whole()


def test_three_runs_at_once():
    """One wins; who comes while it runs is told, and who comes later wins too."""
    write_case()
    runs = [start("run", "case.toml", "--quiet", "--set", f"title=run{i}") for i in range(3)]
    ends = [process.communicate(timeout=300)[1] for process in runs]
    won = [i for i, process in enumerate(runs) if process.returncode == 0]
    assert won
    for i, err in enumerate(ends):
        if i not in won:
            assert runs[i].returncode == 2
            assert "another run is writing out (process " in err
            assert err.count("\n") == 1
    assert summary()["title"] in {f"run{i}" for i in won}
    check_whole()


# --- names


NAMES = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 200, 100};
Physical Surface("metal") = {1};
Physical Curve("source") = {4};
Physical Curve("drain") = {2};
Physical Curve("../up/$a$ b") = {1};
Physical Curve("Up") = {3};
"""


def test_names_are_no_paths():
    """What a file name cannot hold is replaced; summary.json has the table; pictures follow it."""
    Path("names.geo").write_text(NAMES)
    wall = {"wall": {"specularity": 0.5}}
    long = "l" * 300
    line = {"from": ["20 nm", "50 nm"], "to": ["100 nm", "50 nm"], "points": 3}
    probes = {name: line for name in ("a/b", "a_b", "A_B", ".hidden", "nul\0", long, "up")}
    write_case(
        **{
            "geometry": {"file": "names.geo", "length_unit": "nm"},
            "boundaries.edges": None,
            "boundaries": {
                "source": {"contact": {"potential": "1 mV"}},
                "drain": {"contact": {"potential": "0 V"}},
                "../up/$a$ b": wall,
                "Up": wall,
            },
            "output.probes": probes,
        }
    )
    assert main(["run", "case.toml", "--quiet"]) == 0
    check_whole()
    assert sorted(p.name for p in Path().iterdir()) == ["case.toml", "names.geo", "out"]
    files = summary()["files"]
    assert set(files["probes"]) == set(probes)
    assert set(files["edges"]) == {"../up/$a$ b", "Up"}
    for kind in ("probes", "edges"):
        paths = list(files[kind].values())
        assert len({path.lower() for path in paths}) == len(paths)
        for path in paths:
            folder, name = path.split("/")
            assert folder == kind and not name.startswith(".") and len(name) < 255
            assert (Path("out") / path).is_file()
    # Who can keep the name keeps it.
    assert files["probes"]["a_b"] == "probes/a_b.csv"
    assert files["probes"]["up"] == "probes/up.csv"
    drawn = [p.name for p in Path("out/figures").iterdir() if p.name.startswith("probe_")]
    assert len(drawn) == len(probes)


# --- links and places


def test_links(refused):
    """The target of a link is replaced, the link stays; one to nowhere is refused."""
    write_case()
    Path("disk").mkdir()
    Path("disk/real").mkdir()
    Path("out").symlink_to("disk/real")
    run()
    run("--set", "title=second")
    assert Path("out").is_symlink()
    assert summary("disk/real")["title"] == "second"
    assert everything(Path("disk"))[0] == "real" and len(list(Path("disk").iterdir())) == 1
    shutil.rmtree("disk/real")
    assert "is a link to disk/real, which is not there" in refused("run", "case.toml")
    assert not Path("disk/real").exists()


@pytest.mark.parametrize("place", ["/dev/null/out", "case.toml/out", "out/" + "x" * 300])
def test_places_that_cannot_be(refused, place, monkeypatch):
    """Found before anything is solved, in one message."""
    monkeypatch.setattr("dolfinx.mesh.create_mesh", None)
    write_case(**{"output.directory": place})
    assert "output.directory" in refused("run", "case.toml")
    assert everything() == ["case.toml"]


# --- a full disk


@pytest.mark.parametrize("older", [False, True], ids=["first", "older"])
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_full_disk(command, older):
    """One message, and what was there before; files of a few kilobytes do not fit."""
    # A mesh that is there already: to make one Gmsh needs files of its own.
    mesh_file(Path("mesh.msh"), GEOMETRIES / "ribbon.geo", size=500)
    own = {"geometry": {"file": "mesh.msh", "length_unit": "nm"}, "output.probes": {}}
    write_case(**own, **{"flow.model": "ohmic", "mesh.size": None, "mesh.wall_size": None})
    words = {
        "run": ["run", "case.toml", "--quiet", "--no-figures"],
        "sweep": ["sweep", "case.toml", "--over", "flow.order=2,3", "--output", "out", "--quiet"],
    }[command]
    if older:
        first = [word.replace("2,3", "2") for word in words]
        assert main(first) == 0
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    script = (  # MPI needs some larger files of its own
        "import resource, sys\n"
        "from mpi4py import MPI\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        "from meso.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    )
    assert done.returncode == 1
    assert done.stderr == "meso: error: out: cannot be written (File too large)\n"
    assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == before
    assert older or not Path("out").exists()


# --- killed at any time


def test_killed_between_two_renames():
    """Where names cannot be exchanged there is neither result for a moment; the next command heals.

    The state on the disk: the old result put aside, with the user's files, and the new one beside.
    """
    write_case()
    run("--set", "title=old")
    keep(*MINE)
    Path("out").rename(".out.old-0123abcd")
    run("--set", "title=new", "--output", "new")
    Path("new").rename(".out.partial-89abcdef")
    Path(".out.lock").touch()
    assert main(["plot", "out"]) == 0
    assert summary()["title"] == "new"
    check_whole(mine=MINE)
    # Without the new one: the old one comes back.
    Path("out").rename(".out.old-0123abcd")
    Path(".out.partial-89abcdef/fields").mkdir(parents=True)
    assert main(["plot", "out"]) == 0
    check_whole(mine=MINE)


def test_killed_between_exchange_and_the_users_files():
    """The old result is where the new one was written, with the user's files."""
    write_case()
    run("--set", "title=old")
    keep(*MINE)
    Path("out").rename(".out.partial-0123abcd")
    run("--set", "title=new", "--output", "new")
    Path("new").rename("out")
    run("--set", "title=newer")
    assert summary()["title"] == "newer"
    check_whole(mine=MINE)


def kills(words, count, seed, heal, check):
    """Kill a command at random times, with SIGKILL and SIGTERM by turns."""
    rng = random.Random(seed)
    begin = time.perf_counter()
    assert start(*words).wait(timeout=300) == 0
    seconds = time.perf_counter() - begin
    for i in range(count):
        process = start(*words)
        time.sleep(rng.uniform(0.3, 1.0) * seconds)
        process.send_signal((signal.SIGKILL, signal.SIGTERM)[i % 2])
        _, err = process.communicate(timeout=300)
        assert process.returncode in (0, -9, -15, 128 + 15)
        assert all(line.startswith("meso: warning") for line in err.splitlines()), err
        assert start(*heal[i % len(heal)]).wait(timeout=300) == 0
        check()


def kill_runs(count):
    write_case()
    words = ["run", "case.toml", "--quiet"]
    run()
    keep(*MINE)
    kills(words, count, 1, [words, ["plot", "out"]], lambda: check_whole(mine=MINE))


def quiet_end(seconds, number):
    """A signal while the solver is loading ends the process, and nothing is half done.

    The time counts from when the program itself runs: before that, Python handles Ctrl-C.
    """
    process = start("run", "case.toml", "--quiet", "--no-figures")
    maps = Path(f"/proc/{process.pid}/maps")
    while "_multiarray_umath" not in maps.read_text():
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert out == ""
    assert all(line.startswith("meso: warning") for line in err.splitlines()), err
    assert process.returncode in (0, -number, 128 + number)
    if Path("out").exists():
        check_whole()
    assert [p.name for p in Path().iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_loading(number):
    write_case()
    quiet_end(0.3, number)
