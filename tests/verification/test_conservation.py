"""What is conserved: charge, reciprocity, energy; on a Hall bar with every kind of contact."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import draw, material, solve

from meso.boundary import Contact, Wall
from meso.cells import cells_of, facet_geometry, lagrange
from meso.fields import gradient
from meso.flow.ohmic import Ohmic
from meso.flow.result import Flow


def normal_current(flow: Flow, piece: int) -> tuple[float, float]:
    """Net current out through a piece of the boundary, and the integral of its magnitude."""
    device, density = flow.device, flow.fields["current_density"]
    here = device.facets.of(device.facets.piece == piece)
    s, weight = cells_of(device).facet_quadrature(2 * density.degree + 6)
    geometry = facet_geometry(cells_of(device), here.cell, here.local, s, weight)
    space = lagrange(device, density.degree)
    table = geometry.table(lambda points, _: space.values(points))
    J = np.einsum("fqn,fnk->fqk", table, density.values[here.cell])
    through = geometry.weight * np.einsum("fqk,fqk->fq", J, geometry.normal) * device.extent
    return float(through.sum()), float(np.abs(through).sum())


def largest_current(flow: Flow) -> float:
    return max(abs(terminal.current) for terminal in flow.contacts.values())


def dissipation(flow: Flow, *, penalty: bool = False) -> float:
    """Power turned to heat: int J^2/sigma + (l^2/2 sigma)|T|^2, walls, contacts.

    T = grad J + grad J^T - div J I. The walls take (l^2/sigma) s J_t^2, reservoirs that of a
    diffuse wall and the power of their potential step, (8/3pi)(lambda/sigma) J_n^2. With
    ``penalty`` also the numerical terms: that on J.n at walls, 100 k^2 (l^2/h + h)/sigma J_n^2, and
    the augmentation (h^2/sigma) (div J)^2, h^2 being half the area of the cell.
    """
    device, density = flow.device, flow.fields["current_density"]
    cells = cells_of(device)
    matters = [flow.materials[name] for name in device.regions]
    sigma = np.array([m.conductivity for m in matters])[device.cell_region]
    length = np.array([m.vorticity_diffusion_length for m in matters])[device.cell_region]
    points, weights = cells.quadrature(2 * density.degree + 6)
    everything = np.arange(cells.count)
    measure = cells.determinants(everything, points) * weights * device.extent**2
    slope = gradient(density, points)
    # Without its trace, as in the weak form: div J is zero up to the discretisation only.
    trace = np.trace(slope, axis1=2, axis2=3)[..., None, None]
    shear = slope + slope.swapaxes(2, 3) - trace * np.eye(2)
    heat = (density.everywhere(points) ** 2).sum(axis=2)
    heat += length[:, None] ** 2 / 2 * (shear**2).sum(axis=(2, 3))
    if penalty:
        heat += measure.sum(axis=1, keepdims=True) / 2 * trace[..., 0, 0] ** 2
    power = float((measure * heat / sigma[:, None]).sum())
    s, weight = cells.facet_quadrature(2 * density.degree + 6)
    space = lagrange(device, density.degree)
    for name, law in flow.boundaries.items():
        reservoir = isinstance(law, Contact) and law.law == "reservoir"
        if not reservoir and not isinstance(law, Wall):
            continue
        here = device.facets.of(device.facets.boundary == device.boundaries.index(name))
        at = device.cell_region[here.cell]
        geometry = facet_geometry(cells, here.cell, here.local, s, weight)
        table = geometry.table(lambda points, _: space.values(points))
        J = np.einsum("fqn,fnk->fqk", table, density.values[here.cell])
        J_n = np.einsum("fqk,fqk->fq", J, geometry.normal)
        J_t = np.einsum("fqk,fqk->fq", J, geometry.tangent)
        rate = np.array([m.slip_rate(0.0) if reservoir else law.slip_rate(m) for m in matters])
        loss = (length[here.cell] ** 2 * rate[at])[:, None] * J_t**2
        if reservoir:
            step = np.array([8 / (3 * np.pi) * m.mean_free_path for m in matters])[at]
            loss += step[:, None] * J_n**2
        elif penalty:
            h = geometry.height * device.extent
            loss += (100 * density.degree**2 * (length[here.cell] ** 2 / h + h))[:, None] * J_n**2
        loss *= geometry.weight * device.extent / sigma[here.cell][:, None]
        power += float(loss.sum())
    return power


def test_currents_sum_to_zero(hall_flow):
    # Consistent fluxes: only the rounding of the solver, with a residual of about 1e-14.
    assert hall_flow.sum_of_currents < 1e-12


def test_given_currents_and_potentials(hall_flow):
    scale = largest_current(hall_flow)
    for name, wanted in (("probe1", 0.0), ("probe2", 0.0), ("probe3", 3e-7), ("probe4", 0.0)):
        assert hall_flow.contacts[name].current == wanted
    G, names = hall_flow.conductance_matrix, list(hall_flow.contacts)
    V = np.array([hall_flow.contacts[name].potential for name in names])
    current = np.array([hall_flow.contacts[name].current for name in names])
    assert V[names.index("source")] == 1e-3
    assert V[names.index("drain")] == 0.0
    assert np.abs(G @ V - current).max() < 1e-12 * scale
    # What the nodal field carries through each contact is what the flux formula says, to the
    # accuracy with which div J = 0 holds near it.
    device = hall_flow.device
    for i, piece in enumerate(device.pieces):
        if piece.boundary in names:
            net, _ = normal_current(hall_flow, i)
            wanted = -hall_flow.contacts[piece.boundary].current
            assert net == pytest.approx(wanted, abs=1e-12 * scale)


def test_conductance_matrix(hall_flow):
    """Reciprocity, gauge invariance, signs."""
    G = hall_flow.conductance_matrix
    scale = np.abs(G).max()
    assert np.abs(G - G.T).max() < 1e-12 * scale  # rounding
    assert np.abs(G.sum(axis=1)).max() < 1e-12 * scale
    assert np.abs(G.sum(axis=0)).max() < 1e-12 * scale
    assert (np.diag(G) > 0).all()
    eigenvalues = np.linalg.eigvalsh((G + G.T) / 2)
    assert eigenvalues[0] > -1e-12 * scale  # it dissipates
    assert eigenvalues[1] > 1e-3 * scale  # and the device is in one piece


def test_no_current_through_walls(hall_flow):
    """The multiplier is split at corners: each smooth piece of a wall is tight by itself."""
    scale = largest_current(hall_flow)
    walls = [i for i, p in enumerate(hall_flow.device.pieces) if p.boundary == "edges"]
    assert len(walls) == 6  # the outline between the six contacts, smooth by its fillets
    for i in walls:
        net, _ = normal_current(hall_flow, i)
        assert abs(net) < 1e-12 * scale


def test_no_current_through_curved_walls():
    matter = material(mean_free_path=100e-9)
    device = draw("annulus", matter, ("inner", "outer"), angle=250.0)
    for wall in (Wall(specularity=0.0), Wall(slip_length=0.0)):
        flow = solve(device, matter, inner=wall, outer=wall)
        for i, piece in enumerate(device.pieces):
            if piece.boundary in ("inner", "outer"):
                net, _ = normal_current(flow, i)
                assert abs(net) < 1e-12 * largest_current(flow)


def test_power_is_dissipated(hall_flow):
    """V I = heat, by quadrature of the fields."""
    # J.n at walls is zero in the mean, not in every point, and so is div J: their penalties take
    # 6e-8 of the power.
    assert dissipation(hall_flow) == pytest.approx(hall_flow.dissipated_power, abs=0, rel=5e-7)
    # All terms of the weak form but Nitsche's at ideal contacts, squares of errors: 2.4e-12.
    balance = dissipation(hall_flow, penalty=True)
    assert balance == pytest.approx(hall_flow.dissipated_power, abs=0, rel=1e-9)


def test_power_of_reservoirs(hall_bar):
    """Between reservoirs, whose potential steps dissipate too."""
    ends = {
        name: Contact(potential=volt, law="reservoir")
        for name, volt in zip(
            ("source", "drain", "probe1", "probe2", "probe3", "probe4"),
            (1e-3, 0.0, 4e-4, -2e-4, 1e-4, 3e-4),
            strict=True,
        )
    }
    flow = solve(hall_bar, material(mean_free_path=40e-9), edges=Wall(specularity=0.2), **ends)
    # The quadrature on curved cells is what is left, 4e-12.
    balance = dissipation(flow, penalty=True)
    assert balance == pytest.approx(flow.dissipated_power, abs=0, rel=1e-9)


def test_ohmic(hall_bar):
    """The same identities for Ohm's law."""
    floating = {f"probe{i}": Contact(current=0.0) for i in (1, 2, 3)}
    flow = Ohmic(
        hall_bar,
        materials={"metal": material()},
        boundaries={
            "source": Contact(potential=1e-3),
            "drain": Contact(potential=0.0),
            "probe4": Contact(current=2e-7),
            "edges": Wall(specularity=0.0),
            **floating,
        },
    ).solve()
    G = flow.conductance_matrix
    assert flow.sum_of_currents < 1e-12
    assert np.abs(G - G.T).max() < 1e-12 * np.abs(G).max()
    cells = cells_of(hall_bar)
    points, weights = cells.quadrature(12)
    measure = cells.determinants(np.arange(cells.count), points) * weights
    E = gradient(flow.fields["potential"], points)[..., 0]
    heat = material().conductivity * (measure * (E**2).sum(axis=2)).sum() * hall_bar.extent**2
    # Galerkin's energy is the power exactly; the rest is the quadrature on curved cells.
    assert heat == pytest.approx(flow.dissipated_power, abs=0, rel=1e-9)
