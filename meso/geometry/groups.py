"""Names for the regions and boundaries of a CAD file: which of its entities belong to which."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any

from meso.errors import CaseError
from meso.units import unit
from meso.validation import After, Before


def finite(value: float) -> float:
    """The value; raises a CaseError if it is not finite."""
    if not isfinite(value):
        raise CaseError(f"found {value!r}; must be finite")
    return value


def _point(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) not in (2, 3):
        raise CaseError(f"found {len(value)} coordinates; must be 2 or 3")
    return value


Point = Annotated[tuple[Annotated[float, unit("m"), After(finite)], ...], After(_point)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What chooses entities of a CAD file: exactly one of its arguments.

    Args:
        near: the one that is nearest to this point, in m.
        box: those that lie in the box between these two corners, in m.
        label: those that have this name in the file.
        rest: True for all that no other group has.

    Raises:
        CaseError: not exactly one of them; corners of different dimensions.
    """

    near: Point | None = None
    box: tuple[Point, Point] | None = None
    label: str | None = None
    rest: bool = False

    def __post_init__(self) -> None:
        given = [key for key in ("near", "box", "label") if getattr(self, key) is not None]
        given += ["rest"] if self.rest else []
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise CaseError(f"found {found}; give exactly one of near, box, label and rest = true")
        if self.box is not None and len(self.box[0]) != len(self.box[1]):
            raise CaseError(("box", "its corners must have the same number of coordinates"))

    def text(self, unit: float) -> str:
        """The selector for messages, its lengths in a unit of this many metres."""

        def shown(point: tuple[float, ...]) -> str:
            return "[" + ", ".join(f"{x / unit:.6g}" for x in point) + "]"

        if self.near is not None:
            return f"near = {shown(self.near)}"
        if self.box is not None:
            return f"box = [{shown(self.box[0])}, {shown(self.box[1])}]"
        return "rest = true" if self.rest else f'label = "{self.label}"'


def _listed(value: Any) -> tuple[Any, ...] | list[Any]:
    """One selector or a list of them, as a list."""
    return value if isinstance(value, list | tuple) else (value,)


Selectors = Annotated[tuple[Selector, ...], Before(_listed)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Names of regions and boundaries, each with one selector or several whose choices are joined.

    Attributes:
        regions: Of surfaces in 2D, of volumes in 3D; empty: those in the file.
        boundaries: Of curves in 2D, of surfaces in 3D; empty: those in the file.
    """

    regions: dict[str, Selectors] = field(default_factory=dict)
    boundaries: dict[str, Selectors] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("regions", "boundaries"):
            selectors = {name: tuple(_listed(value)) for name, value in getattr(self, key).items()}
            object.__setattr__(self, key, selectors)
