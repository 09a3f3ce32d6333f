"""Pictures of a result directory, and of a mesh.

Everything is read from the files of the result: pictures can be drawn again at any time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator
from matplotlib.patheffects import withStroke

from meso import figure_style as style
from meso.constants import ELECTRON_CHARGE, HBAR
from meso.figure_style import INK, LINES, Map, Scale, color_bar, line_figure, map_figure, store
from meso.mesh_figure import draw_mesh
from meso.outline import Outline, chains
from meso.raster import CellSet, Extent, Grid
from meso.vtu import read_vtu

__all__ = ["draw", "draw_mesh"]

# Without the lightest colours, before which white stream lines would not be seen.
_SPEED = LinearSegmentedColormap.from_list("speed", colormaps["magma"](np.linspace(0.08, 0.8, 64)))
_EXACT = {"color": "black", "linewidth": 1.0, "linestyle": (0, (5, 4)), "zorder": 5}
_SQUARE = "#1b7f3b"
_HALO = [withStroke(linewidth=2.5, foreground="white")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A result as its files tell it.

    Attributes:
        summary: summary.json.
        cells: Cells of all ranks.
        data: Fields at their nodes, SI, shape (c, n) or (c, n, 3).
        edges: Columns of edges/NAME.csv by wall.
        probes: Columns of probes/NAME.csv by probe.
        outline: Contacts and walls.
    """

    summary: dict[str, Any]
    cells: CellSet
    data: dict[str, np.ndarray]
    edges: dict[str, dict[str, np.ndarray]]
    probes: dict[str, dict[str, np.ndarray]]
    outline: Outline

    @classmethod
    def read(cls, directory: Path) -> Drawn:
        """Read a result directory."""
        summary = json.loads((directory / "summary.json").read_text())
        parts = [read_vtu(p) for p in sorted((directory / "fields").glob("part*.vtu"))]
        parts = [part for part in parts if len(part[0])]
        names = parts[0][1].keys()
        cells = CellSet(points=np.concatenate([points for points, _ in parts]))
        edges = _tables(directory / "edges")
        return cls(
            summary=summary,
            cells=cells,
            data={name: np.concatenate([data[name] for _, data in parts]) for name in names},
            edges=edges,
            probes=_tables(directory / "probes"),
            outline=Outline.of(cells.outline(), edges, summary),
        )

    @property
    def title(self) -> str:
        """Title of the case."""
        return self.summary["title"] or Path(self.summary["mesh"]["file"]).stem

    def unit(self, field: str) -> str:
        """Unit of a field, as in the headers of the tables."""
        return self.summary["extrema"][field]["unit"]


def draw(directory: Path) -> list[Path]:
    """Draw the pictures of a result into its folder ``figures``.

    Args:
        directory: A result directory with ``.vtu`` fields.

    Returns:
        The files.
    """
    directory = Path(directory)
    result = Drawn.read(directory)
    out = directory / "figures"
    files = []
    with matplotlib.rc_context(style.STYLE):
        if "current_density" in result.data:
            files.append(store(_current(result), out / "current.png"))
        for name in ("orbital_density", "vorticity"):
            if name in result.data:
                files.append(store(_curl(result, name), out / f"{name}.png"))
                break
        if "potential" in result.data:
            files.append(store(_potential(result), out / "potential.png"))
        if result.edges:
            files.append(store(_edges(result), out / "edges.png"))
        for name, columns in result.probes.items():
            files.append(store(_probe(result, columns, name), out / f"probe_{name}.png"))
    return files


