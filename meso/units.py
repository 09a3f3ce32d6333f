"""Quantities with units, converted to SI at the edge.

The registry is small on purpose: it holds the units that make sense here, so that a slip of the
pen is an unknown unit rather than an exotic one, and it is built in a few milliseconds, on first
use. Conversion is done in decimal numbers: "7 nm" and 7e-9 are the same float.
"""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from functools import cache
from math import inf, isfinite, isinf, isnan
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeGuard

from meso.errors import CaseError
from meso.validation import Before

if TYPE_CHECKING:
    import pint

_PREFIXES = {
    "f": "1e-15",
    "p": "1e-12",
    "n": "1e-9",
    "u": "1e-6",
    "m": "1e-3",
    "c": "1e-2",
    "k": "1e3",
    "M": "1e6",
    "G": "1e9",
    "T": "1e12",
}
_UNITS = {
    "m": "[length]",
    "s": "[time]",
    "g": "[mass]",
    "A": "[current]",
    "Hz": "1 / s",
    "J": "kg * m ** 2 / s ** 2",
    "W": "J / s",
    "C": "A * s",
    "V": "J / C",
    "ohm": "V / A",
    "S": "A / V",
    "T": "V * s / m ** 2",
    "eV": "1.602176634e-19 * J",
    "angstrom": "1e-10 * m",
    "hbar": "1.054571817e-34 * J * s",
    "deg": "[angle]",
}

#: Letters outside the plain alphabet, also in their second code points, spelled out.
_SPELLING = str.maketrans(
    {
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{OHM SIGN}": "ohm",
        "\N{GREEK CAPITAL LETTER OMEGA}": "ohm",
        "\N{ANGSTROM SIGN}": "angstrom",
        "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": "angstrom",
        "\N{LATIN SMALL LETTER H WITH STROKE}": "hbar",
        "\N{PLANCK CONSTANT OVER TWO PI}": "hbar",
    }
)

#: Words for units that have a symbol here.
_WORDS = {"micron": "um", "microns": "um", "nanometer": "nm", "meter": "m", "volt": "V"}
_WORDS |= {"amp": "A", "tesla": "T", "siemens": "S"}

#: SI unit -> (name of the dimension, example).
_DIMENSIONS = {
    "m": ("length", "10 nm"),
    "V": ("potential", "1 mV"),
    "A": ("current", "1 mA"),
    "A/m": ("current per width", "10 A/m"),
    "S": ("sheet conductivity", "0.05 S"),
    "S/m": ("conductivity", "2.4e6 S/m"),
    "ohm": ("resistance", "50 ohm"),
    "ohm*m": ("resistivity", "42 µΩ cm"),
    "J": ("energy", "1 eV"),
    "J*s/A": ("orbital coupling", "-2e-31 J s/A"),
    "T": ("magnetic field", "0.1 T"),
    "s": ("time", "2 ps"),
    "m^2/s": ("diffusivity", "2.5e-6 m^2/s"),
    "m/s": ("velocity", "1e6 m/s"),
    "Hz": ("rate", "1e12 Hz"),
    "deg": ("angle", "30 deg"),
    "J/m^2": ("angular-momentum current", "1e-7 J/m^2"),
    "J*s/m^3": ("angular-momentum density", "1e24 hbar/m^3"),
    "J*s^2/m^3": ("susceptibility", "2.7e-21 J s^2/m^3"),
}

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|nan))"
    r"(?:(?:\s+|(?<=\d)|(?<=\.))(?P<unit>(?:1\s*/\s*)?\(?\s*[^\W\d_].*))?"
)


_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
#: 7(1) nm, 1.20(5)e-8 m: one standard deviation in the last digits.
_SHORT = re.compile(rf"({_NUMBER})\((\d+\.?\d*)\)((?:[eE][+-]?\d+)?)(.*)")
#: 7 +/- 1 nm, (7 ± 1) nm.
_LONG = re.compile(
    rf"(\(?)\s*({_NUMBER}(?:[eE][+-]?\d+)?)\s*(?:\+/-|\+-|±)"
    rf"\s*({_NUMBER}(?:[eE][+-]?\d+)?)\s*(\)?)(.*)"
)


