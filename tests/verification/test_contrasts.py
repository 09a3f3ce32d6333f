"""Several materials: strong contrasts, potentials that jump, profiles."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import gmsh
import numpy as np
import pytest
from conftest import gmsh_session, material, mesh_file
from scipy.integrate import quad, solve_bvp

from meso import Contact, Device, Material, Profile, Wall
from meso.exact import Layers
from meso.flow import Flow, Hydrodynamic, Ohmic

# Elements of a flow.
TAYLOR_HOOD, CROUZEIX_RAVIART = "Taylor-Hood", "Crouzeix-Raviart"

VOLT = 1e-3
NM = 1e-9
DIFFUSE, SMOOTH = Wall(specularity=0.0), Wall(specularity=1.0)
ENDS: dict[str, Contact | Wall] = {
    "source": Contact(potential=VOLT),
    "drain": Contact(potential=0.0),
}

# A strip 200 by 100: current along x, an interface across it (or along, when turned) at x = 80.
ACROSS = """
Point(1) = {0, 0, 0}; Point(2) = {80, 0, 0}; Point(3) = {200, 0, 0};
Point(4) = {200, 100, 0}; Point(5) = {80, 100, 0}; Point(6) = {0, 100, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 5}; Line(5) = {5, 6};
Line(6) = {6, 1}; Line(7) = {2, 5};
Curve Loop(1) = {1, 7, 5, 6}; Plane Surface(1) = {1};
Curve Loop(2) = {2, 3, 4, -7}; Plane Surface(2) = {2};
Physical Surface("left") = {1}; Physical Surface("right") = {2}; Physical Curve("inside") = {7};
Physical Curve("source") = {6}; Physical Curve("drain") = {3};
Physical Curve("edges") = {1, 2, 4, 5};
"""
ALONG = ACROSS.replace(
    'Physical Curve("source") = {6}; Physical Curve("drain") = {3};',
    'Physical Curve("source") = {1, 2}; Physical Curve("drain") = {4, 5};',
).replace('"edges") = {1, 2, 4, 5}', '"edges") = {3, 6}')


@pytest.fixture(scope="module")
def strips(folder) -> Callable[[str, float], Device]:
    @cache
    def of(text: str, size: float) -> Device:
        return Device.from_gmsh(strip_file(folder, text, size), length_unit="nm")

    return of


def strip_file(folder: Path, text: str, size: float) -> Path:
    """Mesh of a strip, one file for each drawing and size."""
    return mesh_file(folder / f"contrast-{hash(text):x}-{size:g}.msh", text, size=size)


def model(
    device: Device,
    left: Material,
    right: Material,
    wall: Wall,
    order: int = 4,
    elements: str = "auto",
) -> Hydrodynamic:
    return Hydrodynamic(
        device,
        materials={"left": left, "right": right},
        boundaries={**ENDS, "edges": wall},
        order=order,
        elements=elements,
    )


def current(flow: Flow) -> float:
    return flow.contacts["source"].current


def profile(expression: str, unit: float = 1.0) -> Profile:
    return Profile(expression=expression, scale=unit, length_unit=NM)


# Current density across an interface between diffuse walls: order 6 on 1094 cells of 7 nm, which
# agrees with that on half as many to 5e-7.
@pytest.mark.parametrize("contrast", [10.0, 1000.0])
def test_potential_that_jumps(strips, contrast):
    """A crossing with phi continuous and discontinuous, against a fine reference.

    Crouzeix-Raviart elements have a discontinuous phi in any case.
    """
    left = material(mean_free_path=30e-9)
    right = material(mean_free_path=30e-9, conductivity=0.02 * contrast)
    reference = current(model(strips(ACROSS, 7.0), left, right, DIFFUSE, 6).solve())
    # One material whose conductivity has a step: its potential is continuous.
    step = profile(f"where(x < 80, 0.02, {0.02 * contrast})")
    stepped = material(mean_free_path=30e-9, conductivity=step)
    jumping, continuous = {}, {}
    for order in (2, 4):
        device = strips(ACROSS, 20.0)
        for errors, pair in ((jumping, (left, right)), (continuous, (stepped, stepped))):
            found = current(model(device, *pair, DIFFUSE, order, TAYLOR_HOOD).solve())
            errors[order] = abs(found / reference - 1)
    # Measured 1.5e-4 and 1.5e-5 at 1:1000, 1.1e-3 and 3.8e-4 with a continuous potential.
    assert jumping[2] < 3e-4
    assert jumping[4] < 3e-5
    assert continuous[4] > 10 * jumping[4]
    for pair in ((left, right), (stepped, stepped)):
        found = current(model(device, *pair, DIFFUSE, 4, CROUZEIX_RAVIART).solve())
        assert abs(found / reference - 1) < 3e-5


def test_size_of_the_jump(strips):
    """phi jumps by [2 (l^2/sigma) d_n J_n], point by point."""
    left = material(mean_free_path=40e-9)
    right = material(mean_free_path=20e-9, conductivity=0.2)
    device = strips(ACROSS, 10.0)
    flow = model(device, left, right, DIFFUSE, 6).solve()
    y = np.linspace(20, 80, 25) * NM
    sides = []
    for sign, matter in ((-1, left), (1, right)):
        # A hair beside the interface, and twice further inside for the slope, of second order.
        step = sign * 1e-3 * NM
        near, *inside = (
            flow.sample(np.column_stack([0 * y + 80 * NM + k * step, y])) for k in (1e-3, 1, 2)
        )
        J = [at["current_density"][:, 0] for at in (near, *inside)]
        slope = (4 * J[1] - J[2] - 3 * J[0]) / (2 * step)
        mu = matter.vorticity_diffusion_length**2 / matter.conductivity
        sides.append([near["potential"], 2 * mu * slope])
    jump = sides[1][0] - sides[0][0]
    wanted = sides[1][1] - sides[0][1]
    assert np.abs(jump).max() > 1e-3 * VOLT
    assert np.abs(jump - wanted).max() < 0.02 * np.abs(jump).max()


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
@pytest.mark.parametrize(("first", "second"), [(40.0, 60.0), (60.0, 15.0)])
def test_parallel(strips, contrast, first, second):
    """Along the interface, diffuse walls, also where l differs: the closed form."""
    lower = material(mean_free_path=first * NM)
    upper = material(mean_free_path=second * NM, conductivity=0.02 * contrast)
    flow = model(strips(ALONG, 10.0), lower, upper, DIFFUSE).solve()
    exact = Layers(
        thickness=(80 * NM, 120 * NM),
        conductivity=(lower.conductivity, upper.conductivity),
        diffusion_length=(lower.vorticity_diffusion_length, upper.vorticity_diffusion_length),
        lower_slip=DIFFUSE.slip_rate(lower),
        upper_slip=DIFFUSE.slip_rate(upper),
        field=VOLT / (100 * NM),
    )
    # h = 0.25 to 1 times l: the square of the error of the field.
    assert current(flow) == pytest.approx(exact.current, abs=0, rel=1e-6)


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
@pytest.mark.parametrize("length", [1e-3, 1e-1])
def test_unresolved_on_one_side(strips, contrast, length):
    """l a ten-thousandth or hundredth of the cells in one of two layers."""
    lower = material(mean_free_path=60 * NM)
    upper = material(mean_free_path=length * NM, conductivity=0.02 * contrast)
    flow = model(strips(ALONG, 10.0), lower, upper, DIFFUSE).solve()
    exact = Layers(
        thickness=(80 * NM, 120 * NM),
        conductivity=(lower.conductivity, upper.conductivity),
        diffusion_length=(lower.vorticity_diffusion_length, upper.vorticity_diffusion_length),
        lower_slip=DIFFUSE.slip_rate(lower),
        upper_slip=DIFFUSE.slip_rate(upper),
        field=VOLT / (100 * NM),
    )
    error = current(flow) / exact.current - 1
    y = np.linspace(1, 79, 40) * NM
    at = np.column_stack([y, 0 * y + 40 * NM])
    J = flow.sample(at)["current_density"][:, 1]
    wanted = exact.current_density(y)
    # The layer that is not resolved is a fraction of h wide instead of l: 3e-3 and 9e-3.
    assert abs(error) < 6e-3
    assert np.abs(J - wanted).max() < 0.02 * wanted.max()


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
def test_series_with_unresolved_side(strips, contrast):
    """Across: J is uniform and resistances add, whatever l."""
    left = material(mean_free_path=60 * NM)
    right = material(mean_free_path=1e-2 * NM, conductivity=0.02 * contrast)
    flow = model(strips(ACROSS, 20.0), left, right, SMOOTH).solve()
    resistance = (80 / left.conductivity + 120 / right.conductivity) / 100
    # In the discrete spaces: rounding, times the contrast.
    assert current(flow) == pytest.approx(VOLT / resistance, abs=0, rel=1e-9)


@pytest.mark.parametrize("kind", [ACROSS, ALONG], ids=["across", "along"])
@pytest.mark.parametrize("elements", [TAYLOR_HOOD, CROUZEIX_RAVIART])
def test_equal_materials_are_one(strips, kind, elements):
    """Two regions of the same metal: one material, one potential, the flow of one region."""
    matter = material(mean_free_path=30e-9)
    device = strips(kind, 20.0)
    two = model(device, matter, material(mean_free_path=30e-9), DIFFUSE, 4, elements).solve()
    halves = 'Physical Surface("left") = {1}; Physical Surface("right") = {2};'
    assert halves in kind
    one = strips(kind.replace(halves, 'Physical Surface("left") = {1, 2};'), 20.0)
    boundaries = {**ENDS, "edges": DIFFUSE}
    alone = Hydrodynamic(
        one, materials={"left": matter}, boundaries=boundaries, order=4, elements=elements
    ).solve()
    assert two.evidence["unknowns"] == alone.evidence["unknowns"]
    assert current(two) == pytest.approx(current(alone), abs=0, rel=1e-13)
    # Different by name only: the potential may jump, but does not.
    named = material(mean_free_path=30e-9, name="other")
    other = model(device, matter, named, DIFFUSE, 4, elements).solve()
    if elements == TAYLOR_HOOD:
        assert other.evidence["unknowns"] > alone.evidence["unknowns"]
    assert current(other) == pytest.approx(current(alone), abs=0, rel=1e-6)


@pytest.mark.parametrize("kind", [ACROSS, ALONG], ids=["across", "along"])
def test_step_profile_is_two_regions(strips, folder, kind):
    """A step that follows the mesh, as an expression, on one region: phi is continuous there."""
    device = strips(kind, 20.0)
    left = material(mean_free_path=30e-9)
    right = material(mean_free_path=60e-9, conductivity=0.06)
    stepped = material(
        conductivity=profile("where(x < 80, 0.02, 0.06)"),
        mean_free_path=profile("where(x < 80, 30, 60)", NM),
    )
    two = model(device, left, right, SMOOTH if kind == ACROSS else DIFFUSE)
    one = model(device, stepped, stepped, SMOOTH if kind == ACROSS else DIFFUSE)
    # Parallel and plane flow have a continuous potential: the same discrete solution.
    assert current(one.solve()) == pytest.approx(current(two.solve()), abs=0, rel=1e-11)
    # The same as cell data.
    path = with_data(strip_file(folder, kind, 20.0), s=(2.0, 6.0), l=(30.0, 60.0))
    cells = Device.from_gmsh(path, length_unit="nm")
    matter = material(
        conductivity=Profile(data="s", scale=1e-2), mean_free_path=Profile(data="l", scale=NM)
    )
    found = model(cells, matter, matter, SMOOTH if kind == ACROSS else DIFFUSE).solve()
    assert current(found) == pytest.approx(current(two.solve()), abs=0, rel=1e-11)


def with_data(mesh: Path, **values: tuple[float, float]) -> Path:
    """A copy of a mesh with data in the cells of its two surfaces, as Gmsh writes them."""
    path = mesh.with_stem(f"{mesh.stem}-data")
    with gmsh_session():
        gmsh.open(str(mesh))
        gmsh.write(str(path))
        gmsh.option.setNumber("PostProcessing.SaveMesh", 0)  # it is in the file already
        parts = [gmsh.model.mesh.getElementsByType(2, surface)[0] for surface in (1, 2)]
        for name, pair in values.items():
            view = gmsh.view.add(name)
            data = [[value] for part, value in zip(parts, pair, strict=True) for _ in part]
            tags = np.concatenate(parts)
            gmsh.view.addModelData(view, 0, gmsh.model.getCurrent(), "ElementData", tags, data)
            gmsh.view.write(view, str(path), append=True)
    return path


GRADED = "0.02*exp(1.5*x/100)"


def graded(x: float) -> float:
    """The same in S, x in m."""
    return 0.02 * np.exp(1.5 * x / (100 * NM))


@pytest.mark.parametrize("kind", ["ohmic", "hydrodynamic"])
def test_plane_series_of_a_profile(strips, kind):
    """Across a smooth profile J is uniform: R = integral of 1/sigma."""
    matter = material(conductivity=profile(GRADED), mean_free_path=30e-9)
    device = strips(ACROSS, 20.0)
    boundaries = {**ENDS, "edges": SMOOTH}
    solver = Ohmic if kind == "ohmic" else Hydrodynamic
    materials = dict.fromkeys(device.regions, matter)
    flow = solver(device, materials=materials, boundaries=boundaries, order=4).solve()
    resistance = quad(lambda x: 1 / graded(x), 0, 200 * NM)[0] / (100 * NM)
    # phi is no polynomial: (h/100 nm)^(2k) of an exponential, and the quadrature.
    assert current(flow) == pytest.approx(VOLT / resistance, abs=0, rel=1e-8)
    J = flow.current_density.x.array.reshape(-1, 2)
    uniform = VOLT / resistance / (100 * NM)
    assert np.abs(J - [uniform, 0]).max() < 1e-3 * uniform


def test_parallel_flow_along_a_profile(strips):
    """J(x) along y: sigma(x) E for Ohm; else (1/sigma) J - (mu J')' = E as boundary values."""
    matter = material(
        conductivity=profile(GRADED), mean_free_path=profile("30*(1 + 0.5*sin(x/40))", NM)
    )
    device = strips(ALONG, 10.0)
    boundaries = {**ENDS, "edges": DIFFUSE}
    materials = dict.fromkeys(device.regions, matter)
    field = VOLT / (100 * NM)
    ohmic = Ohmic(device, materials=materials, boundaries=boundaries, order=4).solve()
    wanted = quad(lambda x: graded(x) * field, 0, 200 * NM)[0]
    # phi is linear: exact up to the quadrature of sigma.
    assert current(ohmic) == pytest.approx(wanted, abs=0, rel=1e-9)

    width = 200.0  # x in nm, J over 0.02 E

    def length(x):
        return 30 * (1 + 0.5 * np.sin(x / 40)) / np.sqrt(2)

    def mu(x):
        return length(x) ** 2 / np.exp(1.5 * x / 100)

    def equations(x, y):
        J, traction = y
        return np.stack([traction / mu(x), J / np.exp(1.5 * x / 100) - 1])

    def walls(a, b):
        rate = [8 / (3 * np.pi) / (length(x) * np.sqrt(2)) for x in (0.0, width)]
        return np.array([a[1] - mu(0.0) * rate[0] * a[0], b[1] + mu(width) * rate[1] * b[0]])

    x = np.linspace(0, width, 400)
    found = solve_bvp(equations, walls, x, np.ones((2, x.size)), tol=1e-9, max_nodes=20000)
    assert found.success
    flow = Hydrodynamic(device, materials=materials, boundaries=boundaries, order=4).solve()
    at = np.linspace(0, width, 101)
    J = flow.sample(np.column_stack([at * NM, 0 * at + 40 * NM]))["current_density"]
    exact = found.sol(at)[0] * 0.02 * field
    # h = l/2 at worst.
    assert np.abs(J[:, 1] - exact).max() < 1e-4 * exact.max()
    assert np.abs(J[:, 0]).max() < 1e-4 * exact.max()
    total = quad(lambda s: found.sol(s)[0], 0, width, limit=200)[0] * NM * 0.02 * field
    assert current(flow) == pytest.approx(total, abs=0, rel=1e-6)


TWO_LAYERS = """
Point(1) = {0, 0, 0}; Point(2) = {0, 10, 0}; Line(1) = {1, 2}; Transfinite Curve {1} = 3;
a[] = Extrude {0, 0, 8} { Line{1}; Layers{LOWER}; };
b[] = Extrude {0, 0, 12} { Line{a[0]}; Layers{UPPER}; };
A[] = Extrude {40, 0, 0} { Surface{a[1]}; Layers{8}; };
B[] = Extrude {40, 0, 0} { Surface{b[1]}; Layers{8}; };
Physical Volume("lower") = {A[1]}; Physical Volume("upper") = {B[1]};
Physical Surface("source") = {a[1], b[1]}; Physical Surface("drain") = {A[0], B[0]};
e = 1e-3;
x[] = Surface In BoundingBox {-e, -e, -e, 40 + e, 10 + e, e};
y[] = Surface In BoundingBox {-e, -e, 20 - e, 40 + e, 10 + e, 20 + e};
f[] = Surface In BoundingBox {-e, -e, -e, 40 + e, e, 20 + e};
g[] = Surface In BoundingBox {-e, 10 - e, -e, 40 + e, 10 + e, 20 + e};
Physical Surface("bottom") = {x[]}; Physical Surface("top") = {y[]};
Physical Surface("sides") = {f[], g[]};
"""


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
def test_film_of_two_layers(folder, contrast):
    """The same in 3D: parallel layers, closed form, and across them, plane."""
    path = folder / "layers.geo"
    path.write_text(TWO_LAYERS.replace("LOWER", "6").replace("UPPER", "8"))
    device = Device.from_gmsh(path, length_unit="nm")
    common = {"carriers": "3d", "scattering": "isotropic"}
    lower = material(conductivity=2.4e6, mean_free_path=9 * NM, **common)
    upper = material(conductivity=2.4e6 * contrast, mean_free_path=15 * NM, **common)
    materials = {"lower": lower, "upper": upper}
    walls = {"bottom": DIFFUSE, "top": DIFFUSE, "sides": SMOOTH}
    flow = Hydrodynamic(device, materials=materials, boundaries={**ENDS, **walls}).solve()
    exact = Layers(
        thickness=(8 * NM, 12 * NM),
        conductivity=(lower.conductivity, upper.conductivity),
        diffusion_length=(lower.vorticity_diffusion_length, upper.vorticity_diffusion_length),
        lower_slip=DIFFUSE.slip_rate(lower),
        upper_slip=DIFFUSE.slip_rate(upper),
        field=VOLT / (40 * NM),
    )
    assert current(flow) == pytest.approx(exact.current * 10 * NM, abs=0, rel=2e-5)
    # Across: the contacts below and above, walls without friction.
    boundaries = {
        "bottom": Contact(potential=VOLT),
        "top": Contact(potential=0.0),
        **dict.fromkeys(("source", "drain", "sides"), SMOOTH),
    }
    flow = Hydrodynamic(device, materials=materials, boundaries=boundaries).solve()
    resistance = (8 * NM / lower.conductivity + 12 * NM / upper.conductivity) / (400 * NM**2)
    found = flow.contacts["bottom"].current
    assert found == pytest.approx(VOLT / resistance, abs=0, rel=1e-7)
