"""What a run leaves: the directory as a whole, and every number, unit and header in it.

Most numbers are those of a ribbon of 100 nm x 200 nm under 1 mV in the ohmic model, where the
potential is linear: V (1 - x/L) and J = sigma V/L everywhere. It is in the spaces of the solver,
so that only rounding is left.
"""

import json
import os
import signal
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES
from helpers import Page, read_vtu, table
from mpi4py import MPI
from test_cli import everything, here, summary, write_case  # noqa: F401 (here: a fixture)

import meso
from meso import Case, CaseError
from meso.cli import main
from meso.constants import HBAR
from meso.exact import Ribbon

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="files of one rank")

# A direct solve of a few hundred unknowns: rounding (1e-16) times the condition number (1e4).
ROUNDING = 1e-11

CROSS = {
    "geometry": {
        "file": str(GEOMETRIES / "cross.geo"),
        "length_unit": "nm",
        "parameters": {"width": 100, "length": 400, "fillet": 20},
    },
    "mesh": {"size": "50 nm"},
    "flow": {"model": "ohmic", "order": 2},
    "output.probes": {},
}


def run(*words, code=0, **changes):
    """Run the tiny case with changes, quietly and without pictures; returns summary.json."""
    write_case(**changes)
    assert main(["run", "case.toml", "--quiet", "--no-figures", *words]) == code
    folder = words[words.index("--output") + 1] if "--output" in words else "out"
    return summary(folder) if code == 0 else None


