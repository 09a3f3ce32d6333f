"""What decides a result: derivatives as a table, as files, and in pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meso.files.directory import new_result
from meso.files.readable import words
from meso.gradients import outputs
from meso.gradients.derivatives import Gradient, gradient
from meso.gradients.differences import size
from meso.gradients.shape import ShapeGradient, from_nodes
from meso.mpi import on_root
from meso.reports import write_report
from meso.results.result import Result

#: Inputs of each output that the table shows.
MOST = 10
#: Per cent for one per cent, and part of a number, below which a derivative counts as none.
NOTHING = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensitivities:
    """Derivatives of a result and how they are shown.

    Attributes:
        result: The result.
        gradient: Its derivatives.
        check: The same by central differences; None if nobody asked for it.
        shapes: How the outputs change where walls move, of those whose adjoints know it.
    """

    result: Result
    gradient: Gradient
    check: Gradient | None = None
    shapes: tuple[ShapeGradient, ...] = ()

    def influence(self) -> np.ndarray:
        """Per cent of each output for one per cent of each input, shape (o, i).

        For inputs that are zero: for a hundredth of what is a large change of them.
        """
        found = self.gradient
        sizes = [size(self.result, one) for one in found.inputs]
        with np.errstate(divide="ignore", invalid="ignore"):
            out = found.derivatives * sizes / found.values[:, None]
        given = found.relative()
        return np.where(np.isfinite(given) & (given != 0), given, np.nan_to_num(out))

    def order(self, output: int) -> list[int]:
        """Inputs by their influence on an output, the largest first; those without any left out."""
        parts = np.abs(self.influence()[output])
        kept = [i for i in np.argsort(-parts, kind="stable") if parts[i] > NOTHING]
        return [int(i) for i in kept]

    def table(self) -> str:
        """The ten largest of each output, as text."""
        parts = ["\n".join(self._part(o)) for o in range(len(self.gradient.outputs))]
        missing = [f"  left out: {key}: {why}" for key, why in self.gradient.left_out.items()]
        return "\n\n".join([*parts, *missing])

    def _part(self, o: int) -> list[str]:
        found, order, checked = self.gradient, self.order(o), self.check
        influence, spread = self.influence()[o], found.uncertainties()[o]
        if spread <= NOTHING * abs(found.values[o]):
            spread = 0.0
        unit = outputs.unit(found.outputs[o])
        head = f"  {outputs.short(found.outputs[o])} = {found.values[o]:.9g} {unit}".rstrip()
        if spread:
            head += f" ± {spread:.2g} from the inputs"
        wide = max([len(one.key) for one in found.inputs], default=5)
        columns = f"  {'input':<{wide}}{'value':>22}{'derivative':>16}{'% for 1 %':>13}"
        columns += f"{'± of output':>14}" if spread else ""
        columns += f"{'differences':>16}{'±':>9}" if checked else ""
        lines = [f"{head} ({found.methods[o]})", columns]
        for i in order[:MOST]:
            one = found.inputs[i]
            value = f"{one.value:.6g} {one.unit}".rstrip()
            relative = (
                f"{influence[i]:+.4f}" if abs(influence[i]) > 1e-3 else f"{influence[i]:+.1g}"
            )
            relative = relative if one.value else f"({relative})"
            row = f"  {one.key:<{wide}}{value:>22}{found.derivatives[o, i]:>16.8g} {relative:>12}"
            if spread:
                row += f"{abs(found.derivatives[o, i]) * one.uncertainty:>14.2g}"
            if checked:
                row += f"{checked.derivatives[o, i]:>16.8g}{checked.errors[o, i]:>9.1g}"
            lines.append(row)
        if len(order) > MOST:
            lines.append(f"  and {len(order) - MOST} more")
        if not order:
            lines.append("  none of the inputs changes it")
        for shape in self.shapes:
            if shape.output == found.outputs[o]:
                least = NOTHING * max(map(abs, shape.outward.values()))
                per = {n: f"{1e-7 * x / abs(shape.value):+.3g}" for n, x in shape.outward.items()}
                parts = [
                    f"{n} {per[n] if abs(x) > least else 0} %" for n, x in shape.outward.items()
                ]
                lines.append(f"  moved outwards by 1 nm: {', '.join(parts)}")
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """One for each output and input, SI."""
        found, influence, out = self.gradient, self.influence(), []
        for o, name in enumerate(found.outputs):
            for i, one in enumerate(found.inputs):
                row: dict[str, Any] = {
                    "output": outputs.short(name),
                    "output_unit": outputs.unit(name),
                    "output_value": float(found.values[o]),
                    "input": one.key,
                    "input_unit": one.unit,
                    "input_value": one.value,
                    "input_uncertainty": one.uncertainty,
                    "derivative": float(found.derivatives[o, i]),
                    "estimated_error": float(found.errors[o, i]),
                    "per_cent_for_one": float(influence[o, i]),
                    "method": str(found.how[o, i]),
                }
                if self.check is not None:
                    row["differences"] = float(self.check.derivatives[o, i])
                    row["differences_error"] = float(self.check.errors[o, i])
                out.append(row)
        return out

    def save(self, directory: str | Path, *, figures: bool = True) -> None:
        """Write sensitivity.csv, sensitivity.json and pictures, in place of earlier ones."""
        found, rows = self.gradient, self.rows()

        def write(folder: Path) -> None:
            with (folder / "sensitivity.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]) if rows else ["output"])
                table.writeheader()
                table.writerows(rows)
            spread = dict(zip(found.outputs, found.uncertainties().tolist(), strict=True))
            shapes = {s.output: dict(s.outward) for s in self.shapes}
            whole = {
                "walls_outwards_per_m": shapes,
                "title": self.result.case.title,
                "case_hash": self.result.case.hash,
                "uncertainties_from_inputs": spread,
                "derivatives": rows,
            }
            text = json.dumps(whole, indent=2) + "\n"
            (folder / "sensitivity.json").write_text(text, encoding="utf-8")
            if figures:
                from meso.figures.sensitivity import draw_bars, draw_walls

                title, look = self.result.case.title, self.result.case.figures
                draw_bars(self._bars(), title, folder / "sensitivity.png", look)
                for shape in self.shapes if self.result.device.dimension == 2 else ():
                    name = outputs.short(shape.output)
                    picture = folder / f"walls_{name}.png"
                    draw_walls(shape, self.result.device, f"{title}: {words(name)}", picture, look)
            case = self.result.case.to_toml(relative_to=Path(directory).resolve())
            write_report(folder, {"The case (.toml)": case})

        comm = self.result.device.comm
        with new_result(Path(directory), comm, record="sensitivity.json") as folder:
            on_root(comm, lambda: write(folder))

    def _bars(self) -> dict[str, dict[str, float]]:
        """By output: the influence of the inputs that have most of it."""
        influence = self.influence()
        return {
            outputs.short(name): {
                self.gradient.inputs[i].key: float(influence[o, i]) for i in self.order(o)[:MOST]
            }
            for o, name in enumerate(self.gradient.outputs)
        }


def sensitivities(
    result: Result,
    output: Sequence[str] | None = None,
    of: Sequence[str] | None = None,
    *,
    check: bool = False,
    trusted: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Sensitivities:
    """Derivatives of a result for people; all ranks call this.

    Args:
        result: The result.
        output: Names of outputs; by default conductances, resistances and moments, or currents.
        of: Keys of inputs; all by default.
        check: True to compare with central differences.
        trusted: True if the drawing may run commands and write files.
        progress: Called with lines of text.
    """
    names = list(output) if output else headlines(result)
    how: dict[str, Any] = {"trusted": trusted, "progress": progress}
    found = gradient(result, names, of, **how)
    other = None
    if check:
        alone = (found.how == "differences").all()
        other = found if alone else gradient(result, names, of, method="differences", **how)
    shapes = tuple(
        from_nodes(result, name, found.nodes[name])
        for o, name in enumerate(found.outputs)
        if found.values[o] and name in found.nodes
    )
    return Sensitivities(result=result, gradient=found, check=other, shapes=shapes)


def headlines(result: Result) -> list[str]:
    """Columns of the numbers that a result is about: not those that are given, zero, or sums."""
    columns = outputs.values(result)
    kinds = ("conductance", "resistance.", "orbital_moment", "spin_moment", "diffusive_moment")
    out = [name for name in columns if any(kind in name for kind in kinds)]
    if not out:
        out = [name for name in columns if "current" in name]
    largest = {_kind(name): 0.0 for name in out}
    for name in out:
        largest[_kind(name)] = max(largest[_kind(name)], abs(columns[name]))
    return [name for name in out if abs(columns[name]) > 1e-6 * largest[_kind(name)]]


def _kind(name: str) -> str:
    return name.rpartition(".")[2]
