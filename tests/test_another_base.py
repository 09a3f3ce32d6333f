"""MESO_BASE: the same Dockerfile on another release of Debian, beside the usual one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

DOCKER = Path(__file__).resolve().parents[1] / "docker"
pytestmark = pytest.mark.skipif(
    not DOCKER.exists(), reason="docker/ is part of the source tree only"
)
# An engine that has no image yet: it keeps the Dockerfile it is to build, and says what it runs.
ENGINE = """#!/bin/sh
case "$1 $2" in
"info "*) ;;
"image inspect") exit 1 ;;
"build "*) cat >"$KEEP" ;;
"images "*) echo localhost/meso-environment:old; echo localhost/meso-environment-sid:old ;;
"rmi "*) echo "$2" >>"$KEEP.removed" ;;
"run "*) echo "$@" ;;
esac
"""


def text(*command: str | Path, **variables: str) -> str:
    """Standard output of a command that succeeds."""
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("base", ["sid", "debian:sid-slim"])
def test_recipe(base: str) -> None:
    """A release or a whole image; all else is as the Dockerfile has it."""
    assert text(DOCKER / "recipe", "from", MESO_BASE=base) == "debian:sid-slim\n"
    usual, other = (text(DOCKER / "recipe", "script", MESO_BASE=b) for b in ("", base))
    assert other.splitlines()[1:] == usual.splitlines()[1:]


def test_engine(tmp_path: Path) -> None:
    """The image is built from the other base under a name of its own; the usual one stays."""
    engine, keep = tmp_path / "podman", tmp_path / "Dockerfile"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "KEEP": str(keep),
        "MESO_ENGINE": "podman",
    }
    ran = text(DOCKER / "run", "true", MESO_BASE="sid", **variables)
    expected = (DOCKER / "Dockerfile").read_text().splitlines()
    built = keep.read_text().splitlines()
    changed = [line for line, old in zip(built, expected, strict=True) if line != old]
    assert changed == ["FROM debian:sid-slim AS environment"]
    assert " meso-environment-sid:" in ran
    assert "MESO_BASE" not in ran, "inside, the base is what is there"
    removed = Path(f"{keep}.removed").read_text().split()
    assert removed == ["localhost/meso-environment-sid:old"]
    assert " meso-environment:" in text(DOCKER / "run", "true", MESO_BASE="", **variables)
    assert keep.read_text().splitlines() == expected


def test_forced_native() -> None:
    """Who asks for the present interpreter gets it."""
    assert text(DOCKER / "run", "echo", "here", MESO_ENGINE="native", MESO_BASE="sid") == "here\n"
