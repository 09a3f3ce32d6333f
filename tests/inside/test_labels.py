"""Names on pictures: where they go, and that legends have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import test_output_3d
from matplotlib.figure import Figure
from test_output_3d import saved  # noqa: F401 (a fixture)

from meso.figures import labels, profiles
from meso.figures.data import Drawn
from meso.figures.labels import Label

OUT = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # below, right, above, left


def drawn(names: list[Label], outlines: list[np.ndarray], box: tuple[float, ...]) -> dict[str, Any]:
    """Texts of a map of 4 inches, with their frames in the unit of the map."""
    figure = Figure(figsize=(5, 5), dpi=100)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set(xlim=box[:2], ylim=box[2:])
    labels.draw(axes, names, 1.0, outlines)
    figure.canvas.draw()
    to = axes.transData.inverted()
    return {t.get_text(): (t, t.get_window_extent().transformed(to)) for t in axes.texts}


def touches(frame: Any, line: np.ndarray) -> bool:
    s = np.linspace(0, len(line) - 1, 4000)
    x, y = (np.interp(s, np.arange(len(line)), column) for column in line.T)
    inside = (x > frame.x0) & (x < frame.x1) & (y > frame.y0) & (y < frame.y1)
    return bool(inside.any())


def name(text: str, anchor: tuple[float, float], normal: np.ndarray) -> Label:
    return Label(lines=(text,), anchor=np.array(anchor), normal=normal)


def test_a_name_in_a_narrow_notch_goes_out_of_it() -> None:
    """With a line to its wall; wide notches and straight walls keep names beside them."""
    for radius, leads in ((0.4, True), (1.5, False)):
        angle = np.linspace(np.pi, 2 * np.pi, 60)
        notch = np.column_stack([2 + radius * np.cos(angle), 2 + radius * np.sin(angle)])
        top = [np.array([[4.0, 2.0], [2 + radius, 2.0]]), np.array([[2 - radius, 2.0], [0.0, 2.0]])]
        sides = np.array([[0.0, 2.0], [0.0, 0.0], [4.0, 0.0], [4.0, 2.0]])
        names = [
            name("a narrow notch", (2.0, 2.0 - radius), OUT[2]),
            name("below", (2.0, 0.0), OUT[0]),
        ]
        found = drawn(names, [notch, *top, sides], (-1, 5, -1, 4))
        for text, frame in found.values():
            assert not any(touches(frame, line) for line in (notch, *top, sides)), text
        notched, below = found["a narrow notch"], found["below"]
        assert notched[1].y0 > 2.0 - radius
        assert notched[1].x0 < 2.0 < notched[1].x1
        assert (notched[0].arrow_patch is not None) == leads
        assert below[0].arrow_patch is None
        assert below[1].y1 < 0.0


def test_names_of_both_sides_of_a_thin_screen_are_on_their_sides() -> None:
    x = (1.99, 2.01)
    left = np.array([[x[0], 4.0], [0.0, 4.0], [0.0, 0.0], [x[0], 0.0], [x[0], 4.0]])
    right = np.array([[x[1], 0.0], [4.0, 0.0], [4.0, 4.0], [x[1], 4.0], [x[1], 0.0]])
    names = [name("left", (x[0], 2.0), OUT[1]), name("right", (x[1], 2.0), OUT[3])]
    found = drawn(names, [left, right], (-1, 5, -1, 5))
    assert 0 < found["left"][1].x0 < found["left"][1].x1 < x[0]
    assert x[1] < found["right"][1].x0 < found["right"][1].x1 < 4.0


@test_output_3d.serial
def test_legends_have_the_names_of_pieces(saved: Any) -> None:  # noqa: F811
    """Along the walls of a 3D device, as in its views."""
    result = Drawn(saved[1])
    names = result.wall_facets[0]
    several = {wall for wall, _ in result.wall_of if wall not in names}
    assert several  # a wall of several pieces
    figure = profiles.edges(result)
    assert figure is not None
    texts = figure.axes[0].get_legend_handles_labels()[1]
    told = {text.partition(",")[0] for text in texts}
    assert told <= set(names)
    assert any(text.startswith(wall) for text in told for wall in several)
