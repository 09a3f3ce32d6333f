"""Derivatives of results in the inputs of a case, against closed forms and sweeps; refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES

import meso
from meso.exact import Ribbon

RIBBON: dict[str, Any] = {
    "geometry": {
        "file": str(GEOMETRIES / "ribbon.geo"),
        "length_unit": "nm",
        "parameters": {"width": 60, "length": 150},
    },
    "mesh": {"size": "20 nm", "wall_size": "6 nm"},
    "materials": {
        "metal": {
            "carriers": "2d",
            "conductivity": "2 mS",
            "mean_free_path": "30 nm",
            "scattering": {"gamma2": 0.5},
            "fermi_energy": "1 eV",
        }
    },
    "regions": {"metal": "metal"},
    "boundaries": {
        "source": {"contact": {"potential": "1 mV"}},
        "drain": {"contact": {"potential": "0 V"}},
        "edges": {"wall": {"specularity": 0.3}},
    },
    "flow": {"model": "hydrodynamic"},
}


def case(**changes: Any) -> meso.Case:
    return meso.Case.from_dict(RIBBON, overrides=changes)


@pytest.fixture(scope="module")
def ribbon() -> meso.Result:
    return meso.run(case())


def slope(function: Callable[[float], float], at: float) -> float:
    """A derivative of a closed form, to eleven digits or so."""
    h = 1e-3 * at
    one, two = ((function(at + k * h) - function(at - k * h)) / (2 * k * h) for k in (1, 2))
    return (4 * one - two) / 3


PARAMETERS = {
    "geometry.parameters.width": 60.0,
    "materials.metal.mean_free_path": 30e-9,
    "materials.metal.scattering.gamma2": 0.5,
    "boundaries.edges.wall.specularity": 0.3,
}


def exact(output: str, **changes: float) -> float:
    """Conductance or orbital moment of the lower edge, of the ribbon above."""
    given = {key.split(".")[-1]: value for key, value in PARAMETERS.items()} | changes
    matter = meso.Material(
        carriers="2d",
        conductivity=2e-3,
        mean_free_path=given["mean_free_path"],
        scattering={"gamma2": given["gamma2"]},
        fermi_energy=1.602176634e-19,
    )
    flow = Ribbon(
        width=given["width"] * 1e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=matter.slip_rate(given["specularity"]),
        drive=2e-3 * 1e-3 / 150e-9,
    )
    if output == "conductance":
        return flow.current / 1e-3
    return -abs(matter.orbital_coupling) * flow.half_moment / meso.constants.HBAR


@pytest.mark.parametrize("key", PARAMETERS)
@pytest.mark.parametrize("output", ["conductance", "edges.1.orbital_moment"])
def test_ribbon_against_the_closed_form(ribbon, output, key):
    found = ribbon.gradient(output, of=key)
    name = key.split(".")[-1]
    wanted = slope(lambda x: exact(output, **{name: x}), PARAMETERS[key])
    sign = np.sign(found.values[0] * exact(output))
    assert found.of(output, key) == pytest.approx(sign * wanted, rel=1e-7)
