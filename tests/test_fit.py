"""Fits: tables and files, recovered values, what is told apart, resuming, messages.

Cases are ribbons of few cells, whose conductance has a closed form.
"""

import csv
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES
from helpers import Page
from matplotlib.image import imread

from meso import Case, CaseError, fit, run
from meso.cli import main
from meso.exact import Ribbon

NM = 1e-9
CASE = f"""
[geometry]
file = "{GEOMETRIES / "ribbon.geo"}"
length_unit = "nm"
parameters = {{ width = 100, length = 20 }}
[mesh]
wall_size = "10 nm"
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "200 nm"
fermi_energy = "1 eV"
[regions]
metal = "sheet"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "hydrodynamic"
order = 4
[output]
fields = ["current_density"]
[output.probes]
across = {{ from = ["10 nm", "-50 nm"], to = ["10 nm", "50 nm"], points = 3, resolution = "30 nm" }}
[output.resistances]
strip = {{ current = ["source", "drain"], voltage = ["source", "drain"] }}
"""
FIT = """
title = "Ribbons"
[data.ribbons]
case = "case.toml"
file = "data.csv"
[parameters.path]
key = "materials.sheet.mean_free_path"
start = "280 nm"
bounds = ["20 nm", "20 um"]
[parameters.p]
key = "boundaries.edges.wall.specularity"
start = 0.25
bounds = [0, 1]
"""
WIDTH = "geometry.parameters.width"


def conductance(width: float, path: float, specularity: float) -> float:
    """Of the ribbon of the case, S; lengths in nm."""
    slip = 16 / (3 * np.pi * path) * (1 - specularity) / (1 + specularity)
    ribbon = Ribbon(width=width, diffusion_length=path / 2, slip_rate=slip)
    return 20e-3 * width / 20 * ribbon.conductance_ratio


def table(path: float, specularity: float, widths: tuple[float, ...]) -> str:
    """Exact data as a spreadsheet leaves them, with uncertainties of 1 %."""
    head = f"\ufeff# exact\n{WIDTH} (nm),conductance_mS,note,uncertainty_percent"
    rows = [f"{w},{float(1e3 * conductance(w, path, specularity))!r},,1\n,,," for w in widths]
    return "\r\n".join([head, *rows, ""])


