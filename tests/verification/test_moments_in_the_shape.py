"""Moments at corners and of walls whose ends move, in the parameters of their drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import thorough

import meso
from meso.gradients import gradient


def polygon(*points: str, contacts: dict[str, int], walls: str) -> str:
    """A drawing of a polygon, whose curves have numbers from 1 on."""
    text = 'w = DefineNumber[100, Name "width"]; a = DefineNumber[40, Name "arm"];\n'
    for i, point in enumerate(points, start=1):
        text += f"Point({i}) = {{{point}, 0}}; "
    for i in range(1, len(points) + 1):
        text += f"Line({i}) = {{{i}, {i % len(points) + 1}}}; "
    text += f"\nCurve Loop(1) = {{1:{len(points)}}}; Plane Surface(1) = {{1}};\n"
    text += "".join(f'Physical Curve("{name}") = {{{i}}};\n' for name, i in contacts.items())
    return text + f'Physical Curve("walls") = {{{walls}}}; Physical Surface("metal") = {{1}};\n'


#: By name: the drawing and the coarse and the fine size of its cells.
DRAWINGS = {
    # A rectangular notch in the upper wall, arm wide and deep.
    "notch": polygon(
        *("0,0", "300,0", "300,w", "150+a/2,w", "150+a/2,w-a", "150-a/2,w-a", "150-a/2,w", "0,w"),
        contacts={"source": 8, "drain": 2},
        walls="1, 3:7",
    ),
    # An L whose second arm has another width.
    "bend": polygon(
        *("0,0", "200,0", "200,200", "200-a,200", "200-a,w", "0,w"),
        contacts={"source": 6, "drain": 3},
        walls="1, 2, 4, 5",
    ),
    # A mouth that opens from the arm to the width, at an angle.
    "constriction": polygon(
        *("0,0", "130,0", "150,w/2-a/2", "250,w/2-a/2", "250,w/2+a/2", "150,w/2+a/2", "130,w"),
        "0,w",
        contacts={"source": 8, "drain": 4},
        walls="1:3, 5:7",
    ),
    # A cross whose upper and lower arms are as wide as said.
    "cross": polygon(
        *("0,0", "150-a/2,0", "150-a/2,-80", "150+a/2,-80", "150+a/2,0", "300,0", "300,w"),
        *("150+a/2,w", "150+a/2,w+80", "150-a/2,w+80", "150-a/2,w", "0,w"),
        contacts={"source": 12, "drain": 6, "below": 3, "above": 9},
        walls="1, 2, 4, 5, 7, 8, 10, 11",
    ),
}
#: Of parameters. Derivatives of the numbers have steps, where a node of the mesh passes a bisector
#: beside a place where a third wall is as near: in the fine cross one is 6e-7 from it.
#: Distances that are equal to 1e-9 count as equal, which makes 3e-6 of differences in the bend.
STEP = 2e-6
MODELS: dict[str, dict[str, Any]] = {
    "hydrodynamic": {"model": "hydrodynamic", "order": 3},
    "kinetic": {"model": "kinetic", "order": 2, "harmonics": 16, "solver": "direct"},
    "ohmic": {"model": "ohmic", "order": 3},
}


def found(path: Path, name: str, model: str, size: str) -> Any:
    (path / "drawing.geo").write_text(DRAWINGS[name])
    potentials = {"source": 1.0, "drain": 0.0, "above": 0.3, "below": -0.2}
    laws: dict[str, Any] = {
        n: {"contact": {"potential": v}}
        for n, v in potentials.items()
        if f'"{n}"' in DRAWINGS[name]
    }
    table: dict[str, Any] = {
        "geometry": {
            "file": str(path / "drawing.geo"),
            "length_unit": "nm",
            "parameters": {"width": 100, "arm": 40},
        },
        "mesh": {"size": size, "accuracy": 1e-2},
        "materials": {
            "metal": {
                "carriers": "3d",
                "conductivity": "2.4e6 S/m",
                "mean_free_path": "30 nm",
                "orbital_coupling": "-1.8e-32 J s/A",
            }
        },
        "regions": {"metal": "metal"},
        "boundaries": laws | {"walls": {"wall": {"specularity": 0.2}}},
        "flow": MODELS[model] | {"estimate": False},
    }
    if model == "ohmic":
        table["angular_momentum"] = {
            "orbital": {
                "components": ["z"],
                "hall_conductivity": "5e3 (hbar/e) (ohm cm)^-1",
                "diffusivity": "1.86e-4 m^2/s",
                "diffusion_length": "40 nm",
                "boundaries": dict.fromkeys(laws, "no flux"),
            }
        }
    return meso.run(meso.Case.from_dict(table), gradients=True)


@pytest.mark.parametrize("size", ["40 nm", "15 nm"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [thorough(name) for name in DRAWINGS])
def test_central_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, model: str, size: str
) -> None:
    """Each moment in each parameter, over the largest derivative of a moment in it."""
    monkeypatch.setitem(gradient.__globals__["differences"].__globals__, "STEP", STEP)
    result = found(tmp_path, name, model, size)
    count = sum(piece.boundary == "walls" for piece in result.device.pieces)
    moment = "orbital_z.diffusive_moment" if model == "ohmic" else "orbital_moment"
    names = [f"walls.{i + 1}.{moment}" for i in range(count)]
    of = ["geometry.parameters.width", "geometry.parameters.arm"]
    exact, other = (gradient(result, names, of, method=m) for m in ("adjoint", "differences"))
    scale = np.abs(other.derivatives).max(axis=0)
    worst = np.abs(exact.derivatives - other.derivatives).max(axis=0) / scale
    print(name, model, size, len(names), "moments, largest differences", worst)
    assert (worst < 1e-5).all()
