"""Criteria of diffusion problems one by one: a device applies all of them, with one verdict."""

from __future__ import annotations

import numpy as np
import pytest

from meso import CaseError
from meso.angular_momentum.tensors import ONE, Transport, conversion, diffusion_block
from meso.angular_momentum.weights import find_weight
from meso.angular_momentum.wellposed import check, isotropic_law, judge, least_stable_wall
from meso.bands import validate

PAIR = ("spin_z", "orbital_z")


def pair(D: list[list[float]], T: list[list[float]] | np.ndarray) -> Transport:
    """Spin and orbital density along z."""
    blocks = np.einsum("ik,ab->iakb", ONE, np.array(D))
    return Transport(diffusivity=blocks, relaxation=np.array(T, dtype=float))


def isotropic(D: float, A: float, B: float) -> Transport:
    """The three components of one channel."""
    return Transport(
        diffusivity=diffusion_block(D, divergence=A, swapping=B), relaxation=ONE * 1e12
    )


def test_unequal_blocks_are_accepted() -> None:
    """A published model of two channels: sym(D) is indefinite, a weight makes it positive."""
    D = [[1.28372e-3, 1.24e-5], [4.4651e-4, 2.171e-5]]
    assert np.linalg.eigvalsh(np.array(D) + np.array(D).T)[0] < 0
    verdict = judge(pair(D, 1e13 * np.eye(2)), components=PAIR, dimension=2)
    assert verdict.accepted and not verdict.problems


@pytest.mark.parametrize("dimension", [2, 3])
def test_negative_diffusivity_is_refused(dimension: int) -> None:
    """The message names the eigenvalue and says what to use for an oscillating density."""
    verdict = judge(pair([[-1e-5, 0], [0, 1e-5]], np.eye(2)), components=PAIR, dimension=dimension)
    assert not verdict.accepted
    assert "-1e-05" in verdict.problems[0] and "precession" in verdict.problems[0]


def test_precession_is_accepted() -> None:
    """Its relaxation is antisymmetric: the symmetric part decides."""
    T = [[0.5e12, -3e12], [3e12, 0.5e12]]
    verdict = judge(
        pair([[2.5e-6, 0], [0, 2.5e-6]], T), components=("orbital_x", "orbital_y"), dimension=2
    )
    assert verdict.accepted and not verdict.problems


def test_direction_is_named() -> None:
    """One direction of an anisotropic tensor is enough."""
    transport = Transport(
        diffusivity=diffusion_block(np.diag([1e-5, -2e-6, 1e-5])), relaxation=ONE * 1e12
    )
    verdict = judge(transport, components=("spin_x", "spin_y", "spin_z"), dimension=2)
    assert not verdict.accepted and "(0, 1)" in verdict.problems[0].replace("-1)", "1)")


@pytest.mark.parametrize(
    ("A", "B", "accepted", "warned"),
    [
        (0.3, 0.2, True, False),
        (-0.2, 0.6, True, False),
        (-1.5, 1.5, False, False),  # elliptic, but a free wall has growing modes
        (2.0, 1.8, True, True),  # elliptic, not positive, walls are stable
        (-1.5, 0.2, False, False),  # not elliptic: D + A + B < 0
    ],
)
@pytest.mark.parametrize("dimension", [2, 3])
def test_swapping(A: float, B: float, accepted: bool, warned: bool, dimension: int) -> None:
    """In units of D_0 = 1e-5 m^2/s."""
    transport = isotropic(1e-5, A * 1e-5, B * 1e-5)
    names = ("spin_x", "spin_y", "spin_z")
    verdict = judge(transport, components=names, dimension=dimension)
    assert verdict.accepted is accepted
    assert bool(verdict.problems) is (warned or not accepted)


