"""Bounds of the conductance matrix, without a magnetic field (docs/bounds.md has the proof)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.discrete.cells import cells_of
from meso.errors import CaseError
from meso.flow.certificate import lower_bound
from meso.flow.even import EvenParity
from meso.flow.result import Flow, ports_of
from meso.requirements import bounds_problems

#: Distance of the bounds over the upper one from which on a result comes with a warning.
APART = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of the conductance matrix on the mesh as it is.

    Attributes:
        names: Contacts, then periodic pairs.
        lower: G - lower is positive semidefinite, S (S/m without thickness); None without one.
        upper: upper - G is positive semidefinite.
        harmonics: Highest harmonics of the lower and of the upper bound.
        leak: What the divergence of its current takes from the lower bound, relative.
        reason: Why there is no lower bound.
        domain: What the bounds refer to.
    """

    names: tuple[str, ...]
    lower: np.ndarray | None
    upper: np.ndarray
    harmonics: tuple[int, int]
    leak: float
    reason: str
    domain: str

    @property
    def warnings(self) -> list[str]:
        """Bounds so far apart that what is between them says little."""
        if self.lower is None:
            return []
        low, high = np.diag(self.lower), np.diag(self.upper)
        gap = float(((high - low) / high).max())
        if gap < APART:
            return []
        return [
            f"the bounds of the conductance are {gap:.0%} apart: more flow.harmonics, or smaller"
            " cells (mesh.size, mesh.wall_size), bring them closer"
        ]

    def table(self, per: str) -> dict[str, Any]:
        """What summary.json says of it."""
        return {
            "of": list(self.names),
            f"lower_S{per}": None if self.lower is None else self.lower.tolist(),
            f"upper_S{per}": self.upper.tolist(),
            "lower_harmonics": self.harmonics[0],
            "upper_harmonics": self.harmonics[1],
            "lower_leak_relative": self.leak,
            "lower_missing": self.reason or None,
            "domain": self.domain,
        }

    def lines(self, per: str) -> list[str]:
        """The same for the terminal: the conductance of two terminals, or widths."""
        unit = f"S{per.replace('_per_', '/')}"
        one, many = len(self.names) <= 2, "in summary.json"
        upper = f"{self.upper[0, 0]:.9g} {unit}" if one else many
        counted = f"{self.harmonics[1]} even harmonics"
        if self.lower is None:
            return [
                f"  conductance not above {upper} ({counted}; {self.domain})",
                f"  no lower bound: {self.reason}, and the current of this mesh has a divergence of"
                f" {self.leak:.1e}",
            ]
        width = np.abs(self.upper - self.lower).max() / np.abs(self.lower).max()
        both = f"between {self.lower[0, 0]:.9g} and {upper}"
        both = both if one else f"bounded on both sides {many}"
        return [
            f"  conductance {both}, {width:.1e} apart",
            f"  (bounds with {self.harmonics[0] - 1} odd and {counted}; {self.domain})",
        ]


def conductance_bounds(flow: Flow, *, harmonics: int | None = None) -> Bounds:
    """Bounds for the device of a kinetic flow.

    Args:
        flow: The flow.
        harmonics: Highest even harmonic of the upper bound, that of the flow by default.

    Raises:
        CaseError: Another model, a magnetic field, or a wall that is too smooth.
    """
    if flow.distribution is None:
        raise CaseError(("flow.model", f'found "{flow.model}"; bounds are for the kinetic model'))
    if problems := list(bounds_problems(flow.boundaries, any(flow.distribution.turning))):
        raise CaseError(*problems)
    own, straight = flow.distribution.harmonics, bool(cells_of(flow.device).affine.all())
    even = own if harmonics is None else harmonics
    domain = "on the curved mesh, but for quadrature"
    if all(flow.device.comm.allgather(straight)):
        domain = "on the polygon of the mesh"
    if any(m.varies_in_cells for m in flow.materials.values()):
        domain += ", profiles at quadrature points"
    lower = lower_bound(flow)
    return Bounds(
        names=ports_of(flow.boundaries),
        lower=lower.matrix,
        upper=EvenParity(flow, even).conductance(),
        harmonics=(own, even),
        leak=lower.leak,
        reason=lower.reason,
        domain=domain,
    )
