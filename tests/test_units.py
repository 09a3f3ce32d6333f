"""Quantities with units: what is accepted, and what the errors say."""

import math
import subprocess
import sys
from decimal import Decimal

import pytest
from conftest import GEOMETRIES

from meso import Case, CaseError, MesoError, quantity
from meso.errors import known


def case(**changes):
    """A case of one sheet; changes of its material, or ``specularity`` of its walls."""
    wall = {"wall": {"specularity": changes.pop("specularity", 0.0)}}
    sheet = {"carriers": "2d", "conductivity": "1 mS", "mean_free_path": "1 nm", **changes}
    tables = {
        "geometry": {"file": str(GEOMETRIES / "ribbon.geo"), "length_unit": "nm"},
        "materials": {"sheet": sheet},
        "regions": {"metal": "sheet"},
        "boundaries": {"source": {"contact": {"potential": 0}}, "edges": wall},
        "flow": {"model": "hydrodynamic"},
    }
    return Case.from_dict(tables)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("10 nm", "m", 10e-9),
        ("7nm", "m", 7e-9),
        ("-.5 um", "m", -0.5e-6),
        ("3 Å", "m", 3e-10),
        ("3 \N{ANGSTROM SIGN}", "m", 3e-10),
        ("1.5 \N{MICRO SIGN}m", "m", 1.5e-6),
        ("1.5 \N{GREEK SMALL LETTER MU}m", "m", 1.5e-6),
        ("2 uV", "V", 2e-6),
        ("3 mΩ", "ohm", 3e-3),
        ("3 m\N{OHM SIGN}", "ohm", 3e-3),
        ("3 kohm", "ohm", 3e3),
        ("42 µΩ cm", "ohm*m", 42e-8),
        ("2.4e6 S/m", "S/m", 2.4e6),
        ("24 kS/cm", "S/m", 2.4e6),
        ("1 eV", "J", 1.602176634e-19),
        ("-2e-31 J s/A", "J*s/A", -2e-31),
        ("-2e-31 J·s/A", "J*s/A", -2e-31),
        ("2.5e-6 m^2/s", "m^2/s", 2.5e-6),
        ("2.5e-6 m²/s", "m^2/s", 2.5e-6),
        ("2 A/cm", "A/m", 200.0),
        ("50 mT", "T", 0.05),
        ("1e12 1/s", "Hz", 1e12),
        ("1e12 s^-1", "Hz", 1e12),
    ],
)
def test_conversion(text, unit, value):
    # Exactly: the conversion is decimal and rounded once.
    assert quantity(text, unit) == value


@pytest.mark.parametrize("digits", [1, 3, 7, 9, 11, 13, 1.1, 39.9, 0.3])
@pytest.mark.parametrize(("prefix", "exponent"), [("n", -9), ("u", -6), ("m", -3), ("k", 3)])
def test_string_and_number_are_the_same_float(digits, prefix, exponent):
    assert quantity(f"{digits} {prefix}m", "m") == float(Decimal(str(digits)).scaleb(exponent))


def test_numbers_are_in_si_units():
    assert quantity(7e-9, "m") == 7e-9
    assert quantity(3, "V") == 3.0
    assert isinstance(quantity(3, "V"), float)


@pytest.mark.parametrize("value", ["inf", "inf m", math.inf])
def test_lengths_may_be_infinite(value):
    assert quantity(value, "m") == math.inf
    with pytest.raises(CaseError, match=r"finite|potential"):
        quantity(value, "V")


@pytest.mark.parametrize(
    ("value", "fragments"),
    [
        ("7", ['missing unit in "7"', "length", '"10 nm"']),
        ("7 eV", ['found "7 eV" (energy)', "expected length", '"10 nm"']),
        ("7 nm nm", ["[length] ** 2", "expected length"]),
        ("7 foo", ['unknown unit "foo"', "known"]),
        ("7 NM", ['unknown unit "NM"', 'did you mean "nm"']),
        ("7,5 nm", ['cannot read "7,5 nm"', '"10 nm"']),
        ("1 000 nm", ['cannot read "1 000 nm"']),
        ("1_000 nm", ["cannot read"]),
        ("1/2 nm", ["cannot read"]),
        ("7 nm + 1 nm", ['"nm + 1 nm" is not a unit']),
        ("7 m^", ['"m^" is not a unit']),
        ("nm", ["cannot read"]),
        ("", ["cannot read"]),
        ("7 __class__", ["cannot read"]),
        ("nan", ["not a number"]),
        ("nan nm", ["not a number"]),
        (math.nan, ["not a number"]),
        (True, ["found True", "number in m"]),
        (None, ["found None"]),
        ([7], ["found [7]"]),
        (10**400, ["too large"]),
        ("1e400 nm", ["too large"]),
    ],
)
def test_errors_tell_what_was_found_and_what_is_right(value, fragments):
    with pytest.raises(CaseError) as error:
        quantity(value, "m", where="materials.Ti.mean_free_path")
    for fragment in ["materials.Ti.mean_free_path: ", *fragments]:
        assert fragment in str(error.value)


def test_units_by_name():
    def scale(key, unit, **more):
        made = case(**{key: {"expression": "1", "unit": unit}}, **more)
        return getattr(made.materials["sheet"], key).scale

    assert scale("mean_free_path", "nm") == 1e-9
    assert scale("conductivity", "MS/m", carriers="3d") == 1e6
    with pytest.raises(CaseError, match=r"\(length\); expected conductivity"):
        scale("conductivity", "nm", carriers="3d")
    for bad in (3, "", "2 nm"):
        with pytest.raises(CaseError, match=r"must be a unit|cannot read|missing unit"):
            scale("mean_free_path", bad)


def test_one_of_several_units():
    assert quantity("1 mA", "A", "A/m") == 1e-3
    assert quantity("1 mA/um", "A", "A/m") == 1e3
    with pytest.raises(CaseError, match=r"current, .* or current per width"):
        quantity("1 V", "A", "A/m")


@pytest.mark.parametrize("value", ["0.5", True, [1], math.nan, math.inf])
def test_plain_numbers(value):
    assert case(specularity=1).walls["edges"].specularity == 1.0
    with pytest.raises(CaseError, match="expected a number"):
        case(specularity=value)


def test_case_errors():
    error = CaseError("one", ("a.b", "two"), file="c.toml")
    assert isinstance(error, MesoError)
    assert str(error) == "c.toml: 2 problems\n  one\n  a.b: two"
    assert str(CaseError(("a.b", "two"), file="c.toml")) == "c.toml: a.b: two"
    assert str(CaseError("one")) == "one"


def test_known_names():
    assert known("currrent", ["potential", "current"]) == (
        'did you mean "current"? known: potential, current'
    )
    assert known("zzz", ["potential"]) == "known: potential"
    assert known("zzz", []) == "known: none"


def test_units_are_loaded_on_first_use_only():
    code = "import sys, meso; meso.quantity(3, 'V'); print('pint' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
