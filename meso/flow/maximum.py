"""Whether potentials stay between those of the contacts: the kinetic maximum principle.

It holds where every collision, reflection and emission is an average with positive weights.
"""

from __future__ import annotations

import numpy as np
from scipy.special import eval_legendre

from meso.boundary import Contact
from meso.discrete.coefficients import extremes
from meso.flow.result import Flow, ports_of
from meso.materials.material import SCATTERING, Material

#: Directions from 0 to pi in which a scattering kernel is looked at.
_DIRECTIONS = 3600


def unbounded(flow: Flow) -> str:
    """Why potentials of a kinetic flow may leave the range of its contacts; "" if they cannot."""
    if any(not isinstance(flow.boundaries[name], Contact) for name in ports_of(flow.boundaries)):
        return "potentials have no limits between periodic pairs"
    # The density of states times the velocity, but for constants.
    low, high = extremes(flow.device, flow.materials, lambda m: m.conductivity / m.mean_free_path)
    if high > low * (1 + 1e-9):
        return "conductivity over mean free path varies"
    for name in flow.device.regions:
        if not positive_kernel(flow.materials[name]):
            return "the scattering kernel is negative at some angles"
    return ""


def positive_kernel(material: Material) -> bool:
    """Whether scattering from theta to theta' has a rate that is nowhere negative.

    That is K = g - g_0 + 2 sum_m (g - g_m) cos m(theta - theta'), where all but some rates are g,
    and none varies in space; on a sphere (2m + 1) P_m(cos theta) in place of 2 cos m theta.
    """
    scattering = material.scattering
    known = SCATTERING[scattering] if isinstance(scattering, str) else scattering
    orders = [int(str(key).removeprefix("gamma")) for key in known]
    rates = [float(material.rate(m)) for m in range(max([1, *orders]) + 2)]
    angle = np.pi * np.arange(_DIRECTIONS + 1) / _DIRECTIONS
    kernel = np.full(len(angle), rates[-1])
    for m, rate in enumerate(rates[1:], start=1):
        if material.carriers == "3d":
            wave = (2 * m + 1) * eval_legendre(m, np.cos(angle))
        else:
            wave = 2 * np.cos(m * angle)
        kernel += (rates[-1] - rate) * wave
    return bool(kernel.min() > -1e-9 * rates[-1])
