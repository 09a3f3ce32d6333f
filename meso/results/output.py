"""The result directory: it appears complete, under its name, or not at all."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np

from meso.case import Figures
from meso.constants import HBAR
from meso.discrete.fields import cellwise
from meso.discrete.sampling import probe_points, sample
from meso.equations.derived import TABLE, component
from meso.errors import CaseError, MesoError
from meso.files.directory import WIRE, copy_written, hold, is_result, new_result, replace_file
from meso.files.naming import file_names
from meso.files.vtu import write_pvd
from meso.geometry import gmsh_process
from meso.mpi import failing_together, on_root, together, total
from meso.observables.edges import profile, surface
from meso.observables.spot import seen
from meso.observables.within import near_walls
from meso.reports import NAME as REPORT
from meso.reports import write_report
from meso.results.paraview import MADE, curls, macro, write_boundaries, write_fields, write_walls
from meso.results.result import Result
from meso.results.summary import summary

#: What another process does with a folder: :func:`meso.figures.draw_shared`.
_DRAWING = "figures.draw_shared"

# Fields that are densities of angular momentum, also told in units of ħ.
_DENSITIES = (
    *("spin_density_", "spin_total_density_"),
    *("orbital_diffusive_density_", "orbital_total_density_"),
)


def save(result: Result, directory: Path, *, figures: bool = True, format: str = "vtu") -> None:
    """Write everything that a run leaves, in place of an earlier result.

    Fields are "vtu" (opens anywhere) or "vtx" (ADIOS2, for large series).
    """
    with begun(result, directory, figures=figures, format=format) as finish:
        finish(result)


@contextmanager
def begun(
    result: Result, directory: Path, *, figures: bool = True, format: str = "vtu"
) -> Iterator[Callable[[Result], None]]:
    """The same in two steps: within this context errors of the numbers can still be found.

    Its fields are written, and another process begins to draw them. The function that the context
    gives takes the result with its errors; it is to be called once. The directory appears, as that
    result, at the end.
    """
    comm = result.device.comm
    with failing_together(comm), new_result(directory, comm) as folder:
        numbers = _write(result, folder, directory.resolve(), format)
        pictured = figures and format == "vtu"

        def record(numbers: dict[str, Any]) -> None:
            text = json.dumps(numbers, indent=2, default=_plain) + "\n"
            replace_file(folder / "summary.json", text.encode())

        def start() -> None:
            record(numbers)
            if pictured and _apart():
                with suppress(ConnectionError):  # it has ended: this one will draw
                    gmsh_process.ask(_DRAWING, folder)

        def finish(whole: Result) -> None:
            found = summary(whole) | {"files": numbers["files"]}
            # Of Linux, in KiB: the most that each process has had.
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            found["solver"]["memory_bytes"] = total(comm, peak)

            def write() -> None:
                if pictured:
                    _draw(folder)
                record(found)
                write_report(folder)

            on_root(comm, write)

        on_root(comm, start)
        try:
            _for_paraview(result, folder, format)
            yield finish
        finally:
            if comm.rank == 0:
                gmsh_process.forget()  # before the folder goes
    # The log of an earlier failure beside a newer result would mislead.
    on_root(comm, lambda: _forget_failure(directory))


def redraw(directory: Path, look: Figures | None = None) -> list[Path]:
    """Draw the pictures of a result directory again, in one process, as its case says or so."""
    from meso.figures import draw

    if is_result(directory, WIRE):
        from meso.results.wires import redraw_wire

        return redraw_wire(directory, look)
    with hold(directory):
        if not is_result(directory):
            raise CaseError(f"{directory}: no result directory (no summary.json of a run in it)")
        if not (directory / "fields.pvd").is_file():
            raise CaseError(f"{directory}: its fields are no .vtu files; pictures need those")
        with new_result(directory) as folder:
            copy_written(directory, folder, leave=("figures", "summary.json", REPORT))
            text = (directory / "summary.json").read_text(encoding="utf-8")
            (folder / "summary.json").write_text(text, encoding="utf-8")
            drawn = [path.relative_to(folder) for path in draw(folder, figures=look, tell=_tell)]
            write_report(folder)
    return [directory / path for path in drawn]


#: How the third line of a log begins, after those with version and case.
NOT_CONVERGED = "did not converge: "


def log_of(directory: Path) -> Path | None:
    """Where a run that did not converge leaves its log; None where a file of the user's is."""
    path = directory.parent / f"{directory.name}.log"
    with suppress(FileNotFoundError):
        lines = path.read_bytes().split(b"\n", 3)
        if len(lines) < 3 or not lines[2].startswith(NOT_CONVERGED.encode()):
            return None
    return path


