"""Errors that the mesh leaves in the numbers of ohmic and hydrodynamic runs."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meso
from meso import Case, Result
from meso.cli import main
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.exact import Ribbon
from meso.gradients import with_errors

ROOT = Path(__file__).parents[1]
LENGTH, WIDTH, PATH = 100e-9, 50e-9, 20e-9
SIGMA = 0.01


def settings(**flow: Any) -> dict[str, Any]:
    """A coarse ribbon between two contacts."""
    return {
        "geometry": {
            "file": str(ROOT / "geometries" / "ribbon.geo"),
            "length_unit": "nm",
            "parameters": {"length": 100, "width": 50},
        },
        "mesh": {"size": "25 nm", "wall_size": "12 nm"},
        "materials": {
            "metal": {
                "carriers": "2d",
                "conductivity": f"{SIGMA} S",
                "vorticity_diffusion_length": "20 nm",
                "fermi_energy": "1 eV",
            }
        },
        "regions": {"metal": "metal"},
        "boundaries": {
            "source": {"contact": {"potential": "1 mV"}},
            "drain": {"contact": {"potential": "0 V"}},
            "edges": {"wall": {"slip_length": "10 nm"}},
        },
        "flow": {"model": "hydrodynamic", "order": 2, **flow},
    }


def film() -> dict[str, Any]:
    """The same in space."""
    given = settings(estimate=True)
    given["geometry"] |= {
        "file": str(ROOT / "geometries" / "film.geo"),
        "parameters": {"length": 100, "width": 50, "thickness": 50, "layers": 4, "size": 25},
    }
    del given["mesh"]
    given["materials"]["metal"] |= {"carriers": "3d", "conductivity": f"{SIGMA} S/m"}
    given["boundaries"] |= {
        "surfaces": {"wall": {"slip_length": "10 nm"}},
        "sides": {"wall": {"slip_length": "1 km"}},
    }
    del given["boundaries"]["edges"]
    return given


def conductance() -> float:
    """Of the ribbon; of the film per width."""
    return Ribbon(width=WIDTH, diffusion_length=PATH, slip_rate=1e8, drive=SIGMA).current / LENGTH


@pytest.fixture(scope="module")
def plane() -> Result:
    return meso.run(Case.from_dict(settings(estimate=True)))


def test_the_error_is_covered(plane: Result) -> None:
    """In the plane: within a factor of two and not below the error."""
    (name,) = (n for n in plane.mesh_errors if n.startswith("conductance_S"))
    error = abs(plane.conductance_matrix[0, 0] - conductance())
    assert error > 1e-8 * conductance()
    assert error < plane.mesh_errors[name] < 2 * error


@pytest.mark.parametrize("order", [3, 4])
def test_contacts_at_a_slant(tmp_path: Path, order: int) -> None:
    """A channel whose ends are 8 degrees off: J ~ r^0.08 and r^0.1 at their corners.

    The error falls so slowly that degree 9 on the same mesh still has three quarters of it.
    """
    (tmp_path / "slant.geo").write_text(
        "Point(1) = {0, 0, 0}; Point(2) = {150, 0, 0}; Point(3) = {158, 60, 0};"
        "Point(4) = {8, 60, 0}; Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4};"
        "Line(4) = {4, 1}; Curve Loop(1) = {1:4}; Plane Surface(1) = {1};"
        'Physical Curve("source") = {4}; Physical Curve("drain") = {2};'
        'Physical Curve("edges") = {1, 3}; Physical Surface("metal") = {1};'
    )
    given = settings(order=order, estimate=True)
    given["geometry"] = {"file": str(tmp_path / "slant.geo"), "length_unit": "nm"}
    given["materials"]["metal"]["vorticity_diffusion_length"] = "100 nm"
    found = meso.run(Case.from_dict(given))
    finer = Case.from_dict(given, overrides={"flow.order": 9, "flow.estimate": False})
    error = abs(found.conductance_matrix - meso.run(finer, device=found.device).conductance_matrix)
    assert 2 < found.mesh_errors["conductance_S"] / error[0, 0] < 10


def test_nobody_asked() -> None:
    """In Python somebody has to."""
    assert not meso.run(Case.from_dict(settings())).mesh_errors


def test_highest_degree() -> None:
    """There is no degree more: the result stays, and it is said that its errors are not known."""
    told: list[str] = []
    case = Case.from_dict(settings(order=10, estimate=True))
    result = meso.run(case, progress=told.append)
    assert result.contacts["source"].current > 0 and result.mesh_errors == {}
    assert any("errors of the mesh are not known" in text for text in told)


def test_given_potentials_have_none(plane: Result) -> None:
    assert {"source.current_A", "drain.current_A", "dissipated_power_W"} < set(plane.mesh_errors)
    assert "source.potential_V" not in plane.mesh_errors
    assert any("orbital_moment" in name for name in plane.mesh_errors)


def test_where_they_are_said(plane: Result) -> None:
    """Beside every number of the table, in summary.json, and in a sweep's columns."""
    text = plane.table()
    assert "error of mesh" in text
    assert text.count(" ± ") == 1 + len(plane.edge_moments)
    found = json.loads(json.dumps(plane.summary()))["mesh"]["estimated_errors"]
    assert found == pytest.approx(dict(plane.mesh_errors))


