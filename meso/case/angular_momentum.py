"""The tables [angular_momentum.*] of a case file: channels, their coupling, boundaries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import inf
from typing import Annotated, Any, Literal

import numpy as np

from meso.errors import CaseError
from meso.materials.crystal import Orientation, nested, read_tensor
from meso.units import is_number, quantity, unit
from meso.validation import After, Before, Info

AXES = ("x", "y", "z")
_HALL_UNIT = re.compile(
    r"\(?\s*(?:hbar|ħ|\u210f)\s*/\s*(?:(2?)\s*e|\(\s*(2?)\s*e\s*\))(?![^\W\d_])\s*\)?"
)


def _units(info: Info, bulk: str, sheet: str) -> tuple[str, ...]:
    """The unit for a 3D metal, that for a 2D electron gas, or both where it is not known."""
    known = info.context.get("sheet")
    return (bulk, sheet) if known is None else (sheet,) if known else (bulk,)


def _hall(value: object, info: Info) -> Any:
    """sigma_H in units of hbar/e, whichever was stated."""
    half = 1.0
    text = value.get("unit") if isinstance(value, Mapping) else value
    if isinstance(text, str) and (match := _HALL_UNIT.search(text)):
        half = 0.5 if match[1] or match[2] else 1.0
        text = " ".join((text[: match.start()] + " " + text[match.end() :]).split())
        value = {**value, "unit": text} if isinstance(value, Mapping) else text
    return nested(half * np.array(read_tensor(value, _units(info, "S/m", "S"), ((3, 3, 3),))))


def _positive(value: float) -> float:
    if not value > 0:
        raise CaseError(f"found {value!r}; must be positive")
    return value


def _not_negative(value: Any) -> Any:
    if is_number(value) and value < 0:
        raise CaseError(f"found {value!r}; must not be negative")
    return value


def _rates(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise CaseError(f'found {value!r}; must be three rates, e.g. ["0 Hz", "0 Hz", "3e12 Hz"]')
    return tuple(quantity(rate, "Hz") for rate in value)


def _components(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list | tuple) else [value]
    if not names or any(name not in AXES for name in names) or len(set(names)) < len(names):
        raise CaseError(f'found {value!r}; must be a list of different axes, e.g. ["x", "z"]')
    return tuple(axis for axis in AXES if axis in names)


def _reader(bulk: str, sheet: str) -> Before:
    def read(value: object, info: Info) -> float:
        return quantity(value, *_units(info, bulk, sheet))

    return Before(read, informed=True)


def _by_axis(bulk: str, sheet: str) -> Before:
    def read(value: object, info: Info) -> dict[str, float]:
        units = _units(info, bulk, sheet)
        if not isinstance(value, Mapping) or not value or set(value) - set(AXES):
            raise CaseError(f'found {value!r}; must give components, e.g. {{ z = "1 {units[0]}" }}')
        return {axis: quantity(item, *units, where=axis) for axis, item in value.items()}

    return Before(read, informed=True)


def _tensor(units: str, *shapes: tuple[int, ...]) -> Before:
    return Before(lambda value: read_tensor(value, (units,), shapes))


def _conductance(value: object, info: Info) -> Any:
    return read_tensor(value, ("m/s", *_units(info, *_PER_STEP)), ((3, 3),))


#: Units of a current per step of ω = X/χ.
_PER_STEP = ("J*s/m^2", "J*s/m")
POSITIVE, NOT_NEGATIVE = After(_positive), After(_not_negative)
Diffusivity = Annotated[Any, _tensor("m^2/s", (3, 3), (3, 3, 3, 3))]
Velocity = Annotated[Any, NOT_NEGATIVE, _tensor("m/s", (3, 3))]
Number = Annotated[float, unit("m^2/s")]
Rate = Annotated[float, unit("Hz"), NOT_NEGATIVE]
#: Of an interface, by channel or between them: a number or a matrix along x, y, z of the device.
_Crossed = Annotated[Any, Before(_conductance, informed=True)]
Conductance = Annotated[_Crossed, NOT_NEGATIVE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """Of one channel, for all regions or for one of them; None follows from the former.

    The current is 𝒥^{ia} = θ^{ia}_k E_k − [D ∂_iX_a + A δ_ia div X + B ∂_aX_i], with θ in units
    of ħ/e, and the axes of the tensors those of the crystal.
    """

    # S/m, number or [i][a][k]
    hall_conductivity: Annotated[Any, Before(_hall, informed=True)] | None = None
    diffusivity: Diffusivity | None = None  # D, number, D_ik or D[i][a][k][b]
    divergence: Number | None = None  # A
    swapping: Number | None = None  # B
    cubic_anisotropy: Number | None = None  # along the axes of a cubic crystal
    relaxation_time: Annotated[float, unit("s"), POSITIVE] | None = None  # τ
    diffusion_length: Annotated[float, unit("m"), POSITIVE] | None = None  # √(D τ) in place of τ
    relaxation: Annotated[Any, _tensor("Hz", (3, 3))] | None = None  # in place of τ
    precession: Annotated[tuple[float, ...], Before(_rates)] | None = None  # about x, y, z
    # χ in J s²/m³; 1 stands for "X continuous"
    susceptibility: Annotated[float, _reader("J*s^2/m^3", "J*s^2/m^2"), POSITIVE] | None = None
    orientation: Orientation | None = None

    def __post_init__(self) -> None:
        given = [k for k in _RELAXATION if getattr(self, k) is not None]
        if len(given) > 1:
            raise CaseError(f"found {' and '.join(given)}; give one")

    def over(self, other: Coefficients) -> Coefficients:
        """These values, and the other's where there are none."""
        names = [f.name for f in fields(Coefficients)]
        own = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        base = {name: getattr(other, name) for name in names}
        if own.keys() & set(_RELAXATION):
            base |= dict.fromkeys(_RELAXATION)
        return Coefficients(**base | own)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is missing once all tables are merged."""
        if self.diffusivity is None:
            yield "diffusivity", 'missing; give it, e.g. "2.5e-6 m^2/s"'
        if all(getattr(self, k) is None for k in _RELAXATION):
            text = 'missing; give it, e.g. "2 ps", or diffusion_length ("inf" for no relaxation)'
            yield "relaxation_time", text
        if self.diffusion_length not in (None, inf) and not is_number(self.diffusivity):
            yield "diffusion_length", "needs a diffusivity that is a number; give relaxation_time"


_RELAXATION = ("relaxation_time", "diffusion_length", "relaxation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What a boundary does with one channel; by default nothing passes."""

    law: Literal["no flux", "reservoir"] = "no flux"  # reservoir: X = 0
    relaxation_velocity: Velocity | None = None
    # Fed in, and held, by component.
    current: Annotated[dict[str, float], _by_axis("J/m^2", "J/m")] | None = None
    density: Annotated[dict[str, float], _by_axis("J*s/m^3", "J*s/m^2")] | None = None

    def __post_init__(self) -> None:
        if self.law == "reservoir" and (self.density or self.current):
            raise CaseError("a reservoir holds X = 0: it has neither current nor density")


