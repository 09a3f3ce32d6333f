"""Has the diffusion problem one solution that depends on the data? Decided before solving.

*Accepted* when a positive weight M makes sym(M D) > 0 (of the 3n x 3n form of D), sym(M T) >= 0 and
sym(M V) >= 0: M = chi^-1, or, where the susceptibility is not known, any weight of the components,
because the units of spin against orbital angular momentum must not decide. Where some M does so for
D alone a solution exists, and one is warned.

*Refused* when a direction m has an eigenvalue of m_i D_ik m_k with real part <= 0 (no ellipticity),
when T or a wall creates angular momentum, and when T and all walls leave a common constant free.

*In between* the equation is elliptic, but a free wall may not be: in the half space below it,
u = a exp(i s t.x - s p y) solves the equation for n values of p with positive real part, and
Z = [(p D_mm - i D_mt) a][a]^-1 is the flux into the wall over the density. Its Hermitian part must
be positive for the energy of a wave along the wall to be: otherwise the problem on a mesh of
size h has modes that grow like -1/h^2, and it is refused. Where it is positive one is warned. For
the isotropic law (D_0, A, B) this is D_0 + B > 0 and (2 D_0 - B)(D_0 + B) + A(3 D_0 - B) > 0.

`check` is for devices, `judge` for one material, `decide` for arrays; `meso.bands.validate` is a
front of the last, which is why nothing here needs a mesh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eig

from meso.angular_momentum.tensors import Transport, diffusion_block, symbol
from meso.angular_momentum.weights import find_weight, likely
from meso.errors import CaseError

_SMALL = 1e-12
_NEGATIVE = (
    "not positive: solutions would oscillate and resonate with the width of the device, with a sign"
    " that hangs on its third digit, and beside a positive diffusivity there may be none at all. An"
    " oscillating density, such as precession in the crystal field, is a positive diffusivity with"
    " an antisymmetric part of the relaxation matrix"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Accepted if a solution exists and depends on the data.

    Problems say why not, or what is not certain all the same; keys what each of them is about:
    "diffusivity", "rates" or "walls".
    """

    accepted: bool
    problems: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def check(
    materials: Mapping[str, Transport],
    walls: Mapping[str, np.ndarray],
    *,
    components: Sequence[str],
    dimension: int = 3,
    pinned: bool = False,
) -> list[str]:
    """Warnings about every region, and about the whole, which needs a sink.

    Walls have relaxation velocities (n, n); it is ``pinned`` if a density is given somewhere.

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
        losses = [
            loss @ transport.susceptibility
            for transport in materials.values()
            for loss in (transport.relaxation, *walls.values())
        ]
        reason = unrelaxed(losses, components=components)
        if reason is not None:
            refused.append(("angular_momentum", reason))
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
    """The criteria for one material; a susceptibility of one stands for one that is not known."""
    chi = transport.susceptibility
    return decide(
        transport.diffusivity[:dimension, :, :dimension],  # in 2D nothing depends on z
        transport.relaxation,
        {f"wall {name}": velocity for name, velocity in (walls or {}).items()},
        susceptibility=None if np.array_equal(chi, np.eye(len(chi))) else chi,
        components=components,
    )


def decide(
    D: np.ndarray,
    T: np.ndarray | None = None,
    walls: Mapping[str, np.ndarray] | None = None,
    *,
    susceptibility: np.ndarray | None = None,
    components: Sequence[str] | None = None,
) -> Verdict:
    """Apply the criteria to arrays; whether anything is a sink is left to :func:`unrelaxed`.

    D has the shape (d, n, d, n); T, relaxation velocities of walls and chi, which is symmetric and
    positive, (n, n). T and chi may be unknown. Components are named in messages.
    """
    walls = walls or {}
    forms = dict(walls) if T is None else {"the relaxation matrix": T, **walls}
    refused = [*_not_elliptic(D, components), *_growing(forms, walls)]
    if refused:
        keys, problems = zip(*refused, strict=True)
        return Verdict(accepted=False, problems=problems, keys=keys)
    others = list(forms.values())
    given = None if susceptibility is None else np.linalg.inv(susceptibility)
    if find_weight(D, others, given=given) is not None:
        return Verdict(accepted=True)
    no_weight = "the weight χ⁻¹ does not make"
    if given is None:
        no_weight = "no weight of the components makes"
    if (others or given is not None) and find_weight(D) is not None:
        text = (
            f"a solution exists, but {no_weight} diffusion, relaxation and walls dissipative at"
            " once: it may amplify what drives it"
        )
        return Verdict(accepted=True, problems=(text,), keys=("diffusivity",))
    weights = likely(D) if given is None else [given, *likely(D)]
    value, normal = max((least_stable_wall(D, M) for M in weights), key=lambda found: found[0])
    if value <= _SMALL:
        text = _unstable_wall(D, value, normal)
    else:
        form = D.reshape(D.shape[0] * D.shape[1], -1)
        lowest = np.linalg.eigvalsh((form + form.T) / 2)[0]
        text = (
            "the diffusivity is elliptic, but that it dissipates could not be shown:"
            f" {no_weight} its form positive (lowest eigenvalue {lowest:.3g} m²/s of its symmetric"
            " part). Walls satisfy the complementing condition with a margin of"
            f" {value:.2g}; corners and interfaces are not covered by a theorem: compare two meshes"
        )
    return Verdict(accepted=bool(value > _SMALL), problems=(text,), keys=("diffusivity",))


def _growing(
    forms: Mapping[str, np.ndarray], walls: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """What makes angular momentum: key and text of each form."""
    refused = []
    for name, form in forms.items():
        lowest = np.linalg.eigvals(form).real.min()
        if lowest >= -1e-10 * max(np.abs(form).max(), 1e-300):
            continue
        if name in walls:
            text = f"the relaxation velocity of {name} has the eigenvalue {lowest:.4g} m/s;"
            refused.append(("walls", f"{text} a negative one creates angular momentum"))
        else:
            text = f"a combination of components grows by itself: {name} has the eigenvalue"
            refused.append(("rates", f"{text} {lowest:.4g} 1/s"))
    return refused


def _not_elliptic(D: np.ndarray, names: Sequence[str] | None) -> list[tuple[str, str]]:
    value, direction = least_elliptic(D)
    if value > _SMALL * np.abs(D).max():
        return []
    where = ", ".join(f"{x:.3g}" for x in direction)
    who = "a component"
    if names is not None:
        values, vectors = np.linalg.eig(symbol(D, direction))
        size = np.abs(vectors[:, values.real.argmin()])
        part = [n for n, x in zip(names, size, strict=True) if x > 1e-6 * size.max()]
        who = part[0] if len(part) == 1 else f"a combination of {', '.join(part)}"
    text = f"along ({where}) {who} diffuses with {value:.4g} m²/s, {_NEGATIVE}"
    return [("diffusivity", text)]


def _unstable_wall(D: np.ndarray, value: float, normal: np.ndarray) -> str:
    where = ", ".join(f"{x:.3g}" for x in normal)
    text = (
        "the diffusivity is elliptic, but a free wall is not (complementing condition): with the"
        f" normal ({where}) the flux of a wave along the wall has the eigenvalue {value:.3g} of the"
        " largest diffusivity; ever finer meshes give ever stronger modes, growing like -1/h²"
    )
    law = isotropic_law(D)
    if law is not None:
        d0, a, b = law
        text += (
            f". D₀ = {d0:.3g}, A = {a:.3g}, B = {b:.3g} m²/s of the isotropic law violate the"
            " condition at walls, D₀ + B > 0 and (2D₀ − B)(D₀ + B) + A(3D₀ − B) > 0"
        )
    return text


def isotropic_law(D: np.ndarray) -> tuple[float, float, float] | None:
    """D_0, A, B of D[i,a,k,b] = D_0 δ_ik δ_ab + A δ_ia δ_kb + B δ_ak δ_ib, or None."""
    d = len(D)
    if D.shape[1] != 3:
        return None
    d0, a, b = (float(x) for x in (D[0, 1, 0, 1], D[0, 0, 1, 1], D[0, 1, 1, 0]))
    law = diffusion_block(d0, divergence=a, swapping=b)[:d, :, :d]
    close = np.abs(law - D).max() <= 1e-6 * np.abs(D).max(initial=1e-300)
    return (d0, a, b) if close else None


def unrelaxed(
    losses: Iterable[np.ndarray], *, components: Sequence[str] | None = None
) -> str | None:
    """Why there is no sink: a constant that no T chi or V chi, (n, n), takes away; else None."""
    rows = [loss / (np.abs(loss).max() or 1.0) for loss in losses]
    _, values, vectors = np.linalg.svd(np.concatenate(rows))
    if values[-1] > 1e-10:
        return None
    null = vectors[-1] / vectors[-1][np.abs(vectors[-1]).argmax()]
    names = components or [f"X{a}" for a in range(len(null))]
    what = " + ".join(
        f"{x:.3g} {name}" for x, name in zip(null, names, strict=True) if abs(x) > 1e-6
    )
    return (
        f"nothing relaxes {what} (a common null vector of the relaxation matrix and of all walls;"
        " conversion alone conserves the sum): there is no unique steady state. Give a relaxation"
        " time, a wall that absorbs or a reservoir"
    )


def least_elliptic(D: np.ndarray) -> tuple[float, np.ndarray]:
    """Lowest real part of the eigenvalues of m_i D_ik m_k over all directions m, and where."""
    d, size = len(D), np.abs(D).max()
    axis = np.linspace(-1, 1, 9)
    around = np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d)
    directions = _directions(d, 181)
    for step in (0.02, 0.001, 5e-5, 0.0):
        lowest = _lowest(D, directions)
        best = directions[lowest.argmin()]
        directions = best + step * around
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for axis in np.eye(d):  # rather an axis, where directions are alike
        if _lowest(D, axis) <= lowest.min() + 1e-6 * size:
            best = axis
            break
    return float(lowest.min()), np.where(np.abs(best) < 1e-3, 0.0, best)


def _lowest(D: np.ndarray, directions: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.eigvals(symbol(D, directions)).real.min(axis=-1))


def least_stable_wall(D: np.ndarray, weight: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue of the Hermitian part of Z over walls, in units of D, and the normal.

    Densities are measured in units in which the weight M is the unit matrix.
    """
    d = len(D)
    if weight is not None:
        root = np.linalg.cholesky(weight).T  # M = root^T root
        D = np.moveaxis(np.tensordot(root, D, (1, 1)), 0, 1) @ np.linalg.inv(root)
    D = D / np.abs(D).max()
    least, where = np.inf, np.zeros(d)
    for normal in _directions(d, 37 if d == 2 else 9):
        for along in _tangents(normal):
            value = _impedance(D, -normal, along)
            if value < least:
                least, where = value, normal
    return float(least), np.where(np.abs(where) < 1e-6, 0.0, where)


def _impedance(D: np.ndarray, inward: np.ndarray, along: np.ndarray) -> float:
    n = D.shape[1]
    mm, mt = symbol(D, inward), symbol(D, inward, along)
    tm, tt = symbol(D, along, inward), symbol(D, along)
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
