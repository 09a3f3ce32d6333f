"""Has the diffusion problem one solution that depends on the data? Decided before solving.

*Accepted* when a positive weight M makes sym(M D) > 0 (of the 3n x 3n form of D), sym(M T) >= 0 and
sym(M V) >= 0: M = chi^-1, or, where the susceptibility is not known, any weight of the channels,
because the units of spin against orbital angular momentum must not decide.

*Refused* when a direction m has an eigenvalue of m_i D_ik m_k with real part <= 0 (no ellipticity),
when T or a wall creates angular momentum, and when T and all walls leave a common constant free.

*In between* the equation is elliptic, but a free wall may not be: in the half space below it,
u = a exp(i s t.x - s p y) solves the equation for n values of p with positive real part, and
Z = [(p D_mm - i D_mt) a][a]^-1 is the flux into the wall over the density. Its Hermitian part must
be positive for the energy of a wave along the wall to be: otherwise the problem on a mesh of
size h has modes that grow like -1/h^2, and it is refused. Where it is positive one is warned. For
the isotropic law (D_0, A, B) this is D_0 + B > 0 and (2 D_0 - B)(D_0 + B) + A(3 D_0 - B) > 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eig

from meso.angular_momentum.tensors import Transport
from meso.errors import CaseError

_SMALL = 1e-12
_NEGATIVE = (
    " A negative diffusivity is no slow or oscillating diffusion: where it is uniform it makes"
    " standing waves ~ tan(W/2l) whose sign hangs on the third digit of the width, and beside a"
    " positive one there may be no solution at all. A density that oscillates while it decays"
    " (precession in the crystal field) is a positive diffusivity with an antisymmetric part of"
    " the relaxation matrix: use precession"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the criteria say.

    Attributes:
        accepted: True if a solution exists and depends on the data.
        problems: Why not, or what is not certain although it is accepted.
        weight: Weight of each component for which all forms are positive, None if none was found.
    """

    accepted: bool
    problems: tuple[str, ...] = ()
    weight: np.ndarray | None = None


def check(
    materials: Mapping[str, Transport],
    walls: Mapping[str, np.ndarray],
    *,
    components: Sequence[str],
    dimension: int = 3,
    pinned: bool = False,
) -> list[str]:
    """Check every region, and the whole for a sink.

    Args:
        materials: Transport in each region.
        walls: Relaxation velocity of each wall, shape (n, n).
        components: Their names.
        dimension: Of the device.
        pinned: True if a density is given somewhere.

    Returns:
        Warnings.

    Raises:
        CaseError: The problem is refused.
    """
    warnings, refused = [], []
    for region, transport in materials.items():
        verdict = judge(transport, walls, components=components, dimension=dimension)
        texts = [(f"angular_momentum, region {region}", text) for text in verdict.problems]
        if verdict.accepted:
            warnings += [f"{key}: {text}" for key, text in texts]
        else:
            refused += texts
    if not refused and not pinned:
        null = _free(materials, walls)
        if null is not None:
            what = " + ".join(
                f"{value:.3g} {name}"
                for name, value in zip(components, null, strict=True)
                if abs(value) > 1e-6
            )
            refused.append(
                (
                    "angular_momentum",
                    f"nothing relaxes {what} (it is a common null vector of the relaxation matrix"
                    " and of all walls, as with conversion alone): give a relaxation time, a wall"
                    " that absorbs or a reservoir",
                )
            )
    if refused:
        raise CaseError(*refused)
    return warnings


