"""The result directory: it appears complete, under its name, or not at all."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import dolfinx
import numpy as np

from meso.case import Figures
from meso.constants import ELECTRON_CHARGE, HBAR
from meso.discrete.cells import cells_of
from meso.discrete.fields import cellwise
from meso.discrete.sampling import probe_points, sample
from meso.equations.derived import TABLE, component
from meso.errors import CaseError, MesoError
from meso.files.directory import copy_written, hold, is_result, new_result
from meso.files.naming import file_names
from meso.files.vtu import vtk_nodes, write_pvd, write_vtu
from meso.geometry import gmsh_process
from meso.mpi import on_root, together, total
from meso.observables.corners import clipped
from meso.observables.edges import WallValues, profile, surface, wall_values
from meso.observables.spot import seen
from meso.orbital import couplings, near_walls
from meso.reports import NAME as REPORT
from meso.reports import write_report
from meso.results.result import Result
from meso.results.summary import summary

# Fields that are densities of angular momentum, also told in units of ħ.
_DENSITIES = (
    *("spin_density_", "spin_total_density_"),
    *("orbital_diffusive_density_", "orbital_total_density_"),
)
# What gradients of the current make.
_MADE = ("orbital_density", "spin_density")


def save(result: Result, directory: Path, *, figures: bool = True, format: str = "vtu") -> None:
    """Write everything that a run leaves, in place of an earlier result.

    Fields are "vtu" (opens anywhere) or "vtx" (ADIOS2, for large series).
    """
    comm = result.device.comm
    with new_result(directory, comm) as folder:
        _write(result, folder, directory.resolve(), figures, format)
    # The log of an earlier failure beside a newer result would mislead.
    on_root(comm, lambda: log_of(directory).unlink(missing_ok=True))


def redraw(directory: Path, look: Figures | None = None) -> list[Path]:
    """Draw the pictures of a result directory again, in one process, as its case says or so."""
    from meso.figures import draw

    with hold(directory):
        if not is_result(directory):
            raise CaseError(f"{directory}: no result directory (no summary.json of a run in it)")
        if not (directory / "fields.pvd").is_file():
            raise CaseError(f"{directory}: its fields are no .vtu files; pictures need those")
        with new_result(directory) as folder:
            copy_written(directory, folder, leave=("figures", "summary.json", REPORT))
            text = (directory / "summary.json").read_text(encoding="utf-8")
            (folder / "summary.json").write_text(text, encoding="utf-8")
            drawn = [path.relative_to(folder) for path in draw(folder, figures=look)]
            write_report(folder)
    return [directory / path for path in drawn]


def log_of(directory: Path) -> Path:
    """Where a run that did not converge leaves its log."""
    return directory.parent / f"{directory.name}.log"


def _write(result: Result, folder: Path, final: Path, figures: bool, format: str) -> None:
    comm = result.device.comm
    output = result.case.output
    kinds: dict[str, tuple[Iterable[str], Callable[[str], dict[str, np.ndarray]]]] = {
        "probes": (output.probes, lambda name: _probe(result, name)),
        "edges": (result.walls, lambda name: _edge(result, name)),
        "distributions": (
            output.distributions,
            lambda name: result.flow.distribution.table(np.array(output.distributions[name])),
        ),
    }
    if (counted := result.flow.counted) is not None:
        kinds["arrivals"] = (result.contacts, counted.arrivals)
    files: dict[str, dict[str, str]] = {}
    tables: dict[str, dict[str, np.ndarray]] = {}
    for kind, (names, columns) in kinds.items():
        # The one place where names become those of files.
        files[kind] = {name: f"{kind}/{stem}.csv" for name, stem in file_names(names).items()}
        tables |= {path: columns(name) for name, path in files[kind].items()}
    numbers = summary(result) | {"files": files}
    # Of Linux, in KiB: the most that each process has had.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    numbers["solver"]["memory_bytes"] = total(comm, peak)
    writers = {"fields": _vtu}
    if result.device.dimension == 3 and result.walls:
        writers["walls"] = _walls

    def text_files() -> None:
        text = result.case.to_toml(relative_to=final)
        (folder / "case.toml").write_text(text, encoding="utf-8")
        for name, rows in tables.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            _csv(path, rows)
        for what in writers:
            (folder / what).mkdir()

    on_root(comm, text_files)
    for what, write in writers.items():
        if what == "fields" and format == "vtx":
            _vtx(result, folder)
            continue
        together(comm, lambda w=write, to=what: w(result, folder / to / f"part{comm.rank}.vtu"))  # type: ignore[misc]
        parts = [f"{what}/part{rank}.vtu" for rank in range(comm.size)]
        on_root(comm, lambda to=what, p=parts: write_pvd(folder / f"{to}.pvd", p))  # type: ignore[misc]

    def finish() -> None:
        text = json.dumps(numbers, indent=2, default=_plain) + "\n"
        (folder / "summary.json").write_text(text, encoding="utf-8")
        if figures and format == "vtu":
            _draw(folder)
        write_report(folder)

    on_root(comm, finish)


def _draw(folder: Path) -> None:
    """Draw the pictures, by several processes where that is possible."""
    # Who has Matplotlib loaded may have set it up, and another process would not know.
    if "matplotlib" not in sys.modules and gmsh_process.is_running():
        gmsh_process.load("figures")  # its fork has done so; for the next time
        with suppress(MesoError):  # such as a full memory: one picture at a time takes less
            gmsh_process.call("figures.draw_shared", folder)
            return
    from meso.figures import draw

    draw(folder)


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} in summary.json")


def _csv(path: Path, columns: dict[str, np.ndarray]) -> None:
    rows = np.column_stack(list(columns.values()))
    header = ",".join(columns)
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.15g")


def _probe(result: Result, name: str) -> dict[str, np.ndarray]:
    """Columns along a probe: position, arc length, fields."""
    probe = result.case.output.probes[name]
    points = probe_points(probe, result.device.dimension)
    values = result.sample(points)
    columns = {f"{axis}_m": points[:, i] for i, axis in enumerate("xyz"[: points.shape[1]])}
    columns["s_m"] = np.linspace(0.0, np.linalg.norm(points[-1] - points[0]), len(points))
    for key in result.written:
        columns |= _columns(key, result.fields[key].unit, values[key])
    if result.flow.kinetic and {"vorticity", *_MADE} & set(result.written):
        # Where these are means of the cell: at a rough wall they have no better value.
        near = near_walls(result.flow).astype(float)[:, None]
        columns |= sample(
            result.device, [cellwise("cell_mean", "", result.device, 0, near)], points
        )
    if probe.resolution is not None:
        fields = [result.fields[key] for key in result.written if _is_density(key)]
        found = seen(result.device, fields, points, probe.resolution)
        for field in fields:
            columns |= _columns(f"seen_{field.name}", field.unit, found[field.name])
    return columns


def _is_density(name: str) -> bool:
    """Whether a field is a density of angular momentum."""
    return name in _MADE or name.startswith(_DENSITIES)


def _columns(name: str, unit: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """A field as columns: one, or one for each component; in units of ħ too where that suits."""
    axes = "xyz"[: values.shape[1]] if values.ndim > 1 else [""]
    units = {unit: values}
    if _is_density(name.removeprefix("seen_")):
        units[unit.replace("J_s_", "hbar_")] = values / HBAR
    return {
        f"{component(name, axis)}_{unit}": values if values.ndim == 1 else values[:, i]
        for unit, values in units.items()
        for i, axis in enumerate(axes)
    }


def _edge(result: Result, wall: str) -> dict[str, np.ndarray]:
    """Columns of a wall's table.

    In 2D along the wall: arc length, position, J_t, vorticity, L_z. In 3D at quadrature points of
    its facets: position, outward normal, area that the point stands for, and vectors.
    """
    flow = result.flow
    unit = flow.fields["current_density"].unit
    extra = [field for name, field in result.fields.items() if name.startswith(_DENSITIES)]
    # At a rough wall the vorticity of a kinetic flow diverges: there is no value to tell.
    curls = {} if result.case.flow.kinetic else _curls(result)
    made = {TABLE[n].stem or n: kappa for n, kappa in curls.items() if kappa.ndim > 1}
    if result.device.dimension == 2:
        rows = profile(flow, wall, flow.order, extra, made)
        columns = {f"{key}_m": rows[key] for key in "sxy"}
        columns[f"current_density_t_{unit}"] = rows["J_t"]
        vorticity = rows["vorticity"]
    else:
        rows = surface(flow, wall, flow.order, extra, made)
        columns = {f"{axis}_m": rows[axis] for axis in "xyz"}
        columns |= {f"normal_{axis}": rows[f"normal_{axis}"] for axis in "xyz"}
        columns["area_m2"] = rows["area"]
        columns |= {f"current_density_{axis}_{unit}": rows[f"J_{axis}"] for axis in "xyz"}
        vorticity = np.column_stack([rows[f"vorticity_{axis}"] for axis in "xyz"])
    for name, factor in curls.items():
        if factor.ndim == 1:
            value = (vorticity.T * factor[rows["region"].astype(int)]).T
        else:
            value = np.column_stack([rows[component(name, axis)] for axis in "xyz"])
        columns |= _columns(name, result.fields[name].unit, value)
    for field in extra:
        columns |= _columns(field.name, field.unit, rows[field.name])
    columns["segment"] = rows["segment"]
    return columns


def _curls(result: Result) -> dict[str, np.ndarray]:
    """Fields that are multiples of the vorticity, and their factor in each region.

    Of those that are made of all of the gradient of J, the tensor kappa.
    """
    out: dict[str, np.ndarray] = {}
    if "vorticity" in result.fields:
        out["vorticity"] = np.ones(len(result.device.regions))
    for name in [name for name in _MADE if name in result.fields]:
        kappa = couplings(result.flow, name.removesuffix("_density"))
        assert kappa is not None
        out[name] = kappa * ELECTRON_CHARGE if kappa.ndim == 1 else kappa
    return out


def _vtu(result: Result, path: Path) -> None:
    """The fields on the cells of this rank."""
    device = result.device
    cells = cells_of(device)
    fields = {name: result.fields[name] for name in result.written}
    degree = max([cells.degree, *(f.degree for f in fields.values())])
    reference = vtk_nodes(degree, device.dimension)
    points = cells.positions(np.arange(cells.count), reference) * device.extent
    data = {}
    for name, field in fields.items():
        values = field.everywhere(reference)
        data[name] = values if field.components > 1 else values[..., 0]
        found = result.extrema.get(name)
        if found is not None and found.spikes:
            # Programs take colours from the whole range, whatever a file says about it.
            within = clipped(values, found)
            data[f"{name}_clipped"] = within if field.components > 1 else within[..., 0]
    write_vtu(path, points, data)


def _walls(result: Result, path: Path) -> None:
    """The walls of a 3D device as triangles of the true degree, with what happens at them."""
    flow, device = result.flow, result.device
    degree = max(cells_of(device).degree, flow.fields["current_density"].degree)
    walls = {name: wall_values(flow, name, vtk_nodes(degree)) for name in result.walls}

    def joined(take: Callable[[WallValues], np.ndarray]) -> np.ndarray:
        return np.concatenate([take(values) for values in walls.values()])

    data = {
        "current_density": joined(lambda v: v.current),
        "normal": joined(lambda v: v.geometry.normal),
    }
    vorticity, region = joined(lambda v: v.vorticity), joined(lambda v: v.region)
    for name, factor in _curls(result).items():
        if factor.ndim == 1:
            data[name] = vorticity * factor[region][:, None, None]
        else:
            data[name] = joined(lambda v, kappa=factor: v.contracted(kappa))  # type: ignore[misc]
    counts = [len(values.region) for values in walls.values()]
    cell_data = {
        "wall": np.repeat(np.arange(len(walls)), counts),
        "segment": joined(lambda v: v.facets.piece),
    }
    write_vtu(
        path,
        joined(lambda v: v.position),
        data,
        dimension=2,
        cell_data=cell_data,
        names={"wall_names": tuple(walls)},
    )


def _vtx(result: Result, folder: Path) -> None:
    if not dolfinx.has_adios2:
        raise MesoError("this DOLFINx has no ADIOS2: use --format vtu")
    device = result.device
    for name in result.written:
        field = result.fields[name]
        with dolfinx.io.VTXWriter(
            device.comm, str(folder / "fields" / f"{name}.bp"), [field.function()]
        ) as writer:
            writer.write(0.0)
