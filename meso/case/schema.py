"""The tables of a case file as dataclasses: their keys, defaults and ranges."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from meso.boundary import Contact, Periodic, Wall
from meso.case.angular_momentum import AngularMomentum
from meso.equations.derived import TABLE
from meso.errors import CaseError, GeometryError, known
from meso.geometry import formats
from meso.geometry.groups import Groups, Point, finite
from meso.materials.material import Material
from meso.units import NUMBER, factor, unit
from meso.validation import After, Before, Info, OneOf, within

#: What `output.fields` may name.
FIELDS = tuple(TABLE)

#: Of the kinetic model; far beyond what memory allows on all but the coarsest meshes.
MOST_HARMONICS = 1024

#: Order of the fields whose mesh suits particles.
_PARTICLES = 2
#: The same of the kinetic model, in 2D and in 3D.
_KINETIC = (3, 2)


def _positive(value: float) -> float:
    if finite(value) <= 0:
        raise CaseError(f"found {value!r}; must be positive")
    return value


def _length_unit(value: object) -> str:
    if not isinstance(value, str):
        raise CaseError(f'found {value!r}; must be a unit of length, e.g. "nm"')
    factor(value, "m")
    return value


def _existing(value: object, info: Info, what: str) -> Path:
    """The path of a file, relative to that of the case."""
    if not isinstance(value, str | Path):
        raise CaseError(f"found {value!r}; must be {what}")
    base_directory: Path = info.context["base_directory"]
    path = (base_directory / value).resolve()
    if not path.is_file():
        raise CaseError(f'found "{value}"; no such file: {path}')
    return path


def _file(value: object, info: Info) -> Path:
    path = _existing(value, info, 'a path, e.g. "ribbon.geo"')
    try:
        formats.kind(path)
    except GeometryError as error:
        raise CaseError(str(error).removeprefix(f"{path}: ")) from None
    return path


def _field_name(name: object) -> str:
    if name not in FIELDS:
        raise CaseError(f'unknown field "{name}"; {known(str(name), FIELDS)}')
    return str(name)


def _nonempty(table: dict[str, Any]) -> dict[str, Any]:
    if not table:
        raise CaseError("empty; at least one entry is needed")
    return table


def _channels(table: Any) -> Any:
    if table == {}:
        text = "empty; give [angular_momentum.orbital] or [angular_momentum.spin], or remove it"
        raise CaseError(text)
    return table


Length = Annotated[float, unit("m"), After(_positive)]
Positive = Annotated[float, NUMBER, After(_positive)]


def _direction(value: tuple[float, float, float]) -> tuple[float, float, float]:
    if not any(value):
        raise CaseError(f"found {list(value)}; must not vanish, e.g. [0, 1, 0]")
    return value


_Component = Annotated[float, NUMBER, After(finite)]
Direction = Annotated[tuple[_Component, _Component, _Component], After(_direction)]


def _harmonics(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    even = isinstance(value, int) and not isinstance(value, bool) and value % 2 == 0
    if not even or not 2 <= value <= MOST_HARMONICS:
        text = f'must be an even number from 2 to {MOST_HARMONICS}, or "auto"'
        raise CaseError(f"found {value!r}; {text}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The drawing or mesh: its file, the unit of its coordinates, and variables of a .geo file."""

    file: Annotated[Path, Before(_file, informed=True)]  # absolute
    length_unit_name: Annotated[str, Before(_length_unit)]  # as written, e.g. "nm"
    parameters: dict[str, Annotated[float, NUMBER]] = field(default_factory=dict)  # in that unit
    thickness: Length | None = None  # of the slab that a 2D mesh of a 3D conductor stands for
    groups: Groups | None = None  # regions and boundaries of a CAD file

    def __post_init__(self) -> None:
        if self.groups is not None and formats.kind(self.file) != "cad":
            kinds = ", ".join(formats.CAD)
            text = f"is for CAD files ({kinds}); {self.file.name} has names of its own"
            raise CaseError(("groups", text))

    @property
    def length_unit(self) -> float:
        """Length of one unit of the file's coordinates in m."""
        return factor(self.length_unit_name, "m")

    @property
    def is_drawing(self) -> bool:
        """Whether the file is to be meshed, rather than a mesh."""
        return formats.is_meshed_here(self.file)


