"""Every demo on one to four ranks: the same numbers in its files.

Started by mpirun, this file solves all of them in one process a rank, on coarser meshes where a
demo takes long, and devices so small that ranks own no facet of a wall, or no cell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import thorough
from mpi4py import MPI

import meso

ROOT = Path(__file__).parents[2]
DEMOS = [path.parent.name for path in sorted((ROOT / "demos").glob("*/case.toml"))]

# Those that CI has time for: every model and coupling, and each kind of drawing.
FEW = (
    *("bilayer", "chromium", "focusing", "graded", "hall_bar", "magnetic_ribbon"),
    *("point_contact", "step_3d", "step_channel"),
)

# What makes a demo cheap: the same code on fewer cells, or with fewer harmonics.
CHEAPER = {
    "bend": ["mesh.wall_size=5 nm"],
    "bilayer": ["flow.order=2", "mesh.wall_size=10 nm"],
    "cad": ["mesh.wall_size=5 nm"],
    "chromium": ["mesh.wall_size=4 nm"],
    "constriction": ["mesh.wall_size=5 nm"],
    "double_chamber": ["mesh.wall_size=15 nm"],
    "ballistic_slit": ["flow.tolerance=0.05"],
    "focusing": ["flow.tolerance=0.02"],
    "hexagon": ["flow.tolerance=0.05"],
    "fuchs_sondheimer": ["flow.harmonics=8"],
    "graded": ["mesh.wall_size=5 nm"],
    "hall_bar": ["mesh.wall_size=15 nm", "flow.order=3"],
    "magnetic_ribbon": ["flow.harmonics=8"],
    "nonlocal": ["mesh.wall_size=1 nm"],
    "point_contact": ["flow.harmonics=4", "flow.estimate=false", "mesh.wall_size=25 nm"],
    "ribbon": ["mesh.wall_size=5 nm"],
    "slit": ["flow.order=2", "mesh.wall_size=50 nm"],
    "step_3d": ["mesh.size=60 nm", "mesh.wall_size=25 nm"],
    "step_channel": ["mesh.adapt.steps=2"],
    "titanium_film": ["flow.harmonics=8"],
    "vicinity": ["flow.order=2", "mesh.wall_size=50 nm"],
    "whirlpool": ["flow.harmonics=4", "flow.estimate=false"],
}

# Rounding in another order, magnified by the conditioning of the systems.
RELATIVE = 1e-9
# Opposite edges of a ribbon have opposite densities, whose losses cancel but for rounding.
CANCELLED = {"chromium": ["loss"], "titanium": ["loss"]}
# The iterations of 3D stop at residuals of 1e-10, each number of ranks at one of its own.
ITERATIVE = {"step_3d": 1e-7, "iterated": 1e-7}
# The kinetic model has other factors on one rank than on several, and ranks add in the order in
# which they come: three runs on four ranks differ among themselves by 1e-8 in the potential.
ITERATIVE |= dict.fromkeys(("point_contact", "whirlpool", "iterative"), 5e-8)

serial = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")


def environment() -> dict[str, str]:
    """Without what pytest's own MPI told its environment; ranks that wait leave the processor."""
    skipped = ("OMPI_COMM", "PMIX_", "OMPI_UNIVERSE")
    out = {name: value for name, value in os.environ.items() if not name.startswith(skipped)}
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [out.get("PYTHONPATH")])]
    return {**out, "PYTHONPATH": os.pathsep.join(paths), "OMPI_MCA_mpi_yield_when_idle": "1"}


def launched(ranks: int, *words: str, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, "-W", "ignore", *words],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        env=environment(),
        check=False,
    )


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Any:
    """Folder of the results of all demos, or of few, by the number of ranks."""
    demos = DEMOS if pytestconfig.getoption("thorough") else FEW

    @cache
    def of(ranks: int) -> Path:
        folder = tmp_path_factory.mktemp(f"on{ranks}")
        done = launched(ranks, __file__, str(folder), *demos, seconds=800)
        assert done.returncode == 0, done.stderr[-3000:]
        return folder

    return of


