"""How often the estimated errors of wires cover the true ones: rectangles, discs, tubes.

    docker/run python3 benchmarks/wire_errors.py --seed 1 --count 40
    docker/run python3 benchmarks/wire_errors.py --seed 1 --count 8 --section disc
    docker/run python3 benchmarks/wire_errors.py --seed 1 --count 24 --harmonics

Exact is J/(sigma E) = 1 - <3 v_z^2 sum over k of (1 - p) p^(k-1) exp(-S_k/lambda sin theta)>, S_k
the length in the plane back to the k-th wall: of rectangles and discs in closed form, by quadrature
over directions and over the section; tubes have diffuse walls. Sides b/a from 1 to 3, tubes with
0.2 to 0.7 of their radius inside, lambda/a log-uniform from 0.05 to 5, p = 0 in every third wire,
else uniform in 0 ... 0.9. Cells of a/3 to a/6, graded to the walls or not. With
--harmonics numbers are those of N = 4, 8, 16, as where carriers do not all scatter
alike; else those of free flights, with a tolerance of 1e-2 to 1e-4 (round wires 1e-3).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

import meso

RECTANGLE = """SetFactory("OpenCASCADE");
Rectangle(1) = {{0, 0, 0, 1, {size}}};
Physical Surface("metal") = {{1}};
Physical Curve("wall") = {{1, 2, 3, 4}};
"""
DISC = """SetFactory("OpenCASCADE");
Disk(1) = {{0, 0, 0, 0.5}};
Physical Surface("metal") = {{1}};
Physical Curve("wall") = {{1}};
"""
TUBE = """SetFactory("OpenCASCADE");
Disk(1) = {{0, 0, 0, 0.5}};
Disk(2) = {{0, 0, 0, {size}}};
BooleanDifference{{ Surface{{1}}; Delete; }}{{ Surface{{2}}; Delete; }}
Physical Surface("metal") = {{1}};
walls() = Boundary{{ Surface{{1}}; }};
Physical Curve("wall") = {{walls()}};
"""
#: As where all carriers scatter alike, but for harmonics.
ALIKE = {"scattering": {"gamma3": 1 + 1e-9}}
#: Terms of a sum over walls are left out below this.
LEFT = 1e-7


def attenuation() -> np.ndarray:
    """3/2 of the integral of sin(theta) cos^2(theta) exp(-s/sin(theta)) at these lengths."""
    t = np.arange(-LAST, LAST + STEP / 2, STEP)
    cosh, weight = np.cosh(t), STEP * np.tanh(t) ** 2 / np.cosh(t) ** 2
    few = np.linspace(FROM, TO, 3000)
    values = [1.5 * (np.exp(-s * cosh) * weight).sum() for s in np.exp(few)]
    return np.asarray(CubicSpline(few, values)(np.log(LENGTHS)))


STEP, LAST, FROM, TO = 0.125, 40.0, np.log(1e-9), np.log(60.0)
LENGTHS = np.exp(np.linspace(FROM, TO, 100_000))
ATTENUATION = attenuation()


def attenuated(s: np.ndarray) -> np.ndarray:
    """A of lengths over the mean free path, within 1e-8."""
    place = (np.log(np.maximum(s, LENGTHS[0])) - FROM) * ((len(LENGTHS) - 1) / (TO - FROM))
    i = np.minimum(place.astype(np.int64), len(LENGTHS) - 2)
    low, high = ATTENUATION[i], ATTENUATION[i + 1]
    return np.where(s < LENGTHS[-1], low + (place - i) * (high - low), 0.0)


def graded(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights over 0 < s < 1, dense at both ends."""
    t, w = np.polynomial.legendre.leggauss(count)
    t, w = (t + 1) / 2, w / 2
    return t**3 * (10 - 15 * t + 6 * t * t), w * 30 * t**2 * (1 - t) ** 2


