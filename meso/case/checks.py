"""What can be wrong between the tables of a case, each of which is right by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from meso.case.schema import Tables
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.equations.derived import TABLE
from meso.errors import CaseError, known
from meso.requirements import (
    bounds_problems,
    hydrodynamic_problems,
    kinetic_problems,
    magnetic_problems,
    particle_problems,
    wire_problems,
)
from meso.units import is_number, quantity, without_unit

Problems = Iterator[tuple[str, str]]

#: Material quantities and the range outside of which a unit was probably forgotten.
_PLAUSIBLE = {
    "mean_free_path": (1e-11, 1e-2, "m"),
    "fermi_energy": (1e-6 * ELEMENTARY_CHARGE, 1e3 * ELEMENTARY_CHARGE, "J"),
}

#: Squares of Hall angles of angular momentum above which a unit is probably another one.
_STRONG = 100.0

#: Thickness of a film, m, above which it is hardly meant.
_THICK = 1e-2


def problems(case: Tables, given: Mapping[str, Any]) -> Problems:
    """Pairs (key, text), one for each problem; ``given`` are the tables as the user wrote them."""
    flow, output = case.flow, case.output
    yield from _not_available(case)
    yield from _regions(case)
    yield from _periodic(case)
    yield from _profiles(case)
    if flow.along:
        yield from _wire(case)
        return
    yield from _contacts(case, given)
    for key in ("field", "current"):
        if getattr(flow, key) is not None:
            text = 'is for a wire along its axis; give along = "z" too, or remove it'
            yield f"flow.{key}", text
    for name, wanted in output.resistances.items():
        for key in ("current", "voltage"):
            at = f"output.resistances.{name}.{key}"
            yield from _names(at, getattr(wanted, key), case.contacts, "contact")
    yield from _adapt(case)
    yield from _angular_momentum(case)
    if flow.kinetic:
        yield from _kinetic(case)
    elif flow.by_particles:
        yield from _particles(case)
    elif flow.viscous:
        yield from _closure(case)
    for name in output.fields or ():
        if flow.model not in TABLE[name].models:
            models = " or ".join(f'"{model}"' for model in TABLE[name].models)
            yield "output.fields", f'"{name}" needs flow.model = {models}'
        channel, _, axis = name.partition("_flux_")
        if axis and f"{channel}_{axis}" not in case.angular_momentum.components:
            text = f'"{name}" needs the component {axis} of angular_momentum.{channel}'
            yield "output.fields", text
    for key, channel in (("fermi_energy", "orbital"), ("spin_coupling", "spin")):
        if f"{channel}_density" in (output.fields or ()):
            other = ", or orbital_coupling," if channel == "orbital" else ""
            text = f"missing; give it{other} for the field {channel}_density"
            bare = _uncoupled(case, channel)
            yield from ((f"materials.{name}.{key}", text) for name in bare)


def warnings(case: Tables) -> Iterator[str]:
    """What is legal but looks like a mistake."""
    for name in case.materials.keys() - case.used_materials.keys():
        yield f"materials.{name}: not used by any region"
    for name, material in case.materials.items():
        for key, (low, high, unit) in _PLAUSIBLE.items():
            value = getattr(material, key)
            if is_number(value) and not low <= value <= high:
                text = f"{value:g} {unit} is unusual; a number without unit is in SI units"
                yield f"materials.{name}.{key}: {text}"
    if (case.geometry.thickness or 0.0) > _THICK:
        text = f"{case.geometry.thickness:g} m is unusual; a number without unit is in SI units"
        yield f"geometry.thickness: {text}"
    for name, channel in case.angular_momentum.channels.items():
        hall = [channel.of(region).hall_conductivity for region in case.regions]
        fed = any(law.current or law.density for law in channel.boundaries.values())
        if not fed and hall == [None] * len(hall) and case.angular_momentum.spin_orbital is None:
            text = "no hall_conductivity, and no boundary with a current or density: it stays zero"
            yield f"angular_momentum.{name}: {text}"
    if case.angular_momentum.coupling != "none":
        yield from _strong(case)


def _strong(case: Tables) -> Iterator[str]:
    """Hall conductivities that are too large for those of charge and angular momentum."""
    for name, channel in case.angular_momentum.channels.items():
        for region in case.regions:
            own, sigma = channel.of(region), case.region_materials[region].conductivity
            D, chi = own.diffusivity, own.susceptibility
            if own.hall_conductivity and chi and is_number(D) and D and is_number(sigma):
                theta = HBAR / ELEMENTARY_CHARGE * np.abs(own.hall_conductivity).max()
                gain = theta**2 / (sigma * D * chi)
                if gain > _STRONG:
                    text = f"(ħσ_H/e)²/(σDχ) is {gain:.2g} in region {region}, about the square of"
                    text += " the Hall angle; is one of them in another unit?"
                    yield f"angular_momentum.{name}.hall_conductivity: {text}"


def _uncoupled(case: Tables, channel: str = "orbital") -> list[str]:
    """Materials whose orbital coupling, or that of the spin, is not known."""
    return [n for n, m in case.used_materials.items() if m.coupling(channel) is None]


def _names(key: str, found: Iterable[str], wanted: Iterable[str], what: str) -> Problems:
    """Those that are not among the known ones: keys of a table, or texts of a list."""
    for name in found:
        if name not in wanted:
            text = f'no {what} "{name}"; {known(name, wanted)}'
            yield f"{key}.{name}" if isinstance(found, Mapping) else key, text


def default_fields(case: Tables) -> tuple[str, ...]:
    """The fields that the model provides and the materials suffice for."""
    table, out = case.angular_momentum, ["current_density", "potential"]
    coupled = [
        channel
        for channel in ("orbital", "spin")
        if case.couples(channel, shear=not case.flow.viscous)
    ]
    if case.flow.viscous:
        out.append("vorticity")
    out += [f"{channel}_density" for channel in coupled]
    for name, channel in table.channels.items():
        what = "spin_density" if name == "spin" else "orbital_diffusive_density"
        out += [f"{what}_{axis}" for axis in channel.components]
    if table.coupling != "none":
        out += ["inverse_current_density", "inverse_potential"]
    for name in coupled:
        if name in table.channels:
            out += [f"{name}_total_density_{axis}" for axis in table.channels[name].components]
    return tuple(out)


def current_units(case: Tables, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Units that the currents of all boundaries may be in: "A", "A/m", both or none.

    A current is in A in a 2D electron gas, in a slab of known thickness and on a 3D mesh. Which
    dimension a mesh has the case file does not tell: without thickness, either unit may be right.
    """
    sheet = any(m.carriers == "2d" for m in case.used_materials.values())
    units = ("A",) if sheet or case.geometry.thickness is not None else ("A", "A/m")
    values = _currents(case, given).values()
    return tuple(unit for unit in units if all(_reads_in(value, unit) for value in values))


