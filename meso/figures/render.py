"""Scenes in three dimensions by VTK, in a process of their own.

What draws them may find no way to draw without a screen, and VTK then ends its process.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

_SECONDS = 120
_LIBRARIES = ("libEGL.so.1", "libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")
# Lines of equal values that are shorter, over the size of the device, are left out.
_SHORT = 0.05
# Nor are they drawn on triangles that are so many times steeper than half of them.
_STEEP = 4.0
_BODY, _CONTACT, _INK = "#e9e9ec", "#d9862b", "#333333"


@dataclass(frozen=True, kw_only=True)
class Body:
    """A conductor; lengths over its size.

    Attributes:
        points: Nodes of its surface, shape (n, 3).
        faces: Triangles of the surface, seen from outside, shape (f, 3).
        wall: Which of them are walls, shape (f,).
        cells: Points, tetrahedra and current density of the inside, (p, 3), (t, 4), (p, 3).
        seeds: Where stream lines begin, shape (s, 3).
    """

    points: np.ndarray
    faces: np.ndarray
    wall: np.ndarray
    cells: tuple[np.ndarray, np.ndarray, np.ndarray]
    seeds: np.ndarray


@dataclass(frozen=True, kw_only=True)
class View:
    """What is seen of a body: colours on its surface, or stream lines in it.

    Attributes:
        eye: Direction toward the eye.
        center: Point in the middle of the picture.
        height: Of the picture, over the size of the body.
        pixels: Width and height.
        colors: Red, green and blue of the points of the surface, shape (n, 3); None for an open
            body with stream lines.
        lines: Values at these points, and those at which lines are drawn.
        palette: Colours of stream lines, shape (k, 3), from zero to ``most``.
        most: Current density of the last colour.
    """

    eye: np.ndarray
    center: np.ndarray
    height: float
    pixels: tuple[int, int]
    colors: np.ndarray | None = None
    lines: tuple[np.ndarray, np.ndarray] | None = None
    palette: np.ndarray | None = None
    most: float = 1.0


def render(body: Body, views: list[View]) -> list[np.ndarray] | str:
    """Pictures, (rows, columns, 3), or why there are none."""
    # On one core, and without a window anywhere.
    own = {"LP_NUM_THREADS": "0", "VTK_SMP_MAX_THREADS": "1", "PYVISTA_OFF_SCREEN": "true"}
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with TemporaryDirectory() as folder:
        # No pipe: PETSc ends a program that writes into one whose reader is gone.
        given, out = Path(folder) / "given", Path(folder) / "pictures"
        try:
            given.write_bytes(pickle.dumps((asdict(body), [asdict(view) for view in views])))
            done = subprocess.run(
                # As a program of its own this file needs nothing of meso.
                [sys.executable, "-P", __file__, str(given), str(out), *filter(None, sys.path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                env=kept | own,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"VTK: {error}"
        if done.returncode == 0 and out.is_file():
            with np.load(out) as found:
                return [found[f"arr_{i}"] for i in range(len(views))]
    reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
    return f"VTK ended with exit code {done.returncode}: {reason[0][-200:]}"


# -- the other side -------------------------------------------------------------------------------


def serve() -> None:
    """Read a body and views from a file and write pictures to another."""
    given, out, *sys.path[:] = sys.argv[1:]
    if sys.platform == "linux" and not any(map(_is_there, _LIBRARIES)):
        sys.exit("neither EGL nor OSMesa is there (Debian: libegl1, libegl-mesa0)")
    body, views = pickle.loads(Path(given).read_bytes())
    import pyvista

    surface, tubes = _surface(body), _streams(body)
    plotter = pyvista.Plotter(off_screen=True)
    plotter.background_color = "white"
    plotter.enable_anti_aliasing("msaa", multi_samples=4)
    with Path(out).open("wb") as file:
        np.savez(file, *(_picture(plotter, view, surface, tubes) for view in views))


def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _mesh(points: np.ndarray, faces: np.ndarray) -> Any:
    import pyvista

    return pyvista.PolyData.from_regular_faces(points, faces)


def _surface(body: dict[str, Any]) -> tuple[Any, ...]:
    """Walls and contacts with normals, which jump at edges, lines there and around contacts."""
    whole = _mesh(body["points"], body["faces"])
    whole.point_data["node"] = np.arange(whole.n_points)
    whole.cell_data["wall"] = body["wall"]
    whole = whole.compute_normals(
        split_vertices=True, feature_angle=35, consistent_normals=False, cell_normals=False
    )
    faces, wall = whole.regular_faces, np.asarray(whole.cell_data["wall"], dtype=bool)
    parts = []
    for chosen in (wall, ~wall):
        part = _mesh(whole.points, faces[chosen])
        part.point_data["node"] = whole.point_data["node"]
        part.point_data["Normals"] = whole.point_data["Normals"]
        part.point_data.active_normals_name = "Normals"
        parts.append(part)
    edges = _mesh(body["points"], body["faces"]).extract_feature_edges(
        35, boundary_edges=False, manifold_edges=False, non_manifold_edges=False
    )
    rims = _mesh(body["points"], body["faces"][~body["wall"]]).extract_feature_edges(
        180, manifold_edges=False, non_manifold_edges=False, feature_edges=False
    )
    return parts[0], parts[1], edges, rims


def _streams(body: dict[str, Any]) -> Any:
    """Tubes along the current, with its density."""
    import pyvista

    points, cells, current = body["cells"]
    grid = pyvista.UnstructuredGrid({pyvista.CellType.TETRA: cells}, points)
    grid["J"] = current
    lines = grid.streamlines_from_source(
        pyvista.PolyData(body["seeds"]),
        "J",
        integration_direction="forward",
        max_length=20.0,
        initial_step_length=0.2,
        max_step_length=0.5,
        terminal_speed=0.0,
        max_steps=4000,
    )
    lines["speed"] = np.linalg.norm(lines["J"], axis=1)
    return lines.tube(radius=0.0042, n_sides=10)


def _picture(
    plotter: Any, view: dict[str, Any], surface: tuple[Any, ...], tubes: Any
) -> np.ndarray:
    """A picture of a view, by a window that another one may have been drawn in."""
    walls, contacts, edges, rims = surface
    plotter.clear_actors()
    plotter.window_size = list(view["pixels"])
    matte = {"ambient": 0.6, "diffuse": 0.45, "specular": 0.0, "smooth_shading": True}
    matte |= {"show_scalar_bar": False, "render": False}
    if view["colors"] is None:
        # Of the walls the far side is seen, from inside.
        plotter.add_mesh(walls, color=_BODY, culling="front", **matte)
        plotter.add_mesh(contacts, color=_CONTACT, culling="front", **matte)
        at = np.clip(tubes["speed"] / view["most"], 0, 1) * (len(view["palette"]) - 1)
        tubes["rgb"] = view["palette"][at.astype(int)]
        plotter.add_mesh(
            tubes, scalars="rgb", rgb=True, **{**matte, "ambient": 0.4, "diffuse": 0.65}
        )
    else:
        walls["rgb"] = view["colors"][walls["node"]]
        plotter.add_mesh(
            walls, scalars="rgb", rgb=True, **{**matte, "ambient": 0.7, "diffuse": 0.35}
        )
        plotter.add_mesh(contacts, color=_CONTACT, **matte)
    if view["lines"] is not None:
        _line(plotter, _levels(walls, *view["lines"]), "white")
    _line(plotter, edges, _INK)
    _line(plotter, rims, _CONTACT, -20.0)
    camera = plotter.camera
    camera.parallel_projection = True
    camera.focal_point = view["center"]
    camera.position = view["center"] + 10 * view["eye"] / np.linalg.norm(view["eye"])
    camera.up = (0.0, 0.0, 1.0)
    camera.parallel_scale = view["height"] / 2
    plotter.renderer.ResetCameraClippingRange()
    plotter.render()  # what is seen already is not drawn again by itself
    return np.array(plotter.screenshot(return_img=True))


def _levels(walls: Any, values: np.ndarray, levels: np.ndarray) -> Any:
    """Lines of equal values; none where values at a corner know no bounds."""
    walls["value"] = values[walls["node"]]
    corners, at = walls.points[walls.regular_faces], walls["value"][walls.regular_faces]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    slope = np.ptp(at, axis=1) / sides.max(axis=1)
    faces = walls.regular_faces[slope < _STEEP * np.median(slope)]
    calm = _mesh(walls.points, faces)
    calm["value"] = walls["value"]
    lines = calm.contour(list(levels), scalars="value", compute_normals=False)
    if not lines.n_cells:
        return lines
    lines = lines.connectivity()
    ends = lines.lines.reshape(-1, 3)
    of = lines.point_data["RegionId"][ends[:, 1]]
    one, two = lines.points[ends[:, 1]], lines.points[ends[:, 2]]
    length = np.bincount(of, np.linalg.norm(two - one, axis=1))
    return type(lines)(lines.points, lines=ends[length[of] > _SHORT].ravel())


def _line(plotter: Any, lines: Any, color: str, offset: float = -12.0) -> None:
    """Lines on a surface, in front of it by an offset toward the eye."""
    if lines.n_cells:
        actor = plotter.add_mesh(lines, color=color, line_width=2.5, lighting=False, render=False)
        actor.mapper.SetResolveCoincidentTopologyToPolygonOffset()
        actor.mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0.0, offset)


if __name__ == "__main__":
    serve()
