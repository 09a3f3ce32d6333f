"""The parametric geometries: shape, names, fillets, and the refusal of bad parameters."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gmsh
import numpy as np
import pytest
from scipy.special import ellipe

FOLDER = Path(__file__).parents[1] / "geometries"
PI = math.pi


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One geometry with one set of parameters and what is known about it in closed form."""

    name: str
    parameters: dict[str, float]
    area: float
    lengths: dict[str, float]  # of every boundary group
    reentrant: int = 0  # sharp re-entrant corners
    relative: float = 1e-9  # how well the drawing follows the closed form: round-off

    def __str__(self) -> str:
        return "-".join(
            [self.name, *(f"{key}={value:g}" for key, value in self.parameters.items())]
        )


def ribbon(*, width: float, length: float) -> Shape:
    """The rectangle."""
    return Shape(
        name="ribbon",
        parameters={"width": width, "length": length},
        area=width * length,
        lengths={"source": width, "drain": width, "edges": 2 * length},
    )


def ribbon_period(*, width: float, length: float) -> Shape:
    """The same rectangle, one period of a ribbon."""
    return replace(ribbon(width=width, length=length), name="ribbon_period")


def constriction(
    *, width: float, length: float, opening: float, neck: float, fillet: float
) -> Shape:
    """Leads, neck, and what four square corners of side `fillet` keep outside the arcs."""
    thick = neck + 2 * fillet
    wall = length - thick + (width - opening - 2 * fillet) + neck + PI * fillet
    return Shape(
        name="constriction",
        parameters={
            "width": width,
            "length": length,
            "opening": opening,
            "neck": neck,
            "fillet": fillet,
        },
        area=width * (length - thick) + opening * thick + (4 - PI) * fillet**2,
        lengths={"source": width, "drain": width, "edges": 2 * wall},
        reentrant=0 if fillet else 4,
    )


def annulus(*, inner_radius: float, outer_radius: float, angle: float) -> Shape:
    """The sector of a ring."""
    phi = math.radians(angle)
    gap = outer_radius - inner_radius
    return Shape(
        name="annulus",
        parameters={"inner_radius": inner_radius, "outer_radius": outer_radius, "angle": angle},
        area=phi / 2 * (outer_radius**2 - inner_radius**2),
        lengths={
            "source": gap,
            "drain": gap,
            "inner": phi * inner_radius,
            "outer": phi * outer_radius,
        },
    )


def corbino(*, inner_radius: float, outer_radius: float) -> Shape:
    """The full ring."""
    return Shape(
        name="corbino",
        parameters={"inner_radius": inner_radius, "outer_radius": outer_radius},
        area=PI * (outer_radius**2 - inner_radius**2),
        lengths={"source": 2 * PI * inner_radius, "drain": 2 * PI * outer_radius},
    )


def disc(*, radius: float, half_width: float) -> Shape:
    """The full disc, its rim less four contacts."""
    contact = 2 * half_width * radius
    return Shape(
        name="disc",
        parameters={"radius": radius, "half_width": half_width},
        area=PI * radius**2,
        lengths={
            **{f"contact{k}": contact for k in (1, 2, 3, 4)},
            "rim": 2 * PI * radius - 4 * contact,
        },
    )


def chamber(
    *, width: float, length: float, chamber_radius: float, opening: float, fillet: float
) -> Shape:
    """The channel and four half chambers: each a trapezium, less a fillet, plus a disc sector.

    The trapezium's corners are the foot of the axis, the foot of the fillet, the fillet's
    centre and the disc's centre. Its upper angles are pi/2 + beta at the fillet's centre
    and pi/2 - beta at the disc's centre.
    """
    across = opening / 2 + fillet
    rise = math.sqrt((chamber_radius + fillet) ** 2 - across**2)
    beta = math.atan2(rise, across)
    half = (
        across * (rise + 2 * fillet) / 2
        - fillet**2 * (PI / 2 + beta) / 2
        + chamber_radius**2 * (PI / 2 + beta) / 2
    )
    return Shape(
        name="chamber",
        parameters={
            "width": width,
            "length": length,
            "chamber_radius": chamber_radius,
            "opening": opening,
            "fillet": fillet,
        },
        area=width * length + 4 * half,
        lengths={
            "source": width,
            "drain": width,
            "edges": 2 * (length - 2 * across),
            "chambers": 4 * (PI / 2 + beta) * (chamber_radius + fillet),
        },
        reentrant=0 if fillet else 4,
    )


