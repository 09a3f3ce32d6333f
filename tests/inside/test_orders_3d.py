"""Orders of convergence in three dimensions, measured with manufactured flows in a cube.

Inside, because laws of boundaries are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import gmsh
import numpy as np
import pytest
from conftest import gmsh_session, thorough
from loads import Loads, along_normal, at_wall, natural, rough
from manufactured_3d import Manufactured3D

from meso import Contact, Device, Material, Wall
from meso.discrete.cells import cells_of
from meso.discrete.fields import Field, cellwise, continuous
from meso.flow import Hydrodynamic
from meso.flow.discretisation import Law
from meso.flow.saddle import IterativeSystem

pytestmark = pytest.mark.verification

SLIP = 1.5  # scaled slip rate
SIZE = 0.5  # of the cells of the coarsest mesh

CUBE = """
SetFactory("OpenCASCADE"); Box(1) = {0, 0, 0, 1, 1, 1}; Physical Volume("metal") = {1};
Physical Surface("source") = {1}; Physical Surface("drain") = {2};
Physical Surface("front") = {3}; Physical Surface("back") = {4};
Physical Surface("bottom") = {5}; Physical Surface("top") = {6};
"""


@pytest.fixture(scope="module")
def cubes(folder: Path):
    """Unstructured meshes, every tetrahedron of the coarse one divided 0, 1 and 2 times."""

    @cache
    def of(level: int) -> Device:
        drawing, path = folder / "cube.geo", folder / f"cube-{level}.msh"
        drawing.write_text(CUBE)
        with gmsh_session():
            gmsh.open(str(drawing))
            gmsh.option.setNumber("Mesh.MeshSizeMax", SIZE)
            gmsh.option.setNumber("Mesh.MeshSizeMin", SIZE)
            gmsh.model.mesh.generate(3)
            for _ in range(level):
                gmsh.model.mesh.refine()
            gmsh.write(str(path))
        return Device.from_gmsh(path, length_unit="nm")

    return of


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Relative L2 errors, and the iterations."""

    J: float
    phi: float
    iterations: int

    def orders(self, finer: Errors) -> tuple[float, float]:
        """Orders of J and phi between two meshes."""
        return np.log2(self.J / finer.J), np.log2(self.phi / finer.phi)


def error(field: Field, exact) -> float:
    """Relative L2 error of a field in scaled variables."""
    device, cells = field.device, cells_of(field.device)
    points, weights = cells.quadrature(2 * field.degree + 4)
    everything = np.arange(cells.count)
    measure = cells.determinants(everything, points) * weights
    wanted = exact(cells.positions(everything, points))
    wanted = wanted.reshape(*wanted.shape[:2], -1)
    apart = field.everywhere(points) - wanted
    square = [(measure[..., None] * v**2).sum() for v in (apart, wanted)]
    assert device.comm.size == 1
    return float(np.sqrt(square[0] / square[1]))


def run(device: Device, length: float, order: int, *, everything: bool = False) -> Errors:
    """Solve a manufactured problem.

    Args:
        device: The mesh.
        length: Scaled vorticity diffusion length l.
        order: Polynomial degree k.
        everything: True for sources and natural boundaries, else walls and ideal contacts.
    """
    extent = device.extent
    matter = Material(carriers="3d", conductivity=1.0, vorticity_diffusion_length=length * extent)
    boundaries = {
        **dict.fromkeys(("source", "drain", "front", "back"), Contact(potential=0.0)),
        **dict.fromkeys(("bottom", "top"), Wall(slip_length=extent / SLIP)),
    }
    options = {"materials": {"metal": matter}, "boundaries": boundaries, "order": order}
    model = Hydrodynamic(device, **options)
    relaxation = model.scales.conductivity / matter.conductivity
    case = Manufactured3D(
        relaxation=relaxation,
        stress=relaxation * length**2,
        slip=SLIP,
        gradient=0.5 if everything else 0.0,
    )
    laws = {**model.laws(), "front": Law(), "back": Law()}
    if everything:
        # Every boundary lets current through, bottom and top with friction.
        walls = ("bottom", "top")
        open_ = replace(laws["top"], impenetrable=False, penalty=None)
        laws = dict.fromkeys(laws, Law()) | dict.fromkeys(walls, open_)
        tractions = dict.fromkeys(laws, natural) | dict.fromkeys(walls, rough)
    else:
        # The ideal contacts have no tangential current: their load is along the normal.
        tractions = {
            **dict.fromkeys(("front", "back"), natural),
            **dict.fromkeys(("source", "drain"), along_normal),
            **dict.fromkeys(("bottom", "top"), at_wall),
        }
    loads = Loads(model, case, source=everything, tractions=tractions)
    problem = Hydrodynamic(device, **options, terms=[loads]).problem()
    solutions = IterativeSystem(replace(problem, laws=laws)).solve()
    J = continuous("current_density", "A_per_m2", device, order, solutions.vector[-1])
    phi = cellwise("potential", "V", device, order - 1, solutions.scalar[-1])
    return Errors(
        J=error(J, case.current),
        phi=error(phi, case.potential),
        iterations=solutions.evidence["iterations"],
    )


# Error of J on the finer mesh, twice what was measured (a few thousand cells of side 1/8).
LIMIT = {0.01: 0.1, 0.1: 0.07, 1.0: 3e-3, 10.0: 1.2e-3, 100.0: 1.2e-3}


@pytest.mark.parametrize(
    ("ratio", "everything"),
    [
        (1e-2, True),
        thorough(10.0, False),
        thorough(100.0, True),
        *(thorough(ratio, False) for ratio in (1e-2, 1e-1, 1.0, 100.0)),
        thorough(1.0, True),
    ],
)
def test_orders(cubes, ratio, everything):
    """Order 2 between the two finer meshes, l/h on the finest given.

    As in two dimensions: 3 for J and 2 for phi while the viscous term rules; where it does not,
    the elements are those of Darcy's law and J follows grad phi, an order 1. An allowance of 0.2.
    """
    length = ratio * SIZE / 4
    coarse, fine = (run(cubes(level), length, 2, everything=everything) for level in (1, 2))
    current, potential = coarse.orders(fine)
    assert current > (2.8 if ratio >= 1 else 1.0)
    assert potential > 1.8
    assert LIMIT[ratio] > fine.J
    assert fine.phi < 1e-2
    # Pure tractions and unresolved l make it harder than devices do, but it stays bounded.
    assert fine.iterations <= 70


@pytest.mark.parametrize("ratio", [thorough(0.1), 1.0, thorough(100.0)])
def test_order_three(cubes, ratio):
    """The coarse pair, 100 and 800 cells: not yet 4 and 3, but clear of those of order 2."""
    length = ratio * SIZE / 2
    lower = run(cubes(1), length, 2)
    coarse, fine = (run(cubes(level), length, 3) for level in (0, 1))
    current, potential = coarse.orders(fine)
    assert current > (3.1 if ratio >= 1 else 1.6)
    assert potential > 2.3
    assert fine.J < lower.J / 3
    assert fine.phi < lower.phi / 3
