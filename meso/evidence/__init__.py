"""How far a result can be believed: resolution, harmonics, adaptive meshes, closed forms."""