def hall_bar(
    *,
    width: float,
    length: float,
    probe_width: float,
    probe_length: float,
    spacing: float,
    fillet: float,
) -> Shape:
    """Strip, four probes, eight corners."""
    feet = probe_width + 2 * fillet
    sides = 2 * (probe_length - fillet) + PI * fillet
    return Shape(
        name="hall_bar",
        parameters={
            "width": width,
            "length": length,
            "probe_width": probe_width,
            "probe_length": probe_length,
            "spacing": spacing,
            "fillet": fillet,
        },
        area=width * length + 4 * probe_width * probe_length + (8 - 2 * PI) * fillet**2,
        lengths={
            "source": width,
            "drain": width,
            **{f"probe{k}": probe_width for k in (1, 2, 3, 4)},
            "edges": 2 * (length - 2 * feet) + 4 * sides,
        },
        reentrant=0 if fillet else 8,
    )


def cross(*, width: float, length: float, fillet: float) -> Shape:
    """Two bars less their common square, four corners."""
    arm = (length - width) / 2 - fillet
    return Shape(
        name="cross",
        parameters={"width": width, "length": length, "fillet": fillet},
        area=2 * width * length - width**2 + (4 - PI) * fillet**2,
        lengths={
            **{name: width for name in ("left", "right", "top", "bottom")},
            "edges": 8 * arm + 2 * PI * fillet,
        },
        reentrant=0 if fillet else 4,
    )


def slit(*, width: float, length: float, opening: float, thickness: float) -> Shape:
    """A strip less a screen."""
    return Shape(
        name="slit",
        parameters={
            "width": width,
            "length": length,
            "opening": opening,
            "thickness": thickness,
        },
        area=width * (length - thickness) + opening * thickness,
        lengths={
            "source": width,
            "drain": width,
            "screen": 2 * (width - opening) + 2 * thickness,
            "sides": 2 * (length - thickness),
        },
        reentrant=4,
    )


def vicinity(
    *,
    width: float,
    length: float,
    radius: float,
    distance1: float,
    distance2: float,
    distance3: float,
) -> Shape:
    """A strip less five half discs."""
    return Shape(
        name="vicinity",
        parameters={
            "width": width,
            "length": length,
            "radius": radius,
            "distance1": distance1,
            "distance2": distance2,
            "distance3": distance3,
        },
        area=width * length - 2.5 * PI * radius**2,
        lengths={
            **{name: PI * radius for name in ("source", "drain", "probe1", "probe2", "probe3")},
            "far": width,
            "edges": 2 * length + width - 10 * radius,
        },
    )


def antidot(*, width: float, height: float, radius: float) -> Shape:
    """The rectangle without the disc."""
    return Shape(
        name="antidot",
        parameters={"width": width, "height": height, "radius": radius},
        area=width * height - PI * radius**2,
        lengths={
            **dict.fromkeys(("left", "right"), height),
            **dict.fromkeys(("bottom", "top"), width),
            "edge": 2 * PI * radius,
        },
    )


def wavy_channel(*, width: float, period: float, amplitude: float, phase: float) -> Shape:
    """Two waves of a sine, each as long as a complete elliptic integral says."""
    slope = 2 * PI * amplitude / period
    root = math.sqrt(1 + slope**2)
    wave = 2 * period / PI * root * float(ellipe(slope**2 / root**2))
    return Shape(
        name="wavy_channel",
        parameters={"width": width, "period": period, "amplitude": amplitude, "phase": phase},
        area=width * period,
        lengths={"left": width, "right": width, "edges": 2 * wave},
        # Splines through 32 points of a period are waves to 1e-6.
        relative=2e-6 if amplitude else 1e-9,
    )


