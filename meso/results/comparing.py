"""One device, three models: what the cheaper models get wrong.

The kinetic solution is the reference, with its own estimated error beside it. The hydrodynamic
model is solved with reservoirs where the kinetic one has them (and, where the case has ideal
contacts, with those too); the ohmic model knows no contact resistance.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from meso.boundary import Boundary, Contact
from meso.case import Case
from meso.constants import HBAR
from meso.discrete.fields import Field
from meso.discrete.sampling import sample
from meso.errors import CaseError
from meso.evidence.convergence import Convergence, quantities
from meso.files.directory import new_result
from meso.files.naming import file_names
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.ohmic import Ohmic
from meso.flow.result import Flow
from meso.mpi import on_root
from meso.requirements import kinetic_problems
from meso.results.running import build_device, solve

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Flows of all models on one device.

    Attributes:
        case: The case, with the kinetic model.
        flows: By name of the model.
        names: Currents, potentials and edge moments that are compared.
        units: Their units.
        values: By model, shape (quantities,).
        convergence: Of the kinetic model.
    """

    case: Case
    flows: dict[str, Flow]
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: dict[str, np.ndarray]
    convergence: Convergence

    @property
    def shown(self) -> list[int]:
        """Quantities that are not given by the boundary conditions."""
        size = {u: self._size(u) for u in set(self.units)}
        first = self.flows["kinetic"]
        terminals = {**first.contacts, **first.periodic}
        out = []
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            if unit != "J s":
                law = first.boundaries[name]
                given = getattr(law, "current", None) if unit == "A" else _level(law)
                if given is not None or name not in terminals:
                    continue
            values = [values[i] for values in self.values.values()]
            if np.ptp(values) > 1e-9 * size[unit]:
                out.append(i)
        return out

    @property
    def labels(self) -> list[str]:
        """Names, numbered where a boundary has several pieces."""
        counted: dict[tuple[str, str], int] = {}
        out = []
        for pair in zip(self.names, self.units, strict=True):
            several = sum(pair == other for other in zip(self.names, self.units, strict=True)) > 1
            counted[pair] = counted.get(pair, 0) + 1
            out.append(f"{pair[0]}.{counted[pair]}" if several else pair[0])
        return out

    def _size(self, unit: str) -> float:
        values = self.values["kinetic"][np.array(self.units) == unit]
        return float(np.abs(values).max(initial=0.0))

    def table(self) -> str:
        """Text for the terminal."""
        models = list(self.flows)
        lines = [f"  {'':<22}" + "".join(f"{m:>26}" for m in models)]
        for i in self.shown:
            unit = self.units[i]
            factor, name = (HBAR, "ħ") if unit == "J s" else (1.0, unit)
            reference = self.values["kinetic"][i]
            row = f"  {self.labels[i] + ' (' + name + ')':<22}"
            for model in models:
                value = self.values[model][i]
                text = f"{value / factor:.6g}"
                if model != "kinetic":
                    text += f" ({value / reference - 1:+.2%})"
                row += f"{text:>26}"
            lines.append(row)
        error = self.convergence
        lines += [
            "",
            f"  in brackets: against the kinetic model with {error.harmonics[-1]} harmonics,"
            " extrapolated; its estimated",
            f"  error is {max(error.error_extrapolated):.1e} in the harmonics and"
            f" {np.nanmax([*error.mesh, 0.0]):.1e} in the mesh",
        ]
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """The same for a file, SI."""
        return [
            {
                "quantity": self.labels[i],
                "unit": self.units[i],
                **{model: float(values[i]) for model, values in self.values.items()},
            }
            for i in self.shown
        ]

    def profiles(self) -> dict[str, dict[str, np.ndarray]]:
        """|J| along each probe of the case, by model; a line across the middle without probes."""
        device = next(iter(self.flows.values())).device
        out: dict[str, dict[str, np.ndarray]] = {}
        for name, probe in self.case.output.probes.items():
            s = np.linspace(0, 1, probe.points)[:, None]
            start, end = np.array(probe.from_), np.array(probe.to)
            at = start + s * (end - start)
            columns = {"s_m": s[:, 0] * float(np.linalg.norm(end - start))}
            for model, flow in self.flows.items():
                fields: list[Field] = [flow.fields["current_density"]]
                J = sample(device, fields, at)["current_density"]
                direction = (end - start) / np.linalg.norm(end - start)
                columns[f"{model} across"] = J @ np.array([direction[1], -direction[0]])
                columns[f"{model} along"] = J @ direction
            out[name] = columns
        return out

    def save(self, directory: str | Path) -> None:
        """Write compare.csv, compare.json, profiles and a figure.

        Args:
            directory: Where; an earlier comparison there is replaced.

        Raises:
            CaseError: The directory holds something else, or somebody else writes it.
            MesoError: It cannot be written.
        """
        profiles = self.profiles()
        files = {name: f"profile_{stem}.csv" for name, stem in file_names(profiles).items()}
        comm = next(iter(self.flows.values())).device.comm

        def write(folder: Path) -> None:
            from meso.figures.compare import draw_comparison

            rows = self.rows()
            with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ["quantity", "unit", *self.flows])
                writer.writeheader()
                writer.writerows(rows)
            whole = {
                "case_hash": self.case.hash,
                "quantities": rows,
                "convergence": self.convergence.table(),
                "files": {"profiles": files},
            }
            text = json.dumps(whole, indent=2) + "\n"
            (folder / "compare.json").write_text(text, encoding="utf-8")
            for name, columns in profiles.items():
                with (folder / files[name]).open("w", newline="", encoding="utf-8") as file:
                    text_ = csv.writer(file)
                    text_.writerow([key.replace(" ", "_") for key in columns])
                    text_.writerows(zip(*columns.values(), strict=True))
            draw_comparison(self, profiles, folder / "compare.png")

        with new_result(Path(directory), comm, record="compare.json") as folder:
            on_root(comm, lambda: write(folder))


