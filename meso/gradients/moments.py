"""Derivatives of the orbital moments and spins of walls, as the columns of a sweep have them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from meso.angular_momentum.targets import length_slope
from meso.constants import HBAR
from meso.gradients import outputs
from meso.moment_gradients import has_gradient, moment_gradient
from meso.results.result import Result
from meso.sensitivities import Sensitivity

_MOMENT = re.compile(r"(?P<place>.+)\.(?P<channel>orbital|spin)_moment(_(?P<axis>[xyz]))?")


def moment(result: Result, short: str) -> tuple[Sensitivity, float] | None:
    """Of a moment per length of its wall, and in the thickness of a slab; None: not known.

    Args:
        result: The result, whose flow keeps its adjoint.
        short: "WALL.orbital_moment" of all pieces of a wall, "WALL.2.orbital_moment" of one; of
            vectors "WALL.orbital_moment_x".
    """
    found = _MOMENT.fullmatch(short)
    if not found or not has_gradient(result.flow, found["channel"]):
        return None
    device, flow, channel = result.device, result.flow, found["channel"]
    pieces = outputs.pieces_of(result, found["place"])
    if not pieces:
        return None
    rows = result.edge_moments if channel == "orbital" else result.spin_moments
    parts = dict(zip(outputs.wall_pieces(result), (row.moment for row in rows), strict=True))
    share = np.zeros((len(device.pieces), np.size(rows[0].moment)))
    axis, solid = "xyz".index(found["axis"] or "x"), device.dimension == 3
    length = 1.0 if solid else sum(device.pieces[i].measure for i in pieces)
    share[pieces, axis] = 1 / HBAR / length
    own = moment_gradient(flow, result.fields["vorticity"], share, channel)
    value = float(np.sum([np.atleast_1d(parts[i])[axis] for i in pieces])) / HBAR / length
    if own.nodes is not None and not solid:
        slopes = np.sum([length_slope(result, i) for i in pieces], axis=0)
        own = replace(own, nodes=own.nodes - value / length * slopes)
    return own, value / (flow.thickness or 1.0)
