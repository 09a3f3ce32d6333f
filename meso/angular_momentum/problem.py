"""From the tables of a case to a diffusion problem on its device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations, product
from math import inf
from typing import Any

import numpy as np

from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.lengths import layer, lengths
from meso.angular_momentum.surfaces import Surface
from meso.angular_momentum.tensors import (
    CHANNELS,
    ONE,
    Transport,
    conversion,
    diffusion_block,
    hall_block,
    material,
    precession_block,
)
from meso.angular_momentum.variation import coefficients
from meso.boundary import Periodic
from meso.case import Case
from meso.case.angular_momentum import AXES, Coefficients, Law, Mixing
from meso.device import Device
from meso.discrete.own_terms import Term
from meso.errors import CaseError
from meso.geometry.layers import Layer


def transports(case: Case, dimension: int) -> dict[str, Transport]:
    """Transport of angular momentum in each region of a case with a mesh of some dimension."""
    table, out = case.angular_momentum, {}
    for region in case.regions:
        diffusivity: dict[tuple[str, str], Any] = {}
        relaxation: dict[tuple[str, str], Any] = {}
        hall, chi = {}, {}
        crystals = [case.region_materials[region].orientation]
        for name, channel in table.channels.items():
            own = channel.of(region)
            diffusivity[name, name] = _diffusivity(own)
            relaxation[name, name] = _relaxation(own)
            if own.hall_conductivity is not None:
                hall[name] = hall_block(np.array(own.hall_conductivity))
            if own.susceptibility is not None:
                chi[name] = own.susceptibility
            crystals.append(own.orientation)
        if table.spin_orbital is not None:
            _mix(table.spin_orbital.of(region), diffusivity, relaxation)
        turns = [crystal.matrix for crystal in crystals if crystal is not None] or [ONE]
        if not np.allclose(turns, turns[0]):
            text = f"region {region}: its material and channels have different orientations"
            raise CaseError(("angular_momentum", f"{text}; a crystal has one"))
        try:
            out[region] = material(
                table.components,
                diffusivity=diffusivity,
                relaxation=relaxation,
                hall=hall,
                susceptibility=chi,
                orientation=turns[0],
                dimension=dimension,
            )
        except CaseError as error:
            raise CaseError(
                *((f"angular_momentum.{key}", f"region {region}: {t}") for key, t in error.problems)
            ) from None
    return out


def _diffusivity(own: Coefficients) -> np.ndarray:
    return diffusion_block(
        np.array(own.diffusivity),
        divergence=own.divergence or 0.0,
        swapping=own.swapping or 0.0,
        cubic=own.cubic_anisotropy or 0.0,
    )


def _relaxation(own: Coefficients) -> np.ndarray:
    rate: Any = 0.0
    if own.relaxation is not None:
        rate = own.relaxation
    elif own.relaxation_time is not None:
        rate = 1 / own.relaxation_time
    elif own.diffusion_length != inf:
        rate = own.diffusivity / own.diffusion_length**2  # type: ignore[operator]
    return _block(rate) + precession_block(own.precession or (0.0, 0.0, 0.0))


def _block(value: Any) -> np.ndarray:
    """A number or (3, 3) as (3, 3)."""
    return np.array(value) * (ONE if np.ndim(value) == 0 else 1.0)


def _joined(names: Sequence[str], given: Mapping[tuple[str, str], Any]) -> np.ndarray:
    """Blocks between channels, numbers or (3, 3), as the matrix of some components, (n, n)."""
    blocks = [[_block(given.get((to, by), 0.0)) for by in CHANNELS] for to in CHANNELS]
    at = [[f"{channel}_{axis}" for channel in CHANNELS for axis in AXES].index(n) for n in names]
    return np.block(blocks)[np.ix_(at, at)]


def _mix(mixing: Mixing, diffusivity: Any, relaxation: Any) -> None:
    spin, orbital = "spin", "orbital"
    if mixing.polarization is not None:
        pair = mixing.polarization
        diffusivity[spin, orbital] = diffusion_block(np.array(pair.spin_from_orbital))
        diffusivity[orbital, spin] = diffusion_block(np.array(pair.orbital_from_spin))
    if mixing.conversion is not None:
        rates = conversion(mixing.conversion.spin_to_orbital, mixing.conversion.orbital_to_spin)
        for i, to in enumerate((spin, orbital)):
            for j, by in enumerate((spin, orbital)):
                relaxation[to, by] = relaxation.get((to, by), 0.0) + rates[i, j] * ONE


def surfaces(case: Case) -> dict[str, Surface]:
    """Laws of the boundaries of a case, for all components together."""
    table = case.angular_momentum
    names = table.components
    n, out = len(names), {}
    crossed = table.spin_orbital.boundaries if table.spin_orbital else {}
    for boundary in case.boundaries:
        laws = {c: channel.boundaries.get(boundary, Law()) for c, channel in table.channels.items()}
        j, held = np.zeros(n), np.full(n, np.nan)
        for a, first in enumerate(names):
            channel, axis = first.rsplit("_", 1)
            law = laws[channel]
            j[a] = (law.current or {}).get(axis, 0.0)
            held[a] = (law.density or {}).get(axis, np.nan)
            if law.law == "reservoir":
                held[a] = 0.0
        velocities = {(c, c): law.relaxation_velocity or 0.0 for c, law in laws.items()}
        if boundary in crossed:
            for to, by in permutations(laws):
                velocities[to, by] = getattr(crossed[boundary], f"{to}_from_{by}")
        V = _joined(names, velocities)
        if V.any() or j.any() or not np.isnan(held).all():
            out[boundary] = Surface(
                velocity=V if V.any() else None,
                injected=j if j.any() else None,
                density=None if np.isnan(held).all() else held,
            )
    return out


def problem(
    case: Case, device: Device, terms: Sequence[Term] = (), tolerance: float | None = None
) -> Diffusion:
    """The diffusion problem of a case; whether it is well posed is decided here."""
    periodic = [(n, b.to) for n, b in case.boundaries.items() if isinstance(b, Periodic)]
    return Diffusion(
        device,
        components=case.angular_momentum.components,
        pairs=periodic,
        order=case.flow.order,
        sheet=case.carriers == "2d",
        solver=case.flow.solver,
        terms=terms,
        tolerance=tolerance,
        **_ingredients(case, device.dimension),
    )


def coefficients_of(case: Case, device: Device) -> dict[str, np.ndarray]:
    """What the problem of a case is made of, by name, as ``Diffusion.coefficients``."""
    return coefficients(device, **_ingredients(case, device.dimension))


def _ingredients(case: Case, dimension: int) -> dict[str, Any]:
    table = case.angular_momentum
    conductances = {}
    for key, interface in table.interfaces.items():
        first, second = (name.strip() for name in key.split("|"))
        both = product(CHANNELS, CHANNELS)
        g = {(to, by): interface.between(to, by) for to, by in both}
        conductances[first, second] = _joined(table.components, g)
    return {
        "materials": transports(case, dimension),
        "surfaces": surfaces(case),
        "conductances": conductances,
        "perpendicular_field": table.perpendicular_field,
        "thickness": case.geometry.thickness,
    }


def wall_layers(case: Case) -> list[Layer]:
    """Cells that resolve each decay length of the densities at walls."""
    if not case.angular_momentum:
        return []
    return [layer(x, case.mesh.wall_size) for x in lengths(transports(case, 2).values())]