def tee(
    *, width: float, length: float, stem_width: float, stem_length: float, fillet: float
) -> Shape:
    """Bar, stem, and what two square corners of side `fillet` keep outside the arcs."""
    bar = length + (length - stem_width - 2 * fillet)
    return Shape(
        name="tee",
        parameters={
            "width": width,
            "length": length,
            "stem_width": stem_width,
            "stem_length": stem_length,
            "fillet": fillet,
        },
        area=width * length + stem_width * stem_length + (2 - PI / 2) * fillet**2,
        lengths={
            "left": width,
            "right": width,
            "injector": stem_width,
            "edges": bar + 2 * (stem_length - fillet) + PI * fillet,
        },
        reentrant=0 if fillet else 2,
    )


# The first of each name has the defaults of its file.
SHAPES = [
    ribbon(width=100, length=400),
    ribbon(width=3, length=0.5),
    constriction(width=100, length=400, opening=30, neck=20, fillet=10),
    constriction(width=100, length=300, opening=20, neck=0, fillet=25),
    constriction(width=100, length=300, opening=20, neck=15, fillet=0),
    annulus(inner_radius=100, outer_radius=200, angle=90),
    annulus(inner_radius=100, outer_radius=130, angle=20),
    annulus(inner_radius=50, outer_radius=200, angle=180),
    annulus(inner_radius=100, outer_radius=200, angle=350),
    corbino(inner_radius=50, outer_radius=200),
    corbino(inner_radius=190, outer_radius=200),
    disc(radius=300, half_width=0.2),
    disc(radius=20, half_width=0.7),
    chamber(width=100, length=600, chamber_radius=100, opening=80, fillet=10),
    chamber(width=60, length=500, chamber_radius=120, opening=20, fillet=40),
    chamber(width=60, length=500, chamber_radius=80, opening=158, fillet=5),
    chamber(width=60, length=500, chamber_radius=80, opening=70, fillet=0),
    hall_bar(width=100, length=600, probe_width=40, probe_length=80, spacing=240, fillet=10),
    hall_bar(width=50, length=300, probe_width=10, probe_length=30, spacing=100, fillet=0),
    cross(width=100, length=400, fillet=20),
    cross(width=30, length=400, fillet=150),
    cross(width=100, length=400, fillet=0),
    antidot(width=200, height=200, radius=50),
    antidot(width=300, height=100, radius=45),
    wavy_channel(width=100, period=300, amplitude=20, phase=180),
    wavy_channel(width=50, period=200, amplitude=40, phase=0),
    wavy_channel(width=50, period=200, amplitude=0, phase=180),
    ribbon_period(width=100, length=10),
    ribbon_period(width=40, length=7),
    slit(width=1000, length=1000, opening=100, thickness=20),
    slit(width=100, length=30, opening=60, thickness=20),
    vicinity(width=200, length=800, radius=10, distance1=50, distance2=100, distance3=200),
    vicinity(width=100, length=250, radius=10, distance1=25, distance2=55, distance3=80),
    tee(width=20, length=160, stem_width=20, stem_length=20, fillet=4),
    tee(width=20, length=60, stem_width=10, stem_length=30, fillet=0),
]
NAMES = sorted({shape.name for shape in SHAPES})

# Middle of every straight contact of the default drawings.
PLACES = {
    "ribbon": {"source": (0, 0), "drain": (400, 0)},
    "ribbon_period": {"source": (0, 0), "drain": (10, 0)},
    "constriction": {"source": (0, 0), "drain": (400, 0)},
    "annulus": {"source": (150, 0), "drain": (0, 150)},
    "chamber": {"source": (0, 0), "drain": (600, 0)},
    "hall_bar": {
        "source": (0, 0),
        "drain": (600, 0),
        "probe1": (180, 130),
        "probe2": (420, 130),
        "probe3": (180, -130),
        "probe4": (420, -130),
    },
    "antidot": {"left": (0, 100), "right": (200, 100), "bottom": (100, 0), "top": (100, 200)},
    "wavy_channel": {"left": (0, 0), "right": (300, 0)},
    "slit": {"source": (0, 0), "drain": (1000, 0)},
    "vicinity": {"far": (400, 0)},
    "cross": {"left": (-200, 0), "right": (200, 0), "top": (0, 200), "bottom": (0, -200)},
}

