"""Charge and angular momentum together in a hydrodynamic flow.

What a wall is fed as cos(kx) has a closed form: in the strip phi is harmonic, J' = -sigma grad phi
+ curl psi with psi - l^2 lap psi = 0, and omega a sum of exp(±my), m^2 = k^2 + 1/decay^2. They meet
at the walls: J'_y = theta d_x omega, the slip law, and n.J = -theta d_x h of angular momentum, with
h = phi - 2 (l^2/sigma) d_y J'_y.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meso
from meso import CaseError, Contact, ConvergenceError, Device, Material, Periodic, Wall
from meso.angular_momentum import (
    ONE,
    Diffusion,
    Surface,
    Transport,
    diffusion_block,
    hall_block,
    material,
    powers,
    two_way,
)
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.flow import Flow, Hydrodynamic, Ohmic

NM = 1e-9
WIDTH, PERIOD = 20 * NM, 40 * NM
SIGMA, LENGTH, SLIP = 1e6, 8 * NM, 5 * NM
D, DECAY, CHI, V = 1e-4, 6 * NM, 1e-21, 300.0

STRIP = """
DefineConstant[ nx = 8 ]; DefineConstant[ ny = 4 ];
Point(1) = {0, -10, 0}; Point(2) = {40, -10, 0}; Point(3) = {40, 10, 0}; Point(4) = {0, 10, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {4, 3}; Line(4) = {1, 4};
Curve Loop(1) = {1, 2, -3, -4}; Plane Surface(1) = {1};
Periodic Curve {2} = {4} Translate {40, 0, 0};
Transfinite Curve {1, 3} = nx + 1; Transfinite Curve {2, 4} = ny + 1;
Transfinite Surface {1};
Physical Surface("metal") = {1};
Physical Curve("left") = {4}; Physical Curve("right") = {2};
Physical Curve("bottom") = {1}; Physical Curve("top") = {3};
"""

#: A strip whose upper side is a contact in the middle.
TEE = """
DefineConstant[ n = 1 ];
Point(1) = {0, 0, 0}; Point(2) = {15, 0, 0}; Point(3) = {25, 0, 0}; Point(4) = {40, 0, 0};
Point(5) = {40, 20, 0}; Point(6) = {25, 20, 0}; Point(7) = {15, 20, 0}; Point(8) = {0, 20, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 5};
Line(5) = {5, 6}; Line(6) = {6, 7}; Line(7) = {7, 8}; Line(8) = {8, 1};
Line(9) = {2, 7}; Line(10) = {3, 6};
Curve Loop(1) = {1, 9, 7, 8}; Plane Surface(1) = {1};
Curve Loop(2) = {2, 10, 6, -9}; Plane Surface(2) = {2};
Curve Loop(3) = {3, 4, 5, -10}; Plane Surface(3) = {3};
Transfinite Curve {1, 3, 5, 7} = 3 * n + 1; Transfinite Curve {2, 6} = 2 * n + 1;
Transfinite Curve {4, 8, 9, 10} = 4 * n + 1;
Transfinite Surface {1, 2, 3};
Physical Surface("metal") = {1, 2, 3};
Physical Curve("left") = {8}; Physical Curve("right") = {4}; Physical Curve("top") = {6};
Physical Curve("walls") = {1, 2, 3, 5, 7};
"""


def drawn(folder: Path, text: str, **options: Any) -> Device:
    path = folder / "drawing.geo"
    path.write_text(text, encoding="utf-8")
    return Device.from_gmsh(path, length_unit="nm", **options)


def metal(**changes: Any) -> Material:
    values = {"carriers": "3d", "conductivity": SIGMA, "vorticity_diffusion_length": LENGTH}
    return Material(**{**values, **changes})


def spin(hall: float) -> Transport:
    return material(
        ["spin_z"],
        diffusivity={("spin", "spin"): diffusion_block(D)},
        relaxation={("spin", "spin"): ONE * D / DECAY**2},
        hall={"spin": hall_block(hall)},
        susceptibility={"spin": CHI},
        dimension=2,
    )


def problem(device: Device, hall: float, **more: Any) -> Diffusion:
    materials = dict.fromkeys(device.regions, spin(hall))
    return Diffusion(device, components=["spin_z"], materials=materials, **more)


def flow(device: Device, matter: Material, model: Any = Hydrodynamic, **laws: Any) -> Flow:
    return model(
        device,
        materials=dict.fromkeys(device.regions, matter),
        boundaries=laws,
        order=device.order,
    ).solve()


def mode(k: float, theta: float, points: np.ndarray) -> np.ndarray:
    """X, J_x, J_y, phi at points, for cos(kx) J/m^2 fed in at the upper wall."""
    q, m, h = np.hypot(k, 1 / LENGTH), np.hypot(k, 1 / DECAY), WIDTH / 2

    def at(y: float) -> dict[str, np.ndarray]:
        def pair(place: int, rate: float, order: int) -> np.ndarray:
            even, odd = np.cosh(rate * y), np.sinh(rate * y)
            out = np.zeros(6, dtype=complex)
            out[place : place + 2] = (even, odd) if order % 2 == 0 else (odd, even)
            return out * rate**order / np.cosh(rate * h)

        phi, psi, omega = (
            [pair(place, rate, order) for order in range(3)]
            for place, rate in ((0, k), (2, q), (4, m))
        )
        J = np.array([-SIGMA * 1j * k * phi[0] + psi[1], -SIGMA * phi[1] - 1j * k * psi[0]])
        slope = np.array([-SIGMA * 1j * k * phi[1] + psi[2], -SIGMA * phi[2] - 1j * k * psi[1]])
        return {
            "J": J,
            "shear": slope[0] + 1j * k * J[1],
            "level": phi[0] - 2 * LENGTH**2 / SIGMA * slope[1],
            "phi": phi[0],
            "omega": omega[0],
            "slope": omega[1],
        }

    rows, right = [], []
    for n in (1, -1):
        wall = at(n * h)
        rows.append(wall["J"][1] - theta * 1j * k * wall["omega"])
        rows.append(n * wall["shear"] + wall["J"][0] / SLIP)
        current = -theta * 1j * k * wall["level"] - D * CHI * wall["slope"]
        rows.append(n * current - V * CHI * wall["omega"])
        right += [0, 0, -1.0 if n > 0 else 0.0]
    scale = np.abs(rows).max(axis=0)
    size = np.abs(rows / scale).max(axis=1)
    found = np.linalg.solve(rows / scale / size[:, None], np.array(right) / size) / scale
    out = []
    for x, y in points:
        here = at(y)
        along = here["J"][0] + theta * here["slope"]
        across = here["J"][1] - theta * 1j * k * here["omega"]
        all_ = np.array([CHI * here["omega"], along, across, here["phi"]]) @ found
        out.append((all_ * np.exp(1j * k * x)).real)
    return np.array(out)


@pytest.mark.parametrize(
    ("order", "within"),
    [
        (3, (2e-3, 2e-2)),
        pytest.param(4, (2e-4, 2e-3), marks=pytest.mark.verification),
    ],
)
def test_a_wave_along_a_wall(tmp_path: Path, order: int, within: tuple[float, float]) -> None:
    """Against the closed form; Crouzeix-Raviart and Taylor-Hood elements."""
    hall, k = 2e5, 2 * np.pi / PERIOD
    device = drawn(tmp_path, STRIP, order=order)
    wall = Wall(slip_length=SLIP)
    laws = {"left": Periodic(to="right", voltage=0.0), "bottom": wall, "top": wall}
    alone = flow(device, metal(), **laws)
    fed = Surface(velocity=V, injected=lambda x: np.cos(k * x[..., :1]))
    surfaces = {"top": fed, "bottom": Surface(velocity=V)}
    both = problem(device, hall, surfaces=surfaces, pairs=[("left", "right")], order=order)
    coupled, densities, _ = two_way(both, alone)
    points = np.column_stack([np.linspace(1, 39, 13), np.linspace(-9.5, 9.5, 13)]) * NM
    exact = mode(k, HBAR / ELEMENTARY_CHARGE * hall, points)
    found = coupled.sample(points)
    found = np.column_stack(
        [densities.sample(points)["spin_density_z"], found["current_density"], found["potential"]]
    )
    found[:, 3] -= (found[:, 3] - exact[:, 3]).mean()  # its level is free
    error = np.abs(found - exact).max(axis=0) / np.abs(exact).max(axis=0)
    assert error[0] < within[0]
    assert (error[1:] < within[1]).all()
    uncoupled = both.solve().sample(points)["spin_density_z"]
    assert np.abs(uncoupled - exact[:, 0]).max() > 0.3 * np.abs(exact[:, 0]).max()


def test_a_ribbon(tmp_path: Path) -> None:
    """What drifts does not change: G is that of the flow plus 2 theta^2 t/chi (D/l + V t)."""
    hall = 2e5
    device = drawn(tmp_path, STRIP, order=4, parameters={"nx": 4, "ny": 8})
    laws = {name: Wall(slip_length=SLIP) for name in ("bottom", "top")}
    ends = {"left": Contact(potential=1e-3), "right": Contact(potential=0.0)}
    alone = flow(device, metal(), **ends, **laws)
    surfaces = dict.fromkeys(("bottom", "top"), Surface(velocity=V))
    both = problem(device, hall, surfaces=surfaces)
    coupled, densities, response = two_way(both, alone)
    theta, t = HBAR / ELEMENTARY_CHARGE * hall, np.tanh(WIDTH / 2 / DECAY)
    exact = 2 * theta**2 * t / CHI / (D / DECAY + V * t) / PERIOD
    change = coupled.conductance_matrix - alone.conductance_matrix
    np.testing.assert_allclose(change, exact * np.array([[1, -1], [-1, 1]]), rtol=1e-6)
    assert response.contacts["left"].current == pytest.approx(1e-3 * exact, rel=1e-6)
    alone = both.solve(alone)
    np.testing.assert_allclose(
        densities.density, alone.density, rtol=0, atol=1e-5 * densities.density.max()
    )


#: Those of TEE: a reservoir, and a current that is given.
ENDS = {
    "left": Contact(potential=1.0),
    "right": Contact(current=0.1),
    "top": Contact(potential=-0.3, law="reservoir"),
}


@pytest.mark.parametrize("slip", [SLIP, 0.0])
def test_reciprocity(tmp_path: Path, slip: float) -> None:
    """G_ij = G_ji, and no current is lost; also without slip."""
    device, ends = drawn(tmp_path, TEE, order=3), ENDS
    matter = metal(mean_free_path=LENGTH)
    alone = flow(device, matter, **ends, walls=Wall(slip_length=slip))
    surfaces = {"walls": Surface(velocity=V), "right": Surface(injected=[1e-7])}
    both = problem(device, 1e5, surfaces=surfaces, order=3)
    coupled, densities, response = two_way(both, alone)
    G = coupled.conductance_matrix
    np.testing.assert_allclose(G, G.T, rtol=1e-9)
    assert np.abs(G.sum(axis=0)).max() < 1e-10 * np.abs(G).max()
    assert np.abs(G - alone.conductance_matrix).max() > 1e-3 * np.abs(G).max()
    assert coupled.sum_of_currents < 1e-12
    assert coupled.contacts["right"].current == pytest.approx(0.1, rel=1e-12)
    assert abs(sum(response.short_circuit.values())) < 1e-10 * abs(response.short_circuit["left"])
    assert np.abs(densities.imbalance).max() < 1e-12

    # I(j = 1, V = 0) = integral of omega over the injecting boundary for (j = 0, V = 1).
    zero = {name: replace(law, potential=0.0, current=None) for name, law in ends.items()}
    first = flow(device, matter, **zero, walls=Wall(slip_length=slip))
    one = {**zero, "left": Contact(potential=1.0)}
    second = flow(device, matter, **one, walls=Wall(slip_length=slip))
    surfaces["right"] = Surface(injected=[1.0])
    fed = problem(device, 1e5, surfaces=surfaces, order=3)
    current = two_way(fed, first)[0].contacts["left"].current
    idle = problem(device, 1e5, surfaces={"walls": Surface(velocity=V)}, order=3)
    omega = two_way(idle, second)[1].potential.function()
    integral = device.integrate(omega * device.ds("right", degree=3))
    assert current == pytest.approx(integral, rel=1e-7)


def test_rounding_that_is_magnified_is_told(tmp_path: Path) -> None:
    """Cells at corners far smaller than all lengths: small residuals, and G_ij is not G_ji."""
    free = "\n".join(line for line in TEE.splitlines() if "Transfinite" not in line)
    device = drawn(tmp_path, free, order=2)
    alone = flow(device, metal(mean_free_path=LENGTH), **ENDS, walls=Wall(slip_length=SLIP))
    both = problem(device, 1e5, surfaces={"walls": Surface(velocity=V)}, order=2)
    with pytest.raises(ConvergenceError, match=r"G_ij and G_ji differ by .*mesh\.accuracy"):
        two_way(both, alone)


@pytest.mark.verification
@pytest.mark.parametrize(("slip", "within", "gain"), [(SLIP, 3e-4, 10), (0.0, 1e-3, 1.8)])
def test_power(tmp_path: Path, slip: float, within: float, gain: float) -> None:
    """All of it is accounted for: what is missing goes with the size of the cells.

    With slip as h^5; walls without slip hold the current by Nitsche's method, whose share of the
    power goes as h since stresses are singular where they meet contacts.
    """
    matter, missing = metal(mean_free_path=LENGTH), []
    for n in (1, 2):
        device = drawn(tmp_path, TEE, order=3, parameters={"n": n})
        alone = flow(device, matter, **ENDS, walls=Wall(slip_length=slip))
        surfaces = {"walls": Surface(velocity=V), "right": Surface(injected=[1e-7])}
        both = problem(device, 1e5, surfaces=surfaces, order=3)
        coupled, densities, _ = two_way(both, alone)
        power = powers(both, densities, coupled)
        given = power.pop("contacts") + power.pop("injection")
        missing.append(abs(given / sum(power.values()) - 1))
    assert missing[0] < within
    assert missing[1] < missing[0] / gain


@pytest.mark.verification
def test_limits(tmp_path: Path) -> None:
    """l -> 0 is Ohm's law with the coupling; theta -> 0 the flow and the densities without it."""
    device = drawn(tmp_path, STRIP, order=4)
    ends = {"left": Contact(potential=1e-3), "right": Contact(potential=0.0)}
    laws = {**ends, **dict.fromkeys(("bottom", "top"), Wall(specularity=1.0))}
    fed = Surface(injected=lambda x: 1e-4 * np.cos(5e7 * x[..., :1]))
    both = problem(device, 2e5, surfaces={"top": fed})
    ohmic, _, wanted = two_way(both, flow(device, metal(), Ohmic, **laws))
    off = []
    for length in (1 * NM, 0.25 * NM):
        alone = flow(device, metal(vorticity_diffusion_length=length), **laws)
        coupled, _, response = two_way(both, alone)
        found, exact = (r.contacts["left"].current for r in (response, wanted))
        off.append(abs(found / exact - 1))
    assert off[1] < min(0.3 * off[0], 1e-3)
    np.testing.assert_allclose(coupled.conductance_matrix, ohmic.conductance_matrix, rtol=1e-4)
    weak, strong = problem(device, 1e2), problem(device, 1e3)
    first, second = two_way(weak, alone), two_way(strong, alone)
    np.testing.assert_allclose(first[0].conductance_matrix, alone.conductance_matrix, rtol=1e-6)
    size = np.abs(second[1].density).max()
    np.testing.assert_allclose(10 * first[1].density, second[1].density, rtol=0, atol=1e-4 * size)
    one_way = strong.solve(alone).density
    np.testing.assert_allclose(one_way, second[1].density, rtol=0, atol=1e-4 * size)
    ratio = second[2].contacts["left"].current / first[2].contacts["left"].current
    assert ratio == pytest.approx(100, rel=1e-3)


def floating(drawing: Path, order: int, slip: float) -> meso.Result:
    """TEE with a reservoir and a given current; angular momentum precesses and is fed in."""
    drawing.write_text(TEE.replace(", 20, 0", ", height, 0").replace("n = 1", "n = 1, height = 20"))
    given = {
        "geometry": {
            "file": str(drawing),
            "length_unit": "nm",
            "parameters": {"height": 20},
            "thickness": 1e-8,
        },
        "materials": {
            "m": {
                "carriers": "3d",
                "conductivity": 2e6,
                "mean_free_path": 1.2e-8,
                "orbital_coupling": -2e-31,
            }
        },
        "regions": {"metal": "m"},
        "boundaries": {
            "left": {"contact": {"potential": 4e-3}},
            "right": {"contact": {"current": 1e-6}},
            "top": {"contact": {"potential": -1e-3, "law": "reservoir"}},
            "walls": {"wall": {"slip_length": slip}},
        },
        "flow": {"model": "hydrodynamic", "order": order},
        "output": {"probes": {"p": {"from": ["9 nm", "1 nm"], "to": ["9 nm", "9 nm"]}}},
        "angular_momentum": {
            "coupling": "two-way",
            "orbital": {
                "components": ["x", "y", "z"],
                "hall_conductivity": 3e4,
                "diffusivity": 1e-4,
                "diffusion_length": 6e-9,
                "susceptibility": 1e-21,
                "precession": [1e12, 2e12, -5e11],
                "boundaries": {
                    "walls": {"relaxation_velocity": 300, "current": {"z": 1e-7}},
                    "left": {"law": "reservoir"},
                },
            },
        },
    }
    case = meso.Case.from_dict(given)
    return meso.run(case, device=Device.from_gmsh(drawing, length_unit="nm", order=order))


#: All that there is to be differentiated.
NUMBERS = (
    "left.current",
    "right.potential",
    "walls.3.orbital_moment",
    "walls.3.orbital_z.diffusive_over_vorticity",
    "angular_momentum.outflow.left.orbital_x",
    "inverse.left.current",
    "probe.p.current_density.x.100",
    "probe.p.vorticity.100",
    "probe.p.orbital_total_density_z.100",
)
SOME = ("geometry.parameters.height", "angular_momentum.orbital.hall_conductivity")


@pytest.mark.parametrize(
    ("order", "slip", "of"),
    [
        (3, SLIP, SOME),
        pytest.param(3, SLIP, None, marks=pytest.mark.thorough),
        pytest.param(4, 0.0, None, marks=pytest.mark.thorough),
    ],
)
def test_derivatives(tmp_path: Path, order: int, slip: float, of: tuple[str, ...] | None) -> None:
    """Adjoints against central differences, without a symmetry of the diffusion; both elements."""
    result = floating(tmp_path / "tee.geo", order, slip)
    if of is None:
        inputs = meso.gradients.inputs_of(result.case)
        of = tuple(one.key for one in inputs if one.value)  # slip 0 has an end
    found, wanted = (
        result.gradient(NUMBERS, of=of, method=method) for method in ("adjoint", "differences")
    )
    sizes = [one.value for one in found.inputs]
    change, off = wanted.derivatives * sizes, (found.derivatives - wanted.derivatives) * sizes
    assert (np.abs(change).max(axis=1) > 0).all()
    assert (np.abs(off).max(axis=1) < 1e-7 * np.abs(change).max(axis=1)).all()


BOX = """
SetFactory("OpenCASCADE");
Box(1) = {0, 0, 0, 10, 10, 10};
Mesh.MeshSizeMin = 10;
Physical Volume("metal") = {1}; Physical Surface("walls") = {1, 2, 3, 4, 5, 6};
"""


def test_refused(tmp_path: Path) -> None:
    """What has no two-way coupling, and what does not converge."""
    device = drawn(tmp_path, TEE, order=3)
    ends = {name: Contact(potential=v) for name, v in (("left", 1.0), ("right", 0), ("top", 0.2))}
    alone = flow(device, metal(), **ends, walls=Wall(slip_length=SLIP))
    with pytest.raises(CaseError, match="kinetic"):
        two_way(problem(device, 1e5, order=3), replace(alone, model="kinetic"))
    solid = drawn(tmp_path, BOX, order=2)
    with pytest.raises(CaseError, match="found 3D"):
        two_way(Diffusion(solid, components=["spin_z"], materials={"metal": spin(1e5)}), alone)
    tensor = hall_block(1e5)
    tensor[0, 2, 1] *= 1.5
    crystal = replace(spin(1e5), hall=tensor[:, 2:, :])
    materials = dict.fromkeys(device.regions, crystal)
    with pytest.raises(CaseError, match="antisymmetric"):
        two_way(Diffusion(device, components=["spin_z"], materials=materials, order=3), alone)
    with pytest.raises(ConvergenceError, match="too strong"):
        two_way(problem(device, 1e9, order=3), alone)
