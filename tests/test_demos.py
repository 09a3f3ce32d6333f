"""Every demo runs as it is, and shows what its text says."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import meso
from meso.constants import ELECTRON_CHARGE, HBAR
from meso.edges import profile
from meso.exact import Bend, Corbino, Ribbon
from meso.result import Result

FOLDER = Path(__file__).parents[1] / "demos"
CASES = sorted(FOLDER.rglob("case.toml"))
NM = 1e-9
CHECKS: dict[str, Callable[[Result], None]] = {}


def shows(name: str) -> Callable[[Callable[[Result], None]], Callable[[Result], None]]:
    """Register what is to be checked of a demo."""

    def register(check: Callable[[Result], None]) -> Callable[[Result], None]:
        CHECKS[name] = check
        return check

    return register


@cache
def result(name: str, *settings: tuple[str, object]) -> Result:
    """Run a demo."""
    return meso.run(meso.Case.load(FOLDER / name / "case.toml", dict(settings)))


def orbital_at_walls(solved: Result, wall: str) -> dict[str, np.ndarray]:
    """Profile along a wall with L_z in ħ/m² (ħ/m³)."""
    columns = profile(solved.flow, wall, 4)
    kappa = next(iter(solved.flow.materials.values())).orbital_coupling
    assert kappa is not None
    return {**columns, "L_z": kappa * ELECTRON_CHARGE * columns["vorticity"] / HBAR}


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.parent.name)
def test_demo(path: Path) -> None:
    """Each case runs with its own settings, is conservative, and shows its physics."""
    name = path.parent.name
    solved = result(name)
    currents = [terminal.current for terminal in solved.contacts.values()]
    assert abs(sum(currents)) < 1e-9 * max(map(abs, currents))
    assert (path.parent / "README.md").read_text().count("meso run demos/" + name) >= 1
    CHECKS[name](solved)


@shows("ribbon")
def _ribbon(solved: Result) -> None:
    """Eq. 9 and 10 of Valet et al., at the accuracy promised for default settings."""
    material = solved.case.materials["metal"]
    exact = Ribbon(
        width=100 * NM,
        diffusion_length=material.vorticity_diffusion_length,
        slip_rate=material.slip_rate(0.0),
        drive=material.conductivity * 1e-3 / (400 * NM),
    )
    assert solved.contacts["source"].current == pytest.approx(exact.current, rel=1e-6)
    wall = orbital_at_walls(solved, "edges")
    value = material.orbital_coupling * exact.curl(-50 * NM) / HBAR
    sign = -np.sign(wall["y"])
    np.testing.assert_allclose(wall["L_z"], sign * value, rtol=1e-5)
    assert value == pytest.approx(1.08e12, rel=0.01)  # the number in the README

    y = np.linspace(-50, 50, 201) * NM
    found = solved.sample(np.column_stack([np.full_like(y, 200 * NM), y]))
    # The field at default order; its error at walls is a part in a thousand.
    np.testing.assert_allclose(found["current_density"][:, 0], exact.current_density(y), rtol=1e-5)
    expected = material.orbital_coupling * exact.curl(y)
    np.testing.assert_allclose(
        found["orbital_density"], expected, atol=5e-3 * np.abs(expected).max()
    )


@shows("bend")
def _bend(solved: Result) -> None:
    """Closed form of the bend; the inner wall has more orbital density, of opposite sign."""
    material = solved.case.materials["metal"]
    slip = material.slip_rate(0.0)
    exact = Bend(
        inner=100 * NM,
        outer=200 * NM,
        diffusion_length=material.vorticity_diffusion_length,
        inner_slip=slip,
        outer_slip=slip,
        drive=material.conductivity * 1e-3 / (np.pi / 2),
    )
    assert solved.contacts["source"].current == pytest.approx(exact.current, rel=1e-6)
    for wall, radius in (("inner", 100 * NM), ("outer", 200 * NM)):
        value = material.orbital_coupling * exact.curl(radius) / HBAR
        np.testing.assert_allclose(orbital_at_walls(solved, wall)["L_z"], value, rtol=1e-5)
    inner, outer = exact.curl([100 * NM, 200 * NM])
    assert inner > 0 > outer and inner > -2 * outer


def test_bend_literal_law() -> None:
    """The literal law changes the wall values as the README says."""
    literal = (("boundaries.inner.wall.law", "literal"), ("boundaries.outer.wall.law", "literal"))
    ratio = [
        orbital_at_walls(result("bend", *literal), wall)["L_z"].mean()
        / orbital_at_walls(result("bend"), wall)["L_z"].mean()
        for wall in ("inner", "outer")
    ]
    assert ratio == pytest.approx([0.944, 1.043], abs=2e-3)


def test_bend_of_smooth_walls_has_one_sign() -> None:
    """Where s < 2/R the outer wall changes its sign: rotation without friction is rigid."""
    smooth = tuple((f"boundaries.{wall}.wall.specularity", 0.9) for wall in ("inner", "outer"))
    signs = {
        np.sign(orbital_at_walls(result("bend", *smooth), wall)["L_z"]).mean()
        for wall in ("inner", "outer")
    }
    assert signs == {-1.0}


def chamber(solved: Result) -> tuple[float, float]:
    """J_x in the middle of the upper chamber over that of the channel; L_z at its far wall."""
    middle = (50 + 10 + np.sqrt(110**2 - 50**2)) * NM
    found = solved.sample([[300 * NM, 0.0], [300 * NM, middle]])["current_density"][:, 0]
    wall = orbital_at_walls(solved, "chambers")
    return found[1] / found[0], wall["L_z"][np.argmax(wall["y"])]


@shows("double_chamber")
def _double_chamber(solved: Result) -> None:
    """From dirty to clean, the current in the chambers and L_z at their far wall change sign."""
    clean, clean_orbital = chamber(solved)
    dirty_case = (
        ("materials.metal.mean_free_path", "50 nm"),
        ("materials.metal.conductivity", "19.8 mS"),
    )
    dirty, dirty_orbital = chamber(result("double_chamber", *dirty_case))
    assert clean == pytest.approx(-0.0113, rel=0.02)
    assert dirty == pytest.approx(+0.0104, rel=0.02)
    assert clean_orbital == pytest.approx(+2.7e10, rel=0.05)
    assert dirty_orbital == pytest.approx(-2.7e10, rel=0.05)


def test_double_chamber_ohmic() -> None:
    """The limit l -> 0: forward in the chamber."""
    solved = result("double_chamber", ("flow.model", "ohmic"))
    middle = (50 + 10 + np.sqrt(110**2 - 50**2)) * NM
    assert solved.sample([[300 * NM, middle]])["current_density"][0, 0] > 0


@shows("hall_bar")
def _hall_bar(solved: Result) -> None:
    """Probes in pairs; four-terminal resistance below that of the strip; G symmetric."""
    probe = [solved.contacts[f"probe{i}"].potential for i in (1, 2, 3, 4)]
    assert probe[0] == pytest.approx(probe[2], rel=1e-6)
    assert probe[1] == pytest.approx(probe[3], rel=1e-6)
    material = solved.case.materials["metal"]
    strip = Ribbon(
        width=100 * NM,
        diffusion_length=material.vorticity_diffusion_length,
        slip_rate=material.slip_rate(0.0),
        drive=material.conductivity,
    )
    resistance = (probe[0] - probe[1]) / 10e-6
    assert 0.95 < resistance * strip.current / (240 * NM) < 1
    matrix = solved.conductance_matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9 * np.abs(matrix).max())


@shows("constriction")
def _constriction(solved: Result) -> None:
    """The corners of the neck have the largest orbital density, antisymmetric in y."""
    wall = orbital_at_walls(solved, "edges")
    top = np.argmax(np.abs(wall["L_z"]))
    assert abs(wall["L_z"][top]) == pytest.approx(1.1e22, rel=0.05)
    assert 10 < abs(wall["x"][top] / NM - 150) < 20 and abs(wall["y"][top] / NM) < 25
    # Mirror symmetry, at the accuracy of the mesh.
    assert wall["L_z"].max() == pytest.approx(-wall["L_z"].min(), rel=1e-3)


@shows("corbino")
def _corbino(solved: Result) -> None:
    """No vorticity; contacts feel the strain."""
    material = solved.case.materials["metal"]
    exact = Corbino(
        inner=50 * NM, outer=200 * NM, diffusion_length=material.vorticity_diffusion_length
    )
    current = material.conductivity * 1e-3 * exact.conductance
    assert solved.contacts["source"].current == pytest.approx(current, rel=1e-6)
    assert rotation(solved) < 0.02
    assert rotation(result("corbino", ("flow.order", 8))) < 2e-4


def rotation(solved: Result) -> float:
    """Largest curl J over the largest J/size: an error of discretisation."""
    size = 400 * NM
    density = solved.fields["current_density"].extrema()[1]
    vorticity = max(np.abs(solved.fields["vorticity"].extrema()))
    return float(vorticity * abs(ELECTRON_CHARGE) * size / density)


def test_comparison_of_the_chambers(tmp_path: Path) -> None:
    """The script of the double chamber draws its picture from two result directories."""
    import runpy

    result("double_chamber").save(tmp_path / "clean", figures=False)
    script = runpy.run_path(str(FOLDER / "double_chamber" / "compare.py"))
    script["compare"]([tmp_path / "clean"] * 2, ["a", "b"], tmp_path / "both.png")
    assert (tmp_path / "both.png").stat().st_size > 50_000
