"""Fluxes as fields; interfaces with matrices and a field across a section, from case files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES
from scipy.special import ive

import meso
from meso.angular_momentum import powers
from meso.constants import ELEMENTARY_CHARGE, HBAR

NM = 1e-9
SPIN = {
    "components": ["x", "z"],
    "hall_conductivity": "1e5 S/m",
    "diffusivity": "1e-4 m^2/s",
    "diffusion_length": "4 nm",
}
CHI = SPIN | {"susceptibility": "1e-21 J s^2/m^3"}
ORBITAL = SPIN | {"hall_conductivity": "-3e5 S/m", "diffusion_length": "7 nm"}
#: By channel and component, S_x, S_z, L_x, L_z: of 𝒥 at the interface.
G = np.array([[2, 0.3, 0.5, 0], [0.1, 3, 0, 0.5], [0.2, 0.4, 4, 0.1], [0.6, 0.2, 0, 1]]) * 1e4
NAMES = ("spin_x", "spin_z", "orbital_x", "orbital_z")


def block(g: np.ndarray) -> dict[str, Any]:
    whole = np.eye(3)
    whole[np.ix_([0, 2], [0, 2])] = g
    return {"tensor": whole.tolist(), "unit": "m/s"}


def layers(**changes: Any) -> dict[str, Any]:
    metal = {"carriers": "3d", "conductivity": "2e6 S/m", "mean_free_path": "3 nm"}
    return {
        "geometry": {
            "file": str(GEOMETRIES / "bilayer.geo"),
            "length_unit": "nm",
            "parameters": {"length": 40},
        },
        "materials": {"m": metal},
        "regions": {"lower": "m", "upper": "m"},
        "boundaries": {
            "source": {"contact": {"potential": "4 mV"}},
            "drain": {"contact": {"potential": 0}},
            "bottom": {"wall": {"specularity": 0}},
            "top": {"wall": {"specularity": 0}},
        },
        "flow": {"model": "ohmic"},
        "output": {"fields": [f"{c}_flux_{a}" for c in ("spin", "orbital") for a in "xz"]},
    } | changes


def test_interface_with_matrices() -> None:
    """𝒥 at the interface is g times the step of ω, with the flux as a field."""
    upper = {"regions": {"upper": {"hall_conductivity": "0 S/m", "diffusivity": "5e-5 m^2/s"}}}
    table = {
        "spin": SPIN | upper,
        "orbital": ORBITAL,
        "interfaces": {
            "lower|upper": {
                "spin": block(G[:2, :2]),
                "orbital": block(G[2:, 2:]),
                "spin_from_orbital": block(G[:2, 2:]),
                "orbital_from_spin": block(G[2:, :2]),
            }
        },
    }
    case = meso.Case.from_dict(layers(angular_momentum=table))
    assert meso.Case.from_dict(case.to_dict()).hash == case.hash
    result = meso.run(case)
    at = {
        side: result.sample([[20 * NM, y]]) for side, y in (("-", 9.99999e-9), ("+", 10.00001e-9))
    }

    def omega(side: str) -> np.ndarray:
        kinds = {"spin": "spin_density", "orbital": "orbital_diffusive_density"}
        return np.array([at[side][f"{kinds[c]}_{a}"][0] for c in kinds for a in "xz"])

    wanted = G @ (omega("-") - omega("+"))
    for side in "-+":
        found = [at[side][f"{n.split('_')[0]}_flux_{n[-1]}"][0, 1] for n in NAMES]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    problem = result.angular_momentum.problem
    np.testing.assert_allclose(problem.conductance[0, 1], G)


def test_flux_of_a_ribbon(tmp_path: Path) -> None:
    """𝒥^{yz} = θE (1 − cosh(y/l)/cosh(W/2l)) across a layer; nothing flows along it."""
    fields = {"fields": ["spin_flux_z", "spin_density_z"]}
    given = layers(angular_momentum={"spin": SPIN}, output=fields)
    result = meso.run(meso.Case.from_dict(given))
    y = np.linspace(0.1, 19.9, 60) * NM
    found = result.sample(np.column_stack([0 * y + 17 * NM, y]))["spin_flux_z"]
    assert result.fields["spin_flux_z"].unit == "J_per_m2"
    theta = HBAR / ELEMENTARY_CHARGE * 1e5 * 1e5
    exact = theta * (1 - np.cosh((y - 10 * NM) / (4 * NM)) / np.cosh(2.5))
    error = found - np.column_stack([0 * y, exact])
    assert np.abs(error).max() < 1e-4 * theta
    result.save(tmp_path / "out")
    header = (tmp_path / "out" / "fields" / "part0.vtu").read_text()
    assert 'Name="spin_flux_z"' in header
    assert (tmp_path / "out" / "figures" / "spin_flux_z.png").is_file()


def section(folder: Path, coupling: str, **more: Any) -> meso.Case:
    path = folder / "section.geo"
    path.write_text(
        'SetFactory("OpenCASCADE"); Disk(1) = {0, 0, 0, 10};\n'
        'Physical Surface("metal") = {1}; Physical Curve("surface") = {1};\n'
    )
    spin = {
        "components": ["x", "y"],
        "hall_conductivity": "3.9e5 S/m",
        "diffusivity": "1e-5 m^2/s",
        "swapping": "4e-6 m^2/s",
        "relaxation_time": "1 ps",
        "susceptibility": 1e-20,
    }
    return meso.Case.from_dict(
        {
            "geometry": {"file": str(path), "length_unit": "nm"},
            "mesh": {"size": "1 nm"},
            "materials": {"m": {"carriers": "3d", "conductivity": "2e6 S/m"}},
            "regions": {"metal": "m"},
            # No current in the plane: all of the surface is at one potential.
            "boundaries": {"surface": {"contact": {"potential": 0}}},
            "flow": {"model": "ohmic"},
            "angular_momentum": {"coupling": coupling, "perpendicular_field": "1e5 V/m"}
            | {"spin": spin}
            | more,
        }
    )


@pytest.mark.parametrize("coupling", ["none", "one-way", "two-way"])
def test_section_of_a_wire(tmp_path: Path, coupling: str) -> None:
    """X = c I_1(r/l) e_φ, D X' + (𝒱 − B/R) X = θE, of a round wire; with the work of the field."""
    result = meso.run(section(tmp_path, coupling))
    R, decay = 10 * NM, np.sqrt(1e-5 * 1e-12)
    u = R / decay
    slope = (ive(0, u) - ive(1, u) / u) / decay
    c = HBAR / ELEMENTARY_CHARGE * 3.9e5 * 1e5 / (1e-5 * slope - 4e-6 / R * ive(1, u))
    r = np.linspace(0.2, 9.9, 20) * NM
    exact = c * ive(1, r / decay) * np.exp((r - R) / decay)
    found = result.sample(np.column_stack([r, 0 * r]))
    np.testing.assert_allclose(found["spin_density_y"], exact, rtol=0, atol=1e-6 * exact.max())
    part = result.angular_momentum
    power = powers(part.problem, part.densities, result.flow)
    spent = sum(power[key] for key in ("joule", "diffusion", "relaxation", "walls", "interfaces"))
    given = power["contacts"] + power["injection"] + power["field"]
    assert spent == pytest.approx(given, rel=1e-10) and given > 0


