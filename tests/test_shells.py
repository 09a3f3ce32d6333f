"""Completion, in zsh and fish themselves.

Run by a Python of a machine that has the shells; its own needs nothing but pytest:

    python3 -m pytest -c /dev/null --noconftest tests/test_shells.py
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
#: What is typed before TAB, and what stands there after it, or is offered.
TYPED = {
    "meso ru": "meso run ",
    "meso sweep dr": "meso sweep drawing.toml ",
    "meso run drawing.toml --form": "meso run drawing.toml --format ",
    "meso demo whirl": "meso demo whirlpool ",
    "meso material W": "meso material W ",
    "meso plot res": "meso plot results/",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to complete the names of files in."""
    (tmp_path / "results").mkdir()
    (tmp_path / "drawing.toml").touch()
    return tmp_path


def written(shell: str) -> str:
    """What `meso completion` writes."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} is here")
    command = [str(REPOSITORY / "docker" / "run"), "meso", "completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    if "needs shtab" in done.stderr:
        pytest.skip("no shtab in the environment of docker/run")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fish(folder: Path) -> None:
    (folder / "meso.fish").write_text(written("fish"))
    lines = "; ".join(f"echo '{typed}>'; complete -C '{typed}'" for typed in TYPED)
    command = ["fish", "--no-config", "-c", f"source meso.fish; {lines}"]
    kept = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    offers = dict(re.findall(r"(meso [^\n>]*)>\n((?:(?!meso )[^\n]*\n)*)", done.stdout))
    for typed, expected in TYPED.items():
        word = expected.split()[-1]
        assert word in re.findall(r"^[^\s]+", offers[typed], re.M), (typed, offers[typed])


#: A shell that says what its line has become when it is asked to, by two keys.
ZSH = r"""PS1= PROMPT=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=(%s $fpath)
autoload -Uz compinit; compinit -D -u; bindkey '^I' complete-word
show() { print -r -- "<$BUFFER>"; BUFFER=; zle redisplay }; zle -N show; bindkey '^Xs' show
print rea''dy
"""


@pytest.fixture
def terminal(folder: Path) -> Iterator[int]:
    """One with zsh in it, which completes `meso`."""
    (folder / "_meso").write_text(written("zsh"))
    main, end = pty.openpty()
    kept = {**os.environ, "TERM": "dumb", "HOME": str(folder), "ZDOTDIR": str(folder)}
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"], cwd=folder, env=kept, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    os.write(main, (ZSH % folder).encode())
    yield main
    shell.kill()
    shell.wait()
    os.close(main)


def read_until(terminal: int, pattern: bytes) -> bytes:
    """The last of what a terminal says, up to a pattern."""
    said, end = b"", time.monotonic() + 20
    while not re.search(pattern, said):
        assert time.monotonic() < end, said
        if select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 65536)
    return said


def test_zsh(terminal: int) -> None:
    read_until(terminal, rb"ready\r\n")
    for typed, expected in TYPED.items():
        # The keys that ask are read when what TAB did is done.
        os.write(terminal, typed.encode() + b"\t\x18s")
        said = read_until(terminal, rb"<meso [^\n]*>\r\n")
        assert f"<{expected}>" in said.decode(), (typed, said)
