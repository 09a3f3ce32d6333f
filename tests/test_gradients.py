"""Derivatives of results in the inputs of a case, against closed forms and sweeps; refusals."""

from __future__ import annotations

import csv
import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES, thorough

import meso
from meso.cli import main
from meso.equations.hydrodynamic import lorentz
from meso.exact import Bend, Ribbon
from meso.gradients import (
    Gradient,
    gradient,
    inputs_of,
    moved,
    velocities,
    with_uncertainties,
)

RIBBON: dict[str, Any] = {
    "geometry": {
        "file": str(GEOMETRIES / "ribbon.geo"),
        "length_unit": "nm",
        "parameters": {"width": 60, "length": 150},
    },
    "mesh": {"size": "30 nm", "wall_size": "15 nm"},
    "materials": {
        "metal": {
            "carriers": "2d",
            "conductivity": "2 mS",
            "mean_free_path": "30 nm",
            "scattering": {"gamma2": 0.5},
            "fermi_energy": "1 eV",
        }
    },
    "regions": {"metal": "metal"},
    "boundaries": {
        "source": {"contact": {"potential": "1 mV"}},
        "drain": {"contact": {"potential": "0 V"}},
        "edges": {"wall": {"specularity": 0.3}},
    },
    "flow": {"model": "hydrodynamic", "order": 6},
}


COARSE = {"flow.order": 2, "mesh.size": "40 nm", "mesh.wall_size": "30 nm"}


def case(**changes: Any) -> meso.Case:
    return meso.Case.from_dict(RIBBON, overrides=changes)


@pytest.fixture(scope="module")
def ribbon() -> meso.Result:
    return meso.run(case(), gradients=True)


def slope(function: Callable[[float], float], at: float) -> float:
    """A derivative of a closed form, to eleven digits or so."""
    h = 1e-3 * at
    one, two = ((function(at + k * h) - function(at - k * h)) / (2 * k * h) for k in (1, 2))
    return (4 * one - two) / 3


PARAMETERS = {
    "geometry.parameters.width": 60.0,
    "materials.metal.mean_free_path": 30e-9,
    "materials.metal.scattering.gamma2": 0.5,
    "boundaries.edges.wall.specularity": 0.3,
}


def exact(output: str, **changes: float) -> float:
    """Conductance or orbital moment of the lower edge, of the ribbon above."""
    given = {key.split(".")[-1]: value for key, value in PARAMETERS.items()} | changes
    matter = meso.Material(
        carriers="2d",
        conductivity=2e-3,
        mean_free_path=given["mean_free_path"],
        scattering={"gamma2": given["gamma2"]},
        fermi_energy=1.602176634e-19,
    )
    flow = Ribbon(
        width=given["width"] * 1e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=matter.slip_rate(given["specularity"]),
        drive=2e-3 * 1e-3 / 150e-9,
    )
    if output == "conductance":
        return flow.current / 1e-3
    return abs(matter.orbital_coupling) * flow.half_moment / meso.constants.HBAR


@pytest.fixture(scope="module")
def found(ribbon: meso.Result) -> Gradient:
    names = ["conductance", "edges.1.orbital_moment"]
    return gradient(ribbon, names, of=list(PARAMETERS), method="adjoint")


@pytest.mark.parametrize("key", PARAMETERS)
@pytest.mark.parametrize("output", ["conductance", "edges.1.orbital_moment"])
def test_ribbon_against_the_closed_form(found, output, key):
    name = key.split(".")[-1]
    wanted = slope(lambda x: exact(output, **{name: x}), PARAMETERS[key])
    assert found.of(output, key) == pytest.approx(wanted, rel=1e-7)


BEND = {
    "geometry.file": str(GEOMETRIES / "annulus.geo"),
    "geometry.parameters": {"inner_radius": 60, "outer_radius": 120, "angle": 90},
    "boundaries": {
        "source": {"contact": {"potential": "1 mV"}},
        "drain": {"contact": {"potential": "0 V"}},
        "inner": {"wall": {"specularity": 0.3}},
        "outer": {"wall": {"specularity": 0.1}},
    },
    "mesh.size": "5 nm",
    "mesh.wall_size": "5 nm",
    "flow.order": 4,
}
OF_BEND = {
    "geometry.parameters.inner_radius": 60.0,
    "geometry.parameters.outer_radius": 120.0,
    "materials.metal.mean_free_path": 30e-9,
    "boundaries.inner.wall.specularity": 0.3,
}


def exact_bend(output: str, **changes: float) -> float:
    """Conductance, or orbital moment of the inner wall per its length."""
    given = {key: value for key, value in OF_BEND.items()} | changes
    radii = [given[f"geometry.parameters.{name}_radius"] * 1e-9 for name in ("inner", "outer")]
    matter = meso.Material(
        carriers="2d",
        conductivity=2e-3,
        mean_free_path=given["materials.metal.mean_free_path"],
        scattering={"gamma2": 0.5},
        fermi_energy=1.602176634e-19,
    )
    flow = Bend(
        inner=radii[0],
        outer=radii[1],
        diffusion_length=matter.vorticity_diffusion_length,
        inner_slip=matter.slip_rate(given["boundaries.inner.wall.specularity"]),
        outer_slip=matter.slip_rate(0.1),
        drive=2e-3 * 1e-3 / (np.pi / 2),
    )
    if output == "conductance":
        return flow.current / 1e-3
    middle = sum(radii) / 2
    turned = middle * flow.current_density(middle) - radii[0] * flow.current_density(radii[0])
    return float(matter.orbital_coupling * turned / radii[0] / meso.constants.HBAR)


