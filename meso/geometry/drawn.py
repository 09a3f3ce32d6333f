"""What the script of a solid says about its layers of cells; runs in the process of Gmsh."""

from __future__ import annotations

import re

from meso.geometry import drawing, meshing, scripts, variables
from meso.geometry.gmsh_process import Progress, Source

_LAYERS = re.compile(r"\bLayers\s*\{")
# A surface with all of its cells: transfinite, or a line that is extruded itself.
_EVERY_CELL = re.compile(
    r"\bTransfinite\s+Surface\b"
    r"|\bExtrude\s*\{(?:[^{}]|\{[^{}]*\})*\}\s*\{\s*(?:Line|Curve|Point)\b"
)


def layers(source: Source, progress: Progress) -> tuple[bool, dict[str, float]] | None:
    """Of a drawing that extrudes volumes in layers; None of all others.

    Returns:
        Whether sizes of cells act on the surface that is extruded; and the numbers that the
        drawing may be varied by, with those of the source.
    """
    drawing.start()
    if source.path.suffix != ".geo" or meshing.open_source(source) == 2:
        return None
    text = scripts.read_text(source.path)
    code = scripts.blanked(text)
    if not _LAYERS.search(code):
        return None
    known = {name: float(value) for name, value in variables.constants(text).items()}
    return not _EVERY_CELL.search(code), known | source.parameters
