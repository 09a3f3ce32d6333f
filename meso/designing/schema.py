"""The tables of a design file: their keys, defaults and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Annotated, Any

from meso.case.schema import Length, Positive
from meso.case.tables import from_file, override
from meso.designing.target import Target
from meso.errors import CaseError
from meso.geometry.groups import Point
from meso.units import number, quantity
from meso.validation import After, Before, checked, within


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between which numbers an input may vary; the unit is that of the case file's value."""

    min: Any
    max: Any
    start: Any = None  # None: the value of the case


def _limit(value: object) -> float:
    if isinstance(value, str):
        text = "must be a number in the SI unit of the output, as its column has it, e.g. 1e-3"
        raise CaseError(f'found "{value}"; {text}')
    return number(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Limits of an output, in the unit of its column."""

    min: Annotated[float, Before(_limit)] = -inf
    max: Annotated[float, Before(_limit)] = inf

    def __post_init__(self) -> None:
        _check_range(self.min, self.max)


def _check_range(low: float, high: float) -> None:
    if low > high:
        raise CaseError(f"found min = {low:g} above max = {high:g}: nothing lies between")
    if low == -inf and high == inf:
        raise CaseError("empty; give min, max or both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """The smallest length that is allowed."""

    min: Length


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Two opposite corners of a box."""

    from_: Point
    to: Point

    def __post_init__(self) -> None:
        if not all(a < b for a, b in zip(self.from_, self.to, strict=True)):
            raise CaseError("from must be the lower left corner, to the upper right one")


def _area(value: Any) -> tuple[float, float] | str | None:
    """Smallest and largest area, m^2, or "kept"."""
    if value is None or value == "kept":
        return value
    keys = {"min": 0.0, "max": inf}
    if not isinstance(value, Mapping) or not value or value.keys() - keys:
        text = 'must be "kept", or { min = "2000 nm^2", max = "3000 nm^2" } or one of both'
        raise CaseError(f"found {value!r}; {text}")
    low, high = (quantity(value[k], "m^2") if k in value else keys[k] for k in keys)
    _check_range(low, high)
    if high <= 0:
        raise CaseError(f"found {value!r}; must be positive")
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What the shape, and other outputs, have to keep."""

    area: Annotated[Any, Before(_area)] = None
    width: Least | None = None  # distance of walls that face one another
    radius: Least | None = None  # of curvature of free walls
    box: Box | None = None  # around free walls
    outputs: dict[str, Between] = field(default_factory=dict)


def _nonempty(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise CaseError("empty; give at least one boundary")
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """Boundaries whose shape is free."""

    free: Annotated[tuple[str, ...], After(_nonempty)]
    # Of the points that steer them: features of this size can grow.
    spacing: Length


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How the best shape is looked for."""

    steps: Annotated[int, within(1, 1000)] = 60
    tolerance: Positive = 1e-5  # improvement of the target in a step, relative, at the end
    step: Length | None = None  # longest motion of a wall in the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where everything goes; relative to the working directory."""

    directory: Path | None = None


_TABLES = ("parameters", "walls", "constraints", "method")
#: What a setting may replace in a design file; all other keys are those of its case.
OWN = ("case", "title", "maximise", "minimise", *_TABLES, "output.directory")


def _target(text: Any) -> Target:
    if not isinstance(text, str):
        raise CaseError(f'found {text!r}; must be a text, e.g. "conductance"')
    return Target.parse(text)


Formula = Annotated[Any, Before(_target)]


@dataclass(frozen=True, kw_only=True)
class Brief:
    """A design file, lengths in metres."""

    case: Path
    title: str = ""
    maximise: Formula = None
    minimise: Formula = None
    parameters: dict[str, Bounds] = field(default_factory=dict)
    walls: Walls | None = None
    constraints: Constraints = field(default_factory=Constraints)
    method: Method = field(default_factory=Method)
    output: Output = field(default_factory=Output)

    def __post_init__(self) -> None:
        if (self.maximise is None) == (self.minimise is None):
            found = "neither" if self.maximise is None else "both"
            raise CaseError(f"found {found} of maximise and minimise; give one of them")
        if bool(self.parameters) == (self.walls is not None):
            found = "both" if self.parameters else "neither"
            raise CaseError(f"found {found} of [parameters] and [walls]; give one of them")

    @property
    def target(self) -> Target:
        """What is to be made large or small."""
        found: Target = self.maximise or self.minimise
        return found

    @property
    def sign(self) -> float:
        """-1 if the target is to be large, 1 if small."""
        return 1.0 if self.maximise is None else -1.0

    @classmethod
    def load(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Brief:
        """Read a design file; the path of the case is relative to its folder.

        Args:
            path: The file.
            overrides: Dotted key -> value, in place of what the file says.

        Raises:
            CaseError: It cannot be read, or something in it is wrong.
        """
        path = Path(path)
        found = from_file(path, lambda tables: cls.from_dict(override(tables, overrides or {})))
        file = path.parent / found.case
        if not file.is_file():
            text = f'found "{found.case}"; no such file: {file}'
            raise CaseError(("case", text), file=str(path))
        return replace(found, case=file)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> Brief:
        """Check the tables of a design file."""
        return checked(cls, tables, {}, {})  # type: ignore[no-any-return]
