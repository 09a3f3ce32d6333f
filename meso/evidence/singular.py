"""How fast errors fall at the corners of a drawing in the plane, by their angle and their laws.

J of a viscous flow goes as r^a at a corner, and the potential of an ohmic one as r^a: an error of
the energy falls like h^(2a), and like k^(-4a) with the degree. With the inner angle w,

    Ohm's law       a = pi/w between walls, pi/2w between a contact and a wall
    viscous flow    a = |m - 1|, m = pi/w, 2pi/w between walls that slip, pi/2w, 3pi/2w between an
                    ideal contact and such a wall

since the stream function obeys psi = 0, Lap psi = 0 at the walls and d_n psi = 0, d_n Lap psi = 0
at the contact, so that psi ~ r^m or r^(2 - m) (V. Kozlov, V. Maz'ya and J. Rossmann, Spectral
Problems Associated with Corner Singularities of Solutions to Elliptic Equations, 2001). An ideal
contact and a wall that slips agree where they meet at a right angle only: J is uniform there. At
90 +- 5 degrees it vanishes as r^0.05, which no degree and hardly any cell resolves.

Densities of angular momentum go as r^b, with b as a potential has it. In a viscous flow they are
made by a field ~ r^(a - 2): numbers of theirs converge like h^(a + b - 1), which is no power at all
at 270 degrees.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from meso.boundary import Boundary, Contact, Periodic, Wall, law_of
from meso.flow.result import Flow
from meso.geometry.refinement import CellErrors
from meso.observables.corners import rims

#: Powers of the cell size, and of one over the degree squared, by which the error of a conductance
#: falls at a corner of 270 degrees: J ~ r^(1/3) where walls slip, grad phi ~ r^(-1/3). They are
#: taken where a solution is rough and the table above has nothing.
CORNER_POWERS = {"hydrodynamic": 2 / 3, "ohmic": 4 / 3, "kinetic": 2 / 3}
#: Power a below which two laws agree, as at a right angle; and the smallest power that counts.
_AGREE, _SLOWEST = 2e-3, 0.04
#: Power a at corners where a wall does not slip: J ~ r^0.54 at 270 degrees, but errors of degrees
#: 2 to 5 do not fall as fast.
_STUCK = 1 / 3
#: Power of the size up to which an error falls as slowly whatever the degrees of a solution tell.
_SURELY = 1.0


def powers(flow: Flow, found: CellErrors, held: Collection[str] | None = None) -> np.ndarray:
    """Power of the size by which the error falls in cells at corners, (c,); all ranks call this.

    Infinite elsewhere.

    Args:
        flow: The flow.
        found: The cells of all ranks.
        held: Of a diffusion: names of the boundaries at which a value is given; others let through
            what the field says. The smallest power counts, of flow and diffusion.
    """
    device, model = flow.device, flow.model
    at, names = rims(device), [piece.boundary for piece in device.pieces]
    known = np.full(len(found.points), np.inf)
    number = {tuple(point): i for i, point in enumerate(found.points)}
    for pair, angle, end in zip(at.piece, np.radians(at.angle), at.ends[:, 0], strict=True):
        one, two = (names[i] for i in pair)
        laws = law_of(flow.boundaries, one), law_of(flow.boundaries, two)
        a = _of_flow(model, *laws, float(angle))
        power = 2 * a
        if held is not None:
            b = _of_potential((one in held) != (two in held), float(angle))
            power = min(power, 2 * b, a + b - 1 if flow.viscous else np.inf)
        i = number[tuple(end * device.extent)]
        known[i] = min(known[i], max(power, _SLOWEST))
    usual = CORNER_POWERS[model if held is None else "ohmic"]
    out = np.where(np.isfinite(known), known, np.where(found.corner, usual, np.inf))
    out[~found.corner & (known > _SURELY)] = np.inf
    return np.asarray(out[found.triangles].min(axis=1))


def _of_flow(model: str, one: Boundary, two: Boundary, angle: float) -> float:
    """The power a between two laws; infinite where it is not known."""
    contacts = [law for law in (one, two) if isinstance(law, Contact)]
    walls = [law for law in (one, two) if isinstance(law, Wall)]
    if isinstance(one, Periodic) or isinstance(two, Periodic) or len(contacts) == 2:
        return np.inf
    w = angle * (1 + len(contacts))
    if model == "ohmic":
        return float(np.pi / w)
    # Closer than a mean free path all walls slip.
    stuck = model != "kinetic" and any(law.slip_length == 0 for law in walls)
    if stuck:
        return _STUCK if w > np.pi + _AGREE else np.inf
    if contacts and (model == "kinetic" or contacts[0].law != "ideal"):
        return np.inf
    exponents = np.pi / w, (3 if contacts else 2) * np.pi / w
    return min((a for m in exponents if (a := abs(m - 1)) > _AGREE), default=np.inf)


def _of_potential(mixed: bool, angle: float) -> float:
    """Of a potential that is given on one side only, or on both or none."""
    return float(np.pi / (2 * angle if mixed else angle))