#: A law that needs no more than its name.
_NAMED = Before(lambda value: {"law": value} if isinstance(value, str) else value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel(Coefficients):
    """Spin or orbital angular momentum: components that are solved for, regions and boundaries."""

    components: Annotated[tuple[str, ...], Before(_components)] = ("z",)
    regions: dict[str, Coefficients] = field(default_factory=dict)
    boundaries: dict[str, Annotated[Law, _NAMED]] = field(default_factory=dict)

    def of(self, region: str) -> Coefficients:
        """The values of a region."""
        return self.regions.get(region, Coefficients()).over(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Rates 1/s at which one channel is lost to the other; their sum is conserved."""

    spin_to_orbital: Rate = 0.0
    orbital_to_spin: Rate = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Polarization:
    """Diffusivities between the channels: the current of one by a gradient of the other."""

    spin_from_orbital: Diffusivity = 0.0
    orbital_from_spin: Diffusivity = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossVelocity:
    """Relaxation velocities of a boundary between the channels, m/s: taken per other density."""

    spin_from_orbital: Annotated[float, unit("m/s")] = 0.0
    orbital_from_spin: Annotated[float, unit("m/s")] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """What mixes the channels, for all regions or for one of them."""

    conversion: Conversion | None = None
    polarization: Polarization | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinOrbital(Mixing):
    """What mixes the channels, with values of single regions and of boundaries."""

    regions: dict[str, Mixing] = field(default_factory=dict)
    boundaries: dict[str, CrossVelocity] = field(default_factory=dict)

    def of(self, region: str) -> Mixing:
        """The values of a region."""
        own = self.regions.get(region, Mixing())
        return Mixing(
            conversion=own.conversion or self.conversion,
            polarization=own.polarization or self.polarization,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """Conductance between two regions by channel: 𝒥 = g(ω⁻ − ω⁺); m/s where χ is not given.

    Between the channels: the current of the first that a step of the second drives.
    """

    spin: Conductance | None = None
    orbital: Conductance | None = None
    spin_from_orbital: _Crossed | None = None
    orbital_from_spin: _Crossed | None = None

    def between(self, to: str, by: str) -> Any:
        """Of the current of one channel that a step of another drives: a number or (3, 3)."""
        return getattr(self, to if to == by else f"{to}_from_{by}") or 0.0


def _entries(table: object) -> Iterator[tuple[str, Any]]:
    yield from table.items() if isinstance(table, Mapping) else ()


def _is(value: object, unit: str) -> bool:
    """Whether a conductance has a unit of some kind; a number has all of them."""
    try:
        read_tensor(value, (unit,), ((3, 3),))
    except CaseError:
        return False
    return not is_number(value)


def _interfaces(tables: object, info: Info) -> object:
    """Tables of interfaces whose units go with what drives the currents: a step of ω or of X."""
    problems = []
    for pair, table in _entries(tables):
        for key, value in _entries(table):
            name = str(key).rpartition("from_")[2]
            if isinstance(channel := info.data.get(name), Channel):
                text = _mistaken(value, name, channel, str(pair).split("|"), info)
                problems += [(f"{pair}.{key}", text)] if text else []
    if problems:
        raise CaseError(*problems)
    return tables


def _mistaken(
    value: Any, name: str, channel: Channel, regions: Sequence[str], info: Info
) -> str | None:
    """What is wrong with the unit of a conductance that steps of a channel drive."""
    found = value["unit"] if isinstance(value, Mapping) and "unit" in value else value
    per_step = next((u for u in _units(info, *_PER_STEP) if _is(value, u)), None)
    chi = {channel.of(region.strip()).susceptibility for region in regions}
    if None in chi and per_step:
        text = f'found "{found}", but {name}.susceptibility is not given, and steps of the density'
        return f'{text} drive the current: expected a velocity, e.g. "2e4 m/s"'
    if None not in chi and _is(value, "m/s"):
        (unit, *_) = _units(info, *_PER_STEP)
        text = f'found "{found}" (velocity), but {name}.susceptibility is given, and steps of ω ='
        text += f" X/χ drive the current: expected a conductance in {unit}"
        if len(chi) == 1 and (one := chi.pop()) and not isinstance(value, Mapping):
            text += f'; with this χ, "{quantity(value, "m/s") * one:.6g} {unit}" is the same'
        return text
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AngularMomentum:
    """The diffusion of spin and orbital angular momentum."""

    spin: Channel | None = None
    orbital: Channel | None = None
    spin_orbital: SpinOrbital | None = None
    # "region|region"; elsewhere ω = X/χ is continuous.
    interfaces: Annotated[dict[str, Interface], Before(_interfaces, informed=True)] = field(
        default_factory=dict
    )
    # The inverse effect on the charge current: as a consequence, or solved together.
    coupling: Literal["none", "one-way", "two-way"] = "none"
    # E_z in V/m of a 2D mesh, the section of a conductor that carries a current along z.
    perpendicular_field: Annotated[float, unit("V/m")] = 0.0

    def __post_init__(self) -> None:
        if self.coupling != "none" and not self.channels:
            raise CaseError(("coupling", "needs a channel, spin or orbital"))
        if self.spin_orbital is not None and len(self.channels) < 2:
            raise CaseError(("spin_orbital", "needs both channels, spin and orbital"))
        for name in self.interfaces:
            if len(name.split("|")) != 2:
                text = 'the name must be of two regions, e.g. "top|bottom"'
                raise CaseError((f"interfaces.{name}", text))
        for name, interface in self.interfaces.items():
            crossed = interface.spin_from_orbital or interface.orbital_from_spin
            if crossed and len(self.channels) < 2:
                text = "spin and orbital conductances mix only where there are both channels"
                raise CaseError((f"interfaces.{name}", text))
        if self.perpendicular_field and not self.channels:
            raise CaseError(("perpendicular_field", "needs a channel, spin or orbital"))

    @property
    def channels(self) -> dict[str, Channel]:
        """The channels that are solved for."""
        both = {"spin": self.spin, "orbital": self.orbital}
        return {name: channel for name, channel in both.items() if channel is not None}

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components, "spin_x" ... "orbital_z"."""
        return tuple(f"{n}_{a}" for n, c in self.channels.items() for a in c.components)

    @property
    def is_two_way(self) -> bool:
        """Whether charge and angular momentum are solved together."""
        return self.coupling == "two-way"

    def __bool__(self) -> bool:
        return bool(self.channels)