def strong(hall: str) -> meso.Case:
    """A film with spins out of the plane, far more current of which flows than charge."""
    tables = layers(regions={"metal": "m"}, output={})
    tables["geometry"] = {
        "file": str(GEOMETRIES / "film.geo"),
        "length_unit": "nm",
        "parameters": {"length": 60, "width": 40, "thickness": 20, "size": 10, "layers": 2},
    }
    for name in ("bottom", "top"):
        del tables["boundaries"][name]
    tables["boundaries"] |= dict.fromkeys(("sides", "surfaces"), {"wall": {"specularity": 0}})
    spin = SPIN | {"components": ["z"], "diffusion_length": "20 nm", "susceptibility": 2.7e-21}
    spin |= {"hall_conductivity": hall}
    return meso.Case.from_dict(tables | {"angular_momentum": {"coupling": "two-way", "spin": spin}})


def test_hall_conductivity_far_above_the_conductivity() -> None:
    """G/G_Drude = 1 + (θ²/σDχ) (2l/W) tanh(W/2l), where GMRES with multigrid fails."""
    case = strong("2e9 S/m")
    (warning,) = case.warnings
    assert "angular_momentum.spin.hall_conductivity: (ħσ_H/e)²/(σDχ) is 3.2e+06" in warning
    result = meso.run(case)
    gain = (HBAR / ELEMENTARY_CHARGE * 2e9) ** 2 / (2e6 * 1e-4 * 2.7e-21)
    drude = 2e6 * 4e-3 * (40 * 20 / 60) * NM
    exact = drude * (1 + gain * np.tanh(1))
    assert result.contacts["source"].current == pytest.approx(exact, rel=1e-4)
    assert result.flow.evidence["method"] == "MUMPS LU after GMRES, BoomerAMG failed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"spin": SPIN, "interfaces": {"lower|upper": {"spin_from_orbital": "1 m/s"}}},
            "only where there are both channels",
        ),
        (
            {"spin": SPIN, "interfaces": {"lower|upper": {"spin": {"tensor": [1], "unit": "m/s"}}}},
            "of shape (1,); must be 3 × 3",
        ),
        ({"spin": SPIN, "interfaces": {"lower|upper": {"spin": "-1 m/s"}}}, "not be negative"),
        (
            {"spin": CHI, "interfaces": {"lower|upper": {"spin": "2e4 m/s"}}},
            'angular_momentum.interfaces.lower|upper.spin: found "2e4 m/s" (velocity), but'
            " spin.susceptibility is given, and steps of ω = X/χ drive the current: expected a"
            ' conductance in J*s/m^2; with this χ, "2e-17 J*s/m^2" is the same',
        ),
        (
            {"spin": CHI, "interfaces": {"lower|upper": {"spin": block(G[:2, :2])}}},
            'angular_momentum.interfaces.lower|upper.spin: found "m/s" (velocity)',
        ),
        (
            {
                "spin": SPIN,
                "orbital": CHI,
                "interfaces": {"lower|upper": {"orbital_from_spin": "2e-17 J s/m^2"}},
            },
            "angular_momentum.interfaces.lower|upper.orbital_from_spin: found"
            ' "2e-17 J s/m^2", but spin.susceptibility is not given',
        ),
        (
            {"spin": SPIN | {"regions": {"lower": {"susceptibility": 1e-21}}}},
            "angular_momentum.spin.susceptibility: missing; others have one",
        ),
        ({"spin": SPIN}, '"orbital_flux_x" needs the component x of angular_momentum.orbital'),
        ({"perpendicular_field": "1 V/m"}, "needs a channel"),
    ],
)
def test_messages(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(meso.CaseError) as caught:
        meso.Case.from_dict(layers(angular_momentum=changes))
    assert message in str(caught.value)


FILM = {
    "geometry": {
        "file": str(GEOMETRIES / "film.geo"),
        "length_unit": "nm",
        "parameters": {"length": 60, "width": 40, "size": 20},
    },
    "regions": {"metal": "m"},
    "boundaries": {
        "source": {"contact": {"potential": "1 mV"}},
        "drain": {"contact": {"potential": 0}},
        "surfaces": {"wall": {"specularity": 0}},
        "sides": {"wall": {"specularity": 0}},
    },
}


def test_perpendicular_field_is_for_sections() -> None:
    film = {"angular_momentum": {"spin": SPIN, "perpendicular_field": "1 V/m"}, "output": {}}
    with pytest.raises(meso.CaseError, match="perpendicular_field: is for a 2D mesh"):
        meso.run(meso.Case.from_dict(layers(**FILM, **film)))


def test_pictures_in_3d(tmp_path: Path) -> None:
    """Sections of each density, and its profiles along probes."""
    line = {"from": ["30 nm", "20 nm", "0 nm"], "to": ["30 nm", "20 nm", "20 nm"], "points": 41}
    spin = SPIN | {"components": ["y", "z"]}
    output = {"probes": {"up": line}}
    film = layers(**FILM, angular_momentum={"spin": spin}, output=output)
    meso.run(meso.Case.from_dict(film)).save(tmp_path / "out")
    figures = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"spin_density_y", "spin_density_z", "densities_probe_up", "probe_up"} <= figures


