"""Warnings where the evidence of a flow says that it is too uncertain."""

from types import SimpleNamespace

import numpy as np
import pytest

from meso.evidence.resolution import LEAK, leaks
from meso.flow.bounds import Bounds


@pytest.mark.parametrize(("lower", "many"), [(0.75, 1), (0.85, 0), (None, 0)])
def test_bounds_apart(lower, many):
    """From a fifth of the upper bound on; without a lower one nothing is said of a distance."""
    bounds = Bounds(
        names=("source", "drain"),
        lower=None if lower is None else lower * np.eye(2),
        upper=np.eye(2),
        harmonics=(4, 4),
        leak=0.0,
        reason="",
        domain="",
    )
    assert len(bounds.warnings) == many
    assert all("25% apart" in text for text in bounds.warnings)


@pytest.mark.parametrize(("divergence", "many"), [(0.5 * LEAK, 0), (2 * LEAK, 1)])
def test_divergence(divergence, many):
    flow = SimpleNamespace(evidence={"divergence_relative": divergence})
    assert len(leaks(flow)) == many  # type: ignore[arg-type]