def _currents(case: Tables, given: Mapping[str, Any]) -> dict[str, Any]:
    """Currents of contacts and periodic pairs, by their key, as the user wrote them."""
    return {
        f"boundaries.{name}.{kind}.current": given["boundaries"][name][kind]["current"]
        for kind, laws in (("contact", case.contacts), ("periodic", case.periodic))
        for name, law in laws.items()  # type: ignore[attr-defined]
        if law.current is not None
    }


def _reads_in(value: object, unit: str) -> bool:
    try:
        quantity(value, unit)
    except CaseError:
        return False
    return True


def _not_available(case: Tables) -> Problems:
    flow = case.flow
    if flow.magnetic_field != 0:
        if flow.model == "ohmic":
            found = f"found {flow.magnetic_field:g} T"
            yield "flow.magnetic_field", f"{found}; needs the hydrodynamic or the kinetic model"
        elif flow.model == "hydrodynamic":
            yield from magnetic_problems(case.used_materials)
            if flow.solver == "iterative":
                text = 'found "iterative"; a magnetic field needs the direct solver'
                yield "flow.solver", f"{text} in the hydrodynamic model"
        if case.mesh.adapt is not None and not flow.by_particles:
            yield "mesh.adapt", "is without a magnetic field"
    x, y, z = flow.magnetic_direction
    if (x or y or z < 0) and not (flow.kinetic and case.carriers == "3d"):
        text = f"found {[x, y, z]}; other directions than z are for"
        text += ' flow.model = "kinetic" with carriers = "3d", on 3D meshes'
        yield "flow.magnetic_direction", text
    if not flow.kinetic:
        text = 'needs flow.model = "kinetic"'
        wishes = {"flow.bounds": flow.bounds, "output.distributions": case.output.distributions}
        yield from ((key, text) for key, given in wishes.items() if given)


