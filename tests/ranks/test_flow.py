"""One, two and three ranks give the same numbers, and fail together."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES, draw, material, solve, thorough
from launching import launch
from mpi4py import MPI

import meso
from meso import Case, Contact, Device, MesoError, Periodic, Profile, Wall, run
from meso.flow import Hydrodynamic, Kinetic, Ohmic, Wire, conductance_bounds
from meso.gradients import shape_gradient
from meso.orbital import edge_moments, orbital_density, vorticity

# Different orders of summation: rounding, magnified by the conditioning of the systems.
RELATIVE = 1e-9
#: What iterates stops at a residual of 1e-10; the kinetic model has other factors on one rank.
SOLVED = dict.fromkeys(("iterated", "iterated_bend", "iterated_lattice"), 1e-7) | {"kinetic": 1e-8}


def hydrodynamic() -> dict[str, list]:
    """A bend with a slip wall and a no-slip wall, curved cells, reservoir and ideal contacts."""
    matter = material(mean_free_path=100e-9)
    device = draw("annulus", matter, ("inner", "outer"), angle=200.0)
    flow = solve(
        device,
        matter,
        inner=Wall(specularity=0.1),
        outer=Wall(slip_length=0.0),
        drain=Contact(potential=0.0, law="reservoir"),
    )
    return results(flow)


def kinetic() -> dict[str, list]:
    """The iteration of the Boltzmann equation, the same steps on any number of ranks; bounds."""
    matter = material(mean_free_path=40e-9)
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    flow = Kinetic(
        device,
        materials=dict.fromkeys(device.regions, matter),
        boundaries={
            "source": Contact(potential=1e-3),
            "drain": Contact(potential=0.0),
            "inner": Wall(specularity=0.3),
            "outer": Wall(specularity=0.95),
        },
        order=2,
        harmonics=6,
        solver="iterative",
    ).solve(keep=True)
    bounds = conductance_bounds(flow, harmonics=6)
    assert bounds.lower is not None
    matrices = [bounds.lower.ravel().tolist(), bounds.upper.ravel().tolist()]
    known = dict(zip(("lower", "upper"), matrices, strict=True))
    found = {
        "conductance": flow.adjoint.conductance("source", "drain"),
        "dissipation": flow.adjoint.functional(current=flow.fields["current_density"].values),
    }
    for name, each in found.items():
        known |= {f"{name} in {n}": list(v.values()) for n, v in each.over_regions(device).items()}
        known[f"{name} in its shape"] = [each.along(device, device.mesh.geometry.x[:, :2] ** 2)]
    flow.adjoint.close()
    return terminals_and_fields(flow) | known


def hall_bar() -> dict[str, list]:
    """Several contacts, floating ones among them; many pieces of walls."""
    matter = material(mean_free_path=80e-9)
    device = draw("hall_bar", matter, ("edges",))
    probes = {f"probe{i}": Contact(current=1e-8 * i) for i in (1, 2, 3)}
    flow = solve(
        device,
        matter,
        edges=Wall(specularity=0.0, law="literal"),
        probe4=Contact(potential=5e-4),
        **probes,
    )
    return results(flow)


def iterated() -> dict[str, list]:
    """The iterative solver in 2D; curved walls, a floating contact."""
    matter = material(mean_free_path=80e-9)
    device = draw("hall_bar", matter, ("edges",), order=3)
    probes = {f"probe{i}": Contact(current=1e-8 * (i - 1)) for i in (1, 2, 3)}
    drain, walls = Contact(potential=0.0, law="reservoir"), {"edges": DIFFUSE}
    flow = solve(device, matter, 3, "iterative", drain=drain, probe4=drain, **walls, **probes)
    assert "GMRES" in flow.evidence["method"]
    return terminals_and_fields(flow)


def iterated_bend() -> dict[str, list]:
    """So few cells that a rank has no wall where the current slips."""
    matter = material(mean_free_path=100e-9)
    device = draw("annulus", matter, ("inner", "outer"), angle=200.0)
    sticky = Wall(slip_length=0.0)
    return terminals_and_fields(
        solve(device, matter, solver="iterative", inner=DIFFUSE, outer=sticky)
    )


def ring() -> dict[str, list]:
    """No walls at all."""
    matter = material(mean_free_path=60e-9)
    return without_curl(results(solve(draw("corbino", matter, ("source", "drain")), matter)))


def without_curl(found: dict[str, list]) -> dict[str, list]:
    """Flow along a gradient: what is left of its curl is the rounding of second derivatives."""
    derived = ("vorticity", "orbital_density", "edges vorticity", "moments", "extrema")
    return {name: values for name, values in found.items() if name not in derived}


def ohmic() -> dict[str, list]:
    device = draw("cross", material(), ())
    laws = {
        "left": Contact(potential=1e-3),
        "right": Contact(potential=0.0),
        "top": Contact(current=0.0),
        "bottom": Contact(current=1e-7),
        "edges": Wall(specularity=0),
    }
    flow = Ohmic(device, materials={"metal": material()}, boundaries=laws).solve()
    return without_curl(results(flow))


DIFFUSE = Wall(specularity=0.0)


def iterated_lattice() -> dict[str, list]:
    return lattice("iterative")


def lattice(solver: str = "auto") -> dict[str, list]:
    """Two periodic pairs that meet in the corners."""
    matter = material(mean_free_path=40e-9)
    pairs = {"left": Periodic(to="right", voltage=1e-3), "bottom": Periodic(to="top", current=1e-6)}
    device = draw("antidot", matter, ("edge",))
    # The moments of opposite sides of a hole cancel: rounding.
    return terminals_and_fields(solve(device, matter, solver=solver, edge=DIFFUSE, **pairs))


def ohmic_lattice() -> dict[str, list]:
    matter = material()
    laws = {
        "left": Periodic(to="right", voltage=1e-3),
        "bottom": Periodic(to="top"),
        "edge": DIFFUSE,
    }
    device = draw("antidot", matter, ())
    flow = Ohmic(device, materials={"metal": matter}, boundaries=laws).solve()
    return terminals_and_fields(flow)


# The strip in two regions: current crosses from one to the other.
HALVES = """
Point(1) = {0, 0, 0}; Point(2) = {80, 0, 0}; Point(3) = {200, 0, 0};
Point(4) = {200, 100, 0}; Point(5) = {80, 100, 0}; Point(6) = {0, 100, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 5}; Line(5) = {5, 6};
Line(6) = {6, 1}; Line(7) = {2, 5};
Curve Loop(1) = {1, 7, 5, 6}; Plane Surface(1) = {1};
Curve Loop(2) = {2, 3, 4, -7}; Plane Surface(2) = {2};
Physical Surface("left") = {1}; Physical Surface("right") = {2};
Physical Curve("source") = {6}; Physical Curve("drain") = {3};
Physical Curve("edges") = {1, 2, 4, 5};
"""


def written(text: str, size: float) -> Device:
    """A device from the text of a drawing, which rank 0 writes."""
    comm = MPI.COMM_WORLD
    with tempfile.TemporaryDirectory() as folder:
        path = comm.bcast(str(Path(folder) / "drawing.geo"))
        if comm.rank == 0:
            Path(path).write_text(text)
        device = Device.from_gmsh(path, length_unit="nm", size=size)
        comm.Barrier()
    return device


def two_materials() -> dict[str, list]:
    """A contrast of 1:1000, l unresolved on one side; the potential jumps between them."""
    left = material(mean_free_path=30e-9, name="left")
    right = material(mean_free_path=0.1e-9, conductivity=20.0, name="right")
    return terminals_and_fields(
        solve(written(HALVES, 12e-9), {"left": left, "right": right}, edges=DIFFUSE)
    )


def varying() -> dict[str, list]:
    """Profiles of conductivity and mean free path."""
    matter = material(
        conductivity=Profile(expression="0.02*exp(x/100)", length_unit=1e-9),
        mean_free_path=Profile(expression="30 + 0.1*y", scale=1e-9, length_unit=1e-9),
    )
    return terminals_and_fields(solve(written(HALVES, 12e-9), matter, edges=DIFFUSE))


def film(**laws) -> dict[str, list]:
    matter = material(
        carriers="3d", conductivity=2.4e6, scattering="isotropic", mean_free_path=20e-9
    )
    device = Device.from_gmsh(
        GEOMETRIES / "film.geo",
        length_unit="nm",
        parameters={"length": 200, "width": 60, "thickness": 30, "layers": 4, "size": 12},
    )
    walls = {"surfaces": DIFFUSE, "sides": Wall(specularity=0.5)}
    ends = laws or {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0)}
    flow = Hydrodynamic(device, materials={"metal": matter}, boundaries={**walls, **ends}).solve()
    assert "GMRES" in flow.evidence["method"]
    return terminals_and_fields(flow)


def contacted_film() -> dict[str, list]:
    """Three dimensions, solved by iterations."""
    return film()


def periodic_film() -> dict[str, list]:
    return film(source=Periodic(to="drain", voltage=1e-3))


STEP = """
Point(1) = {0, 0, 0}; Point(2) = {50, 0, 0}; Point(3) = {100, 0, 0}; Point(4) = {100, 40, 0};
Point(5) = {50, 40, 0}; Point(6) = {50, 60, 0}; Point(7) = {0, 60, 0}; Line(1) = {1, 2};
Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 5}; Line(5) = {5, 6}; Line(6) = {6, 7};
Line(7) = {7, 1}; Line(8) = {2, 5}; Curve Loop(1) = {1, 8, 5, 6, 7}; Curve Loop(2) = {2, 3, 4, -8};
Plane Surface(1) = {1}; Plane Surface(2) = {2}; MeshSize {:} = 15;
a[] = Extrude {0, 0, 30} { Surface{1}; Surface{2}; Layers{2}; };
b[] = Extrude {0, 0, 25} { Surface{a[0]}; Layers{2}; };
Physical Volume("metal") = {a[1], a[8], b[1]}; Physical Surface("source") = {a[6], b[6]};
Physical Surface("drain") = {a[10]}; Physical Surface("walls") =
{1, 2, a[2], a[4], a[5], a[7], a[9], a[11], b[0], b[2], b[3], b[4], b[5]};
"""


def reentrant_edges() -> dict[str, list]:
    """Where walls meet at two edges with a common end, nodes are as near to one as to the other."""
    device, matter = written(STEP, 15e-9), material(carriers="3d", scattering="isotropic")
    ends = {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0)}
    boundaries = {"walls": DIFFUSE, **ends}
    flow = Hydrodynamic(device, materials={"metal": matter}, boundaries=boundaries).solve()
    moments = edge_moments(flow, orbital_density(flow, vorticity(flow)))
    return {"moments": [x for m in moments for x in m.moment]}


def wire() -> dict[str, list]:
    """Curved walls in three dimensions, a reservoir."""
    matter = material(
        carriers="3d", conductivity=2.4e6, scattering="isotropic", mean_free_path=20e-9
    )
    device = Device.from_gmsh(
        GEOMETRIES / "wire.geo", length_unit="nm", parameters={"length": 80, "radius": 30}
    )
    drain = Contact(potential=0.0, law="reservoir")
    return terminals_and_fields(solve(device, matter, 2, surface=DIFFUSE, drain=drain))


def section() -> dict[str, list]:
    """A wire along its axis, by iteration; the sines of m = 0 are no functions."""
    matter = material(
        carriers="3d", conductivity=2.4e6, scattering="isotropic", mean_free_path=20e-9
    )
    device = draw("annulus", matter, ("inner", "outer"))
    names = {"source": 0.9, "drain": 0.2, "inner": 0.0, "outer": 0.5}
    laws = {name: Wall(specularity=p) for name, p in names.items()}
    wire = Wire(device, materials={"metal": matter}, boundaries=laws, harmonics=4)
    flow = wire.solve(field=1e5, upper=True)
    assert flow.evidence["iterations"] > 0
    return {"conductance": [flow.conductance, flow.upper, flow.bulk]}


def along_z() -> dict[str, list]:
    """A section with curved walls by free flights and its bounds; one by harmonics."""
    out: dict[str, list] = {}
    for alike in (True, False):
        scattering = {} if alike else {"scattering": {"gamma3": 1.1}}
        matter = {"carriers": "3d", "conductivity": "2e6 S/m", "mean_free_path": "60 nm"}
        tables = {
            "geometry": {"file": str(GEOMETRIES / "annulus.geo"), "length_unit": "nm"},
            "mesh": {"size": "60 nm", "wall_size": "60 nm"},
            "materials": {"m": matter | {"fermi_energy": "5 eV"} | scattering},
            "boundaries": {
                name: {"wall": {"specularity": p}}
                for name, p in zip(
                    ("source", "drain", "inner", "outer"), (0, 0.1, 0, 0.4), strict=True
                )
            },
            "flow": {"along": "z", "field": "1e5 V/m", "model": "kinetic", "harmonics": 4},
        }
        tables["regions"] = {"metal": "m"}
        tables["flow"]["tolerance"] = 0.05
        tables["geometry"]["parameters"] = {"angle": 120}
        found = meso.wire(Case.from_dict(tables))
        assert found.flow.free == alike
        numbers = {
            "current": [found.current, *found.bounds],
            "moments": [x for m in found.edge_moments for x in (m.moment, m.error)],
        }
        out |= {f"{key} {alike}": value for key, value in numbers.items()}
    return out


def derivatives() -> dict[str, list]:
    """Adjoint, motion of the drawing and shape gradient; a channel with rounded corners."""
    sizes = {"width": 60, "length": 120, "opening": 30, "neck": 10, "fillet": 8}
    boundaries = {
        "source": {"contact": {"potential": 1e-3}},
        "drain": {"contact": {"potential": 0.0}},
        "edges": {"wall": {"specularity": 0.2}},
    }
    tables = {
        "geometry": {
            "file": str(GEOMETRIES / "constriction.geo"),
            "length_unit": "nm",
            "parameters": sizes,
        },
        "mesh": {"size": "40 nm", "wall_size": "20 nm"},
        "materials": {"metal": {"carriers": "2d", "conductivity": 0.02, "mean_free_path": "30 nm"}},
        "regions": {"metal": "metal"},
        "boundaries": boundaries,
        "flow": {"model": "hydrodynamic", "order": 2},
    }
    result = run(Case.from_dict(tables), gradients=True)
    found = result.gradient("conductance", method="adjoint")
    shape = shape_gradient(result, "conductance")
    return {"derivatives": found.derivatives[0].tolist(), "outward": [*shape.outward.values()]}


def derivatives_in_3d() -> dict[str, list]:
    """Of a kinetic flow that varies: a contact, a moment, and what a spot sees; in a field."""
    sigma = {"expression": "s*(1 + x/20)", "unit": "S/m", "parameters": {"s": 1e6}}
    tables = {
        "geometry": {
            "file": str(GEOMETRIES / "film.geo"),
            "length_unit": "nm",
            "parameters": {"length": 20, "width": 24, "thickness": 20, "layers": 2, "size": 12},
        },
        "materials": {
            "metal": {
                **{"carriers": "3d", "conductivity": sigma, "mean_free_path": "20 nm"},
                **{"fermi_energy": "5 eV", "fermi_wavevector": "14 1/nm"},
            }
        },
        "regions": {"metal": "metal"},
        "boundaries": {
            "source": {"contact": {"potential": 1e-3}},
            "drain": {"contact": {"current": -3e-6}},
            "surfaces": {"wall": {"specularity": 0.2}},
            "sides": {"wall": {"specularity": 0.6}},
        },
        "flow": {
            **{"model": "kinetic", "harmonics": 4, "order": 2, "estimate": False},
            **{"solver": "direct", "magnetic_field": "30 T", "magnetic_direction": [0.2, 0.5, 1]},
        },
        "output": {
            "probes": {
                "a": {
                    **{"from": ["3 nm", "2 nm", "3 nm"], "to": ["16 nm", "21 nm", "19 nm"]},
                    **{"points": 5, "resolution": "6 nm"},
                }
            }
        },
    }
    result = run(Case.from_dict(tables), gradients=True)
    names = ["drain.potential", "surfaces.1.orbital_moment_y", "probe.a.vorticity.y.2"]
    found = result.gradient(names, method="adjoint")
    result.flow.adjoint.close()
    return dict(zip(names, found.derivatives.tolist(), strict=True))


def terminals_and_fields(flow) -> dict[str, list]:
    """Currents, voltages and samples, in any dimension, the same on every rank."""
    terminals = [*flow.contacts.values(), *flow.periodic.values()]
    box = [210e-9, 210e-9, 60e-9][: flow.device.dimension]
    grid = np.random.default_rng(1).uniform(-10e-9, 1, (600, len(box))) * box
    out = {
        "currents": [t.current for t in terminals],
        "potentials": [t.potential for t in terminals],
        "extrema": [*flow.fields["current_density"].extrema()],
        "cells": [float(flow.device.cells), flow.device.measure, flow.device.extent],
    }
    for name, values in flow.sample(grid).items():
        assert (~np.isnan(values)).any()
        out[f"inside {name}"] = (~np.isnan(values)).astype(float).ravel().tolist()
        out[name] = np.nan_to_num(values).ravel().tolist()
    everywhere = flow.device.comm.allgather(out)
    assert all(other == out for other in everywhere)  # to the last digit
    return out


CASES = {
    case.__name__: case
    for case in (
        hydrodynamic,
        kinetic,
        hall_bar,
        iterated,
        iterated_bend,
        iterated_lattice,
        ring,
        ohmic,
        lattice,
        ohmic_lattice,
        two_materials,
        varying,
        contacted_film,
        periodic_film,
        reentrant_edges,
        wire,
        section,
        along_z,
        derivatives,
        derivatives_in_3d,
    )
}


def results(flow) -> dict[str, list]:
    """Everything that a run reports, the same on every rank."""
    device = flow.device
    omega = vorticity(flow)
    density = orbital_density(flow, omega)
    # Points inside and outside of all devices, none on an edge of a cell where values may jump.
    grid = np.random.default_rng(1).uniform(-210e-9, 610e-9, (400, 2))
    fields = flow.sample(grid)
    fields |= {f.name: device.sample(f.function(), grid) for f in (omega, density)}
    out = {
        "currents": [t.current for t in (*flow.contacts.values(), *flow.periodic.values())],
        "potentials": [t.potential for t in (*flow.contacts.values(), *flow.periodic.values())],
        "conductance": flow.conductance_matrix.ravel().tolist(),
        "extrema": [*density.extrema(), *flow.fields["current_density"].extrema()],
        "cells": [float(device.cells), device.measure, device.extent],
    }
    for name, values in fields.items():
        out[f"inside {name}"] = (~np.isnan(values)).astype(float).ravel().tolist()
        out[name] = np.nan_to_num(values).ravel().tolist()
    for name, law in flow.boundaries.items():
        if isinstance(law, Wall):
            for column, values in flow.profile(name, 2).items():
                out[f"{name} {column}"] = values.tolist()
    moments = edge_moments(flow, density)
    out["moments"] = [m.moment for m in moments]
    out["moment places"] = [x for m in moments for x in (m.length, *m.center)]
    everywhere = device.comm.allgather(out)
    assert all(other == out for other in everywhere)  # to the last digit
    return out


def compare(found: dict[str, list], wanted: dict[str, list], relative: float = RELATIVE) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        a, b = np.array(found[name]), np.array(values)
        assert a.shape == b.shape, name
        if b.size:
            np.testing.assert_allclose(a, b, rtol=0, atol=relative * np.abs(b).max(), err_msg=name)


serial = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, pytestconfig):
    """All cases on one and three ranks, and with ``--thorough`` on two."""
    folder = tmp_path_factory.mktemp("ranks")
    out = {}
    for ranks in (1, 2, 3) if pytestconfig.getoption("thorough") else (1, 3):
        path = folder / f"{ranks}.json"
        launch(__file__, ranks, path)
        out[ranks] = json.loads(path.read_text())
    return out


@serial
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_ranks_agree(runs, case, ranks):
    if ranks not in runs:
        pytest.skip("with --thorough")
    assert runs[ranks]["size"] == ranks
    compare(runs[ranks][case], runs[1][case], SOLVED.get(case, RELATIVE))


@serial
@pytest.mark.parametrize("ranks", [thorough(1), thorough(2), 3])
def test_errors_reach_every_rank(ranks):
    """A bad drawing is found by rank 0; all ranks raise, and none waits for it."""
    said = launch(__file__, ranks, "error").split("\n")
    message = [line for line in said if line.startswith("GeometryError")]
    assert len(message) == ranks
    assert len(set(message)) == 1
    assert "no variable 'widht'" in message[0]


@serial
@pytest.mark.parametrize("ranks", [thorough(1), thorough(2), 3])
@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        ("profile", "CaseError", "materials.graded.conductivity: found -0.02 at x ="),
        ("periodic", "GeometryError", "they have 21 and 13 nodes"),
    ],
)
def test_failures_on_one_rank_end_all(ranks, failure, kind, text):
    """Bad values in the cells of one rank only, and pairs whose meshes do not match."""
    said = launch(__file__, ranks, "error", failure)
    message = [line for line in said.split("\n") if line.startswith(kind)]
    assert len(message) == ranks, said
    assert len(set(message)) == 1
    assert text in message[0]


def misspelt() -> None:
    draw("ribbon", material(), (), widht=3.0)


def bad_profile() -> None:
    """Negative in the cells near one corner only: those of one rank."""
    expression = "where(x > 190 and y > 90, -0.02, 0.02)"
    matter = material(name="graded", conductivity=Profile(expression=expression, length_unit=1e-9))
    device = written(HALVES, 12e-9)
    x = device.mesh.geometry.x * 1e9
    bad = bool(((x[:, 0] > 190) & (x[:, 1] > 90)).any())
    if device.comm.size > 1:
        # Otherwise this is no test of what it says.
        assert not all(device.comm.allgather(bad))
    solve(device, matter, edges=DIFFUSE)


def mismatched() -> None:
    text = HALVES + "Transfinite Curve {6} = 6; Transfinite Curve {3} = 4;"
    device = written(text, 50e-9)
    pair = Periodic(to="drain", voltage=1e-3)
    materials = dict.fromkeys(device.regions, material())
    Hydrodynamic(device, materials=materials, boundaries={"source": pair, "edges": DIFFUSE}).solve()


FAILURES = {"misspelt": misspelt, "profile": bad_profile, "periodic": mismatched}


def fail_together(failure: str = "misspelt") -> None:
    """The error on this rank, in one write so that ranks do not mix their lines."""
    try:
        FAILURES[failure]()
    except MesoError as error:
        MPI.COMM_WORLD.Barrier()
        sys.stdout.write(f"{type(error).__name__} {' '.join(str(error).split())}\n")
        sys.stdout.flush()


@pytest.mark.skipif(MPI.COMM_WORLD.size == 1, reason="pytest itself runs on one rank")
def test_this_run_agrees_with_one_rank(monkeypatch):
    """Under mpirun, pytest compares its own ranks with a device on each rank alone."""
    wanted_comm, original = MPI.COMM_SELF, Device.from_gmsh.__func__
    found = hydrodynamic()
    monkeypatch.setattr(
        Device,
        "from_gmsh",
        classmethod(lambda cls, *a, **k: original(cls, *a, comm=wanted_comm, **k)),
    )
    compare(found, hydrodynamic())


if __name__ == "__main__":
    if sys.argv[1] == "error":
        fail_together(*sys.argv[2:])
    else:
        everything = {name: case() for name, case in CASES.items()}
        if MPI.COMM_WORLD.rank == 0:
            table = {"size": MPI.COMM_WORLD.size, **everything}
            Path(sys.argv[1]).write_text(json.dumps(table))
