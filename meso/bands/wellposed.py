"""When a diffusion problem of angular momentum has a solution that means something.

    ∂_i 𝒥^{ia} = −T^a_b X^b,   𝒥^{ia} = … − D^{ia}_{kb} ∂_k X^b,   n_i 𝒥^{ia} = 𝒱^a_b X^b on walls

Accepted: sym(MD) > 0 as a form on ∂_kX^b, sym(MT) ≥ 0 and sym(M𝒱) ≥ 0 for M = χ⁻¹ or, where the
susceptibility is not known, for some positive weight M of the components. The plain sym(D) > 0
would depend on the units of spin against orbital densities.

Refused: a direction m with an eigenvalue of m_i D m_k whose real part is not positive (the equation
is not elliptic: with a negative scalar D it is a wave equation, with resonances); for an isotropic
law a wall without complementing condition; rates without any sink. What lies between is warned of.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meso.errors import CaseError

Floats: TypeAlias = NDArray[np.floating]
_ROUNDING = 1e-10


def validate(
    diffusivity: float | Floats,
    rates: float | Floats | None = None,
    walls: float | Floats | None = None,
    susceptibility: float | Floats | None = None,
) -> tuple[str, ...]:
    """Check the coefficients of a diffusion problem.

    Args:
        diffusivity: D^{ia}_{kb} as (d, n, d, n) in m²/s, or (n, n), or a number.
        rates: T = τ⁻¹ as (n, n) or a number, 1/s.
        walls: 𝒱 as (n, n) or a number, m/s.
        susceptibility: χ as (n, n) or a number; None: not known.

    Returns:
        Warnings, none if it is well posed.

    Raises:
        CaseError: It is not, with the reason.
    """
    d = _tensor(diffusivity)
    n = d.shape[1]
    t = None if rates is None else _matrix(rates, n, "rates")
    v = None if walls is None else _matrix(walls, n, "walls")
    chi = None if susceptibility is None else _matrix(susceptibility, n, "susceptibility")
    for key, value in (("diffusivity", d), ("rates", t), ("walls", v), ("susceptibility", chi)):
        if value is not None and not np.isfinite(value).all():
            raise CaseError((key, "not all entries are finite numbers"))
    _check_elliptic(d)
    law = isotropic_law(d)
    if law is not None:
        _check_complementing(*law)
    if t is not None:
        _check_sink(t, v)
    others = [m for m in (t, v) if m is not None]
    if chi is not None:
        if _lowest(chi) <= 0:
            raise CaseError(("susceptibility", "its symmetric part is not positive definite"))
        weight: Floats | None = np.linalg.inv((chi + chi.T) / 2)
        if _margin(weight, d, others) < -_ROUNDING:
            weight = None
    else:
        weight = find_weight(d, others)
    if weight is not None:
        return ()
    weights = "the weight χ⁻¹" if chi is not None else "any weight of the components"
    text = (
        "the problem is elliptic, but that it dissipates could not be shown: with"
        f" {weights} the form of the coefficients is not positive"
    )
    if law is not None:
        text += "; the isotropic law satisfies the complementing condition at walls"
    return (text,)


def _tensor(value: float | Floats) -> Floats:
    d = np.asarray(value, dtype=float)
    if d.ndim == 0:
        d = d[None, None]
    if d.ndim == 2 and d.shape[0] == d.shape[1]:
        return np.einsum("ik,ab->iakb", np.eye(3), d)
    if d.ndim == 4 and d.shape[:2] == d.shape[2:] and d.shape[0] in (2, 3):
        return d
    raise CaseError(("diffusivity", f"found shape {d.shape}; expected (d, n, d, n) or (n, n)"))


def _matrix(value: float | Floats, n: int, key: str) -> Floats:
    m = np.asarray(value, dtype=float)
    if m.ndim == 0:
        return float(m) * np.eye(n)
    if m.shape != (n, n):
        raise CaseError((key, f"found shape {m.shape}; expected ({n}, {n})"))
    return m


def _lowest(matrix: Floats) -> float:
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[0])


def _directions(d: int) -> Floats:
    if d == 2:
        angle = np.linspace(0, np.pi, 181)
        return np.column_stack([np.cos(angle), np.sin(angle)])
    number = 2000
    z = 1 - (2 * np.arange(number) + 1) / number
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(number)
    s = np.sqrt(1 - z**2)
    sphere = np.column_stack([s * np.cos(angle), s * np.sin(angle), z])
    special = np.array(np.meshgrid(*[[-1.0, 0, 1]] * 3)).reshape(3, -1).T
    special = special[np.abs(special).sum(1) > 0]
    return np.concatenate([sphere, special / np.linalg.norm(special, axis=1)[:, None]])


def _check_elliptic(d: Floats) -> None:
    m = _directions(len(d))
    symbols = np.einsum("qi,iakb,qk->qab", m, d, m)
    lowest = np.linalg.eigvals(symbols).real.min(axis=1)
    worst = int(np.argmin(lowest))
    scale = np.abs(d).max(initial=1e-300)
    if lowest[worst] > _ROUNDING * scale:
        return
    direction = ", ".join(f"{x:.2f}" for x in m[worst])
    text = (
        f"along ({direction}) a component diffuses with {lowest[worst]:.3g} m²/s, not positive:"
        " solutions would oscillate and resonate with the width of the device. An oscillating"
        " density, such as precession in the crystal field, is a positive diffusivity with an"
        " antisymmetric part of the rates"
    )
    raise CaseError(("diffusivity", text))


def isotropic_law(d: Floats) -> tuple[float, float, float] | None:
    """D₀, A, B of D^{ia}_{kb} = D₀ δ_ik δ_ab + A δ_ia δ_kb + B δ_ak δ_ib, or None."""
    if d.shape != (3, 3, 3, 3):
        return None
    d0, a, b = d[0, 1, 0, 1], d[0, 0, 1, 1], d[0, 1, 1, 0]
    e = np.eye(3)
    law = (
        d0 * np.einsum("ik,ab->iakb", e, e)
        + a * np.einsum("ia,kb->iakb", e, e)
        + b * np.einsum("ak,ib->iakb", e, e)
    )
    close = np.abs(law - d).max() <= 1e-6 * np.abs(d).max(initial=1e-300)
    return (float(d0), float(a), float(b)) if close else None


def _check_complementing(d0: float, a: float, b: float) -> None:
    """Agmon's condition at walls: surface modes must not grow with their wave number."""
    second = (2 * d0 - b) * (d0 + b) + a * (3 * d0 - b)
    if d0 + b > 0 and second > 0:
        return
    text = (
        f"D₀ = {d0:.3g}, A = {a:.3g}, B = {b:.3g} m²/s of the isotropic law violate the condition"
        " at walls, D₀ + B > 0 and (2D₀ − B)(D₀ + B) + A(3D₀ − B) > 0: ever finer meshes give ever"
        " stronger modes there"
    )
    raise CaseError(("diffusivity", text))