def in_rectangle(points: np.ndarray, b: float, p: float, path: float) -> np.ndarray:
    """J/(sigma E) at points inside the rectangle 1 x b, which images make a plane."""
    out = np.ones(len(points))
    s, w = graded(30 if p == 0 else 200)
    for sx in (False, True):
        for sy in (False, True):
            x = np.where(sx, points[:, 0], 1 - points[:, 0])[:, None]
            y = np.where(sy, points[:, 1], b - points[:, 1])[:, None]
            corner = np.arctan2(y, x)
            for low, high in ((0 * corner, corner), (corner, 0 * corner + np.pi / 2)):
                angle = low + (high - low) * s
                weight = (1 - p) * (high - low) * w / (2 * np.pi)
                tx, ty = x / np.cos(angle), y / np.sin(angle)
                px, py = 1 / np.cos(angle), b / np.sin(angle)
                for first, step, one, other in ((tx, px, ty, py), (ty, py, tx, px)):
                    for n in range(10_000):
                        length = first + n * step
                        before = n + np.maximum(np.ceil((length - one) / other), 0)
                        left = p**before if p else np.where(before == 0, 1.0, 0.0)
                        left = np.where(length < 40 * path, left, 0.0)
                        if left.max() < LEFT:
                            break
                        out -= (weight * left * attenuated(length / path)).sum(axis=1)
    return out


def rectangle(b: float, p: float, path: float) -> tuple[float, np.ndarray]:
    """I over Drude's, and the moment of the side of length 1 over kappa sigma E."""
    s, w = graded(20)
    points = np.stack(np.meshgrid(s / 2, s * b / 2), axis=-1).reshape(-1, 2)
    current = (np.outer(w, w).ravel() * in_rectangle(points, b, p, path)).sum()
    moment = 0.0
    for low, high in ((0, min(0.5, b / 2)), (min(0.5, b / 2), 0.5)):
        if high > low:
            x = low + s * (high - low)
            middle = np.column_stack([x, np.minimum(x, b / 2)])
            edge = np.column_stack([x, np.full(len(x), 1e-9)])
            change = in_rectangle(middle, b, p, path) - in_rectangle(edge, b, p, path)
            moment += 2 * (high - low) * (w * change).sum()
    return current, np.array([moment])


def around(r: np.ndarray, inner: float, p: float, path: float) -> np.ndarray:
    """J/(sigma E) at distances r from the axis of a disc of radius 1/2, or a tube."""
    grazing = np.arcsin(np.clip(inner / r, 0, 1))[:, None]
    s, w = graded(80)
    out = np.ones(len(r))
    quarter, turn = 0 * grazing + np.pi / 2, 0 * grazing + np.pi
    for low, high in ((0 * grazing, grazing), (grazing, quarter), (quarter, turn)):
        # From the direction to the axis.
        beta = low + (high - low) * s
        across, along = r[:, None] * np.sin(beta), r[:, None] * np.cos(beta)
        half = np.sqrt(np.maximum(0.25 - across**2, 0))
        first = along + half
        if inner and high is grazing:
            first = along - np.sqrt(np.maximum(inner**2 - across**2, 0))
        weight, k = (1 - p) * (high - low) * w / np.pi, 0
        while p**k > LEFT and (k == 0 or p):
            out -= (weight * p**k * attenuated((first + 2 * k * half) / path)).sum(axis=1)
            k += 1
    return out


def round_wire(inner: float, p: float, path: float) -> tuple[float, np.ndarray]:
    """I over Drude's, and moments of the outer wall and the inner one, over kappa sigma E."""
    s, w = graded(40)

    def moment(low: float, high: float) -> float:
        """Of -2 pi r J' by parts."""
        r = low + (high - low) * s
        ends = around(np.array([low, high]), inner, p, path) * np.array([low, high])
        inside = (high - low) * (w * around(r, inner, p, path)).sum()
        return float(2 * np.pi * (inside - (ends[1] - ends[0])))

    r = inner + (0.5 - inner) * s
    current = (w * r * around(r, inner, p, path)).sum() / (w * r).sum()
    if not inner:
        return float(current), np.array([moment(1e-12, 0.5)])
    middle = (inner + 0.5) / 2
    return float(current), np.array([moment(middle, 0.5), -moment(inner, middle)])