def _forget_failure(directory: Path) -> None:
    with suppress(OSError):
        if (path := log_of(directory)) is not None:
            path.unlink(missing_ok=True)


def _write(result: Result, folder: Path, final: Path, format: str) -> dict[str, Any]:
    """Write what says nothing of errors; the summary so far, with the names of files."""
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

    def text_files() -> None:
        text = result.case.to_toml(relative_to=final)
        (folder / "case.toml").write_text(text, encoding="utf-8")
        for name, rows in tables.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            _csv(path, rows)

    on_root(comm, text_files)
    if format == "vtx":
        on_root(comm, (folder / "fields").mkdir)
        _vtx(result, folder)
    else:
        _parts(result, folder, "fields", write_fields)
    if result.device.dimension == 3 and result.walls:
        _parts(result, folder, "walls", write_walls)
    return summary(result) | {"files": files}


def _for_paraview(result: Result, folder: Path, format: str) -> None:
    """Write what pictures are not drawn from."""
    if format == "vtu" and "current_density" in result.written:
        state = macro(result)
        path = folder / "paraview_state.py"
        on_root(result.device.comm, lambda: path.write_text(state, encoding="utf-8"))
    _parts(result, folder, "boundaries", write_boundaries)


def _parts(result: Result, folder: Path, what: str, write: Callable[[Result, Path], None]) -> None:
    """Write a file of each rank, and one with all of them."""
    comm = result.device.comm
    on_root(comm, (folder / what).mkdir)
    together(comm, lambda: write(result, folder / what / f"part{comm.rank}.vtu"))
    parts = [f"{what}/part{rank}.vtu" for rank in range(comm.size)]
    on_root(comm, lambda: write_pvd(folder / f"{what}.pvd", parts))


def _apart() -> bool:
    """Whether another process can draw, as this one would."""
    # Who has Matplotlib loaded may have set it up, and another process would not know.
    return "matplotlib" not in sys.modules and gmsh_process.is_running()


def _draw(folder: Path) -> None:
    """Draw the pictures, by several processes where that is possible."""
    if _apart():
        gmsh_process.load("figures")  # its fork has done so; for the next time
        with suppress(MesoError):  # such as a full memory: one picture at a time takes less
            gmsh_process.call(_DRAWING, folder, _tell)
            return
    from meso.figures import draw

    draw(folder, tell=_tell)


def _tell(text: str) -> None:
    print(f"meso: {text}", file=sys.stderr, flush=True)


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
    if result.flow.kinetic and {"vorticity", *MADE} & set(result.written):
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
    return name in MADE or name.startswith(_DENSITIES)


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
    factors = {} if result.case.flow.kinetic else curls(result)
    made = {TABLE[n].stem or n: kappa for n, kappa in factors.items() if kappa.ndim > 1}
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
    for name, factor in factors.items():
        if factor.ndim == 1:
            value = (vorticity.T * factor[rows["region"].astype(int)]).T
        else:
            value = np.column_stack([rows[component(name, axis)] for axis in "xyz"])
        columns |= _columns(name, result.fields[name].unit, value)
    for field in extra:
        columns |= _columns(field.name, field.unit, rows[field.name])
    columns["segment"] = rows["segment"]
    return columns


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