def _target(value: Any) -> Any:
    """Without what `--of` also permits: "resistance.back", "orbital_moment.edges"."""
    if not isinstance(value, str):
        return value
    first, _, rest = value.partition(".")
    turned = rest and (first in ("current", "potential", "voltage") or first.endswith("_moment"))
    return f"{rest}.{first}" if turned else value.removeprefix("resistance.")


def _several(value: Any) -> Any:
    """One name, or several."""
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapt:
    """Refinement of the mesh by what a solution on it tells."""

    # "conductance", "edge_moment", one of `output.resistances`, or any number of a run
    target: Annotated[str, Before(_target)]
    steps: Annotated[int, within(1, 20)] = 6  # at most
    tolerance: Positive | None = None  # relative error at which to stop; None for all steps
    # Parameters of a drawing with layers: numbers of these, and sizes of cells along them.
    layers: Annotated[tuple[str, ...], Before(_several)] = ()
    size: Annotated[tuple[str, ...], Before(_several)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Wishes about the mesh; what is None follows from the geometry and the materials."""

    size: Length | None = None
    wall_size: Length | None = None  # of the cells at walls
    geometry_order: Annotated[int, within(1, 5)] | None = None
    # Of currents, relative, for which the program chooses; with harmonics not given also "auto".
    accuracy: Positive | None = None
    adapt: Adapt | None = None

    def __post_init__(self) -> None:
        if self.accuracy is not None and not 1e-7 <= self.accuracy <= 0.1:
            text = f"found {self.accuracy:g}; a relative error of currents, from 1e-7 to 0.1"
            raise CaseError(("accuracy", text))
        if self.size is not None and self.wall_size is not None and self.wall_size > self.size:
            text = f"found {self.wall_size:g} m; must not exceed size = {self.size:g} m"
            raise CaseError(("wall_size", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The model of the current flow."""

    model: Literal["ohmic", "hydrodynamic", "kinetic", "particles"]
    order: int | None = None  # None: 4 in 2D, 3 kinetic, 2 in 3D
    solver: Literal["auto", "direct", "iterative"] = "auto"  # "auto" decides by the size
    harmonics: Annotated[Any, Before(_harmonics)] = 16
    # Of currents and edge moments, relative: 1e-3 for "auto", 1e-2 for particles.
    tolerance: Positive | None = None
    # Of errors, which takes further solutions; None: by the kinetic model, and where it is cheap.
    estimate: bool | None = None
    bounds: bool = False  # of the conductance of the kinetic model
    magnetic_field: Annotated[float, unit("T")] = 0.0
    magnetic_direction: Direction = (0.0, 0.0, 1.0)  # of it, another one on 3D meshes only
    # The mesh is the section of a straight wire along z: its field, V/m, or its current, A.
    along: Literal["z"] | None = None
    field: Annotated[float, unit("V/m")] | None = None
    current: Annotated[float, unit("A")] | None = None
    seed: Annotated[int, within(0)] = 0  # of the random numbers of particles
    particles: Annotated[int, within(1)] = 10_000_000  # at most

    @property
    def viscous(self) -> bool:
        """Whether the model has vorticity, boundary layers and friction at walls."""
        return self.model in ("hydrodynamic", "kinetic")

    @property
    def by_particles(self) -> bool:
        """Whether particles are followed: with statistical errors, and J in cells only."""
        return self.model == "particles"

    @property
    def kinetic(self) -> bool:
        """Whether the flow is that of a distribution over angles."""
        return self.model == "kinetic"

    @property
    def degree(self) -> int | tuple[int, int] | None:
        """The order, or that in 2D and that in 3D; None where the dimension decides."""
        if self.by_particles:
            return _PARTICLES  # decides about the cells alone
        return _KINETIC if self.order is None and self.kinetic else self.order

    def degree_on(self, device: Any) -> int:
        """The order on a device, which may have been made for another one."""
        degree = self.degree
        own = degree[device.dimension - 2] if isinstance(degree, tuple) else degree
        return own or int(device.order)

    def __post_init__(self) -> None:
        if self.tolerance is None:
            object.__setattr__(self, "tolerance", 1e-2 if self.by_particles else 1e-3)
        if self.order is not None and self.by_particles:
            text = f"found {self.order}; particles have none, mesh.size tells how fine fields are"
            raise CaseError(("order", text))
        lowest = 2 if self.viscous else 1
        if self.order is not None and not lowest <= self.order <= 10:
            text = f"found {self.order}; must be in {lowest} … 10 for the {self.model} model"
            raise CaseError(("order", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A straight line along which fields are sampled, ends included."""

    from_: Point
    to: Point
    points: Annotated[int, within(2, 1_000_000)] = 101
    # Of an instrument: full width at half maximum of the Gaussian that it averages over.
    resolution: Length | None = None

    def __post_init__(self) -> None:
        if len(self.from_) != len(self.to):
            raise CaseError("from and to must have the same number of coordinates")
        if self.from_ == self.to:
            raise CaseError("from and to are the same point")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resistance:
    """A four-terminal resistance: V(first) - V(second) over the current from one to the other."""

    current: tuple[str, str]  # contacts where the current enters and leaves; all others float
    voltage: tuple[str, str]

    def __post_init__(self) -> None:
        for key in ("current", "voltage"):
            first, second = getattr(self, key)
            if first == second:
                raise CaseError((key, f'found "{first}" twice; must be two contacts'))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What is written."""

    directory: Path | None = None  # relative to the working directory
    # None stands for the fields that the model provides.
    fields: tuple[Annotated[str, Before(_field_name)], ...] | None = None
    probes: dict[str, Probe] = field(default_factory=dict)
    resistances: dict[str, Resistance] = field(default_factory=dict)
    distributions: dict[str, Point] = field(default_factory=dict)


def _style(value: object, info: Info) -> Path:
    path = _existing(value, info, 'a style file of Matplotlib, "talk.mplstyle"')
    from meso.figures.style import read_style

    read_style(path)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How pictures look: a style file of Matplotlib over the house's own, and a second format."""

    style: Annotated[Path, Before(_style, informed=True)] | None = None  # absolute
    format: Literal["png", "svg", "pdf"] | None = None  # beside png, which is always there


KINDS = {"contact": Contact, "wall": Wall, "periodic": Periodic}


Boundary = Annotated[Contact | Wall | Periodic, OneOf(KINDS)]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A case file, each quantity in SI units."""

    title: str = ""
    geometry: Geometry
    mesh: Mesh = field(default_factory=Mesh)
    materials: Annotated[dict[str, Material], After(_nonempty)]
    regions: Annotated[dict[str, str], After(_nonempty)]
    boundaries: Annotated[dict[str, Boundary], After(_nonempty)]
    flow: Flow
    angular_momentum: Annotated[AngularMomentum, Before(_channels)] = field(
        default_factory=AngularMomentum
    )
    output: Output = field(default_factory=Output)
    figures: Figures = field(default_factory=Figures)

    @property
    def contacts(self) -> dict[str, Contact]:
        """The boundaries that are contacts."""
        return {n: b for n, b in self.boundaries.items() if isinstance(b, Contact)}

    @property
    def walls(self) -> dict[str, Wall]:
        """The boundaries that are walls."""
        return {n: b for n, b in self.boundaries.items() if isinstance(b, Wall)}

    @property
    def periodic(self) -> dict[str, Periodic]:
        """The boundaries that continue in another one."""
        return {n: b for n, b in self.boundaries.items() if isinstance(b, Periodic)}

    @property
    def region_materials(self) -> dict[str, Material]:
        """Material of each region."""
        return {region: self.materials[name] for region, name in self.regions.items()}

    @property
    def used_materials(self) -> dict[str, Material]:
        """The materials that a region is made of."""
        return {n: m for n, m in self.materials.items() if n in self.regions.values()}

    def couples(self, channel: str, *, shear: bool = False) -> bool:
        """Whether gradients of the current make a known density of "orbital" or "spin".

        With ``shear``: whether they do so in a flow without vorticity, too.
        """
        values = [getattr(m, f"{channel}_coupling") for m in self.used_materials.values()]
        known = all(value is not None for value in values)
        return known and (not shear or any(isinstance(value, tuple) for value in values))

    @property
    def carriers(self) -> str:
        """Carriers of all regions, "2d" or "3d"."""
        return next(iter(self.used_materials.values())).carriers
