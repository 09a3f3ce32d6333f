"""Wave vectors with weights: integrals ∫ d^dk/(2π)^d over a Brillouin zone, a plane, a Fermi line.

Lattices take equally spaced points, reduced by symmetry. Models without a lattice take rays from
the origin, with Gauss points between the Fermi lines: exact to rounding for smooth dispersions,
also for a sharp Fermi step. Fermi lines themselves are meshes, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meso.bands.model import Model
from meso.bands.symmetry import find_group
from meso.errors import CaseError

Floats: TypeAlias = NDArray[np.floating]


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
    """

    points: Floats
    weights: Floats
    label: str
    group: Floats | None = None
    bands: NDArray[np.integer] | None = None
    coarse: Mesh | None = None

    @property
    def on_fermi_surface(self) -> bool:
        """Whether the points are those of a Fermi line."""
        return self.bands is not None


def is_bcc(lattice: Floats) -> float | None:
    """The cubic constant of a body-centred cubic lattice with axes along x, y, z, or None."""
    if len(lattice) != 3:
        return None
    a = 2 * np.abs(lattice).max()
    cells = np.array([[-1.0, 1, 1], [1, -1, 1], [1, 1, -1]]) * a / 2
    change = np.asarray(lattice) @ np.linalg.inv(cells)
    whole = np.abs(change - np.rint(change)).max() < 1e-6
    return float(a) if whole and abs(abs(np.linalg.det(change)) - 1) < 1e-6 else None


#: Where a grid is put that is to miss points and lines of symmetry; no simple fractions.
_GENERIC = np.array([0.3819660, 0.2360680, 0.1458980])


def uniform(
    model: Model, n: int, *, symmetry: str | Floats = "auto", generic: bool = False
) -> Mesh:
    """Equally spaced points of a Brillouin zone, off its centre, reduced by symmetry.

    Args:
        model: A model with a lattice.
        n: Points along each reciprocal vector; for a bcc lattice along 2π/a, so that 2n³ points
            fill the zone.
        symmetry: "auto" finds the point group of the model; "mirror" takes reflections x, y, z only
            (bcc; the caller knows that the model has them); "none"; or a group of matrices.
        generic: Use symmetry for averaging only, with a grid that misses all lines of symmetry:
            what is special there has no weight in an integral, but has on a symmetric grid.

    Raises:
        CaseError: The model has no lattice, or n or symmetry make no sense.
    """
    if model.lattice is None:
        raise CaseError(("lattice", f"{model.name} has none: no grid over a Brillouin zone"))
    if not (isinstance(n, int | np.integer) and n >= 2):
        raise CaseError(("kmesh", f"found {n!r}; must be an integer, at least 2"))
    constant = is_bcc(np.asarray(model.lattice))
    if isinstance(symmetry, str):
        if symmetry not in ("auto", "mirror", "none"):
            raise CaseError(("symmetry", f'found "{symmetry}"; known: auto, mirror, none'))
        if symmetry == "mirror":
            if constant is None:
                raise CaseError(("symmetry", '"mirror" is for bcc lattices along x, y, z'))
            group = np.array([np.diag(s) for s in _signs(3)])
        elif symmetry == "auto":
            group = find_group(model)
        else:
            group = np.eye(model.dimension)[None]
    else:
        group = np.asarray(symmetry, dtype=float)
    if generic:
        return _shifted(model, int(n), group)
    if constant is not None and len(group) in (8, 48) and n % 2 == 0 and _is_cubic(group):
        return _bcc(constant, int(n), group)
    return _fractional(model, int(n), group)


def _signs(d: int) -> Floats:
    return np.array(np.meshgrid(*[[1.0, -1.0]] * d, indexing="ij")).reshape(d, -1).T


def _is_cubic(group: Floats) -> bool:
    """Whether all reflections x, y, z are in a group of signed permutations."""
    mirrors = [np.diag(s) for s in _signs(3)]
    return all(np.abs(group - m).max(axis=(1, 2)).min() < 1e-6 for m in mirrors)


