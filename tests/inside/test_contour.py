"""Angular matrices of Fermi lines: circle, ellipse, hexagons; ribbons known to ten digits."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import thorough
from numpy.polynomial import legendre
from scipy.sparse import csc_matrix, kron
from scipy.sparse.linalg import spsolve
from test_fermi_line import bulk, flow, matter, strip  # noqa: F401 (strip: a fixture)

from meso.flow import Kinetic
from meso.flow.basis import Circle
from meso.flow.contour import GRID, Arriving, ContourBasis
from meso.materials.fermi_line import FermiLine
from meso.materials.material import Material
from meso.observables.accumulation import edge_moments
from meso.orbital import orbital_density, vorticity

ISOTROPIC = Material(carriers="2d", conductivity=1.0, mean_free_path=1.0)
NORMALS = np.array([[1.0, 0.0], [np.cos(0.4), np.sin(0.4)], [np.cos(2.5), np.sin(2.5)]])

#: Diffuse ribbons: warping, angle, path/width, harmonics, current, moment of half of the ribbon;
#: over that of the bulk. An independent solution of the same equations, to 1e-9.
RIBBONS = [
    (0.02, 0.0, 0.1, 2, 0.9525100687784462, 0.47470904370239286),
    (0.02, 0.0, 0.1, 8, 0.9543671012341824, 0.4873843001192729),
    (0.02, 0.0, 1.0, 4, 0.61003241080285, 0.2229046129619749),
    (0.02, 0.0, 1.0, 16, 0.6212360754403498, 0.24698179361985284),
]


def basis(harmonics: int, **line: object) -> ContourBasis:
    return ContourBasis(FermiLine(**line).contour(), harmonics)  # type: ignore[arg-type]


def test_circle():
    """A hexagon without warping has the matrices of a circle, also at walls and in a field."""
    for harmonics in (2, 8):
        one, two = basis(harmonics, kind="hexagon", warping=0.0), Circle(harmonics)
        assert one.unit == pytest.approx(two.unit, abs=1e-14)
        pairs = [
            (one.moments(ISOTROPIC, 0.3), two.moments(ISOTROPIC, 0.3)),
            (one.even_moments(ISOTROPIC), two.even_moments(ISOTROPIC)),
        ]
        for found, wanted in pairs:
            np.testing.assert_allclose(found.stress, wanted.stress, atol=1e-14)
            np.testing.assert_allclose(found.relaxation, wanted.relaxation, atol=1e-14)
            np.testing.assert_array_equal(found.flux, wanted.flux)
        for wall in ("wall", "even_wall"):
            found, wanted = (getattr(b, wall)(4.0, 0.25).at(NORMALS) for b in (one, two))
            np.testing.assert_allclose(found, wanted, atol=1e-11)
        (_, *found), (_, *wanted) = one.table(7), two.table(7)
        np.testing.assert_allclose(found[0], wanted[0], atol=1e-14)
        slopes = np.random.default_rng(1).normal(size=(2, harmonics))
        some = one.even_part(slopes, ISOTROPIC, 0.3)
        np.testing.assert_allclose(some[:harmonics], two.even_part(slopes, ISOTROPIC, 0.3))
        np.testing.assert_allclose(some[harmonics:], 0.0, atol=1e-14)


def test_ellipse_is_a_circle_after_a_map():
    """V -> A v: stress and walls are those of a circle with other gradients and normals."""
    one, two = basis(8, kind="ellipse", ratio=2.0, angle=15.0), Circle(8)
    # w = A (cos, sin) of the phase, which is counted from the angle.
    w = one.contour.velocities(GRID)
    a = 2 * np.array([w.real, w.imag]) @ np.array([np.cos(GRID), np.sin(GRID)]).T / len(GRID)
    scale = np.sqrt(one.contour.square)
    # Moments: J = A J' scale, the others alike.
    back = np.eye(8)
    back[:2, :2] = np.linalg.inv(a) * scale
    wanted = np.einsum("ik,jl,klab->ijab", a, a, two.moments(ISOTROPIC).stress)
    wanted = np.einsum("ca,ijcd,db->ijab", back, wanted, back)
    np.testing.assert_allclose(one.moments(ISOTROPIC).stress, wanted, atol=1e-12)
    mapped = NORMALS @ a
    size = np.linalg.norm(mapped, axis=1)
    wall = two.wall(4.0, 0.25).at(mapped / size[:, None]) * size[:, None, None]
    wanted = np.einsum("ca,kcd,db->kab", back, wall, back)
    np.testing.assert_allclose(one.wall(4.0, 0.25).at(NORMALS), wanted, atol=1e-11)


@pytest.mark.parametrize("warping", [0.05, 0.1])
def test_reflection(warping):
    """It conserves the momentum along the wall, and is its own inverse; v.n has up to six zeros."""
    contour = FermiLine(kind="hexagon", warping=warping, angle=10.0).contour()
    for angle, zeros in ((5 / 24, 6), (0.75, 2)):
        arriving = Arriving(contour, angle)
        assert 2 * len(arriving.begins) == zeros
        phases, weights = arriving.quadrature(24, split=True)
        assert weights.min() > 0
        image = arriving.mirrored(phases)
        along = (np.exp(-1j * angle) * contour.waves(np.array([phases, image]))).imag
        np.testing.assert_allclose(along[1], -along[0], atol=1e-9)
        twice = contour.waves(arriving.mirrored(image)) - contour.waves(phases)
        assert np.abs(twice).max() < 1e-5  # worst where v.n vanishes
        assert weights @ np.abs(twice) < 1e-14


@pytest.mark.parametrize(("warping", "angle", "path", "harmonics", "current", "moment"), RIBBONS)
def test_ribbon(warping, angle, path, harmonics, current, moment):
    found = ribbon(basis(harmonics, kind="hexagon", warping=warping, angle=angle), path)
    assert found == pytest.approx((current, moment), abs=1e-8)


def test_two_moments_of_a_hexagon():
    """An isotropic l, but a slip that depends on the orientation of the wall."""
    for angle, slip in ((0.0, 1.8791450789051491), (30.0, 1.44)):
        member = basis(2, kind="hexagon", warping=0.05, angle=angle)
        moments = member.moments(ISOTROPIC)
        assert moments.stress[1, 1, 0, 0] == pytest.approx(0.5011144679068116**2, abs=1e-10)
        wall = member.wall(1.0, 1.0).at(np.array([[0.0, 1.0]]))[0]
        assert wall[0, 0] / moments.stress[1, 1, 0, 0] == pytest.approx(slip, abs=5e-3)


def test_points():
    """A table of points, here of a hexagon, in any unit and sense."""
    phi = 2 * np.pi * np.arange(120) / 120
    f, slope = 1 + 0.05 * np.cos(6 * phi), -0.3 * np.sin(6 * phi)
    speed = np.hypot(1 / f, slope / f**2)
    rows = np.column_stack([3 * f * np.cos(phi), 3 * f * np.sin(phi), 7 * speed])
    wanted = FermiLine(kind="hexagon", warping=0.05).contour()
    for sign in (1, -1):
        found = FermiLine(points=tuple(map(tuple, rows[::-1] * [1, 1, sign]))).contour()
        assert found.turning == pytest.approx(sign * wanted.turning, rel=1e-4)
        assert found.square == pytest.approx(wanted.square, rel=1e-4)
        np.testing.assert_allclose(found.conductivity, wanted.conductivity, atol=1e-6)


def ribbon(member: ContourBasis, path: float) -> tuple[float, float]:
    """Current and moment of a diffuse ribbon of width one, both over those of the bulk.

    Legendre elements across it; J_y = 0 leaves neither potentials nor levels of walls.
    """
    cells, degree = 24, 10
    y = np.sin(np.pi * np.linspace(-1, 1, cells + 1) / 2) / 2
    nodes = -np.cos(np.pi * np.arange(degree + 1) / degree)
    points, weights = legendre.leggauss(degree + 2)
    inverse = np.linalg.inv(legendre.legvander(nodes, degree))
    value = legendre.legvander(points, degree) @ inverse
    slope = np.array([legendre.legval(points, legendre.legder(c)) for c in inverse.T]).T
    count = cells * degree + 1
    stiffness, mass, mean = np.zeros((count, count)), np.zeros((count, count)), np.zeros(count)
    for cell, half in enumerate(np.diff(y) / 2):
        own = slice(cell * degree, (cell + 1) * degree + 1)
        stiffness[own, own] += slope.T @ (weights[:, None] * slope) / half
        mass[own, own] += value.T @ (weights[:, None] * value) * half
        mean[own] += value.T @ weights * half
    keep = np.r_[0, 2 : member.count]
    on, moments = np.ix_(keep, keep), member.moments(ISOTROPIC)
    matrix = kron(csc_matrix(stiffness), path**2 * moments.stress[1, 1][on])
    matrix += kron(csc_matrix(mass), moments.relaxation[on])
    for end, sign in ((0, -1.0), (-1, 1.0)):
        here = np.zeros(count)
        here[end] = 1.0
        wall = member.wall(1.0, 1.0).at(np.array([[0.0, sign]]))[0]
        matrix += kron(csc_matrix(np.diag(here)), path * wall[on])
    load = np.zeros((count, len(keep)))
    load[:, 0] = mean
    u = spsolve(csc_matrix(matrix), load.ravel()).reshape(load.shape)[:, 0]
    k = member.contour.conductivity
    bulk = k[0, 0] - k[0, 1] ** 2 / k[1, 1]
    return float(mean @ u / bulk), float((u[count // 2] - u[0]) / bulk)


@pytest.mark.parametrize(
    ("line", "exact", "within"),
    [
        (FermiLine(kind="ellipse", ratio=2, angle=15), 0.34875722146265203, 1e-3),
        thorough(FermiLine(kind="hexagon", warping=0.02, angle=30), 0.3114291181669499, 1e-3),
        thorough(FermiLine(kind="hexagon", warping=0.02, angle=15), 0.2770627219860267, 0.05),
    ],
)
def test_edge_moments(strip, line, exact, within):  # noqa: F811
    """Walls that are mirror planes, and ellipses, are free of the error 1/N, 2 to 4 per cent."""
    material = matter(line, orbital_coupling=1e-20)
    found = flow(Kinetic, strip, material, harmonics=16)
    moments = edge_moments(found, orbital_density(found, vorticity(found)))
    unit = 1e-20 * 0.05 * 1e-3 * bulk(material)
    assert [abs(m.moment) / unit for m in moments] == pytest.approx([exact] * 2, rel=within)