@cache
def _registry() -> pint.UnitRegistry:
    # Importing pint costs more than everything else here: only when there is a unit to read.
    import pint

    prefixes = [f"{symbol}- = {factor}" for symbol, factor in _PREFIXES.items()]
    units = [f"{symbol} = {definition}" for symbol, definition in _UNITS.items()]
    return pint.UnitRegistry(prefixes + units, non_int_type=Decimal)


@cache
def _parse_unit(text: str) -> pint.Quantity:
    """One `text` as a quantity."""
    import pint

    registry = _registry()
    try:
        return registry.Quantity(Decimal(1), registry.parse_units(text.translate(_SPELLING)))
    except pint.UndefinedUnitError as error:
        name = error.unit_names if isinstance(error.unit_names, str) else error.unit_names[0]
        raise CaseError(f'unknown unit "{name}"; {_units_like(name)}') from None
    except Exception:  # pint's parser lets through whatever its tokenizer and operators raise
        raise CaseError(f'"{text}" is not a unit') from None


@cache
def _factor(text: str, units: tuple[str, ...]) -> Any:
    """What one `text` is in the first wanted unit that it is compatible with; None: in none."""
    simple = _simple(text, units)
    if simple is not None:
        return simple
    unit = _parse_unit(text)
    return next((unit.m_as(u) for u in units if unit.is_compatible_with(u)), None)


def _simple(text: str, units: tuple[str, ...]) -> Decimal | None:
    """Factor of a wanted unit with a prefix, or of a plain multiple like eV; None for others."""
    for symbol, definition in _UNITS.items():
        prefix = text.removesuffix(symbol)
        if prefix + symbol == text and (not prefix or prefix in _PREFIXES):
            number, _, base = definition.partition(" * ")
            if not number[0].isdigit() or base not in _UNITS:
                number, base = "1", symbol
            if base in units:
                return Decimal(_PREFIXES.get(prefix, "1")) * Decimal(number)
    return None


def _units_like(name: str) -> str:
    # The common slip is the case of a letter: "ev", "NM".
    spellings = (prefix + symbol for prefix in ("", *_PREFIXES) for symbol in _UNITS)
    slip = next((s for s in spellings if s.lower() == name.lower()), _WORDS.get(name.lower()))
    hint = f'did you mean "{slip}"? ' if slip else ""
    return f"{hint}known, with the usual prefixes: {', '.join(_UNITS)}"


def _dimension(unit: pint.Quantity) -> str:
    for si, (name, _) in _DIMENSIONS.items():
        if unit.is_compatible_with(_parse_unit(si)):
            return name
    return f"dimension {unit.dimensionality}"


def _reciprocal(number: Decimal, unit: pint.Quantity, units: tuple[str, ...]) -> str:
    """What a resistivity is as a conductivity, and the like, for whoever wrote the one."""
    for wanted in units:
        if number and (1 / unit).is_compatible_with(wanted):
            return f"; one over it is {float((1 / (number * unit)).m_as(wanted)):.6g} {wanted}"
    return ""


def _expected(units: tuple[str, ...]) -> str:
    names = (_DIMENSIONS.get(u, (f"quantity in {u}", f"1 {u}")) for u in units)
    return " or ".join(f'{name}, e.g. "{example}"' for name, example in names)


def split(value: object) -> tuple[str, str] | None:
    """A text with an uncertainty as the texts of the value and of one standard deviation.

    Args:
        value: "7(1) nm", "1.20(5)e-8 m", "7 +/- 1 nm", "(7 ± 1) nm" or, of a number without
            dimension, "0.3(1)" or "0.3 +/- 0.1".

    Returns:
        For instance "7 nm" and "1 nm"; None for everything else.
    """
    text = value.strip() if isinstance(value, str) else ""
    if match := _SHORT.fullmatch(text):
        number, digits, exponent, rest = match.groups()
        if "." not in digits:
            places = len(number.partition(".")[2])
            digits = str(Decimal(digits).scaleb(-places))
        return f"{number}{exponent}{rest}", f"{digits}{exponent}{rest}"
    if (match := _LONG.fullmatch(text)) and bool(match[1]) == bool(match[4]):
        return match[2] + match[5], match[3].lstrip("+-") + match[5]
    return None


