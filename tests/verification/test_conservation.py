"""What is conserved: charge, reciprocity, energy; on a Hall bar with every kind of contact."""

from __future__ import annotations

import dolfinx
import numpy as np
import pytest
import ufl
from conftest import draw, material, solve

from meso import Contact, Device, Wall
from meso.flow import Flow, Ohmic


def normal_current(flow: Flow, piece: int) -> float:
    """Net current out through a smooth piece of the boundary."""
    device, facets = flow.device, flow.device.facets
    pairs = np.column_stack([facets.cell, facets.local])[facets.piece == piece]
    ds = ufl.Measure(
        "ds",
        domain=device.mesh,
        subdomain_data=[(0, pairs.astype(np.int32).ravel())],
        subdomain_id=0,
        metadata={"quadrature_degree": 2 * flow.order + 6},
    )
    return device.integrate(ufl.dot(flow.current_density, device.n) * ds)


def largest_current(flow: Flow) -> float:
    return max(abs(terminal.current) for terminal in flow.contacts.values())


def cellwise(device: Device, values: np.ndarray) -> dolfinx.fem.Function:
    """A function with one value in each cell: unlike a number, it is no part of compiled code."""
    out = dolfinx.fem.Function(dolfinx.fem.functionspace(device.mesh, ("DG", 0)))
    out.x.array[: len(values)] = values
    return out


def cell_areas(device: Device) -> np.ndarray:
    test = ufl.TestFunction(dolfinx.fem.functionspace(device.mesh, ("DG", 0)))
    form = dolfinx.fem.form(test * device.dx(degree=8))  # UFL knows those of straight cells only
    return np.asarray(dolfinx.fem.assemble_vector(form).array)


def heights(device: Device, boundary: str) -> np.ndarray:
    """Height of each cell at a boundary over its facet there, between the corners."""
    cell, local = device.ds.entities[boundary].reshape(-1, 2).T
    assert len(set(cell)) == len(cell)
    geometry = device.mesh.geometry
    corner = geometry.x[geometry.dofmap[cell][:, :3], :2]
    # A facet has the number of the corner that it does not touch.
    others = np.array([(1, 2), (0, 2), (0, 1)])[local]
    first, second = (corner[np.arange(len(cell)), others[:, i]] for i in (0, 1))
    (x1, y1), (x2, y2) = (corner[:, 1] - corner[:, 0]).T, (corner[:, 2] - corner[:, 0]).T
    out = np.ones(len(device.cell_region))
    out[cell] = np.abs(x1 * y2 - x2 * y1) / np.linalg.norm(second - first, axis=1)
    return out


def dissipation(flow: Flow, *, penalty: bool = False) -> float:
    """Power turned to heat: int J^2/sigma + (l^2/2 sigma)|T|^2, walls, contacts.

    T = grad J + grad J^T - div J I. The walls take (l^2/sigma) s J_t^2, reservoirs that of a
    diffuse wall and the power of their potential step, (8/3pi)(lambda/sigma) J_n^2. With
    ``penalty`` also the numerical terms: that on J.n at walls, 100 k^2 (l^2/h + h)/sigma J_n^2, and
    the augmentation (h^2/sigma) (div J)^2, h^2 being half the area of the cell.
    """
    device, J, k = flow.device, flow.current_density, flow.order
    matters = [flow.materials[name] for name in device.regions]

    def of(values: list[float]) -> np.ndarray:
        return np.array(values)[device.cell_region]

    conductivity, length = (
        of([getattr(m, key) for m in matters])
        for key in ("conductivity", "vorticity_diffusion_length")
    )
    rho, mu = 1 / conductivity, length**2 / conductivity
    # Without its trace, as in the weak form: div J is zero up to the discretisation only.
    shear = ufl.grad(J) + ufl.grad(J).T - ufl.div(J) * ufl.Identity(2)
    heat = cellwise(device, rho) * ufl.inner(J, J)
    heat += cellwise(device, mu / 2) * ufl.inner(shear, shear)
    if penalty:
        heat += cellwise(device, rho * cell_areas(device) / 2) * ufl.div(J) ** 2
    form = heat * device.dx(degree=2 * k + 6)
    J_n, J_t = ufl.dot(J, device.n), ufl.dot(J, ufl.perp(device.n))
    for name, law in flow.boundaries.items():
        reservoir = isinstance(law, Contact) and law.law == "reservoir"
        if not reservoir and not isinstance(law, Wall):
            continue
        rate = of([m.slip_rate(0.0) if reservoir else law.slip_rate(m) for m in matters])
        loss = cellwise(device, mu * rate) * J_t**2
        if reservoir:
            step = of([8 / (3 * np.pi) * m.mean_free_path for m in matters])
            loss += cellwise(device, rho * step) * J_n**2
        elif penalty:
            h = heights(device, name)
            loss += cellwise(device, rho * 100 * k**2 * (length**2 / h + h)) * J_n**2
        form += loss * device.ds(name, degree=2 * k + 6)
    return device.integrate(form)


def joule(flow: Flow) -> float:
    """int sigma E^2 of the potential, in a device of one material."""
    (matter,) = set(flow.materials.values())
    E = ufl.grad(flow.potential)
    return matter.conductivity * flow.device.integrate(ufl.inner(E, E) * flow.device.dx(degree=12))


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
            net = normal_current(hall_flow, i)
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
        net = normal_current(hall_flow, i)
        assert abs(net) < 1e-12 * scale


def test_no_current_through_curved_walls():
    matter = material(mean_free_path=100e-9)
    device = draw("annulus", matter, ("inner", "outer"), angle=250.0)
    for wall in (Wall(specularity=0.0), Wall(slip_length=0.0)):
        flow = solve(device, matter, inner=wall, outer=wall)
        for i, piece in enumerate(device.pieces):
            if piece.boundary in ("inner", "outer"):
                net = normal_current(flow, i)
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
    # Galerkin's energy is the power exactly; the rest is the quadrature on curved cells.
    assert joule(flow) == pytest.approx(flow.dissipated_power, abs=0, rel=1e-9)
