"""Conforming Crouzeix-Raviart elements: their basis, their assembly, and flows with them."""

from __future__ import annotations

import basix
import numpy as np
import pytest
import ufl
from conftest import GEOMETRIES, draw, material
from scipy.sparse import coo_matrix, triu

import meso
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.elements import enriched
from meso.discrete.expressions import cell_integrals
from meso.discrete.periodic import twin_nodes
from meso.discrete.skeleton import SMALL, Skeleton, Sums
from meso.discrete.unknowns import kept
from meso.errors import CaseError, ConvergenceError
from meso.flow import Flow, Hydrodynamic

BOTH = ("Taylor-Hood", "Crouzeix-Raviart")


@pytest.mark.parametrize("degree", [2, 3, 4, 7])
def test_element(degree: int) -> None:
    """Nodal; all of P_k; of degree k + 1 bubbles alone."""
    element = enriched(degree).basix_element
    assert element.dim == 3 * degree + degree * (degree - 1) // 2
    assert np.allclose(element.tabulate(0, element.points)[0, ..., 0], np.eye(element.dim))
    points, _ = basix.make_quadrature(basix.CellType.triangle, 8)
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    at, there = (
        np.array([x[:, 0] ** i * x[:, 1] ** j for i, j in powers]).T
        for x in (element.points, points)
    )
    assert np.allclose(element.tabulate(0, points)[0, ..., 0] @ at, there)
    s = np.linspace(0, 1, 9)
    edges = [np.column_stack(xy) for xy in ((s, 0 * s), (0 * s, s), (s, 1 - s))]
    inside = element.tabulate(0, np.concatenate(edges))[0, :, 3 * degree :, 0]
    assert np.abs(inside).max() < 1e-12


@pytest.mark.parametrize("across", [3, 40])
def test_sums_are_those_of_triplets(across: int) -> None:
    """Also where nodes of one cell are twins."""
    device = meso.Device.from_gmsh(
        GEOMETRIES / "ribbon_period.geo",
        length_unit="nm",
        parameters={"cells": across, "length": 10 if across == 3 else 100},
    )
    space = lagrange(device, 4, "enriched")
    twins = twin_nodes(device, space, [("source", "drain")])
    keep = kept(space, space.nodes_on(device, "edges"))
    together = np.empty(0, int), np.empty((0, 5), int)
    skeleton = Skeleton(device, space, keep, twins, 2, together)
    assert skeleton.ordered == (skeleton.entities > SMALL)
    cells, n = np.arange(len(skeleton.rows)), skeleton.rows.shape[1]
    random = np.random.default_rng(1)
    matrices = random.random((len(cells), n, n))
    matrices += matrices.swapaxes(1, 2)
    flux, penalty = random.random((len(cells), n)), 1 + random.random(len(cells))
    sums = Sums(skeleton)
    for batch in np.array_split(cells, 3):
        sums.add(batch, matrices[batch], flux[batch], penalty[batch])
    assert len(sums.pattern[1]) == skeleton.entries
    # Once more for some cells, as rows of a matrix: all but the first.
    few = np.where(skeleton.rows >= 0, skeleton.rows, skeleton.size)[:3].ravel()
    at = np.repeat(np.arange(3), n), few
    C = coo_matrix((flux[:3].ravel(), at), (3, skeleton.size + 1)).tocsr()[:, :-1]
    sums.penalise(C, penalty, 1)
    penalties = flux[:, :, None] * flux[:, None, :] / penalty[:, None, None]
    penalties[1:3] *= 2
    for own in (matrices, matrices + penalties):
        rows = np.broadcast_to(skeleton.rows[:, :, None], own.shape)
        columns = rows.swapaxes(1, 2)
        there = (rows >= 0) & (columns >= 0)
        whole = coo_matrix((own[there], (rows[there], columns[there])), (skeleton.size,) * 2)
        found = sums.pop()
        assert found.has_sorted_indices
        assert abs(found - triu(whole)).max() < 1e-12