def residuals() -> list[dict[str, str]]:
    """The table of the data with the fit."""
    return list(csv.DictReader(Path("out/residuals.csv").read_text().splitlines()))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a case, data and a fit."""
    monkeypatch.chdir(tmp_path)
    Path("case.toml").write_text(CASE)
    Path("fit.toml").write_text(FIT)
    Path("data.csv").write_text(table(300, 0.2, (60, 700)), encoding="utf-8")
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


def test_exact_data_give_their_values(capsys):
    """Numbers, files and report; the fitted case gives the data; nothing is solved twice."""
    assert main(["fit", "fit.toml", "--output", "out"]) == 0
    printed = capsys.readouterr()
    found = json.loads(Path("out/fit.json").read_text())
    best = {name: p["value"] for name, p in found["parameters"].items()}
    # Data to rounding, numbers of the mesh to 1e-6, magnified by how far both are alike.
    assert best["path"] == pytest.approx(300 * NM, rel=1e-3)
    assert best["p"] == pytest.approx(0.2, abs=1e-3)
    assert found["chi2"] < 1e-5 and found["degrees_of_freedom"] == 0
    # Uncertainties from the closed form.
    at, step = np.array([300.0, 0.2]), np.array([0.3, 2e-4])
    slopes = [
        (conductance(w, *(at + e)) - conductance(w, *(at - e)))
        / (2 * e.sum() * 0.01 * conductance(w, *at))
        for w in (60, 700)
        for e in np.diag(step)
    ]
    J = np.reshape(slopes, (2, 2))
    error = np.sqrt(np.diag(np.linalg.inv(J.T @ J)))
    errors = [p["standard_error"] for p in found["parameters"].values()]
    assert errors == pytest.approx([error[0] * NM, error[1]], rel=1e-2)
    assert "path" in printed.out and "chi^2" in printed.out and "± " in printed.out
    assert sorted(p.name for p in Path("out").iterdir()) == [
        *("case.toml", "evaluations.jsonl", "fit.json", "fit.png", "report.html"),
        "residuals.csv",
    ]
    rows = residuals()
    assert [float(row[WIDTH]) for row in rows] == [60, 700]
    page = Page(Path("out/report.html"))
    assert len(page.images) == 1 and page.record() == found
    assert {p["standard_error"] for p in found["parameters"].values()} <= set(page.numbers)
    solved = run(Case.load("out/case.toml", {WIDTH: 700}))
    # On its own mesh, which is another one.
    assert solved.conductance_matrix[0, 0] == pytest.approx(float(rows[1]["fit"]), rel=1e-5)
    assert "fitted: " in Path("out/case.toml").read_text()
    picture = imread("out/fit.png")[..., :3]
    assert 0.005 < (picture < 0.95).any(axis=2).mean() < 0.95
    again = fit("fit.toml", directory="out", figures=False)
    assert again.evaluations == 0 and again.values == best
    lines = Path("out/evaluations.jsonl").read_text().splitlines()
    # As an interrupted fit leaves it: half a line at the end.
    Path("out/evaluations.jsonl").write_text("\n".join([*lines[:-3], lines[-3][:50]]))
    assert 0 < fit("fit.toml", directory="out", figures=False).evaluations <= 4
    Path("fit.toml").write_text(FIT.replace("mean_free_path", "fermi_energy").replace('m"', 'eV"'))
    assert main(["fit", "fit.toml", "--output", "out"]) == 2
    assert "holds a fit of other cases or parameters" in capsys.readouterr().err


def test_profile_along_a_probe_with_a_resolution():
    """A current density seen with 30 nm; its profile likelihood is a parabola."""
    solved = run(Case.load("case.toml", {"boundaries.edges.wall.specularity": 0.4}))
    s = np.array([0.0, 50.0])
    places = np.column_stack([np.full(2, 10.0), s - 50]) * NM
    seen = solved.sample(places, resolution=30 * NM)["current_density"][:, 0]
    rows = "".join(f"{x},{j!r},{0.01 * j!r}\n" for x, j in zip(s, seen.tolist(), strict=True))
    Path("data.csv").write_text(f"s_nm,current_density.x_A_per_m,uncertainty_A_per_m\n{rows}")
    text = FIT.replace('file = "data.csv"', 'file = "data.csv"\nprobe = "across"')
    start, end = text.index("[parameters.path]"), text.index("[parameters.p]")
    Path("fit.toml").write_text(text[:start] + text[end:])
    found = fit("fit.toml", settings={"fit.profile": True}, directory="out")
    assert found.values["p"] == pytest.approx(0.4, abs=1e-4)
    (curve,) = found.profiles
    low, high = curve.interval
    assert high - low == pytest.approx(2 * 1.96 * found.errors["p"], rel=0.1)
    assert Path("out/profiles.png").is_file()
    row = residuals()[0]
    assert row["output"] == "current_density.x" and row["unit"] == "A/m"


BAD_FILES = [
    ({"parameters.path.key": "flow.order"}, ["parameters.path.key", "flow.order", "choice of the"]),
    ({"parameters.path.key": "materials.sheet.odor"}, ["materials.sheet.odor", "no such input"]),
    ({"parameters.path.start": "1 nm"}, ["parameters.path.start", "'1 nm'", "within the bounds"]),
    ({"parameters.path.start": "1 V"}, ["parameters.path.start", "potential", "expected length"]),
    ({"parameters.p.bounds": [0, 2]}, ["parameters.p.bounds", "0 … 1"]),
    ({"parameters.p.bounds": [1, 0]}, ["parameters.p.bounds", "lower"]),
    ({"parameters.p.key": {"films": "a.b"}}, ['no data "films"', "ribbons"]),
    ({"parameters.p.key": "boundaries.source.contact.potential"}, ["parameters.p", "mV"]),
    (
        {"parameters.q": {"key": "materials.sheet.mean_free_path", "start": 1e-7}},
        ["bounds", "miss"],
    ),
    ({"data.ribbons.file": "none.csv"}, ["data.ribbons.file", "no such file"]),
    ({"data.ribbons.probe": "along"}, ["case.toml", 'no probe "along"', "across"]),
    ({"data.ribbons.set.flow.order": 11}, ["case.toml", "flow.order", "found 11"]),
    (
        {"parameters.kerr": {"scale": "conduct", "start": 1}},
        ["parameters.kerr.scale", 'no column "conduct"', '"conductance_mS"'],
    ),
    ({"parameters.kerr": {"scale": {"films": "conductance"}}}, ['no data "films"', "ribbons"]),
    ({"parameters.p.scale": "conductance"}, ["parameters.p", "found key and scale"]),
    (
        {
            "parameters.p": {"scale": "conductance"},
            "parameters.path": {"scale": {"ribbons": "conductance_mS"}},
        },
        ["parameters.p.scale", "conductance_mS has the scale path already"],
    ),
    ({"parameters.q": {"start": 1, "bounds": [0, 2]}}, ["parameters.q.key: missing"]),
    ({"fit.profile": ["q"]}, ["fit.profile", 'no parameter "q"']),
    ({"fit.start": 2}, ["fit.start", "unknown key", "starts"]),
]


@pytest.mark.parametrize(("settings", "words"), BAD_FILES[:7] + BAD_FILES[8:])
def test_bad_files(settings, words):
    """One message with the file, the key, what was found and what would be right."""
    with pytest.raises(CaseError) as error:
        fit("fit.toml", settings=settings)
    for word in words:
        assert word.lower() in str(error.value).lower(), error.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{WIDTH},conductance_S,uncertainty_S\n1,1,1", ["line 1, column 1", "no unit", "_nm"]),
        (f"{WIDTH}_nm,conductance,uncertainty_S\n60,1,1", ["line 1, column 2", "no unit", "in S"]),
        (f"{WIDTH}_nm,conductance_V,uncertainty_V\n60,1,1", ["column 2", "potential", "0.05 S"]),
        (f"{WIDTH}_nm,conductance_S\n60,1", ["column 2", "no uncertainty", "uncertainty_UNIT"]),
        (f"{WIDTH}_nm,resistance.strip_S,uncertainty_S\n60,1,1", ["column 2", "50 ohm"]),
        (f"{WIDTH}_nm,conduct_S,uncertainty_S\n60,1,1", ["no such output", '"conductance"']),
        (f"{WIDTH}_nm,flow.order,conductance_S,uncertainty_S\n", ["column 2", "choice of the"]),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n\n60,nan,1", ["line 3, column 2", '"nan"']),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n60,1,0", ["line 2, column 3", "positive"]),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n60,1,-1", ["line 2, column 3", "found an"]),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n60,1,1", ["2 parameters", "only 1 numbers"]),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n60,1", ["line 2", "2 cells", "has 3"]),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n-60,1,1\n9,1,1", ["width = -60 is not permit"]),
        (f"{WIDTH}_nm;conductance_S;uncertainty_S\n60;1;1", ["semicolons", "by a point"]),
        (f"{WIDTH}_nm\tconductance_S\tuncertainty_S\n60\t1\t1", ["line 1: found tabulators"]),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n60,1,5,1", ["4 cells", "decimals have a point"]),
        (f'{WIDTH}_nm,conductance_S,uncertainty_S\n60,"1,5",1', ['"1,5"', "e.g. 1.5"]),
        (f"{WIDTH}_nm,{WIDTH} (um),conductance_S,uncertainty_S\n60,1,1,1", ["same input", "1 ("]),
        (f"{WIDTH}_K,conductance_S,uncertainty_S\n60,1,1", ["column 1", 'unknown unit "K"']),
        ("60,1,1", ["line 1: found numbers", "header"]),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S\n60,,1", ["no row has a result"]),
        (
            "materials.sheet.mean_free_path_nm,conductance_S,uncertainty_S\n9,1,1",
            ["one of the two"],
        ),
        (f"{WIDTH}_nm,conductance_S,uncertainty_S", ["header only"]),
        ("", ["empty"]),
    ],
)
def test_bad_tables(text, words, capsys):
    """The same with line and column; exit code 2."""
    rows = text.splitlines()
    if "only 1 numbers" not in words:
        rows += [rows[-1].replace("60", "80")] if rows[1:] else []  # as many data as parameters
    Path("data.csv").write_text("\n".join(rows) + "\n")
    assert main(["fit", "fit.toml", "--output", "out", "--quiet"]) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message, message
    assert not Path("out/fit.json").exists()


def test_the_same_result_in_two_columns():
    """It would count twice."""
    Path("data.csv").write_text(f"{WIDTH}_nm,conductance_S,conductance (mS)\n60,1,1\n80,1,1\n")
    with pytest.raises(CaseError, match=r"column 3.*same result as column 2 \(conductance_S\)"):
        fit("fit.toml", settings={"data.ribbons.uncertainty": "1 %"})


def test_a_fit_that_does_not_converge(capsys):
    """Exit code 3 and no result."""
    words = ["fit", "fit.toml", "--output", "out", "--set", "fit.iterations=1"]
    assert main(words) == 3
    told = capsys.readouterr().err
    assert "not at a minimum after 1 evaluations, with chi^2 " in told
    assert " at path = 280 nm, p = 0.25; give more" in told
    assert not Path("out/fit.json").exists()


def test_other_directories_and_processes(capsys, monkeypatch):
    """Files that are no fit are left alone; under mpirun there are no further processes."""
    Path("out").mkdir()
    shutil.copy("case.toml", "out/mine.toml")
    assert main(["fit", "fit.toml", "--output", "out"]) == 2
    assert "holds other files than a fit" in capsys.readouterr().err
    assert main(["fit", "fit.toml", "--jobs", "0"]) == 2
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert main(["fit", "fit.toml", "--jobs", "2"]) == 2
    assert "mpirun" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("fit.iteration=1", "fit.toml: fit.iteration: "),
        ("flow.orders=2", "case.toml: flow.orders: "),
    ],
)
def test_settings_of_the_fit_and_of_its_cases(setting, place, capsys):
    """What is no key of the file of a fit is one of its cases."""
    assert main(["fit", "fit.toml", "--output", "out", "--set", setting]) == 2
    assert f"{place}unknown key" in capsys.readouterr().err


SCALED = """
[data.scan]
case = "case.toml"
file = "scan.csv"
probe = "across"
uncertainty = "1 %"
[data.ribbons]
case = "case.toml"
file = "data.csv"
[parameters.p]
key = "boundaries.edges.wall.specularity"
start = 0.25
bounds = [0, 1]
[parameters.kerr]
scale = "current_density.x"
"""


def scan(factor: float, specularity: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Writes a profile in a unit of its own, factor times the current density; both."""
    solved = run(Case.load("case.toml", {"boundaries.edges.wall.specularity": specularity}))
    s = np.array([0.0, 20.0, 50.0])
    places = np.column_stack([np.full(3, 10.0), s - 50]) * NM
    seen = solved.sample(places, resolution=30 * NM)["current_density"][:, 0]
    rows = [f"{x},{y!r}\n" for x, y in zip(s, (factor * seen).tolist(), strict=True)]
    Path("scan.csv").write_text("s_nm,current_density.x (nrad)\n" + "".join(rows))
    return s, seen


