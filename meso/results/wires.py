"""Wires along their axis: from a case to numbers, and to a result directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from meso.case import Case, Figures
from meso.compiled import announced
from meso.constants import HBAR
from meso.device import Device
from meso.discrete.cells import cells_of
from meso.discrete.fields import Field
from meso.errors import CaseError
from meso.evidence.wires import WireConvergence, converge_wire
from meso.files.directory import WIRE as RECORD
from meso.files.directory import copy_written, hold, new_result
from meso.files.vtu import vtk_nodes, write_pvd, write_vtu
from meso.flow.flights import Flights, uniform
from meso.flow.wire import Wire, WireFlow
from meso.mpi import failing_together, on_root, together
from meso.observables.accumulation import EdgeMoment
from meso.observables.wires import along_walls_of, orbital_density, vorticity
from meso.reports import NAME as REPORT
from meso.reports import write_report
from meso.results.running import build_device, check_fit, located
from meso.results.summary import versions


@dataclass(frozen=True, kw_only=True, eq=False)
class WireResult:
    """What :func:`wire` returns, in SI units.

    Attributes:
        case: The case.
        flow: The flow with most harmonics, in the case's field or with its current.
        conductance: Current over field I/E, S m, in the limit of many harmonics.
        conductance_error: Its estimated error.
        bounds: Between which I/E is, on this section; None in the hydrodynamic model.
        edge_moments: Orbital angular momentum of each smooth piece of a wall, along e_z x n for the
            outward normal n, J s for each metre of the wire, with estimated errors; empty where
            materials have no orbital coupling.
        warnings: What a careful user should know.
    """

    case: Case
    flow: WireFlow
    conductance: float
    conductance_error: float
    bounds: tuple[float, float] | None
    edge_moments: tuple[EdgeMoment, ...]
    warnings: tuple[str, ...]

    @property
    def field(self) -> float:
        """E along z, V/m."""
        return self.flow.field

    @property
    def current(self) -> float:
        """I, A."""
        return self.conductance * self.field

    @property
    def relative_conductivity(self) -> float:
        """I over that without walls: the mean conductivity of the wire over that of its bulk."""
        return self.conductance / self.flow.bulk

    @property
    def fields(self) -> dict[str, Field]:
        """J_z, its curl in the plane and, if it is known, the orbital density, SI."""
        fields = {"current_density_z": self.flow.current_density, "vorticity": vorticity(self.flow)}
        density = orbital_density(self.flow)
        return fields if density is None else fields | {"orbital_density": density}

    @property
    def _moments(self) -> list[float]:
        return [float(np.sum(m.moment)) for m in self.edge_moments]

    def summary(self) -> dict[str, Any]:
        """What wire.json holds; keys carry their unit."""
        flow, device = self.flow, self.flow.device
        relative = self.conductance_error / self.conductance
        out = {
            "title": self.case.title,
            "case_hash": self.case.hash,
            "versions": versions(),
            "model": flow.model,
            "order": flow.order,
            "harmonics": flow.harmonics,
            "free_flights": flow.free,
            "mesh": {
                "file": self.case.geometry.file.name,
                "cells": device.cells,
                "area_m2": device.measure,
                "ranks": device.comm.size,
            },
            "solver": flow.evidence,
            "field_V_per_m": self.field,
            "current_A": self.current,
            "current_error_A": abs(self.current) * relative,
            "conductance_S_m": self.conductance,
            "conductance_error_S_m": self.conductance_error,
            "conductivity_over_bulk": self.relative_conductivity,
            "conductivity_over_bulk_error": self.relative_conductivity * relative,
            "resistance_per_length_ohm_per_m": 1 / self.conductance,
            "walls": [piece.boundary for piece in device.pieces],
            "edge_moments": [
                {
                    "wall": m.wall,
                    "length_m": m.measure,
                    "center_m": list(m.center),
                    "orbital_moment_J_s_per_m": m.moment,
                    "orbital_moment_error_J_s_per_m": m.error,
                    "orbital_moment_hbar_per_m": moment / HBAR,
                }
                for m, moment in zip(self.edge_moments, self._moments, strict=True)
            ],
            "warnings": list(self.warnings),
        }
        if self.bounds is not None:
            out["bounds"] = {"lower_S_m": self.bounds[0], "upper_S_m": self.bounds[1]}
        return out

    def table(self) -> str:
        """The numbers for a terminal."""
        flow, error = self.flow, self.conductance_error / self.conductance
        many = "" if flow.harmonics is None else f", {flow.harmonics} harmonics"
        if flow.free:
            many = f", free flights of degree {flow.order}, bounds of{many[1:]}"
        lines = [
            self.case.title or self.case.geometry.file.name,
            f"  wire along z, {flow.model}{many}, {flow.device.cells} cells",
            f"  field {self.field:.6g} V/m, current {self.current:.6g} A ± {error:.2%}",
            f"  resistance per length {1 / self.conductance:.6g} ohm/m",
            f"  conductivity over bulk {self.relative_conductivity:.6g}",
        ]
        if self.bounds is not None:
            low, high = (bound / flow.bulk for bound in self.bounds)
            lines[-1] += f", between {low:.6g} and {high:.6g}"
        for m, value in zip(self.edge_moments, self._moments, strict=True):
            moment = f"{value / HBAR:.6g} ± {m.error / HBAR:.1g} hbar/m"
            lines.append(f"  orbital moment of {m.wall} ({m.measure:.4g} m): {moment}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def save(self, directory: Path, *, figures: bool = True) -> None:
        """Write wire.json, walls.csv, fields.pvd, pictures, a report; all ranks call this."""
        comm, summary, walls = self.flow.device.comm, self.summary(), along_walls_of(self.flow)
        units = {"s": "s_m", "x": "x_m", "y": "y_m", "J_z": "current_density_z_A_per_m2"}
        final, fields = directory.resolve(), self.fields
        with failing_together(comm), new_result(directory, comm, record=RECORD) as folder:

            def write() -> None:
                text = self.case.to_toml(relative_to=final)
                (folder / "case.toml").write_text(text, encoding="utf-8")
                rows = np.column_stack(list(walls.values()))
                header = ",".join(units.get(name, name) for name in walls)
                path = folder / "walls.csv"
                np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.15g")
                (folder / "fields").mkdir()
                write_pvd(folder / "fields.pvd", [f"fields/part{i}.vtu" for i in range(comm.size)])
                record = json.dumps({**summary, "files": {}}, indent=2) + "\n"
                (folder / RECORD).write_text(record, encoding="utf-8")

            on_root(comm, write)
            part = folder / "fields" / f"part{comm.rank}.vtu"
            together(comm, lambda: _write_fields(self.flow.device, fields, part))
            on_root(comm, lambda: _complete(folder, self.case.figures if figures else None))


def _complete(folder: Path, look: Figures | None) -> list[Path]:
    """Pictures, unless nobody wants any, and the report, from what is in a folder."""
    drawn = []
    if look is not None:
        from meso.figures.wires import draw_wire

        drawn = draw_wire(folder, look)
    write_report(folder)
    return drawn


def redraw_wire(directory: Path, look: Figures | None = None) -> list[Path]:
    """Draw the pictures of a wire's directory again, in one process, as its case says or so."""
    with hold(directory, record=RECORD), new_result(directory, record=RECORD) as folder:
        copy_written(directory, folder, leave=("figures", RECORD, REPORT))
        text = (directory / RECORD).read_text(encoding="utf-8")
        (folder / RECORD).write_text(text, encoding="utf-8")
        own = Case.load(folder / "case.toml").figures if look is None else look
        drawn = [path.relative_to(folder) for path in _complete(folder, own)]
    return [directory / path for path in drawn]