def _check_sink(t: Floats, v: Floats | None) -> None:
    scale = np.abs(t).max(initial=0.0)
    parts = [t / scale if scale else t]
    if v is not None and np.abs(v).max(initial=0.0) > 0:
        parts.append(v / np.abs(v).max())
    if scale and np.linalg.eigvals(t).real.min() < -1e-9 * scale:
        raise CaseError(("rates", "a combination of components grows by itself"))
    if np.linalg.svd(np.concatenate(parts), compute_uv=False)[-1] < 1e-9:
        text = (
            "a combination of components is lost neither in the volume nor at walls (conversion"
            " alone conserves the sum): there is no unique steady state"
        )
        raise CaseError(("rates", text))


def _form(weight: Floats, d: Floats) -> Floats:
    size = d.shape[0] * d.shape[1]
    weighted = np.einsum("ca,iakb->ickb", weight, d).reshape(size, size)
    return (weighted + weighted.T) / 2


def _margin(weight: Floats, d: Floats, others: list[Floats]) -> float:
    """Lowest eigenvalue of all forms, each relative to its size; D has to be above zero."""
    form = _form(weight, d)
    found = [np.linalg.eigvalsh(form)[0] / max(np.abs(form).max(), 1e-300) - 1e-9]
    for matrix in others:
        product = weight @ matrix
        found.append(_lowest(product) / max(np.abs(product).max(), 1e-300) + 1e-9)
    return float(min(found))


def _balance(matrix: Floats) -> Floats:
    """The diagonal weight that comes nearest to M_a m_ab = M_b m_ba (detailed balance)."""
    n = len(matrix)
    rows, values = [], []
    for a in range(n):
        for b in range(a):
            if matrix[a, b] * matrix[b, a] > 0:
                rows.append(np.eye(n)[a] - np.eye(n)[b])
                values.append(np.log(matrix[b, a] / matrix[a, b]))
    if not rows:
        return np.eye(n)
    return np.diag(np.exp(np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]))


def find_weight(d: Floats, others: list[Floats] | None = None) -> Floats | None:
    """A positive matrix M with sym(MD) > 0 and sym(M·) ≥ 0 for the others, or None.

    The set of such M is convex; the search starts at weights that suit the components by size and
    at Lyapunov's for the mean over directions, and goes uphill from there.
    """
    from scipy.linalg import solve_continuous_lyapunov
    from scipy.optimize import minimize

    others = others or []
    n = d.shape[1]
    mean = np.einsum("iaib->ab", d) / len(d)
    starts = [np.eye(n)]
    for matrix in (mean, mean + 0.01 * np.abs(mean).max() * np.eye(n)):
        try:
            lyapunov = solve_continuous_lyapunov(matrix.T, np.eye(n) * np.abs(matrix).max())
        except (np.linalg.LinAlgError, ValueError):
            continue
        lyapunov = (lyapunov + lyapunov.T) / 2
        if np.linalg.eigvalsh(lyapunov)[0] > 0:
            starts.append(lyapunov)
    starts += [_balance(m) for m in (mean, np.abs(d).max(axis=(0, 2)), *others)]
    best = max(starts, key=lambda m: _margin(m, d, others))
    if _margin(best, d, others) >= 0:
        return best
    lower = np.tril_indices(n)

    def weight_of(x: Floats) -> Floats:
        root = np.zeros((n, n))
        root[lower] = x
        return root @ root.T + 1e-9 * np.eye(n)

    x0 = np.linalg.cholesky(best / np.abs(best).max() + 1e-9 * np.eye(n))[lower]
    found = minimize(
        lambda x: -_margin(weight_of(x), d, others),
        x0,
        method="Nelder-Mead",
        options={"maxiter": 400 * len(x0), "maxfev": 400 * len(x0), "adaptive": True},
    )
    weight = weight_of(found.x)
    return weight if _margin(weight, d, others) >= 0 else None