@serial
@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("demo", DEMOS)
def test_demos_do_not_depend_on_the_number_of_ranks(
    solved: Any, demo: str, ranks: int, pytestconfig: pytest.Config
) -> None:
    """On two and three ranks, and for most demos, with ``--thorough``."""
    if (ranks < 4 or demo not in FEW) and not pytestconfig.getoption("thorough"):
        pytest.skip("with --thorough")
    one, many = solved(1) / demo, solved(ranks) / demo
    assert json.loads((many / "summary.json").read_text())["mesh"]["ranks"] == ranks
    assert (many / "report.html").is_file()
    assert {p.relative_to(one) for p in one.rglob("*.csv")} == {
        p.relative_to(many) for p in many.rglob("*.csv")
    }
    wanted, found = numbers(one), numbers(many)
    for name in CANCELLED.get(demo, ()):
        del wanted[name], found[name]
    compare(wanted, found, ITERATIVE.get(demo, RELATIVE))


def numbers(folder: Path) -> dict[str, np.ndarray]:
    """Numbers of a result in groups of like quantities, which share their size."""
    summary = json.loads((folder / "summary.json").read_text())
    out: dict[str, list[float]] = {}
    for path, value in leaves(summary):
        out.setdefault(group(path), []).append(value)
    # An error is relative already.
    out["relative"] = [1.0, *out.get("relative", [])]
    # No current flows through a voltmeter: what is left of it is rounding of conductances.
    volts = max((abs(c["potential_V"]) for c in summary["contacts"].values()), default=0.0)
    for key in [k for k in summary if k.startswith("conductance_matrix_S")]:
        size = volts * np.abs(summary[key]).max()
        out.setdefault("current", []).append(float(f"{size:.9e}"))
    tables: dict[str, list[np.ndarray]] = {}
    for path in sorted(folder.rglob("*.csv")):
        rows = np.genfromtxt(path, delimiter=",", names=True)
        for column in rows.dtype.names or ():
            tables.setdefault(f"{path.parent.name} {kind(column)}", []).append(
                np.ravel(rows[column])
            )
    return {k: np.array(v, dtype=float) for k, v in out.items()} | {
        k: np.concatenate(v) for k, v in tables.items()
    }


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Numbers of a summary but those that tell about the run itself, or are rounding."""
    skipped = {"versions", "wall_clock_s", "warnings", "ranks", "solver", "case_hash"}
    # A sum of all currents; a remainder of a balance; what is left of a bound's conditions; the
    # error of a fit, which is a difference of nearly equal numbers.
    skipped |= {"imbalance_relative", "lower_leak_relative", "fitted_decay_length_uncertainty_m"}
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in skipped:
                yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def group(path: tuple[str, ...]) -> str:
    """Like quantities: of all contacts, of all walls, minimum and maximum of a field."""
    last = kind(path[-1])
    if path[0] == "extrema":
        return f"extrema {path[1]}"
    if path[0] == "convergence" and path[1].startswith("estimated_error"):
        return "relative"
    if last in ("center_m", "length_m"):
        return "places"
    if path[-2:-1] in (("relaxed_J_per_m",), ("outflow_J_per_m",)):
        return "loss"
    return last if last == "current" else f"{path[0]} {last}"


def kind(name: str) -> str:
    """The field that a column is a component of; currents of every key."""
    for start in ("inverse_current_density", "current_density", "vorticity", "orbital_density"):
        if name.startswith(start):
            return start + ("_hbar" if "hbar" in name else "")
    return "current" if name.startswith("current_") else name


def compare(wanted: dict[str, np.ndarray], found: dict[str, np.ndarray], relative: float) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name].shape == values.shape, name
        size = np.nanmax(np.abs(values), initial=0.0)
        np.testing.assert_allclose(
            found[name], values, rtol=0, atol=relative * size, err_msg=name, equal_nan=True
        )


STRIP = """
Point(1) = {0, 0, 0}; Point(2) = {400, 0, 0}; Point(3) = {400, 100, 0}; Point(4) = {0, 100, 0};
Point(5) = {200, 50, 0}; Point(6) = {202, 50, 0}; Point(7) = {198, 50, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Circle(5) = {6, 5, 7}; Circle(6) = {7, 5, 6};
Curve Loop(1) = {1:4}; Curve Loop(2) = {5, 6}; Plane Surface(1) = {1, 2};
Physical Surface("metal") = {1}; Physical Curve("source") = {4}; Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3}; Physical Curve("hole") = {5, 6};
"""
# Two triangles: two of four ranks have no cell.
TRIANGLES = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
4
1 1 "source"
1 2 "drain"
1 3 "edges"
2 4 "metal"
$EndPhysicalNames
$Nodes
4
1 0 0 0
2 100 0 0
3 100 50 0
4 0 50 0
$EndNodes
$Elements
6
1 1 2 1 4 4 1
2 1 2 2 2 2 3
3 1 2 3 1 1 2
4 1 2 3 3 3 4
5 2 2 4 1 1 2 3
6 2 2 4 1 1 3 4
$EndElements
"""
CASE = """
[geometry]
file = "{file}"
length_unit = "nm"
[materials.gas]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "10 nm"
fermi_energy = "1 eV"
fermi_wavevector = "1.4e8 1/m"
[regions]
metal = "gas"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.5 }} }}
{more}
[output.probes]
along = {{ from = ["0 nm", "20 nm"], to = ["100 nm", "20 nm"], points = 5 }}
"""
HOLE = 'hole = { wall = { specularity = 0 } }\n[flow]\nmodel = "hydrodynamic"\norder = 3\n'
SPIN = """
[flow]
model = "ohmic"
[angular_momentum]
coupling = "two-way"
[angular_momentum.spin]
components = ["z"]
hall_conductivity = "1.6e-3 (hbar/2e) S"
diffusivity = "2e-4 m^2/s"
diffusion_length = "10 nm"
susceptibility = "2.7e-30 J s^2/m^2"
boundaries = { source = "reservoir", drain = "reservoir" }
"""
KINETIC = '[flow]\nmodel = "kinetic"\nharmonics = 4\n'
SMALL = {
    "strip with a hole": ("strip.geo", HOLE),
    "hydrodynamic": ("two.msh", '[flow]\nmodel = "hydrodynamic"\n'),
    "iterated": ("two.msh", '[flow]\nmodel = "hydrodynamic"\nsolver = "iterative"\n'),
    "two-way": ("two.msh", SPIN),
    "bounds": ("two.msh", KINETIC + "bounds = true\nestimate = true\n"),
    "iterative": ("two.msh", KINETIC + 'solver = "iterative"\nbounds = true\n'),
    "field": ("two.msh", KINETIC + 'solver = "iterative"\nmagnetic_field = "0.1 T"\n'),
}
# Pictures from the empty files of ranks without cells.
DRAWN = ("hydrodynamic",)


