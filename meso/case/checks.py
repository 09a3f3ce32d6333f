"""What can be wrong between the tables of a case, each of which is right by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meso.case.schema import Tables
from meso.constants import ELEMENTARY_CHARGE
from meso.errors import CaseError, known
from meso.units import quantity

Problems = Iterator[tuple[str, str]]

#: Material quantities and the range outside of which a unit was probably forgotten.
_PLAUSIBLE = {
    "mean_free_path": (1e-11, 1e-2, "m"),
    "fermi_energy": (1e-6 * ELEMENTARY_CHARGE, 1e3 * ELEMENTARY_CHARGE, "J"),
}


def problems(case: Tables, given: Mapping[str, Any]) -> Problems:
    """Pairs (key, text), one for each problem.

    Args:
        case: the checked tables.
        given: the same as the user wrote them.
    """
    yield from _not_available(case)
    yield from _regions(case)
    yield from _contacts(case, given)
    for name, wanted in case.output.resistances.items():
        for key in ("current", "voltage"):
            for contact in getattr(wanted, key):
                if contact not in case.contacts:
                    text = f'no contact "{contact}"; {known(contact, case.contacts)}'
                    yield f"output.resistances.{name}.{key}", text
    if case.flow.model != "ohmic":
        yield from _closure(case)
    if "orbital_density" in (case.output.fields or ()):
        for name, material in case.used_materials.items():
            if material.orbital_coupling is None:
                text = "missing; give it, or orbital_coupling, for the field orbital_density"
                yield f"materials.{name}.fermi_energy", text


def warnings(case: Tables) -> Iterator[str]:
    """What is legal but looks like a mistake."""
    for name in case.materials.keys() - case.used_materials.keys():
        yield f"materials.{name}: not used by any region"
    for name, material in case.materials.items():
        for key, (low, high, unit) in _PLAUSIBLE.items():
            value = getattr(material, key)
            if value is not None and not low <= value <= high:
                text = f"{value:g} {unit} is unusual; a number without unit is in SI units"
                yield f"materials.{name}.{key}: {text}"


def default_fields(case: Tables) -> tuple[str, ...]:
    """The fields that the model provides and the materials suffice for."""
    if case.flow.model == "ohmic":
        return ("current_density", "potential")
    coupled = all(m.orbital_coupling is not None for m in case.used_materials.values())
    orbital = ("orbital_density",) if coupled else ()
    return ("current_density", "potential", "vorticity", *orbital)


def current_units(case: Tables, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Units that the currents of all contacts may be in: "A", "A/m", both or none.

    A current is in A in a 2D electron gas, in a slab of known thickness and on a 3D mesh. Which
    dimension a mesh has the case file does not tell: without thickness, either unit may be right.

    Args:
        case: the checked tables.
        given: the same as the user wrote them.
    """
    sheet = any(m.carriers == "2d" for m in case.used_materials.values())
    units = ["A"] if sheet or case.geometry.thickness is not None else ["A", "A/m"]
    for name, contact in case.contacts.items():
        if contact.current is not None:
            value = given["boundaries"][name]["contact"]["current"]
            units = [unit for unit in units if _reads_in(value, unit)]
    return tuple(units)


def _reads_in(value: object, unit: str) -> bool:
    try:
        quantity(value, unit)
    except CaseError:
        return False
    return True


def _not_available(case: Tables) -> Problems:
    if case.flow.model == "kinetic":
        text = 'the kinetic model is not available in this version; use "hydrodynamic" or "ohmic"'
        yield "flow.model", text
    if case.flow.magnetic_field != 0:
        found = f"found {case.flow.magnetic_field:g} T"
        yield "flow.magnetic_field", f"{found}; a magnetic field is not available in this version"
    if case.angular_momentum:
        yield "angular_momentum", "angular-momentum diffusion is not available in this version"


def _regions(case: Tables) -> Problems:
    for region, name in case.regions.items():
        if name not in case.materials:
            yield f"regions.{region}", f'no material "{name}"; {known(name, case.materials)}'
    if len({m.carriers for m in case.used_materials.values()}) > 1:
        found = ", ".join(f"{n}: {m.carriers}" for n, m in case.used_materials.items())
        yield "regions", f"all materials must have the same carriers; found {found}"
    elif case.used_materials and case.carriers == "2d" and case.geometry.thickness is not None:
        text = 'a 2D electron gas (carriers = "2d") has no thickness; remove it'
        yield "geometry.thickness", text


def _contacts(case: Tables, given: Mapping[str, Any]) -> Problems:
    if all(contact.potential is None for contact in case.contacts.values()):
        text = 'no contact has a fixed potential; give one, e.g. { potential = "0 V" }'
        yield "boundaries", text
    if current_units(case, given):
        return
    currents = {n: c for n, c in case.contacts.items() if c.current is not None}
    raw = {n: given["boundaries"][n]["contact"]["current"] for n in currents}
    if case.geometry.thickness is None and case.used_materials and case.carriers == "3d":
        found = ", ".join(f'{n}: "{v}"' for n, v in raw.items())
        yield "boundaries", f"currents of contacts in A and in A/m are mixed; found {found}"
        return
    for name, value in raw.items():
        if not _reads_in(value, "A"):
            why = "with carriers 2d or a thickness"
            key = f"boundaries.{name}.contact.current"
            yield key, f'found "{value}"; expected a current, e.g. "1 mA", {why}'


def _closure(case: Tables) -> Problems:
    """What the hydrodynamic model needs to know of each material."""
    walls = [n for n, wall in case.walls.items() if wall.specularity not in (None, 1)]
    reservoirs = [n for n, contact in case.contacts.items() if contact.law == "reservoir"]
    for name, material in case.used_materials.items():
        if material.mean_free_path is not None:
            continue
        key = f"materials.{name}.mean_free_path"
        if material.vorticity_diffusion_length is None:
            text = 'missing; the hydrodynamic model needs it, e.g. "7 nm"'
            yield key, f"{text}, or vorticity_diffusion_length"
            continue
        if walls:
            text = "give it, or the slip_length of these walls"
            yield key, f"missing; the walls {', '.join(walls)} need it: {text}"
        if reservoirs:
            yield key, f"missing; the reservoirs {', '.join(reservoirs)} need it"