def contents(folder="out"):
    """Bytes of every file of a directory."""
    return {str(p): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def near(value, wanted, relative=ROUNDING):
    """Equal to a relative tolerance, with no absolute one: SI numbers may be small."""
    return value == pytest.approx(wanted, rel=relative, abs=0)


# --- what is there


def test_the_whole_directory():
    """Exactly what the design lists, nothing beside it."""
    write_case()
    assert main(["run", "case.toml", "--quiet"]) == 0
    assert everything() == sorted(
        [
            "case.toml",
            "out",
            *(f"out/{name}" for name in ("case.toml", "report.html", "summary.json")),
        ]
        + ["out/fields.pvd", "out/fields", "out/fields/part0.vtu", "out/paraview_state.py"]
        + ["out/boundaries.pvd", "out/boundaries", "out/boundaries/part0.vtu"]
        + ["out/probes", "out/probes/across.csv", "out/edges", "out/edges/edges.csv"]
        + ["out/figures"]
        + [
            f"out/figures/{name}.png"
            for name in ("current", "potential", "orbital_density", "edges", "probe_across")
        ]
    )
    assert 'file="fields/part0.vtu"' in Path("out/fields.pvd").read_text()
    assert len(Page(Path("out/report.html")).images) == 5


def test_keys_of_the_summary():
    numbers = run()
    assert set(numbers) == {
        *("title", "case_hash", "versions", "model", "order", "mesh", "solver", "contacts"),
        *("conductance_matrix_contacts", "conductance_matrix_S", "dissipated_power_W"),
        *("walls", "extrema", "closed_form", "wall_clock_s", "warnings", "files"),
    }
    assert numbers["case_hash"] == Case.load("case.toml").hash
    assert {"meso", "dolfinx", "petsc", "gmsh"} <= set(numbers["versions"])
    mesh = numbers["mesh"]
    assert mesh["cells"] > 10
    assert mesh["dofs"] > mesh["cells"]
    assert 0 < mesh["h_min_m"] < 100e-9
    assert near(mesh["area_m2"], 2e-14)
    solver = numbers["solver"]
    assert solver["converged"] is True
    assert solver["method"].startswith("MUMPS")
    assert 0 <= solver["residual"] < 1e-8  # the limit of the solver
    assert 0 <= solver["sum_of_currents_relative"] < ROUNDING
    assert solver["divergence_relative"] > 0
    assert set(numbers["wall_clock_s"]) == {"mesh", "solve", "orbital"}
    assert all(0 < seconds < 600 for seconds in numbers["wall_clock_s"].values())
    assert len(numbers["warnings"]) == 1  # coarse cells at the wall
    for name, x in (("source", 0.0), ("drain", 200e-9)):
        (place,) = numbers["contacts"][name]["segments"]
        assert near(place["length_m"], 100e-9)
        # Rounding of coordinates of 1e-7 m.
        np.testing.assert_allclose(place["center_m"], [x, 0.0], rtol=0, atol=1e-18)


def test_the_summary_is_what_python_returns():
    numbers = run()
    result = meso.run(Case.load("case.toml"))
    for name, terminal in result.contacts.items():
        assert near(numbers["contacts"][name]["current_A"], terminal.current)
        assert near(numbers["contacts"][name]["potential_V"], terminal.potential)
    np.testing.assert_allclose(
        numbers["conductance_matrix_S"], result.conductance_matrix, rtol=ROUNDING, atol=0
    )
    current = result.contacts["source"].current
    assert near(numbers["dissipated_power_W"], 1e-3 * current)
    for name, field in result.fields.items():
        low, high = field.extrema()
        assert set(numbers["extrema"][name]) == {"min", "max", "unit"}
        # The potential is 0 at the drain but for rounding: of the largest value.
        assert abs(numbers["extrema"][name]["min"] - low) < ROUNDING * max(abs(low), abs(high))
        assert near(numbers["extrema"][name]["max"], high)
    assert numbers["extrema"]["vorticity"]["unit"] == "per_m2_s"
    segments = numbers["walls"]["edges"]["segments"]
    assert len(segments) == len(result.edge_moments) == 2
    for segment, moment in zip(segments, result.edge_moments, strict=True):
        per_length = moment.moment / moment.length
        assert near(segment["orbital_moment_J_s_per_m"], per_length)
        assert near(segment["orbital_moment_hbar_per_m"], per_length / HBAR)
        assert near(segment["length_m"], 200e-9)


def test_center_of_a_wall_is_its_middle():
    """As for the contacts: half way along a straight wall (rounding of 1e-7 m)."""
    for segment in run()["walls"]["edges"]["segments"]:
        x, y = segment["center_m"]
        assert abs(abs(y) - 50e-9) < 1e-18
        assert abs(x - 100e-9) < 1e-18


# --- values and units

# Carriers, conductivity, thickness -> conductance of a ribbon of L = 2 W, its J, their units.
UNITS = {
    "2d": ("2d", "20 mS", None, 0.01, 100.0, "", "A_per_m"),
    "slab": ("3d", "2e6 S/m", "10 nm", 0.01, 1e10, "", "A_per_m2"),
    "cut": ("3d", "2e6 S/m", None, 1e6, 1e10, "_per_m", "A_per_m2"),
}


@pytest.mark.parametrize("kind", UNITS)
def test_values_and_units(kind):
    carriers, conductivity, thickness, conductance, density, per, unit = UNITS[kind]
    changes = {} if thickness is None else {"geometry.thickness": thickness}
    changes |= {"materials.sheet.carriers": carriers, "flow.model": "ohmic"}
    changes["materials.sheet.scattering"] = "isotropic"
    changes["materials.sheet.conductivity"] = conductivity
    changes["output.probes"] = {
        "along": {"from": ["20 nm", "10 nm"], "to": ["180 nm", "10 nm"], "points": 9}
    }
    changes["output.resistances"] = {
        "two": {"current": ["source", "drain"], "voltage": ["source", "drain"]}
    }
    numbers = run(**changes)
    current = conductance * 1e-3
    for name, sign in (("source", 1), ("drain", -1)):
        contact = numbers["contacts"][name]
        assert set(contact) == {f"current_A{per}", "potential_V", "segments"}
        assert near(contact[f"current_A{per}"], sign * current)
    assert numbers["conductance_matrix_contacts"] == ["source", "drain"]
    np.testing.assert_allclose(
        numbers[f"conductance_matrix_S{per}"],
        conductance * np.array([[1, -1], [-1, 1]]),
        rtol=ROUNDING,
        atol=0,
    )
    assert near(numbers[f"dissipated_power_W{per}"], 1e-3 * current)
    resistances = numbers["resistances_ohm" + ("_m" if per else "")]
    assert near(resistances["two"], 1 / conductance)
    # No key of the other kind.
    other = "" if per else "_per_m"
    assert f"dissipated_power_W{other}" not in numbers
    assert f"conductance_matrix_S{other}" not in numbers
    assert near(numbers["extrema"]["current_density"]["max"], density)
    assert numbers["extrema"]["current_density"]["unit"] == unit
    columns = table("out/probes/along.csv")
    assert list(columns) == [
        *("x_m", "y_m", "s_m", f"current_density_x_{unit}", f"current_density_y_{unit}"),
        "potential_V",
    ]
    x = np.linspace(20e-9, 180e-9, 9)
    # 15 digits are written.
    np.testing.assert_allclose(columns["x_m"], x, rtol=1e-14)
    np.testing.assert_allclose(columns["y_m"], 10e-9, rtol=1e-14)
    np.testing.assert_allclose(columns["s_m"], x - 20e-9, rtol=0, atol=1e-22)
    np.testing.assert_allclose(columns["potential_V"], 1e-3 * (1 - x / 200e-9), rtol=ROUNDING)
    np.testing.assert_allclose(columns[f"current_density_x_{unit}"], density, rtol=ROUNDING)
    assert np.abs(columns[f"current_density_y_{unit}"]).max() < ROUNDING * density


# Material -> unit of L_z, of the moment per length of wall, and the thickness.
MOMENTS = {
    "2d": ("2d", "20 mS", None, "per_m2", "per_m", 1.0),
    "slab": ("3d", "2e6 S/m", "10 nm", "per_m3", "per_m", 10e-9),
    "cut": ("3d", "2e6 S/m", None, "per_m3", "per_m2", 1.0),
}


@pytest.mark.parametrize("kind", MOMENTS)
def test_orbital_numbers_and_units(kind):
    """Across a ribbon half of the moment is kappa times the difference of J there and here."""
    carriers, conductivity, thickness, per_density, per_wall, depth = MOMENTS[kind]
    changes = {} if thickness is None else {"geometry.thickness": thickness}
    changes |= {"materials.sheet.carriers": carriers, "materials.sheet.scattering": "isotropic"}
    changes["materials.sheet.conductivity"] = conductivity
    numbers = run(**changes)
    edges = table("out/edges/edges.csv")
    unit = "A_per_m" if carriers == "2d" else "A_per_m2"
    assert list(edges) == [
        *("s_m", "x_m", "y_m", f"current_density_t_{unit}"),
        "vorticity_per_m2_s" if carriers == "2d" else "vorticity_per_m3_s",
        *(f"orbital_density_J_s_{per_density}", f"orbital_density_hbar_{per_density}"),
        "segment",
    ]
    across = table("out/probes/across.csv")
    assert list(across)[-2:] == [
        f"orbital_density_J_s_{per_density}",
        f"orbital_density_hbar_{per_density}",
    ]
    for columns in (edges, across):
        np.testing.assert_allclose(
            columns[f"orbital_density_hbar_{per_density}"] * HBAR,
            columns[f"orbital_density_J_s_{per_density}"],
            rtol=1e-13,  # 15 digits are written
            atol=0,
        )
    # kappa = -hbar^2/(2 eps_F |e|), eps_F = 1 eV.
    kappa = -(HBAR**2) / (2 * 1.602176634e-19**2)
    charge = -1.602176634e-19
    vorticity = edges[list(edges)[4]]
    np.testing.assert_allclose(
        edges[f"orbital_density_J_s_{per_density}"],
        kappa * charge * vorticity,
        rtol=1e-8,  # hbar as everybody has it, to its last digits
        atol=0,
    )
    wall = numbers["walls"]["edges"]
    assert set(wall) == {
        *("length_m", "segments"),
        *(f"orbital_moment_J_s_{per_wall}", f"orbital_moment_hbar_{per_wall}"),
    }
    assert near(wall["length_m"], 400e-9)
    both = [segment[f"orbital_moment_J_s_{per_wall}"] for segment in wall["segments"]]
    mean, scale = wall[f"orbital_moment_J_s_{per_wall}"], abs(both[0])
    assert abs(mean - sum(both) / 2) < ROUNDING * scale  # walls of equal length
    assert near(wall[f"orbital_moment_hbar_{per_wall}"] * HBAR, mean)
    assert numbers["extrema"]["orbital_density"]["unit"] == f"J_s_{per_density}"
    jump = across[f"current_density_x_{unit}"]
    wanted = kappa * (jump[2] - jump[0]) * depth
    for segment, sign in zip(wall["segments"], (-1, 1), strict=True):
        y = segment["center_m"][1]
        assert y * sign > 0  # lower wall first
        found = segment[f"orbital_moment_J_s_{per_wall}"]
        assert found * wanted * sign > 0
        # Second order in cells of 25 nm and layers of 7 nm; a factor 2 pi, hbar or depth shows.
        assert near(abs(found), abs(wanted), 0.15)
        assert near(segment[f"orbital_moment_hbar_{per_wall}"] * HBAR, found)


def test_edge_profile_runs_along_each_wall():
    """Conductor on the left: the lower wall to the right, the upper one back."""
    run()
    edges = table("out/edges/edges.csv")
    assert sorted(set(edges["segment"])) == [0.0, 1.0]
    for segment in (0, 1):
        part = {name: column[edges["segment"] == segment] for name, column in edges.items()}
        assert abs(part["s_m"][0]) < 1e-18  # rounding of lengths of 2e-7 m
        assert near(part["s_m"][-1], 200e-9)
        assert (np.diff(part["s_m"]) > 0).all()
        lower = part["y_m"][0] < 0
        x = part["s_m"] if lower else 200e-9 - part["s_m"]
        np.testing.assert_allclose(part["x_m"], x, rtol=0, atol=1e-18)
        np.testing.assert_allclose(part["y_m"], -50e-9 if lower else 50e-9, rtol=ROUNDING)
        # The current flows to +x: along the tangent below, against it above.
        assert (part["current_density_t_A_per_m"] * (1 if lower else -1) > 0).all()


def test_coordinates_of_a_probe_beyond_the_device():
    """The part outside is there, with nan."""
    probe = {"from": ["100 nm", "0 nm"], "to": ["300 nm", "0 nm"], "points": 5}
    run(**{"output.probes": {"out": probe}, "flow.model": "ohmic"})
    columns = table("out/probes/out.csv")
    np.testing.assert_allclose(columns["x_m"], [1e-7, 1.5e-7, 2e-7, 2.5e-7, 3e-7], rtol=1e-14)
    assert np.isnan(columns["potential_V"]).tolist() == [False, False, False, True, True]


def test_floating_contact_and_resistances():
    """A cross: a floating arm takes the potential of the middle and no current.

    Four-terminal resistances are reciprocal: R(ab, cd) = R(cd, ab).
    """
    boundaries = {
        "left": {"contact": {"potential": "1 mV"}},
        "right": {"contact": {"potential": "0 V"}},
        "top": {"contact": {"current": "0 A"}},
        "bottom": {"contact": {"current": "2 uA"}},
        "edges": {"wall": {"specularity": 1.0}},
    }
    resistances = {
        "there": {"current": ["left", "top"], "voltage": ["right", "bottom"]},
        "back": {"current": ["right", "bottom"], "voltage": ["left", "top"]},
        "turned": {"current": ["top", "left"], "voltage": ["right", "bottom"]},
    }
    numbers = run(**CROSS, **{"boundaries": boundaries, "output.resistances": resistances})
    contacts = numbers["contacts"]
    assert contacts["top"]["current_A"] == 0
    assert contacts["bottom"]["current_A"] == 2e-6
    assert contacts["bottom"]["potential_V"] > contacts["top"]["potential_V"] > 0
    total = sum(contact["current_A"] for contact in contacts.values())
    assert abs(total) < ROUNDING * contacts["left"]["current_A"]
    r = numbers["resistances_ohm"]
    assert near(r["back"], r["there"], 1e-9)  # differences of potentials that are alike
    assert near(r["turned"], -r["there"], 1e-9)
    assert abs(r["there"]) > 0.1
    # The currents are those of the matrix, with the potentials found.
    matrix = np.array(numbers["conductance_matrix_S"])
    names = numbers["conductance_matrix_contacts"]
    found = matrix @ [contacts[name]["potential_V"] for name in names]
    wanted = [contacts[name]["current_A"] for name in names]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * max(wanted))

    boundaries["bottom"] = {"contact": {"current": "0 A"}}
    contacts = run(**CROSS, boundaries=boundaries)["contacts"]
    for name in ("top", "bottom"):
        # By symmetry; the mesh has none, its error is below 1e-3 in cells of a sixth.
        assert near(contacts[name]["potential_V"], 0.5e-3, 1e-3)


