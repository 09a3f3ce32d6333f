"""Every demo runs as it is, and shows what its text says."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import meso
from meso import Result, four_terminal, sweep
from meso.constants import ELECTRON_CHARGE, HBAR
from meso.exact import Bend, Corbino, Layers, Ribbon
from meso.exact_kinetic import KineticFilm, KineticRibbon

FOLDER = Path(__file__).parents[2] / "demos"
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
    columns = solved.flow.profile(wall, 4)
    kappa = next(iter(solved.flow.materials.values())).orbital_coupling
    assert kappa is not None
    return {**columns, "L_z": kappa * ELECTRON_CHARGE * columns["vorticity"] / HBAR}


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.parent.name)
def test_demo(path: Path) -> None:
    """Each case runs with its own settings, is conservative, and shows its physics."""
    name = path.parent.name
    solved = result(name)
    currents = [terminal.current for terminal in solved.contacts.values()]
    # A case without any current has rounding only, far below 1 fA/m.
    assert abs(sum(currents)) < max(1e-9 * max(map(abs, currents), default=0.0), 1e-15)
    assert (path.parent / "README.md").read_text().count("meso run demos/" + name) >= 1
    CHECKS[name](solved)


def strip(solved: Result) -> Ribbon:
    """The closed form of a straight channel."""
    form = solved.closed_form
    assert form is not None
    return Ribbon(
        width=form["width_m"],
        diffusion_length=form["vorticity_diffusion_length_m"],
        slip_rate=form["slip_rate_per_m"],
        drive=form["drude_current_density"],
    )


@shows("design")
def _design(solved: Result) -> None:
    """The strip before it is designed: current and moments of the closed form."""
    exact = strip(solved)
    assert solved.contacts["source"].current == pytest.approx(exact.current, rel=1e-3)
    near, far = (m.moment / m.length for m in solved.edge_moments)
    kappa = next(iter(solved.flow.materials.values())).orbital_coupling
    assert abs(near) == pytest.approx(abs(kappa) * exact.half_moment, rel=5e-3)
    assert near == pytest.approx(-far, rel=1e-4)


def test_designed_width() -> None:
    """The width with the largest moment at a given power is that of the closed form."""
    found = meso.design(FOLDER / "design" / "width.toml")
    start = result("design")
    first, kappa = strip(start), next(iter(start.flow.materials.values())).orbital_coupling

    def moment(width: float) -> float:
        ribbon = replace(first, width=width)
        return abs(kappa) / HBAR * ribbon.half_moment / np.sqrt(ribbon.current * 1e-3)

    widths = np.linspace(0.9, 1.3, 4001) * 1e-6
    values = [moment(w) for w in widths]
    best = widths[np.argmax(values)]
    assert found.status == "converged"
    assert found.parameters["geometry.parameters.width"] == pytest.approx(best * 1e6, rel=0.01)
    assert found.value == pytest.approx(max(values), rel=1e-4)
    assert found.start < 0.9 * found.value


@shows("bilayer")
def _bilayer(solved: Result) -> None:
    """The current of the closed form; the moment is that of the two conductivities."""
    lower, upper = (solved.flow.materials[name] for name in ("lower", "upper"))
    field = 10e-3 / (100 * NM)
    exact = Layers(
        thickness=(60 * NM, 60 * NM),
        conductivity=(lower.conductivity, upper.conductivity),
        diffusion_length=(lower.vorticity_diffusion_length, upper.vorticity_diffusion_length),
        field=field,
    )
    assert solved.contacts["source"].current == pytest.approx(exact.current, rel=1e-7)
    y = np.linspace(1, 119, 60) * NM
    found = solved.sample(np.column_stack([np.full(60, 50 * NM), y]))
    wanted = exact.current_density(y)
    assert np.abs(found["current_density"][:, 0] - wanted).max() < 1e-5 * wanted.max()
    assert lower.orbital_coupling is not None
    moment = sum(m.moment for m in solved.edge_moments) / (100 * NM)
    # What is left of the gradient at the surfaces: exp(-60/6.9)
    step = lower.orbital_coupling * (lower.conductivity - upper.conductivity) * field
    assert moment == pytest.approx(step, rel=1e-3)
    assert step / HBAR == pytest.approx(-3.40e15, rel=1e-2)


@shows("graded")
def _graded(solved: Result) -> None:
    """The orbital density follows the gradient of the conductivity, lowered by viscosity."""
    middle = solved.sample([[50 * NM, 0.0]])["orbital_density"][0] / HBAR
    assert middle == pytest.approx(-7.8e22, rel=1e-2)
    kappa = solved.flow.materials["metal"].orbital_coupling
    assert kappa is not None
    slope = kappa * 8.25e6 / (20 * NM) * 1e5 / HBAR
    assert 0.85 < middle / slope < 0.97


@shows("step_3d")
def _step_3d(solved: Result) -> None:
    """Conservative, mirror symmetric, and less conducting than two ohmic halves in series."""
    assert solved.flow.evidence["iterations"] <= 45
    thick, thin = (1e7 * 120 * NM * height * NM / (150 * NM) for height in (100, 50))
    ohmic = 1 / (1 / thick + 1 / thin)
    assert 0.4 * ohmic < solved.conductance_matrix[0, 0] < ohmic
    moments = [np.array(m.moment) for m in solved.edge_moments if m.wall == "sides"]
    # The mesh does not know of the mirror y -> -y, under which L_z and L_x change sign: its error.
    assert abs(moments[0][2] + moments[1][2]) < 0.02 * abs(moments[0][2])
    step = next(m for m in solved.edge_moments if m.wall == "step")
    assert abs(step.moment[0]) + abs(step.moment[2]) < 0.02 * abs(step.moment[1])


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
    # Eq. 10 at 1e5 V/m and Kn -> 0, both spins: four digits, as many as sigma has in the case. The
    # finite-Kn factor is 1 to a part in a million.
    assert value * 1e5 / (1e-3 / (400 * NM)) == pytest.approx(2.163e13, rel=5e-4)

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
    curl = exact.curl([100 * NM, 200 * NM])
    # The numbers in the README, and their rounding.
    wanted = pytest.approx([-1.54e12, 6.4e11], rel=4e-3)
    assert list(material.orbital_coupling * curl / HBAR) == wanted


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
        ("materials.metal.conductivity", "9.92 mS"),
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
    # Six currents; five of them are given, the sixth is what G makes of the potentials: G loses
    # no current, up to rounding, because each multiplier of the walls holds its net flux at zero.
    currents = [terminal.current for terminal in solved.contacts.values()]
    assert len(currents) == 6 and currents[0] == 10e-6
    assert abs(sum(currents)) < 1e-12 * 10e-6
    assert solved.flow.sum_of_currents < 1e-12


@shows("constriction")
def _constriction(solved: Result) -> None:
    """The corners of the neck have the largest orbital density, antisymmetric in y."""
    wall = orbital_at_walls(solved, "edges")
    top = np.argmax(np.abs(wall["L_z"]))
    assert abs(wall["L_z"][top]) == pytest.approx(1.1e22, rel=0.05)
    assert 10 < abs(wall["x"][top] / NM - 150) < 20 and abs(wall["y"][top] / NM) < 25
    # Mirror symmetry, at the accuracy of the mesh.
    assert wall["L_z"].max() == pytest.approx(-wall["L_z"].min(), rel=1e-3)


@shows("cad")
def _cad(solved: Result) -> None:
    """The bottom of the notches has the largest orbital density; viscosity costs 4.4 %."""
    wall = orbital_at_walls(solved, "notches")
    top = np.argmax(np.abs(wall["L_z"]))
    assert abs(wall["L_z"][top]) == pytest.approx(5.3e21, rel=0.02)
    assert wall["x"][top] / NM == pytest.approx(200, abs=2)
    # The law of a curved wall, at the accuracy of wall values.
    material = solved.case.materials["film"]
    factor = material.orbital_coupling * (2 / (30 * NM) + material.slip_rate(0.0)) / HBAR
    assert abs(wall["L_z"][top] / wall["J_t"][top]) == pytest.approx(abs(factor), rel=1e-3)
    edges = orbital_at_walls(solved, "edges")["L_z"]
    assert np.abs(wall["L_z"]).max() / np.abs(edges).max() == pytest.approx(3.6, rel=0.02)
    assert solved.contacts["source"].current == pytest.approx(9.56e-6, rel=1e-3)
    ohmic = result("cad", ("flow.model", "ohmic")).contacts["source"].current
    assert solved.contacts["source"].current / ohmic == pytest.approx(1 - 0.044, abs=1e-3)


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


@shows("slip_channel")
def _slip_channel(solved: Result) -> None:
    """Effective resistivity over the bulk's, 1/(1 - B (2l/W) tanh(W/2l))."""
    material = solved.case.materials["sheet"]
    exact = Ribbon(
        width=200 * NM,
        diffusion_length=material.vorticity_diffusion_length,
        slip_rate=1 / (20 * NM),
    )
    found = solved.resistances["channel"] * material.conductivity * 200 / 100
    # The accuracy that currents have with default settings.
    assert found == pytest.approx(1 / exact.conductance_ratio, rel=1e-6)
    assert found == pytest.approx(2.93, abs=0.005)  # the number in the README