def test_flux_in_3d() -> None:
    """𝒥^{zy} across a film far from its sides; sigma_H eps_zyx is negative."""
    spin = SPIN | {"components": ["y"]}
    film = layers(**FILM, angular_momentum={"spin": spin}, output={"fields": ["spin_flux_y"]})
    result = meso.run(meso.Case.from_dict(film))
    z = np.array([4.0, 10.0, 15.0]) * NM
    found = result.sample(np.column_stack([[30 * NM] * 3, [20 * NM] * 3, z]))["spin_flux_y"]
    theta = -HBAR / ELEMENTARY_CHARGE * 1e5 * 1e-3 / (60 * NM)
    exact = theta * (1 - np.cosh((z - 10 * NM) / (4 * NM)) / np.cosh(2.5))
    assert np.abs(found - np.column_stack([0 * z, 0 * z, exact])).max() < 0.03 * abs(theta)


#: Two layers that go on across the pair "a", "b", or, upright, change there.
STACK = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, %(w)s, %(h)s};
Rectangle(2) = {%(x)s, %(y)s, 0, %(w)s, %(h)s};
BooleanFragments{ Surface{1}; Delete; }{ Surface{2}; Delete; }
e = 1e-3;
a() = Curve In BoundingBox{-e, -e, -e, e, 20 + e, e};
b() = Curve In BoundingBox{20 - e, -e, -e, 20 + e, 20 + e, e};
all() = Abs(CombinedBoundary{ Surface{1, 2}; });
all() -= {a(), b()};
Periodic Curve{b()} = {a()} Translate{20, 0, 0};
Physical Surface("lower") = {1};
Physical Surface("upper") = {2};
Physical Curve("a") = {a()};
Physical Curve("b") = {b()};
Physical Curve("edges") = {all()};
"""


def periodic(path: Path, **shape: float) -> dict[str, Any]:
    path.write_text(STACK % shape)
    return {
        "geometry": {"file": str(path), "length_unit": "nm"},
        "boundaries": {
            "a": {"periodic": {"to": "b", "voltage": "2 mV"}},
            "edges": {"wall": {"specularity": 0}},
        },
    }


INTERFACE = {
    "spin": SPIN | {"regions": {"upper": {"hall_conductivity": "0 S/m"}}},
    "interfaces": {"lower|upper": {"spin": "1e4 m/s"}},
}


def test_conductance_in_a_periodic_device(tmp_path: Path) -> None:
    """The same as between contacts: no end effect."""
    y = np.concatenate([np.linspace(0.1, 9.99, 20), np.linspace(10.01, 19.9, 20)]) * NM
    found = []
    for more in ({}, periodic(tmp_path / "flat.geo", w=20, h=10, x=0, y=10)):
        case = meso.Case.from_dict(layers(angular_momentum=INTERFACE, output={}, **more))
        result = meso.run(case)
        for x in (0.001, 7.0):
            at = np.column_stack([0 * y + x * NM, y])
            found.append(result.sample(at)["spin_density_z"])
    scale = np.abs(found[0]).max()
    step = found[0][20] - found[0][19]
    assert abs(step) > 0.1 * scale
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-5 * scale)


def test_conductance_across_a_periodic_pair(tmp_path: Path) -> None:
    upright = periodic(tmp_path / "upright.geo", w=10, h=20, x=10, y=0)
    case = meso.Case.from_dict(layers(angular_momentum=INTERFACE, output={}, **upright))
    with pytest.raises(meso.CaseError, match="meet across a periodic pair"):
        meso.run(case)
