"""How values of a sweep are read, without a solution for each; axes and labels of its picture."""

from math import inf
from pathlib import Path

import pytest
from test_sweep import PATH, SLIP, here  # noqa: F401 (here: a fixture)

from meso import sweep
from meso.figures import sweeps
from meso.files.headline import headline
from meso.results.grid import parse_axis, si_value


@pytest.mark.parametrize(
    ("text", "values", "numbers", "column"),
    [
        ("flow.order=2:5:4", (2, 3, 4, 5), (2, 3, 4, 5), "flow.order"),
        (f"{SLIP}=0:1:5", (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0), SLIP),
        ("a.b=0.1:0.3:3", (0.1, 0.2, 0.3), (0.1, 0.2, 0.3), "a.b"),
        ("a.b=8:1:4:log", (8, 4, 2, 1), (8, 4, 2, 1), "a.b"),
        (
            f"{PATH}=1nm:100nm:3:log",
            ("1 nm", "10 nm", "100 nm"),
            (1e-9, 1e-8, 1e-7),
            f"{PATH}_m",
        ),
        ("a.b=500 nm : 1 um : 2", ("500 nm", "1000 nm"), (5e-7, 1e-6), "a.b_m"),
        ("a.c=1 S/m,2e6 S/m", ("1 S/m", "2e6 S/m"), (1.0, 2e6), "a.c_S_per_m"),
        ("a.b=0 nm,inf", ("0 nm", inf), (0.0, "inf"), "a.b_m"),
        ("flow.model=ohmic,hydrodynamic", ("ohmic", "hydrodynamic"), None, "flow.model"),
        ('a.b=["x,y", 2, {c = 1}]', ("x,y", 2, {"c": 1}), ("x,y", 2, '{"c": 1}'), "a.b"),
        ("a.b=7", (7,), (7,), "a.b"),
    ],
)
def test_values(text, values, numbers, column):
    """Ranges and lists, integers that stay integers, units that reach the header."""
    axis = parse_axis(text)
    assert axis.values == values
    assert [type(v) for v in axis.values] == [type(v) for v in values]
    assert axis.numbers == pytest.approx(numbers or values, rel=1e-15)
    assert axis.column == column


def test_units():
    """A text is a quantity only if it is one as a whole."""
    assert si_value("3 nm") == (3e-9, "m")
    assert si_value("2 mS") == (2e-3, "S")
    assert si_value("isotropic") is None and si_value("3") is None and si_value("3 nm x") is None


def test_picture(monkeypatch):
    """Logarithmic where the sweep is, one line for each value of the other key, in its unit."""
    figures = []
    monkeypatch.setattr(sweeps, "store", lambda figure, path: figures.append(figure) or path)
    over = ["geometry.parameters.width=10:1000:3:log", "boundaries.edges.wall.slip_length=0 nm,inf"]
    settings = {"boundaries.edges.wall": {}}
    sweep("case.toml", over, settings=settings, directory="sweep")
    (axes,) = figures[0].axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlabel() == "width (unit of the drawing: nm)"
    assert axes.get_ylabel() == "resistance “strip” (Ω)"
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["slip length = 0 nm", "slip length = ∞"]
    # Without friction the resistance is Drude's.
    assert list(axes.lines[1].get_ydata()) == pytest.approx([250, 25, 2.5], rel=1e-6)


def test_picture_of_names(monkeypatch):
    """Values that are no numbers are told apart by name."""
    figures = []
    monkeypatch.setattr(sweeps, "store", lambda figure, path: figures.append(figure) or path)
    sweep("case.toml", ["flow.model=ohmic,hydrodynamic"], directory="sweep")
    (axes,) = figures[0].axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["ohmic", "hydrodynamic"]
    assert sweeps.draw_sweep(Path("sweep")) is not None
    assert headline({"a.current_A": 1.0}) == ["a.current_A"]