def _tables(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    tables = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open() as file:
            names = file.readline().strip().split(",")
            rows = np.loadtxt(file, delimiter=",", ndmin=2)
        tables[path.stem] = dict(zip(names, rows.T, strict=True))
    return tables


def _map(result: Drawn, *, values: bool, panel: bool = False) -> Map:
    return map_figure(
        result.outline.box, result.outline.pads(values), result.title, panel=panel
    )


def _finish(result: Drawn, picture: Map, *, values: bool) -> None:
    """Outline, contacts and their names."""
    axes, unit = picture.axes, picture.length.factor
    for chain in chains(result.outline.walls):
        axes.plot(*(chain.T / unit), color=INK, linewidth=1.3, zorder=4)
    for contact in result.outline.contacts:
        axes.plot(
            *(contact.line.T / unit), color=style.CONTACT, linewidth=3.5, zorder=5,
            solid_capstyle="butt",
        )
        text = contact.name
        if values:
            text = "\n".join(filter(None, [text, *contact.values]))
        if not text:
            continue
        x, y = contact.anchor / unit
        dx, dy = contact.normal
        axes.annotate(
            text, (x, y), xytext=(6 * dx, 6 * dy), textcoords="offset points", size=9,
            ha="left" if dx > 0.5 else "right" if dx < -0.5 else "center",
            va="bottom" if dy > 0.5 else "top" if dy < -0.5 else "center",
            color=style.CONTACT, zorder=6, path_effects=_HALO, linespacing=1.25,
        )


def _image(picture: Map, axes: Any, grid: Grid, values: np.ndarray, **how: Any) -> Any:
    """A field as an image, pixel by pixel."""
    step_x, step_y = grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]
    extent = picture.shown(
        (grid.x[0] - step_x / 2, grid.x[-1] + step_x / 2,
         grid.y[0] - step_y / 2, grid.y[-1] + step_y / 2)
    )
    return axes.imshow(
        values, origin="lower", extent=extent, interpolation="nearest", aspect="auto", **how
    )


