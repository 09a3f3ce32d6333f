"""Meshes of other programs: Abaqus, Salome, VTK and what else meshio reads, with their names."""

from __future__ import annotations

from meso.geometry.imported.reading import read_mesh

__all__ = ["read_mesh"]