@pytest.fixture(scope="module")
def found_bend() -> Gradient:
    names = ["conductance", "inner.orbital_moment"]
    return gradient(meso.run(case(**BEND), gradients=True), names, of=list(OF_BEND))


@pytest.mark.parametrize("key", OF_BEND)
@pytest.mark.parametrize("output", ["conductance", "inner.orbital_moment"])
def test_bend_against_the_closed_form(found_bend, output, key):
    """What a moment lacks is the third power of the cells that lie between its walls."""
    wanted = slope(lambda x: exact_bend(output, **{key: x}), OF_BEND[key])
    shape = key.startswith("geometry")
    tolerance = 1e-8 if output == "conductance" else 2e-5 if shape else 1e-6
    assert found_bend.of(output, key) == pytest.approx(wanted, rel=tolerance)


def test_numbers_go_with_their_names(ribbon, found):
    assert found.outputs == ("conductance_S", "edges.1.orbital_moment_hbar_per_m")
    assert [one.key for one in found.inputs] == list(PARAMETERS)
    assert found.methods == ("adjoint", "adjoint")
    assert found.values[0] == pytest.approx(ribbon.conductance_matrix[0, 0], rel=1e-12)
    path = found.inputs[1]
    assert (path.value, path.unit, path.uncertainty) == (30e-9, "m", 0.0)
    per_cent = found.derivatives * [one.value for one in found.inputs] / found.values[:, None]
    np.testing.assert_allclose(found.relative(), per_cent)
    turned = ribbon.gradient("orbital_moment.edges.1", of="boundaries.source.contact.potential")
    assert turned.outputs == found.outputs[1:]
    assert turned.relative()[0, 0] == pytest.approx(1.0, rel=1e-10)


# -- adjoints and differences ----------------------------------------------------------------------


HALL = {
    "geometry.file": str(GEOMETRIES / "hall_bar.geo"),
    "geometry.parameters": {"width": 100, "length": 400},
    "boundaries.probe1": {"contact": {"current": "0 A"}},
    "boundaries.probe2": {"contact": {"current": "10 nA"}},
    "boundaries.probe3": {"contact": {"potential": "0.4 mV", "law": "reservoir"}},
    "boundaries.probe4": {"contact": {"current": "0 A"}},
    "output.resistances.along": {"current": ["source", "drain"], "voltage": ["probe1", "probe2"]},
    "flow.order": 2,
    "mesh.size": "50 nm",
    "mesh.wall_size": "40 nm",
}
TERMINALS = [
    *("source.current", "probe1.potential", "probe2.potential", "probe2.current"),
    *("resistance.along", "dissipated_power", "conductance_matrix.probe1.probe3"),
]
OF = [
    *("geometry.parameters.width", "materials.metal.mean_free_path"),
    *("boundaries.probe2.contact.current", "boundaries.probe3.contact.potential"),
    "boundaries.edges.wall.specularity",
]


@pytest.mark.parametrize("model", ["ohmic", thorough("hydrodynamic")])
def test_terminals(model):
    """Floating contacts, given currents, resistances, power: exact for the discrete numbers."""
    boundaries = {key: value for key, value in HALL.items() if key.startswith("boundaries")}
    tables = {**RIBBON, "boundaries": dict(RIBBON["boundaries"])}
    for key, law in boundaries.items():
        tables["boundaries"][key.split(".")[1]] = law
    others = {key: value for key, value in HALL.items() if key not in boundaries}
    if model == "ohmic":
        tables["boundaries"]["probe3"] = {"contact": {"potential": "0.4 mV"}}
    result = meso.run(meso.Case.from_dict(tables, overrides={**others, "flow.model": model}))
    of = OF if model == "hydrodynamic" else OF[:1] + OF[2:3]
    exact = gradient(result, TERMINALS, of, method="adjoint")
    assert set(exact.methods) == {"adjoint"}
    other = gradient(result, TERMINALS, of, method="differences")
    sizes = np.array([one.value for one in other.inputs])
    scale = np.abs(other.derivatives * sizes).max(axis=1, keepdims=True) / sizes
    np.testing.assert_allclose(exact.derivatives / scale, other.derivatives / scale, atol=1e-8)


