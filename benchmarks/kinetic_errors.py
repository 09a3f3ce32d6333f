"""How often the estimated errors of kinetic runs cover the true ones.

    python3 benchmarks/kinetic_errors.py                    # an hour or so; --devices ribbon,ring
    python3 benchmarks/kinetic_errors.py --smallest          # a few ribbons: does it still run?

Each case is a device, a mean free path, a kernel, a specularity and a number of harmonics N; what
is estimated is the relative error, harmonics and mesh together, of currents (potentials) and of
edge moments with N harmonics. The true values are closed forms (isotropic ribbons), those of an
integral equation (`RADIAL`), and for other devices those of cells half as large, two degrees more
and 128 and 256 harmonics, extrapolated; their own doubt, what the last doubling changes, counts for
nobody: cases in which it exceeds a third of the estimate say nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmsh

import meso
from meso.constants import ELEMENTARY_CHARGE

GEOMETRIES = Path(__file__).parents[1] / "geometries"
KERNELS = ("isotropic", "radial-tangential")
WIDTH = 100e-9
#: A quarter of a ring in structured cells, as a user might draw it.
RING = """
SetFactory("OpenCASCADE");
Point(1) = {{100, 0, 0}}; Point(2) = {{200, 0, 0}}; Point(3) = {{0, 200, 0}};
Point(4) = {{0, 100, 0}}; Point(5) = {{0, 0, 0}};
Line(1) = {{1, 2}}; Circle(2) = {{2, 5, 3}}; Line(3) = {{3, 4}}; Circle(4) = {{4, 5, 1}};
Curve Loop(1) = {{1, 2, 3, 4}}; Plane Surface(1) = {{1}};
Transfinite Curve {{1, 3}} = {across}; Transfinite Curve {{2, 4}} = {along};
Transfinite Surface {{1}};
Physical Surface("metal") = {{1}};
Physical Curve("source") = {{1}}; Physical Curve("drain") = {{3}};
Physical Curve("edges") = {{2, 4}};
"""


def ring(path: Path, across: int, along: int) -> Path:
    """Mesh a quarter of a ring with Gmsh alone, curved cells of degree three."""
    drawing = path.with_suffix(".geo")
    drawing.write_text(RING.format(across=across + 1, along=along + 1))
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.open(str(drawing))
        gmsh.model.mesh.generate(2)
        gmsh.model.mesh.setOrder(3)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()
    return path


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A device with its walls and its metal.

    Attributes:
        device: "ribbon", "period 24" (flat cells across it), "ring 8x32", "bend 15" or "cross 20"
            (size of the cells, nm).
        path: Mean free path over the width.
        kernel: Scattering.
        specularity: Of all walls.
    """

    device: str
    path: float
    kernel: str
    specularity: float = 0.0

    def case(self, folder: Path, harmonics: int, *, fine: bool = False) -> meso.Case:
        """The case, or one with cells half as large."""
        kind, _, cells = self.device.partition(" ")
        size = float(cells) * (0.5 if fine else 1.0) if kind in ("bend", "cross") else 0.0
        wall: Any = {"wall": {"specularity": self.specularity}}
        ends: Any = [{"contact": {"potential": volt}} for volt in (1e-3, 0.0)]
        boundaries = {"source": ends[0], "drain": ends[1], "edges": wall}
        parameters: dict[str, float] = {}
        file = {"ribbon": "ribbon", "period": "ribbon_period", "bend": "annulus"}.get(kind, kind)
        path = GEOMETRIES / f"{file}.geo"
        if kind in ("ribbon", "period"):
            parameters = {"width": 100, "length": 10}
            parameters |= {"cells": float(cells)} if cells else {}
            boundaries = {"source": {"periodic": {"to": "drain", "voltage": 1e-3}}, "edges": wall}
        elif kind == "ring":
            across, along = (int(n) * (2 if fine else 1) for n in cells.split("x"))
            path = ring(folder / f"ring{across}.msh", across, along)
        elif kind == "bend":
            boundaries = {**boundaries, "inner": wall, "outer": wall}
            del boundaries["edges"]
        else:
            parameters = {"length": 300}
            floating: Any = {"contact": {"current": 0}}
            boundaries = {"left": ends[0], "right": ends[1], "edges": wall}
            boundaries |= {"top": floating, "bottom": floating}
        metal = {
            "carriers": "2d",
            "conductivity": 4e-3,
            "mean_free_path": self.path * WIDTH,
            "scattering": self.kernel,
            "fermi_energy": ELEMENTARY_CHARGE,
        }
        geometry = {"file": str(path), "length_unit": "nm", "parameters": parameters}
        tables: dict[str, Any] = {
            "geometry": geometry,
            "mesh": {"size": size * 1e-9} if size else {},
            "materials": {"metal": metal},
            "regions": {"metal": "metal"},
            "boundaries": boundaries,
            "flow": {"model": "kinetic", "harmonics": harmonics},
        }
        return meso.Case.from_dict(tables)