def _write_fields(device: Device, fields: Mapping[str, Field], path: Path) -> None:
    cells = cells_of(device)
    degree = max([cells.degree, *(field.highest for field in fields.values())])
    reference = vtk_nodes(degree)
    values = {name: field.everywhere(reference) for name, field in fields.items()}
    write_vtu(
        path,
        cells.positions(np.arange(cells.count), reference) * device.extent,
        {name: v if v.shape[-1] > 1 else v[..., 0] for name, v in values.items()},
        cell_data={"region": device.cell_region.astype(np.int64)},
        units={name: field.unit for name, field in fields.items()},
    )


def wire(
    case: Case,
    *,
    comm: MPI.Comm = MPI.COMM_WORLD,
    progress: Callable[[str], None] = lambda text: None,
    device: Device | None = None,
    trusted: bool = False,
    many_cells: bool = False,
) -> WireResult:
    """Solve a case of a wire along its axis, ``flow.along = "z"``.

    Args:
        case: The case; its mesh is the section.
        comm: Communicator; all ranks call this function.
        progress: Called with a line of text at the beginning of each phase.
        device: What the case's drawing makes, if it is there already.
        trusted: True if the drawing may run commands and write files.
        many_cells: True to mesh even if a million cells are expected and the case gives no size.

    Returns:
        Current, moments and their errors, the same on every rank.

    Raises:
        CaseError: Something in the case does not fit the drawing, or it is no wire along z.
        GeometryError: The drawing cannot be used.
        ConvergenceError: The solver failed.
    """
    with failing_together(comm), announced(progress), located(case):
        if not case.flow.along:
            raise CaseError(("flow.along", 'missing; meso.wire is for along = "z"'))
        if device is None:
            progress(f"meshing {case.geometry.file.name}")
            device = build_device(
                case, comm, trusted=trusted, many_cells=many_cells, progress=progress
            )
        else:
            check_fit(case, device)
        return _result(case, _converged(case, device, progress))


def _converged(case: Case, device: Device, progress: Callable[[str], None]) -> WireConvergence:
    def solve(harmonics: int | None, order: int, upper: bool) -> WireFlow:
        many = "a hydrodynamic wire" if harmonics is None else f"{harmonics} harmonics"
        progress(f"solving {many} of degree {order} on {device.cells} cells")
        model = Wire(
            device,
            materials=case.region_materials,
            boundaries=case.boundaries,
            harmonics=harmonics,
            order=order,
        )
        return model.solve(case.flow.field or 1.0, upper=upper)

    harmonics = case.flow.harmonics if case.flow.kinetic else None
    assert case.flow.tolerance is not None
    flights = None
    if harmonics is not None and (material := uniform(device, case.region_materials)):
        progress("tracing free flights")
        path = float(material.mean_free_path)  # type: ignore[arg-type]
        flights = Flights(device, case.boundaries, path, case.flow.tolerance)
    degree = case.flow.degree_on(device)
    return converge_wire(solve, degree, harmonics, case.flow.tolerance, flights)


def _result(case: Case, found: WireConvergence) -> WireResult:
    (value, error), (moments, errors) = found.conductance, found.moments
    flow, last = found.flow, found.levels[-1]
    field = case.flow.field if case.flow.current is None else case.flow.current / value
    assert field is not None
    pieces = tuple(
        replace(piece, moment=float(m * field), error=float(abs(e * field)))
        for piece, m, e in zip(found.pieces, moments, errors, strict=True)
    )
    return WireResult(
        case=case,
        flow=flow.driven(field),
        conductance=value,
        conductance_error=error,
        bounds=None if last.harmonics is None else (last.lower, last.upper),
        edge_moments=pieces,
        warnings=(*case.warnings, *found.warnings),
    )
