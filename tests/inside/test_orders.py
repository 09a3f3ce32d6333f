"""Orders of convergence, measured with manufactured flows on straight and on curved domains.

Inside, because laws of boundaries are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import mesh_file, thorough
from loads import Loads, along_normal, natural, rough
from manufactured import Manufactured

from meso import Contact, Device, Material, Wall
from meso.constants import ELECTRON_CHARGE
from meso.discrete.cells import cells_of, facet_geometry
from meso.discrete.fields import Field, cellwise, continuous
from meso.flow import Flow, Hydrodynamic
from meso.flow.discretisation import Law
from meso.flow.hydrodynamic import direct_system
from meso.observables.edges import wall_values
from meso.orbital import vorticity

pytestmark = pytest.mark.verification

SLIP = 1.5  # scaled slip rate
WALLS = ("below", "above")

SQUARE = """
Point(1) = {0, 0, 0}; Point(2) = {1, 0, 0}; Point(3) = {1, 1, 0}; Point(4) = {0, 1, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
"""
BEND = """
Point(9) = {0, 0, 0};
Point(1) = {0.5, 0, 0}; Point(2) = {0, 0.5, 0}; Point(3) = {0, 1, 0}; Point(4) = {1, 0, 0};
Circle(1) = {1, 9, 2}; Line(2) = {2, 3}; Circle(3) = {3, 9, 4}; Line(4) = {4, 1};
"""
GROUPS = """
Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1}; Physical Surface("metal") = {1};
Physical Curve("below") = {1}; Physical Curve("above") = {3};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
"""


@pytest.fixture(scope="module")
def meshes(folder: Path):
    """Unstructured meshes, every triangle of the coarse one divided 0, 1 and 2 times."""

    @cache
    def of(bend: bool, level: int) -> Device:
        path = folder / f"{'bend' if bend else 'square'}-{level}.msh"
        mesh_file(
            path,
            (BEND if bend else SQUARE) + GROUPS,
            size=0.3,
            refinements=level,
            degree=4 if bend else 1,
        )
        return Device.from_gmsh(path, length_unit="nm")

    return of


def cell_size(level: int) -> float:
    """Scaled edge length of the meshes above."""
    return 0.3 / 2**level


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Relative errors: root mean square over the device, over the walls for the last two."""

    J: float
    phi: float
    curl: float
    wall_J: float
    wall_curl: float

    def orders(self, finer: Errors) -> dict[str, float]:
        """Orders between two meshes."""
        return {name: np.log2(getattr(self, name) / getattr(finer, name)) for name in vars(self)}


def error(field: Field, exact) -> float:
    """Relative L2 error of a field in scaled variables."""
    device, cells = field.device, cells_of(field.device)
    points, weights = cells.quadrature(2 * field.degree + 8)
    everything = np.arange(cells.count)
    measure = cells.determinants(everything, points) * weights
    wanted = exact(cells.positions(everything, points))
    wanted = wanted.reshape(*wanted.shape[:2], -1)
    apart = field.everywhere(points) - wanted
    square = [(measure[..., None] * v**2).sum() for v in (apart, wanted)]
    assert device.comm.size == 1
    return float(np.sqrt(square[0] / square[1]))


def run(
    device: Device,
    length: float,
    order: int,
    *,
    bend: bool,
    everything: bool = False,
    elements: str = "auto",
) -> Errors:
    """Solve a manufactured problem.

    Args:
        device: The mesh.
        length: Scaled vorticity diffusion length l.
        order: Polynomial degree k.
        bend: True on the bend.
        everything: True for loads everywhere: sources, a wall that lets current through, and
            natural boundaries.
        elements: As of Hydrodynamic.
    """
    extent = device.extent
    matter = Material(carriers="2d", conductivity=1.0, vorticity_diffusion_length=length * extent)
    wall = Wall(slip_length=extent / SLIP)
    boundaries = {
        "source": Contact(potential=0.0),
        "drain": Contact(potential=0.0),
        "below": wall,
        "above": wall,
    }
    options = {"materials": {"metal": matter}, "boundaries": boundaries, "order": order}
    model = Hydrodynamic(device, **options)
    relaxation = model.scales.conductivity / matter.conductivity
    stress = relaxation * length**2
    extra = {"gradient": 0.5, "phase": 0.4} if everything else {}
    case = Manufactured(bend=bend, relaxation=relaxation, stress=stress, slip=SLIP, **extra)
    # The ideal contacts have no tangential current to give: the load is along the normal.
    tractions = dict.fromkeys(("source", "drain"), along_normal)
    laws = model.laws()
    if everything:
        # The model's own wall law also keeps J.n at zero, which it is not here.
        laws = dict.fromkeys(laws, Law()) | {
            "above": replace(laws["above"], impenetrable=False, penalty=None)
        }
        tractions = {**dict.fromkeys(laws, natural), "above": rough}
    loads = Loads(model, case, source=everything, tractions=tractions)
    problem = Hydrodynamic(device, **options, terms=[loads], elements=elements).problem()
    system = direct_system(replace(problem, laws=laws))
    solutions = system.solve()
    values, family = solutions.vector[-1], solutions.family
    J = continuous("current_density", "A_per_m", device, order, values, family)
    phi = cellwise("potential", "V", device, order - 1, solutions.scalar[-1])
    flow = Flow(
        model="hydrodynamic",
        device=device,
        materials={"metal": matter},
        boundaries=boundaries,
        thickness=None,
        order=order,
        current_density=None,
        potential=None,
        fields={"current_density": J, "potential": phi},
        contacts={},
        periodic={},
        conductance_matrix=np.empty((0, 0)),
    )
    scale = ELECTRON_CHARGE * extent
    squares = np.zeros(4)
    # Without q the walls obey the slip law and curl J follows from it.
    curl_error = np.nan
    if not everything:
        omega = vorticity(flow)
        scaled = cellwise("curl", "", device, omega.degree, omega.values * scale)
        curl_error = error(scaled, case.curl)
    at, weight = cells_of(device).facet_quadrature(2 * order + 4)
    for name in WALLS:
        here = device.facets.of(device.facets.boundary == device.boundaries.index(name))
        geometry = facet_geometry(cells_of(device), here.cell, here.local, at, weight)
        values = wall_values(flow, name, at[:, 0])
        n = geometry.normal
        tangent = np.stack([-n[..., 1], n[..., 0]], axis=2)
        J_t = (case.current(geometry.position) * tangent).sum(axis=2)
        curl = case.curl(geometry.position)
        pairs = ((values.tangential_current, J_t), (values.vorticity * scale, curl))
        for i, (found, wanted) in enumerate(pairs):
            squares[2 * i] += (geometry.weight * (found - wanted) ** 2).sum()
            squares[2 * i + 1] += (geometry.weight * wanted**2).sum()
    return Errors(
        J=error(J, case.current),
        phi=error(phi, case.potential),
        curl=curl_error,
        wall_J=float(np.sqrt(squares[0] / squares[1])),
        wall_curl=float(np.sqrt(squares[2] / squares[3])),
    )