def _bcc(constant: float, n: int, group: Floats) -> Mesh:
    """K = (2π/a)(u, v, w), midpoints, u in [0, 1], v and w in [0, ½]: n³/4 points for 2n³."""
    odd = [np.arange(m) * 2 + 1 for m in (n, n // 2, n // 2)]
    c = np.array(np.meshgrid(*odd, indexing="ij")).reshape(3, -1).T
    weights = np.full(len(c), 8.0)
    if len(group) == 48:

        def folded(p: NDArray[np.integer]) -> NDArray[np.integer]:
            p = p.copy()
            for axis in (1, 2):
                over = p[:, axis] > n
                p[over, 0] = np.abs(p[over, 0] - 2 * n)
                p[over, axis] = 2 * n - p[over, axis]
            return (p[:, 0] * n + p[:, 1]) * n + p[:, 2]

        orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        names = np.min([folded(c[:, order]) for order in orders], axis=0)
        _, first, count = np.unique(names, return_index=True, return_counts=True)
        c, weights = c[first], 8.0 * count
    volume = 2 * (2 * pi / constant) ** 3
    return Mesh(
        points=pi / constant / n * c,
        weights=weights * volume / (2 * n**3) / (2 * pi) ** 3,
        label=f"{len(c)} points for 2·{n}³ of the bcc zone ({len(group)} operations)",
        group=group,
    )


def _fractional(model: Model, n: int, group: Floats) -> Mesh:
    lattice = np.asarray(model.lattice)
    d = len(lattice)
    reciprocal = 2 * pi * np.linalg.inv(lattice).T
    index = np.array(np.meshgrid(*[np.arange(n)] * d, indexing="ij")).reshape(d, -1).T
    # In fractional coordinates of the reciprocal lattice an operation is a matrix of integers.
    change = np.rint(reciprocal @ group.swapaxes(1, 2) @ np.linalg.inv(reciprocal)).astype(int)
    half = ((change.sum(axis=1) - 1) % 2 == 0).all(axis=1)
    names = None
    for matrix in change[half]:
        moved = (2 * index + 1) @ matrix
        moved = (moved - 1) // 2 % n
        name = np.ravel_multi_index(tuple(moved.T), (n,) * d)
        names = name if names is None else np.minimum(names, name)
    _, first, count = np.unique(names, return_index=True, return_counts=True)
    volume = abs(np.linalg.det(reciprocal))
    return Mesh(
        points=(index[first] + 0.5) / n @ reciprocal,
        weights=count * volume / n**d / (2 * pi) ** d,
        label=f"{len(first)} points for {n}{'²³'[d - 2]} of the zone ({len(group)} operations)",
        group=group,
    )


def generic_points(d: int) -> Floats:
    """The offset, in units of a step, of a grid that misses points and lines of symmetry."""
    return _GENERIC[:d]


def _shifted(model: Model, n: int, group: Floats) -> Mesh:
    lattice = np.asarray(model.lattice)
    d = len(lattice)
    reciprocal = 2 * pi * np.linalg.inv(lattice).T
    index = np.array(np.meshgrid(*[np.arange(n)] * d, indexing="ij")).reshape(d, -1).T
    volume = abs(np.linalg.det(reciprocal))
    return Mesh(
        points=(index + generic_points(d)) / n @ reciprocal,
        weights=np.full(len(index), volume / n**d / (2 * pi) ** d),
        label=f"{len(index)} general points of the zone"
        + (f", averaged over {len(group)} operations" if len(group) > 1 else ""),
        group=group,
    )


def with_coarse(mesh: Mesh, coarse: Mesh) -> Mesh:
    """A mesh together with the one that its error is estimated with."""
    return replace(mesh, coarse=coarse)


def with_opposites(mesh: Mesh) -> Mesh:
    """A mesh together with −k of each k, so that what is odd cancels."""
    return Mesh(
        points=np.concatenate([mesh.points, -mesh.points]),
        weights=np.tile(mesh.weights / 2, 2),
        label=f"{mesh.label}, and their opposites",
    )


def crossings(
    model: Model, energy: float, rays: int, *, reach: float | None = None
) -> list[tuple[int, Floats, Floats]]:
    """Where the bands of a 2D model cross an energy, along rays from the origin.

    Args:
        model: A model of the plane.
        energy: In eV.
        rays: Number of directions.
        reach: Largest |k| that is searched, 1/Å; None: as far as bands may go.

    Returns:
        For each Fermi line its band, the angles and the |k|: it has to be star-shaped about k = 0.

    Raises:
        CaseError: A line does not go round the origin.
    """
    angle = 2 * pi * (np.arange(rays) + 0.5) / rays
    unit = np.column_stack([np.cos(angle), np.sin(angle)])
    reach = _reach(model, energy) if reach is None else reach
    radius = reach * (np.arange(401) / 400) ** 2
    k = (radius[:, None, None] * unit).reshape(-1, 2)
    above = np.linalg.eigvalsh(model.hamiltonian(k)).reshape(len(radius), rays, -1) > energy
    lines = []
    for band in range(above.shape[-1]):
        change = above[1:, :, band] != above[:-1, :, band]
        number = change.sum(axis=0)
        if number.max() != number.min():
            text = f"band {band} crosses {energy:g} eV on some rays only: no line about k = 0"
            raise CaseError(("energy", text))
        for nth in range(number[0]):
            order = np.cumsum(change, axis=0)
            at = np.argmax((order == nth + 1) & change, axis=0)
            lines.append(
                (band, angle, _root(model, energy, band, unit, radius[at], radius[at + 1]))
            )
    return lines


def _reach(model: Model, energy: float) -> float:
    """|k| beyond which no band returns to the energy: the largest power of k rules there."""
    reach = 1e-3
    direction = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    while reach < 1e4:
        far = np.linalg.eigvalsh(model.hamiltonian(reach * direction)) - energy
        near = np.linalg.eigvalsh(model.hamiltonian(0 * direction[:1])) - energy
        if np.abs(far).min() > 4 * np.abs(near).max() + 1e-6:
            return 2 * reach
        reach *= 1.5
    raise CaseError(("energy", "the bands do not leave the energy at large k"))


def _root(
    model: Model, energy: float, band: int, unit: Floats, low: Floats, high: Floats
) -> Floats:
    """|k| on each ray, by bisection and Newton's method."""

    def value(r: Floats) -> Floats:
        return np.linalg.eigvalsh(model.hamiltonian(r[:, None] * unit))[:, band] - energy

    low, high = low.copy(), high.copy()
    rising = value(high) > 0
    for _ in range(20):
        middle = (low + high) / 2
        up = (value(middle) > 0) == rising
        high[up], low[~up] = middle[up], middle[~up]
    r = (low + high) / 2
    for _ in range(4):
        slope, _ = _slope(model, r[:, None] * unit, band)
        r = r - value(r) / np.einsum("ka,ka->k", slope, unit)
    return r


def _slope(model: Model, k: Floats, band: int) -> tuple[Floats, Floats]:
    """∂ε/∂k of a band, averaged over the states degenerate with it, and ε."""
    energies, states = np.linalg.eigh(model.hamiltonian(k))
    slope = np.einsum("kmn,kamp,kpn->kan", states.conj(), model.gradient(k), states).real
    same = np.abs(energies - energies[:, band, None]) < 1e-9
    return np.einsum("kan,kn->ka", slope, same) / same.sum(1)[:, None], energies[:, band]


def fermi_lines(model: Model, energy: float, rays: int = 64) -> Mesh:
    """The Fermi lines of a 2D model without lattice: weights are those of δ(ε − E).

    Raises:
        CaseError: No band crosses the energy.
    """
    points, weights, bands = [], [], []
    for band, angle, radius in crossings(model, energy, rays):
        unit = np.column_stack([np.cos(angle), np.sin(angle)])
        k = radius[:, None] * unit
        slope, _ = _slope(model, k, band)
        radial = np.abs(np.einsum("ka,ka->k", slope, unit))
        points.append(k)
        weights.append(2 * pi / rays * radius / radial / (2 * pi) ** 2)
        bands.append(np.full(rays, band))
    if not points:
        raise CaseError(("energy", f"no band of {model.name} crosses {energy:g} eV"))
    return Mesh(
        points=np.concatenate(points),
        weights=np.concatenate(weights),
        bands=np.concatenate(bands),
        label=f"{len(points)} Fermi lines, {rays} rays",
    )


def plane(model: Model, energy: float, rays: int = 64, radial: int = 48) -> Mesh:
    """All k of the plane, in rings between the Fermi lines.

    Args:
        model: A 2D model without lattice.
        energy: The Fermi energy in eV.
        rays: Directions.
        radial: Gauss points in each ring.
    """
    angle = 2 * pi * (np.arange(rays) + 0.5) / rays
    unit = np.column_stack([np.cos(angle), np.sin(angle)])
    rings = sorted((r for _, _, r in crossings(model, energy, rays)), key=lambda r: r.mean())
    # Kramers pairs cross together; only different lines are boundaries of rings.
    lines: list[Floats] = []
    for r in rings:
        if not lines or np.abs(r - lines[-1]).max() > 1e-9 * r.max():
            lines.append(r)
    if any((b <= a).any() for a, b in zip(lines, lines[1:], strict=False)):
        raise CaseError(("energy", "the Fermi lines touch"))
    x, w = np.polynomial.legendre.leggauss(radial)
    x, w = (x + 1) / 2, w / 2
    scale = lines[-1] if lines else np.full(rays, _scale(model))
    if not lines:
        lines = [scale]
    points, weights = [], []
    inner = np.zeros(rays)
    for outer in lines:
        r = inner + (outer - inner) * x[:, None]
        points.append(r)
        weights.append(w[:, None] * (outer - inner) * r)
        inner = outer
    # Beyond the last line r = r₁ / t², t from 1 to 0: algebraic tails become polynomials.
    r = inner / x[:, None] ** 2
    points.append(r)
    weights.append(w[:, None] * 2 * inner / x[:, None] ** 3 * r)
    r, w = np.concatenate(points), np.concatenate(weights)
    return Mesh(
        points=(r[..., None] * unit).reshape(-1, 2),
        weights=w.ravel() * 2 * pi / rays / (2 * pi) ** 2,
        label=f"{rays} rays with {len(r)} Gauss points",
    )


def _scale(model: Model) -> float:
    """A |k| where the bands of a model without Fermi line have begun to disperse."""
    gap = np.abs(np.diff(np.linalg.eigvalsh(model.hamiltonian(np.zeros((1, 2))))[0])).max()
    slope = np.abs(model.gradient(np.zeros((1, 2)))).max()
    return float(gap / slope) if slope > 0 and gap > 0 else 1.0
