"""One device, three models: what the cheaper models get wrong.

The kinetic solution is the reference, with its own estimated error beside it. The hydrodynamic
model is solved with reservoirs where the kinetic one has them (and, where the case has ideal
contacts, with those too); the ohmic model knows no contact resistance.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from meso.boundary import Boundary, Contact
from meso.case import Case
from meso.constants import HBAR
from meso.discrete.sampling import probe_points, sample
from meso.errors import CaseError
from meso.evidence.convergence import LARGE, Convergence, quantities
from meso.files.directory import new_result
from meso.files.naming import file_names
from meso.files.readable import scale, suffix
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.kinetic import Kinetic
from meso.flow.ohmic import Ohmic
from meso.flow.result import Flow
from meso.mpi import on_root
from meso.reports import write_report
from meso.requirements import kinetic_problems
from meso.results.running import build_device, located, solve

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Flows of all models on one device, and the quantities that are compared.

    Attributes:
        case: The case, with the kinetic model.
        flows: By name of the model; the last one is kinetic.
        values: Currents, potentials and edge moments by model, shape (quantities,).
        convergence: Of the kinetic model; it has their names and units.
    """

    case: Case
    flows: dict[str, Flow]
    values: dict[str, np.ndarray]
    convergence: Convergence

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the quantities."""
        return self.convergence.names

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the quantities."""
        return self.convergence.units

    @property
    def shown(self) -> list[int]:
        """Quantities that are not given by the boundary conditions."""
        first, units = self.flows["kinetic"], np.array(self.units)
        terminals = {**first.contacts, **first.periodic}
        values = np.array(list(self.values.values()))
        size = np.abs(self.values["kinetic"])
        out = []
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            if unit != "J s":
                law = first.boundaries[name]
                given = getattr(law, "current", None) if unit == "A" else _level(law)
                if given is not None or name not in terminals:
                    continue
            if np.ptp(values[:, i]) > 1e-9 * size[units == unit].max():
                out.append(i)
        return out

    @property
    def labels(self) -> list[str]:
        """Names, numbered where a boundary has several pieces."""
        pairs = list(zip(self.names, self.units, strict=True))
        several, counted = Counter(pairs), Counter[tuple[str, str]]()
        out = []
        for pair in pairs:
            counted[pair] += 1
            out.append(f"{pair[0]}.{counted[pair]}" if several[pair] > 1 else pair[0])
        return out

    def table(self) -> str:
        """Text for the terminal."""
        labels, rows = self.labels, [["", *self.flows]]
        for i in self.shown:
            *others, reference = values = [found[i] for found in self.values.values()]
            one, name = (HBAR, "hbar") if self.units[i] == "J s" else (1.0, suffix(self.units[i]))
            unit = scale(abs(reference) / one, name)
            doubt = self.convergence.uncertainty[i] / abs(reference)
            off = [f"{value / reference - 1:+.1%}" for value in others]
            off.append("unknown" if np.isnan(doubt) else f"± {doubt:.1%}")
            numbers = [f"{round(value / one / unit.factor, 3) + 0.0:.3f}" for value in values]
            cells = [f"{n} {o:>8}" for n, o in zip(numbers, off, strict=True)]
            rows.append([f"{labels[i]} ({unit.name})", *cells])
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"  {name:<{wide[0]}}"
            + "".join(f"{c:>{w + 2}}" for c, w in zip(cells, wide[1:], strict=True))
            for name, *cells in rows
        ]
        error = self.convergence
        lines += [
            "",
            f"  per cent: against the kinetic model with {error.harmonics[-1]} harmonics,"
            " extrapolated; ± is its estimated",
            f"  error, of all at most {max(error.error_extrapolated):.1e} in the harmonics and"
            f" {np.nanmax([*error.mesh, 0.0]):.1e} in the mesh",
        ]
        if max(error.error_extrapolated) > LARGE and error.particles:
            lines += ['  harmonics cannot tell more here: use flow.model = "particles"']
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """The same for a file, SI."""
        labels, doubt = self.labels, self.convergence.uncertainty
        return [
            {"quantity": labels[i], "unit": self.units[i]}
            | {model: float(values[i]) for model, values in self.values.items()}
            | {"kinetic_error": None if np.isnan(doubt[i]) else float(doubt[i])}
            for i in self.shown
        ]

    def profiles(self) -> dict[str, dict[str, np.ndarray]]:
        """J across and along each probe of the case, by model."""
        device = self.flows["kinetic"].device
        out: dict[str, dict[str, np.ndarray]] = {}
        for name, probe in self.case.output.probes.items():
            at = probe_points(probe, 2)
            length = np.linalg.norm(at[-1] - at[0])
            along = (at[-1] - at[0]) / length
            out[name] = columns = {"s_m": np.linspace(0.0, length, len(at))}
            for model, flow in self.flows.items():
                J = sample(device, [flow.fields["current_density"]], at)["current_density"]
                columns[f"{model} across"] = J @ np.array([along[1], -along[0]])
                columns[f"{model} along"] = J @ along
        return out

    def save(self, directory: str | Path) -> None:
        """Write compare.csv, compare.json, profiles and a figure, in place of an earlier one."""
        profiles = self.profiles()
        files = {name: f"profile_{stem}.csv" for name, stem in file_names(profiles).items()}

        def write(folder: Path) -> None:
            from meso.figures.compare import draw_comparison

            rows = self.rows()
            header = ["quantity", "unit", *self.flows, "kinetic_error"]
            _csv(folder / "compare.csv", header, map(dict.values, rows))
            whole = {
                "case_hash": self.case.hash,
                "quantities": rows,
                "convergence": self.convergence.table(),
                "files": {"profiles": files},
            }
            text = json.dumps(whole, indent=2) + "\n"
            (folder / "compare.json").write_text(text, encoding="utf-8")
            for name, columns in profiles.items():
                header = [key.replace(" ", "_") for key in columns]
                _csv(folder / files[name], header, zip(*columns.values(), strict=True))
            draw_comparison(self, profiles, folder / "compare.png")
            case = self.case.to_toml(relative_to=Path(directory).resolve())
            write_report(folder, {"The case, with the kinetic model (.toml)": case})

        comm = self.flows["kinetic"].device.comm
        with new_result(Path(directory), comm, record="compare.json") as folder:
            on_root(comm, lambda: write(folder))


