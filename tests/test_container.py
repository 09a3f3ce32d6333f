"""docker/run and the Dockerfile through Docker or Podman: main job, ranks, exit codes, owners.

Run by a Python that sees the engine; the machine's own needs nothing but pytest:

    python3 -m pytest -c /dev/null --noconftest tests/test_container.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCKER = REPOSITORY / "docker"
CASE = REPOSITORY / "demos" / "ribbon" / "case.toml"
pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not DOCKER.exists(), reason="docker/ is part of the source tree only"),
]


def words(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the engine."""
    return subprocess.run(command, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module")
def engine() -> str:
    """The engine that works here, with the base image of the Dockerfile."""
    found = [name for name in ("docker", "podman") if shutil.which(name)]
    name = next((name for name in found if words(name, "info").returncode == 0), None)
    if name is None:
        pytest.skip("no container engine: neither `docker info` nor `podman info` works here")
    base = words("sh", DOCKER / "recipe", "from").stdout.strip()
    if words(name, "image", "inspect", base).returncode and words(name, "pull", base).returncode:
        pytest.skip(f"{name} works, but has no image {base} and cannot pull it")
    return name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that is not the repository."""
    return tmp_path_factory.mktemp("work")


def launch(engine: str, folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """docker/run COMMAND ... in the image, built by the first call."""
    return subprocess.run(
        [DOCKER / "run", *command],
        cwd=folder,
        env={**os.environ, "MESO_ENGINE": engine},
        capture_output=True,
        text=True,
        timeout=3600,
    )


def solved(engine: str, folder: Path, output: str, *launcher: str) -> float:
    """Current of the ribbon by a run in the image, A; all files are the caller's."""
    done = launch(engine, folder, *launcher, "meso", "run", CASE, "--output", output)
    assert done.returncode == 0, done.stderr
    files = list((folder / output).rglob("*"))
    assert {"summary.json", "fields.pvd", "figures"} <= {path.name for path in files}
    assert {path.stat().st_uid for path in files} == {os.getuid()}
    summary = json.loads((folder / output / "summary.json").read_text())
    return summary["contacts"]["source"]["current_A"]


def test_main_job_and_two_ranks(engine: str, folder: Path) -> None:
    """The image is built; a run leaves its results, and two ranks the same numbers."""
    alone = solved(engine, folder, "one")
    both = solved(engine, folder, "two", "mpirun", "-n", "2")
    # the same direct solver on the same mesh: rounding only
    assert both == pytest.approx(alone, rel=1e-9)


def test_exit_codes_and_streams(engine: str, folder: Path) -> None:
    """Codes, output and arguments come through, and the working directory is the caller's."""
    done = launch(engine, folder, "meso", "run", "no such case.toml")
    assert done.returncode == 2
    assert "no such case.toml" in done.stderr
    done = launch(engine, folder, "sh", "-c", 'pwd -P; echo "$1" >&2; exit 7', "sh", "two words")
    assert (done.returncode, done.stdout.strip()) == (7, str(folder.resolve()))
    assert "two words" in done.stderr


@pytest.fixture
def second_stage(engine: str) -> Iterator[str]:
    """The image with meso installed in it, gone afterwards."""
    done = words(
        *(engine, "build", "--target", "meso", "--tag", "meso:test"),
        *("--file", DOCKER / "Dockerfile", REPOSITORY),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield "meso:test"
    words(engine, "rmi", "meso:test")


def test_second_stage(engine: str, folder: Path, second_stage: str) -> None:
    """The installed meso works without the source tree, and exit codes pass through tini."""
    shutil.copytree(CASE.parent, folder / "ribbon")
    shutil.copytree(REPOSITORY / "geometries", folder.parent / "geometries")
    mount = f"type=bind,source={folder.parent},target={folder.parent}"
    run = (engine, "run", "--rm", "--mount", mount, "--workdir", folder, second_stage)
    script = (
        "set -e; cd /; python3 -c 'import meso; print(meso.__file__)'; meso material Ti >/dev/null;"
        f" meso check {folder}/ribbon/case.toml; exit 5"
    )
    done = words(*run, "sh", "-c", script)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "dist-packages/meso" in done.stdout
