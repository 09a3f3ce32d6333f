"""Values along probes as sums of nodal values of fields."""

from __future__ import annotations

import numpy as np

from meso.discrete.cells import cells_of
from meso.discrete.fields import gradient
from meso.discrete.motion import Nodes, from_places
from meso.discrete.sampling import locate
from meso.gradients.outputs import Sample
from meso.results.result import Result


def weights(result: Result, one: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Of values of a field at the nodes of cells, (c, n, components), in one without resolution.

    And what the value has of the nodes of the mesh, as of :attr:`Sensitivity.nodes`, since the
    point stays where it is.
    """
    field, device = result.fields[one.field], result.device
    cells, motion, out = cells_of(device), Nodes(device), np.zeros(field.values.shape)
    cell, at = locate(device, one.points[[one.number]])
    if len(cell) and cell[0] >= 0:
        out[cell[0], :, one.component] = field.table(at)[0]
        # What moves with the mesh passes by the point.
        slope = gradient(field, at, cell)[0, 0, :, one.component]
        motion.add(cell, from_places(cells, cell, at, -slope[None] * device.extent))
    return out, motion.owned