def drawn(random: np.random.Generator, folder: Path, kind: str, harmonics: bool) -> tuple:
    """A case, what is exact of it, and a line of text."""
    path = float(np.exp(random.uniform(np.log(0.05), np.log(5))))
    p = float(random.choice([0.0, *random.uniform(0, 0.9, 2)]))
    cells, grading = random.uniform(1 / 6, 1 / 3), random.choice([1.0, 0.3])
    size, text = random.uniform(1, 3), RECTANGLE
    if kind != "rectangle":
        size, text = random.uniform(0.1, 0.35) if kind == "tube" else 0.0, DISC
    if kind == "tube":
        text, p = TUBE, 0.0
    many = int(random.choice([4, 8, 16]))
    tolerance = float(random.choice([1e-2, 1e-3, 1e-4] if kind == "rectangle" else [1e-2, 1e-3]))
    (folder / "section.geo").write_text(text.format(size=size))
    material = {"carriers": "3d", "conductivity": 1.0, "mean_free_path": path}
    flow = {"model": "kinetic", "along": "z", "field": 1.0, "harmonics": "auto"}
    case = meso.Case.from_dict(
        {
            "geometry": {"file": str(folder / "section.geo"), "length_unit": "m"},
            "mesh": {"size": cells, "wall_size": cells * grading},
            "materials": {"m": material | {"orbital_coupling": 1.0} | (ALIKE if harmonics else {})},
            "regions": {"metal": "m"},
            "boundaries": {"wall": {"wall": {"specularity": p}}},
            "flow": flow | ({"harmonics": many} if harmonics else {"tolerance": tolerance}),
        }
    )
    exact = rectangle(size, p, path) if kind == "rectangle" else round_wire(size, p, path)
    wish = f"N {many:3d}" if harmonics else f"{tolerance:.0e}"
    return case, exact, f"{kind:9s} {size:4.2f} {path:6.3f} {p:.2f} {wish}"


def errors(found: meso.WireResult, exact: tuple) -> list[tuple[float, float]]:
    """True and estimated relative errors of the current, and of the worst covered moment."""
    current, moments = exact
    pieces = found.edge_moments
    low = min(pieces, key=lambda m: m.center[1])  # of rectangles the lower side
    if len(pieces) < 4:
        low = max(pieces, key=lambda m: m.measure)
    used = [low] if len(moments) == 1 else [low, min(pieces, key=lambda m: m.measure)]
    each = [
        (abs(piece.moment / m - 1), piece.error / abs(piece.moment))
        for piece, m in zip(used, moments, strict=True)
    ]
    told = found.conductance_error / found.conductance
    own = abs(found.relative_conductivity / current - 1), told
    return [own, max(each, key=lambda pair: pair[0] / pair[1])]


def main() -> None:
    """Draw cases, solve them, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--section", choices=["rectangle", "disc", "tube"], default="rectangle")
    parser.add_argument("--harmonics", action="store_true")
    given = parser.parse_args()
    random, ratios, met = np.random.default_rng(given.seed), [], []
    print("section   size lambda   p   wanted cells  current: true, told  moment: true, told  s")
    for _ in range(given.count):
        with tempfile.TemporaryDirectory() as folder:
            case, exact, text = drawn(random, Path(folder), given.section, given.harmonics)
            start = time.process_time()
            found = meso.wire(case)
        pairs = errors(found, exact)
        ratios.append([true / told for true, told in pairs])
        met.append(case.flow.tolerance or np.inf)
        met[-1] = max(true for true, _ in pairs) <= met[-1]
        numbers = "  ".join(f"{true:.1e} {told:.1e}" for true, told in pairs)
        missed = "" if max(ratios[-1]) <= 1 else "MISSED"
        seconds = time.process_time() - start
        print(f"{text} {found.flow.device.cells:6d}  {numbers} {seconds:5.1f} {missed}", flush=True)
    for name, column in zip(("current", "moment"), np.array(ratios).T, strict=True):
        covered, worst = int((column <= 1).sum()), column.max()
        print(
            f"{name}: {covered} of {len(column)} covered, worst {worst:.2f},"
            f" median of estimate over error {np.median(1 / column):.1f}"
        )
    if not given.harmonics:
        print(f"within the tolerance: {sum(met)} of {len(met)}")


if __name__ == "__main__":
    main()
