"""Coefficients of the diffusion of angular momentum: isotropic numbers and blocks to tensors.

    J^{ia} = Theta^{ia}_k E_k - D^{ia}_{kb} d_k X^b,     d_i J^{ia} = -T^a_b X^b,     X = chi omega

Components a, b are named "spin_x" ... "orbital_z"; i, k are directions in space. Arrays are ordered
as the indices stand in D[i, a, k, b], T[a, b], Theta[i, a, k]. Blocks of one channel have all three
components; :func:`material` joins and rotates them and picks the components that are solved for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError
from meso.materials.crystal import LEVI_CIVITA, rotated

CHANNELS = ("spin", "orbital")
AXES = ("x", "y", "z")
#: The unit matrix, shape (3, 3): ``ONE / tau`` relaxes all components of a channel alike.
ONE = np.eye(3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Transport:
    """Angular-momentum transport in one material, for n components.

    Attributes:
        diffusivity: D, m^2/s, shape (3, n, 3, n).
        relaxation: T, 1/s, shape (n, n).
        hall: Theta, shape (3, n, 3): J^{ia} = Theta^{ia}_k E_k is in J/m^2 (J/m in a sheet).
        susceptibility: chi, symmetric and positive, J s^2/m^3, shape (n, n); the unit matrix makes
            omega the density itself.

    Raises:
        CaseError: An array of the wrong shape, or with entries that are not finite.
    """

    diffusivity: np.ndarray
    relaxation: np.ndarray
    hall: np.ndarray = None  # type: ignore[assignment]  # zero, set below
    susceptibility: np.ndarray = None  # type: ignore[assignment]  # one, set below

    def __post_init__(self) -> None:
        n = np.shape(self.relaxation)[0] if np.ndim(self.relaxation) == 2 else 0
        shapes = {
            "diffusivity": (3, n, 3, n),
            "relaxation": (n, n),
            "hall": (3, n, 3),
            "susceptibility": (n, n),
        }
        defaults = {"hall": np.zeros((3, n, 3)), "susceptibility": np.eye(n)}
        problems = []
        for key, shape in shapes.items():
            value = getattr(self, key)
            value = np.asarray(defaults[key] if value is None else value, dtype=float)
            if value.shape != shape or not n:
                problems.append((key, f"found an array of shape {value.shape}; must be {shape}"))
            elif not np.isfinite(value).all():
                problems.append((key, "found entries that are not finite"))
            object.__setattr__(self, key, value)
        chi = self.susceptibility
        if not problems and (
            not np.allclose(chi, chi.T, rtol=1e-10) or np.linalg.eigvalsh(chi)[0] <= 0
        ):
            problems.append(("susceptibility", "must be symmetric and positive"))
        if problems:
            raise CaseError(*problems)

    @property
    def components(self) -> int:
        """Number of components n."""
        return len(self.relaxation)

    def onsager(self, dimension: int = 3) -> tuple[np.ndarray, np.ndarray]:
        """D chi, shape (d, n, d, n), and T chi: coefficients of omega."""
        D = self.diffusivity[:dimension, :, :dimension]
        return D @ self.susceptibility, self.relaxation @ self.susceptibility


def symbol(D: np.ndarray, first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """m_i D[i,a,k,b] p_k for directions m and p (p = m), shape (..., d): shape (..., n, n)."""
    second = first if second is None else second
    left = np.tensordot(first, D, (-1, 0))
    return np.asarray((second[..., None, None, :] @ left)[..., 0, :])


def diffusion_block(
    diffusivity: float | np.ndarray,
    *,
    divergence: float = 0.0,
    swapping: float = 0.0,
    cubic: float = 0.0,
) -> np.ndarray:
    """Diffusivities between the three components of two channels, shape (3, 3, 3, 3).

        J^{ia} = -[D_0 d_i X_a + A delta_ia div X + B d_a X_i + C d_i X_i delta_ia (no sum)]

    Args:
        diffusivity: D_0, or D_ik for one that depends on the direction, or the block itself.
        divergence: A, of the divergence of X.
        swapping: B, which exchanges direction and component.
        cubic: C, along the axes of a cubic crystal.
    """
    D = np.asarray(diffusivity, dtype=float)
    if D.ndim == 4:
        return D
    along = D if D.ndim == 2 else D * ONE
    i, a, k, b = np.ix_(*[range(3)] * 4)
    out = along[i, k] * (a == b) + divergence * ((i == a) & (k == b))
    return out + swapping * ((i == b) & (k == a)) + cubic * ((i == a) & (a == k) & (k == b))


def hall_block(
    conductivity: float | np.ndarray, unit: Literal["hbar/e", "hbar/2e"] = "hbar/e"
) -> np.ndarray:
    """Theta of one channel from its Hall conductivity, shape (3, 3, 3).

        J^{ia} = theta epsilon_iak E_k,      theta = (hbar/|e|) sigma_H

    Args:
        conductivity: sigma_H in S/m (S), or the tensor sigma[i, a, k].
        unit: What a sigma_H of 1 S/m stands for; literature uses both.
    """
    factor = HBAR / ELEMENTARY_CHARGE * {"hbar/e": 1.0, "hbar/2e": 0.5}[unit]
    value = np.asarray(conductivity, dtype=float)
    return factor * (value if value.ndim == 3 else value * LEVI_CIVITA)


def precession_block(rate: Sequence[float]) -> np.ndarray:
    """Antisymmetric relaxation of a rotation dX/dt = rate x X, shape (3, 3); rate in rad/s."""
    return -np.tensordot(LEVI_CIVITA, np.asarray(rate, dtype=float), (1, 0))


def conversion(to_orbital: float, to_spin: float) -> np.ndarray:
    """Relaxation between (spin, orbital) that conserves their sum; rates of loss of each, 1/s."""
    return np.array([[to_orbital, -to_spin], [-to_orbital, to_spin]])


Blocks = Mapping[tuple[str, str], np.ndarray]


def material(
    components: Sequence[str],
    *,
    diffusivity: Blocks,
    relaxation: Blocks,
    hall: Mapping[str, np.ndarray] | None = None,
    susceptibility: Mapping[str, float] | None = None,
    orientation: np.ndarray | None = None,
    dimension: int = 3,
) -> Transport:
    """Join the blocks of the channels of a material.

    Args:
        components: Components to be solved for, "spin_x" ... "orbital_z".
        diffusivity: Blocks (3, 3, 3, 3) by channels ("spin", "orbital"): of the current of the
            first that a gradient of the second drives.
        relaxation: Blocks (3, 3) by channels.
        hall: Blocks (3, 3, 3) by channel.
        susceptibility: By channel; 1 where it is not given.
        orientation: Rotation from the axes of the crystal to those of the device.
        dimension: Of the device: in 2D nothing depends on z.

    Returns:
        The material.

    Raises:
        CaseError: Blocks of a wrong shape; a component that others drive is left out.
    """
    D: np.ndarray = np.zeros((3, 2, 3, 3, 2, 3))
    T: np.ndarray = np.zeros((2, 3, 2, 3))
    theta: np.ndarray = np.zeros((3, 2, 3, 3))
    chi = np.ones((2, 3))
    turn = ONE if orientation is None else np.asarray(orientation, dtype=float)

    def placed(what: str, block: Any, wanted: tuple[int, ...]) -> np.ndarray:
        block = np.asarray(block, dtype=float)
        if block.shape != wanted:
            raise CaseError((what, f"found an array of shape {block.shape}; must be {wanted}"))
        return rotated(block, turn)

    index = {name: i for i, name in enumerate(CHANNELS)}
    for (to, by), block in diffusivity.items():
        D[:, index[to], :, :, index[by], :] = placed("diffusivity", block, (3, 3, 3, 3))
    for (to, by), block in relaxation.items():
        T[index[to], :, index[by], :] = placed("relaxation", block, (3, 3))
    for name, block in (hall or {}).items():
        theta[:, index[name]] = placed("hall_conductivity", block, (3, 3, 3))
    for name, value in (susceptibility or {}).items():
        chi[index[name]] = value
    D, T, theta = D.reshape(3, 6, 3, 6), T.reshape(6, 6), theta.reshape(3, 6, 3)
    names = [f"{channel}_{axis}" for channel in CHANNELS for axis in AXES]
    chosen = [names.index(name) for name in components]
    _check_complete(D[:dimension, :, :dimension], T, names, chosen)
    return Transport(
        diffusivity=D[np.ix_(range(3), chosen, range(3), chosen)],
        relaxation=T[np.ix_(chosen, chosen)],
        hall=theta[:, chosen],
        susceptibility=np.diag(chi.ravel()[chosen]),
    )


def _check_complete(D: np.ndarray, T: np.ndarray, names: list[str], chosen: list[int]) -> None:
    """Components that are left out are taken for zero: nothing may drive them."""
    driven = np.abs(D).max(axis=(0, 2)) > 1e-12 * max(np.abs(D).max(), 1e-300)
    driven |= np.abs(T) > 1e-12 * np.abs(T).max()
    channels = {names[a].split("_")[0] for a in chosen}
    for a, b in np.argwhere(driven):
        if a not in chosen and b in chosen and names[a].split("_")[0] in channels:
            text = f"{names[b]} drives {names[a]}, which is not among the components; add it"
            raise CaseError(("components", text))
