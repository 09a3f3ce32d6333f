"""Wave vectors with weights: integrals ∫ d^dk/(2π)^d over a Brillouin zone, a plane, a Fermi line.

Lattices take equally spaced points, reduced by symmetry. Models without a lattice take rays from
the origin, with Gauss points between the Fermi lines: exact to rounding for smooth dispersions,
also for a sharp Fermi step. Fermi lines themselves are meshes, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import permutations
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise

from meso.bands.geometry import Electrons
from meso.bands.model import BCC, Floats, Model
from meso.bands.symmetry import find_group
from meso.errors import CaseError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh:
    """Points and weights.

    Attributes:
        points: k in 1/Å, (K, d).
        weights: With the factor (2π)^−d, in 1/Å^d; on a Fermi line in 1/(eV Å^d), δ(ε − E_F).
        label: For reports.
        group: Operations that the result is to be averaged over, or None.
        bands: On a Fermi line, the band that crosses the energy at each point.
        coarse: The mesh that an error is estimated with, or None.
        parts: Which of 2^d interleaved grids each point is of, or None.
        step: (Volume of a cell)^(1/d) of a grid in 1/Å, or None.
    """

    points: Floats
    weights: Floats
    label: str
    group: Floats | None = None
    bands: NDArray[np.integer] | None = None
    coarse: Mesh | None = None
    parts: NDArray[np.integer] | None = None
    step: float | None = None

    @property
    def on_fermi_surface(self) -> bool:
        """Whether the points are those of a Fermi line."""
        return self.bands is not None


#: The offset, in units of a step, of a grid that misses points and lines of symmetry: no simple
#: fractions.
GENERIC = np.array([0.3819660, 0.2360680, 0.1458980])


def _bcc_constant(lattice: Floats) -> float:
    """The cubic constant of a body-centred cubic lattice with axes along x, y, z, or zero."""
    if len(lattice) == 3:
        a = 2 * np.abs(lattice).max()
        change = lattice @ np.linalg.inv(a * BCC)
        if np.abs(change - np.rint(change)).max() < 1e-6:
            return float(a) * (abs(abs(np.linalg.det(change)) - 1) < 1e-6)
    return 0.0


def uniform(
    model: Model,
    n: int,
    *,
    symmetry: str | Floats = "auto",
    generic: bool | Sequence[float] | Floats = False,
) -> Mesh:
    """Equally spaced points of a Brillouin zone, off its centre, reduced by symmetry.

    Args:
        model: A model with a lattice.
        n: Points along each reciprocal vector; for a bcc lattice along 2π/a, so that 2n³ points
            fill the zone.
        symmetry: "auto" finds the point group of the model; "mirror" takes reflections x, y, z only
            (bcc; the caller knows that the model has them); "none"; or a group of matrices.
        generic: Use symmetry for averaging only, with a grid that misses all lines of symmetry:
            what is special there has no weight in an integral, but has on a symmetric grid. Or the
            offset of that grid, in steps.

    Raises:
        CaseError: The model has no lattice, or n or symmetry make no sense.
    """
    if model.lattice is None:
        raise CaseError(("lattice", f"{model.name} has none: no grid over a Brillouin zone"))
    if not (isinstance(n, int | np.integer) and n >= 2):
        raise CaseError(("kmesh", f"found {n!r}; must be an integer, at least 2"))
    lattice, n = np.asarray(model.lattice), int(n)
    d, constant = len(lattice), _bcc_constant(lattice)
    mirrors = _grid(*[np.array([1.0, -1.0])] * 3)[:, :, None] * np.eye(3)
    if not isinstance(symmetry, str):
        group = np.asarray(symmetry, dtype=float)
    elif symmetry == "auto":
        group = find_group(model)
    elif symmetry == "none":
        group = np.eye(d)[None]
    elif symmetry != "mirror":
        raise CaseError(("symmetry", f'found "{symmetry}"; known: auto, mirror, none'))
    elif not constant:
        raise CaseError(("symmetry", '"mirror" is for bcc lattices along x, y, z'))
    else:
        group = mirrors
    total, steps, count = n**d, 2 * pi / n * np.linalg.inv(lattice).T, np.ones(1)
    whole = f"{n}{'²³'[d - 2]} of the zone"
    parts = None
    general = not isinstance(generic, bool) or generic
    if general:
        at = _grid(*[np.arange(n)] * d)
        parts = at % 2 @ 2 ** np.arange(d)
        at = at + (GENERIC[:d] if isinstance(generic, bool) else np.asarray(generic))
    elif constant and n % 2 == 0 and len(group) in (8, 48) and _contains(group, mirrors):
        odd, count = _bcc_wedge(n, len(group))
        at, count = odd / 2, 8 * count
        total, steps, whole = 2 * n**3, 2 * pi / constant / n * np.eye(3), f"2·{n}³ of the bcc zone"
    else:
        odd, count = _wedge(steps, n, group)
        at = odd / 2
    label = f"{len(at)} points for {whole} ({len(group)} operations)"
    if general:
        averaged = f", averaged over {len(group)} operations" if len(group) > 1 else ""
        label = f"{len(at)} general points of the zone{averaged}"
    volume = total * abs(np.linalg.det(lattice))
    return Mesh(
        points=at @ steps,
        weights=count / volume * np.ones(len(at)),
        label=label,
        group=group,
        parts=parts,
        step=2 * pi / volume ** (1 / d),
    )


def _grid(*axes: NDArray) -> NDArray:
    return np.array(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1).T


def _contains(group: Floats, part: Floats) -> bool:
    distance = np.abs(group[:, None] - part).max(axis=(2, 3))
    return bool((distance.min(axis=0) < 1e-6).all())


def _orbits(
    odd: NDArray, moves: Iterable[NDArray], number: Callable[[NDArray], NDArray]
) -> tuple[NDArray, NDArray]:
    """The first of the points that some operations map on each other, and how many there are.

    Points are odd integers, twice their coordinates on a grid of midpoints; `number` is the same
    for all that differ by a reciprocal vector.
    """
    names = reduce(np.minimum, (number(odd @ move) for move in moves))
    _, first, count = np.unique(names, return_index=True, return_counts=True)
    return odd[first], count


def _bcc_wedge(n: int, operations: int) -> tuple[NDArray, NDArray]:
    """K = (2π/a)(u, v, w), midpoints, u in [0, 1], v and w in [0, ½]: n³/4 points for 2n³."""
    odd = 2 * _grid(*(np.arange(m) for m in (n, n // 2, n // 2))) + 1

    def number(p: NDArray) -> NDArray:
        p = p.copy()
        for axis in (1, 2):
            over = p[:, axis] > n
            p[over, 0] = np.abs(p[over, 0] - 2 * n)
            p[over, axis] = 2 * n - p[over, axis]
        return (p[:, 0] * n + p[:, 1]) * n + p[:, 2]

    if operations == 8:
        return odd, np.ones(len(odd))
    return _orbits(odd, (np.eye(3, dtype=int)[:, o] for o in permutations(range(3))), number)


def cells(model: Model, group: Floats, n: int) -> tuple[NDArray, NDArray, Floats]:
    """Cells that fill a Brillouin zone, one of each set that symmetry maps on each other.

    Only operations that map cells on cells count: all of a cubic lattice, which has cubes as cells;
    fewer where cells are parallelepipeds.

    Args:
        model: A model with a lattice.
        group: Its operations.
        n: Cells along each reciprocal vector; along 2π/a of a bcc lattice.

    Returns:
        The lowest corner of each in cells, the size of each set, and the edges as rows in 1/Å.
    """
    lattice = np.asarray(model.lattice)
    d, constant = len(lattice), _bcc_constant(lattice)
    steps = 2 * pi / n * (np.eye(3) / constant if constant else np.linalg.inv(lattice).T)
    change = steps @ group.swapaxes(1, 2) @ np.linalg.inv(steps)
    signed = (np.abs(np.abs(change).sum(axis=1) - 1) < 1e-9).all(axis=1)
    signed &= (np.abs(change - np.rint(change)) < 1e-9).all(axis=(1, 2))
    shape = (2 * n, n, n) if constant else (n,) * d

    def number(p: NDArray) -> NDArray:
        cell = (p - 1) // 2
        if constant:  # (1, 1, 0) and (1, 0, 1) times 2π/a are reciprocal vectors
            cell[:, 0] += n * (cell[:, 1:] // n).sum(axis=1)
        return np.ravel_multi_index(tuple((cell % shape).T), shape)

    odd = 2 * _grid(*map(np.arange, shape)) + 1
    first, count = _orbits(odd, np.rint(change[signed]).astype(int), number)
    return (first - 1) // 2, count, steps


def _wedge(steps: Floats, n: int, group: Floats) -> tuple[NDArray, NDArray]:
    # In fractional coordinates of the reciprocal lattice an operation is a matrix of integers.
    change = np.rint(steps @ group.swapaxes(1, 2) @ np.linalg.inv(steps)).astype(int)
    half = ((change.sum(axis=1) - 1) % 2 == 0).all(axis=1)
    shape = (n,) * len(steps)

    def number(p: NDArray) -> NDArray:
        return np.ravel_multi_index(tuple(((p - 1) // 2 % n).T), shape)

    return _orbits(2 * _grid(*map(np.arange, shape)) + 1, change[half], number)


def _rays(number: int) -> Floats:
    angle = 2 * pi * (np.arange(number) + 0.5) / number
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _crossings(model: Model, energy: float, rays: int) -> list[tuple[int, Floats]]:
    """Band and |k| along rays from the origin of each Fermi line, star-shaped about k = 0.

    Raises:
        CaseError: A line does not go round the origin.
    """
    unit = _rays(rays)
    radius = _reach(model, energy) * (np.arange(401) / 400) ** 2
    k = (radius[:, None, None] * unit).reshape(-1, 2)
    above = np.linalg.eigvalsh(model.hamiltonian(k)).reshape(len(radius), rays, -1) > energy
    lines: list[tuple[int, Floats]] = []
    for band in range(above.shape[-1]):
        change = above[1:, :, band] != above[:-1, :, band]
        number = change.sum(axis=0)
        if number.max() != number.min():
            text = f"band {band} crosses {energy:g} eV on some rays only: no line about k = 0"
            raise CaseError(("energy", text))
        order = np.cumsum(change, axis=0)

        def level(r: Floats, x: Floats, y: Floats, band: int = band) -> Floats:
            k = r[:, None] * np.column_stack([x, y])
            return np.linalg.eigvalsh(model.hamiltonian(k))[:, band] - energy

        for nth in range(1, number[0] + 1):
            at = np.argmax((order == nth) & change, axis=0)
            bracket = (radius[at], radius[at + 1])
            lines.append((band, elementwise.find_root(level, bracket, args=tuple(unit.T)).x))
    return lines


def _reach(model: Model, energy: float) -> float:
    """|k| beyond which no band returns to the energy: the largest power of k rules there."""
    reach = 1e-3
    direction = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    near = np.abs(np.linalg.eigvalsh(model.hamiltonian(np.zeros((1, 2)))) - energy).max()
    while reach < 1e4:
        far = np.linalg.eigvalsh(model.hamiltonian(reach * direction)) - energy
        if np.abs(far).min() > 4 * near + 1e-6:
            return 2 * reach
        reach *= 1.5
    raise CaseError(("energy", "the bands do not leave the energy at large k"))


def fermi_lines(model: Model, energy: float, rays: int = 64) -> Mesh:
    """The Fermi lines of a 2D model without lattice: weights are those of δ(ε − E).

    Args:
        model: The model.
        energy: E in eV.
        rays: Points of each line.

    Raises:
        CaseError: No band crosses the energy.
    """
    unit = _rays(rays)
    lines = _crossings(model, energy, rays)
    if not lines:
        raise CaseError(("energy", f"no band of {model.name} crosses {energy:g} eV"))
    points, weights = [], []
    for band, radius in lines:
        k = radius[:, None] * unit
        velocity = Electrons(model).bands(k).velocity[:, :2, band]
        radial = np.abs((velocity * unit).sum(axis=1))
        points.append(k)
        weights.append(radius / radial / (2 * pi * rays))
    return Mesh(
        points=np.concatenate(points),
        weights=np.concatenate(weights),
        bands=np.repeat([band for band, _ in lines], rays),
        label=f"{len(lines)} Fermi lines, {rays} rays",
    )


def plane(
    model: Model, energy: float, rays: int = 64, radial: int = 48, *, principal: bool = False
) -> Mesh:
    """All k of the plane, in rings between the Fermi lines.

    Args:
        model: A 2D model without lattice.
        energy: The Fermi energy in eV.
        rays: Directions.
        radial: Gauss points in each ring.
        principal: Put the Fermi lines in the middle of rings with an even number of points, which
            integrate a pole there as a principal value.

    Raises:
        CaseError: A Fermi line does not go round the origin, or two of them touch.
    """
    rings = sorted((r for _, r in _crossings(model, energy, rays)), key=lambda r: r.mean())
    # Kramers pairs cross together; only different lines are boundaries of rings.
    lines: list[Floats] = [np.zeros(rays)]
    for r in rings or [np.full(rays, _scale(model))]:
        if np.abs(r - lines[-1]).max() > 1e-9 * r.max():
            lines.append(r)
    if any((b <= a).any() for a, b in zip(lines[1:], lines[2:], strict=False)):
        raise CaseError(("energy", "the Fermi lines touch"))
    if principal:
        lines = _about(lines)
        radial += radial % 2
    x, w = np.polynomial.legendre.leggauss(radial)
    x, w = (x[:, None] + 1) / 2, w[:, None] / 2
    points, weights = [], []
    for inner, outer in zip(lines, lines[1:], strict=False):
        points.append(inner + (outer - inner) * x)
        weights.append(w * (outer - inner))
    # Beyond the last line r = r₁ / t², t from 1 to 0: algebraic tails become polynomials.
    points.append(lines[-1] / x**2)
    weights.append(w * 2 * lines[-1] / x**3)
    r = np.concatenate(points)
    return Mesh(
        points=(r[..., None] * _rays(rays)).reshape(-1, 2),
        weights=(np.concatenate(weights) * r).ravel() / (2 * pi * rays),
        label=f"{rays} rays with {len(r)} Gauss points",
    )


def _about(lines: list[Floats]) -> list[Floats]:
    """Borders of rings that have the lines, but for the first, in their middle."""
    borders = [lines[0]]
    for n, line in enumerate(lines[1:], 1):
        gaps = [line - lines[n - 1], *(other - line for other in lines[n + 1 : n + 2])]
        half = np.min(gaps, axis=0) / 2
        borders += [line - half, line + half]
    return borders


def _scale(model: Model) -> float:
    """A |k| where the bands of a model without Fermi line have begun to disperse."""
    gap = np.abs(np.diff(np.linalg.eigvalsh(model.hamiltonian(np.zeros((1, 2))))[0])).max()
    slope = np.abs(model.gradient(np.zeros((1, 2)))).max()
    return float(gap / slope) if slope > 0 and gap > 0 else 1.0