def _current(result: Drawn) -> Any:
    picture = _map(result, values=True)
    grid = result.cells.grid(picture.extent, *picture.pixels)
    j = [grid.values(result.data["current_density"][:, :, k]) for k in (0, 1)]
    speed = np.hypot(*j)
    # Sharp corners are singular: they must not take the whole scale.
    top = np.nanpercentile(speed, 99.8)
    peak = float(np.nanmax(speed))
    top = peak if peak < 1.3 * top else float(top)
    unit = style.scale(top, result.unit("current_density"))
    image = _image(
        picture, picture.axes, grid, speed / unit.factor, cmap=_SPEED, vmin=0,
        vmax=top / unit.factor,
    )
    every = max(1, round(max(grid.shape) / 220))
    x, y = (a[every // 2 :: every] / picture.length.factor for a in (grid.x, grid.y))
    u, v = (np.ma.masked_invalid(a[every // 2 :: every, every // 2 :: every]) for a in j)
    width, height = (p / style.DPI for p in picture.pixels)
    picture.axes.streamplot(
        x, y, u, v, color="white", linewidth=0.8, arrowsize=0.9,
        density=(width / 4.2, height / 4.2 + 0.15), maxlength=8.0,
    )
    _limits(picture)
    color_bar(
        picture, image, f"current density |J| ({unit.name})", "max" if peak > top else "neither"
    )
    _finish(result, picture, values=True)
    return picture.figure


def _limits(picture: Map) -> None:
    a, b, c, d = picture.shown(picture.extent)
    picture.axes.set(xlim=(a, b), ylim=(c, d))


def _potential(result: Drawn) -> Any:
    picture = _map(result, values=False)
    grid = result.cells.grid(picture.extent, *picture.pixels)
    phi = grid.values(result.data["potential"])
    given = [c["potential_V"] for c in result.summary["contacts"].values()]
    low, high = min(given), max(given)
    if not low < high:
        low, high = np.nanpercentile(phi, [0.1, 99.9])
    unit = style.scale(max(abs(low), abs(high)), "V")
    image = _image(picture, picture.axes, grid, phi / unit.factor, cmap="cividis",
                   vmin=low / unit.factor, vmax=high / unit.factor)
    x, y = (a[::3] / picture.length.factor for a in (grid.x, grid.y))
    if high > low:
        picture.axes.contour(
            x, y, np.ma.masked_invalid(phi[::3, ::3]), levels=np.linspace(low, high, 22)[1:-1],
            colors="white", linewidths=0.8, linestyles="solid",
        )
    color_bar(picture, image, f"electrochemical potential φ ({unit.name})")
    _finish(result, picture, values=False)
    return picture.figure


def _readable(result: Drawn, field: str) -> tuple[float, str, str]:
    """SI per unit, unit and label of a curl-like field."""
    unit = result.unit(field)
    if field == "orbital_density":
        return HBAR, unit.replace("J_s_", "hbar_"), "orbital density $L_z$"
    return 1.0, unit, "vorticity Ω"


def _wall_values(result: Drawn, field: str) -> np.ndarray:
    """Rows (x, y, value, segment) of the field along all walls, SI."""
    rows = []
    for number, columns in enumerate(result.edges.values()):
        value = columns.get(f"{field}_{result.unit(field)}")
        if value is not None:
            segment = columns["segment"] + 1000 * number
            rows.append(np.column_stack([columns["x_m"], columns["y_m"], value, segment]))
    return np.concatenate(rows) if rows else np.empty((0, 4))


def _curl(result: Drawn, field: str) -> Any:
    """A field of both signs, and a magnified piece of a wall where its layer is thin."""
    factor, name, label = _readable(result, field)
    wall = _wall_values(result, field)
    zoom = _layer(result, field, wall)
    picture = _map(result, values=False, panel=zoom is not None)
    grid = result.cells.grid(picture.extent, *picture.pixels)
    values = grid.values(result.data[field]) / factor
    # What is normal at walls sets the colours, not what happens in a few corners.
    bulk = float(np.nanpercentile(np.abs(values), 99.5))
    top = max(bulk, float(np.percentile(np.abs(wall[:, 2]), 95)) / factor if len(wall) else 0.0)
    peak = float(np.nanmax(np.abs(values)))
    if peak < 1.1 * top:
        top = peak
    top = max(top, _floor(result, field) / factor) or 1.0
    unit = style.scale(top, name)
    how = {"cmap": "RdBu_r", "vmin": -top / unit.factor, "vmax": top / unit.factor}
    image = _image(picture, picture.axes, grid, values / unit.factor, **how)
    extend = "both" if peak > 1.01 * top else "neither"
    color_bar(picture, image, f"{label} ({unit.name})", extend)
    _finish(result, picture, values=False)
    if zoom is not None:
        side = round(picture.panel.bbox.width)
        close = result.cells.grid(zoom, side, side)
        seen = close.values(result.data[field]) / factor / unit.factor
        _image(picture, picture.panel, close, seen, **how)
        _zoomed(result, picture, zoom)
    return picture.figure


def _floor(result: Drawn, field: str) -> float:
    """What is too small for a scale of its own: a curl of 5 % of the current over the size.

    A flow without vorticity shall not look like one with vorticity because of rounding.
    """
    if not {"current_density", "vorticity"} <= result.data.keys():
        return 0.0
    box = result.outline.box
    size = max(box[1] - box[0], box[3] - box[2])
    largest = np.abs(result.data["current_density"]).max()
    vorticity = 0.05 * largest / size / abs(ELECTRON_CHARGE)
    ratio = np.abs(result.data[field]).max() / (np.abs(result.data["vorticity"]).max() or 1.0)
    return float(vorticity * ratio)


def _layer(result: Drawn, field: str, wall: np.ndarray) -> Extent | None:
    """A square on a wall, eight layers wide, where the layer is too thin for the whole picture.

    The thickness of the layer is the field integrated over the device and divided by its
    integral along the walls: the decay length, for an exponential.
    """
    if not len(wall):
        return None
    size = np.abs(wall[:, 2])
    steps = np.hypot(*np.diff(wall[:, :2], axis=0).T) * (np.diff(wall[:, 3]) == 0)
    along = ((size[1:] + size[:-1]) / 2 * steps).sum()
    p = result.cells.points
    (ax, ay), (bx, by) = (p[:, 1] - p[:, 0]).T, (p[:, 2] - p[:, 0]).T
    area = np.abs(ax * by - ay * bx) / 2
    inside = (np.abs(result.data[field]).mean(axis=1) * area).sum()
    box = result.outline.box
    extent = max(box[1] - box[0], box[3] - box[2])
    thickness = inside / along if along else 0.0
    if not 1e-5 * extent < thickness < 0.025 * extent or size.max() < _floor(result, field):
        return None
    # The middle of the stretch of wall where most happens.
    high = size > 0.8 * np.percentile(size, 98)
    segments, counts = np.unique(wall[high, 3], return_counts=True)
    best = wall[high & (wall[:, 3] == segments[np.argmax(counts)])]
    x, y = best[len(best) // 2, :2]
    half = 4 * thickness
    # Move the square until the wall is near its side: the outside is of no interest.
    grid = result.cells.grid((x - half, x + half, y - half, y + half), 40, 40)
    column, row = grid.pixel % 40, grid.pixel // 40
    toward = np.array([grid.x[column].mean() - x, grid.y[row].mean() - y])
    toward = toward / max(np.hypot(*toward), 1e-30) * half * 0.75
    x, y = x + toward[0], y + toward[1]
    return (x - half, x + half, y - half, y + half)


def _zoomed(result: Drawn, picture: Map, zoom: Extent) -> None:
    """Axes of the magnified panel, and where it belongs."""
    panel = picture.panel
    a, b, c, d = picture.shown(zoom)
    for chain in chains(result.outline.walls):
        panel.plot(*(chain.T / picture.length.factor), color=INK, linewidth=1.6)
    panel.set(xlim=(a, b), ylim=(c, d))
    panel.set_title("the dashed square, magnified", fontsize=10, color=_SQUARE)
    panel.yaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.spines[:].set(color=_SQUARE, linewidth=1.5)
    picture.axes.plot(
        [a, b, b, a, a], [c, c, d, d, c], color=_SQUARE, linestyle=(0, (3, 2)), zorder=7
    )


def _column(columns: dict[str, np.ndarray], start: str) -> tuple[np.ndarray, str] | None:
    """A column and its unit; densities in multiples of the reduced Planck constant."""
    names = [n for n in columns if n.startswith(f"{start}_")]
    names.sort(key=lambda n: "hbar" not in n)
    return (columns[names[0]], names[0].removeprefix(f"{start}_")) if names else None


def _axis(axes: Any, lines: list[tuple[Any, ...]], unit: str, label: str) -> None:
    """Draw lines (x, y, style) with a common unit."""
    chosen = style.scale(max(float(np.nanmax(np.abs(y))) for _, y, _ in lines), unit)
    for x, y, how in lines:
        axes.plot(x, y / chosen.factor, **how)
    axes.set_ylabel(f"{label} ({chosen.name})")
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)


def _edges(result: Drawn) -> Any:
    """Orbital density or vorticity, and tangential current, along each wall."""
    first = next(iter(result.edges.values()))
    kinds = [("orbital_density", "$L_z$"), ("vorticity", "Ω")]
    curl = next(((k, t) for k, t in kinds if _column(first, k)), None)
    rows = [*([curl] if curl else []), ("current_density_t", "$J_t$")]
    longest = max(float(c["s_m"].max()) for c in result.edges.values())
    length = style.length_scale(longest)
    figure, axes = line_figure(len(rows), f"{result.title}: along the walls")
    walls = [
        (name, columns, segment, int(columns["segment"].max()) + 1)
        for name, columns in result.edges.items()
        for segment in np.unique(columns["segment"])
    ]
    for panel, (key, label) in zip(axes, rows, strict=True):
        lines = []
        for i, (name, columns, segment, of) in enumerate(walls):
            here = columns["segment"] == segment
            found = _column(columns, key)
            assert found is not None
            text = name if of == 1 else f"{name} {int(segment) + 1}"
            how = {"color": LINES[i % len(LINES)], "label": text,
                   "linestyle": ("-", "--", ":")[i // len(LINES) % 3]}
            x = columns["s_m"][here] / length.factor
            lines.append((x, found[0][here], how))
            points = np.column_stack([columns["x_m"], columns["y_m"]])[here]
            exact = _closed_form(result, points)
            if exact and key in exact:
                text = "closed form" if i == len(walls) - 1 else "_"
                lines.append((x, exact[key], {**_EXACT, "label": text}))
        _axis(panel, lines, found[1], label)
    axes[-1].set_xlabel(f"arc length, conductor on the left ({length.name})")
    axes[-1].set_xlim(0, longest / length.factor)
    for panel in axes:
        panel.margins(y=0.12)
    axes[0].legend(loc="best", ncols=1 + len(walls) // 5)
    return figure


def _probe(result: Drawn, columns: dict[str, np.ndarray], name: str) -> Any:
    """Profiles along a probe, with the closed form where there is one."""
    points = np.column_stack([columns["x_m"], columns["y_m"]])
    s, axis_label = columns["s_m"], "distance along the probe"
    exact = _closed_form(result, points)
    along = None
    if exact and np.ptp(exact["y"]) < 1e-3 * np.ptp(s):
        along = exact["along"]
    elif exact:
        s, along, axis_label = exact["y"], exact["along"], "distance from the centre line"
    rows = _probe_rows(columns, along)
    # A probe along an equipotential would show nothing but errors of discretisation.
    given = [c["potential_V"] for c in result.summary["contacts"].values()]
    rows = [r for r in rows if r[0] != "potential" or np.ptp(r[2][0][1]) > 1e-3 * np.ptp(given)]
    length = style.length_scale(float(np.ptp(s)))
    figure, axes = line_figure(len(rows), f"{result.title}: probe “{name}”")
    for panel, (key, label, lines, unit) in zip(axes, rows, strict=True):
        several = len(lines) > 1
        drawn = [
            (s / length.factor, y, {"color": LINES[i], "label": text if several else "meso"})
            for i, (text, y) in enumerate(lines)
        ]
        if exact and key in exact:
            how = {**_EXACT, "label": f"closed form, {exact['source'][key]}"}
            drawn.append((s / length.factor, exact[key], how))
        _axis(panel, drawn, unit, label)
        if len(drawn) > 1:
            panel.legend(loc="best")
    axes[-1].set_xlabel(f"{axis_label} ({length.name})")
    axes[-1].margins(x=0)
    return figure


def _probe_rows(
    columns: dict[str, np.ndarray], along: np.ndarray | None
) -> list[tuple[str, str, list[tuple[str, np.ndarray]], str]]:
    """Panels of a probe: key, label, lines (name, values), unit."""
    rows = []
    x, y = (_column(columns, f"current_density_{k}") for k in "xy")
    if x and y:
        if along is not None:
            value = x[0] * along[0] + y[0] * along[1]
            rows.append(("current_density", "$J$", [("$J$", value)], x[1]))
        else:
            rows.append(("current_density", "$J$", [("$J_x$", x[0]), ("$J_y$", y[0])], x[1]))
    for key, label in (("orbital_density", "$L_z$"), ("vorticity", "Ω")):
        found = _column(columns, key)
        if found:
            rows.append((key, label, [(label, found[0])], found[1]))
            break
    potential = _column(columns, "potential")
    if potential and (along is None or not rows):
        rows.append(("potential", "φ", [("φ", potential[0])], "V"))
    return rows


def _closed_form(result: Drawn, points: np.ndarray) -> dict[str, Any] | None:
    """The exact profile of a ribbon at points, if the device is one."""
    form = result.summary["closed_form"]
    if not form or form["name"] != "ribbon":
        return None
    from meso.exact import Ribbon

    ribbon = Ribbon(
        width=form["width_m"],
        diffusion_length=form["vorticity_diffusion_length_m"],
        slip_rate=form["slip_rate_per_m"],
        drive=form["drude_current_density"],
    )
    y = (points - form["center_m"]) @ np.array(form["across"])
    half = ribbon.width / 2
    inside = np.where(np.abs(y) <= half * (1 + 1e-9), np.clip(y, -half, half), np.nan)
    curl = ribbon.curl(inside)
    out = {
        "y": y,
        "along": np.array(form["along"]),
        "current_density": ribbon.current_density(inside),
        # With the conductor on the left, t is along the ribbon on its right side.
        "current_density_t": -np.sign(y) * ribbon.current_density(inside),
        "vorticity": curl / ELECTRON_CHARGE,
        "source": {"current_density": "Valet et al. 2025, eq. 9",
                   "vorticity": "curl of eq. 9", "orbital_density": "eq. 10"},
    }
    if form["orbital_coupling_J_s_per_A"] is not None:
        out["orbital_density"] = curl * form["orbital_coupling_J_s_per_A"] / HBAR
    return out