# --- periodic pairs


def test_periodic_ribbon():
    """An endless ribbon is the one between ideal contacts: the same numbers, other keys."""
    contacted = run()
    probe = table("out/probes/across.csv")
    boundaries = {
        "source": {"periodic": {"to": "drain", "voltage": "1 mV"}},
        "edges": {"wall": {"specularity": 0.0}},
    }
    numbers = run(**{"boundaries": boundaries})
    assert numbers["contacts"] == {}
    assert not [key for key in numbers if key.startswith("conductance")]
    pair = numbers["periodic"]["source"]
    assert set(pair) == {"to", "voltage_V", "current_A", "segments", "segments_to"}
    assert (pair["to"], pair["voltage_V"]) == ("drain", 1e-3)
    # Both represent the profile across equally well; cells at contacts see Nitsche's method.
    assert near(pair["current_A"], contacted["contacts"]["source"]["current_A"], 1e-4)
    assert near(numbers["dissipated_power_W"], 1e-3 * pair["current_A"])
    for key, x in (("segments", 0.0), ("segments_to", 200e-9)):
        (place,) = pair[key]
        assert near(place["length_m"], 100e-9)
        np.testing.assert_allclose(place["center_m"], [x, 0.0], rtol=0, atol=1e-18)
    form, wanted = numbers["closed_form"], contacted["closed_form"]
    assert form["name"] == wanted["name"] == "ribbon"
    for name, value in wanted.items():
        if name != "name":
            largest = np.abs(np.atleast_1d(value)).max()
            np.testing.assert_allclose(form[name], value, rtol=0, atol=ROUNDING * (largest or 1))
    for one, two in zip(
        numbers["walls"]["edges"]["segments"],
        contacted["walls"]["edges"]["segments"],
        strict=True,
    ):
        key = "orbital_moment_J_s_per_m"
        assert near(one[key], two[key], 1e-3)
    column = "current_density_x_A_per_m"
    np.testing.assert_allclose(table("out/probes/across.csv")[column], probe[column], rtol=1e-3)


