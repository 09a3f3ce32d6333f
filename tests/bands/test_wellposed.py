"""What is refused, warned of, and accepted."""

import subprocess
import sys

import numpy as np
import pytest

from meso import CaseError
from meso.bands import validate

E3 = np.eye(3)


def law(d0, a, b):
    return (
        d0 * np.einsum("ik,ab->iakb", E3, E3)
        + a * np.einsum("ia,kb->iakb", E3, E3)
        + b * np.einsum("ak,ib->iakb", E3, E3)
    )


TWO_CHANNELS = [[1.28372e-3, 1.24e-5], [4.4651e-4, 2.171e-5]]


def test_two_channel_model_is_accepted_in_any_units():
    d = np.array(TWO_CHANNELS)
    assert np.linalg.eigvalsh(d + d.T)[0] < 0  # the plain criterion would reject it
    assert validate(d, [[1, -0.2], [-0.1, 2]]) == ()
    for factor in (1e-3, 1e4):  # spin density in other units
        scale = np.diag([factor, 1])
        assert validate(np.linalg.inv(scale) @ d @ scale) == ()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((2.5e-6,), {"rates": 1e12}),
        ((law(1, 0.1, 0.1),), {}),
        ((law(1, 1.2, -0.3),), {}),
        (([[1, 5], [-5, 1]], [[1, 3], [-3, 1]]), {}),  # precession
        ((np.eye(2), [[1, -2], [-1, 2]], [[0, 0], [0, 1]]), {}),  # a sink at walls only
        ((1.0, 1.0, 0.0), {"susceptibility": 0.3}),
    ],
)
def test_accepted(arguments, options):
    assert validate(*arguments, **options) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0,), "diffuses with -1 m²/s, not positive: solutions would oscillate"),
        ((law(1, -1.5, 1.5),), "violate the condition at walls"),
        ((law(1, -2, 0),), "diffuses with -1 m²/s"),
        ((1.0, 0.0), "no unique steady state"),
        ((np.eye(2), [[1, -2], [-1, 2]]), "conversion alone conserves the sum"),
        ((np.eye(2), [[1, 0], [0, -1]]), "a combination of components grows by itself"),
        (([[1, 0], [0, np.nan]],), "diffusivity: not all entries are finite"),
        ((np.ones((2, 3)),), r"diffusivity: found shape \(2, 3\)"),
        ((1.0, np.ones((2, 2))), r"rates: found shape \(2, 2\); expected \(1, 1\)"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(CaseError, match=message):
        validate(*arguments)


def test_the_cure_for_a_negative_diffusivity_is_named():
    with pytest.raises(CaseError, match="precession in the crystal field, is a positive diffus"):
        validate([[1e-3, 0], [0, -2e-5]])


def test_warned_of():
    # Strongly elliptic, walls are fine, but no form is positive: B beyond D₀.
    (warning,) = validate(law(1, 0.5, 1.2))
    assert "could not be shown" in warning and "complementing condition" in warning


def test_susceptibility_decides():
    d = np.array(TWO_CHANNELS)
    (warning,) = validate(d, susceptibility=np.eye(2))
    assert "χ⁻¹" in warning
    with pytest.raises(CaseError, match="susceptibility: its symmetric part is not positive"):
        validate(d, susceptibility=-1.0)


def test_a_weight_exists_whatever_the_susceptibility():
    """χ⁻¹ fails, another weight does not: a solution exists, so this is no refusal."""
    d = [[1.0, 5.0], [0.0, 1.0]]  # as two decoupled equations, one driven by the other
    assert validate(d) == ()
    (warning,) = validate(d, 1.0, susceptibility=1.0 * np.eye(2))
    assert "a solution exists" in warning


def test_walls_that_create_are_refused():
    with pytest.raises(CaseError, match="walls: the relaxation velocity of walls .* -2 m/s"):
        validate(1.0, 1.0, -2.0)


def test_importing_bands_needs_no_mesh():
    code = "import sys, meso.bands; sys.exit(bool({'dolfinx', 'petsc4py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