def test_a_signal_in_a_unit_of_its_own(capsys):
    """Its scale is fitted, of any sign, with the errors of the linear theory; no more solutions.

    The column of the Jacobian is T, those of the others are c dT.
    """
    _, seen = scan(-2e-6)
    Path("data.csv").write_text(table(200, 0.4, (100,)), encoding="utf-8")
    Path("fit.toml").write_text(SCALED)
    words = ["fit", "fit.toml", "--output", "out", "--no-figures"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "scale of current_density.x (nrad)" in printed and "nrad/(A/m)" in printed
    kerr = json.loads(Path("out/fit.json").read_text())["parameters"]["kerr"]
    assert kerr["unit"] == "nrad/(A/m)" and kerr["keys"] == {}
    assert kerr["scale_of"] == {"scan": ["current_density.x (nrad)"]}
    assert kerr["value"] == pytest.approx(-2e-6, rel=1e-4)
    assert {row["unit"] for row in residuals()} == {"nrad", "S"}
    assert "scale of" in Path("out/report.html").read_text()
    found = fit("fit.toml", directory="out", figures=False)
    assert found.evaluations == 0
    assert found.values["p"] == pytest.approx(0.4, abs=1e-4)
    c = found.theta[1]
    np.testing.assert_allclose(found.jacobian[:3, 1], seen, rtol=1e-3)
    np.testing.assert_allclose(found.jacobian[:3, 1] * c, found.predictions[:3], rtol=1e-12)
    assert not found.jacobian[3, 1]
    # The other column by differences of what solves the cases.
    ahead = scan(c, 0.41)[1] * c
    assert found.jacobian[:3, 0] == pytest.approx((ahead - c * seen) / 0.01, rel=0.05)
    weighted = found.jacobian / found.observed.uncertainties[:, None]
    wanted = np.sqrt(np.diag(np.linalg.inv(weighted.T @ weighted)))
    assert list(found.errors.values()) == pytest.approx(wanted, rel=1e-6)


def test_a_scale_hides_what_only_multiplies():
    """Conductivity and scale: only their product is known, of either sign."""
    scan(-0.3)
    changes = {
        "parameters.p": {
            "key": "materials.sheet.conductivity",
            "start": "15 mS",
            "bounds": ["10 mS", "1000 S"],
        },
        "parameters.kerr.start": "-500 nrad/(kA/m)",
        "parameters.kerr.bounds": ["-1 nrad/(uA/um)", "1 nrad/(A/m)"],
    }
    text = SCALED[: SCALED.index("[data.ribbons]")] + SCALED[SCALED.index("[parameters.p]") :]
    Path("fit.toml").write_text(text)
    Path("case.toml").write_text(CASE.replace("specularity = 0.0", "specularity = 0.4"))
    found = fit("fit.toml", settings=changes)
    assert found.theta[0] * found.theta[1] == pytest.approx(-0.3 * 20e-3, rel=1e-5)
    (combination,) = found.identified.combinations
    assert combination.formula == "p · kerr"
    assert "fix p · kerr to" in found.statements[0]
    # Far from the bounds in its logarithm.
    assert not any("bound" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"parameters.kerr.start": "1 nrad"},
            ["fit.toml: parameters.kerr.start", '"1 nrad"', 'e.g. "1 nrad/(A/m)"'],
        ),
        (
            {"parameters.kerr.bounds": ["1 nrad/(V/m)", "2 nrad/(V/m)"]},
            ["fit.toml: parameters.kerr.bounds", '"1 nrad/(V/m)"', 'e.g. "1 nrad/(A/m)"'],
        ),
        (
            {"parameters.kerr.start": 1, "parameters.kerr.bounds": [2, 3]},
            ["parameters.kerr.start", "within the bounds"],
        ),
        (
            {"data.scan.uncertainty": "1 urad"},
            ["scan.csv", "current_density.x (nrad)", '"urad"; must be in "nrad"'],
        ),
    ],
)
def test_bad_scales(settings, words):
    """What only the first results can tell."""
    Path("scan.csv").write_text("s_nm,current_density.x (nrad)\n20,1\n50,2\n")
    text = SCALED[: SCALED.index("[data.ribbons]")] + SCALED[SCALED.index("[parameters.p]") :]
    Path("fit.toml").write_text(text)
    with pytest.raises(CaseError) as error:
        fit("fit.toml", settings=settings)
    for word in words:
        assert word in str(error.value), error.value