def profile(path: float = PATH, slip: float = 1e-8) -> dict[str, tuple[float, float]]:
    """Smallest and largest values of current density and |vorticity|."""
    exact = Ribbon(
        width=WIDTH, diffusion_length=path, slip_rate=1 / slip, drive=SIGMA * 1e-3 / LENGTH
    )
    J, edge = exact.current_density([0, WIDTH / 2]), exact.curl(WIDTH / 2) / ELEMENTARY_CHARGE
    return {"current_density": (J[1], J[0]), "vorticity": (-abs(edge), abs(edge))}


def extrema_over_errors(solved: Result, exact: dict[str, tuple[float, float]]) -> list[float]:
    """Estimate over error of extrema whose closed form is known."""
    out = []
    for name, both in exact.items():
        found = solved.extrema[name]
        for key, value, true in zip(("min", "max"), (found.low, found.high), both, strict=True):
            column = f"extrema.{name}.{key}_{solved.fields[name].unit}"
            if abs(value - true) > 1e-9 * abs(true):
                out.append(solved.mesh_errors[column] / abs(value - true))
    return out


def test_extrema(plane: Result) -> None:
    """Peaks of current and vorticity, the latter at edges; nothing is left without an error."""
    found = extrema_over_errors(plane, profile())
    assert len(found) == 4 and min(found) > 1 and np.median(found) < 10
    assert plane.without_estimate == ()
    assert any(n.startswith("extrema.orbital_density.max") for n in plane.mesh_errors)


@pytest.mark.thorough
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_extrema_of_many(order: int) -> None:
    """Coarse and finer cells, layers that are thick and thin, slip that is little and much."""
    found = []
    for size, path, slip in product((50, 15), (5, 20, 100), (1, 10, 100)):
        given = settings(order=order, estimate=True)
        given["mesh"] = {"size": f"{size} nm", "wall_size": f"{size / 3} nm"}
        given["materials"]["metal"]["vorticity_diffusion_length"] = f"{path} nm"
        given["boundaries"]["edges"] = {"wall": {"slip_length": f"{slip} nm"}}
        exact = profile(path * 1e-9, slip * 1e-9)
        found += extrema_over_errors(meso.run(Case.from_dict(given)), exact)
    assert len(found) > 30
    assert np.mean(np.array(found) >= 1) > 0.95 and np.median(found) < 10


def test_recovered_in_space() -> None:
    """In 3D: not below the error, and within a factor of twenty."""
    solved = meso.run(Case.from_dict(film()))
    peaks = extrema_over_errors(solved, {"current_density": profile()["current_density"]})
    assert len(peaks) == 2 and 1 < min(peaks) < 20
    assert not [name for name in solved.without_estimate if name.startswith("extrema")]
    error = abs(solved.conductance_matrix[0, 0] - conductance() * WIDTH)
    assert error < solved.mesh_errors["conductance_S"] < 20 * error
    sides = [e for name, e in solved.mesh_errors.items() if "orbital_moment" in name]
    assert sides and min(sides) > 0


def test_decay_lengths() -> None:
    """Of a spin density between edges, X'' = X/decay^2: covered, in summary.json as well."""
    given = settings(order=3, estimate=True)
    given["mesh"] = {"size": "25 nm", "wall_size": "25 nm"}
    given["geometry"]["thickness"] = "5 nm"
    given["materials"]["metal"] |= {"carriers": "3d", "conductivity": f"{SIGMA / 5e-9} S/m"}
    given["angular_momentum"] = {
        "spin": {
            "components": ["z"],
            "hall_conductivity": "1e5 (hbar/2e) S/m",
            "diffusivity": "2e-4 m^2/s",
            "diffusion_length": "15 nm",
            "susceptibility": "2.7e-21 J s^2/m^3",
        },
        "coupling": "one-way",
    }
    solved = meso.run(Case.from_dict(given))
    assert solved.angular_momentum is not None
    for i, (decay, piece) in enumerate(
        zip(
            solved.angular_momentum.decays["spin_z"],
            solved.angular_momentum.moments["spin_z"],
            strict=True,
        )
    ):
        assert decay is not None and piece.wall == "edges"
        error = abs(decay.length - 15e-9)
        estimate = solved.mesh_errors[f"edges.{i + 1}.spin_z.decay_length_m"]
        assert 1e-14 < error < estimate < 20 * error
        row = solved.summary()["angular_momentum"]["walls"]["edges"][i]["spin_z"]
        assert row["fitted_decay_length_error_mesh_m"] == estimate
    assert solved.mesh_errors["inverse.source.short_circuit_current_A"] > 0