def _regions(case: Tables) -> Problems:
    for region, name in case.regions.items():
        yield from _names(f"regions.{region}", [name], case.materials, "material")
    if len({m.carriers for m in case.used_materials.values()}) > 1:
        found = ", ".join(f"{n}: {m.carriers}" for n, m in case.used_materials.items())
        yield "regions", f"all materials must have the same carriers; found {found}"
    elif case.used_materials and case.carriers == "2d" and case.geometry.thickness is not None:
        text = 'a 2D electron gas (carriers = "2d") has no thickness; remove it'
        yield "geometry.thickness", text


def _contacts(case: Tables, given: Mapping[str, Any]) -> Problems:
    # Periodic pairs alone can drive a current; contacts need a potential to refer to.
    fixed = any(contact.potential is not None for contact in case.contacts.values())
    if not fixed and (case.contacts or not case.periodic):
        text = 'no contact has a fixed potential; give one, e.g. { potential = "0 V" }'
        yield "boundaries", text
    if current_units(case, given):
        return
    raw = _currents(case, given)
    if case.geometry.thickness is None and case.used_materials and case.carriers == "3d":
        found = ", ".join(f'{key.split(".")[1]}: "{value}"' for key, value in raw.items())
        yield "boundaries", f"currents in A and in A/m are mixed; found {found}"
        return
    for key, value in raw.items():
        if not _reads_in(value, "A"):
            why = "a thickness" if case.geometry.thickness is not None else 'carriers = "2d"'
            yield key, f'found "{value}"; expected "0 A", "1 mA", …: {why} makes currents whole'


def _periodic(case: Tables) -> Problems:
    """The other boundary of a pair belongs to that pair alone."""
    first: dict[str, str] = {}
    for name, pair in case.periodic.items():
        key = f"boundaries.{name}.periodic.to"
        if pair.to == name:
            yield key, f'found "{name}" itself; must be the opposite boundary'
        elif pair.to in case.boundaries:
            text = f'"{pair.to}" is in [boundaries] as well; remove it there: the pair is its law'
            yield key, text
        elif pair.to in first:
            yield key, f'"{pair.to}" belongs to the pair of "{first[pair.to]}" already'
        first.setdefault(pair.to, name)


def _profiles(case: Tables) -> Problems:
    for name, material in case.materials.items():
        for key, profile in material.profiles.items():
            if profile.data is not None and case.geometry.is_drawing:
                file = case.geometry.file.name
                text = f'"{profile.data}" is data of a mesh, but {file} is a drawing'
                yield f"materials.{name}.{key}.data", f"{text}; give an expression"


def _adapt(case: Tables) -> Problems:
    adapt = case.mesh.adapt
    if adapt is None:
        return
    if not case.geometry.is_drawing:
        file = case.geometry.file.name
        yield "mesh.adapt", f"{file} is a mesh already; only a drawing can be refined"
    key, target = "mesh.adapt.target", adapt.target
    names = tuple(_targets(case))
    if not {target, *_without_numbers(target, case)} & set(names):
        yield key, f'unknown target "{target}"; {known(target, names)}'
    elif target == "conductance" and len(case.contacts) < 2 and not case.periodic:
        yield key, '"conductance" needs two contacts or a periodic pair'
    elif case.periodic and target.rpartition(".")[0] in case.contacts:
        yield key, f'"{target}" is for contacts without periodic pairs; "conductance" is for all'
    elif target.endswith(("edge_moment", "orbital_moment", "spin_moment")):
        channel = "spin" if target.endswith("spin_moment") else "orbital"
        if bare := _uncoupled(case, channel):
            also = "the fermi_energy, or " if channel == "orbital" else "the "
            text = f'"{target}" needs {also}{channel}_coupling, of each material'
            yield key, f"{text}; missing in {', '.join(bare)}"
        if not case.walls:
            yield key, f'"{target}" needs a wall'
        elif target == "edge_moment" and (table := case.angular_momentum) and table.is_two_way:
            text = "is for a flow that angular momentum does not act on"
            yield key, f'"{target}" {text}; name a wall: "{next(iter(case.walls))}.orbital_moment"'
        if not case.flow.viscous:
            yield key, f'"{target}" needs a flow with vorticity, not the ohmic model'


