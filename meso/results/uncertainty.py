"""How sure the numbers of a result are: errors of mesh, harmonics and inputs, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """Errors of one number, in its unit; None where nobody has estimated it.

    Attributes:
        value: The number.
        inputs: One standard deviation from those of the inputs, to first order, all independent.
        by_input: What each input contributes to it, by key.
        mesh: Estimated error of the discretisation.
        harmonics: Estimated error of the number of harmonics.
    """

    value: float
    inputs: float
    by_input: Mapping[str, float]
    mesh: float | None = None
    harmonics: float | None = None

    def summary(self) -> dict[str, Any]:
        """What summary.json says of it."""
        return {
            "value": self.value,
            "standard_deviation_from_inputs": self.inputs,
            "by_input": dict(self.by_input),
            "estimated_error_mesh": self.mesh,
            "estimated_error_harmonics": self.harmonics,
        }


def lines(found: Mapping[str, Uncertainty]) -> list[str]:
    """The part of the table on the terminal; nothing if no input has an uncertainty."""
    if not found:
        return []
    wide = max(len(name) for name in found)
    out = [
        "",
        "  errors: of the inputs one standard deviation, to first order, inputs independent",
        f"  {'':<{wide}}{'value':>16}{'inputs':>12}{'mesh':>12}{'harmonics':>12}",
    ]
    for name, one in found.items():
        rest = [one.inputs, one.mesh, one.harmonics]
        errors = "".join(f"{'not known' if x is None else format(x, '.2g'):>12}" for x in rest)
        out.append(f"  {name:<{wide}}{one.value:>16.8g}{errors}")
    return out