@pytest.mark.parametrize("model", ["ohmic", "hydrodynamic"])
def test_walls_that_move_outwards_at_sharp_corners(model, tmp_path):
    """The arms of a T become wider: all of their walls move outwards, corners included."""
    drawing = tmp_path / "junction.geo"
    drawing.write_text(
        'SetFactory("OpenCASCADE"); w = DefineNumber[60, Name "width"];'
        " Rectangle(1) = {-100, -w/2, 0, 200, w}; Rectangle(2) = {-w/2, -100, 0, w, 100};"
        " BooleanUnion(3) = { Surface{1}; Delete; }{ Surface{2}; Delete; };"
        " left() = Curve In BoundingBox {-101, -w, -1, -99, w, 1};"
        ' Physical Curve("left") = left();'
        " right() = Curve In BoundingBox {99, -w, -1, 101, w, 1};"
        ' Physical Curve("right") = right();'
        " walls() = Abs(Boundary{ Surface{3}; }); walls() -= left(); walls() -= right();"
        " below() = Curve In BoundingBox {-w, -101, -1, w, -99, 1};"
        ' Physical Curve("below") = below();'
        ' walls() -= below(); Physical Curve("walls") = walls(); Physical Surface("film") = {3};'
    )
    contacts = {"left": 1.0, "right": 0.0, "below": 0.0}
    laws: dict[str, Any] = {n: {"contact": {"potential": v}} for n, v in contacts.items()}
    tables = RIBBON | {
        "geometry": {"file": str(drawing), "length_unit": "nm", "parameters": {"width": 60}},
        "mesh": {"size": "30 nm"},
        "regions": {"film": "metal"},
        "boundaries": laws | {"walls": {"wall": {"specularity": 0.2}}},
        "flow": {"model": model, "order": 3},
    }
    result = meso.run(meso.Case.from_dict(tables), gradients=True)
    wider = result.gradient("right.current", of=["geometry.parameters.width"]).derivatives[0, 0]
    shape = meso.gradients.shape_gradient(result, "right.current")
    assert shape.outward["walls"] * 0.5e-9 == pytest.approx(wider, rel=1e-9)
    assert shape.pieces.sum() == pytest.approx(sum(shape.outward.values()), rel=1e-12)


def test_field_that_is_zero():
    """A Hall voltage is linear in the field: the adjoint without one does not know it."""
    result = meso.run(case(**COARSE, **{"materials.metal.fermi_wavevector": "1e9 1/m"}))
    with pytest.raises(meso.CaseError, match="flow.magnetic_field: no adjoint knows how conduc"):
        result.gradient("conductance", of="flow.magnetic_field", method="adjoint")


def swirl(of: Any) -> Any:
    """A Lorentz force that grows along the conductor."""
    turning = of.material(lambda m: m.mean_free_path) / 1e-7 * of.x[0] / 1e-7
    return lorentz(of.J, of.w, turning / of.conductivity) * of.dx


@pytest.mark.parametrize("terms", [(), (swirl,)])
def test_field_and_added_terms(terms):
    """One transposed solve where the matrix is not symmetric; the field through what it turns."""
    changes: dict[str, Any] = {"materials.metal.fermi_wavevector": "1e9 1/m"}
    if not terms:
        changes["flow.magnetic_field"] = "0.3 T"
    result = meso.run(case(**COARSE, **changes), terms=terms, gradients=True)
    names = ["conductance", "edges.1.orbital_moment", "edges.2.orbital_moment"]
    of = "materials.metal.mean_free_path" if terms else "flow.magnetic_field"
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-7