def _targets(case: Tables) -> Iterator[str]:
    """Numbers that a mesh may be adapted to, without numbers of pieces and points."""
    yield from ("conductance", "edge_moment", *case.output.resistances, "dissipated_power")
    for name, contact in case.contacts.items():
        yield f"{name}.{'current' if contact.current is None else 'potential'}"
        yield from (f"conductance_matrix.{name}.{other}" for other in case.contacts)
    for name, pair in case.periodic.items():
        yield f"{name}.{'current' if pair.current is None else 'voltage'}"
    for wall, channel in product(case.walls, ("orbital", "spin")):
        yield f"{wall}.{channel}_moment"
    if table := case.angular_momentum:
        for component in table.components:
            yield from (f"{wall}.{component}.diffusive_moment" for wall in case.walls)
            for boundary in case.boundaries:
                yield f"angular_momentum.outflow.{boundary}.{component}"
            yield f"angular_momentum.relaxed.{component}"
        if table.coupling != "none":
            yield from (f"inverse.{name}.current" for name in case.contacts)
    yield from (f"probe.{name}.FIELD.NUMBER" for name in case.output.probes)


def _without_numbers(target: str, case: Tables) -> Iterator[str]:
    """A target as :func:`_targets` has it."""
    yield (name := without_unit(target))
    for wall in case.walls:
        number, _, rest = name.removeprefix(f"{wall}.").partition(".")
        if number.isdigit():
            yield f"{wall}.{rest}"
    for probe in case.output.probes:
        if name.startswith(f"probe.{probe}."):
            yield f"probe.{probe}.FIELD.NUMBER"


def _angular_momentum(case: Tables) -> Problems:
    """Names in the tables of angular momentum, and what they need of each other."""
    table = case.angular_momentum
    for name, channel in table.channels.items():
        at = f"angular_momentum.{name}"
        yield from _names(f"{at}.regions", channel.regions, case.regions, "region")
        yield from _names(f"{at}.boundaries", channel.boundaries, case.boundaries, "boundary")
        for boundary, law in channel.boundaries.items():
            if boundary in case.periodic:
                yield f"{at}.boundaries.{boundary}", "is periodic: it has no law of its own"
            for key in ("current", "density"):
                for axis in (getattr(law, key) or {}).keys() - set(channel.components):
                    text = f"{axis} is not among the components {', '.join(channel.components)}"
                    yield f"{at}.boundaries.{boundary}.{key}", text
        missing: dict[tuple[str, str], list[str]] = {}
        for region in case.regions:
            for problem in channel.of(region).problems():
                missing.setdefault(problem, []).append(region)
            if table.coupling != "none" and channel.of(region).susceptibility is None:
                text = 'missing; the inverse effect needs it, e.g. "2.7e-21 J s^2/m^3"'
                missing.setdefault(("susceptibility", text), []).append(region)
        without = [r for r in case.regions if channel.of(r).susceptibility is None]
        if table.coupling == "none" and len(without) < len(case.regions):
            text = "missing; others have one, and ω = X/χ is compared: give it to all or to none"
            missing |= {("susceptibility", text): without} if without else {}
        for (key, text), regions in missing.items():
            where = "" if len(regions) == len(case.regions) else f" (region {', '.join(regions)})"
            yield f"{at}.{key}", text + where
    if (mixing := table.spin_orbital) is not None:
        at = "angular_momentum.spin_orbital"
        yield from _names(f"{at}.regions", mixing.regions, case.regions, "region")
        yield from _names(f"{at}.boundaries", mixing.boundaries, case.boundaries, "boundary")
    for key in table.interfaces:
        pair = [name.strip() for name in key.split("|")]
        yield from _names(f"angular_momentum.interfaces.{key}", pair, case.regions, "region")
    found = f'"{case.flow.model}"' if case.flow.model not in ("ohmic", "hydrodynamic") else ""
    if not found and case.flow.viscous and case.flow.magnetic_field:
        found = "a magnetic field"
    if table.is_two_way and found:
        text = f'"two-way" needs flow.model = "ohmic" or "hydrodynamic"; found {found}'
        yield "angular_momentum.coupling", f'{text}; "one-way" is available for every model'
    if table.coupling != "none":
        for name, material in case.used_materials.items():
            if material.conductivity_tensor is not None:
                text = "makes the conductivity a tensor: the inverse effect needs one number"
                yield f"materials.{name}.fermi_line", text
            if "conductivity" in material.profiles:
                text = "varies: the inverse effect needs one value in each region"
                yield f"materials.{name}.conductivity", text