# name, parameters, what the message must contain: the parameter and its permitted range
REFUSED = [
    ("ribbon_period", {"width": 0}, "width = 0 is not permitted: width > 0"),
    ("ribbon_period", {"length": 0}, "length = 0 is not permitted: length > 0"),
    ("ribbon_period", {"cells": 2}, "cells = 2 is not permitted: cells > 2"),
    ("ribbon", {"width": 0}, "width = 0 is not permitted: width > 0"),
    ("ribbon", {"length": -1}, "length = -1 is not permitted: length > 0"),
    ("constriction", {"width": -5}, "width = -5 is not permitted"),
    ("constriction", {"opening": 100}, "opening = 100 is not permitted: 0 < opening < width = 100"),
    ("constriction", {"opening": 0}, "opening = 0 is not permitted"),
    ("constriction", {"neck": -1}, "neck = -1 is not permitted: neck >= 0"),
    ("constriction", {"neck": 0, "fillet": 0}, "neck = 0 is not permitted: neck > 0"),
    ("constriction", {"fillet": 35}, "fillet = 35 is not permitted: 0 <= fillet < .* = 35"),
    ("constriction", {"fillet": -1}, "fillet = -1 is not permitted"),
    ("constriction", {"length": 40}, "length = 40 is not permitted: length > .* = 40"),
    ("annulus", {"inner_radius": 0}, "inner_radius = 0 is not permitted"),
    ("annulus", {"outer_radius": 100}, "outer_radius = 100 is not permitted: .* = 100"),
    ("annulus", {"angle": 0}, "angle = 0 is not permitted: 0 < angle < 360"),
    ("annulus", {"angle": 360}, "angle = 360 is not permitted: 0 < angle < 360"),
    ("corbino", {"inner_radius": 0}, "inner_radius = 0 is not permitted"),
    ("corbino", {"outer_radius": 50}, "outer_radius = 50 is not permitted: .* = 50"),
    ("chamber", {"width": 0}, "width = 0 is not permitted"),
    ("chamber", {"chamber_radius": 0}, "chamber_radius = 0 is not permitted"),
    ("chamber", {"opening": 200}, "opening = 200 is not permitted: 0 < opening < .* = 200"),
    ("chamber", {"length": 80}, "length = 80 is not permitted: length > .* = 100"),
    ("chamber", {"fillet": 260}, "fillet = 260 is not permitted: 0 <= fillet < .* = 260"),
    ("chamber", {"fillet": -1}, "fillet = -1 is not permitted"),
    ("hall_bar", {"width": 0}, "width = 0 is not permitted"),
    ("hall_bar", {"probe_width": 0}, "probe_width = 0 is not permitted"),
    ("hall_bar", {"probe_length": 0}, "probe_length = 0 is not permitted"),
    ("hall_bar", {"fillet": 80}, "fillet = 80 is not permitted: 0 <= fillet < .* = 80"),
    ("hall_bar", {"spacing": 60}, "spacing = 60 is not permitted: spacing > .* = 60"),
    ("hall_bar", {"length": 300}, "length = 300 is not permitted: length > .* = 300"),
    ("cross", {"width": 0}, "width = 0 is not permitted"),
    ("cross", {"length": 100}, "length = 100 is not permitted: length > .* = 140"),
    ("cross", {"fillet": 150}, "fillet = 150 is not permitted: 0 <= fillet < .* = 150"),
    ("antidot", {"width": 0}, "width = 0 is not permitted: width > 0"),
    ("antidot", {"height": -1}, "height = -1 is not permitted: height > 0"),
    ("antidot", {"radius": 0}, "radius = 0 is not permitted"),
    ("antidot", {"radius": 100}, "radius = 100 is not permitted: 0 < radius < .* = 100"),
    ("wavy_channel", {"width": 0}, "width = 0 is not permitted: width > 0"),
    ("wavy_channel", {"period": 0}, "period = 0 is not permitted: period > 0"),
    ("wavy_channel", {"amplitude": -1}, "amplitude = -1 is not permitted: amplitude >= 0"),
    ("wavy_channel", {"amplitude": 50}, "amplitude = 50 is not permitted: .* < width = 100"),
    ("film", {"length": 0}, "length = 0 is not permitted: length > 0"),
    ("film", {"width": 0}, "width = 0 is not permitted: width > 0"),
    ("film", {"thickness": -1}, "thickness = -1 is not permitted: thickness > 0"),
    ("film", {"layers": 0}, "layers = 0 is not permitted: layers >= 1"),
    ("film", {"grading": 0.5}, "grading = 0.5 is not permitted: grading >= 1"),
    ("film", {"size": 0}, "size = 0 is not permitted: size > 0"),
    ("wire", {"length": 0}, "length = 0 is not permitted: length > 0"),
    ("wire", {"radius": 0}, "radius = 0 is not permitted: radius > 0"),
    ("step", {"length": 0}, "length = 0 is not permitted: length > 0"),
    ("step", {"width": 0}, "width = 0 is not permitted: width > 0"),
    ("step", {"thickness": 0}, "thickness = 0 is not permitted: thickness > 0"),
    ("step", {"width2": 61}, "width2 = 61 is not permitted: 0 < width2 <= width = 60"),
    ("step", {"thickness2": 0}, "thickness2 = 0 is not permitted: .* <= thickness = 40"),
    ("step", {"thickness2": 40}, "thickness2 = 40 is not permitted: there is no step"),
    ("slit", {"width": 0}, "width = 0 is not permitted: width > 0"),
    ("slit", {"opening": 1000}, "opening = 1000 is not permitted: 0 < opening < width = 1000"),
    ("slit", {"thickness": 0}, "thickness = 0 is not permitted: thickness > 0"),
    ("slit", {"length": 20}, "length = 20 is not permitted: length > thickness = 20"),
    ("disc", {"radius": 0}, "radius = 0 is not permitted: radius > 0"),
    ("disc", {"half_width": 0}, "half_width = 0 is not permitted: 0 < half_width < Pi/4"),
    ("disc", {"half_width": 0.8}, "half_width = 0.8 is not permitted"),
    ("vicinity", {"radius": 0}, "radius = 0 is not permitted: radius > 0"),
    ("vicinity", {"width": 20}, "width = 20 is not permitted: width > 2 radius = 20"),
    ("vicinity", {"distance1": 20}, "distance1 = 20 is not permitted: .* = 20"),
    ("vicinity", {"distance2": 70}, "distance2 = 70 is not permitted: .* = 70"),
    ("vicinity", {"distance3": 120}, "distance3 = 120 is not permitted: .* = 120"),
    ("vicinity", {"length": 420}, "length = 420 is not permitted: .* = 420"),
]


