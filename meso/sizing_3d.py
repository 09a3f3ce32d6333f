"""Cell sizes of solids."""

from __future__ import annotations

from pathlib import Path

import gmsh
import numpy as np

from meso.drawing import generate
from meso.layers import Sizes


def mesh_solid(path: Path, sizes: Sizes) -> None:
    """Mesh the open drawing with tetrahedra."""
    low, high = np.array(gmsh.model.getBoundingBox(-1, -1)).reshape(2, 3)
    extent = float((high - low).max())
    gmsh.option.setNumber("Mesh.MeshSizeMax", sizes.bulk or extent / 12)
    generate(path, 3)
