"""The picture of a comparison: errors of the cheaper models, and profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from meso.figures import style
from meso.figures.style import LINES, STYLE, line_figure, store

if TYPE_CHECKING:
    from meso.comparing import Comparison

_MOST = 24  # bars


def draw_comparison(
    found: Comparison, profiles: dict[str, dict[str, np.ndarray]], path: Path
) -> Path:
    """Draw profiles along the probes, and the deviations from the kinetic model.

    Args:
        found: The comparison.
        profiles: As of its ``profiles``.
        path: Where to.
    """
    title = found.case.title or found.case.geometry.file.stem
    with matplotlib.rc_context(STYLE):
        figure, axes = line_figure(1 + len(profiles), f"{title}: three models")
        for panel, (name, columns) in zip(axes, profiles.items(), strict=False):
            _profile(panel, found, name, columns)
        _bars(axes[-1], found)
        return store(figure, path)


def _profile(panel: Any, found: Comparison, name: str, columns: dict[str, np.ndarray]) -> None:
    """The component of J that is larger, by model."""
    parts = {kind: np.nanmax(np.abs(columns[f"kinetic {kind}"])) for kind in ("across", "along")}
    kind = max(parts, key=lambda k: parts[k])
    unit = found.flows["kinetic"].fields["current_density"].unit
    scale = style.scale(parts[kind], "A/m" if unit == "A_per_m" else "A/m²")
    length = style.length_scale(float(columns["s_m"][-1]))
    for color, model in zip(LINES, found.flows, strict=False):
        if model == "ideal contacts":
            continue
        values = columns[f"{model} {kind}"] / scale.factor
        panel.plot(columns["s_m"] / length.factor, values, color=color, label=model)
    panel.set_ylabel(f"$J$ {kind} “{name}”\n({scale.name})")
    panel.set_xlabel(f"distance along the probe ({length.name})")
    panel.margins(x=0)
    panel.legend(loc="best")


def _bars(panel: Any, found: Comparison) -> None:
    """Deviation of each quantity, in per cent."""
    which = found.shown[:_MOST]
    models = [m for m in found.flows if m not in ("kinetic", "ideal contacts")]
    at = np.arange(len(which))
    for i, model in enumerate(models):
        values = [100 * (found.values[model][k] / found.values["kinetic"][k] - 1) for k in which]
        wide = 0.8 / len(models)
        color = LINES[list(found.flows).index(model)]
        panel.bar(at + (i - (len(models) - 1) / 2) * wide, values, wide, color=color, label=model)
    panel.axhline(0, color="#999999", linewidth=0.8)
    names = {"A": "I", "V": "V", "J s": "L"}
    labels = [f"{names[found.units[k]]} {found.names[k]}" for k in which]
    panel.set_xticks(at, labels, rotation=20 if len(labels) > 4 else 0)
    panel.set_ylabel("against the\nkinetic model (%)")
    panel.legend(loc="best")
