"""Profiles: what an expression means, what it must not do, and coefficients on a device."""

import math

import numpy as np
import pytest
from conftest import GEOMETRIES

from meso import Case, CaseError, Profile

ROUNDING = 1e-14
X, Y = 0.75, -2.0


def value(expression, x=X, y=Y):
    profile = Profile(expression=expression)
    return float(profile.at(np.array([[x, y]]), checked=False)[0])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2", 2.0),
        ("-x", -X),
        ("+x - -y", X + Y),
        ("1 + 2*3**2/4", 5.5),
        ("2**3**2", 512.0),
        ("(1 + 2)*3", 9.0),
        ("x*y + z", X * Y),
        ("pi", math.pi),
        ("exp(x) + log(x) + sqrt(x)", math.exp(X) + math.log(X) + math.sqrt(X)),
        ("sin(x) + cos(y) + tan(x)", math.sin(X) + math.cos(Y) + math.tan(X)),
        ("sinh(x) + cosh(y) + tanh(x)", math.sinh(X) + math.cosh(Y) + math.tanh(X)),
        ("abs(y) + hypot(3, 4) + atan2(y, x)", 7 + math.atan2(Y, X)),
        ("min(x, y) + max(x, y, 5)", Y + 5),
        ("clip(x, 0, 0.5) + clip(y, 0, 0.5)", 0.5),
        ("step(x) + 10*step(y) + 100*step(0)", 101.0),
        ("where(x > 0, 3, 4) + where(x <= 0, 10, 20)", 23.0),
        ("(x > 0) - (y > 0)", 1.0),
        ("-(x > 0)", -1.0),
        ("where(0 < x < 1, 1, 2) + where(0 < y < 1, 10, 20)", 21.0),
        ("where(x > 0 and y > 0, 1, 2) + where(x > 0 or y > 0, 10, 20)", 12.0),
        ("where(not x == 0.75, 1, 2) + where(y != -2, 10, 20)", 22.0),
        ("x\n + 1", X + 1),
    ],
)
def test_expressions(expression, expected):
    # A few operations in floating point.
    assert value(expression) == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize(
    ("expression", "fragments"),
    [
        ("1 +", ['cannot read "1 +"']),
        ("2x", ['cannot read "2x"', 'at "2x"']),
        ("(1", ['cannot read "(1"']),
        ("1 + $", ['at "$"']),
        ("xx", ['unknown name "xx"; did you mean "x"?', "pi"]),
        ("exq(x)", ['unknown function "exq"; did you mean "exp"']),
        ("sin", ['"sin" is a function']),
        ("sin(1, 2)", ["sin(…) has 2 arguments; must be 1"]),
        ("max(1)", ["max(…) has 1 arguments; must be 2 or more"]),
        ("x^2", ['"x ^ 2" is not allowed; write ** for a power']),
        ("1 if x else 2", ["is not allowed; known are numbers"]),
        ("'a'", ["is not allowed"]),
        ("True", ["is not allowed"]),
        ("1j", ["is not allowed"]),
        ("[1][0]", ["is not allowed"]),
        ("exp(x=1)", ["is not allowed"]),
        ("exp(*[1])", ["is not allowed"]),
        ("(y := 2)", ["is not allowed"]),
        ("x.real", ["is not allowed"]),
        ("().__class__", ["is not allowed"]),
        ("(lambda: 1)()", ["is not allowed"]),
        ("__import__('os')", ['unknown function "__import__"']),
        ("1" + "0" * 400, ["too large"]),
        ("(" * 5000 + "1" + ")" * 5000, ["cannot read"]),
        ("+".join(["1"] * 5000), ["too deeply nested"]),
        ("1\0", ["cannot read"]),
    ],
)
def test_bad_expressions(expression, fragments):
    with pytest.raises(CaseError) as error:
        Profile(expression=expression)
    ((key, text),) = error.value.problems
    assert key == "expression"
    assert len(text) < 400
    for fragment in fragments:
        assert fragment in text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "found neither of expression and data"),
        ({"expression": "1", "data": "a"}, "found both"),
        ({"expression": " "}, "expression: found ' '; must be a text"),
        ({"data": 3}, "data: found 3; must be a text"),
        ({"expression": "a*x", "parameters": {"b": 1.0}}, "parameters.b: is not in the expr"),
        ({"expression": "x", "parameters": {"x": 1.0}}, "parameters.x: stands for something else"),
        ({"data": "a", "parameters": {"a": 1.0}}, "parameters.a: is not in data"),
        ({"expression": "a*c", "parameters": {"a": 1.0}}, 'unknown name "c"'),
        ({"expression": "1", "scale": 0.0}, "scale: found 0.0"),
        ({"expression": "1", "length_unit": math.inf}, "length_unit: found inf"),
    ],
)
def test_profiles_built_in_python_are_checked(table, message):
    with pytest.raises(CaseError, match=message):
        Profile(**table)


