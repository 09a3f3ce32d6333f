"""Derivatives of demos in all their inputs, against central differences on the moved mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import thorough

import meso
from meso.gradients import gradient

DEMOS = Path(__file__).parents[2] / "demos"
#: By demo: outputs, and settings that make its many runs shorter.
OF = {
    "ribbon": (["conductance", "dissipated_power"], {"flow.order": 3}),
    "constriction": (["conductance", "source.current"], {"flow.order": 3}),
    "corbino": (["conductance", "dissipated_power"], {"flow.order": 3}),
    "bend": (["conductance", "source.current"], {"flow.order": 3}),
    "bilayer": (["conductance", "dissipated_power"], {"flow.order": 3}),
    "hall_bar": (["source.current", "probe1.potential", "dissipated_power"], {"flow.order": 2}),
}


@pytest.mark.parametrize("name", [thorough(name) for name in OF])
def test_demo(name: str) -> None:
    names, settings = OF[name]
    result = meso.run(meso.Case.load(DEMOS / name / "case.toml", settings), gradients=True)
    exact = gradient(result, names, method="adjoint")
    other = gradient(result, names, method="differences")
    # Each in per cent of the output for a change of the input by a part of its size.
    sizes = [one.value or 1.0 for one in exact.inputs]
    one, two = (found.derivatives * sizes for found in (exact, other))
    scale = np.abs(two).max(axis=1, keepdims=True)
    worst = np.abs(one - two).max(axis=1) / scale[:, 0]
    print(name, len(exact.inputs), "inputs, largest difference", worst)
    np.testing.assert_allclose(one / scale, two / scale, rtol=1e-5, atol=1e-9)