def test_slip_channel_over_width_and_slip() -> None:
    """The law from a tenth of l to thirty l, from no slip to no friction; its three powers."""
    case = meso.Case.load(FOLDER / "slip_channel" / "case.toml").materials["sheet"]
    over = [
        "geometry.parameters.width=10,20,200,3000",
        "boundaries.edges.wall.slip_length=0 nm,20 nm,1 mm,inf",
    ]
    rows = sweep(FOLDER / "slip_channel" / "case.toml", over)
    resistance = {}
    for row in rows:
        width, slip = row["swept"].values()
        exact = Ribbon(
            width=width * NM,
            diffusion_length=case.vorticity_diffusion_length,
            slip_rate=0.0 if slip == "inf" else 1 / slip if slip else np.inf,
        )
        found = row["results"]["resistance.channel_ohm"] * case.conductivity * width / 100
        assert found == pytest.approx(1 / exact.conductance_ratio, rel=1e-6), row["swept"]
        resistance[width, slip] = row["results"]["resistance.channel_ohm"]
    # Poiseuille's 12 l^2/W^2 corrected by 1 + W^2/10 l^2, and no friction at all.
    assert resistance[10, 0] / resistance[20, 0] == pytest.approx(8, rel=0.01)
    assert resistance[10, "inf"] / resistance[20, "inf"] == pytest.approx(2, rel=1e-6)
    # Slip far beyond the width, friction still the larger part: 2 l^2 s/W; one power less.
    drude = [100 / width / case.conductivity for width in (10, 20)]
    excess = [resistance[w, 1e-3] - d for w, d in zip((10, 20), drude, strict=True)]
    assert excess[0] / excess[1] == pytest.approx(4, rel=0.01)


