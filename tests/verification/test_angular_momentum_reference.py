"""Closed forms of the diffusion of angular momentum: ribbons, layers, round sections, films.

The numbers in angular_momentum.json (SI) solve d_y J = -T X, J = J_H - D X', n J = V X; y counts
from the bottom wall. "half" are integrals over halves of a layer. In "swap" the Hall current is
J^{ia} = J_H epsilon_iaz, in "inverse" J = sigma E + theta curl omega.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import thorough
from scipy.special import iv, ivp, kv, kvp

from meso import Contact, Device, Layer, Material, Wall
from meso.angular_momentum import (
    LEVI_CIVITA,
    ONE,
    Densities,
    Diffusion,
    Surface,
    Transport,
    decay_lengths,
    diffusion_block,
    hall_block,
    layer,
    material,
    one_way,
    powers,
    rotated,
    rotation,
    shortest,
    two_way,
)
from meso.flow import Flow, Ohmic

DATA = json.loads((Path(__file__).parent / "angular_momentum.json").read_text())
#: Polynomial degree -> accuracy: of the default mesh, and of the same mesh at degree 8.
ACCURACY = {4: 1e-6, 8: 1e-9}


def stack(folder: Path, layers: list[dict[str, Any]], length: float) -> Path:
    """Rectangles m0, m1, ... one above the other, in nm."""
    text, y, count = ['SetFactory("OpenCASCADE");'], 0.0, len(layers)
    for i in range(count + 1):
        text.append(
            f"Point({2 * i + 1}) = {{0, {y!r}, 0}}; Point({2 * i + 2}) = "
            f"{{{length * 1e9!r}, {y!r}, 0}};"
        )
        text.append(f"Line({i + 1}) = {{{2 * i + 1}, {2 * i + 2}}};")
        y += layers[i]["d"] * 1e9 if i < count else 0.0
    for i in range(count):
        a, b = 2 * i + 1, 2 * i + 2
        text.append(f"Line({100 + i}) = {{{a}, {a + 2}}}; Line({200 + i}) = {{{b}, {b + 2}}};")
        text.append(f"Curve Loop({i + 1}) = {{{i + 1}, {200 + i}, -{i + 2}, -{100 + i}}};")
        text.append(
            f'Plane Surface({i + 1}) = {{{i + 1}}}; Physical Surface("m{i}") = {{{i + 1}}};'
        )
    for name, first in (("left", 100), ("right", 200)):
        lines = ", ".join(str(first + i) for i in range(count))
        text.append(f'Physical Curve("{name}") = {{{lines}}};')
    text.append(f'Physical Curve("bottom") = {{1}}; Physical Curve("top") = {{{count + 1}}};')
    path = folder / "stack.geo"
    path.write_text("\n".join(text) + "\n")
    return path


def strip(folder: Path, name: str, order: int) -> Densities:
    """Solve one of the sets of ribbons and layers."""
    data = DATA["ribbon"][name]
    layers, joint = data["layers"], (data["interfaces"] or ["none"])[0]
    materials = {}
    for i, part in enumerate(layers):
        n = len(part["JH"])
        hall = np.zeros((3, n, 3))
        hall[1, :, 0] = part["JH"]
        materials[f"m{i}"] = Transport(
            diffusivity=np.einsum("ik,ab->iakb", ONE, np.array(part["D"], float)),
            relaxation=np.array(part["T"], float),
            hall=hall,
            susceptibility=np.diag(part["chi"]) if joint == "partition" else None,
        )
    thickness = sum(part["d"] for part in layers)
    wall = layer(shortest(materials.values()))
    several = len(layers) > 1
    device = Device.from_gmsh(
        stack(folder, layers, (0.1 if several else 1.0) * thickness),
        length_unit="nm",
        order=order,
        layers={"top": wall, "bottom": wall},
        interface=Layer(decay=wall.decay, finer=1.0 if order == 4 else 0.7),
    )
    problem = Diffusion(
        device,
        components=["spin_z", "orbital_z"][: len(layers[0]["JH"])],
        materials=materials,
        surfaces={
            side: Surface(velocity=np.array(data[f"V_{side}"])) for side in ("bottom", "top")
        },
        conductances={("m0", "m1"): joint[1]} if joint[0] == "conductance" else {},
        order=order,
    )
    return problem.solve([1.0, 0.0, 0.0])


@pytest.mark.parametrize("order", [4, thorough(8)])
@pytest.mark.parametrize("name", DATA["ribbon"])
def test_ribbons_and_layers(tmp_path: Path, name: str, order: int) -> None:
    """Densities at walls and on both sides of interfaces, integrals, balances."""
    data = DATA["ribbon"][name]
    found = strip(tmp_path, name, order)
    device = found.device
    fields = [found.field(component).function() for component in found.components]
    space = fields[0].function_space
    dofs = space.dofmap.list[: len(device.cell_region)]
    y = space.tabulate_dof_coordinates()[dofs, 1]
    density = np.stack([field.x.array[dofs] for field in fields], axis=-1)
    bottom, length = 0.0, np.ptp(device.mesh.geometry.x[:, 0])
    for i, part in enumerate(data["layers"]):
        own = device.cell_region == i
        result = {k.removeprefix(f"layer{i}_"): np.array(v) for k, v in data["result"].items()}
        size = np.maximum(np.abs(result["X_start"]), np.abs(result["X_end"]))
        for key, at in (("X_start", bottom), ("X_end", bottom + part["d"])):
            X = density[own][np.abs(y[own] - at) < 1e-9 * part["d"]]
            assert np.abs((X - result[key]) / size).max() < ACCURACY[order]
        dx = device.dx(f"m{i}", degree=order)
        integral = np.array([device.integrate(field * dx) for field in fields]) / length
        size = np.maximum(np.abs(result["integral_half0"]), np.abs(result["integral_half1"]))
        assert np.abs((integral - result["integral"]) / size).max() < ACCURACY[order]
        bottom += part["d"]
    assert np.abs(found.imbalance).max() < 1e-12


def section(folder: Path, outer: float, inner: float, order: int, decay: float) -> Device:
    """A disc or a ring in nm."""
    text = f'SetFactory("OpenCASCADE"); Disk(1) = {{0, 0, 0, {outer * 1e9!r}}};\n'
    if inner:
        text += f"Disk(2) = {{0, 0, 0, {inner * 1e9!r}}};\n"
        text += "BooleanDifference{Surface{1}; Delete;}{Surface{2}; Delete;}\n"
        text += 'b[] = Boundary{Surface{1};}; Physical Curve("inner") = {b[1]};\n'
        text += 'Physical Curve("outer") = {b[0]};\n'
    else:
        text += 'Physical Curve("outer") = {1};\n'
    path = folder / "section.geo"
    path.write_text(text + 'Physical Surface("metal") = {1};\n')
    names = ("outer", "inner") if inner else ("outer",)
    return Device.from_gmsh(
        path, length_unit="nm", order=order, layers=dict.fromkeys(names, layer(decay))
    )


def across(
    device: Device,
    order: int,
    block: np.ndarray,
    tau: float,
    hall: float,
    surfaces: dict[str, Surface],
    field: float = 1.0,
    **more: Any,
) -> Densities:
    """Spin along x and y in a section, driven by a field along z."""
    transport = material(
        ["spin_x", "spin_y"],
        diffusivity={("spin", "spin"): block},
        relaxation={("spin", "spin"): ONE / tau},
        hall={"spin": hall * LEVI_CIVITA},
        dimension=2,
    )
    problem = Diffusion(
        device,
        components=["spin_x", "spin_y"],
        materials={"metal": transport},
        surfaces=surfaces,
        order=order,
        **more,
    )
    assert not problem.warnings
    return problem.solve([0.0, 0.0, field])


def polar(found: Densities, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Radial and azimuthal component all around."""
    angle = np.linspace(0.0, 2 * np.pi, 720, endpoint=False)
    e = np.column_stack([np.cos(angle), np.sin(angle)])
    # A hair inside the wall; the error that makes is below 1e-8.
    X = np.column_stack(list(found.sample(radius * e).values()))
    return (X * e).sum(axis=1), X[:, 1] * e[:, 0] - X[:, 0] * e[:, 1]