def small(folder: Path) -> None:
    """Devices so small that a rank owns nothing of a wall, or nothing at all."""
    if MPI.COMM_WORLD.rank == 0:
        (folder / "strip.geo").write_text(STRIP)
        (folder / "two.msh").write_text(TRIANGLES)
        for name, (file, more) in SMALL.items():
            (folder / f"{name}.toml").write_text(CASE.format(file=file, more=more))
    MPI.COMM_WORLD.Barrier()
    for name in SMALL:
        result = meso.run(meso.Case.load(folder / f"{name}.toml"))
        result.save(folder / name, figures=name in DRAWN)


@serial
@pytest.mark.parametrize("ranks", [thorough(2), 4])
@pytest.mark.parametrize("case", SMALL)
def test_ranks_without_walls_or_cells(solved: Any, case: str, ranks: int) -> None:
    """Two triangles on four ranks; a strip with a hole smaller than the part of any rank."""
    one, many = solved(1) / case, solved(ranks) / case
    compare(numbers(one), numbers(many), ITERATIVE.get(case, RELATIVE))
    pictures = [sorted(p.name for p in at.glob("figures/*")) for at in (one, many)]
    assert pictures[0] == pictures[1]
    assert bool(pictures[0]) == (case in DRAWN)


def everything(folder: Path, demos: list[str]) -> None:
    small(folder)
    for name in demos:
        case = ROOT / "demos" / name / "case.toml"
        meso.run(meso.Case.load(case, CHEAPER.get(name, ()))).save(folder / name, figures=False)


if __name__ == "__main__":
    everything(Path(sys.argv[1]), sys.argv[2:])