def _level(law: Boundary) -> float | None:
    return law.potential if isinstance(law, Contact) else getattr(law, "voltage", None)


def compare(
    case: Case,
    *,
    progress: Progress = lambda text: None,
    trusted: bool = False,
    many_cells: bool = False,
) -> Comparison:
    """Solve a case with every model, on the mesh of the kinetic one.

    Args:
        case: The case; its model does not matter.
        progress: Called with a line of text for each model.
        trusted: True if the drawing may run commands and write files.
        many_cells: True to mesh even if more than a million cells are to be expected and the case
            gives no size.

    Raises:
        CaseError: The case does not suffice for the kinetic model.
    """
    used = {name: m for name, m in case.materials.items() if name in case.regions.values()}
    problems = list(kinetic_problems(used, case.boundaries, case.flow.magnetic_field))
    if problems:
        raise CaseError(*problems, file=None if case.file is None else str(case.file))
    case = replace(case, flow=replace(case.flow, model="kinetic"))
    device = build_device(case, trusted=trusted, many_cells=many_cells, progress=progress)
    materials = {region: case.materials[name] for region, name in case.regions.items()}
    order = case.flow.degree or device.order

    def with_law(law: str) -> dict[str, Boundary]:
        return {
            n: replace(b, law=law) if isinstance(b, Contact) else b  # type: ignore[arg-type]
            for n, b in case.boundaries.items()
        }

    def viscous(boundaries: Mapping[str, Boundary]) -> Flow:
        field = case.flow.magnetic_field
        return Hydrodynamic(device, boundaries=boundaries, magnetic_field=field, **given).solve()

    thickness = case.geometry.thickness
    given: dict[str, Any] = {"materials": materials, "thickness": thickness, "order": order}
    contacts = [b for b in case.boundaries.values() if isinstance(b, Contact)]
    flows: dict[str, Flow] = {}
    progress("ohmic model")
    flows["ohmic"] = Ohmic(device, boundaries=with_law("ideal"), **given).solve()
    progress("hydrodynamic model")
    if any(contact.law == "ideal" for contact in contacts):
        flows["ideal contacts"] = viscous(case.boundaries)
    flows["hydrodynamic"] = viscous(with_law("reservoir"))
    flow, convergence = solve(case, device, materials, progress)
    assert convergence is not None
    flows["kinetic"] = flow
    values = {model: quantities(each)[2] for model, each in flows.items()}
    values["kinetic"] = convergence.extrapolated
    return Comparison(
        case=case,
        flows=flows,
        names=convergence.names,
        units=convergence.units,
        values=values,
        convergence=convergence,
    )