def _wire(case: Tables) -> Problems:
    """What the section of a wire along z needs, and what it does not have."""
    flow, viscous = case.flow, case.flow.model == "hydrodynamic"
    if (flow.field is None) == (flow.current is None):
        found = "neither" if flow.field is None else "both"
        text = f'found {found} of flow.field and flow.current; give one, e.g. field = "1 kV/m"'
        yield "flow.along", text
    if not flow.viscous:
        text = f'found "{flow.model}"; a wire along z needs "kinetic" or "hydrodynamic"'
        yield "flow.model", text
        return
    yield from wire_problems(2, case.used_materials, case.boundaries, None if viscous else 2)
    if viscous:
        yield from _closure(case)
    absent = {
        "flow.magnetic_field": flow.magnetic_field,
        "geometry.thickness": case.geometry.thickness,
        "mesh.adapt": case.mesh.adapt,
        "angular_momentum": bool(case.angular_momentum),
        "output.resistances": case.output.resistances,
        "output.distributions": case.output.distributions,
        "output.probes": case.output.probes,
    }
    yield from ((key, "is not for a wire along z; remove it") for key, has in absent.items() if has)


def _closure(case: Tables) -> Problems:
    """What the hydrodynamic model needs to know of each material."""
    yield from hydrodynamic_problems(case.used_materials)
    walls = [n for n, wall in case.walls.items() if wall.specularity not in (None, 1)]
    reservoirs = [n for n, contact in case.contacts.items() if contact.law == "reservoir"]
    for name, material in case.used_materials.items():
        if material.mean_free_path is not None:
            continue
        key = f"materials.{name}.mean_free_path"
        if material.vorticity_diffusion_length is None:
            text = 'missing; the hydrodynamic model needs it, e.g. "7 nm"'
            where = "where to find one: meso material --with mean_free_path"
            yield key, f"{text}, or vorticity_diffusion_length; {where}"
            continue
        if walls:
            text = "give it, or the slip_length of these walls"
            yield key, f"missing; the walls {', '.join(walls)} need it: {text}"
        if reservoirs:
            yield key, f"missing; the reservoirs {', '.join(reservoirs)} need it"


def _kinetic(case: Tables) -> Problems:
    """What the Boltzmann equation needs, and what is no part of it."""
    field = case.flow.magnetic_field
    yield from kinetic_problems(case.used_materials, case.boundaries, field)
    if case.flow.bounds:
        yield from bounds_problems(case.boundaries, field)


def _particles(case: Tables) -> Problems:
    """What particles cannot follow, and what needs smooth fields."""
    yield from particle_problems(case.used_materials, case.boundaries, case.flow.magnetic_field)
    if case.mesh.adapt is not None:
        yield "mesh.adapt", "is for the ohmic and the hydrodynamic model"
    if case.angular_momentum:
        text = 'needs a smooth current: flow.model = "ohmic", "hydrodynamic" or "kinetic"'
        yield "angular_momentum", text
