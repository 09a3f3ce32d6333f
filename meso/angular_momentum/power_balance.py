"""Where the power of coupled flows of charge and angular momentum goes."""

from __future__ import annotations

import numpy as np

from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.inverse import conductivity
from meso.angular_momentum.system import Operator, System, facets_of
from meso.discrete.cells import cells_of
from meso.discrete.fields import gradient
from meso.flow.result import Flow
from meso.mpi import total


def powers(diffusion: Diffusion, densities: Densities, flow: Flow) -> dict[str, float]:
    """Where the power of contacts and injection goes, W (W/m without thickness).

    With two-way coupling "contacts" + "injection" is the sum of all others:

        I V + <omega, j> = int sigma E^2 + int D chi |grad omega|^2 + int omega T X
                           + <omega, V X>_walls + <[omega], g [omega]>_interfaces

    Args:
        diffusion: The problem.
        densities: Its solution.
        flow: The flow that was solved with it.
    """
    inside = _powers_inside(diffusion, densities, flow)
    out = {**inside, **_powers_at_boundaries(diffusion, densities)}
    sums = total(flow.device.comm, np.array(list(out.values())))
    summed = dict(zip(out, map(float, sums), strict=True))
    factor = flow.thickness or 1.0
    return {
        "contacts": flow.dissipated_power,
        **{key: value * factor for key, value in summed.items()},
    }


def _powers_inside(diffusion: Diffusion, densities: Densities, flow: Flow) -> dict[str, float]:
    """In the conductor of this rank."""
    device, space, cells = diffusion.device, diffusion.space, cells_of(diffusion.device)
    d, length = device.dimension, device.extent
    everything = np.arange(cells.count)
    points, weights = cells.quadrature(2 * space.degree + 2 * d * (cells.degree - 1))
    weight = weights * cells.determinants(everything, points) * length**d
    region = device.cell_region
    omega = densities.potential
    slope = gradient(omega, points)
    E = -gradient(flow.fields["potential"], points)[..., 0]
    sigma = conductivity(flow)[region]
    at = omega.everywhere(points)
    diffusive = np.einsum(
        "cqia,ciakb,cqkb->cq", slope, diffusion.diffusivity[region], slope, optimize=True
    )
    relaxed = np.einsum("cqa,cab,cqb->cq", at, diffusion.relaxation[region], at, optimize=True)
    return {
        "joule": float((weight * sigma[:, None] * (E**2).sum(axis=2)).sum()),
        "diffusion": float((weight * diffusive).sum()),
        "relaxation": float((weight * relaxed).sum()),
    }


def _powers_at_boundaries(diffusion: Diffusion, densities: Densities) -> dict[str, float]:
    """At walls, interfaces and where something is fed in, on this rank."""
    device, space, region = diffusion.device, diffusion.space, diffusion.device.cell_region
    n, length = len(diffusion.components), device.extent
    out = {"walls": 0.0, "interfaces": 0.0, "injection": 0.0}
    operator = Operator(
        diffusion=diffusion.diffusivity,
        reaction=diffusion.relaxation,
        surface={k: v @ diffusion.chi for k, v in diffusion.velocity.items()},
        conductance=diffusion.conductance,
    )
    system = System(
        device,
        space,
        operator,
        fixed=np.zeros((space.nodes, n), bool),
        sides=1,
        pairs=diffusion.pairs,
    )
    area = length ** (device.dimension - 1)
    nodal = np.zeros((system.phases, space.nodes, n))
    nodal[system.cell_phase[:, None], space.dofs] = densities.omega
    for name, surface in diffusion.surfaces.items():
        geometry, table, nodes = facets_of(device, space, name)
        if not len(nodes):
            continue
        value = np.einsum(
            "fqm,fma->fqa", table, nodal[system.cell_phase[geometry.cell][:, None], nodes]
        )
        if name in operator.surface:
            V = operator.surface[name][region[geometry.cell]]
            lost = np.einsum("fqa,fab,fqb->fq", value, V, value)
            out["walls"] += float((geometry.weight * lost).sum()) * area
        if surface.injected is not None:
            j = diffusion.facet_load([np.arange(n)], surface.injected)(geometry, table)
            j = j[..., 0] / (diffusion.scale * length)
            there = nodal[system.cell_phase[geometry.cell][:, None], nodes]
            out["injection"] += float((there * j).sum()) * area
        if surface.density is not None:
            out["injection"] = np.nan  # held densities do work that is not counted here
    size = n * space.on_facet.shape[1]
    for phase, nodes, matrix, _ in system._facets({}):
        if matrix.shape[1] == 2 * size:
            both = nodal[phase, nodes].reshape(len(nodes), -1)
            out["interfaces"] += float(np.einsum("fm,fmk,fk->", both, matrix, both)) * area
    return out
