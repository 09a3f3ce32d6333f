"""The Boltzmann equation: hydrodynamics for two harmonics, exact ribbons for many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw, material, mesh_file, thorough

import meso
from meso import CaseError, Contact, Device, Material, Periodic, Wall
from meso.cli import main
from meso.exact_kinetic import KineticRibbon
from meso.flow import Flow, Hydrodynamic, Kinetic

Boundary = Contact | Periodic | Wall
VOLT = 1e-3
ENDS = {
    "source": Contact(potential=VOLT, law="reservoir"),
    "drain": Contact(potential=0.0, law="reservoir"),
}
STRIP = """
L = 10; n = 40;
Point(1) = {0, -50, 0}; Point(2) = {L, -50, 0}; Point(3) = {L, 50, 0}; Point(4) = {0, 50, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {4, 3}; Line(4) = {1, 4};
Curve Loop(1) = {1, 2, -3, -4}; Plane Surface(1) = {1};
Periodic Curve {2} = {4} Translate {L, 0, 0};
Transfinite Curve {1, 3} = 2; Transfinite Curve {2, 4} = n Using Bump 0.02;
Transfinite Surface {1};
Physical Surface("metal") = {1}; Physical Curve("edges") = {1, 3};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
"""
WIDTH, LENGTH = 100e-9, 10e-9

# Total current over Drude's: lambda/W, lambda_ee/W, p, kernel, G. Of the radial-tangential kernel,
# and with collisions among the electrons, from an integral equation solved to ten digits.
RIBBONS = [
    thorough(0.02, np.inf, 0.0, "isotropic", 0.99151173636843),
    thorough(0.1, np.inf, 0.0, "isotropic", 0.95755882893946),
    (0.1, np.inf, 0.0, "radial-tangential", 0.9509697559237719),
    thorough(0.5, np.inf, 0.0, "isotropic", 0.7973801760359),
    thorough(2.0, np.inf, 0.0, "isotropic", 0.48875687458445),
    thorough(0.1, np.inf, 0.5, "radial-tangential", 0.9772588646734773),
    thorough(2.0, np.inf, 0.5, "isotropic", 0.68578151118389),
    (10.0, 0.05, 0.0, "isotropic", 0.41997545919096),
    thorough(1.0, 0.2, 0.0, "isotropic", 0.73804163071054),
]


@pytest.fixture(scope="module")
def strip(tmp_path_factory) -> Device:
    folder = tmp_path_factory.mktemp("strip")
    (folder / "strip.geo").write_text(STRIP)
    mesh = mesh_file(folder / "strip.msh", folder / "strip.geo")
    return Device.from_gmsh(mesh, length_unit="nm", order=3)


def kinetic(
    device: Device, matter: Material, harmonics: int, order: int = 3, **laws: object
) -> Flow:
    settings = {k: laws.pop(k) for k in ("solver", "magnetic_field") if k in laws}
    return Kinetic(
        device,
        materials=dict.fromkeys(device.regions, matter),
        boundaries=laws,  # type: ignore[arg-type]
        order=order,
        harmonics=harmonics,
        **settings,  # type: ignore[arg-type]
    ).solve()


def ribbon(
    device: Device, matter: Material, harmonics: int, p: float, solver: str = "direct"
) -> float:
    """Current of a periodic ribbon over Drude's."""
    pair = Periodic(to="drain", voltage=VOLT)
    flow = kinetic(device, matter, harmonics, source=pair, edges=Wall(specularity=p), solver=solver)
    drude = matter.conductivity * VOLT * WIDTH / LENGTH
    return flow.periodic["source"].current / drude


DEVICES: list[tuple[str, tuple[str, ...], dict[str, float]]] = [
    ("annulus", ("inner", "outer"), {}),
    ("constriction", ("edges",), {}),
    ("hall_bar", ("edges",), {}),
    ("chamber", ("edges", "chambers"), {}),
    ("antidot", ("edge",), {}),
    ("cross", ("edges",), {}),
    ("tee", ("edges",), {}),
    ("wavy_channel", ("edges",), {}),
    ("corbino", (), {}),
]


@pytest.mark.parametrize(("name", "walls", "parameters"), DEVICES, ids=lambda v: str(v))
@pytest.mark.parametrize("solver", ["direct", "iterative"])
@pytest.mark.parametrize("p", [0.3])
def test_two_harmonics_are_hydrodynamics(name, walls, parameters, solver, p):
    """Current density, potential and conductances of the same discrete system: rounding."""
    matter = material(mean_free_path=40e-9, electron_electron_mean_free_path=60e-9)
    device = draw(name, matter, walls, order=2, **parameters)
    laws: dict[str, Boundary] = dict.fromkeys(walls, Wall(specularity=p))
    first, last, *others = (name for name in device.boundaries if name not in walls)
    laws |= {first: ENDS["source"], last: ENDS["drain"]}
    laws |= {name: Contact(current=1e-7, law="reservoir") for name in others}
    flow = kinetic(device, matter, 2, order=2, solver=solver, **laws)
    other = Hydrodynamic(
        device, materials=dict.fromkeys(device.regions, matter), boundaries=laws, order=2
    ).solve()
    for key in ("current_density", "potential"):
        one, two = (getattr(f, key).x.array for f in (flow, other))
        assert np.abs(one - two).max() < 1e-9 * np.abs(two).max()
    one, two = flow.conductance_matrix, other.conductance_matrix
    assert np.abs(one - two).max() < 1e-10 * np.abs(two).max()


def test_two_regions():
    """Also where materials, and so the angular matrices, differ."""
    first = material(mean_free_path=20e-9)
    second = material(mean_free_path=8e-9, conductivity=0.008, scattering="isotropic")
    device = draw("bilayer", first, ("bottom", "top"), order=2)
    laws: dict[str, Boundary] = {}
    for name in device.boundaries:
        laws[name] = ENDS.get(name, Wall(specularity=0.0))
    materials = dict(zip(device.regions, (first, second), strict=True))
    given = {"materials": materials, "boundaries": laws, "order": 2}
    two = Hydrodynamic(device, **given).solve()
    one = Kinetic(device, harmonics=2, **given).solve()
    size = np.abs(two.current_density.x.array).max()
    change = one.current_density.x.array - two.current_density.x.array
    assert np.abs(change).max() < 1e-10 * size
    for solver in ("direct", "iterative"):
        six = Kinetic(device, harmonics=6, solver=solver, **given).solve()
        if solver == "direct":
            reference = six.conductance_matrix
    # The error of the iteration is squared.
    assert np.abs(six.conductance_matrix / reference - 1).max() < 1e-6


@pytest.mark.parametrize(("path", "between", "p", "kernel", "exact"), RIBBONS)
def test_ribbon(strip, path, between, p, kernel, exact):
    """Within 1e-4 for N = 16 and Kn <= 0.1, within 1e-3 for N = 64; ten times better beyond."""
    matter = material(
        mean_free_path=path * WIDTH,
        electron_electron_mean_free_path=between * WIDTH,
        scattering=kernel,
    )
    numbers = (8, 16, 32, 64)
    error = np.array([ribbon(strip, matter, n, p) / exact - 1 for n in numbers])
    beyond = error[1:] + np.diff(error) / 3
    if path <= 0.1:
        assert abs(error[1]) < 1e-4
        assert abs(beyond[0]) < 1e-5
    assert abs(error[3]) < 1e-3
    assert abs(beyond[2]) < 1e-4
    order = np.log2(error[:-1] / error[1:])
    # About two; the smaller Kn, the sooner.
    assert 1.6 < order[-1] < 2.3


def test_magnetic_field():
    """G(B) = G(-B)^T, no change without a field, GMRES as the factorisation."""
    matter = material(mean_free_path=40e-9, fermi_wavevector=1.4e8)
    device = draw("hall_bar", matter, ("edges",), order=2)
    laws: dict[str, Boundary] = {"edges": Wall(specularity=0.2)}
    for name in device.boundaries:
        laws.setdefault(name, Contact(potential=0.0))
    matrices = {}
    for field in (0.4, -0.4):
        flow = kinetic(device, matter, 4, order=2, magnetic_field=field, solver="direct", **laws)
        assert "LU" in flow.evidence["method"]
        matrices[field] = flow.conductance_matrix
    size = np.abs(matrices[0.4]).max()
    assert np.abs(matrices[0.4] - matrices[-0.4].T).max() < 1e-10 * size
    assert np.abs(matrices[0.4] - matrices[0.4].T).max() > 1e-3 * size
    flow = kinetic(device, matter, 4, order=2, magnetic_field=0.4, solver="iterative", **laws)
    assert np.abs(flow.conductance_matrix - matrices[0.4]).max() < 1e-4 * size


def test_hall_angle(strip):
    """In the bulk the Hall field over the driving field is lambda/R_c."""
    matter = material(mean_free_path=2e-9, fermi_wavevector=1.4e8)
    field = 4.0
    pair = Periodic(to="drain", voltage=VOLT)
    flow = kinetic(strip, matter, 4, source=pair, edges=Wall(specularity=0.0), magnetic_field=field)
    at = np.array([[5e-9, -20e-9], [5e-9, 20e-9]])
    low, high = flow.sample(at)["potential"]
    ratio = 2e-9 * 1.602176634e-19 * field / (1.054571817e-34 * 1.4e8)
    # The electrons, which run to -x, are turned to -y and pile up there.
    assert (low - high) / 40e-9 / (VOLT / LENGTH) == pytest.approx(-ratio, rel=1e-3)


def test_refusals(strip):
    pair = Periodic(to="drain", voltage=VOLT)
    wall = Wall(specularity=0.0)
    for matter, laws, settings, key in (
        (material(mean_free_path=None), {}, {}, "mean_free_path"),
        (material(), {"edges": Wall(slip_length=1e-9)}, {}, "slip_length"),
        (material(), {"edges": replace(wall, law="literal")}, {}, "wall.law"),
        (material(), {}, {"magnetic_field": 1.0}, "fermi_wavevector"),
        (material(vorticity_diffusion_length=1e-9), {}, {}, "vorticity_diffusion_length"),
    ):
        with pytest.raises(CaseError, match=key):
            kinetic(strip, matter, 4, **{"source": pair, "edges": wall, **laws, **settings})
    with pytest.raises(CaseError, match="even number"):
        kinetic(strip, material(), 3, source=pair, edges=wall)


def test_earlier():
    """A run on the same mesh begins with the flow of the one before."""
    path = Path(__file__).parents[2] / "demos" / "whirlpool" / "case.toml"
    settings = {"flow.estimate": False, "output.distributions": {}}
    first = meso.run(meso.Case.load(path, settings))
    smoother = {**settings, "boundaries.edges.wall.specularity": 0.05}
    cold = meso.run(meso.Case.load(path, smoother))
    warm = meso.run(meso.Case.load(path, smoother), earlier=first.flow)
    assert warm.flow.evidence["iterations"] < cold.flow.evidence["iterations"]
    one, two = (r.contacts["source"].potential for r in (warm, cold))
    assert one == pytest.approx(two, rel=1e-6)


def test_cells_at_walls_are_told(tmp_path, capsys):
    """In tables of probes, where derived fields are means of the cell; check tells the cost."""
    path = Path(__file__).parents[2] / "demos" / "fuchs_sondheimer" / "case.toml"
    case = meso.Case.load(path, {"flow.harmonics": 2, "flow.estimate": False})
    meso.run(case).save(tmp_path, figures=False)
    rows = np.genfromtxt(tmp_path / "probes" / "across.csv", delimiter=",", names=True)
    assert rows["cell_mean"][[0, -1]].all() and not rows["cell_mean"][20:-20].any()
    assert main(["check", str(path)]) == 0
    told = capsys.readouterr().out
    assert "32 harmonics of degree 3" in told and "direct solver" in told


def test_accuracy_alone():
    """It takes the place of harmonics and tolerance that are not given."""
    path = Path(__file__).parents[2] / "demos" / "fuchs_sondheimer" / "case.toml"
    flow = {"model": "kinetic", "order": 3}
    tables = {**meso.Case.load(path).given, "flow": flow, "mesh": {"accuracy": 1e-2}}
    case = meso.Case.from_dict(tables, path.parent)
    assert (case.flow.harmonics, case.flow.tolerance) == ("auto", 1e-2)
    found = meso.run(case)
    exact = KineticRibbon(width=100, mean_free_path=10).conductance
    assert found.convergence is not None and max(found.convergence.error_extrapolated) < 1e-2
    assert found.flow.periodic["source"].current == pytest.approx(exact * 3.97e-5, rel=1e-2)


def test_compare(tmp_path):
    """Three models on one device: the kinetic one is the reference, files and figure appear."""
    path = Path(__file__).parents[2] / "demos" / "fuchs_sondheimer" / "case.toml"
    found = meso.compare(meso.Case.load(path, {"flow.harmonics": 16}))
    assert list(found.flows) == ["ohmic", "hydrodynamic", "kinetic"]
    current = found.names.index("source")
    exact = KineticRibbon(width=100, mean_free_path=10).conductance
    ratio = {m: v[current] / (3.97e-3 * 1e-3 * 10) for m, v in found.values.items()}
    assert ratio["ohmic"] == pytest.approx(1.0, rel=1e-6)
    assert ratio["kinetic"] == pytest.approx(exact, rel=1e-4)
    assert abs(ratio["hydrodynamic"] / exact - 1) == pytest.approx(3.6e-3, rel=0.1)
    assert "against the kinetic model" in found.table()
    assert max(map(len, found.table().splitlines())) <= 100
    row = next(row for row in found.rows() if row["quantity"] == "source")
    assert abs(ratio["kinetic"] / exact - 1) < row["kinetic_error"] / row["kinetic"] < 1e-3
    found.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "compare.csv",
        "compare.json",
        "compare.png",
        "profile_across.csv",
        "report.html",
    }
