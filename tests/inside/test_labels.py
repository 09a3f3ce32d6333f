"""Names of walls on maps, and in legends."""

from __future__ import annotations

from typing import Any

import numpy as np
import test_output_3d
from matplotlib.text import Text
from test_output_3d import saved  # noqa: F401 (a fixture)

from meso.figures import labels, profiles
from meso.figures.data import Drawn
from meso.figures.style import canvas
from meso.files.readable import written

UP, RIGHT = np.eye(2)[::-1]


def drawn(names: dict[str, Any], outline: np.ndarray) -> dict[str, tuple[bool, Any]]:
    """Whether a line leads to each name, and its frame in the unit of a map; it touches nothing."""
    figure, add = canvas(5.0, 5.0, "", 0.0)
    axes = add(0.5, 0.5, 4.0, 4.0)
    axes.set(xlim=(-1, 5), ylim=(-1, 5))
    wanted = [labels.Label(lines=(n,), anchor=a, normal=b) for n, (a, b) in names.items()]
    labels.draw(axes, wanted, 1.0, [outline])
    figure.canvas.draw()
    dots = outline[:-1, None] + np.diff(outline, axis=0)[:, None] * np.linspace(0, 1, 500)[:, None]
    out = {}
    for text in axes.texts:
        box = Text.get_window_extent(text).transformed(axes.transData.inverted())
        assert not ((dots > box.p0) & (dots < box.p1)).all(axis=2).any(), text
        out[text.get_text()] = text.arrow_patch is not None, box
    return out


def test_a_name_in_a_narrow_notch_goes_out_of_it() -> None:
    for radius in (0.4, 1.5):
        angle = np.linspace(np.pi, 2 * np.pi, 60)[:, None]
        notch = [2.0, 2.0] + radius * np.hstack([np.cos(angle), np.sin(angle)])
        corners = np.array([[4, 2], [4, 0], [0, 0], [0, 2], notch[0]])
        place = np.array([2.0, 2.0 - radius])
        names = {"a narrow notch": (place, UP), "below": (place * [1, 0], -UP)}
        (leads, box), (other, _) = drawn(names, np.vstack([notch, corners])).values()
        assert (leads, other) == (radius < 1, False)
        assert box.y0 > 2.0 - radius and box.x0 < 2.0 < box.x1


def test_names_at_a_thin_screen_are_on_their_sides() -> None:
    x = [0.0, 4.0, 4.0, 2.01, 2.01, 1.99, 1.99, 0.0, 0.0]
    y = [0.0, 0.0, 4.0, 4.00, 0.50, 0.50, 4.00, 4.0, 0.0]
    names = {"left": (np.array([1.99, 2]), RIGHT), "right": (np.array([2.01, 2]), -RIGHT)}
    left, right = (box for _, box in drawn(names, np.column_stack([x, y])).values())
    assert 0 < left.x0 < left.x1 < 1.99 and 2.01 < right.x0 < right.x1 < 4


def test_names_of_walls_that_face_each_other() -> None:
    """Outside of the two legs of a chevron, where there is room for one name beside the other."""
    outline = np.array([[0, 0], [2, 2], [4, 0], [4, 1], [2, 3], [0, 1], [0, 0]], dtype=float)
    names = {
        "wall 1": (np.array([1.4, 1.4]), np.array([1, -1]) / np.sqrt(2)),
        "wall 2": (np.array([2.6, 1.4]), np.array([-1, -1]) / np.sqrt(2)),
    }
    (_, one), (_, other) = drawn(names, outline).values()
    assert not one.overlaps(other)


def test_what_grows_at_corners_leaves_room_for_the_rest() -> None:
    s = np.linspace(0.0, 1.0, 2001)
    steep = profiles.Row(label="x", unit="", lines=[(s, 1 / (s + 1e-5), {}), (s, 0 * s - 1, {})])
    figure = profiles._figure("", "s", [steep], profiles.Scale(1.0, "m"), legends=False)
    low, high = figure.axes[0].get_ylim()
    assert -300 < low <= -1 and 150 < high < 300
    even = profiles.Row(label="x", unit="", lines=[(s, np.exp(-3 * s), {})])
    figure = profiles._figure("", "s", [even], profiles.Scale(1.0, "m"), legends=False)
    assert figure.axes[0].get_ylim()[1] > 1


def test_what_is_rounding_is_nothing() -> None:
    assert written(-8.2e-18, "A", zero=1e-15, error=2e-17) == "0 A"
    assert written(1.1e-6, "A", zero=1e-15, error=3e-8) == "1.10 ± 0.03 µA"


@test_output_3d.serial
def test_legends_have_the_names_of_pieces(saved: Any) -> None:  # noqa: F811
    result = Drawn(saved[1])
    figure = profiles.edges(result)
    assert figure is not None
    told = {text.partition(",")[0] for text in figure.axes[0].get_legend_handles_labels()[1]}
    assert told <= set(result.wall_facets[0])
    assert told - {wall for wall, _ in result.wall_of}  # some wall has several pieces
