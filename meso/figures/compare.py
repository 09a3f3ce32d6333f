"""The picture of a comparison: errors of the cheaper models, and profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.figures.style import LINES, canvas, length_scale, look, open_frame, plain, scale, store
from meso.files.readable import words

if TYPE_CHECKING:
    from meso.results.comparing import Comparison

#: Quantities that are shown at most.
_MOST = 24
#: Deviations beyond are cut off, per cent.
_WIDEST = 200.0


def draw_comparison(
    found: Comparison, profiles: dict[str, dict[str, np.ndarray]], path: Path
) -> Path:
    """Draw profiles along the probes, and the deviations from the kinetic model."""
    title = found.case.title or found.case.geometry.file.stem
    tall = 0.5 + 0.42 * len(found.shown[:_MOST])
    height = 1.3 + tall + 3.05 * len(profiles)
    with look(found.case.figures):
        figure, add = canvas(7.2, height, f"{title}: three models", 0.95)
        for i, (name, columns) in enumerate(profiles.items()):
            _profile(add(0.95, height - 2.65 - 3.05 * i, 6.0, 2.1), found, name, columns)
        _bars(add(1.7, 0.75, 5.25, tall), found)
        return store(figure, path)


def _profile(panel: Any, found: Comparison, name: str, columns: dict[str, np.ndarray]) -> None:
    """The component of J that is larger, by model."""
    open_frame(panel)
    parts = {kind: np.nanmax(np.abs(columns[f"kinetic {kind}"])) for kind in ("across", "along")}
    kind = max(parts, key=lambda k: parts[k])
    unit = scale(parts[kind], found.flows["kinetic"].fields["current_density"].unit)
    length = length_scale(float(columns["s_m"][-1]))
    for color, model in zip(LINES, found.flows, strict=False):
        if model != "ideal contacts":
            values = columns[f"{model} {kind}"] / unit.factor
            panel.plot(columns["s_m"] / length.factor, values, color=color, label=model)
    panel.set_ylabel(f"$J$ {kind} “{plain(name)}”\n({unit.name})")
    panel.set_xlabel(f"distance along the probe ({length.name})")
    panel.margins(x=0)
    panel.legend(loc="best")


def _bars(panel: Any, found: Comparison) -> None:
    """Deviation of each quantity from the kinetic model, in per cent."""
    open_frame(panel)
    which = found.shown[:_MOST]
    models = [m for m in found.flows if m not in ("kinetic", "ideal contacts")]
    at = np.arange(len(which))
    reference = found.values["kinetic"]
    parts = {m: 100 * (found.values[m][which] / reference[which] - 1) for m in models}
    most = min(_WIDEST, 1.15 * max(np.abs(np.concatenate(list(parts.values()))).max(), 1e-3))
    wide = 0.8 / len(models)
    for i, (model, values) in enumerate(parts.items()):
        color = LINES[list(found.flows).index(model)]
        y = at + (i - (len(models) - 1) / 2) * wide
        panel.barh(y, np.clip(values, -most, most), wide, color=color, label=model)
        for place, value in zip(y, values, strict=True):
            side = 1 if value >= 0 else -1
            inside = abs(value) > 0.8 * most
            panel.annotate(
                f"{value:+.3g} %".replace("-", "\N{MINUS SIGN}"),
                (np.clip(value, -most, most), place),
                (-3 * side if inside else 3 * side, 0),
                textcoords="offset points",
                ha="right" if (side > 0) == inside else "left",
                va="center",
                size=7.5,
                color="white" if inside else "#333333",
            )
    # What the kinetic model itself is uncertain by.
    doubt = 100 * np.abs(found.convergence.uncertainty[which] / reference[which])
    band = np.nan_to_num(np.minimum(doubt, most))
    panel.barh(at, 2 * band, 0.96, -band, color="#999999", alpha=0.3, label="± kinetic", zorder=0)
    panel.axvline(0, color="#999999", linewidth=0.8)
    kinds = {"A": "current", "V": "potential", "J s": "moment"}
    labels = [f"{kinds[found.units[k]]}\n{plain(words(found.labels[k]))}" for k in which]
    panel.set_yticks(at, labels, size=8.5)
    panel.invert_yaxis()
    panel.set_xlim(-most, most)
    panel.set_xlabel("deviation from the kinetic model (%)")
    panel.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(models) + 1, frameon=False
    )