def test_periodic_given_current(capsys):
    boundaries = {
        "source": {"periodic": {"to": "drain", "current": "3 uA"}},
        "edges": {"wall": {"specularity": 1.0}},
    }
    write_case(**{"boundaries": boundaries, "flow.model": "ohmic"})
    assert main(["run", "case.toml", "--no-figures"]) == 0
    pair = summary("out")["periodic"]["source"]
    assert near(pair["current_A"], 3e-6)
    assert near(pair["voltage_V"], 3e-4)  # 0.01 S
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.strip().startswith("source")]
    assert line.split() == ["source", "3e-06", "0.0003"]
    assert "periodic" in said
    assert "contact " not in said


def test_moments_know_the_walls_beyond_a_period():
    """A ribbon cut obliquely: near its ends the nearest wall lies in the next period.

    The moment of each wall is that of a ribbon, kappa (J_centre - J_wall) per length.
    """
    Path("oblique.geo").write_text(OBLIQUE)
    boundaries = {
        "left": {"periodic": {"to": "right", "voltage": "1 mV"}},
        "walls": {"wall": {"specularity": 0.0}},
    }
    numbers = run(
        **{
            "geometry": {"file": "oblique.geo", "length_unit": "nm"},
            "materials.sheet.mean_free_path": "200 nm",  # vorticity fills the ribbon
            "mesh": {"size": "10 nm"},
            "boundaries": boundaries,
            "output.probes": {},
        }
    )
    material = Case.load("case.toml").materials["sheet"]
    ribbon = Ribbon(
        width=100e-9,
        diffusion_length=material.vorticity_diffusion_length,
        slip_rate=material.slip_rate(0.0),
        drive=material.conductivity * 1e-3 / 200e-9,
    )
    wanted = abs(material.orbital_coupling * ribbon.half_moment)
    for segment, sign in zip(numbers["walls"]["walls"]["segments"], (1, -1), strict=True):
        # The mesh, and the cells along the middle that are cut; without the walls beyond, 3e-3
        # would go to the wrong wall.
        assert near(sign * segment["orbital_moment_J_s_per_m"], wanted, 1e-3)