def judge(
    transport: Transport,
    walls: Mapping[str, np.ndarray] | None = None,
    *,
    components: Sequence[str] | None = None,
    dimension: int = 3,
) -> Verdict:
    """Apply the criteria to one material.

    Args:
        transport: The material.
        walls: Relaxation velocity of each wall, shape (n, n).
        components: Names of the components.
        dimension: Directions that count: in 2D nothing depends on z.
    """
    n = transport.components
    names = [str(i) for i in range(n)] if components is None else list(components)
    D = transport.diffusivity[:dimension, :, :dimension]
    T = transport.relaxation
    refused: list[str] = []

    value, direction = least_elliptic(D)
    if value <= _SMALL * np.abs(D).max():
        where = ", ".join(f"{x:.3g}" for x in direction)
        refused.append(
            f"the diffusivity along ({where}) has the eigenvalue {value:.4g} m^2/s; every"
            f" direction needs positive real parts.{_NEGATIVE}"
        )
    growth = np.linalg.eigvals(T).real.min()
    if growth < -1e-10 * max(np.abs(T).max(), 1e-300):
        refused.append(
            f"the relaxation matrix has the eigenvalue {growth:.4g} 1/s; a negative one makes"
            " angular momentum grow by itself"
        )
    for name, velocity in (walls or {}).items():
        creates = np.linalg.eigvals(velocity).real.min()
        if creates < -1e-10 * max(np.abs(velocity).max(), 1e-300):
            refused.append(
                f"wall {name}: the relaxation velocity has the eigenvalue {creates:.4g} m/s; a"
                " negative one creates angular momentum"
            )
    if refused:
        return Verdict(accepted=False, problems=tuple(refused))

    forms = [(D.reshape(dimension * n, dimension * n), True), (T, False)]
    forms += [(velocity, False) for velocity in (walls or {}).values()]
    weight = _weight(forms, transport, names)
    if weight is not None:
        return Verdict(accepted=True, weight=weight)
    only = _weight(forms[:1], transport, names)
    if only is not None:
        symmetric = np.linalg.eigvalsh(_weighted(T, only))[0]
        return Verdict(
            accepted=True,
            weight=only,
            problems=(
                "no weight of the channels makes diffusion, relaxation and walls dissipative at"
                f" once (the symmetric part of the relaxation has the eigenvalue {symmetric:.3g}"
                " 1/s): a solution exists, but it may amplify what drives it",
            ),
        )
    value, normal = least_stable_wall(D)
    if value <= _SMALL:
        where = ", ".join(f"{x:.3g}" for x in normal)
        return Verdict(
            accepted=False,
            problems=(
                "the diffusivity is elliptic, but a free wall is not (complementing condition):"
                f" with the normal ({where}) the flux of a wave along the wall has the eigenvalue"
                f" {value:.3g} of the largest diffusivity; modes of the mesh would grow like"
                " -1/h^2. For the isotropic law D_0 + B > 0 and (2 D_0 - B)(D_0 + B)"
                " + A(3 D_0 - B) > 0 are needed",
            ),
        )
    lowest = np.linalg.eigvalsh(_weighted(forms[0][0], np.ones(dimension * n)))[0]
    return Verdict(
        accepted=True,
        problems=(
            f"the diffusivity is elliptic but not positive (lowest eigenvalue {lowest:.3g} m^2/s"
            f" of its symmetric part); walls are stable with a margin of {value:.2g}, corners and"
            " interfaces are not covered by a theorem: compare two meshes",
        ),
    )


def least_elliptic(D: np.ndarray) -> tuple[float, np.ndarray]:
    """Lowest real part of the eigenvalues of m_i D_ik m_k over all directions m, and where."""
    directions = _directions(len(D), 181)
    for step in (0.02, 0.001, 5e-5):
        lowest = _lowest(D, directions)
        best = directions[lowest.argmin()]
        directions = best + step * _offsets(len(D))
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    lowest = _lowest(D, directions)
    best = directions[lowest.argmin()]
    for axis in np.eye(len(D)):  # rather an axis, where directions are alike
        if _lowest(D, axis[None])[0] <= lowest.min() + 1e-6 * np.abs(D).max():
            best = axis
            break
    return float(lowest.min()), np.where(np.abs(best) < 1e-3, 0.0, best)


def _lowest(D: np.ndarray, directions: np.ndarray) -> np.ndarray:
    symbol = np.einsum("mi,iakb,mk->mab", directions, D, directions)
    return np.linalg.eigvals(symbol).real.min(axis=1)