@pytest.mark.parametrize("order", ACCURACY)
@pytest.mark.parametrize("name", ["swap_disc_1", "swap_disc_2", "swap_disc_LD"])
def test_round_wire(tmp_path: Path, name: str, order: int) -> None:
    """Swapping acts at a curved wall; transversal and longitudinal decay lengths."""
    data = DATA["swap"][name]
    R, velocity, j = data["R"], data["V"], data["j_injected"]
    block = diffusion_block(data["D0"], divergence=data["A"], swapping=data["B"])
    device = section(tmp_path, R, 0.0, order, min(data["l_T"], data["l_L"]))
    inside = R * (1 - 1e-11)
    found = across(
        device, order, block, data["tau"], data["JH"], {"outer": Surface(velocity=velocity)}
    )
    for radius, key in ((inside, "X_phi_R"), (R / 2, "X_phi_R2")):
        np.testing.assert_allclose(polar(found, radius)[1], data[key], rtol=ACCURACY[order])

    def radial(x: np.ndarray) -> np.ndarray:
        return j * x / np.linalg.norm(x, axis=-1, keepdims=True)

    surface = Surface(velocity=velocity, injected=radial)
    found = across(device, order, block, data["tau"], 0.0, {"outer": surface})
    for radius, key in ((inside, "X_r_R"), (R / 2, "X_r_R2")):
        np.testing.assert_allclose(polar(found, radius)[0], data[key], rtol=ACCURACY[order])
    assert np.abs(found.imbalance).max() < 1e-12