# W, sigma and the distances of the probes in the demo.
STRIP, SHEET, DISTANCES = 1000.0, 69e-3, np.array([250.0, 500.0, 1000.0])


def vicinity(*settings: tuple[str, object], no_slip: bool = False) -> np.ndarray:
    """Vicinity resistances of the demo times sigma, in the order of the distances."""
    wall = {"boundaries.edges.wall": {"slip_length": "0 nm"}} if no_slip else {}
    case = meso.Case.load(FOLDER / "vicinity" / "case.toml", {**dict(settings), **wall})
    return SHEET * np.array(list(meso.run(case).resistances.values()))


def point_contacts() -> np.ndarray:
    """Ohmic vicinity resistances times sigma of an infinite strip, (1/pi) ln coth(pi d/2W).

    exp(pi z/W) maps the strip to a half plane, source and drain to +1 and -1, and the edge of the
    probes to u > 0; there the potential is (I/pi sigma) ln|(u + 1)/(u - 1)|.
    """
    return np.log(1 / np.tanh(np.pi * DISTANCES / 2 / STRIP)) / np.pi


@shows("vicinity")
def _vicinity(solved: Result) -> None:
    """Negative at all distances; the ohmic model has the other sign; reciprocity."""
    assert (vicinity() < -0.01).all()
    assert (vicinity(("flow.model", "ohmic")) > 0.01).all()
    assert solved.resistances["at_250nm"] == pytest.approx(-6.72, abs=0.01)  # the README's numbers
    assert solved.resistances["at_1000nm"] == pytest.approx(-0.360, abs=0.001)
    names = tuple(solved.contacts)
    for pair, other in ((("source", "drain"), ("probe1", "far")), (("probe1", "probe3"),) * 2):
        forth = four_terminal(names, solved.conductance_matrix, pair, other)
        back = four_terminal(names, solved.conductance_matrix, other, pair)
        # Against the resistance of the contacts, 24 kilo-ohm, which cancels in it.
        contacts = solved.contacts["source"].potential / 1e-6
        assert forth == pytest.approx(back, abs=1e-11 * contacts)