EACH = pytest.mark.parametrize(
    ("elements", "order"),
    [
        *(("Taylor-Hood", k) for k in (2, 3, 4)),
        *(("Crouzeix-Raviart", k) for k in (3, 4, 5)),
    ],
)


@EACH
@pytest.mark.parametrize("bend", [False, True], ids=["square", "bend"])
@pytest.mark.parametrize("ratio", [1e-2, thorough(1e-1), 1.0, thorough(10.0), 100.0])
def test_orders(meshes, bend, ratio, elements, order):
    """Orders between the two finer meshes, l/h on the finest given.

    Theory: k+1 for J, k for phi and the curl, k+1/2 at least for J at walls, where the curl
    follows from it, while the viscous term rules (l >> h). Where it does not (l << h), the
    elements are those of Darcy's law: J follows grad phi, an order k-1, with a small constant
    thanks to the augmentation, whose divergence leaves the curl another order behind. At l = h the
    coarser mesh is on the way to Darcy: at least k. An allowance of 0.4 is for meshes of a few
    hundred cells.
    """
    length = ratio * cell_size(2)
    coarse, fine = (
        run(meshes(bend, level), length, order, bend=bend, elements=elements) for level in (1, 2)
    )
    found = coarse.orders(fine)
    # The curvature of a wall of degree 4 enters the curl there with h^3 at worst.
    if ratio == 1:
        wanted = {"J": order, "phi": order, "curl": order, "wall_J": order}
        wanted["wall_curl"] = min(order, 4) if bend else order
    elif ratio > 1:
        walls = min(order + 0.5, 4.0) if bend else order + 0.5
        wanted = {"J": order + 1, "phi": order, "curl": order, "wall_J": walls, "wall_curl": walls}
    else:
        low = order - 1
        wanted = {"J": low, "phi": order, "curl": low - 1, "wall_J": low, "wall_curl": low}
    for name, value in wanted.items():
        assert found[name] > value - 0.4, f"{name}: {found[name]:.2f}, expected {value}"
    # Absolute size: what a mesh of a few hundred cells gives, also where l is not resolved (without
    # the augmentation J is three times worse there, and up to ten on the square).
    limit = {2: 2e-2, 3: 8e-4, 4: 6e-6, 5: 6e-8}
    if ratio >= 1:
        limit = {2: 3e-3, 3: 2e-4, 4: 2e-6, 5: 3e-8}
    assert limit[order] > fine.J


@EACH
@pytest.mark.parametrize("bend", [False, True], ids=["square", "bend"])
@pytest.mark.parametrize("ratio", [1.0, 100.0])
def test_orders_with_all_loads(meshes, bend, ratio, elements, order):
    """Sources, walls that let current through, natural boundaries, and contacts with J_t."""
    length = ratio * cell_size(2)
    coarse, fine = (
        run(meshes(bend, level), length, order, bend=bend, everything=True, elements=elements)
        for level in (1, 2)
    )
    found = coarse.orders(fine)
    if order == 5 and ratio > 1:
        # Nothing but friction holds a flow without walls: rounding leaves as much.
        assert fine.J < 1e-9 if not bend else fine.J < 1e-7
        return
    assert found["J"] > order + (0.6 if ratio > 1 else -0.4)
    assert found["phi"] > order - 0.4
