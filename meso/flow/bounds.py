"""Bounds of the conductance matrix, without a magnetic field (docs/bounds.md has the proof)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.boundary import Wall
from meso.cells import cells_of, lagrange
from meso.errors import CaseError
from meso.flow.even import EvenParity
from meso.flow.kinetic import SMOOTHEST, roughness
from meso.flow.result import Flow, ports_of

#: Unknowns of the even moments at most: with more, fewer harmonics are used.
MOST = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of the conductance matrix on the mesh as it is.

    Attributes:
        names: Contacts, then periodic pairs.
        upper: G_upper - G is positive semidefinite, S (S/m without thickness).
        harmonics: Highest even harmonic of the upper bound.
        domain: What the bounds refer to.
    """

    names: tuple[str, ...]
    upper: np.ndarray
    harmonics: int
    domain: str

    def table(self, per: str) -> dict[str, Any]:
        """What summary.json says of it."""
        return {
            "of": list(self.names),
            f"upper_S{per}": self.upper.tolist(),
            "upper_harmonics": self.harmonics,
            "domain": self.domain,
        }

    def lines(self) -> list[str]:
        """The same for the terminal: the conductance of two terminals."""
        shown = f"{self.upper[0, 0]:.9g}" if len(self.names) <= 2 else "in summary.json"
        return [
            f"  upper bound of the conductance {shown} ({self.harmonics} even harmonics;"
            f" {self.domain})"
        ]


def conductance_bounds(flow: Flow, *, harmonics: int) -> Bounds:
    """Bounds for the device of a kinetic flow.

    Args:
        flow: The flow.
        harmonics: Even harmonics to use, if the system does not become too large.

    Raises:
        CaseError: A wall that is too smooth.
    """
    for name, law in flow.boundaries.items():
        if isinstance(law, Wall) and roughness(law) < SMOOTHEST:
            text = f"at most {1 - 2 * SMOOTHEST:g} where bounds are wanted"
            raise CaseError((f"boundaries.{name}.wall.specularity", text))
    device = flow.device
    nodes = lagrange(device, flow.order).index_map.size_global
    while harmonics > 2 and nodes * (harmonics + 1) > MOST:
        harmonics -= 2
    straight = all(device.comm.allgather(bool(cells_of(device).affine.all())))
    varies = any(m.varies_in_cells for m in flow.materials.values())
    domain = "on the polygon of the mesh" if straight else "on the curved mesh, but for quadrature"
    return Bounds(
        names=ports_of(flow.boundaries),
        upper=EvenParity(flow, harmonics).conductance(),
        harmonics=harmonics,
        domain=domain + (", profiles at quadrature points" if varies else ""),
    )
