"""Mutated cases, drawings and meshes: an answer or one message, whatever the input.

    pytest -m verification tests/test_fuzz.py --mutants 3000 --seed 7
    pytest -m verification tests/test_fuzz.py --seed 7 --mutant 1234

A mutant runs in its own working directory, in a process that serves many of them and is ended
when one takes too long.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from launching import without_launcher
from mutants import Mutant, mutant

pytestmark = pytest.mark.verification

#: Longer than any mutant takes on a busy machine.
SECONDS = 120
#: More than any mutant needs: what wants the whole memory fails in its own process.
MEMORY = 8 << 30
#: Currents come from one saddle-point solution, whose residual is below 1e-9 of its right side;
#: what the contacts of coarse meshes lose against each other is far below this.
BALANCE = 1e-6
#: The conductance of cells as large as the device errs by some percent of itself.
COARSE = 0.2


@pytest.mark.timeout(0)
def test_mutants(request, tmp_path):
    seed = request.config.getoption("--seed")
    chosen = request.config.getoption("--mutant")
    numbers = range(request.config.getoption("--mutants")) if chosen is None else [chosen]
    # Other workers of pytest-xdist have the other cores.
    workers = 1 if "PYTEST_XDIST_WORKER" in os.environ else os.cpu_count() or 1
    with Pool(min(workers, len(numbers))) as pool, ThreadPoolExecutor(workers) as threads:
        found = list(threads.map(lambda n: judged(pool, tmp_path, seed, n), numbers))
    faults = [text for text in found if text]
    print(*faults, sep="\n\n")
    assert not faults, f"{len(faults)} of {len(numbers)} mutants of seed {seed}"


def judged(pool: Pool, folder: Path, seed: int, number: int) -> str:
    """What is wrong with the answer to a mutant, with all that is needed to see it again."""
    one = mutant(seed, number)
    root = folder / str(number)
    work = root / "work"
    work.mkdir(parents=True)
    one.write(work)
    before = listing(root)
    code = pool.run(work, one.words)
    output = (folder / f"{number}.err").read_bytes() + (folder / f"{number}.out").read_bytes()
    text = output.decode(errors="replace")
    try:
        wrong = [*said(one, code, text), *left(one, code, before, listing(root))]
        if code == 0 and one.words[0] == "run" and not wrong:
            wrong += answer(one, work, pool)
    except Exception as error:  # a result that cannot be read
        wrong = [repr(error)]
    if not wrong:
        shutil.rmtree(root, ignore_errors=True)
        return ""
    return "\n".join(
        [f"MUTANT {number} of seed {seed}: {'; '.join(wrong)}", str(one), f"--- {code}", text, ""]
    )


def listing(root: Path) -> dict[str, object]:
    """What lies below a folder: content of small files, targets of links."""
    out: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            key = os.fspath(path.relative_to(root))
            if path.is_symlink():
                out[key] = os.readlink(path)
            else:
                out[key] = path.stat().st_size, path.is_dir() or path.read_bytes()[:10000]
                out[key] = None if path.is_dir() else out[key]
    return out


def said(one: Mutant, code: int | None, text: str) -> Iterator[str]:
    """What is wrong with the exit code and the messages."""
    if code is None:
        yield f"takes more than {SECONDS} s"
        return
    if code not in (0, 2, 3):
        yield f"exit code {code}"
    if "Traceback" in text:
        yield "traceback"
    if "Warning: " in text:
        yield "warning of a library"
    if code in (2, 3):
        messages = re.findall("^meso: (?:error|did not converge): .*", text, re.MULTILINE)
        if len(messages) != 1:
            yield f"{len(messages)} messages"
        elif code == 2 and not any(word in text for word in words_of(one)):
            yield "message names neither file nor key nor boundary"


def words_of(one: Mutant) -> Iterator[str]:
    """Names that a message may point at: files, keys, boundaries, regions."""
    for name in one.files:
        yield Path(name).name
    with suppress(ValueError):
        yield from keys(tomllib.loads(one.files["case.toml"].decode()))


def keys(table: Any) -> Iterator[str]:
    for key, value in table.items() if isinstance(table, dict) else ():
        if len(key) > 2:
            yield key
        yield from keys(value)


def left(one: Mutant, code: int | None, before: Any, after: Any) -> Iterator[str]:
    """What a command has changed that it should not have."""
    gone = [name for name in before if after.get(name) != before[name]]
    if gone:
        yield f"changed: {gone}"
    new = {name for name in after if name not in before}
    if code == 3:
        logs = [name for name in new if name.endswith(".log")]
        new -= {*logs, *(os.fspath(parent) for log in logs for parent in Path(log).parents)}
    if code != 0 or one.words[0] == "check":
        if new:
            yield f"left behind: {sorted(new)}"
    elif any(".partial" in name or ".old" in name or "canary" in name for name in new):
        yield f"left behind: {sorted(new)}"


def answer(one: Mutant, work: Path, pool: Pool) -> Iterator[str]:
    """What is wrong with a result."""
    folders = [p.parent for p in work.parent.rglob("summary.json")]
    if len(folders) != 1:
        yield f"{len(folders)} results"
        return
    case = tomllib.loads(one.files["case.toml"].decode())

    def refuse(word: str) -> None:
        raise ValueError(f"{word} in summary.json")

    found = json.loads((folders[0] / "summary.json").read_text(), parse_constant=refuse)
    for path in folders[0].rglob("*.csv"):
        text = path.read_text().lower()
        told = any("rows are nan" in warning for warning in found["warnings"])
        if re.search(r"\b(nan|inf)\b", text) and not told:
            yield f"not finite: {path.name}"
    yield from numbers(one, work, pool, case, found)


def numbers(one: Mutant, work: Path, pool: Pool, case: Any, found: Any) -> Iterator[str]:
    """What physics forbids."""
    values = {k.removesuffix("_per_m"): v for k, v in found.items()}
    currents = [v for c in found["contacts"].values() for k, v in c.items() if "current" in k]
    # One contact has nothing but rounding to compare its current with.
    if len(currents) > 1 and not found["solver"]["sum_of_currents_relative"] < BALANCE:
        yield f"sum of currents {found['solver']['sum_of_currents_relative']}"
    twoway = case.get("angular_momentum", {}).get("coupling") == "two-way"
    if len(currents) < 2 or twoway:
        return
    flux = sum(currents)
    if abs(flux) > BALANCE * max(map(abs, currents)) and not found.get("periodic"):
        yield f"currents {currents}"
    power = values["dissipated_power_W"]
    scale = sum(
        abs(v * c["potential_V"])
        for c in found["contacts"].values()
        for k, v in c.items()
        if "current" in k
    )
    if power < -1e-6 * scale:
        yield f"dissipated power {power}"
    G = np.array(values.get("conductance_matrix_S", []))
    if not G.size:
        return
    size = np.abs(G).max()
    if not case["flow"].get("magnetic_field") and np.abs(G - G.T).max() > 1e-6 * size:
        yield f"G is not symmetric: {G.tolist()}"
    if np.diag(G).min() < -1e-9 * size:
        yield f"negative conductance: {G.tolist()}"
    if found["model"] == "hydrodynamic":
        # The least dissipation of all flows is the ohmic one: friction adds to it.
        words = ["--set", "flow={model='ohmic'}", "--set", "output={directory='../ohmic'}"]
        if pool.run(work, [*one.words, *words]) == 0:
            bound = json.loads((work.parent / "ohmic/summary.json").read_text())
            key = next(k for k in bound if k.startswith("conductance_matrix_S"))
            if np.any(np.diag(G) > (1 + COARSE) * np.diag(bound[key])):
                yield f"more than ohmic: {G.tolist()} > {bound[key]}"


# --- processes


class Pool:
    """Processes that run commands of meso, one at a time each."""

    def __init__(self, size: int) -> None:
        self._idle: SimpleQueue[_Process | None] = SimpleQueue()
        self._size = size
        for _ in range(size):
            self._idle.put(None)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for _ in range(self._size):
            if process := self._idle.get():
                process.leave()

    def run(self, folder: Path, words: list[str]) -> int | None:
        """Run a command in a folder; None if it takes too long."""
        process = self._idle.get()
        try:
            process = process or _Process()
            code = process.run(folder, words)
            if code is None or code < 0:
                process.end()
                process = None
            return code
        finally:
            self._idle.put(process)


class _Process:
    """A process that runs commands; it can be ended when one of them does not end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=without_launcher(),
            text=True,
        )

    def run(self, folder: Path, words: list[str]) -> int | None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([os.fspath(folder), words]) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], SECONDS)[0]:
            return None
        line = self._process.stdout.readline()
        return int(line) if line else min(-1, self._process.wait())

    def leave(self) -> None:
        """Let it end by itself, which leaves nothing of it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.end()

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def serve() -> None:
    """Run the commands that the standard input names, with what they print in files."""
    import resource

    from meso.cli import main

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    channel = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        folder, words = json.loads(line)
        os.chdir(folder)
        for descriptor, suffix in ((1, ".out"), (2, ".err")):
            path = f"{os.path.dirname(folder)}{suffix}"
            new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(new, descriptor)
            os.close(new)
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
        print(code, file=channel, flush=True)


if __name__ == "__main__":
    serve()
