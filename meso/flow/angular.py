"""Angular matrices: what the moments of the distribution do to each other.

The flow models are members of one family. Their unknown is a vector u of moments (for two
harmonics: the current density J), with

    current density    J_i = flux[i, a] u_a
    relaxation         (1/sigma) relaxation[a, b] u_b
    stress             -d_i ( mu stress[i, j, a, b] d_j u_b )

For two harmonics u = J, mu = l^2/sigma, and the stress is the traceless symmetric gradient of J.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Angular matrices of one member of the family.

    Attributes:
        flux: Current of each moment, shape (d, n).
        relaxation: Shape (n, n).
        stress: Shape (d, d, n, n), indices i, j, a, b as above.
    """

    flux: np.ndarray
    relaxation: np.ndarray
    stress: np.ndarray

    @property
    def count(self) -> int:
        """Number of moments n."""
        return self.flux.shape[1]


def two_harmonics(dimension: int) -> Moments:
    """The hydrodynamic member: u = J, stress d_i J_a + d_a J_i - (2/d) delta_ia div J.

    The trace carries no stress: it belongs to the electrochemical potential, as in the kinetic
    equation (T. Valet et al. 2025, eq. 8, for div J = 0).

    Args:
        dimension: d, 2 or 3.
    """
    one = np.eye(dimension)
    stress = (
        np.einsum("ij,ab->ijab", one, one)
        + np.einsum("ib,ja->ijab", one, one)
        - 2 / dimension * np.einsum("ia,jb->ijab", one, one)
    )
    return Moments(flux=one, relaxation=one, stress=stress)