def flow(device: meso.Device, elements: str, laws: dict, **options) -> Flow:
    """Hydrodynamic flow."""
    matter = options.pop("matter", None) or dict.fromkeys(device.regions, material())
    contacts = {
        name: meso.Contact(potential=volt)
        for name, volt in (("source", 1e-3), ("drain", 0.0))
        if name in device.boundaries and "source" not in laws
    }
    return Hydrodynamic(
        device, materials=matter, boundaries={**contacts, **laws}, elements=elements, **options
    ).solve()


ROUGH, SMOOTH = meso.Wall(specularity=0.0), meso.Wall(specularity=1.0)
RESERVOIRS = {
    name: meso.Contact(potential=volt, law="reservoir")
    for name, volt in (("source", 1e-3), ("drain", 0.0))
}
CASES = {
    "rough": ("ribbon", {"edges": ROUGH}),
    "smooth": ("ribbon", {"edges": SMOOTH}),
    "sticks": ("ribbon", {"edges": meso.Wall(slip_length=0.0)}),
    "reservoirs": ("ribbon", {"edges": ROUGH, **RESERVOIRS}),
    "curved": ("annulus", {"inner": ROUGH, "outer": meso.Wall(specularity=0.5, law="literal")}),
    "periodic": (
        "ribbon_period",
        {"edges": ROUGH, "source": meso.Periodic(to="drain", voltage=1e-3)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_flows_are_those_of_taylor_hood_elements(name: str) -> None:
    drawing, laws = CASES[name]
    walls = tuple(n for n, law in laws.items() if isinstance(law, meso.Wall))
    device = draw(drawing, material(), walls)
    one, other = (flow(device, elements, laws) for elements in BOTH)
    assert [f.evidence["elements"] for f in (one, other)] == list(BOTH)
    terminals = [{**f.contacts, **f.periodic} for f in (one, other)]
    for first, second in zip(*(t.values() for t in terminals), strict=True):
        assert second.current == pytest.approx(first.current, rel=1e-6)
    assert abs(sum(t.current for t in other.contacts.values())) < 1e-12 * abs(second.current)
    difference = other.current_density.x.array.max() / one.current_density.x.array.max()
    assert difference == pytest.approx(1.0, rel=1e-4)
    # Nothing piles up in any cell.
    J = other.current_density
    out = cell_integrals(device, ufl.div(J), degree=10)
    through = np.sqrt(cells_of(device).measures(np.arange(device.cells))) * device.extent
    assert np.abs(out).max() < 1e-11 * through.max() * np.abs(J.x.array).max()


def test_many_contacts(hall_bar: meso.Device) -> None:
    """The conductance matrix of a Hall bar, symmetric, without net current."""
    probes = {f"probe{i}": meso.Contact(current=0.0) for i in range(1, 5)}
    matter = {"metal": material(mean_free_path=40e-9)}
    laws = {**probes, "edges": ROUGH}
    one, other = (flow(hall_bar, each, laws, matter=matter) for each in BOTH)
    G = other.conductance_matrix
    # The mesh leaves as much at its sharp corners.
    assert np.abs(G - one.conductance_matrix).max() < 1e-5 * G.max()
    assert np.abs(G - G.T).max() < 1e-13 * G.max()
    assert np.abs(G.sum(axis=0)).max() < 1e-12 * G.max()


def test_what_they_cannot_do(ribbon) -> None:
    device, matter = ribbon(4)
    laws, materials = {"edges": ROUGH}, dict.fromkeys(device.regions, matter)

    def drag(s):
        return s.J[0] * s.w[0] / s.conductivity * s.dx()

    assert flow(device, "auto", laws, terms=[drag]).evidence["elements"] == BOTH[0]
    assert flow(device, "auto", laws, order=3).evidence["elements"] == BOTH[0]
    with pytest.raises(CaseError, match="loads only"):
        flow(device, BOTH[1], laws, terms=[drag], matter=materials)
    with pytest.raises(CaseError, match="elements"):
        flow(device, "Raviart-Thomas", laws)


def test_refinement_that_does_not_converge(ribbon, monkeypatch: pytest.MonkeyPatch) -> None:
    device, _ = ribbon(4)
    monkeypatch.setattr("meso.discrete.constrained.STEPS", 1)
    with pytest.raises(ConvergenceError, match="refinement left"):
        flow(device, BOTH[1], {"edges": ROUGH})