@pytest.fixture(autouse=True)
def session() -> Iterator[None]:
    """A fresh Gmsh for every test: parameters and a failed file outlive `gmsh.clear`."""
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    yield
    gmsh.finalize()


def load(name: str, parameters: dict[str, float]) -> None:
    """Read a geometry; `merge`, because `open` forgets what was set before it."""
    gmsh.model.add(name)
    for key, value in parameters.items():
        gmsh.parser.setNumber(key, [value])
    gmsh.merge(str(FOLDER / f"{name}.geo"))


def groups(dim: int) -> dict[str, list[int]]:
    """The entities of every physical group of a dimension, by name."""
    return {
        gmsh.model.getPhysicalName(dim, tag): list(gmsh.model.getEntitiesForPhysicalGroup(dim, tag))
        for _, tag in gmsh.model.getPhysicalGroups(dim)
    }


def turns() -> list[tuple[set[int], float]]:
    """At every boundary point: the two curves and the angle by which the boundary turns there.

    The surface lies on the left, so a re-entrant corner is a negative angle.
    """
    arriving, leaving = {}, {}
    surfaces = gmsh.model.getEntities(2)
    for _, signed in gmsh.model.getBoundary(surfaces, combined=False, oriented=True):
        curve = abs(signed)
        # Its two ends and the tangents there, along the way round the surface.
        ends = [bound[0] for bound in gmsh.model.getParametrizationBounds(1, curve)]
        ends = ends if signed > 0 else ends[::-1]
        points = np.reshape(gmsh.model.getValue(1, curve, ends), (2, 3))
        tangents = np.reshape(gmsh.model.getDerivative(1, curve, ends), (2, 3)) * np.sign(signed)
        start, end = (tuple(point) for point in np.round(points, 6) + 0.0)  # no -0.0
        assert start not in leaving and end not in arriving
        leaving[start] = (curve, tangents[0])
        arriving[end] = (curve, tangents[1])
    assert arriving.keys() == leaving.keys()
    result = []
    for point, (before, t) in arriving.items():
        after, u = leaving[point]
        angle = math.atan2(t[0] * u[1] - t[1] * u[0], t[0] * u[0] + t[1] * u[1])
        result.append(({before, after}, angle))
    return result


