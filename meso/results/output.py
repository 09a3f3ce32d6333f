"""The result directory: it appears complete, under its name, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dolfinx
import numpy as np

from meso.constants import ELECTRON_CHARGE, HBAR
from meso.discrete.cells import cells_of
from meso.discrete.sampling import probe_points
from meso.errors import CaseError, MesoError
from meso.files.directory import check_directory, copy_written, hold, is_result, new_result
from meso.files.naming import file_names
from meso.files.vtu import lagrange_nodes, vtk_order, write_pvd, write_vtu
from meso.mpi import on_root, together
from meso.observables.corners import clipped
from meso.observables.edges import WallValues, profile, surface, wall_values
from meso.orbital import couplings
from meso.results.result import Result
from meso.results.summary import summary

__all__ = ["check_directory", "curl_like", "edge", "is_result", "log_of", "redraw", "save"]


def save(result: Result, directory: Path, *, figures: bool = True, format: str = "vtu") -> None:
    """Write everything that a run leaves.

    Args:
        result: The result.
        directory: Where; a result that is there already is replaced.
        figures: True to draw pictures.
        format: "vtu" (opens anywhere) or "vtx" (ADIOS2, for large series).

    Raises:
        CaseError: The directory holds something else, or somebody else writes it.
        MesoError: It cannot be written.
    """
    comm = result.device.comm
    directory = Path(directory)
    with new_result(directory, comm) as folder:
        _write(result, folder, directory.resolve(), figures, format)
    # The log of an earlier failure beside a newer result would mislead.
    on_root(comm, lambda: log_of(directory).unlink(missing_ok=True))


def redraw(directory: Path) -> list[Path]:
    """Draw the pictures of a result again, in one process.

    Args:
        directory: A result directory.

    Returns:
        The pictures.

    Raises:
        CaseError: It is no result, or its fields cannot be drawn.
    """
    from meso.figures import draw

    with hold(directory):
        if not is_result(directory):
            raise CaseError(f"{directory}: no result directory (no summary.json of a run in it)")
        if not (directory / "fields.pvd").is_file():
            raise CaseError(f"{directory}: its fields are no .vtu files; pictures need those")
        with new_result(directory) as folder:
            copy_written(directory, folder, leave=("figures", "summary.json"))
            text = (directory / "summary.json").read_text(encoding="utf-8")
            (folder / "summary.json").write_text(text, encoding="utf-8")
            drawn = [path.relative_to(folder) for path in draw(folder)]
    return [directory / path for path in drawn]


def log_of(directory: Path) -> Path:
    """Where a run that did not converge leaves its log."""
    return directory.parent / f"{directory.name}.log"


def _write(result: Result, folder: Path, final: Path, figures: bool, format: str) -> None:
    comm = result.device.comm
    output = result.case.output
    kinds = {"probes": output.probes, "edges": result.walls, "distributions": output.distributions}
    columns: dict[str, Callable[[str], dict[str, np.ndarray]]] = {
        "probes": lambda name: _probe(result, name),
        "edges": lambda name: edge(result, name),
        "distributions": lambda name: result.flow.distribution.table(
            np.array(output.distributions[name])
        ),
    }
    # The one place where names become those of files.
    files = {
        kind: {name: f"{kind}/{stem}.csv" for name, stem in file_names(names).items()}
        for kind, names in kinds.items()
    }
    tables = {
        path: columns[kind](name) for kind, paths in files.items() for name, path in paths.items()
    }
    numbers = summary(result) | {"files": files}
    surfaces = result.device.dimension == 3 and bool(result.walls)

    def text_files() -> None:
        text = result.case.to_toml(relative_to=final)
        (folder / "case.toml").write_text(text, encoding="utf-8")
        for name, rows in tables.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            _csv(path, rows)
        (folder / "fields").mkdir()
        if surfaces:
            (folder / "walls").mkdir()

    on_root(comm, text_files)

    def parts(what: str) -> None:
        names = [f"{what}/part{rank}.vtu" for rank in range(comm.size)]
        on_root(comm, lambda: write_pvd(folder / f"{what}.pvd", names))

    if format == "vtx":
        _vtx(result, folder)
    else:
        together(comm, lambda: _vtu(result, folder))
        parts("fields")
    if surfaces:
        together(comm, lambda: _walls(result, folder))
        parts("walls")

    def finish() -> None:
        text = json.dumps(numbers, indent=2, default=_plain) + "\n"
        (folder / "summary.json").write_text(text, encoding="utf-8")
        if figures and format == "vtu":
            from meso.figures import draw

            draw(folder)

    on_root(comm, finish)


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} in summary.json")


def _csv(path: Path, columns: dict[str, np.ndarray]) -> None:
    np.savetxt(
        path,
        np.column_stack(list(columns.values())),
        delimiter=",",
        header=",".join(columns),
        comments="",
        fmt="%.15g",
    )


def _probe(result: Result, name: str) -> dict[str, np.ndarray]:
    probe = result.case.output.probes[name]
    points = probe_points(probe, result.device.dimension)
    length = np.linalg.norm(points[-1] - points[0])
    values = result.sample(points)
    columns = {f"{axis}_m": points[:, i] for i, axis in enumerate("xyz"[: points.shape[1]])}
    columns["s_m"] = np.linspace(0.0, length, probe.points)
    for key in result.written:
        value = values[key]
        unit = result.fields[key].unit
        columns |= _columns(key, unit, value)
        if key == "orbital_density" or is_density(key):
            columns |= _columns(key, _hbar(unit), value / HBAR)
    return columns


def _columns(name: str, unit: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """A field as columns: one, or one for each component."""
    if values.ndim == 1:
        return {f"{name}_{unit}": values}
    axes = "xyz"[: values.shape[1]]
    return {f"{name}_{axis}_{unit}": values[:, i] for i, axis in enumerate(axes)}


def edge(result: Result, wall: str) -> dict[str, np.ndarray]:
    """Columns of a wall's table.

    In 2D along the wall: arc length, position, J_t, vorticity, L_z. In 3D at quadrature points of
    its facets: position, outward normal, area that the point stands for, and vectors.
    """
    flow = result.flow
    unit = flow.fields["current_density"].unit
    extra = [field for name, field in result.fields.items() if is_density(name)]
    if result.device.dimension == 2:
        rows = profile(flow, wall, flow.order, extra)
        columns = {
            "s_m": rows["s"],
            "x_m": rows["x"],
            "y_m": rows["y"],
            f"current_density_t_{unit}": rows["J_t"],
        }
        vorticity = rows["vorticity"]
    else:
        rows = surface(flow, wall, flow.order, extra)
        columns = {f"{axis}_m": rows[axis] for axis in "xyz"}
        columns |= {f"normal_{axis}": rows[f"normal_{axis}"] for axis in "xyz"}
        columns["area_m2"] = rows["area"]
        columns |= {f"current_density_{axis}_{unit}": rows[f"J_{axis}"] for axis in "xyz"}
        vorticity = np.column_stack([rows[f"vorticity_{axis}"] for axis in "xyz"])
    # At a rough wall the vorticity of a kinetic flow diverges: there is no value to tell.
    curls = {} if flow.model == "kinetic" else curl_like(result)
    for name, (unit, factor) in curls.items():
        value = (vorticity.T * factor[rows["region"].astype(int)]).T
        columns |= _columns(name, unit, value)
        if name == "orbital_density":
            columns |= _columns(name, _hbar(unit), value / HBAR)
    for field in extra:
        columns |= _columns(field.name, field.unit, rows[field.name])
        columns |= _columns(field.name, _hbar(field.unit), rows[field.name] / HBAR)
    columns["segment"] = rows["segment"]
    return columns


def is_density(name: str) -> bool:
    """Whether a field is a component of a density of angular momentum."""
    starts = ("spin_density_", "orbital_diffusive_density_", "orbital_total_density_")
    return name.startswith(starts)


def curl_like(result: Result) -> dict[str, tuple[str, np.ndarray]]:
    """Fields that are multiples of the vorticity: unit, and factor in each region."""
    out: dict[str, tuple[str, np.ndarray]] = {}
    one: np.ndarray = np.ones(len(result.device.regions))
    if "vorticity" in result.fields:
        out["vorticity"] = result.fields["vorticity"].unit, one
    if "orbital_density" in result.fields:
        kappa = couplings(result.flow)
        assert kappa is not None
        out["orbital_density"] = result.fields["orbital_density"].unit, kappa * ELECTRON_CHARGE
    return out


def _hbar(unit: str) -> str:
    return unit.replace("J_s_", "hbar_")


def _vtu(result: Result, folder: Path) -> None:
    device = result.device
    cells = cells_of(device)
    fields = {name: result.fields[name] for name in result.written}
    degree = max([cells.degree, *(f.degree for f in fields.values())])
    reference = lagrange_nodes(degree, device.dimension)
    order = vtk_order(len(reference), device.dimension)
    points = cells.positions(np.arange(cells.count), reference) * device.extent
    data = {}
    for name, field in fields.items():
        values = field.everywhere(reference)[:, order]
        data[name] = values if field.components > 1 else values[..., 0]
        found = result.extrema.get(name)
        if found is not None and found.spikes:
            # Programs take colours from the whole range, whatever a file says about it.
            within = clipped(values, found)
            data[f"{name}_clipped"] = within if field.components > 1 else within[..., 0]
    write_vtu(folder / "fields" / f"part{device.comm.rank}.vtu", points[:, order], data)


def _walls(result: Result, folder: Path) -> None:
    """The walls of a 3D device as triangles of the true degree, with what happens at them."""
    flow, device = result.flow, result.device
    degree = max(cells_of(device).degree, flow.fields["current_density"].degree)
    nodes = lagrange_nodes(degree)[vtk_order((degree + 1) * (degree + 2) // 2)]
    walls = {name: wall_values(flow, name, nodes) for name in result.walls}

    def joined(take: Callable[[WallValues], np.ndarray]) -> np.ndarray:
        return np.concatenate([take(values) for values in walls.values()])

    data = {
        "current_density": joined(lambda v: v.current),
        "normal": joined(lambda v: v.geometry.normal),
    }
    vorticity, region = joined(lambda v: v.vorticity), joined(lambda v: v.region)
    for name, (_, factor) in curl_like(result).items():
        data[name] = vorticity * factor[region][:, None, None]
    counts = [len(values.region) for values in walls.values()]
    cell_data = {
        "wall": np.repeat(np.arange(len(walls)), counts),
        "segment": joined(lambda v: v.facets.piece),
    }
    write_vtu(
        folder / "walls" / f"part{device.comm.rank}.vtu",
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