@pytest.mark.parametrize("order", ACCURACY)
def test_hollow_wire(tmp_path: Path, order: int) -> None:
    """The curvature of the inner wall has the other sign."""
    data = DATA["swap"]["swap_annulus"]
    R1, R2 = data["R1"], data["R2"]
    device = section(tmp_path, R2, R1, order, float(np.sqrt(data["D0"] * data["tau"])))
    surfaces = {k: Surface(velocity=data[f"V_{k}"]) for k in ("inner", "outer")}
    block = diffusion_block(data["D0"], swapping=data["B"])
    found = across(device, order, block, data["tau"], data["JH"], surfaces)
    for radius, key in (
        (R1 * (1 + 1e-11), "X_phi_R1"),
        ((R1 + R2) / 2, "X_phi_mid"),
        (R2 * (1 - 1e-11), "X_phi_R2"),
    ):
        error = np.abs(polar(found, radius)[1] - data[key]).max()
        assert error < ACCURACY[order] * data["X_phi_R2"]


HOLES = [(0.1, 4e-6), (0.56, 0.0), (1.1, 0.0), (1.6, -3e-6)]


@pytest.mark.parametrize(("ratio", "swapping"), HOLES)
def test_holes_below_the_decay_length(tmp_path: Path, ratio: float, swapping: float) -> None:
    """Densities vary over the radius of the hole: everywhere within 1e-6 on the default mesh."""
    D, tau, velocity, hall = 1e-5, 2e-12, 50.0, 2.5e-5
    decay = float(np.sqrt(D * tau))
    R1, R2 = ratio * decay, (ratio + 2.5) * decay
    # X = a I_1(r/l) + b K_1(r/l); n·J = V X outside, 0 inside, with the flux of swapping -B X/r.
    rows = [
        [D * ivp(1, R2 / decay) / decay, D * kvp(1, R2 / decay) / decay],
        [D * ivp(1, R1 / decay) / decay, D * kvp(1, R1 / decay) / decay],
    ]
    bessel = np.array([[iv(1, r / decay), kv(1, r / decay)] for r in (R2, R1)])
    rates = np.array([[velocity - swapping / R2], [-swapping / R1]])
    a, b = np.linalg.solve(rows + rates * bessel, [hall, hall])
    device = section(tmp_path, R2, R1, 4, decay)
    block = diffusion_block(D, swapping=swapping)
    found = across(device, 4, block, tau, hall, {"outer": Surface(velocity=velocity)})
    near = R1 * (1 + np.array([1e-11, 0.02, 0.05, 0.15, 0.35]))
    radii = np.append(near, R2 * (1 - 1e-11))
    exact = a * iv(1, radii / decay) + b * kv(1, radii / decay)
    for radius, value in zip(radii, exact, strict=True):
        radial, azimuthal = polar(found, radius)
        error = np.maximum(np.abs(azimuthal - value), np.abs(radial)).max()
        assert error < 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("order", ACCURACY)
