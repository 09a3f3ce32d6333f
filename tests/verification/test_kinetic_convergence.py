"""Convergence of the kinetic model in its harmonics: against exact ribbons, and its estimates."""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import thorough
from scipy.integrate import quad

import meso
from meso import Result
from meso.exact_kinetic import KineticRibbon

DEMO = Path(__file__).parents[2] / "demos" / "fuchs_sondheimer" / "case.toml"
WIDTH, LENGTH, SIGMA, VOLT = 100e-9, 10e-9, 3.97e-3, 1e-3

# lambda/W, p, total current over Drude's, J at the wall and in the centre over sigma E: computed
# to ten digits with an integral equation, independently of the closed form.
TABLE = [
    (0.02, 0.0, 0.99151173636843, 0.5, 0.99999999999985),
    (0.1, 0.0, 0.95755882893946, 0.499999180667, 0.99946181509663),
    (0.5, 0.0, 0.7973801760359, 0.487167653869, 0.88484643815943),
    (2.0, 0.0, 0.48875687458445, 0.361639892018, 0.53430992953638),
    (0.02, 0.5, 0.99575586818422, 0.75, 0.99999999999992),
    (0.1, 0.5, 0.97877937769577, 0.749999385495, 0.99973090589091),
    (0.5, 0.5, 0.896392273929, 0.740014058089, 0.94069687685774),
    (2.0, 0.5, 0.68578151118389, 0.618065934577, 0.71058517349764),
]
# J_centre - J_wall of the radial-tangential kernel, lambda = W/10, from the same source (six
# digits).
RADIAL = {
    0.0: 0.9972005991011095 - 0.5600879420167097,
    0.5: 0.9987191595060985 - 0.7916141523353173,
}