OBLIQUE = """
Point(1) = {0, 0, 0}; Point(2) = {200, 0, 0}; Point(3) = {300, 100, 0}; Point(4) = {100, 100, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {1, 4};
Curve Loop(1) = {1, 2, 3, -4};
Plane Surface(1) = {1};
Periodic Curve {2} = {4} Translate {200, 0, 0};
Physical Surface("metal") = {1};
Physical Curve("left") = {4}; Physical Curve("right") = {2}; Physical Curve("walls") = {1, 3};
"""


# --- the choice of fields


def test_fields_select_what_is_written():
    numbers = run("--set", 'output.fields=["potential"]')
    assert list(table("out/probes/across.csv")) == ["x_m", "y_m", "s_m", "potential_V"]
    _, data = read_vtu(Path("out/fields/part0.vtu"))
    assert set(data) == {"potential"}
    # Numbers along the walls and edge moments do not depend on the choice.
    assert {"vorticity_per_m2_s", "orbital_density_J_s_per_m2"} <= set(table("out/edges/edges.csv"))
    assert "orbital_moment_J_s_per_m" in numbers["walls"]["edges"]
    chosen = numbers["walls"], table("out/edges/edges.csv")
    everything_asked = run()
    assert chosen[0] == everything_asked["walls"]
    for name, column in table("out/edges/edges.csv").items():
        np.testing.assert_array_equal(chosen[1][name], column)
    _, data = read_vtu(Path("out/fields/part0.vtu"))
    assert set(data) == {"current_density", "potential", "vorticity", "orbital_density"}