@pytest.mark.parametrize("name", [f"film_rotated_cubic_{i}" for i in (0, 1, 2)])
def test_turned_crystal(tmp_path: Path, name: str, order: int) -> None:
    """A cubic crystal that is turned mixes the components; n = y, t = x and E = -z here."""
    data = DATA["swap"][name]
    W = data["W"] * 1e9
    path = tmp_path / "film.geo"
    path.write_text(
        f'SetFactory("OpenCASCADE"); Rectangle(1) = {{0, {-W / 2!r}, 0, {W!r}, {W!r}}};\n'
        f"Periodic Curve{{2}} = {{4}} Translate{{{W!r}, 0, 0}};\n"
        'Physical Surface("metal") = {1}; Physical Curve("left") = {4};\n'
        'Physical Curve("right") = {2}; Physical Curve("edges") = {1, 3};\n'
    )
    decay = float(np.sqrt(np.linalg.eigvalsh(np.array(data["D_nt"])).min() * data["tau"]))
    device = Device.from_gmsh(path, length_unit="nm", order=order, layers={"edges": layer(decay)})
    block = diffusion_block(
        data["c2"], divergence=data["c1"], swapping=data["c3"], cubic=data["c4"]
    )
    block = rotated(block, rotation([0, 0, 1], data["phi"]))
    found = across(
        device,
        order,
        block,
        data["tau"],
        data["JH"],
        {"edges": Surface(velocity=data["V"])},
        field=-1.0,
        pairs=[("left", "right")],
    )
    at = [[x * W * 1e-9, W / 2 * 1e-9 * (1 - 1e-12)] for x in (0.2, 0.7)]
    values = found.sample(np.array(at))
    X = np.column_stack([values[f"spin_density_{axis}"] for axis in "yx"])
    # Points on straight walls are found to 1e-9 of a cell.
    error = np.abs(X - data["X_nt_top"]).max() / abs(data["X_nt_top"][1])
    assert error < ACCURACY[order]


def metal(parameters: dict[str, float], result: dict[str, float]) -> tuple[Material, Transport]:
    """Charge and spin transport of a set of the inverse effect."""
    D, decay = parameters["D"], parameters["l"]
    return Material(carriers="3d", conductivity=parameters["sigma"]), material(
        ["spin_z"],
        diffusivity={("spin", "spin"): diffusion_block(D)},
        relaxation={("spin", "spin"): ONE * D / decay**2},
        hall={"spin": hall_block(parameters["sH"])},
        susceptibility={"spin": result["chi"]},
        dimension=2,
    )


def bar(folder: Path, width: float, decay: float, order: int) -> Device:
    """A strip, twice as long as wide, with walls that can be told apart."""
    return Device.from_gmsh(
        stack(folder, [{"d": width}], 2 * width),
        length_unit="nm",
        order=order,
        layers=dict.fromkeys(("bottom", "top"), layer(decay)),
    )


def ohmic(device: Device, matter: Material, order: int, **contacts: Contact) -> Flow:
    """Flow between "left" and "right"."""
    walls = {name: Wall(specularity=1.0) for name in ("bottom", "top")}
    laws = {**contacts, **walls}
    return Ohmic(device, materials={"m0": matter}, boundaries=laws, order=order).solve()


