"""What uncertain inputs make uncertain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from meso.gradients import outputs
from meso.gradients.derivatives import gradient
from meso.gradients.inputs import inputs_of
from meso.results.result import Result
from meso.results.uncertainty import Uncertainty

#: Part of the largest error of its kind below which one is what rounding leaves of nothing.
NOTHING = 1e-6


def with_uncertainties(
    result: Result,
    *,
    trusted: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Result:
    """The result with the errors of its numbers that follow from those of the inputs.

    All ranks call this. Nothing is solved if no input of the case has an uncertainty.

    Args:
        result: The result.
        trusted: True if the drawing may run commands and write files.
        progress: Called with lines of text.
    """
    uncertain = [one.key for one in inputs_of(result.case) if one.uncertainty]
    if not uncertain:
        return result
    found = gradient(result, None, uncertain, trusted=trusted, progress=progress)
    spread = np.abs(found.derivatives) * [one.uncertainty for one in found.inputs]
    total, kinds = found.uncertainties(), [name.rpartition(".")[2] for name in found.outputs]
    size, most = _largest(kinds, found.values), _largest(kinds, total)
    out: dict[str, Uncertainty] = {}
    for o, (name, kind) in enumerate(zip(found.outputs, kinds, strict=True)):
        if total[o] <= NOTHING * most[kind]:
            continue
        parts = zip(found.inputs, spread[o].tolist(), strict=True)
        out[name] = Uncertainty(
            value=float(found.values[o]),
            inputs=float(total[o]),
            by_input={one.key: x for one, x in parts},
            **_numerical(result, name, float(found.values[o]), size[kind]),
        )
    return replace(result, uncertainties=out)


def _largest(kinds: Sequence[str], values: np.ndarray) -> dict[str, float]:
    out = dict.fromkeys(kinds, 0.0)
    for kind, value in zip(kinds, values.tolist(), strict=True):
        out[kind] = max(out[kind], abs(value))
    return out


def _numerical(result: Result, name: str, value: float, size: float) -> Mapping[str, float | None]:
    """Errors of mesh and harmonics, as far as they are known."""
    mesh = harmonics = None
    moment = "moment" in name
    if (found := result.convergence) is not None:
        relative = [errors[1 if moment else 0] for errors in (found.mesh, found.error)]
        # They are relative to the largest current, potential or moment.
        scale = size if moment or "potential" in name else abs(value)
        mesh, harmonics = (None if np.isnan(x) else float(x) * scale for x in relative)
    mesh = result.mesh_errors.get(name, mesh)
    done = result.adaptivity
    if mesh is None and done is not None and _is_target(done.target, outputs.short(name)):
        mesh = done.estimate * abs(value)
    return {"mesh": mesh, "harmonics": harmonics}


def _is_target(target: str, name: str) -> bool:
    return name in (target, f"resistance.{target}")