def _parse(value: object, units: tuple[str, ...]) -> float:
    if parts := split(value):
        value = parts[0]
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match is None:
            raise CaseError(f'cannot read "{value}"; expected {_expected(units)}')
        number, text = Decimal(match["number"]), match["unit"]
        if text is not None:
            factor = _factor(text, units)
            if factor is None:
                unit = _parse_unit(text)
                found = _dimension(unit)
                other = _reciprocal(number, unit, units)
                raise CaseError(f'found "{value}" ({found}); expected {_expected(units)}{other}')
            result = _float(number * factor)
        elif number.is_finite():
            raise CaseError(f'missing unit in "{value}"; expected {_expected(units)}')
        else:
            result = float(number)
    elif isinstance(value, Real) and not isinstance(value, bool):
        result = _float(value)
    else:
        raise CaseError(f"found {value!r}; expected {_expected(units)}, or a number in {units[0]}")
    if isnan(result):
        raise CaseError(f"found {value!r}, not a number; expected {_expected(units)}")
    if isinf(result) and "m" not in units:
        raise CaseError(f"found {value!r}; expected a finite {_expected(units)}")
    return result


def _float(value: Real | Decimal) -> float:
    try:
        result = float(value)
    except OverflowError:
        result = inf
    if isinf(result) and abs(value) != inf:
        raise CaseError("the number is too large")
    return result


def quantity(value: object, *units: str, where: str = "") -> float:
    """Convert a quantity to SI.

    Args:
        value: a string with a unit ("10 nm"), perhaps with an uncertainty ("10(2) nm"), which
            does not count here, or a number that is in SI units already. Lengths may be infinite
            ("inf").
        units: the SI unit of the result; where several are given, any of them will do.
        where: key of the quantity in the case file, for the error.

    Returns:
        The value in the SI unit.

    Raises:
        CaseError: no unit, unknown unit, wrong dimension, or not a number.
    """
    try:
        return _parse(value, units)
    except CaseError as error:
        raise CaseError(*((where, text) for _, text in error.problems)) from None


def factor(text: object, *units: str) -> float:
    """SI units in one unit that is given by its name.

    Args:
        text: the unit, e.g. "nm".
        units: the SI unit; where several are given, any of them will do.

    Raises:
        CaseError: not a unit, or one of another dimension.
    """
    if not isinstance(text, str):
        raise CaseError(f'found {text!r}; must be a unit, e.g. "{units[0]}"')
    return quantity(f"1 {text}", *units)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number and not a truth value; infinities and NaN are."""
    return isinstance(value, Real) and not isinstance(value, bool)


def number(value: object) -> float:
    """Check a number without dimension; one with an uncertainty is a text.

    Raises:
        CaseError: not a finite number.
    """
    if parts := split(value):
        with suppress(ValueError):
            value = float(parts[0])
    with suppress(OverflowError):  # an integer of hundreds of digits
        if is_number(value) and isfinite(value):
            return float(value)
    raise CaseError(f"found {value!r}; expected a number")


def unit(*units: str) -> Before:
    """Annotation of a field that is read by `quantity` with these units."""
    return Before(lambda value: quantity(value, *units))


#: Annotation of a field that is read by `number`.
NUMBER = Before(number)

#: The unit at the end of the name of a column.
UNIT = re.compile(r"_(A|V|S|ohm|W|hbar|J|J_s)(_per_m2|_per_m|_m)?(?=(_[xyz])?$)")


def without_unit(column: str) -> str:
    """The name of a column of a result without its unit."""
    return UNIT.sub("", column)
