"""What a small run takes from start to end, most of which is not physics.

    python3 benchmarks/small_run.py docker/run meso     # as users call it
    docker/run python3 benchmarks/small_run.py          # without the launcher
    docker/run python3 benchmarks/small_run.py --smallest

`meso run demos/ribbon/case.toml`, everything warm: the smallest time of some runs by the clock,
and of all processors together, which other programs change less.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASE = Path(__file__).parents[1] / "demos" / "ribbon" / "case.toml"
#: What is run, and the options that leave something out.
KINDS = {
    "all": (),
    "no errors": ("--set", "flow.estimate=false"),
    "no pictures": ("--no-figures",),
    "neither": ("--set", "flow.estimate=false", "--no-figures"),
}


def used() -> float:
    """Seconds of processors that ended processes have taken."""
    of = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of.ru_utime + of.ru_stime


def run(command: list[str], options: tuple[str, ...]) -> tuple[float, float, int]:
    """Seconds by the clock and of processors, and the number of errors in the table."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        words = [*command, "run", str(CASE), "--output", f"{folder}/out", *options]
        before, start = used(), time.perf_counter()
        done = subprocess.run(words, check=True, env=environment, stdout=subprocess.PIPE, text=True)
        clock, processors = time.perf_counter() - start, used() - before
    return clock, processors, done.stdout.count("±")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", nargs="*", default=[sys.executable, "-m", "meso"])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--smallest", action="store_true", help="does it still run?")
    options = parser.parse_args()
    runs = 1 if options.smallest else options.runs
    kinds = {"all": KINDS["all"]} if options.smallest else KINDS
    print("| run | clock, s | processors, s | errors told |\n|---|---|---|---|")
    for name, words in kinds.items():
        found = [run(options.command, words) for _ in range(runs)]
        clock, processors, errors = (min(column) for column in zip(*found, strict=True))
        print(f"| {name} | {clock:.2f} | {processors:.2f} | {errors} |", flush=True)


if __name__ == "__main__":
    main()