@pytest.mark.parametrize("order", [4, thorough(8)])
@pytest.mark.parametrize("name", DATA["inverse"])
def test_conductance_of_second_order(tmp_path: Path, name: str, order: int) -> None:
    """The Hall current comes back as charge current: dG/G; power and reciprocity to rounding."""
    parameters, result = DATA["inverse"][name].values()
    matter, transport = metal(parameters, result)
    device = bar(tmp_path, parameters["W"], parameters["l"], order)
    flow = ohmic(device, matter, order, left=Contact(potential=1e-3), right=Contact(potential=0.0))
    surfaces = {side: Surface(velocity=parameters.get("V", 0.0)) for side in ("bottom", "top")}
    problem = Diffusion(
        device, components=["spin_z"], materials={"m0": transport}, surfaces=surfaces, order=order
    )
    coupled, densities, response = two_way(problem, flow)
    change = coupled.conductance_matrix[0, 0] / flow.conductance_matrix[0, 0] - 1
    # The parameters in the file have ten digits; dG/G is a difference of numbers near one.
    assert change == pytest.approx(result["dG_over_G"], rel=max(ACCURACY[order], 2e-9))
    first = one_way(problem, problem.solve(flow), flow).contacts["left"].current
    assert first / flow.contacts["left"].current == pytest.approx(
        result["dG_over_G"], rel=max(ACCURACY[order], 2e-9)
    )
    assert response.contacts["left"].potential == 0.0
    power = powers(problem, densities, coupled)
    given = power.pop("contacts") + power.pop("injection")
    assert given == pytest.approx(sum(power.values()), rel=1e-12)
    assert coupled.sum_of_currents < 1e-12
    np.testing.assert_allclose(coupled.conductance_matrix, coupled.conductance_matrix.T, rtol=1e-12)


@pytest.mark.parametrize("order", ACCURACY)
@pytest.mark.parametrize("name", DATA["inverse"])
def test_open_circuit(tmp_path: Path, name: str, order: int) -> None:
    """A strip into which angular momentum is fed: voltage with and without feedback."""
    parameters, result = DATA["inverse"][name].values()
    matter, transport = metal(parameters, result)
    width = parameters["d"]
    device = bar(tmp_path, width, parameters["l"], order)
    flow = ohmic(device, matter, order, left=Contact(potential=0.0), right=Contact(current=0.0))

    def problem(**surfaces: Surface) -> Diffusion:
        return Diffusion(
            device,
            components=["spin_z"],
            materials={"m0": transport},
            surfaces=surfaces,
            order=order,
        )

    fed = problem(bottom=Surface(injected=[parameters["j0"]]))
    coupled, densities, _ = two_way(fed, flow)
    field = (coupled.contacts["left"].potential - coupled.contacts["right"].potential) / (2 * width)
    assert field == pytest.approx(result["E_open"], rel=ACCURACY[order])
    alone = one_way(fed, fed.solve(flow), flow).contacts
    field = (alone["left"].potential - alone["right"].potential) / (2 * width)
    assert field == pytest.approx(result["E_open_first_order"], rel=ACCURACY[order])
    power = powers(fed, densities, coupled)
    given = power.pop("contacts") + power.pop("injection")
    assert given == pytest.approx(sum(power.values()), rel=1e-12)

    # I(j = 1, V = 0) = integral of omega over the injecting wall for (j = 0, V = 1).
    short = {"right": Contact(potential=0.0)}
    first = ohmic(device, matter, order, left=Contact(potential=0.0), **short)
    second = ohmic(device, matter, order, left=Contact(potential=1.0), **short)
    current = two_way(problem(bottom=Surface(injected=[1.0])), first)[0].contacts["left"].current
    omega = two_way(problem(), second)[1].potential.function()
    integral = device.integrate(omega * device.ds("bottom", degree=order))
    assert current == pytest.approx(integral, rel=1e-12)


def test_precession_makes_the_length_complex() -> None:
    """D = 2.5e-6 m^2/s, T = (0.5 +- 3i)e12/s: l = sqrt(D/T)."""
    part = DATA["ribbon"]["b_precession"]["layers"][0]
    transport = Transport(
        diffusivity=np.einsum("ik,ab->iakb", ONE, np.array(part["D"], float)),
        relaxation=np.array(part["T"], float),
    )
    wanted = np.sqrt(2.5e-6 / (0.5e12 + 3e12j))
    lengths = decay_lengths(transport, np.array([0.0, 1.0, 0.0]))
    assert sorted(lengths.imag) == pytest.approx([wanted.imag, -wanted.imag])
    assert lengths.real == pytest.approx(wanted.real)