def test_vicinity_ohmic() -> None:
    """Van der Pauw's law for point contacts; the radius of the half discs enters as its square.

    A half disc is a point for a uniform current around it, but for the dipole that each of the
    others sends: an error of (radius/distance)^2 times a number below one, over pi.
    """
    ohmic = ("flow.model", "ohmic")
    radii = (5.0, 10.0)
    found = [vicinity(ohmic, ("geometry.parameters.radius", radius)) for radius in radii]
    exact = point_contacts()
    for radius, value in zip(radii, found, strict=True):
        assert (np.abs(value - exact) < (radius / 250) ** 2 / np.pi).all()
    # What is left without the square is of the fourth power, (10/250)^4 = 3e-6, and the end of
    # the strip, exp(-pi (6000/2)/1000) = 8e-5 times its value at the probe, 3e-3 at most.
    np.testing.assert_allclose((4 * found[0] - found[1]) / 3, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_vicinity_becomes_ohmic() -> None:
    """As l -> 0 each resistance tends to the ohmic one, and does it linearly, by wall layers."""
    ohmic = vicinity(("flow.model", "ohmic"))
    key = "materials.sheet.vorticity_diffusion_length"
    # Coarser cells than by default: a part in a thousand is enough.
    coarse = (("mesh.wall_size", "15 nm"), ("flow.order", 3))
    found = [vicinity((key, f"{length} nm"), *coarse, no_slip=True) for length in (40, 20)]
    assert (found[0] > 0).all() and (np.abs(found[1] - ohmic) < np.abs(found[0] - ohmic)).all()
    # Linear extrapolation leaves the square of l/d; without it, those 500 nm and 1000 nm away
    # would be off by three and four times as much as is allowed here.
    left = np.abs(2 * found[1] - found[0] - ohmic)
    assert (left < 0.5 * (40 / DISTANCES) ** 2).all()


@pytest.mark.thorough
def test_vicinity_changes_sign_with_the_viscosity() -> None:
    """The curve of the README: one change of sign, between l = 0.1 W and 0.25 W."""
    over = ["materials.sheet.electron_electron_mean_free_path=8 nm,16 nm,60 nm"]
    rows = sweep(FOLDER / "vicinity" / "case.toml", over)
    for name in ("at_250nm", "at_500nm", "at_1000nm"):
        signs = [np.sign(row["results"][f"resistance.{name}_ohm"]) for row in rows]
        assert signs == [1, 1, -1]


def test_vicinity_in_stokes_flow() -> None:
    """-(2/pi) l^2/(sigma d^2) beside a point source in a wall without slip.

    With the angle t from the normal, J = (2I/pi) cos^2 t/r is a Stokes flow, and its potential
    (2 I l^2/(pi sigma r^2)) cos 2t is negative along the wall. The other wall adds (d/W)^2.
    """
    settings = {
        "geometry.parameters.width": 5000,
        "geometry.parameters.length": 20000,
        "geometry.parameters.radius": 2.5,
        "materials.sheet.vorticity_diffusion_length": "1 mm",
    }
    found = vicinity(*settings.items(), no_slip=True) * (DISTANCES / 1e6) ** 2 / (-2 / np.pi)
    assert found[:2] == pytest.approx(1, abs=5 * (500 / 5000) ** 2)
    # Without the square: the fourth power, (500/5000)^4, and the radius, (2.5/250)^2, in tens.
    assert (4 * found[0] - found[1]) / 3 == pytest.approx(1, abs=2e-3)


def test_fit_of_vicinity_resistances() -> None:
    """The hydrodynamic model finds too long a path between collisions, and chi^2 tells."""
    near = {"parameters.lee.start": "260 nm", "parameters.p.start": 0.44}
    found = meso.fit(FOLDER / "fit_vicinity" / "fit.toml", settings=near)
    assert found.values["lee"] == pytest.approx(263e-9, rel=5e-3)  # the README's numbers
    assert found.values["p"] == pytest.approx(0.44, abs=5e-3)
    assert found.chi2 > 100 and "the model does not describe the data" in found.warnings[0]


@pytest.mark.thorough
def test_fit_of_vicinity_resistances_by_the_kinetic_model() -> None:
    """It finds what the data were made with."""
    kinetic = {"data.strip.set.flow.model": "kinetic", "parameters.lee.start": "190 nm"}
    found = meso.fit(FOLDER / "fit_vicinity" / "fit.toml", settings=kinetic)
    assert found.probability > 0.05
    for name, truth in (("lee", 200e-9), ("p", 0.3)):
        assert abs(found.values[name] - truth) < 3 * found.errors[name]


# W = L and sigma of the demo.
WIDE, FILM = 4000.0, 27.5e-3
DIFFUSION = "materials.sheet.vorticity_diffusion_length"


def slit(opening: float, *settings: tuple[str, object], thickness: float) -> float:
    """Resistance of the demo times sigma, at a thickness of the screen over the opening."""
    shape = (
        ("geometry.parameters.opening", opening),
        ("geometry.parameters.thickness", thickness * opening),
    )
    return FILM * result("slit", *shape, *settings).resistances["slit"]


def slit_laws(opening: float, length: float) -> tuple[float, float]:
    """Resistance times sigma of strip and slit: ohmic, and of a row of slits in Stokes flow.

    Ohmic, conformal: L/W + (2/pi) ln csc(pi w/2W). Stokes, a row of cracks: the flow through the
    plane is normal to it, and its Fourier components obey V/2 = 2 (l^2/sigma) |k| J_k in the
    openings; 4 pi (l/W)^2/ln sec(pi w/2W), which is 32 l^2/(pi w^2) where w is small.
    """
    angle = np.pi * opening / (2 * WIDE)
    stokes = -4 * np.pi * (length / WIDE) ** 2 / np.log(np.cos(angle))
    return 1 - 2 / np.pi * np.log(np.sin(angle)), stokes


@shows("slit")
def _slit(solved: Result) -> None:
    """Above the sum of both laws (each is a minimum of its own dissipation), below 1.1 times it."""
    length = solved.case.materials["sheet"].vorticity_diffusion_length / NM
    total = sum(slit_laws(100, length))
    assert 1 < FILM * solved.resistances["slit"] / total < 1.1
    assert solved.resistances["slit"] == pytest.approx(509.0, abs=0.5)  # the README


@pytest.mark.parametrize("opening", [100, 1000])
def test_slit_ohmic(opening: float) -> None:
    """The law of a screen without thickness, by extrapolation from two thin ones."""
    model = ("flow.model", "ohmic")
    thick, thin = (slit(opening, model, thickness=t) for t in (0.01, 0.005))
    exact, _ = slit_laws(opening, 0)
    assert exact < thin < thick
    # Linear in the thickness but for a logarithm, t/w ln(w/t), which leaves t/w ln 2 / pi.
    assert 2 * thin - thick == pytest.approx(exact, abs=0.005 * np.log(2) / np.pi)


def test_slit_viscous() -> None:
    """The coefficient 32/pi, by extrapolation from two thin screens."""
    thick, thin = (slit(100, (DIFFUSION, "1 mm"), thickness=t) for t in (0.01, 0.005))
    _, exact = slit_laws(100, 1e6)
    assert exact < thin < thick
    # As above: the extrapolation leaves a tenth of what the thin screen adds, 0.005.
    assert 2 * thin - thick == pytest.approx(exact, rel=5e-4)
    assert exact * (100 / 1e6) ** 2 == pytest.approx(32 / np.pi, rel=(np.pi * 100 / 8000) ** 2)


@pytest.mark.thorough
def test_slit_scaling() -> None:
    """Both slopes: R ~ w^-2 where w is far below l, R ~ -(2/pi) ln w where it is far above."""
    case = FOLDER / "slit" / "case.toml"
    rows = sweep(case, ["geometry.parameters.opening=10,20"])
    narrow = [row["results"]["resistance.slit_ohm"] for row in rows]
    # The ohmic part and the thickness, 0.2 nm, are a part in a hundred each.
    assert np.log2(narrow[0] / narrow[1]) == pytest.approx(2, abs=0.02)

    # l -> 0 at fixed openings; what the layers on the screen add is linear in l/w. Coarser cells
    # than by default: a part in a thousand is enough.
    def wide(opening: float) -> float:
        coarse = (("mesh.wall_size", "40 nm"), ("flow.order", 3))
        long, short = (
            slit(opening, (DIFFUSION, f"{length} nm"), *coarse, thickness=0.002)
            for length in (80, 40)
        )
        return 2 * short - long

    values = [wide(opening) for opening in (1000, 2000)]
    laws = [slit_laws(opening, 0)[0] for opening in (1000, 2000)]
    # What is left is the square, (l/w)^2, in ones.
    assert values == pytest.approx(laws, rel=0.08**2)
    # -(2/pi) ln 2, less what the strip, only twice as wide, does to it.
    assert values[0] - values[1] == pytest.approx(laws[0] - laws[1], rel=0.02)


def test_pictures_of_the_sweeps(tmp_path: Path) -> None:
    """The scripts of the slit and of the vicinity draw what their sweeps leave."""
    import runpy

    how = {"settings": {"flow.model": "ohmic"}, "figures": False}  # quick; the script is the same
    case = FOLDER / "slit" / "case.toml"
    sweep(case, ["geometry.parameters.opening=400,800"], directory=tmp_path / "s", **how)
    script = runpy.run_path(str(FOLDER / "slit" / "laws.py"))
    script["draw"](tmp_path / "s", tmp_path / "slit.png")
    case = FOLDER / "vicinity" / "case.toml"
    over = ["materials.sheet.electron_electron_mean_free_path=60 nm,100 nm"]
    sweep(case, over, directory=tmp_path / "v", keep=True, **how)
    script = runpy.run_path(str(FOLDER / "vicinity" / "maps.py"))
    script["draw"](tmp_path / "v", tmp_path / "vicinity.png", (0, 1))
    for name in ("slit.png", "vicinity.png"):
        assert (tmp_path / name).stat().st_size > 50_000


@shows("step_channel")
def _step_channel(solved: Result) -> None:
    """The error is estimated, below the tolerance, with the number of unknowns in the README."""
    done = solved.adaptivity
    assert done is not None and done.reached and done.estimate < 1e-5
    # A fifth of the 58 494 unknowns of the usual mesh; 14 129 measured.
    assert solved.flow.evidence["unknowns"] < 20_000
    # Order 7 with cells of 1e-9 of the width at the corner (tests/verification/test_adaptive.py).
    assert solved.conductance_matrix[0, 0] == pytest.approx(3.7219370e-4, rel=1e-5)


def test_step_channel_picture(tmp_path: Path) -> None:
    """The script of the step channel draws the mesh and its errors."""
    import runpy

    script = runpy.run_path(str(FOLDER / "step_channel" / "convergence.py"))
    curves = dict.fromkeys("abcd", [(1000, 1e-3), (2000, 1e-5)])
    script["draw"](result("step_channel"), curves, tmp_path / "step.png")
    assert (tmp_path / "step.png").stat().st_size > 50_000


def rotation(solved: Result) -> float:
    """Largest curl J over the largest J/size: an error of discretisation."""
    size = 400 * NM
    density = solved.fields["current_density"].extrema()[1]
    vorticity = max(np.abs(solved.fields["vorticity"].extrema()))
    return float(vorticity * abs(ELECTRON_CHARGE) * size / density)


def densities(solved: Result, name: str) -> tuple[float, float, float]:
    """Diffusive moment per length over hbar, its ratio to the other, fitted length in nm."""
    part = solved.angular_momentum
    assert part is not None
    own, local = part.moments[name][0], solved.edge_moments[0]
    decay = part.decays[name][0]
    assert decay is not None
    moment = float(np.ravel(own.moment)[0])
    return (
        moment / own.measure / HBAR,
        moment / float(np.ravel(local.moment)[0]),
        decay.length / NM,
    )


@shows("chromium")
def _chromium(solved: Result) -> None:
    """Both mechanisms, of opposite sign; the numbers of the README, and the closed form."""
    moment, ratio, length = densities(solved, "orbital_z")
    # theta E l^2/D (1 - sech(W/2l)), at the accuracy promised for default settings
    flux = HBAR / -ELECTRON_CHARGE * 2e5 * 1e5
    exact = flux * (6.6 * NM) ** 2 / 1.01e-3 * (1 - 1 / np.cosh(25 / 6.6)) / HBAR
    assert abs(moment) == pytest.approx(exact, rel=1e-6)
    assert ratio == pytest.approx(-82.6, rel=1e-3)
    assert length == pytest.approx(6.6, rel=1e-6)


@shows("titanium")
def _titanium(solved: Result) -> None:
    """A long length; the closed form, and what a spot of 400 nm sees of it."""
    moment, ratio, length = densities(solved, "orbital_z")
    flux = HBAR / -ELECTRON_CHARGE * 5e5 * 1e5
    exact = flux * (60 * NM) ** 2 / 1.86e-4 * (1 - 1 / np.cosh(500 / 60)) / HBAR
    assert abs(moment) == pytest.approx(exact, rel=1e-6)
    assert ratio == pytest.approx(-3.23e5, rel=1e-3)
    assert length == pytest.approx(60, rel=1e-6)
    y = np.linspace(-1000, 1000, 401) * NM
    seen = solved.sample(np.column_stack([np.full_like(y, 500 * NM), y]), resolution=400 * NM)
    for name, whole, shift, height in (
        ("orbital_diffusive_density_z", abs(moment) * HBAR, 55, 0.95),
        ("orbital_density", -solved.edge_moments[0].moment / (1000 * NM), 0, 1.0),
    ):
        values = seen[name] * np.sign(seen[name][-1])
        assert 500 - y[values.argmax()] / NM == pytest.approx(shift, abs=5)
        assert values.max() * 1.0645 * 400 * NM / abs(whole) == pytest.approx(height, abs=5e-3)


def test_titanium_says_which_inputs_decide() -> None:
    """The coupling, and the square of the diffusion length; not the mean free path."""
    names = ["edges.1.orbital_moment", "edges.1.orbital_z.diffusive_moment"]
    material, channel = "materials.Ti", "angular_momentum.orbital"
    of = [f"{material}.orbital_coupling", f"{material}.mean_free_path"]
    found = result("titanium").gradient(names, of=[*of, f"{channel}.diffusion_length"])
    assert found.methods == ("adjoint", "adjoint")
    wanted = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.996]]
    np.testing.assert_allclose(found.relative(), wanted, atol=1e-4)
    specular = result("titanium").gradient(names[0], of="boundaries.edges.wall.specularity")
    assert specular.derivatives[0, 0] / specular.values[0] == pytest.approx(-1.088, rel=1e-3)