def test_no_orbital_numbers_without_a_coupling():
    numbers = run(**{"materials.sheet.fermi_energy": None})
    assert set(numbers["walls"]["edges"]) == {"length_m"}
    assert "orbital_density" not in numbers["extrema"]
    edges = table("out/edges/edges.csv")
    assert "vorticity_per_m2_s" in edges
    assert not [name for name in edges if name.startswith("orbital")]


def test_vtu_holds_the_fields_in_metres():
    run(**{"flow.model": "ohmic", "flow.order": 3})
    points, data = read_vtu(Path("out/fields/part0.vtu"), 2)
    assert points.shape[1:] == (10, 2)  # a cubic triangle
    assert near(points[..., 0].max(), 200e-9)
    np.testing.assert_allclose(
        data["potential"], 1e-3 * (1 - points[..., 0] / 200e-9), rtol=0, atol=ROUNDING * 1e-3
    )
    x, y, z = np.moveaxis(data["current_density"], -1, 0)
    np.testing.assert_allclose(x, 100.0, rtol=ROUNDING)
    assert np.abs(y).max() < ROUNDING * 100
    assert (z == 0).all()


def test_vtx():
    dolfinx = pytest.importorskip("dolfinx")
    if not dolfinx.has_adios2:
        run("--format", "vtx", code=1)
        assert everything() == ["case.toml"]
        return
    run("--format", "vtx", "--set", 'output.fields=["potential", "vorticity"]')
    assert sorted(p.name for p in Path("out/fields").iterdir()) == ["potential.bp", "vorticity.bp"]
    assert not Path("out/fields.pvd").exists()


# --- the resolved case


def test_the_resolved_case_reproduces_the_run():
    """It names the drawing relative to itself, and holds the values that --set gave."""
    first = run("--set", "boundaries.edges.wall.specularity=0.3", "--output", "a/b/first")
    assert Case.load("a/b/first/case.toml").hash == first["case_hash"]
    words = ["--quiet", "--no-figures", "--output", "again"]
    with chdir("a"):
        assert main(["run", "b/first/case.toml", *words]) == 0
    again = summary("a/again")
    assert again["case_hash"] == first["case_hash"]
    for name, contact in first["contacts"].items():
        # The same mesh and the same operations: equal but for the order of threads.
        assert near(again["contacts"][name]["current_A"], contact["current_A"], 1e-12)
    assert again["mesh"] == first["mesh"]
    assert Path("a/again/case.toml").exists()
    other = run()
    assert other["case_hash"] != first["case_hash"]
    assert other["contacts"]["source"]["current_A"] < first["contacts"]["source"]["current_A"]


