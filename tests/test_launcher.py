"""docker/run and docker/recipe: what can be tested inside the environment, without an engine."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
DOCKER = REPOSITORY / "docker"
pytestmark = pytest.mark.skipif(
    not (DOCKER / "run").exists(), reason="docker/ is part of the source tree only"
)


def launch(*command, **options):
    """docker/run COMMAND ... in the interpreter that runs the tests."""
    environment = {**os.environ, "MESO_ENGINE": "native", **options.pop("env", {})}
    return subprocess.run(
        [DOCKER / "run", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def recipe(mode, dockerfile=DOCKER / "Dockerfile"):
    return subprocess.run(
        ["sh", DOCKER / "recipe", mode, dockerfile], capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def dockerfile(tmp_path):
    def write(text):
        path = tmp_path / "Dockerfile"
        path.write_text(textwrap.dedent(text))
        return path

    return write


# --- docker/recipe ---------------------------------------------------------------------------


def test_recipe_of_the_project():
    base = recipe("from").stdout.strip()
    assert re.fullmatch(r"debian:[a-z]+-slim", base)
    script = recipe("script").stdout
    assert script.startswith(f"# FROM {base}\nset -e\n")
    assert "python3-dolfinx-real" in script
    assert "pip install" not in script, "the second stage must not be read"
    assert "COPY" not in script
    assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0


def test_apptainer_has_the_same_base():
    definition = (DOCKER / "apptainer.def").read_text()
    assert f"\nFrom: {recipe('from').stdout}" in definition


def test_recipe_runs_what_the_dockerfile_says(dockerfile, tmp_path):
    path = dockerfile(
        """\
        # a comment
        FROM debian:trixie-slim AS base
        LABEL ignored=yes
        ENV A=1 \\
            B="two words"  C=:x,y
        # between
        RUN echo "$A|$B|$C" && \\
            # inside a continued line, as Docker allows
            cd / && A=9
        RUN echo "$A in $PWD"
        FROM base
        RUN exit 1
        """
    )
    script = recipe("script", path).stdout
    done = subprocess.run(["sh"], input=script, cwd=tmp_path, text=True, capture_output=True)
    assert done.stdout.splitlines() == ["1|two words|:x,y", f"1 in {tmp_path}"]
    assert done.returncode == 0


def test_recipe_stops_at_the_first_failure(dockerfile):
    script = recipe("script", dockerfile("FROM a\nRUN false\nRUN echo reached\n")).stdout
    done = subprocess.run(["sh"], input=script, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (1, "")


def test_environment_values_are_defaults(dockerfile):
    path = dockerfile('FROM a\nENV KEPT=1 GIVEN=2 SPACED="a b"\nRUN never\n')
    script = recipe("environment", path).stdout + 'echo "$KEPT $GIVEN $SPACED"\n'
    done = subprocess.run(
        ["sh"], input=script, text=True, capture_output=True, env={**os.environ, "GIVEN": "7"}
    )
    assert done.stdout == "1 7 a b\n"


@pytest.mark.parametrize(
    "line",
    [
        "COPY . /x",
        "ENV A b",
        'RUN ["ls"]',
        "RUN --mount=type=cache,target=/x ls",
        "RUN <<E",
        "USER x",
    ],
)
def test_recipe_refuses_what_it_cannot_do(dockerfile, line):
    done = recipe("script", dockerfile(f"FROM a\n{line}\n"))
    assert done.returncode == 1
    assert "Dockerfile:2:" in done.stderr


# --- docker/run --------------------------------------------------------------------------------


def test_exit_code_and_arguments():
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    done = launch(sys.executable, "-c", code, "two words", "*", "", "$HOME")
    assert done.returncode == 7
    assert done.stdout == "['two words', '*', '', '$HOME']\n"


def test_working_directory_and_standard_input(tmp_path):
    folder = tmp_path / "with a space"
    folder.mkdir()
    done = launch("sh", "-c", "pwd -P; cat > result", cwd=folder, input="text")
    assert done.stdout.strip() == str(folder.resolve())
    assert (folder / "result").read_text() == "text"
    assert (folder / "result").stat().st_uid == os.getuid()


def test_environment_variables():
    code = "import os, meso; print(os.environ['OMP_NUM_THREADS'], meso.__file__)"
    done = launch(sys.executable, "-c", code, env={"OMP_NUM_THREADS": "2", "PYTHONPATH": ""})
    assert done.stdout.split() == ["2", str(REPOSITORY / "meso" / "__init__.py")]
    assert launch("sh", "-c", "command -v meso").stdout.strip() == str(DOCKER / "bin" / "meso")


def test_through_a_symbolic_link(tmp_path):
    link = tmp_path / "env"
    link.symlink_to(DOCKER / "run")
    done = subprocess.run(
        [link, "sh", "-c", "command -v meso"],
        env={**os.environ, "MESO_ENGINE": "native"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == str(DOCKER / "bin" / "meso")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_program(number):
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        "print('ready', flush=True)\n"
        # short naps: a signal just before a long one would be noticed after it
        "for _ in range(600): time.sleep(0.05)\n"
    )
    environment = {**os.environ, "MESO_ENGINE": "native"}
    with subprocess.Popen(
        [DOCKER / "run", sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        # Whoever runs the tests in the background has SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(timeout=20) == 42


def test_death_by_a_signal():
    assert launch("sh", "-c", "kill -9 $$").returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_usage_and_wrong_use():
    assert launch().returncode == 2
    done = launch("--help")
    assert done.returncode == 0
    assert "docker/run COMMAND" in done.stderr
    done = launch("true", env={"MESO_ENGINE": "lxc"})
    assert done.returncode == 125
    assert "MESO_ENGINE" in done.stderr


def test_pytest_alone_means_the_repository(tmp_path):
    fake = tmp_path / "pytest"
    fake.write_text("#!/bin/sh\npwd -P\n")
    fake.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert launch("pytest", cwd=DOCKER, env=path).stdout.strip() == str(REPOSITORY.resolve())
    assert launch("pytest", cwd=tmp_path, env=path).stdout.strip() == str(tmp_path.resolve())