def solve(path: float, p: float, harmonics: int | str, **changes: Any) -> Result:
    """The ribbon of the demo with another lambda/W and specularity."""
    settings = {
        "materials.metal.mean_free_path": path * WIDTH,
        "boundaries.edges.wall.specularity": p,
        "flow.harmonics": harmonics,
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    return meso.run(meso.Case.load(DEMO, settings))


def errors(result: Result, current: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors of current and edge moment: with N harmonics, and extrapolated."""
    found = result.convergence
    assert found is not None
    coupling = result.case.materials["metal"].orbital_coupling
    assert isinstance(coupling, float)
    scale = SIGMA * VOLT / LENGTH
    moment = found.units.index("J s")
    exact = np.array([current * scale * WIDTH, abs(coupling) * step * scale * LENGTH])
    one, two = (np.abs(v[[0, moment]]) / exact - 1 for v in (found.values[-1], found.extrapolated))
    return one, two


def exact_errors(result: Result, path: float, p: float) -> tuple[np.ndarray, np.ndarray]:
    exact = KineticRibbon(width=1.0, mean_free_path=path, specularity=p)
    return errors(result, exact.conductance, exact.edge_step)


# -- the closed form ---------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "p", "current", "wall", "centre"), TABLE)
def test_exact_ribbon(path, p, current, wall, centre):
    """The table: to 1e-12 in currents, in J at walls to the ten digits that it has."""
    exact = KineticRibbon(width=1.0, mean_free_path=path, specularity=p)
    assert exact.conductance == pytest.approx(current, abs=1e-12)
    found = exact.current_density(np.array([0.0, 0.5, -0.5]))
    assert found == pytest.approx([centre, wall, wall], abs=1e-10)
    assert exact.edge_step == pytest.approx(centre - wall, abs=1e-10)


@pytest.mark.parametrize("p", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("path", [1e-3, 0.1, 1.0, 100.0])
def test_exact_ribbon_by_quadrature(path, p):
    """Adaptive quadrature in theta itself, to its 1e-12, in the middle and next to a wall."""
    exact = KineticRibbon(width=1.0, mean_free_path=path, specularity=p)
    cuts = [0.0, *(t for t in 10.0 ** np.arange(-9.0, 0.5, 0.5) if t < pi / 2), pi / 2]

    def mean(taken: Any) -> float:
        def integrand(t: float) -> float:
            sine = np.sin(t)
            lost = (1 - p) / (1 - p * np.exp(-1 / (path * sine)))
            return np.cos(t) ** 2 * lost * taken(path * sine)

        parts = zip(cuts, cuts[1:], strict=False)
        return 1 - 2 / pi * sum(quad(integrand, *ab, epsabs=1e-14, epsrel=1e-13)[0] for ab in parts)

    for y in (0.0, 0.3, 0.499999, 0.5):
        wanted = mean(lambda s, y=y: np.exp(-(0.5 + y) / s) + np.exp(-(0.5 - y) / s))
        assert exact.current_density(np.array(y)) == pytest.approx(wanted, abs=1e-12)
    wanted = mean(lambda s: -2 * s * np.expm1(-1 / s))
    assert exact.conductance == pytest.approx(wanted, abs=1e-12)


# -- harmonics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("path", [1.0, thorough(5.0)])
def test_currents(path, p):
    """64 harmonics within 1e-3 up to Kn = 5, extrapolated ten times better; honest estimates."""
    result = solve(path, p, 64)
    found = result.convergence
    assert found is not None and found.harmonics == (16, 32, 64)
    one, two = exact_errors(result, path, p)
    assert abs(one[0]) < 1e-3
    assert abs(two[0]) < 1e-4
    for error, estimate in ((one, found.error), (two, found.error_extrapolated)):
        assert (np.abs(error) <= estimate).all()
    # Not more than a few times pessimistic where the error is not near a change of its sign.
    assert found.error[0] < 5 * abs(one[0])


@pytest.mark.parametrize("p", [0.0, 0.5, 0.9])
def test_edge_moments_of_thick_ribbons(p):
    """Eight harmonics suffice: 1e-5, which is exp(-W/2 lambda) and the mesh (3e-6 measured).

    Without the wall's correction of the grazing directions they leave 3 to 5 per cent.
    """
    one, _ = exact_errors(solve(0.1, p, 8, flow__solver="direct"), 0.1, p)
    assert abs(one[1]) < 1e-5


def test_two_harmonics_stay_hydrodynamic():
    """No correction: 8 per cent below exact kinetics, 1 - (half-space of two harmonics)."""
    one, _ = exact_errors(solve(0.02, 0.0, 2), 0.02, 0.0)
    # J at the wall of the model is sl/(1 + sl) with sl = 8/3pi below 1: 0.4591 for 0.5.
    s = 8 / (3 * pi)
    assert one[1] == pytest.approx(s / (1 + s) / 0.5 - 1, abs=1e-4)


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_order_of_edge_moments(p):
    """Another kernel, which the correction was not made for: N^-2."""
    found = []
    for number in (8, 16):
        result = solve(
            0.1,
            p,
            number,
            flow__solver="direct",
            flow__estimate=False,
            materials__metal__scattering="radial-tangential",
        )
        found.append(errors(result, 1.0, RADIAL[p])[0][1])
    order = np.log2(found[0] / found[1])
    assert 1.7 < order < 2.3
    assert abs(found[1]) < 2e-3


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("path", [0.02, 1.0, thorough(0.3), thorough(3.0)])
def test_estimates(path, p):
    """At least the true errors, of currents and moments, with N and with extrapolated values."""
    result = solve(path, p, 32)
    found = result.convergence
    assert found is not None
    one, two = exact_errors(result, path, p)
    for error, estimate in ((one, found.error), (two, found.error_extrapolated)):
        # The mesh and the iteration leave 1e-6.
        assert (np.abs(error) < np.array(estimate) + 1e-6).all()
    assert found.error[0] < 10 * abs(one[0])


@pytest.mark.parametrize(
    ("path", "p"),
    [(0.1, 0.0), (0.1, 0.5), (0.5, 0.0), (1.0, 0.0), thorough(1.0, 0.9), (0.3, 0.97)],
)
def test_auto(path, p):
    """Currents and edge moments within the tolerance, and not by many harmonics too many."""
    result = solve(path, p, "auto")
    found = result.convergence
    assert found is not None and found.tolerance == 1e-3
    assert found.harmonics[0] == 4 and found.harmonics[-1] <= 64
    assert not result.warnings
    assert max(found.error_extrapolated) <= found.tolerance
    _, two = exact_errors(result, path, p)
    assert (np.abs(two) < found.tolerance).all()
    # The error of the mesh is in the summary too; that of moments contains two iterations.
    assert 0 < found.mesh[0] < 1e-5
    assert 0 < found.mesh[1] < 1e-3


#: The ribbon as a drawing whose cells are up to meso, two mean free paths long.
DRAWN = {
    "geometry.file": DEMO.parents[2] / "geometries" / "ribbon.geo",
    "geometry.parameters": {"width": 100, "length": 10},
}


def test_cells_at_walls_follow_the_harmonics():
    """Thin layers of a kernel without closed form: as with degree 6, to 5e-4 (2e-4 measured).

    Cells that are made for 16 harmonics leave 5e-3.
    """
    found = []
    for changes in ({}, {"flow.order": 6}):
        kernel = {"flow.estimate": False, "materials.metal.scattering": "radial-tangential"}
        result = solve(0.05, 0.0, 64, **DRAWN, **kernel, **changes)
        assert result.convergence is not None
        found.append(result.convergence.values[-1][-1])
    assert found[0] == pytest.approx(found[1], rel=5e-4)


def test_auto_raises_the_degree():
    """Where cells are coarse these leave the error, not the harmonics."""
    changes = {"flow.order": 2, "mesh.wall_size": 3e-9}
    result = solve(0.05, 0.0, "auto", **DRAWN, **changes)
    found = result.convergence
    assert found is not None
    assert result.flow.order > 2
    assert found.harmonics[-1] <= 32
    assert max(found.mesh) <= 1e-3
    assert not result.warnings
    _, two = exact_errors(result, 0.05, 0.0)
    assert (np.abs(two) < 1e-3).all()


def test_warning_of_large_errors():
    """Few harmonics in a ballistic ribbon: the estimate is large, and said."""
    result = solve(10.0, 0.0, 4)
    assert result.convergence is not None
    assert max(result.convergence.error) > 0.1
    assert any("estimated error of" in text for text in result.warnings)


def test_out_of_reach():
    """Most harmonics do not suffice: a warning says what they leave."""
    result = solve(5.0, 0.0, "auto", flow__tolerance=1e-7, flow__estimate=False)
    found = result.convergence
    assert found is not None and found.harmonics[-1] == 128
    assert any("128 harmonics leave an estimated error" in text for text in result.warnings)


def test_any_number_of_harmonics():
    """Extrapolation knows the ratio of the numbers: 10 comes with 4 and 2, 6 with 2."""
    for number, levels in ((6, (2, 6)), (10, (2, 4, 10)), (12, (2, 6, 12))):
        result = solve(0.1, 0.0, number)
        assert result.convergence is not None
        assert result.convergence.harmonics == levels
        one, two = exact_errors(result, 0.1, 0.0)
        assert abs(two[0]) < abs(one[0]) / 3
        assert abs(two[0]) < result.convergence.error_extrapolated[0]


def test_without_estimate():
    """The table says that nothing is known, in numbers that JSON has."""
    result = solve(0.1, 0.0, 8, flow__estimate=False)
    assert result.convergence is not None
    table = result.convergence.table()
    assert table["harmonics"] == [8]
    for what in ("harmonics", "extrapolated", "mesh"):
        assert table[f"estimated_error_{what}"] == {"currents": None, "edge_moments": None}


def test_specular_walls():
    """Uniform flow has no moment: nothing to converge to, and no relative error of nothing."""
    result = solve(0.5, 1.0, "auto")
    found = result.convergence
    assert found is not None and found.harmonics == (4, 8, 16)
    assert not result.warnings
    assert max(found.error_extrapolated) < 1e-6