def test_the_resolved_case_moves_with_its_drawing():
    """Relative paths: a folder with drawing and results can be put elsewhere."""
    Path("project").mkdir()
    Path("project/own.geo").write_text((GEOMETRIES / "ribbon.geo").read_text())
    changes = {"geometry.file": "own.geo", "flow.model": "ohmic"}
    write_case(Path("project/case.toml"), **changes)
    words = ["--quiet", "--no-figures", "--output"]
    assert main(["run", "project/case.toml", *words, "project/out"]) == 0
    Path("project").rename("moved")
    assert main(["run", "moved/out/case.toml", *words, "again"]) == 0
    assert near(summary("again")["contacts"]["source"]["current_A"], 1e-5)


# --- all or nothing


def test_a_second_run_replaces_the_first():
    run()
    assert Path("out/probes/across.csv").exists()
    second = run(**{"output.probes": {}, "flow.model": "ohmic"})
    assert second["model"] == "ohmic"
    assert not Path("out/probes").exists()
    assert everything() == sorted(
        ["case.toml", "out", "out/case.toml", "out/report.html", "out/summary.json"]
        + ["out/fields.pvd"]
        + ["out/fields", "out/fields/part0.vtu", "out/edges", "out/edges/edges.csv"]
        + ["out/boundaries.pvd", "out/boundaries", "out/boundaries/part0.vtu"]
        + ["out/paraview_state.py"]
    )


def interrupt(*_, **__):
    raise KeyboardInterrupt


def leave(*_, **__):
    raise SystemExit(7)


def terminate(*_, **__):
    os.kill(os.getpid(), signal.SIGTERM)


def fail(*_, **__):
    raise OSError(28, "No space left on device")


# A failure at some moment -> exit code.
STOPS = {
    "keyboard": ("tomli_w.dumps", interrupt, 130),
    "exit": ("tomli_w.dumps", leave, 7),
    "terminated": ("zlib.compressobj", terminate, 128 + signal.SIGTERM),
    "in figures": ("matplotlib.backends.backend_agg.FigureCanvasAgg.draw", interrupt, 130),
    "disk full": ("zlib.compressobj", fail, 1),
}


@pytest.mark.parametrize("older", [False, True], ids=["first", "older"])
@pytest.mark.parametrize("stop", STOPS)
def test_stopped_half_way(monkeypatch, capsys, stop, older):
    """Nothing new is left, and an older result is left as it was."""
    if older:
        run()
    before, names = contents(), everything() if older else ["case.toml"]
    write_case(**{"flow.model": "ohmic"})
    place, action, wanted = STOPS[stop]
    monkeypatch.setattr(place, action)
    try:
        code = main(["run", "case.toml", "--quiet"])
    except SystemExit as stopped:
        code = stopped.code
    assert code == wanted
    assert contents() == before
    assert everything() == names


def test_failure_leaves_no_parent_directory(monkeypatch):
    """Those that the run made itself; those that were there stay."""
    Path("there").mkdir()
    monkeypatch.setattr("zlib.compressobj", interrupt)
    run("--output", "there/deep/er", code=130)
    assert everything() == ["case.toml", "there"]


def test_save_from_python():
    """The same files; the same refusal of directories that hold something else."""
    result = meso.run(Case.load(write_case(**{"flow.model": "ohmic"})))
    result.save("mine", figures=False)
    assert near(summary("mine")["contacts"]["source"]["current_A"], 1e-5)
    Path("theirs").mkdir()
    Path("theirs/data.txt").write_text("1")
    with pytest.raises(CaseError, match="theirs holds other files"):
        result.save("theirs", figures=False)
    assert everything(Path("theirs")) == ["data.txt"]
    assert not Path(".theirs.partial").exists()


def test_summary_is_plain_json():
    """No NaN or Infinity, which other programs do not read."""
    run(**{"boundaries.edges.wall": {"slip_length": "inf"}})

    def refuse(name):
        raise AssertionError(name)

    json.loads(Path("out/summary.json").read_text(), parse_constant=refuse)