def integrated_area() -> float:
    """Area of the mesh: the integral of the Jacobian determinant over every triangle."""
    total = 0.0
    for kind in gmsh.model.mesh.getElementTypes(2):
        points, weights = gmsh.model.mesh.getIntegrationPoints(kind, "Gauss4")
        _, determinants, _ = gmsh.model.mesh.getJacobians(kind, points)
        total += float((determinants.reshape(-1, len(weights)) @ weights).sum())
    return total


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape(shape: Shape) -> None:
    """Names, lengths and area of the drawing itself; every curve has exactly one name."""
    load(shape.name, shape.parameters)
    assert list(groups(2)) == ["metal"]
    surfaces, curves = gmsh.model.getEntities(2), gmsh.model.getEntities(1)
    assert [tag for _, tag in surfaces] == groups(2)["metal"]

    boundary = [abs(tag) for _, tag in gmsh.model.getBoundary(surfaces, combined=False)]
    assert sorted(boundary) == sorted(tag for _, tag in curves)
    named = [tag for tags in groups(1).values() for tag in tags]
    assert sorted(named) == sorted(boundary)
    # No centre of an arc is left over: it would become a node outside the mesh.
    ends = {tag for _, tag in gmsh.model.getBoundary(curves, combined=False, oriented=False)}
    assert ends == {tag for _, tag in gmsh.model.getEntities(0)}

    # Closed forms and the CAD kernel's quadrature: round-off, and its own 1e-7 of points.
    lengths = {
        name: sum(gmsh.model.occ.getMass(1, tag) for tag in tags)
        for name, tags in groups(1).items()
    }
    assert lengths == pytest.approx(shape.lengths, rel=shape.relative)
    area = gmsh.model.occ.getMass(*surfaces[0])
    assert area == pytest.approx(shape.area, rel=shape.relative)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_corners(shape: Shape) -> None:
    """Arcs run smoothly into the walls, and the only re-entrant corners are the expected ones."""
    load(shape.name, shape.parameters)
    arcs = {
        tag for dim, tag in gmsh.model.getEntities(1) if gmsh.model.getType(dim, tag) == "Circle"
    }
    of_group = {tag: name for name, tags in groups(1).items() for tag in tags}
    walls = {"edges", "inner", "outer", "chambers", "screen", "sides"}
    reentrant = 0
    for curves, angle in turns():
        if abs(angle) < 1e-9:
            continue
        reentrant += angle < 0
        smooth_wanted = curves & arcs and {of_group[tag] for tag in curves} <= walls
        assert not smooth_wanted or shape.reentrant, f"kink of {math.degrees(angle):g} degrees"
    assert reentrant == shape.reentrant


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mesh(shape: Shape) -> None:
    """It meshes with Gmsh's defaults, and a refined curved mesh has the exact area."""
    load(shape.name, shape.parameters)
    gmsh.model.mesh.generate(2)
    (elements,) = gmsh.model.mesh.getElements(2)[1]
    # Flat cells are the point of one drawing.
    lowest = 0.01 if shape.name == "ribbon_period" else 0.3
    assert gmsh.model.mesh.getElementQualities(elements, "minSICN").min() > lowest
    used = set(gmsh.model.mesh.getElements(2)[2][0])
    assert used == set(gmsh.model.mesh.getNodes()[0])

    gmsh.model.mesh.clear()
    gmsh.option.setNumber("Mesh.MeshSizeFromCurvature", 24)
    gmsh.option.setNumber("Mesh.ElementOrder", 2)
    gmsh.model.mesh.generate(2)
    (elements,) = gmsh.model.mesh.getElements(2)[1]
    assert gmsh.model.mesh.getElementQualities(elements, "minDetJac").min() > 0
    # A parabola through three points of an arc of angle a misses a^5 R^2 / 960 of its area:
    # a part of 1e-5 of a ring in 24 pieces. Twice that for what the mesher rounds.
    assert integrated_area() == pytest.approx(shape.area, rel=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_defaults(name: str) -> None:
    """Without parameters the file draws its documented defaults."""
    load(name, {})
    default = next(shape for shape in SHAPES if shape.name == name)
    for key, value in default.parameters.items():
        assert list(gmsh.onelab.getNumber(f"Parameters/{key}")) == [value]
    assert gmsh.model.occ.getMass(*gmsh.model.getEntities(2)[0]) == pytest.approx(default.area)


@pytest.mark.parametrize("name", PLACES)
def test_places(name: str) -> None:
    """Each contact is where its name says."""
    load(name, {})
    for group, (x, y) in PLACES[name].items():
        (curve,) = groups(1)[group]
        assert gmsh.model.occ.getCenterOfMass(1, curve) == pytest.approx((x, y, 0), abs=1e-9)


@pytest.mark.parametrize(("name", "parameters", "message"), REFUSED)
def test_refused(name: str, parameters: dict[str, float], message: str) -> None:
    """A bad parameter raises with its name and range, and nothing is drawn."""
    with pytest.raises(Exception, match=rf"{name}\.geo: {message}"):
        load(name, parameters)
    assert gmsh.model.getEntities() == []


@dataclass(frozen=True, slots=True, kw_only=True)
class Solid:
    """A three-dimensional geometry with one set of parameters."""

    name: str
    parameters: dict[str, float]
    volume: float
    areas: dict[str, float]  # of every boundary group

    def __str__(self) -> str:
        return "-".join(
            [self.name, *(f"{key}={value:g}" for key, value in self.parameters.items())]
        )


def film(*, size: float = 25, layers: int = 6, grading: float = 1, **sides: float) -> Solid:
    """The box."""
    length, width, thickness = (sides[name] for name in ("length", "width", "thickness"))
    return Solid(
        name="film",
        parameters={**sides, "layers": layers, "grading": grading, "size": size},
        volume=length * width * thickness,
        areas={
            "source": width * thickness,
            "drain": width * thickness,
            "surfaces": 2 * length * width,
            "sides": 2 * length * thickness,
        },
    )


def wire(*, length: float, radius: float) -> Solid:
    """The cylinder."""
    section = PI * radius**2
    return Solid(
        name="wire",
        parameters={"length": length, "radius": radius},
        volume=section * length,
        areas={"source": section, "drain": section, "surface": 2 * PI * radius * length},
    )


def step(
    *, length: float, width: float, width2: float, thickness: float, thickness2: float
) -> Solid:
    """Two boxes on one plane."""
    first, second = width * thickness, width2 * thickness2
    return Solid(
        name="step",
        parameters={
            "length": length,
            "width": width,
            "width2": width2,
            "thickness": thickness,
            "thickness2": thickness2,
        },
        volume=length / 2 * (first + second),
        areas={
            "source": first,
            "drain": second,
            "surfaces": length * (width + width2),
            "sides": length * (thickness + thickness2),
            "step": first - second,
        },
    )


# The first of each name has the defaults of its file.
SOLIDS = [
    film(length=400, width=100, thickness=20),
    film(length=30, width=70, thickness=2, layers=11, grading=1.4, size=20),
    film(length=30, width=70, thickness=2, layers=1),
    wire(length=200, radius=20),
    wire(length=10, radius=50),
    step(length=200, width=60, width2=60, thickness=40, thickness2=20),
    step(length=200, width=60, width2=30, thickness=40, thickness2=40),
    step(length=50, width=60, width2=30, thickness=40, thickness2=35),
]


@pytest.mark.parametrize("solid", SOLIDS, ids=str)
def test_solid(solid: Solid) -> None:
    """Names, volume and areas of the mesh; every surface has exactly one name."""
    load(solid.name, solid.parameters)
    assert list(groups(3)) == ["metal"]
    named = [tag for tags in groups(2).values() for tag in tags]
    boundary = [abs(tag) for _, tag in gmsh.model.getBoundary(gmsh.model.getEntities(3))]
    assert sorted(named) == sorted(boundary)

    gmsh.option.setNumber("Mesh.MeshSizeFromCurvature", 32)
    gmsh.option.setNumber("Mesh.ElementOrder", 2)
    gmsh.model.mesh.generate(3)
    used = set(gmsh.model.mesh.getElements(3)[2][0])
    assert used == set(gmsh.model.mesh.getNodes()[0])
    # Straight ones to rounding; parabolas of a wire in 32 pieces, as above, to less than 1e-5.
    relative = 1e-5 if solid.name == "wire" else 1e-9
    areas = {name: sum(map(measure, tags)) for name, tags in groups(2).items()}
    assert areas == pytest.approx(solid.areas, rel=relative)
    assert measure(*groups(3)["metal"], dimension=3) == pytest.approx(solid.volume, rel=relative)


def measure(entity: int, dimension: int = 2) -> float:
    """Area or volume of the mesh of an entity."""
    (kind,) = gmsh.model.mesh.getElementTypes(dimension, entity)
    points, weights = gmsh.model.mesh.getIntegrationPoints(kind, "Gauss6")
    _, determinants, _ = gmsh.model.mesh.getJacobians(kind, points, entity)
    return float((determinants.reshape(-1, len(weights)) @ weights).sum())


@pytest.mark.parametrize("name", sorted({solid.name for solid in SOLIDS}))
def test_solid_defaults(name: str) -> None:
    """Without parameters the file draws its documented defaults, between its contacts."""
    load(name, {})
    default = next(solid for solid in SOLIDS if solid.name == name)
    for key, value in default.parameters.items():
        assert list(gmsh.onelab.getNumber(f"Parameters/{key}")) == [value]
    for group, x in (("source", 0), ("drain", default.parameters["length"])):
        (surface,) = groups(2)[group]
        box = gmsh.model.getBoundingBox(2, surface)
        # OpenCASCADE's boxes are its tolerance wider.
        assert (box[0], box[3]) == pytest.approx((x, x), abs=1e-6)


@pytest.mark.parametrize("name", sorted({*NAMES, *(solid.name for solid in SOLIDS)}))
def test_file(name: str) -> None:
    """Final newline (Gmsh drops a last statement without), and a line in the README."""
    text = (FOLDER / f"{name}.geo").read_text(encoding="utf-8")
    assert text.endswith("\n")
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    (line,) = [row for row in readme.splitlines() if row.startswith(f"| [`{name}.geo`]")]
    default = next(one for one in (*SHAPES, *SOLIDS) if one.name == name)
    for key, value in default.parameters.items():
        assert f"`{key}` {value:g}" in line
    for group in ["metal", *(default.lengths if isinstance(default, Shape) else default.areas)]:
        assert f"`{group}`" in line


def test_bilayer() -> None:
    """Two regions: areas, lengths, and an inner border that belongs to no boundary."""
    load("bilayer", {"lower": 20, "upper": 5, "length": 70})
    mass = gmsh.model.occ.getMass
    assert {n: sum(mass(2, t) for t in tags) for n, tags in groups(2).items()} == pytest.approx(
        {"lower": 1400, "upper": 350}
    )
    lengths = {n: sum(mass(1, t) for t in tags) for n, tags in groups(1).items()}
    assert lengths == pytest.approx({"source": 25, "drain": 25, "bottom": 70, "top": 70})
    named = {tag for tags in groups(1).values() for tag in tags}
    (inner,) = {tag for _, tag in gmsh.model.getEntities(1)} - named
    assert len(gmsh.model.getAdjacencies(1, inner)[0]) == 2
    assert (FOLDER / "bilayer.geo").read_text(encoding="utf-8").endswith("\n")


@pytest.mark.parametrize("key", ["lower", "upper", "length"])
def test_bilayer_refuses(key: str) -> None:
    """Lengths are positive."""
    with pytest.raises(Exception, match=f"{key} = 0 is not permitted: {key} > 0"):
        load("bilayer", {key: 0})


def test_every_file_is_tested() -> None:
    """No geometry without an entry above."""
    known = {"bilayer", *NAMES, *(solid.name for solid in SOLIDS)}
    assert {path.stem for path in FOLDER.glob("*.geo")} == known
