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

    @property
    def source(self) -> str:
        """Model and reference, for a material file."""
        reference = self.provenance.get("reference")
        after = f" after {reference}" if reference else ""
        return f"computed from {self.provenance['model']}{after}"

    @property
    def method(self) -> str:
        """How it was computed, with grid, Γ and energy, for a material file."""
        items = self.provenance.items()
        return "; ".join(_said(k, v) for k, v in items if k not in ("model", "reference"))

    @property
    def text(self) -> str:
        """A number with its unit, for a material file."""
        return f"{self.value:.9g} {self.unit}"

    def report(self) -> str:
        """The convergence report: value, error, and how it was computed."""
        lines = [f"{self.name} [{self.unit}]"]
        value = np.asarray(self.value)
        if value.ndim == 0:
            shown = "" if self.error is None else f" ± {float(self.error):.2g}"
            lines.append(f"  {float(value) + 0.0:.8g}{shown}")
        else:
            lines += [f"  {line}" for line in _entries(value, self.error)]
        lines += [f"  {_said(key, item)}" for key, item in self.provenance.items()]
        return "\n".join(lines + ["  error: not estimated"] * (self.error is None))

    def __str__(self) -> str:
        return self.report()


def _entries(value: np.ndarray, error: Any, most: int = 12) -> list[str]:
    """The entries that matter, largest first."""
    size = np.abs(value).ravel()
    if not size.any():
        return ["all entries are zero"]
    wrong = None if error is None else np.broadcast_to(error, value.shape)
    lines = []
    for n in np.argsort(-size, kind="stable")[:most]:
        if size[n] > 1e-9 * size.max():
            index = np.unravel_index(n, value.shape)
            axes = zip(index, value.shape, strict=True)
            name = ",".join("xyz"[i] if s in (2, 3) else str(i) for i, s in axes)
            shown = "" if wrong is None else f" ± {wrong[index]:.2g}"
            lines.append(f"[{name}] {value[index]:.8g}{shown}")
    return lines


def _said(key: str, item: Any) -> str:
    """An entry of a provenance as text; keys may end in a unit."""
    text = f"{item:.6g}" if isinstance(item, float) else str(item)
    if key == "method":
        return text
    return f"{key[:-3]} {text} eV" if key.endswith("_eV") else f"{key}: {text}"
