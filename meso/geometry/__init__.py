"""Drawings, CAD and foreign meshes become meshes with named parts: Gmsh, and no DOLFINx."""
