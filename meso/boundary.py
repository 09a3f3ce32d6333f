"""Boundaries of the conductor: contacts, walls and periodic pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Any, Literal, get_args

from meso.errors import CaseError
from meso.materials.material import Material
from meso.units import NUMBER, is_number, unit

#: Laws by name: what they say is in :mod:`meso.equations.contacts` and :mod:`meso.equations.walls`.
ContactLaw = Literal["ideal", "reservoir"]
WallLaw = Literal["traction", "literal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A contact with a fixed potential, or with a given total current.

    Args:
        potential: electrochemical potential in V.
        current: total current into the device, in A, or in A/m where the conductor is a 2D cut
            through a 3D material of unknown thickness; 0 for a floating voltage probe.
        law: "ideal", or "reservoir" with the intrinsic contact resistance of a kinetic reservoir.

    Raises:
        CaseError: not exactly one of potential and current, or one that is not finite.
    """

    potential: Annotated[float, unit("V")] | None = None
    current: Annotated[float, unit("A", "A/m")] | None = None
    law: ContactLaw = "ideal"

    def __post_init__(self) -> None:
        _exactly_one(self, "potential", "current")
        _finite(self, "potential", "current")
        _one_of(self.law, get_args(ContactLaw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """A wall that no current crosses.

    Args:
        specularity: p, from 0 (diffuse) to 1 (specular); the slip follows from the material.
        slip_length: b = 1/s in m, from 0 (no slip) to inf (no friction).
        law: "traction", n·(∇J + ∇Jᵀ)·t = −s J_t, or "literal", ∂_n J_t = −s J_t. They differ
            where the wall is curved; the former is what kinetic theory gives.

    Raises:
        CaseError: not exactly one of specularity and slip length, or one out of range.
    """

    specularity: Annotated[float, NUMBER] | None = None
    slip_length: Annotated[float, unit("m")] | None = None
    law: WallLaw = "traction"

    def __post_init__(self) -> None:
        _exactly_one(self, "specularity", "slip_length")
        for key, upper, rule in (
            ("specularity", 1.0, "in 0 … 1"),
            ("slip_length", inf, "0 or positive"),
        ):
            value = getattr(self, key)
            if value is not None and not (is_number(value) and 0 <= value <= upper):
                raise CaseError((key, f"found {value!r}; must be {rule}"))
        _one_of(self.law, get_args(WallLaw))

    def slip_rate(self, material: Material) -> Any:
        """Slip rate s = 1/b in 1/m of this wall on a material; inf where nothing slips.

        Args:
            material: a material, or a local one, for which the result may be an array.

        Raises:
            CaseError: the slip depends on a mean free path that the material does not have.
        """
        if self.specularity is not None:
            return material.slip_rate(self.specularity)
        return 1 / self.slip_length if self.slip_length else inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """A boundary that continues in another one, which lies parallel to it.

    The device is one cell of an infinite row: current leaves through one boundary and comes back
    through the other, and the potential is the same on both up to a constant.

    Args:
        to: the name of the other boundary, which has no law of its own.
        voltage: by how much the potential is higher here than there, in V; 0 if there is no
            current either.
        current: total current into the device here, in A, or in A/m as for contacts.

    Raises:
        CaseError: both voltage and current, one that is not finite, or no name.
    """

    to: str
    voltage: Annotated[float, unit("V")] | None = None
    current: Annotated[float, unit("A", "A/m")] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.to, str) or not self.to:
            raise CaseError(("to", f"found {self.to!r}; must be the name of a boundary"))
        if self.voltage is not None and self.current is not None:
            raise CaseError("found both of voltage and current; give one at most")
        if self.voltage is None and self.current is None:
            object.__setattr__(self, "voltage", 0.0)
        _finite(self, "voltage", "current")


Boundary = Contact | Wall | Periodic


def law_of(boundaries: Mapping[str, Boundary], name: str) -> Boundary:
    """The law of a boundary: of the second one of a periodic pair, that of the first.

    Args:
        boundaries: laws by name, as in a case, which names the second one by ``to`` only.
        name: any boundary of the device.

    Raises:
        KeyError: no law names this boundary.
    """
    if name in boundaries:
        return boundaries[name]
    for law in boundaries.values():
        if isinstance(law, Periodic) and law.to == name:
            return law
    raise KeyError(name)


def _finite(table: Boundary, *keys: str) -> None:
    for key in keys:
        value = getattr(table, key)
        if value is not None and not (is_number(value) and isfinite(value)):
            raise CaseError((key, f"found {value!r}; must be a finite number"))


def _exactly_one(table: Boundary, first: str, second: str) -> None:
    given = [key for key in (first, second) if getattr(table, key) is not None]
    if len(given) != 1:
        found = "both" if given else "neither"
        raise CaseError(f"found {found} of {first} and {second}; give exactly one")


def _one_of(law: str, laws: tuple[str, ...]) -> None:
    if law not in laws:
        known = " or ".join(f'"{name}"' for name in laws)
        raise CaseError(("law", f"found {law!r}; must be {known}"))
