"""Decay lengths fitted to profiles with noise and periods that no device has by itself."""

from __future__ import annotations

import numpy as np
import pytest

from meso.angular_momentum.decay import fit

Y = np.linspace(0.0, 40e-9, 193)


def test_two_walls() -> None:
    """sinh: the other wall does not disturb, even where it is near."""
    for length in (5e-9, 40e-9):
        found = fit(Y, np.sinh((Y - 20e-9) / length))
        assert found is not None and found.length == pytest.approx(length, rel=1e-6)
        assert found.uncertainty < 1e-6 * length and found.period is None


def test_noise_shows_in_the_uncertainty() -> None:
    """The true length lies within five standard deviations, which grow with the noise."""
    random = np.random.default_rng(0)
    spread = []
    for noise in (1e-6, 1e-4):
        value = np.exp(-Y / 8e-9) + noise * random.standard_normal(len(Y))
        found = fit(Y, value)
        assert found is not None
        assert abs(found.length - 8e-9) < 5 * found.uncertainty
        spread.append(found.uncertainty)
    assert spread[1] > 3 * spread[0]


def test_oscillation() -> None:
    """A complex length: decay and period."""
    found = fit(Y, np.exp(-Y / 9e-9) * np.cos(2 * np.pi * Y / 25e-9 + 0.3))
    assert found is not None and found.period == pytest.approx(25e-9, rel=1e-6)
    assert found.length == pytest.approx(9e-9, rel=1e-6)


def test_two_lengths() -> None:
    """Spin and orbital density that are converted into each other."""
    found = fit(Y, np.exp(-Y / 15e-9) - 0.6 * np.exp(-Y / 4e-9))
    assert found is not None
    assert (found.length, found.second) == pytest.approx((15e-9, 4e-9), rel=1e-5)


def test_between_reservoirs() -> None:
    """In some parts of the profile there are two lengths, in most there is one: it is continuous.

    Between contacts 100 nm apart that hold zero, across 50 nm, D X' at the edges given.
    """
    y = np.linspace(-25e-9, 25e-9, 193)
    k, q = (2 * np.arange(100)[:, None] + 1) * np.pi / 50e-9, 1 / 14e-9
    lost = np.sin(k * 25e-9) * np.sin(k * y) / (q**2 + k**2) / np.cosh(np.hypot(q, k) * 50e-9)
    value = np.sinh(q * y) / (q * np.cosh(q * 25e-9)) - 4 / 50e-9 * lost.sum(axis=0)
    lengths = [fit(y + 25e-9, value * (1 + e * np.cos(1e8 * y))) for e in (0.0, 1e-6, -1e-6)]
    assert all(one is not None and one.second is None for one in lengths)
    assert np.ptp([one.length for one in lengths if one]) < 1e-4 * 14e-9


@pytest.mark.parametrize("value", [np.zeros(193), np.full(193, np.nan)])
def test_nothing_to_fit(value: np.ndarray) -> None:
    """Zero, or outside the device."""
    assert fit(Y, value) is None
