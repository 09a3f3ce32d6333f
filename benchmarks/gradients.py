"""What all derivatives of one number cost, over the run that it belongs to.

    docker/run python3 benchmarks/gradients.py
    docker/run python3 benchmarks/gradients.py --only chromium nonlocal
    docker/run python3 benchmarks/gradients.py --smallest

All inputs of a demo, those of its drawing included, of one number at a time, by turns with the
run: all of it, from the drawing to the numbers, without their errors. The smallest time of each.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import meso
from meso.gradients import gradient

DEMOS = Path(__file__).parents[1] / "demos"
KINETIC = ("flow.model=kinetic", "flow.harmonics=16")
FILM = ("flow.model=kinetic", "flow.harmonics=4", "mesh.size=25 nm", "mesh.wall_size=25 nm")
FIELD = ("flow.magnetic_field=0.5 T", "materials.metal.fermi_wavevector=11.5 1/nm")
#: Name: demo, what is set in it, numbers.
DEVICES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "ribbon": ("ribbon", (), ("conductance", "edges.1.orbital_moment")),
    "bend": ("bend", (), ("conductance", "inner.orbital_moment")),
    "hall_bar": ("hall_bar", (), ("probe1.potential", "edges.1.orbital_moment")),
    "constriction": ("constriction", (), ("conductance", "edges.1.orbital_moment")),
    "bilayer": ("bilayer", (), ("conductance", "top.orbital_moment")),
    "chromium": (
        "chromium",
        (),
        (
            "conductance",
            "edges.1.orbital_moment",
            "edges.1.orbital_z.diffusive_moment",
            "angular_momentum.outflow.source.orbital_z",
        ),
    ),
    "nonlocal": (
        "nonlocal",
        (),
        ("conductance", "edges.1.spin_z.diffusive_moment", "inverse.right.current"),
    ),
    "kinetic": ("constriction", KINETIC, ("conductance", "edges.1.orbital_moment")),
    "step_3d": ("step_3d", (), ("conductance", "surfaces.orbital_moment_y")),
    "kinetic_3d": ("step_3d", FILM, ("conductance", "surfaces.orbital_moment_y")),
    "field_3d": ("step_3d", (*FILM, *FIELD), ("conductance", "surfaces.orbital_moment_y")),
}


def timed(what: Callable[..., Any], *of: Any, **named: Any) -> tuple[float, Any]:
    """Seconds, and what it returns."""
    gc.collect()
    start = time.perf_counter()
    out = what(*of, **named)
    return time.perf_counter() - start, out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(DEVICES), choices=DEVICES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--smallest", action="store_true", help="does it still run?")
    options = parser.parse_args()
    devices, runs = (["ribbon"], 1) if options.smallest else (options.only, options.runs)
    print("| device | number | inputs | run, s | derivatives, s | over the run |")
    print("|---|---|---|---|---|---|")
    for device in devices:
        demo, settings, names = DEVICES[device]
        words = ("flow.estimate=false", *settings)
        case = meso.Case.load(DEMOS / demo / "case.toml", overrides=words)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        whole = float("inf")
        for name in names * runs:
            taken, result = timed(meso.run, case, gradients=True)
            whole = min(whole, taken)
            taken, found = timed(gradient, result, name)
            seconds[name].append(taken)
        for name in names:
            cost = min(seconds[name])
            row = f"{device} | {name} | {len(found.inputs)} | {whole:.3f} | {cost:.3f}"
            print(f"| {row} | {cost / whole:.2f} |", flush=True)


if __name__ == "__main__":
    main()