@pytest.mark.parametrize(
    "model", [pytest.param("ohmic", marks=pytest.mark.thorough), "hydrodynamic"]
)
def test_angular_momentum_in_space(model: str) -> None:
    """Where it is asked for: not below the error of the moment that the surfaces have.

    Across the film D X'' = X D/decay^2, J_H - D X' = V X at the surfaces; of its square section a
    quarter is nearest to each.
    """
    given = film()
    given["flow"]["model"] = model
    decay, D, V, half = 15e-9, 2e-4, 2e4, WIDTH / 2
    given["angular_momentum"] = {
        "spin": {
            "components": ["y"],
            "hall_conductivity": "1e5 (hbar/2e) S/m",
            "diffusivity": f"{D} m^2/s",
            "diffusion_length": f"{decay} m",
            "susceptibility": "2.7e-21 J s^2/m^3",
            "boundaries": {"surfaces": {"relaxation_velocity": f"{V} m/s"}},
        },
        "coupling": "one-way",
    }
    solved = meso.run(Case.from_dict(given))
    assert not [n for n in solved.without_estimate if not n.startswith(("extrema", "probe"))]
    assert "inverse.source.short_circuit_current_A" in solved.mesh_errors
    hall = 1e5 * 1e-3 / LENGTH / (2 * ELEMENTARY_CHARGE)  # over hbar
    high = hall / (D / decay * np.cosh(half / decay) + V * np.sinh(half / decay))
    high *= decay * half * np.cosh(half / decay) - decay**2 * np.sinh(half / decay)
    name = "surfaces.1.spin_y.diffusive_moment_hbar"
    assert solved.angular_momentum is not None
    found = next(m for m in solved.angular_momentum.moments["spin_y"] if m.wall == "surfaces")
    assert isinstance(found.moment, float)
    error = abs(abs(found.moment) / HBAR - 2 * LENGTH * high)
    assert 1e-4 < error < solved.mesh_errors[name] < 10 * error


@pytest.mark.parametrize("estimate", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_two_way_in_space(estimate: bool) -> None:
    """Where angular momentum acts back: not below what two degrees more change, or none is told."""
    given = film()
    given["flow"] |= {"model": "ohmic", "estimate": estimate}
    given["materials"]["metal"]["conductivity"] = "1e6 S/m"
    given["angular_momentum"] = {
        "spin": {
            "components": ["y"],
            "hall_conductivity": "3e5 (hbar/2e) S/m",
            "diffusivity": "2e-4 m^2/s",
            "diffusion_length": "15 nm",
            "susceptibility": "2.7e-21 J s^2/m^3",
        },
        "coupling": "two-way",
    }
    solved, name = meso.run(Case.from_dict(given)), "source.current_A"
    if not estimate:
        solved = with_errors(solved)
        assert name in solved.without_estimate and not solved.mesh_errors
        return
    given["flow"] |= {"order": solved.flow.order + 2, "estimate": False}
    better = meso.run(Case.from_dict(given))
    error = abs(better.contacts["source"].current - solved.contacts["source"].current)
    assert 1e-6 * abs(solved.contacts["source"].current) < error < solved.mesh_errors[name]


@pytest.mark.thorough
def test_beyond_a_corner() -> None:
    """Two walls end at a sharp step: their moments on two meshes differ by less than is told."""
    place = ROOT / "demos" / "step_channel" / "step_channel.geo"
    given = settings(estimate=True)
    given["geometry"] |= {"file": str(place), "parameters": {}}
    given["boundaries"]["walls"] = given["boundaries"].pop("edges")
    found = []
    for size in ("30 nm", "20 nm"):
        given["mesh"] = {"size": size}
        found.append(meso.run(Case.from_dict(given)))
    name = "walls.2.orbital_moment_hbar_per_m"
    pieces = [result.edge_moments[1] for result in found]
    one, other = (float(np.sum(p.moment)) / HBAR / p.measure for p in pieces)
    error = found[0].mesh_errors[name] + found[1].mesh_errors[name]
    assert abs(one - other) < error < 5e-3 * abs(one)


@pytest.mark.parametrize(("wish", "told"), [({}, True), ({"estimate": False}, False)])
def test_by_default(tmp_path: Path, wish: dict[str, bool], told: bool) -> None:
    """``meso run`` estimates where it is cheap."""
    case = Case.from_dict(settings(**wish))
    (tmp_path / "case.toml").write_text(case.to_toml())
    words = ["run", str(tmp_path / "case.toml"), "--output", str(tmp_path / "out"), "--no-figures"]
    assert main([*words, "--quiet"]) == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert ("estimated_errors" in found["mesh"]) == told
