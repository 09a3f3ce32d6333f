"""Meshes whose cells lie on each other have no solution; each is refused with a place."""

from __future__ import annotations

import pytest
from mpi4py import MPI
from mutants import strip

import meso

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="serial")


def test_a_node_beyond_its_neighbours(tmp_path):
    path = tmp_path / "own.msh"
    path.write_bytes(strip("msh"))
    assert meso.Device.from_gmsh(path, length_unit="nm").cells == 20
    # From the middle of the strip to its far end, over other cells: their areas stay positive.
    path.write_bytes(strip("msh").replace(b"8 20.0 20.0 0", b"8 95.0 20.0 0"))
    with pytest.raises(meso.GeometryError, match=r"own\.msh: the mesh folds over.*near \("):
        meso.Device.from_gmsh(path, length_unit="nm")
