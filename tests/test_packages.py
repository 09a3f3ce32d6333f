"""What is installed: sdist and wheel, with the demos in them, and the recipe for conda."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import meso
from meso.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_recipe_needs_what_the_package_needs() -> None:
    text = (ROOT / "recipe/recipe.yaml").read_text(encoding="utf-8")
    assert f"version: {meso.__version__}\n" in text
    (lowest,) = re.findall(r'python_min: "(.*)"', text)
    assert PROJECT["project"]["requires-python"] == f">={lowest}"
    run = text.partition("  run:\n")[2].partition("\n\n")[0]
    found = [line.strip("- ").partition("  #")[0] for line in run.splitlines() if "- " in line]
    own = [d.replace(">=", " >=") for d in PROJECT["project"]["dependencies"]]
    others = {"fenics-dolfinx >=0.9", "petsc * real_*", "petsc4py", "mpi4py", "python-gmsh"}
    assert others <= set(found)
    assert set(found) - others - {"__unix", "python >=${{ python_min }}", "c-compiler"} == {
        d.replace("matplotlib", "matplotlib-base") for d in own
    }
    assert PROJECT["build-system"]["requires"] == ["setuptools>=77"]
    assert "    - setuptools >=77\n" in text


def test_every_demo_has_a_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    listed = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    titles = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in listed)
    assert set(titles) == {p.name for p in (ROOT / "demos").iterdir() if p.is_dir()}
    assert titles["ribbon"].startswith("Ribbon: orbital angular momentum")


def test_a_copy_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "cad", "--to", str(tmp_path)]) == 0
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert names == {
        *(f"demos/cad/{name}" for name in ("README.md", "case.toml", "figure.png")),
        "geometries/notched_bar.step",
    }
    meso.Case.load(tmp_path / "demos/cad/case.toml")  # finds its drawing
    assert f"meso run {tmp_path}/demos/cad/case.toml" in capsys.readouterr().out


@pytest.mark.parametrize("there", ["demos/bend", "geometries/annulus.geo"])
def test_what_is_there_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    (tmp_path / there).parent.mkdir()
    (tmp_path / there).write_text("mine")
    assert main(["demo", "bend", "--to", str(tmp_path)]) == 2
    assert f"{tmp_path / there}: there already; remove it, or copy" in capsys.readouterr().err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / there]


def test_an_unknown_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "ribon"]) == 2
    assert 'unknown demo "ribon"; did you mean "ribbon"?' in capsys.readouterr().err


#: What bash does for <TAB> after these words.
_TAB = """
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
$(complete -p meso | sed 's/.*-F \\([^ ]*\\).*/\\1/')
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ru",), "run"),
        (("demo", "rib"), "ribbon"),
        (("run", "demos/ribbon/ca"), "demos/ribbon/case.toml"),
        (("run", "x", "--format", ""), "vtu vtx png svg pdf"),
        (("plot", "demos/van"), "demos/van_der_pauw"),
    ],
)
def test_completion_in_bash(
    words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab", "1.10")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out + _TAB
    done = subprocess.run(
        ["bash", "-c", script, "bash", "meso", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == expected.split(), done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_elsewhere(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", "1.10")
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("sensitivity", "over", "ribbon"))


def test_completion_without_its_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "needs shtab: python3 -m pip install" in capsys.readouterr().err


@pytest.mark.demos
def test_installed_from_the_sdist(tmp_path: Path) -> None:
    """In a fresh environment, with a DOLFINx from elsewhere and no repository."""

    def run(*command: str | Path, at: Path) -> str:
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            command, cwd=at, env=kept, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    source = tmp_path / "source"
    for name in ("meso", "demos", "geometries"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = (
        "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"
    )
    run(sys.executable, "-c", build, "build_sdist", tmp_path, at=source)
    (sdist,) = tmp_path.glob("meso-*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path, filter="data")
    unpacked = sdist.with_name(sdist.name.removesuffix(".tar.gz"))
    run(sys.executable, "-c", build, "build_wheel", tmp_path, at=unpacked)
    (wheel,) = tmp_path.glob("*.whl")

    # Its own pip would need the package python3-venv; this one can do the same from outside.
    run(sys.executable, "-m", "venv", "--system-site-packages", "env", at=tmp_path)
    python = tmp_path / "env/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    run(*pip, wheel, at=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    program = python.with_name("meso")
    place = run(python, "-c", "import meso; print(meso.__file__)", at=empty)
    assert Path(place).is_relative_to(tmp_path / "env")
    assert "Ribbon: orbital" in run(program, "demo", at=empty)
    run(program, "demo", "ribbon", at=empty)
    run(program, "run", "demos/ribbon/case.toml", "--no-figures", at=empty)
    assert (empty / "results/ribbon/summary.json").is_file()
