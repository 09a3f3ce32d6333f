"""Where the power of coupled flows of charge and angular momentum goes."""

from __future__ import annotations

import numpy as np
import ufl

from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.forms import broken, by_region
from meso.angular_momentum.inverse import conductivity
from meso.angular_momentum.system import facets_between, of_region
from meso.equations.angular_momentum import diffusion as diffused
from meso.equations.angular_momentum import hall_current, relaxation
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
        "contacts", "joule", "diffusion", "relaxation", "walls", "interfaces", and "injection",
        which is not a number where densities are held: that work is not counted. With a
        perpendicular field E_z also "field", the work on the inverse current along z, as that of
        contacts; Joule heat is without sigma E_z^2.
    """
    device, coefficients = diffusion.device, diffusion.operator
    omega = broken(device, diffusion.order, densities.omega)
    E, sigma = ufl.grad(flow.potential), by_region(device, conductivity(flow))
    D, T = (by_region(device, c) for c in (coefficients.diffusion, coefficients.reaction))

    def on(facets: np.ndarray) -> ufl.Measure:
        """Pairs of cells and their facets, under one name: forms are compiled once."""
        measure = NamedMeasure(kind="ds", mesh=device.mesh, entities={"there": facets})
        return measure(degree=diffusion.degree)

    out = {
        "joule": device.integrate(sigma * ufl.inner(E, E) * diffusion.dx),
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
