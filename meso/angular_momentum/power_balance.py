"""Where the power of coupled flows of charge and angular momentum goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import ufl

from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.forms import broken, by_region
from meso.angular_momentum.inverse import conductivity
from meso.angular_momentum.phases import facets_between, of_region
from meso.boundary import Contact, Wall
from meso.discrete.coefficients import material_values
from meso.discrete.expressions import coefficient
from meso.equations import contacts, dissipation, walls
from meso.equations.angular_momentum import diffusion as diffused
from meso.equations.angular_momentum import hall_current, inverse_current, relaxation
from meso.flow.result import Flow
from meso.measures import NamedMeasure


def powers(diffusion: Diffusion, densities: Densities, flow: Flow) -> dict[str, float]:
    """Where the power of contacts and injection goes, W (W/m without thickness).

    With two-way coupling "contacts" + "injection" is the sum of all others:

        I V + <omega, j> = int sigma E^2 + int D chi |grad omega|^2 + int omega T X
                           + <omega, V X>_walls + <[omega], g [omega]>_interfaces

    Args:
        diffusion: The problem.
        densities: Its solution.
        flow: The flow that was solved with it.

    Returns:
        "contacts", "joule" (all that friction takes, where the coupling is to a viscous flow),
        "diffusion", "relaxation", "walls", "interfaces", and "injection", which is not a number
        where densities are held: that work is not counted. With a perpendicular field E_z also
        "field", the work on the inverse current along z, as that of contacts; Joule heat is
        without sigma E_z^2.
    """
    device, coefficients = diffusion.device, diffusion.operator
    omega = broken(device, diffusion.order, densities.omega)
    D, T = (by_region(device, c) for c in (coefficients.diffusion, coefficients.reaction))

    def on(facets: np.ndarray) -> ufl.Measure:
        """Pairs of cells and their facets, under one name: forms are compiled once."""
        measure = NamedMeasure(kind="ds", mesh=device.mesh, entities={"there": facets})
        return measure(degree=diffusion.degree)

    if "coupling" in flow.evidence:
        lost = _friction(diffusion, omega, flow)
    else:
        E, sigma = ufl.grad(flow.potential), by_region(device, conductivity(flow))
        lost = device.integrate(sigma * ufl.inner(E, E) * diffusion.dx)
    out = {
        "joule": lost,
        "diffusion": device.integrate(diffused(omega, omega, D) * diffusion.dx),
        "relaxation": device.integrate(relaxation(omega, omega, T) * diffusion.dx),
        **dict.fromkeys(("walls", "interfaces", "injection"), 0.0),
    }
    for name, V in coefficients.surface.items():
        lost = relaxation(omega, omega, by_region(device, V))
        out["walls"] += device.integrate(lost * on(device.ds.entities[name]))
    for pair, g in coefficients.conductance.items():
        cell, local = facets_between(device, pair)
        beyond = of_region(device, diffusion.space, densities.omega, pair[1])
        step = omega - broken(device, diffusion.order, beyond)
        lost = relaxation(step, step, by_region(device, np.array([g] * len(device.regions))))
        facets = np.column_stack([cell, local]).astype(np.int32).ravel()
        out["interfaces"] += device.integrate(lost * on(facets))
    if any(s.density is not None for s in diffusion.surfaces.values()):
        out["injection"] = np.nan
    else:
        work = float((diffusion.injection * densities.omega).sum())
        out["injection"] = device.comm.allreduce(work)
    if diffusion.perpendicular_field:
        theta = by_region(device, diffusion.hall)
        inverse = hall_current(omega, (0.0, 0.0, diffusion.perpendicular_field), theta)
        out["field"] = device.integrate(inverse * diffusion.dx)
    factor = flow.thickness or 1.0
    return {
        "contacts": flow.dissipated_power,
        **{key: value * factor for key, value in out.items()},
    }


def _friction(diffusion: Diffusion, omega: Any, flow: Flow) -> float:
    """Power without thickness that friction takes from what drifts in a viscous flow."""
    device, n = diffusion.device, diffusion.device.n
    theta = by_region(device, diffusion.hall)
    drift = flow.current_density - inverse_current(omega, theta)

    def of(quantity: Callable[[Any], Any]) -> Any:
        def sample(cells: np.ndarray, positions: np.ndarray) -> np.ndarray:
            return material_values(device, flow.materials, quantity, cells, positions)

        return coefficient(device, diffusion.order, sample)

    resistivity = of(lambda m: 1 / m.conductivity)
    stress = of(lambda m: m.vorticity_diffusion_length**2 / m.conductivity)
    lost = device.integrate(dissipation.in_conductor(drift, resistivity, stress) * diffusion.dx)
    for name, law in flow.boundaries.items():
        ds = device.ds(name, degree=diffusion.degree)
        if isinstance(law, Contact) and law.law == "reservoir":
            rate, step = of(Wall(specularity=0.0).slip_rate), of(lambda m: m.contact_step)
            term = contacts.reservoir(drift, drift, n, stress, rate, resistivity * step)
        elif isinstance(law, Wall) and law.slip_length != 0:
            term = walls.LAWS[law.law](drift, drift, n, stress, of(law.slip_rate))
        else:
            continue
        lost += device.integrate(term * ds)
    return lost