def test_walls_of_the_isotropic_law() -> None:
    """The general condition gives D + B > 0 and (2 D - B)(D + B) + A (3 D - B) > 0."""
    random = np.random.default_rng(1)
    for _ in range(25):
        A, B = random.uniform(-3, 3, 2)
        if 1 + A + B <= 0:
            continue
        D = diffusion_block(1.0, divergence=A, swapping=B)[:2, :2, :2, :2]
        wanted = 1 + B > 0 and (2 - B) * (1 + B) + A * (3 - B) > 0
        assert (least_stable_wall(D)[0] > 0) == wanted, (A, B)


def test_conversion_needs_a_sink() -> None:
    """What conversion alone leaves free is named; a wall, a loss or a reservoir is enough."""
    free = pair([[2e-4, 1e-5], [5e-6, 2e-5]], conversion(1e12, 3e12))
    with pytest.raises(CaseError, match="spin_z"):
        check({"m": free}, {}, components=PAIR, dimension=2)
    assert check({"m": free}, {"w": 100 * np.eye(2)}, components=PAIR, dimension=2) == []
    assert check({"m": free}, {}, components=PAIR, dimension=2, pinned=True) == []
    lossy = pair([[2e-4, 0], [0, 2e-5]], conversion(1e12, 3e12) + np.diag([1e11, 0]))
    assert check({"m": lossy}, {}, components=PAIR, dimension=2) == []


def test_gain_is_refused() -> None:
    """A relaxation matrix or a wall that makes angular momentum grow."""
    gain = pair([[1e-5, 0], [0, 1e-5]], [[1e12, 0], [0, -1e11]])
    assert "-1e+11" in judge(gain, components=PAIR, dimension=2).problems[0]
    good = pair([[1e-5, 0], [0, 1e-5]], 1e12 * np.eye(2))
    verdict = judge(good, {"top": np.diag([-5.0, 1.0])}, components=PAIR, dimension=2)
    assert not verdict.accepted and "top" in verdict.problems[0] and "-5" in verdict.problems[0]


def test_known_susceptibility_fixes_the_weight() -> None:
    """With chi the weight is chi^-1, and no other."""
    D = np.einsum("ik,ab->iakb", ONE, [[1e-3, 0.0], [4e-4, 2e-5]])
    T = 1e13 * np.eye(2)
    chi = {"good": np.diag([1.0, 30.0]), "bad": np.diag([30.0, 1.0])}
    made = {k: Transport(diffusivity=D, relaxation=T, susceptibility=v) for k, v in chi.items()}
    assert not judge(made["good"], components=PAIR, dimension=2).problems
    assert judge(made["bad"], components=PAIR, dimension=2).problems


TWO_CHANNELS = [[1.28372e-3, 1.24e-5], [4.4651e-4, 2.171e-5]]


def law(d0: float, a: float, b: float) -> np.ndarray:
    """An isotropic law of diffusion."""
    return diffusion_block(d0, divergence=a, swapping=b)


def test_isotropic_law_is_recognised():
    assert isotropic_law(law(1, 0.2, -0.4)) == pytest.approx((1, 0.2, -0.4))
    other = law(1, 0.2, -0.4)
    other[0, 0, 0, 0] += 0.1
    assert isotropic_law(other) is None


def test_weight_is_one():
    d = np.einsum("ik,ab->iakb", ONE, np.array(TWO_CHANNELS))
    weight = find_weight(d)
    form = weight @ np.array(TWO_CHANNELS)
    assert np.linalg.eigvalsh(form + form.T)[0] > 0


@pytest.mark.verification
def test_the_solver_decides_alike():
    """Random isotropic laws: `validate` is the criteria of the device."""
    random = np.random.default_rng(5)
    seen = set()
    for _ in range(12):
        d = law(1.0, *random.uniform(-2, 2, 2))
        verdict = judge(Transport(diffusivity=d, relaxation=ONE))
        seen.add(verdict.accepted)
        if verdict.accepted:
            assert validate(d, 1.0) == verdict.problems
        else:
            with pytest.raises(CaseError):
                validate(d, 1.0)
    assert seen == {True, False}