@pytest.mark.parametrize("bad", ["x", "1/(x + 1)", "log(x)", "sqrt(x)", "9**9**9", "1e400"])
def test_values_are_positive_and_finite(bad):
    place = np.array([[[1e-9, 0.0], [-1e-9, 2e-9]]])
    profile = Profile(expression=bad, length_unit=1e-9)
    with pytest.raises(CaseError, match=r"found .* at x = (-1, y = 2|1, y = 0); must be positive"):
        profile.at(place)
    assert profile.at(place, checked=False).shape == (1, 2)


def test_parameters():
    profile = Profile(expression="a*x + b", parameters={"a": 2.0, "b": 0.5})
    assert float(profile.at(np.array([3.0, 0.0]))) == 6.5
    assert str(profile) == "a*x + b, a = 2, b = 0.5"


def test_units_and_shapes():
    profile = Profile(expression="1 + x + 10*y + 100*z", scale=1e3, length_unit=1e-9)
    places = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]) * 1e-9
    np.testing.assert_allclose(profile.at(places), [1e3, 322e3], rtol=ROUNDING)
    np.testing.assert_allclose(profile.at(places[:, :2]), [1e3, 22e3], rtol=ROUNDING)
    assert profile.at(np.zeros((2, 3, 4, 2))).shape == (2, 3, 4)
    assert Profile(expression="5").at(np.zeros((2, 3, 2))).shape == (2, 3)


def test_data_of_cells():
    profile = Profile(data="sigma", scale=10.0)
    data = {"sigma": np.array([1.0, 2.0, 3.0])}
    cells = np.array([2, 0])
    np.testing.assert_allclose(profile.at(np.zeros((2, 2)), cells, data), [30, 10])
    wide = profile.at(np.zeros((2, 4, 2)), cells, data)
    np.testing.assert_allclose(wide, [[30] * 4, [10] * 4])
    with pytest.raises(CaseError, match=r'no cell data "sigma" in the mesh; known: none'):
        profile.at(np.zeros((2, 2)), cells)
    with pytest.raises(CaseError, match=r"found -1 at x = 0, y = 0"):
        profile.at(np.zeros((1, 2)), np.array([0]), {"sigma": np.array([-1.0])})


def test_text():
    assert str(Profile(expression="1 + x")) == "1 + x"
    assert str(Profile(data="l", scale=1e-9)) == '1e-09 × (cell data "l")'


def test_tables_of_a_case_file():
    def path_of(table):
        sheet = {"carriers": "2d", "conductivity": "1 mS", "mean_free_path": table}
        contacts = {"source": {"contact": {"potential": 0}}, "drain": {"contact": {"current": 0}}}
        tables = {
            "geometry": {"file": str(GEOMETRIES / "ribbon.geo"), "length_unit": "um"},
            "materials": {"sheet": sheet},
            "regions": {"metal": "sheet"},
            "boundaries": contacts,
            "flow": {"model": "hydrodynamic"},
        }
        return Case.from_dict(tables).materials["sheet"].mean_free_path

    wanted = Profile(expression="7 + x", scale=1e-9, length_unit=1e-6)
    assert path_of({"expression": "7 + x", "unit": "nm"}) == wanted
    with pytest.raises(CaseError, match="unit: missing"):
        path_of({"expression": "7"})
    with pytest.raises(CaseError, match=r"parameters.a: found 'two'; expected a number"):
        path_of({"expression": "a", "unit": "nm", "parameters": {"a": "two"}})