def least_stable_wall(D: np.ndarray) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue of the Hermitian part of Z over walls, in units of D, and the normal."""
    d = len(D)
    least, where = np.inf, np.zeros(d)
    for normal in _directions(d, 37 if d == 2 else 9):
        for along in _tangents(normal):
            value = _impedance(D, -normal, along)
            if value < least:
                least, where = value, normal
    return float(least), np.where(np.abs(where) < 1e-6, 0.0, where)


def _impedance(D: np.ndarray, inward: np.ndarray, along: np.ndarray) -> float:
    def part(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("i,iakb,k->ab", a, D, b)) / np.abs(D).max()

    n = D.shape[1]
    mm, mt = part(inward, inward), part(inward, along)
    tm, tt = part(along, inward), part(along, along)
    # (D_mm p^2 - i p (D_mt + D_tm) - D_tt) a = 0, linearised.
    zero, one = np.zeros((n, n)), np.eye(n)
    first = np.block([[zero, one], [tt, 1j * (mt + tm)]])
    second = np.block([[one, zero], [zero, mm]])
    p, vectors = eig(first, second)
    order = np.argsort(-p.real)[:n]
    a = vectors[:n, order]
    flux = mm @ a * p[order] - 1j * mt @ a
    if np.linalg.cond(a) > 1e10:
        # A double root: move off it.
        shifted = D * (1 + 1e-6 * np.cos(np.arange(D.size)).reshape(D.shape))
        return _impedance(shifted, inward, along)
    Z = flux @ np.linalg.inv(a)
    return float(np.linalg.eigvalsh((Z + Z.conj().T) / 2)[0])


def _weight(
    forms: Iterable[tuple[np.ndarray, bool]], transport: Transport, names: Sequence[str]
) -> np.ndarray | None:
    """Weight of each component for which all forms are positive, None if there is none."""
    n = transport.components
    chi = transport.susceptibility
    forms = [(form, strict) for form, strict in forms if np.abs(form).max() > 0 or strict]
    known = not np.array_equal(chi, np.eye(n))
    if known:
        inverse = np.linalg.inv(chi)
        return np.diag(inverse) if all(_positive(f, inverse, s) for f, s in forms) else None
    second = np.array([name.startswith("orbital") for name in names])
    if not second.any() or second.all():
        candidates = [np.ones(n)] if any("_" in x for x in names) else _pairs(n)
    else:
        ratios = np.geomspace(1e-8, 1e8, 321)
        # Detailed balance: the weights that make conversion symmetric.
        balanced = [
            abs(f[i, j] / f[j, i])
            for f, _ in forms
            if len(f) == n
            for i in np.flatnonzero(~second)
            for j in np.flatnonzero(second)
            if f[j, i] != 0 and f[i, j] != 0
        ]
        candidates = [np.where(second, ratio, 1.0) for ratio in (*balanced, *ratios)]
    best, found = -np.inf, None
    for weight in candidates:
        margins = [_margin(form, np.diag(weight)) for form, _ in forms]
        if all(_positive(f, np.diag(weight), s) for f, s in forms) and min(margins) > best:
            best, found = min(margins), weight
    return found


def _pairs(n: int) -> list[np.ndarray]:
    """Weights of components without names: the first against the others."""
    return [np.append(1.0, np.full(n - 1, ratio)) for ratio in np.geomspace(1e-8, 1e8, 641)]


def _weighted(form: np.ndarray, weight: np.ndarray) -> np.ndarray:
    product = weight[:, None] * form if weight.ndim == 1 else weight @ form
    if weight.ndim == 1 and len(weight) != len(form):
        product = np.tile(weight, len(form) // len(weight))[:, None] * form
    return np.asarray((product + product.T) / 2)


def _margin(form: np.ndarray, weight: np.ndarray) -> float:
    """Lowest eigenvalue of sym(M F), scaled to a unit diagonal."""
    n = len(weight)
    whole = np.kron(np.eye(len(form) // n), weight) @ form
    symmetric = (whole + whole.T) / 2
    scale = np.sqrt(np.abs(np.diag(symmetric)))
    scale = np.where(scale > 0, scale, np.sqrt(np.abs(symmetric).max()) or 1.0)
    return float(np.linalg.eigvalsh(symmetric / np.outer(scale, scale))[0])


def _positive(form: np.ndarray, weight: np.ndarray, strict: bool) -> bool:
    margin = _margin(form, weight)
    return margin > _SMALL if strict else margin >= -1e-10


def _free(materials: Mapping[str, Transport], walls: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """A constant omega that neither relaxation nor walls take away, None if there is none."""
    rows: list[Any] = []
    for transport in materials.values():
        chi = transport.susceptibility
        for part in (transport.relaxation, *walls.values()):
            product = part @ chi
            rows.append(product / (np.abs(product).max() or 1.0))
    stacked = np.concatenate(rows)
    _, values, vectors = np.linalg.svd(stacked)
    if len(values) == 0 or values[-1] > 1e-10:
        return None
    null = vectors[-1]
    return np.asarray(null / null[np.abs(null).argmax()])


def _directions(d: int, count: int) -> np.ndarray:
    if d == 2:
        angle = np.linspace(0, np.pi, count, endpoint=False)
        return np.column_stack([np.cos(angle), np.sin(angle)])
    polar = np.linspace(0, np.pi / 2, max(count // 4, 4))
    turn = np.linspace(0, 2 * np.pi, max(count // 2, 12), endpoint=False)
    p, t = (x.ravel() for x in np.meshgrid(polar, turn))
    return np.column_stack([np.sin(p) * np.cos(t), np.sin(p) * np.sin(t), np.cos(p)])


def _tangents(normal: np.ndarray) -> list[np.ndarray]:
    if len(normal) == 2:
        t = np.array([-normal[1], normal[0]])
        return [t, -t]
    first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    return [np.cos(a) * first + np.sin(a) * second for a in angles]


def _offsets(d: int) -> np.ndarray:
    axis = np.linspace(-1, 1, 9)
    return np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d)
