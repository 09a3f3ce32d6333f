"""What a calculation returns: a value, its unit, its estimated error and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantity:
    """A computed quantity.

    Attributes:
        name: What it is.
        value: Number or array, in `unit`.
        unit: SI unit.
        error: Estimated absolute error of each entry, from a coarser grid; None: not estimated.
        provenance: Model, method, grid, broadening, energy, reference … as text and numbers.
        parts: Contributions by name, in the same unit, where there are several.
    """

    name: str
    value: Any
    unit: str
    error: Any = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def relative_error(self) -> float | None:
        """Largest estimated error over the largest entry."""
        if self.error is None:
            return None
        scale = float(np.max(np.abs(self.value), initial=0.0))
        return float(np.max(self.error, initial=0.0)) / scale if scale else 0.0

    def report(self) -> str:
        """The convergence report: value, error, and how it was computed."""
        lines = [f"{self.name} [{self.unit}]"]
        value = np.asarray(self.value)
        if value.ndim == 0:
            shown = "" if self.error is None else f" ± {float(self.error):.2g}"
            lines.append(f"  {float(value):.8g}{shown}")
        else:
            lines += [f"  {line}" for line in _entries(value, self.error)]
        lines += [f"  {line(key, item)}" for key, item in self.provenance.items()]
        if self.error is None:
            lines.append("  error: not estimated")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.report()


def _entries(value: np.ndarray, error: Any, most: int = 12) -> list[str]:
    """The entries that matter, largest first."""
    scale = np.abs(value).max(initial=0.0)
    if scale == 0:
        return ["all entries are zero"]
    flat = np.abs(value).ravel()
    order = [n for n in np.argsort(-flat, kind="stable") if flat[n] > 1e-9 * scale][:most]
    lines = []
    for n in order:
        index = np.unravel_index(n, value.shape)
        name = ",".join(_axis(i, s) for i, s in zip(index, value.shape, strict=True))
        shown = "" if error is None else f" ± {np.broadcast_to(error, value.shape)[index]:.2g}"
        lines.append(f"[{name}] {value[index]:.8g}{shown}")
    return lines


def _axis(index: int, size: int) -> str:
    return "xyz"[index] if size in (2, 3) else str(index)


def line(key: str, item: Any) -> str:
    """An entry of a provenance as text; keys may end in a unit."""
    text = f"{item:.6g}" if isinstance(item, float) else str(item)
    if key == "method":
        return text
    return f"{key[:-3]} {text} eV" if key.endswith("_eV") else f"{key}: {text}"