def _csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


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
    field, boundaries = case.flow.magnetic_field, case.boundaries
    with located(case):
        problems = list(kinetic_problems(case.used_materials, boundaries, field))
        if problems:
            raise CaseError(*problems)
    case = replace(case, flow=replace(case.flow, model="kinetic"))
    device = build_device(case, trusted=trusted, many_cells=many_cells, progress=progress)
    given: dict[str, Any] = {
        "materials": case.region_materials,
        "thickness": case.geometry.thickness,
        "order": case.flow.degree_on(device),
    }

    def with_law(law: str) -> dict[str, Boundary]:
        return {
            n: replace(b, law=law) if isinstance(b, Contact) else b  # type: ignore[arg-type]
            for n, b in boundaries.items()
        }

    tensors = any(m.fermi_line is not None for m in case.region_materials.values())
    tensors = tensors or (field != 0 and device.dimension == 3)

    def viscous(boundaries: Mapping[str, Boundary]) -> Flow:
        if tensors:  # the same limit, with tensors in place of its coefficients
            direction = case.flow.magnetic_direction
            options = {"magnetic_field": field, "magnetic_direction": direction, **given}
            options["harmonics"] = 2
            return Kinetic(device, boundaries=boundaries, **options).solve()
        return Hydrodynamic(device, boundaries=boundaries, magnetic_field=field, **given).solve()

    progress("ohmic model")
    flows: dict[str, Flow] = {"ohmic": Ohmic(device, boundaries=with_law("ideal"), **given).solve()}
    progress("hydrodynamic model")
    if not tensors and any(contact.law == "ideal" for contact in case.contacts.values()):
        flows["ideal contacts"] = viscous(boundaries)
    flows["hydrodynamic"] = viscous(with_law("reservoir"))
    flows["kinetic"], convergence = solve(case, device, progress)
    assert convergence is not None
    values = {model: quantities(flow)[2] for model, flow in flows.items()}
    values["kinetic"] = convergence.extrapolated
    return Comparison(case=case, flows=flows, values=values, convergence=convergence)