def test_hall_or_vorticity(tmp_path: Path) -> None:
    """The closed form of the line between the mechanisms; the solver is on it."""
    import runpy

    story = runpy.run_path(str(FOLDER / "hall_or_vorticity" / "story.py"))
    text = (FOLDER / "hall_or_vorticity" / "README.md").read_text()
    quoted = {"Ti": (1.55, 18.6, 0.0208), "Cr": (2.42e3, 2.91e4, 5.99)}
    for metal in story["METALS"]:
        needed = story["crossover"](metal)
        others = (None, story["LARGE_COUPLING"]), (story["LEAST_DIFFUSIVITY"], None)
        found = [needed, *(story["crossover"](metal, None, *pair) for pair in others)]
        assert found == pytest.approx(quoted[metal.name], rel=5e-3)
        (diffusive, vorticity), (none, same) = story["solved"](metal, [needed, 0.0])
        assert diffusive / vorticity == pytest.approx(-1, rel=1e-6)
        assert none == 0.0 and same == pytest.approx(story["vorticity_moment"](metal), rel=1e-6)
        # In wide strips: sigma_H = (e kappa/hbar) sigma B D/l^2 with B = 0.456.
        matter, own = metal.material, metal.orbital
        wide = abs(ELECTRON_CHARGE * matter.orbital_coupling) / HBAR * matter.conductivity * 0.4561
        limit = 1e-3 if metal.name == "Ti" else 0.05
        assert needed == pytest.approx(wide * own.diffusivity / own.diffusion_length**2, rel=limit)
    assert "demos/hall_or_vorticity/story.py" in text and "1.55 | 18.6 | 0.021" in text
    story["main"](tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 100_000


@shows("nonlocal")
def _nonlocal(solved: Result) -> None:
    """A voltage without a current; nothing of the spin gets to the contacts."""
    assert solved.contacts["right"].potential == pytest.approx(-7.72e-9, rel=0.01)
    part = solved.angular_momentum
    assert part is not None
    fed = part.densities.injected["injector"][0]
    assert fed == pytest.approx(1e-7 * 20 * NM)
    assert part.densities.relaxed[0] == pytest.approx(fed, rel=1e-3)
    single = result("nonlocal", ("angular_momentum.coupling", "one-way")).angular_momentum
    assert single is not None and single.response is not None
    voltage = single.response.contacts["right"].potential
    assert voltage == pytest.approx(solved.contacts["right"].potential, rel=1e-2)


def test_round_wire(tmp_path: Path) -> None:
    """The script agrees with its closed form; the density in the middle is a small difference."""
    import runpy

    script = runpy.run_path(str(FOLDER / "round_wire" / "round_wire.py"))
    errors = script["main"](tmp_path)
    assert len(errors) == 6 and max(errors.values()) < 2e-5
    assert (tmp_path / "round_wire.png").stat().st_size > 50_000


def test_comparison_of_the_chambers(tmp_path: Path) -> None:
    """The script of the double chamber draws its picture from two result directories."""
    import runpy

    result("double_chamber").save(tmp_path / "clean", figures=False)
    script = runpy.run_path(str(FOLDER / "double_chamber" / "compare.py"))
    script["compare"]([tmp_path / "clean"] * 2, ["a", "b"], tmp_path / "both.png")
    assert (tmp_path / "both.png").stat().st_size > 50_000


@shows("fuchs_sondheimer")
def _fuchs_sondheimer(solved: Result) -> None:
    """Current and edge moment of the exact ribbon, Kn = 0.1; the estimates cover the errors."""
    exact = KineticRibbon(width=100, mean_free_path=10)
    drude = 3.97e-3 * 1e-3 * 10
    found, kappa = solved.convergence, solved.case.materials["metal"].orbital_coupling
    assert found is not None and isinstance(kappa, float)
    # Estimated: 1e-5 in the harmonics, 5e-6 in the mesh.
    assert found.extrapolated[0] == pytest.approx(exact.conductance * drude, rel=1e-5)
    assert abs(solved.periodic["source"].current / exact.conductance / drude - 1) < found.error[0]
    moments = sorted(m.moment / kappa / exact.edge_step / (drude / 10) for m in solved.edge_moments)
    assert moments == pytest.approx([-1.0, 1.0], abs=found.error[1] + found.mesh[1])
    assert found.error[0] < 1e-4 and found.error[1] + found.mesh[1] < 1e-4


def test_laws_of_fuchs_and_sondheimer(tmp_path: Path) -> None:
    """What the text says of the errors: proportional to Kn, and a moment that stays 8 % low."""
    import runpy

    script = runpy.run_path(str(FOLDER / "fuchs_sondheimer" / "laws.py"))
    table = script["main"](tmp_path / "laws.png", points=3)
    assert table["current hydrodynamic"][0] == pytest.approx(-0.035 * 0.01, rel=0.01)
    assert table["moment hydrodynamic"][0] == pytest.approx(-0.082, abs=5e-4)
    assert abs(table["moment kinetic"][0]) < 1e-5
    assert table["current hydrodynamic"][2] == pytest.approx(-0.33, abs=0.005)
    assert (tmp_path / "laws.png").stat().st_size > 50_000


@shows("titanium_film")
def _titanium_film(solved: Result) -> None:
    """Current and moment of Fuchs' film, within the estimates; what hydrodynamics gets wrong."""
    exact, found = KineticFilm(width=20, mean_free_path=7), solved.convergence
    assert found is not None
    drude, kappa = 2.4e6 * 1e5 * 20 * NM, -1.8e-32
    assert found.extrapolated[0] / drude == pytest.approx(exact.conductance, rel=found.error[0])
    assert 1 / exact.conductance == pytest.approx(1.149, abs=1e-3)  # the README
    moments = sorted(m.moment / m.measure / kappa / (drude / 20 / NM) for m in solved.edge_moments)
    close = (found.error[1] + found.mesh[1]) * exact.edge_step
    assert moments == pytest.approx([-exact.edge_step, exact.edge_step], abs=close)
    assert max(found.error) < 3e-3
    fluid = result("titanium_film", ("flow.model", "hydrodynamic"))
    assert fluid.periodic["source"].current / drude / exact.conductance - 1 == pytest.approx(
        -0.0146, abs=2e-4
    )
    moment = max(m.moment / m.measure for m in fluid.edge_moments) / -kappa / (drude / 20 / NM)
    assert moment / exact.edge_step - 1 == pytest.approx(-0.082, abs=1e-3)


@shows("point_contact")
def _point_contact(solved: Result) -> None:
    """Between its bounds; near the sum of Ohm's and Sharvin's resistance."""
    import runpy

    script = runpy.run_path(str(FOLDER / "point_contact" / "laws.py"))
    assert solved.bounds is not None and solved.bounds.lower is not None
    low, high = solved.bounds.lower[0, 0], solved.bounds.upper[0, 0]
    assert low < solved.conductance_matrix[0, 0] < high
    assert high / low - 1 == pytest.approx(0.10, abs=0.01)  # the README
    # The bounds of the script at the same point, from fewer cells, and both laws in their units.
    below, above = script["bounds"](1.0, 16)
    sigma, path = 1.74e-3, 100e-9
    leads = (400e-9 + 2 * 0.8183 * path) / (sigma * 400e-9)
    slit = (1 / solved.conductance_matrix[0, 0] - leads) / script["SHARVIN"]
    assert below < slit < 1.02 * above
    ohm = 2 / (np.pi * sigma) * np.log(1 / np.sin(np.pi / 8)) / script["SHARVIN"]
    assert script["laws"](1.0)["sum"] == pytest.approx(ohm + 0.75, rel=1e-12)
    assert 0.85 < slit / (ohm + 0.75) < 1.1


@pytest.mark.thorough
def test_laws_of_the_point_contact(tmp_path: Path) -> None:
    """What the text says of the sum of both laws: too large between Ohm and Sharvin."""
    import runpy

    script = runpy.run_path(str(FOLDER / "point_contact" / "laws.py"))
    table = script["main"](tmp_path / "laws.png", {0.04: 8, 0.2: 24})
    over = table["low"] / table["sum"], table["high"] / table["sum"]
    assert over[0][0] < 1 < over[1][0]
    assert 0.93 < over[0][1] < over[1][1] < 0.97
    assert (tmp_path / "laws.png").stat().st_size > 50_000


@shows("van_der_pauw")
def _van_der_pauw(solved: Result) -> None:
    """Ohm's law by conformal maps, close to van der Pauw's; a little more with viscosity."""
    import runpy

    script = runpy.run_path(str(FOLDER / "van_der_pauw" / "laws.py"))
    sigma = 0.522e-3
    for half_width in (0.02, 0.2):
        settings = (("flow.model", "ohmic"), ("geometry.parameters.half_width", half_width))
        ohmic = sigma * result("van_der_pauw", *settings).resistances["van_der_pauw"]
        # 1e-8 measured.
        assert ohmic == pytest.approx(script["exact"](half_width), rel=1e-6)
        # Points, and the leading correction for contacts of that width, of the README.
        assert ohmic * np.pi / np.log(2) == pytest.approx(1, abs=0.37 * half_width**2)
    fluid = sigma * solved.resistances["van_der_pauw"] / script["exact"](0.2)
    assert fluid == pytest.approx(1.010, abs=1e-3)


@pytest.mark.thorough
def test_laws_of_van_der_pauw(tmp_path: Path) -> None:
    """Carriers that fly through lower the voltage; the fluid has too much of that."""
    import runpy

    script = runpy.run_path(str(FOLDER / "van_der_pauw" / "laws.py"))
    table = script["main"](tmp_path / "laws.png", ratios=(0.5,), harmonics=16)
    assert table["hydrodynamic"][0] == pytest.approx(0.890, abs=2e-3)
    assert table["kinetic"][0] == pytest.approx(0.950, abs=table["error"][0])
    assert script["resistance"](0.1, "hydrodynamic") == pytest.approx(1.011, abs=1e-3)
    assert (tmp_path / "laws.png").stat().st_size > 50_000


@shows("whirlpool")
def _whirlpool(solved: Result) -> None:
    """The current turns back at the far side of the chamber."""
    points = np.array([[300, 0], [300, 80], [300, 240]]) * NM
    forward = solved.sample(points)["current_density"][:, 0]
    assert forward[0] > 0 and forward[2] < 0
    columns = solved.flow.distribution.table(points[0])
    # A beam: more of it along the channel than the two harmonics of a fluid have.
    h = columns["h_V"][:-1]
    spectrum = np.abs(np.fft.rfft(h))
    assert spectrum[3] > 0.2 * spectrum[1]


@shows("magnetic_ribbon")
def _magnetic_ribbon(solved: Result) -> None:
    """More resistance than without the field, and than in a strong one."""

    def voltage(field: float) -> float:
        settings = (("flow.magnetic_field", field), ("flow.estimate", False))
        return result("magnetic_ribbon", *settings).periodic["source"].potential

    assert solved.periodic["source"].potential > 1.02 * voltage(0.0)
    assert solved.periodic["source"].potential > 1.2 * voltage(0.5)
    assert "LU" in solved.flow.evidence["method"]


@shows("focusing")
def _focusing(solved: Result) -> None:
    """Peaks where the contacts are n diameters apart; nothing in the opposite field."""
    first = solved.flow.magnetic_field
    assert first == pytest.approx(2 * HBAR * 1.4e8 / (-ELECTRON_CHARGE * 1000 * NM), rel=1e-3)

    def resistance(fields: float) -> float:
        return result("focusing", ("flow.magnetic_field", fields * first)).resistances["focusing"]

    peak, error = solved.resistances["focusing"], solved.resistance_errors["focusing"]
    assert error < 0.06 * peak
    assert peak > 2.5 * max(resistance(0.75), resistance(1.25))
    assert resistance(2.0) > 1.5 * max(resistance(1.7), resistance(2.3))
    assert abs(resistance(-1.0)) < 3 * error


@shows("hexagon")
def _hexagon(solved: Result) -> None:
    """Unequal bend resistances, which change places when the crystal is turned by 30 degrees."""
    turn = ("materials.PdCoO2.orientation.angle", 30), ("flow.tolerance", 0.02)
    turned, names = result("hexagon", *turn), ("along_x", "along_y")
    (x, y), (dx, dy) = (
        [table[name] for name in names] for table in (solved.resistances, solved.resistance_errors)
    )
    assert x - y > 6 * np.hypot(dx, dy)
    for value, error, name in ((x, dx, "along_y"), (y, dy, "along_x")):
        both = np.hypot(error, turned.resistance_errors[name])
        assert abs(turned.resistances[name] - value) < 4 * both


@shows("ballistic_slit")
def _ballistic_slit(solved: Result) -> None:
    """.83 of Sharvin's conductance."""
    sharvin = 2 / np.pi * 0.0174 / 1e-6 * 20 * NM
    found = solved.conductance_matrix[0, 0] / sharvin
    error = solved.flow.counted.errors[0, 0] / sharvin
    assert error < 0.0085
    assert abs(found - 0.829) < 3 * np.hypot(error, 0.003)
