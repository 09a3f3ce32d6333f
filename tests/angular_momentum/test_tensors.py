"""Blocks, units, rotations; arrays of a wrong shape."""

from __future__ import annotations

import numpy as np
import pytest

from meso import CaseError
from meso.angular_momentum import (
    LEVI_CIVITA,
    ONE,
    Transport,
    diffusion_block,
    hall_block,
    material,
    precession_block,
    rotated,
    rotation,
)
from meso.constants import ELEMENTARY_CHARGE, HBAR


def test_hall_current_of_a_ribbon() -> None:
    """E along x: J^{yz} = +theta E; what is quoted in hbar/2e is half of it."""
    theta = hall_block(1e5)
    assert theta[1, 2, 0] == pytest.approx(HBAR / ELEMENTARY_CHARGE * 1e5)
    assert theta[2, 1, 0] == -theta[1, 2, 0]
    np.testing.assert_allclose(hall_block(1e5, "hbar/2e"), theta / 2)


def test_isotropic_blocks_do_not_turn() -> None:
    """D_0, A and B are the isotropic tensors; the cubic one is not."""
    turn = rotation([1, 2, 3], 0.7)
    block = diffusion_block(1.0, divergence=0.3, swapping=-0.2)
    np.testing.assert_allclose(rotated(block, turn), block, atol=1e-14)
    np.testing.assert_allclose(rotated(LEVI_CIVITA, turn), LEVI_CIVITA, atol=1e-14)
    cubic = diffusion_block(1.0, cubic=0.5)
    assert np.abs(rotated(cubic, turn) - cubic).max() > 0.05
    np.testing.assert_allclose(rotated(cubic, rotation([0, 0, 1], np.pi / 2)), cubic, atol=1e-14)


def test_current_of_swapping() -> None:
    """J^{ia} = -[D d_i X_a + A delta_ia div X + B d_a X_i], written out."""
    slope = np.random.default_rng(0).standard_normal((3, 3))  # d_k X_b
    D, A, B = 2.0, 0.5, -0.3
    block = diffusion_block(D, divergence=A, swapping=B)
    flux = np.einsum("iakb,kb->ia", block, slope)
    np.testing.assert_allclose(flux, D * slope + A * np.trace(slope) * ONE + B * slope.T)


def test_precession_turns_to_the_right() -> None:
    """dX/dt = -T X = rate x X."""
    rate, X = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.4, -1.0])
    np.testing.assert_allclose(-precession_block(rate) @ X, np.cross(rate, X))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diffusivity", np.ones((3, 2, 3, 1))),
        ("relaxation", np.ones((2, 3))),
        ("hall", np.ones((3, 3))),
        ("susceptibility", -np.eye(2)),
        ("susceptibility", np.array([[1.0, 0.5], [0.2, 1.0]])),
        ("diffusivity", np.full((3, 2, 3, 2), np.nan)),
    ],
)
def test_wrong_arrays(key: str, value: np.ndarray) -> None:
    """One message, which names the array."""
    good = {"diffusivity": np.einsum("ik,ab->iakb", ONE, np.eye(2)), "relaxation": np.eye(2)}
    with pytest.raises(CaseError) as error:
        Transport(**{**good, key: value})
    assert error.value.problems[0][0] == key


def test_improper_rotation() -> None:
    """A mirror is no orientation of a crystal."""
    with pytest.raises(CaseError, match="proper"):
        rotated(LEVI_CIVITA, np.diag([1.0, 1.0, -1.0]))


def test_components_that_are_driven_must_be_there() -> None:
    """Precession about z turns x into y."""
    blocks = {
        "diffusivity": {("spin", "spin"): diffusion_block(1e-5)},
        "relaxation": {("spin", "spin"): ONE * 1e12 + precession_block([0, 0, 1e12])},
    }
    with pytest.raises(CaseError, match="spin_y"):
        material(["spin_x"], **blocks)
    assert material(["spin_z"], **blocks).components == 1
    assert material(["spin_x", "spin_y"], **blocks).components == 2