def test_probes():
    """J and the potential at points, and what a spot sees, where they are while the mesh moves."""
    probe = {"from": ["70 nm", "-29 nm"], "to": ["70 nm", "20 nm"], "points": 5}
    across = {"from": ["68 nm", "-28 nm"], "to": ["74 nm", "29 nm"], "points": 3}
    probes = {"a": probe, "b": across | {"resolution": "15 nm"}}
    result = meso.run(case(**COARSE, **{"output.probes": probes}), gradients=True)
    names = ["probe.a.current_density.x.1", "probe.a.potential.3"]
    names += [f"probe.b.{field}" for field in ("current_density.x.1", "potential.0", "vorticity.2")]
    of = ["geometry.parameters.length", "materials.metal.mean_free_path"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-7
    at = result.sample(np.array([[70e-9, -29e-9 + 49e-9 / 4]]))
    assert exact.values[0] == pytest.approx(at["current_density"][0, 0], rel=1e-12)


def test_a_spot_through_vertices():
    """A line that begins in a vertex of a wall: what cells on one side say, to the mesh's error."""
    device = meso.run(case(**COARSE)).device
    points = device.mesh.geometry.x[:, :2] * 1e9
    lower = points[points[:, 1] < points[:, 1].min() + 1e-6, 0]
    x = float(lower[np.abs(lower - 70).argmin()])
    probe = {"from": [f"{x!r} nm", "-60 nm"], "to": [f"{x!r} nm", "60 nm"], "points": 5}
    probes = {"a": probe | {"resolution": "15 nm"}}
    result = meso.run(case(**COARSE, **{"output.probes": probes}), gradients=True)
    names = ["probe.a.potential.2", "probe.a.current_density.x.1"]
    of = ["geometry.parameters.length", "geometry.parameters.width"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-3


def relative_to_largest(one: Gradient, other: Gradient) -> np.ndarray:
    """Differences of derivatives, over the largest influence of an input on each output."""
    sizes = np.array([one.value for one in other.inputs])
    scale = np.abs(other.derivatives * sizes).max(axis=1, keepdims=True) / sizes
    return np.abs(one.derivatives - other.derivatives) / scale


def test_a_periodic_conductor():
    """Currents, moments, and the vorticity at a point, of one period of a wavy channel."""
    changes = {
        "geometry.file": str(GEOMETRIES / "wavy_channel.geo"),
        "geometry.parameters": {"width": 50, "period": 100, "amplitude": 8},
        "mesh": {"size": "30 nm", "wall_size": "20 nm"},
        "boundaries": {
            "left": {"periodic": {"to": "right", "current": "1 uA"}},
            "edges": {"wall": {"specularity": 0.3}},
        },
        "flow.order": 3,
        "output.probes": {
            "a": {"from": ["10 nm", "-20 nm"], "to": ["30 nm", "20 nm"], "points": 3}
        },
    }
    result = meso.run(case(**changes), gradients=True)
    names = [
        *("left.voltage", "conductance", "dissipated_power"),
        *("edges.1.orbital_moment", "probe.a.vorticity.1"),
    ]
    of = "geometry.parameters.period"
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other)[:3].max() < 1e-9
    # What points pass by, and distances from curved walls, are not quite smooth.
    assert relative_to_largest(exact, other)[3:].max() < 5e-6


@pytest.mark.parametrize("model", ["hydrodynamic", thorough("kinetic"), thorough("ohmic")])
def test_spots_beyond_curved_walls(model):
    """Where a line leaves curved cells, which their straight sides do not tell."""
    walls = dict.fromkeys(("inner", "outer"), RIBBON["boundaries"]["edges"])
    ends = {name: RIBBON["boundaries"][name] for name in ("source", "drain")}
    changes = {
        "geometry.file": str(GEOMETRIES / "annulus.geo"),
        "geometry.parameters": {"inner_radius": 100, "outer_radius": 170},
        "mesh": {"size": "40 nm", "wall_size": "30 nm"},
        "boundaries": ends | walls,
        "flow": {"model": model, "order": 3},
        "output.probes.a": {
            **{"from": ["90 nm", "40 nm"], "to": ["160 nm", "93 nm"]},
            **{"points": 5, "resolution": "20 nm"},
        },
    }
    if model == "kinetic":
        changes["flow"] |= {"harmonics": 4, "estimate": False, "solver": "direct"}
    result = meso.run(case(**changes), gradients=True)
    names = ["current_density.x.0", "current_density.y.2", "potential.4"]
    names += ["orbital_density.0", "orbital_density.4"] if model != "ohmic" else []
    names = [f"probe.a.{name}" for name in names]
    of = [f"geometry.parameters.{name}" for name in ("inner_radius", "outer_radius")]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-6


# -- three dimensions ------------------------------------------------------------------------------


def film(order: int, size: float, **walls: float) -> meso.Case:
    """Of four layers, on a Fermi sphere, with specularities of its walls."""
    tables = RIBBON | {
        "geometry": {
            "file": str(GEOMETRIES / "film.geo"),
            "length_unit": "nm",
            "parameters": {"length": 20, "width": 30, "thickness": 20, "layers": 4, "size": size},
        },
        "mesh": {},
        "materials": {
            "metal": {
                "carriers": "3d",
                "conductivity": "1e6 S/m",
                "mean_free_path": "20 nm",
                "fermi_energy": "5 eV",
            }
        },
        "boundaries": {
            **{name: RIBBON["boundaries"][name] for name in ("source", "drain")},
            **{name: {"wall": {"specularity": p}} for name, p in walls.items()},
        },
        "flow": {"model": "hydrodynamic", "order": order},
    }
    return meso.Case.from_dict(tables)


OF_FILM = {
    "materials.metal.mean_free_path": 20e-9,
    "boundaries.surfaces.wall.specularity": 0.2,
    "geometry.parameters.thickness": 20.0,
    "geometry.parameters.width": 30.0,
}


@pytest.mark.parametrize(
    "of", ["geometry.parameters.thickness", thorough("materials.metal.mean_free_path")]
)
def test_moments_in_3d(of):
    """Of walls that meet in edges, in a material and in the drawing."""
    result = meso.run(film(2, 15, surfaces=0.2, sides=0.4), gradients=True)
    names = ["surfaces.1.orbital_moment_y", "sides.2.orbital_moment_z"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-8


#: Of a film of the kinetic model: a given current, and a spot that sees beyond its walls.
SPHERE = {
    "materials.metal.scattering": {"gamma2": 1.1, "gamma3": 0.9},
    "materials.metal.fermi_wavevector": "1.4e9 1/m",
    "boundaries.drain": {"contact": {"current": "-3 uA"}},
    "geometry.parameters.layers": 2,
    "output.probes.a": {
        **{"from": ["3.1 nm", "2.3 nm", "2.9 nm"], "to": ["16.2 nm", "20.7 nm", "18.6 nm"]},
        **{"points": 5, "resolution": "6 nm"},
    },
}
FIELD = {"magnetic_field": "30 T", "magnetic_direction": [0.2, 0.5, 1.0]}


@pytest.mark.parametrize(
    ("harmonics", "field"), [(4, FIELD), thorough(2, {}), thorough(4, {}), thorough(6, FIELD)]
)
def test_a_fermi_sphere_in_3d(harmonics, field):
    """Currents, potentials, moments and probes, with a magnetic field along no axis."""
    few = harmonics == 4 and bool(field)
    flow = {"model": "kinetic", "order": 2, "harmonics": harmonics, "solver": "direct"}
    tables = film(2, 20 if few else 8, surfaces=0.2, sides=0.6).given
    changes = SPHERE | {"flow": flow | field | {"estimate": False}}
    result = meso.run(meso.Case.from_dict(tables, overrides=changes), gradients=True)
    names = [
        *("drain.potential", "conductance", "dissipated_power"),
        *("surfaces.1.orbital_moment_y", "sides.2.orbital_moment_z"),
        *("probe.a.current_density.x.2", "probe.a.potential.1", "probe.a.vorticity.y.2"),
    ]
    of = ["flow.magnetic_field"] if field else []
    of += ["materials.metal.mean_free_path", "geometry.parameters.thickness"]
    if not few:
        of += ["boundaries.sides.wall.specularity", "materials.metal.scattering.gamma2"]
        of += ["geometry.parameters.length", "boundaries.drain.contact.current"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-7
    result.flow.adjoint.close()


def exact_film(**changes: float) -> float:
    """Moment of the lower surface of a film whose sides are smooth: they have all that is nearer
    to them, which leaves W - 2z of the width at the height z."""
    given = {key.split(".")[-1]: value for key, value in OF_FILM.items()} | changes
    matter = meso.Material(
        carriers="3d",
        conductivity=1e6,
        mean_free_path=given["mean_free_path"],
        fermi_energy=5 * 1.602176634e-19,
    )
    thickness, width = given["thickness"] * 1e-9, given["width"] * 1e-9
    flow = Ribbon(
        width=thickness,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=matter.slip_rate(given["specularity"]),
        drive=1e6 * 1e-3 / 20e-9,
    )
    middle, wall = (float(flow.current_density(z)) for z in (0.0, thickness / 2))
    inner = middle * (width - thickness) - wall * width + flow.current
    return float(matter.orbital_coupling * inner * 20e-9 / meso.constants.HBAR)


@pytest.mark.parametrize("order", [thorough(6)])
def test_film_against_the_closed_form(order):
    result = meso.run(film(order, 15, surfaces=0.2, sides=1.0), gradients=True)
    found = result.gradient("surfaces.1.orbital_moment_y", of=[*OF_FILM])
    assert found.methods == ("adjoint",)
    assert found.values[0] == pytest.approx(exact_film(), rel=1e-7)
    for key, value in OF_FILM.items():
        wanted = slope(lambda x, key=key: exact_film(**{key.split(".")[-1]: x}), value)
        assert found.of(found.outputs[0], key) == pytest.approx(wanted, rel=1e-7)


#: A crystal in two layers that an interface divides.
BILAYER: dict[str, Any] = {
    "geometry": {
        "file": str(GEOMETRIES / "bilayer.geo"),
        "length_unit": "nm",
        "parameters": {"length": 30},
        "thickness": "10 nm",
    },
    "mesh": {"size": "10 nm", "wall_size": "8 nm"},
    "materials": {"m": {"carriers": "3d", "conductivity": "2e6 S/m"}},
    "regions": {"lower": "m", "upper": "m"},
    "boundaries": {
        "source": {"contact": {"potential": "4 mV"}},
        "drain": {"contact": {"potential": 0}},
        "bottom": {"wall": {"specularity": 1}},
        "top": {"wall": {"specularity": 1}},
    },
    "flow": {"model": "ohmic", "order": 2},
    "output": {"probes": {"p": {"from": ["9 nm", "1 nm"], "to": ["9 nm", "9 nm"]}}},
    "angular_momentum": {
        "spin": {
            "components": ["x", "y", "z"],
            "hall_conductivity": "1e5 S/m",
            "diffusivity": "1e-4 m^2/s",
            "diffusion_length": "4 nm",
            "cubic_anisotropy": "2e-5 m^2/s",
            "orientation": {"angle": 25, "axis": [1, 1, 0]},
            "boundaries": {
                "top": {"relaxation_velocity": "50 m/s"},
                "bottom": {"current": {"z": "1e-7 J/m^2"}},
            },
        },
        "interfaces": {"lower|upper": {"spin": "2e4 m/s"}},
    },
}


def test_an_angle_of_a_crystal() -> None:
    """Against differences of whole runs."""
    result = meso.run(meso.Case.from_dict(BILAYER))
    names = [
        "top.spin_z.diffusive_moment",
        "angular_momentum.relaxed.spin_z",
        "probe.p.spin_density_z.9",
    ]
    key = "angular_momentum.spin.orientation.angle"
    found, exact = (result.gradient(names, of=key, method=m) for m in ("adjoint", "differences"))
    np.testing.assert_allclose(found.derivatives, exact.derivatives, rtol=1e-7)


@pytest.mark.parametrize(
    ("coupling", "key"),
    [
        ("one-way", "angular_momentum.spin.hall_conductivity"),
        ("two-way", "materials.m.conductivity"),
    ],
)
def test_inverse_currents(coupling, key) -> None:
    """By Ohm's law: what a current, J and the potential change by, and what they are."""
    changes = {"coupling": coupling, "spin.susceptibility": "1e-21 J*s^2/m^3"}
    changes["interfaces"] = {"lower|upper": {"spin": "2e-17 J*s/m^2"}}  # type: ignore[assignment]
    changes = {f"angular_momentum.{key}": value for key, value in changes.items()}
    changes |= {"mesh.size": "20 nm", "mesh.wall_size": "20 nm"}
    result = meso.run(meso.Case.from_dict(BILAYER, overrides=changes), gradients=True)
    names = [
        *("inverse.source.current", "probe.p.inverse_current_density.x.3", "dissipated_power"),
        *("probe.p.inverse_potential.3", "probe.p.current_density.x.3", "probe.p.potential.3"),
    ]
    of = [key, "geometry.parameters.length"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    # Changes are a ten thousandth of the potential: rounding counts in their differences.
    assert relative_to_largest(exact, other).max() < 1e-6


def test_whole_densities() -> None:
    """What diffuses and what vorticity makes, along a probe; with a resolution, too."""
    orbital = {"components": ["z"], "hall_conductivity": "1 mS", "diffusivity": "1e-3 m^2/s"}
    orbital |= {"diffusion_length": "10 nm", "boundaries": {"source": "no flux"}}
    line = {"from": ["72 nm", "-28 nm"], "to": ["75 nm", "27 nm"], "points": 7}
    probes = {"a": line, "b": line | {"resolution": "9 nm"}}
    changes = COARSE | {"angular_momentum.orbital": orbital, "output.probes": probes}
    result = meso.run(case(**changes), gradients=True)
    names = [f"probe.{name}.orbital_total_density_z.2" for name in probes]
    of = ["materials.metal.mean_free_path", "angular_momentum.orbital.diffusion_length"]
    of += ["geometry.parameters.width", "materials.metal.fermi_energy"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-8


# -- materials that vary ---------------------------------------------------------------------------

GRADED = {
    "materials.metal.conductivity": {
        "expression": "s*(1 + a*x/150)",
        "unit": "mS",
        "parameters": {"s": 2.0, "a": "0.5(1)"},
    },
    "materials.metal.mean_free_path": {
        "expression": "l*exp(y/100)",
        "unit": "nm",
        "parameters": {"l": 30},
    },
}
OF_GRADED = [
    *("materials.metal.conductivity.parameters.a", "materials.metal.mean_free_path.parameters.l"),
    *("boundaries.edges.wall.specularity", "geometry.parameters.width"),
]


def test_numbers_of_an_expression():
    """The resistance of a graded strip is an integral: G = s W a/(L log(1 + a))."""
    result = meso.run(case(**GRADED, **{"flow.model": "ohmic"}))
    key = OF_GRADED[0]
    found = gradient(result, "conductance", [key, "geometry.parameters.width"], method="adjoint")
    wanted = slope(lambda a: 2e-3 * 60 / 150 * a / np.log(1 + a), 0.5)
    np.testing.assert_allclose(found.derivatives[0], [wanted, found.values[0] / 60], rtol=1e-9)
    assert found.inputs[0].uncertainty == pytest.approx(0.1)


KINETIC = {"flow.model": "kinetic", "flow.harmonics": 4, "flow.estimate": False}


@pytest.mark.parametrize(
    ("own", "of"),
    [
        ({"boundaries.drain.contact.law": "reservoir"}, []),
        (KINETIC, ["materials.metal.scattering.gamma2"]),
    ],
)
def test_materials_that_vary(own, of):
    """With a reservoir and a wall that slips or is rough, place by place."""
    probe = {"from": ["70 nm", "-20 nm"], "to": ["70 nm", "20 nm"], "points": 3}
    changes = COARSE | GRADED | {"output.probes": {"a": probe}} | own
    result = meso.run(case(**changes), gradients=True)
    names = ["conductance", "edges.1.orbital_moment", "probe.a.current_density.x.0"]
    exact = gradient(result, names, OF_GRADED + of, method="adjoint")
    other = gradient(result, names, OF_GRADED + of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-8


def test_differences_of_moments_that_are_iterated():
    """Where an input ends; the estimated errors cover what the iteration leaves."""
    ends = {"flow.solver": "iterative", "boundaries.edges.wall.specularity": 0.0}
    result = meso.run(case(**COARSE, **KINETIC, **ends), gradients=True)
    names, of = ["conductance", "edges.1.orbital_moment"], ["boundaries.edges.wall.specularity"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    np.testing.assert_allclose(other.derivatives, exact.derivatives, rtol=1e-5)
    assert (np.abs(exact.derivatives - other.derivatives) < other.errors).all()


@pytest.mark.thorough
def test_a_sphere_that_varies_in_3d():
    """On few cells, whose penalty at walls sees the profiles between its nodes."""
    flow = {"model": "kinetic", "order": 2, "harmonics": 4, "solver": "direct", "estimate": False}
    long = {"expression": "l*exp(z/20 + y/50)", "unit": "nm", "parameters": {"l": 20}}
    profiles = {
        "materials.metal.conductivity": GRADED["materials.metal.conductivity"] | {"unit": "MS/m"},
        "materials.metal.mean_free_path": long,
    }
    tables = film(2, 20, surfaces=0.2, sides=0.6).given
    graded = meso.Case.from_dict(tables, overrides=SPHERE | {"flow": flow} | profiles)
    result = meso.run(graded, gradients=True)
    names = ["drain.potential", "surfaces.1.orbital_moment_y", "probe.a.current_density.x.2"]
    of = [*OF_GRADED[:2], "geometry.parameters.thickness", "boundaries.sides.wall.specularity"]
    exact = gradient(result, names, of, method="adjoint")
    other = gradient(result, names, of, method="differences")
    assert relative_to_largest(exact, other).max() < 1e-8


def test_thickness():
    """Currents are proportional to that of a slab; resistances to its inverse."""
    slab = {
        "materials.metal.carriers": "3d",
        "materials.metal.conductivity": "1e6 S/m",
        "geometry.thickness": "20(1) nm",
    }
    result = meso.run(case(**slab, **COARSE))
    found = result.gradient(["source.current", "dissipated_power"], of="geometry.thickness")
    assert found.methods == ("adjoint", "adjoint")
    np.testing.assert_allclose(found.relative(), 1.0, rtol=1e-10)
    np.testing.assert_allclose(found.uncertainties(), found.values / 20, rtol=1e-10)


# -- where an input ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["conductance", "edges.1.orbital_moment"])
@pytest.mark.parametrize("key", [thorough(key) for key in PARAMETERS])
def test_differences_against_the_closed_form(ribbon, key, output):
    found, name = ribbon.gradient(output, of=key, method="differences"), key.split(".")[-1]
    wanted = slope(lambda x: exact(output, **{name: x}), PARAMETERS[key])
    assert found.derivatives[0, 0] == pytest.approx(wanted, rel=1e-7)
    assert found.errors[0, 0] <= 1e-5 * abs(wanted)


def test_one_sided():
    """Specularity 0 is the least there is: all steps go upwards."""
    edge = {"boundaries.edges.wall.specularity": 0.0}
    rough = meso.run(case(**edge))
    found = rough.gradient("conductance", of=[*edge])
    at = np.linspace(0.0, 0.01, 5)
    wanted = np.polyfit(at, [exact("conductance", specularity=x) for x in at], 4)[-2]
    assert found.derivatives[0, 0] == pytest.approx(wanted, rel=1e-7)


def test_laws_by_name_have_rates():
    plain = {"materials.metal.scattering": "radial-tangential"}
    assert "materials.metal.scattering.gamma2" in [one.key for one in inputs_of(case(**plain))]
    other = moved(case(**plain), {"materials.metal.scattering.gamma2": 0.75})
    assert other.materials["metal"].gamma2 == 0.75


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("materials.metal.mean_free_pat", 'did you mean "materials.metal.mean_free_path"?'),
        ("flow.order", "found 6; is a choice of the model or its discretisation"),
        ("mesh.size", "found '30 nm'; is about the mesh"),
        ("materials.metal.carriers", "found '2d'; is no continuous number"),
        ("geometry.parameters.widht", 'did you mean "geometry.parameters.width"?'),
        ("boundaries.edges", "found a table"),
    ],
)
def test_unknown_and_discrete_inputs(key, words):
    with pytest.raises(meso.CaseError) as caught:
        inputs_of(case(), [key])
    assert str(caught.value).startswith(f"{key}: ")
    assert words in str(caught.value)


def test_unknown_outputs(ribbon):
    with pytest.raises(meso.CaseError, match='no output "edge.1.orbital_moment"; did you mean "ed'):
        ribbon.gradient("edge.1.orbital_moment")
    with pytest.raises(meso.CaseError, match='no probe "across"; known: none'):
        ribbon.gradient("probe.across.potential.3")
    with pytest.raises(meso.CaseError, match='found method "adjiont"; did you mean "adjoint"'):
        ribbon.gradient("conductance", method="adjiont")


def test_curves_that_come_and_go():
    """At fillet = 0 a corner is sharp: with any other value there is an arc."""
    changes = {
        "geometry.file": str(GEOMETRIES / "constriction.geo"),
        "geometry.parameters": {"width": 60, "length": 150, "opening": 30, "neck": 10, "fillet": 0},
    }
    channel = case(**changes)
    device = meso.Device.from_gmsh(
        channel.geometry.file, length_unit="nm", parameters=channel.geometry.parameters, order=2
    )
    with pytest.raises(meso.GeometryError, match="has other curves at geometry.parameters.fillet"):
        velocities(channel, device, ["fillet"])


# -- uncertain inputs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "deviation"),
    [
        ("7(1) nm", 7e-9, 1e-9),
        ("7.25(12) nm", 7.25e-9, 0.12e-9),
        ("7.0(1.5) nm", 7e-9, 1.5e-9),
        ("1.20(5)e-8 m", 1.2e-8, 0.05e-8),
        ("7 +/- 1 nm", 7e-9, 1e-9),
        ("(70 ± 5) angstrom", 7e-9, 0.5e-9),
    ],
)
def test_lengths_with_uncertainty(text, value, deviation):
    key = "materials.metal.mean_free_path"
    (found,) = inputs_of(case(**{key: text}), [key])
    assert found.value == pytest.approx(value, rel=1e-15)
    assert found.uncertainty == pytest.approx(deviation, rel=1e-15)
    assert meso.quantity(text, "m") == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["0.3(1)", "0.3 +/- 0.1", "0.0 ± 0.1"])
@pytest.mark.parametrize(
    "key",
    [
        "boundaries.edges.wall.specularity",
        "materials.metal.scattering.gamma2",
        "geometry.parameters.width",
    ],
)
def test_numbers_with_uncertainty(key, text):
    if text.startswith("0.0") and "specularity" not in key:
        pytest.skip("must be positive")
    (found,) = inputs_of(case(**{key: text}), [key])
    assert found.value == float(text[:3])
    assert found.uncertainty == pytest.approx(0.1, rel=1e-12)


def test_text_without_uncertainty_is_no_number():
    with pytest.raises(meso.CaseError, match="found '0.3'; expected a number"):
        case(**{"boundaries.edges.wall.specularity": "0.3"})
    with pytest.raises(meso.CaseError, match="must be in 0 … 1"):
        case(**{"boundaries.edges.wall.specularity": "1.3(1)"})


UNCERTAIN = {
    **COARSE,
    "materials.metal.mean_free_path": "30(3) nm",
    "boundaries.edges.wall.specularity": "0.3 +/- 0.1",
}


def test_uncertain_inputs_make_outputs_uncertain():
    result = with_uncertainties(meso.run(case(**UNCERTAIN)))
    found = result.uncertainties["conductance_S"]
    slopes = result.gradient("conductance", of=list(found.by_input)).derivatives[0]
    parts = np.abs(slopes) * [3e-9, 0.1]
    assert list(found.by_input) == list(UNCERTAIN)[3:]
    np.testing.assert_allclose(list(found.by_input.values()), parts, rtol=1e-12)
    assert found.inputs == pytest.approx(np.hypot(*parts), rel=1e-12)
    assert found.mesh is None and found.harmonics is None
    assert "source.potential_V" not in result.uncertainties  # what is given is certain
    said = result.summary()["uncertainties"]["conductance_S"]
    assert said["standard_deviation_from_inputs"] == found.inputs
    assert "errors: of the inputs one standard deviation" in result.table()


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text(case(**UNCERTAIN).to_toml(tmp_path))
    return path


def test_command(file, capsys):
    out = file.parent / "out"
    words = ["sensitivity", str(file), "--of", "conductance", "--check", "--output", str(out)]
    given = ["--in", "materials.metal.mean_free_path", "--in", "boundaries.edges.wall.specularity"]
    assert main([*words, *given]) == 0
    table = capsys.readouterr().out
    assert "conductance = " in table and "from the inputs" in table
    whole = json.loads((out / "sensitivity.json").read_text())
    rows = whole["derivatives"]
    assert [row["input"] for row in rows] == given[1::2]
    assert [row["input_uncertainty"] for row in rows] == pytest.approx([3e-9, 0.1], rel=1e-12)
    assert [row["derivative"] for row in rows] == pytest.approx([r["differences"] for r in rows])
    with (out / "sensitivity.csv").open(newline="") as lines:
        assert [row["input"] for row in csv.DictReader(lines)] == given[1::2]
    assert (out / "sensitivity.png").stat().st_size > 1000


def test_command_refuses_what_is_discrete(file, capsys):
    assert main(["sensitivity", str(file), "--in", "flow.order"]) == 2
    assert f"{file}: flow.order: found 2; is a choice" in capsys.readouterr().err
    assert main(["sensitivity", str(file), "--in", "mesh.geometry_order"]) == 2
    assert "mesh.geometry_order: not given; is about the mesh" in capsys.readouterr().err
    assert main(["sensitivity", str(file), "--of", "conductence", "--output", "x"]) == 2
    assert 'did you mean "conductance"?' in capsys.readouterr().err


def test_results_are_given_up():
    """Also where an input is at the end of its range, so that a step is refused."""
    result = meso.run(case(**COARSE, **{"boundaries.edges.wall.specularity": 0.0}), gradients=True)
    gradient(result, "conductance", of=["boundaries.edges.wall.specularity"])
    there = weakref.ref(result.device.mesh)
    del result
    gc.collect()
    assert there() is None
