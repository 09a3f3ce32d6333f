"""How often the estimated errors of wires cover the true ones: rectangles with diffuse walls.

    docker/run python3 benchmarks/wire_errors.py --seed 1 --count 40

Exact is J/(sigma E) = 1 - <3 v_z^2 exp(-s/lambda)>, s the length back to the wall, by quadrature
over directions, from side to side, and over the section. Sides b/a from 1 to 3, lambda/a
log-uniform from 0.05 to 5, N = 4, 8, 16, cells of a/3 to a/6, graded to the walls or not.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

import meso

DRAWING = """SetFactory("OpenCASCADE");
Rectangle(1) = {{0, 0, 0, 1, {b}}};
Physical Surface("metal") = {{1}};
Physical Curve("wall") = {{1, 2, 3, 4}};
"""
NEAR = 1e-8
STEP, LAST = 0.125, 40.0
LENGTHS = np.geomspace(1e-9, 400.0, 4000)


def attenuation() -> CubicSpline:
    """3/2 of the integral of sin(theta) cos^2(theta) exp(-s/sin(theta)), over log s."""
    t = np.arange(-LAST, LAST + STEP / 2, STEP)
    cosh, weight = np.cosh(t), STEP * np.tanh(t) ** 2 / np.cosh(t) ** 2
    values = [1.5 * (np.exp(-s * cosh) * weight).sum() for s in LENGTHS]
    return CubicSpline(np.log(LENGTHS), values)


ATTENUATION = attenuation()
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def exact_density(points: np.ndarray, b: float, path: float) -> np.ndarray:
    """J/(sigma E) at points inside the rectangle 1 x b."""
    x, y = points.T
    out = np.ones(len(x))
    for height, left, right in ((y, x, 1 - x), (b - y, x, 1 - x), (x, y, b - y), (1 - x, y, b - y)):
        # tan(angle from the normal) = sinh(u)
        low, high = -np.arcsinh(left / height), np.arcsinh(right / height)
        u = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * NODES
        weight = (high - low)[:, None] / 2 * WEIGHTS / np.cosh(u)
        s = np.clip(height[:, None] * np.cosh(u) / path, LENGTHS[0], LENGTHS[-1])
        lost = (weight * ATTENUATION(np.log(s))).sum(axis=1) / (2 * np.pi)
        out -= np.where(height < NEAR, 0.5, lost)  # on a side half of all directions
    return out


def graded(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights over 0 < s < 1, dense at both ends."""
    t, w = np.polynomial.legendre.leggauss(count)
    t, w = (t + 1) / 2, w / 2
    return t**3 * (10 - 15 * t + 6 * t * t), w * 30 * t**2 * (1 - t) ** 2


def exact(b: float, path: float) -> tuple[float, float]:
    """I over Drude's, and the moment of the side of length 1 over kappa sigma E."""
    s, w = graded(28)
    points = np.stack(np.meshgrid(s / 2, s * b / 2), axis=-1).reshape(-1, 2)
    current = (np.outer(w, w).ravel() * exact_density(points, b, path)).sum()
    moment = 0.0
    for low, high in ((0, min(0.5, b / 2)), (min(0.5, b / 2), 0.5)):
        if high > low:
            x = low + s * (high - low)
            middle = np.column_stack([x, np.minimum(x, b / 2)])
            edge = np.column_stack([x, np.full(len(x), 1e-9)])
            change = exact_density(middle, b, path) - exact_density(edge, b, path)
            moment += 2 * (high - low) * (w * change).sum()
    return current, moment


def mesh(folder: Path, b: float, size: float, grading: float | None) -> Path:
    """A mesh of the rectangle, cells of a size, smaller at walls by a factor."""
    import gmsh

    drawing, path = folder / "section.geo", folder / "section.msh"
    drawing.write_text(DRAWING.format(b=b))
    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.open(str(drawing))
    field = gmsh.model.mesh.field
    field.add("Distance", 1)
    field.setNumbers(1, "CurvesList", [1, 2, 3, 4])
    field.setNumber(1, "Sampling", 100)
    field.add("MathEval", 2)
    least = size * (grading or 1.0)
    field.setString(2, "F", f"min({size}, {least} + 0.5*F1)")
    field.setAsBackgroundMesh(2)
    for name in ("MeshSizeFromPoints", "MeshSizeExtendFromBoundary"):
        gmsh.option.setNumber(f"Mesh.{name}", 0)
    gmsh.model.mesh.generate(2)
    gmsh.write(str(path))
    gmsh.finalize()
    return path


def main() -> None:
    """Draw cases, solve them, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=40)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    ratios = []
    print("b/a    lambda/a  N   cells  current: true, estimated  moment: true, estimated")
    for _ in range(given.count):
        b, path = random.uniform(1, 3), float(np.exp(random.uniform(np.log(0.05), np.log(5))))
        harmonics = int(random.choice([4, 8, 16]))
        size, grading = random.uniform(1 / 6, 1 / 3), random.choice([None, 0.3])
        with tempfile.TemporaryDirectory() as folder:
            tables = {
                "geometry": {
                    "file": str(mesh(Path(folder), b, size, grading)),
                    "length_unit": "m",
                },
                "materials": {
                    "m": {
                        "carriers": "3d",
                        "conductivity": 1.0,
                        "mean_free_path": path,
                        "orbital_coupling": 1.0,
                    }
                },
                "regions": {"metal": "m"},
                "boundaries": {"wall": {"wall": {"specularity": 0.0}}},
                "flow": {"model": "kinetic", "along": "z", "field": 1.0, "harmonics": harmonics},
            }
            found = meso.wire(meso.Case.from_dict(tables))
        current, moment = exact(b, path)
        piece = min(found.edge_moments, key=lambda m: m.center[1])
        true = (
            abs(found.relative_conductivity / current - 1),
            abs(piece.moment / moment - 1),
        )
        told = found.conductance_error / found.conductance, piece.error / piece.moment
        ratios.append([t / e for t, e in zip(true, told, strict=True)])
        print(
            f"{b:.2f} {path:9.3f} {harmonics:4d} {found.flow.device.cells:6d}"
            f"  {true[0]:.1e} {told[0]:.1e}  {true[1]:.1e} {told[1]:.1e}"
            f"  {'' if max(ratios[-1]) <= 1 else 'MISSED'}",
            flush=True,
        )
    for name, column in zip(("current", "moment"), np.array(ratios).T, strict=True):
        covered, worst = int((column <= 1).sum()), column.max()
        print(
            f"{name}: {covered} of {len(column)} covered, worst {worst:.2f},"
            f" median of estimate over error {np.median(1 / column):.1f}"
        )


if __name__ == "__main__":
    main()
