"""From a case to a result: mesh, phases, fields, warnings, and whose fault an error is."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES, mesh_file
from helpers import cell_degree, hopeless
from mpi4py import MPI
from test_cli import here, write_case  # noqa: F401 (here: a fixture)

from meso import Case, CaseError, ConvergenceError, Device, GeometryError, run
from meso.cli import main

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="files of one rank")

# Rounding of a direct solve of a few hundred unknowns.
ROUNDING = 1e-11


def case(**changes):
    return Case.load(write_case(**changes))


@pytest.fixture
def check(capsys):
    """What `meso check` says of a case with changes."""

    def check(**changes):
        assert main(["check", str(write_case(**changes))]) == 0
        return capsys.readouterr().out

    return check


def cells_at_the_wall(text):
    """Height of the largest cell at the wall in vorticity diffusion lengths."""
    return float(re.search(r"edges .*; cells up to (\S+) l high", text)[1])


def test_a_result():
    """In the ohmic model: J = sigma V/L = 100 A/m everywhere, a linear potential."""
    result = run(case(**{"flow.model": "ohmic"}))
    assert result.contacts["source"].current == pytest.approx(1e-5, rel=ROUNDING, abs=0)
    assert result.contacts["drain"].potential == 0
    assert result.walls == ("edges",)
    assert not result.per_thickness
    values = result.sample([[50e-9, 10e-9], [150e-9, -20e-9], [250e-9, 0]])
    assert set(values) == {"current_density", "potential"}
    np.testing.assert_allclose(values["potential"][:2], [0.75e-3, 0.25e-3], rtol=ROUNDING)
    np.testing.assert_allclose(values["current_density"][:2, 0], 100, rtol=ROUNDING)
    assert np.isnan(values["potential"][2])
    assert np.isnan(values["current_density"][2]).all()


def test_fields_follow_the_model():
    flow = {"current_density", "potential"}
    everything = {*flow, "vorticity", "orbital_density"}
    assert set(run(case()).fields) == everything
    # All that is known is there, whatever is written.
    chosen = run(case(**{"output.fields": ["potential"]}))
    assert set(chosen.fields) == everything
    assert chosen.written == ("potential",)
    assert len(chosen.edge_moments) == 2
    assert set(run(case(**{"materials.sheet.fermi_energy": None})).fields) == {*flow, "vorticity"}
    ohmic = {"flow.model": "ohmic"}
    assert set(run(case(**ohmic)).fields) == flow
    asked = run(case(**ohmic, **{"output.fields": ["vorticity"]}))
    assert "vorticity" in asked.written


def test_progress_and_seconds():
    said = []
    result = run(case(), progress=said.append)
    assert [line.split()[0] for line in said] == ["meshing", "meshing", "solving", "vorticity"]
    assert "ribbon.geo" in said[0]
    assert "about" in said[1]
    assert f"{result.device.cells} cells" in said[2]
    assert list(result.seconds) == ["mesh", "solve", "orbital"]
    assert all(seconds > 0 for seconds in result.seconds.values())


def test_errors_name_the_case_file():
    with pytest.raises(CaseError) as error:
        run(case(**{"boundaries.edges": None}))
    assert str(error.value).startswith("case.toml: boundaries: ribbon.geo has 'edges'")
    with pytest.raises(GeometryError, match="ribbon.geo: .*'widht'"):
        run(case(**{"geometry.parameters": {"widht": 1}}))


def test_all_names_that_do_not_fit_are_told_at_once():
    changes = {"boundaries.edges": None, "regions": {"oxide": "sheet"}}
    changes["boundaries.soure"] = {"contact": {"potential": "0 V"}}
    with pytest.raises(CaseError) as error:
        run(case(**changes))
    assert [key for key, _ in error.value.problems] == [
        *("regions.oxide", "regions", "boundaries.soure", "boundaries"),
    ]
    assert 'did you mean "source"' in str(error.value)


def test_a_failed_solve_raises():
    for model in ("ohmic", "hydrodynamic"):
        with hopeless(), pytest.raises(ConvergenceError, match="residual"):
            run(case(**{"flow.model": model}))


def test_mesh_files_are_taken_as_they_are():
    """The default layers are for drawings; a coarse mesh file is told to be coarse."""
    mesh_file(Path("own.msh"), GEOMETRIES / "ribbon.geo", size=50)
    changes = {"geometry.file": "own.msh", "geometry.parameters": {}}
    coarse = run(case(**changes, mesh={}, **{"output.probes": {}}))
    assert coarse.device.cells == Device.from_gmsh("own.msh", length_unit="nm").cells
    assert any("wall 'edges'" in warning for warning in coarse.warnings)
    for key in ("size", "wall_size"):
        with pytest.raises(CaseError, match="mesh: own.msh is a mesh already"):
            run(case(**changes, mesh={key: "1 nm"}))


def test_default_mesh_resolves_the_wall(check):
    """l = 7.07 nm: cells at the wall below it without any wish, above it if so wanted."""
    fine = check(mesh={})
    assert 0 < cells_at_the_wall(fine) < 1
    assert "nothing wrong found" in fine
    coarse = check()
    (warning,) = [line for line in coarse.splitlines() if "warning: " in line]
    assert "wall 'edges'" in warning
    assert "mesh.wall_size" in warning
    # The highest cell at the wall is about its edge of up to 25 nm times sqrt(3)/2.
    height = cells_at_the_wall(coarse) * 10e-9 / np.sqrt(2)
    assert 5e-9 < height < 25e-9


def test_knudsen_number(check):
    """Collisions of all kinds over the mean width, which is that of a ribbon."""
    assert "Knudsen number 0.1\n" in check()  # 10 nm/100 nm
    fluid = {"materials.sheet.electron_electron_mean_free_path": "10 nm"}
    assert "Knudsen number 0.05\n" in check(**fluid)
    long = {"materials.sheet.mean_free_path": "30 nm", "mesh.wall_size": "10 nm"}
    (warning,) = run(case(**long)).warnings
    assert "Knudsen number 0.3 " in warning
    assert run(case(**long, **{"flow.model": "ohmic"})).warnings == ()


def test_warnings_of_the_case_come_with_the_result():
    odd = {"materials.spare": {"carriers": "2d", "conductivity": "1 mS"}}
    result = run(case(**odd, **{"flow.model": "ohmic"}))
    assert result.warnings == ("materials.spare: not used by any region",)


def test_geometry_order_and_size():
    """The wishes of [mesh] reach Gmsh."""
    changes = {"geometry.file": str(GEOMETRIES / "annulus.geo"), "geometry.parameters": {}}
    changes["boundaries.inner"] = changes["boundaries.outer"] = {"wall": {"specularity": 1.0}}
    changes |= {"boundaries.edges": None, "flow.model": "ohmic", "output.probes": {}}
    for degree in (1, 3):
        mesh = {"geometry_order": degree, "size": "10 nm"}
        device = run(case(**changes, mesh=mesh)).device
        assert cell_degree(device) == degree
    fine = run(case(**changes, mesh={"size": "5 nm"})).device
    # Half the size is 4 times the cells, roughly.
    assert 3 < fine.cells / device.cells < 5.5


def test_report_and_quality(check):
    text = check(**{"boundaries.edges.wall": {"slip_length": "5 nm"}})
    assert "slip length 5 nm" in text
    assert "contact at 0.001 V" in text
    assert "l = 7.07107 nm" in text
    floating = {"boundaries.drain": {"contact": {"current": "-1 uA"}}, "flow.model": "ohmic"}
    text = check(**floating)
    assert "contact with current -1e-06" in text
    assert "nothing wrong found" in text
    # Two right-angled isosceles triangles would have 45 degrees; any mesh of Gmsh has above 20.
    quality = check()
    angle = float(quality.split("smallest angle ")[1].split("°")[0])
    assert 20 < angle <= 60
    assert "Jacobians in a cell 1," in quality  # straight cells


TWO_CELLS = """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 100, 0}; Point(4) = {0, 100, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1};
Transfinite Curve {1, 2, 3, 4} = 2; Transfinite Surface {1};
Physical Surface("metal") = {1}; Physical Curve("source") = {4}; Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3};
"""


def test_all_nodes_on_contacts():
    """Two cells of order one: nothing is unknown, and the current is exact."""
    path = mesh_file(Path("two.msh"), TWO_CELLS)
    changes = {"geometry.file": path.name, "flow.model": "ohmic", "flow.order": 1}
    loaded = case(**changes, mesh={}, **{"geometry.parameters": {}})
    found = run(loaded)
    sigma = found.flow.materials["metal"].conductivity
    assert found.device.cells == 2
    assert found.contacts["source"].current == pytest.approx(sigma * 1e-3, rel=1e-12)


def test_structured_cells_are_kept():
    """Layers of flat cells at walls do not cut what a script asks for; cells too large are told."""
    Path("two.geo").write_text(TWO_CELLS)
    thin = {"geometry.parameters": {}, "materials.sheet.mean_free_path": "1 nm"}
    found = run(case(**{"geometry.file": "two.geo", "flow.estimate": False}, mesh={}, **thin))
    assert found.device.cells == 2
    assert any("vorticity diffusion lengths high" in text for text in found.warnings)


STEP = """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 10, 0}; Point(4) = {200, 10, 0};
Point(5) = {200, 100, 0}; Point(6) = {0, 100, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 5}; Line(5) = {5, 6};
Line(6) = {6, 1}; Curve Loop(1) = {1:6}; Plane Surface(1) = {1}; Transfinite Curve {1:6} = 2;
Physical Surface("metal") = {1}; Physical Curve("source") = {1}; Physical Curve("drain") = {3};
Physical Curve("edges") = {2, 4, 5, 6};
"""


def test_a_current_that_leaks():
    """Ten cells around a sharp corner conserve a viscous current on average only: it is said."""
    path = mesh_file(Path("step.msh"), STEP)
    changes = {"geometry.file": path.name, "geometry.parameters": {}, "flow.order": 2}
    viscous = {"materials.sheet.mean_free_path": "1 um", "flow.estimate": False}
    found = run(case(**changes, **viscous, mesh={}))
    assert found.flow.evidence["divergence_relative"] > 1
    assert any("divergence of the current" in text for text in found.warnings)


def test_a_contact_alone():
    """No current, and no ratio of rounding to rounding."""
    wall = {"wall": {"specularity": 0.0}}
    loaded = case(**{"boundaries.drain": wall})
    found = run(loaded)
    scale = found.flow.materials["metal"].conductivity * 1e-3
    assert abs(found.contacts["source"].current) < 1e-12 * scale
    assert found.flow.sum_of_currents == 0
