"""How often the estimated errors of 3D runs with angular momentum cover the true ones.

    docker/run python3 benchmarks/space_errors.py
    docker/run python3 benchmarks/space_errors.py --only step --model ohmic

Films, bars with a step, L-shaped bars and crossings, two materials, one-way and (for Ohm's law)
two-way, several meshes each, degree 2. "True" is the difference from degree 3 with cells of half
the size of the finest mesh. Numbers below 1e-4 of the largest of their kind, zero by symmetry, are
left out. "cost" is the processor time of the estimate over that of the run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import meso
from meso.gradients import outputs, pointwise

#: Boxes by corner and extents, nm.
SOLIDS = {
    "film": [(0, 0, 0, 120, 60, 40)],
    "step": [(0, 0, 0, 60, 50, 50), (60, 0, 0, 60, 50, 25)],
    "angle": [(0, 0, 0, 120, 60, 25), (0, 0, 0, 120, 25, 60)],
    "crossing": [(0, 0, 0, 120, 30, 30), (45, -30, 0, 30, 90, 30)],
}
#: Walls beside the floor.
WALLS = {"film": 3, "step": 5, "angle": 5, "crossing": 11}
SIZES, FINE = (35.0, 25.0, 17.0), 8.0
#: Lengths in nm that are none.
NEAR = 1e-3
#: By name: vorticity diffusion length, slip, decay length, relaxation velocity.
MATERIALS = {"short": (8, 5, 12, 1e4), "long": (40, 20, 40, 2e4)}
KINDS = {
    "orbital_moment": "orbital moment",
    "diffusive_moment": "half-width moment",
    "angular_momentum.": "torque, relaxed",
    "short_circuit": "short circuit",
    "inverse.": "inverse",
    "conductance": "conductance",
    "dissipated": "conductance",
    ".current": "conductance",
    "resistance": "conductance",
}


def case(drawing: Path, material: str, model: str, order: int, estimate: bool) -> Any:
    """A case of the set."""
    length, slip, decay, velocity = MATERIALS[material]
    walls = [f"wall{i}" for i in range(WALLS[drawing.stem.split("_")[0]])]
    two_way = model == "two-way"
    D = 2e-4
    tables = {
        "geometry": {"file": str(drawing), "length_unit": "nm"},
        "materials": {
            "m": {
                "carriers": "3d",
                "conductivity": "1e6 S/m",
                "vorticity_diffusion_length": f"{length} nm",
                "fermi_energy": "5 eV",
            }
        },
        "regions": {"metal": "m"},
        "boundaries": {
            "source": {"contact": {"potential": "1 mV"}},
            "drain": {"contact": {"potential": "0 V"}},
            **{name: {"wall": {"slip_length": f"{slip} nm"}} for name in ("floor", *walls)},
        },
        "angular_momentum": {
            "spin": {
                "components": ["x", "y", "z"],
                "hall_conductivity": "2e5 (hbar/2e) S/m",
                "diffusivity": f"{D} m^2/s",
                "diffusion_length": f"{decay} nm",
                "susceptibility": "2.7e-21 J s^2/m^3",
                "boundaries": {"floor": {"relaxation_velocity": f"{velocity} m/s"}},
            },
            "coupling": "two-way" if two_way else "one-way",
        },
        "flow": {
            "model": "hydrodynamic" if model == "viscous" else "ohmic",
            "order": order,
            "estimate": estimate,
        },
    }
    return meso.Case.from_dict(tables)


def mesh(path: Path, solid: str, size: float) -> Path:
    """A mesh with cells of about one size; the plane z = 0 is the floor."""
    import gmsh

    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    occ, model = gmsh.model.occ, gmsh.model
    boxes = [(3, occ.addBox(*box)) for box in SOLIDS[solid]]
    if len(boxes) > 1:
        occ.fuse(boxes[:1], boxes[1:])
    occ.synchronize()
    walls = []
    for _, face in model.getEntities(2):
        low, high = np.reshape(model.getBoundingBox(2, face), (2, 3))
        flat = high - low < NEAR
        on = {"source": flat[0] and abs(low[0]) < NEAR, "drain": flat[0] and high[0] > 120 - NEAR}
        on["floor"] = flat[2] and abs(low[2]) < NEAR
        name = next((name for name, is_it in on.items() if is_it), "")
        if name:
            model.addPhysicalGroup(2, [face], name=name)
        else:
            walls.append((*np.round(low + high, 3), face))
    for number, (*_, face) in enumerate(sorted(walls)):
        model.addPhysicalGroup(2, [face], name=f"wall{number}")
    model.addPhysicalGroup(3, [tag for _, tag in model.getEntities(3)], name="metal")
    model.mesh.setSize(model.getEntities(0), size)
    model.mesh.generate(3)
    gmsh.write(str(path))
    gmsh.finalize()
    return path


def solved(*given: Any) -> tuple[Any, dict[str, float], float]:
    """A result, all of its numbers, and the processor time."""
    start = time.process_time()
    result = meso.run(case(*given))
    spent = time.process_time() - start
    return result, outputs.values(result) | pointwise.further(result), spent


def kind(name: str) -> str:
    """Of a number, as the table has it."""
    return next((what for key, what in KINDS.items() if key in name), "other")


def main() -> None:
    """Solve, compare, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(SOLIDS))
    parser.add_argument("--model", nargs="*", default=["viscous", "ohmic", "two-way"])
    parser.add_argument("--material", nargs="*", default=list(MATERIALS))
    parser.add_argument("--fine", type=float, default=FINE)
    given = parser.parse_args()
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for shape in given.only:
            fine, *meshes = (
                mesh(Path(folder) / f"{shape}_{size:g}.msh", shape, size)
                for size in (given.fine, *SIZES)
            )
            for material in given.material:
                for model in given.model:
                    _, true, _ = solved(fine, material, model, 3, False)
                    for drawing in meshes:
                        _compare(ratios, true, (drawing, material, model, 2))
    print("\nmodel, kind: numbers, covered, smallest, median, 95 % of estimate over error")
    for (model, what), found in sorted(ratios.items()):
        x = np.array(found)
        print(
            f"{model:8} {what:17} {len(x):4} {np.mean(x >= 1):6.3f} {x.min():8.2f}"
            f" {np.median(x):8.1f} {np.quantile(x, 0.95):8.0f}"
        )


def _compare(
    ratios: dict[tuple[str, str], list[float]], true: dict[str, float], given: tuple[Any, ...]
) -> None:
    """One case of degree 2 with its errors."""
    _, _, alone = solved(*given, False)
    result, values, spent = solved(*given, True)
    largest: dict[str, float] = defaultdict(float)
    for name, value in true.items():
        largest[kind(name)] = max(largest[kind(name)], abs(value))
    own = []
    for name, told in result.mesh_errors.items():
        if name not in true or kind(name) == "other":
            continue
        error = abs(values[name] - true[name])
        if abs(true[name]) < 1e-4 * largest[kind(name)] or error < 1e-9 * largest[kind(name)]:
            continue
        ratios[given[2], kind(name)].append(told / error)
        own.append((told / error, name, error / abs(true[name])))
    least = min(own, default=(np.nan, "", np.nan))
    print(
        f"{given[0].stem:12} {given[1]:6} {given[2]:8} {result.device.cells:6} cells"
        f"  {len(own):3} numbers, {sum(r >= 1 for r, *_ in own):3} covered,"
        f" median {np.median([r for r, *_ in own]) if own else np.nan:7.1f},"
        f" least {least[0]:.2f} {least[1]} {least[2]:.0e}"
        f"  cost {spent / alone - 1:.2f} of {alone:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
