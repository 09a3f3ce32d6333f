"""Numbers and units as people read them, for pictures and reports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import floor, log10

_PREFIX = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_PREFIXED = tuple("AVΩSKTWJ")  # units that begin so; others get a power of ten
_RATES = {"per_m2_s": "m⁻² s⁻¹", "per_m3_s": "m⁻³ s⁻¹"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: How units end the keys of tables, the longest first.
_UNIT = re.compile(
    r"(?:^|_)((?:J_s|hbar|ohm_m|ohm|m2|m3|rad|bytes|[AVWSJTKms])(?:_per_[A-Za-z0-9_]+)?"
    r"|per_m[23]?(?:_s)?)$"
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit that makes numbers handy: value = number * factor."""

    factor: float
    name: str


def scale(largest: float, unit: str) -> Scale:
    """A prefix for amperes, volts, ohms, …, else a power of ten, for numbers up to the largest.

    The unit is as in the headers of the tables, "A_per_m", "hbar_per_m2", …
    """
    above, per, below = unit.replace("hbar", "ħ").replace("ohm", "Ω").partition("_per_")
    name = above + ("/" + below.translate(_RAISED) if per else "")
    name = _RATES.get(unit) or name.replace("_", " ")
    power = 3 * floor(log10(largest * 1.0001) / 3) if largest > 0 and unit else 0
    if name.startswith(_PREFIXED) and not name.startswith("J s") and power in _PREFIX:
        return Scale(10.0**power, _PREFIX[power] + name)
    return Scale(10.0**power, f"10{str(power).translate(_RAISED)} {name}" if power else name)


def length_scale(largest: float) -> Scale:
    """Metres, millimetres, micrometres or nanometres for lengths up to the largest, m."""
    for factor, name in ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm")):
        if largest >= 2 * factor:
            return Scale(factor, name)
    return Scale(1e-9, "nm")


def handy(largest: float, unit: str) -> Scale:
    """The same for any unit of a table: lengths, areas and volumes by those of lengths."""
    powers = {"m": 1, "m2": 2, "m3": 3}
    if unit in powers:
        length, power = length_scale(largest ** (1 / powers[unit])), powers[unit]
        return Scale(length.factor**power, length.name + ("", "", "²", "³")[power])
    if unit == "bytes":
        return Scale(1e6, "MB")
    return Scale(1.0, unit) if unit == "s" else scale(largest, unit)


def split_unit(key: str) -> tuple[str, str]:
    """What a key of a table names, and its unit: "current_A_per_m" is "current", "A_per_m"."""
    found = _UNIT.search(key)
    return (key[: found.start()], found[1]) if found else (key, "")


def suffix(unit: str) -> str:
    """A unit as the headers of tables spell it: "S/m" is S_per_m."""
    text = unit.replace("²", "2").replace("³", "3").replace("ħ", "hbar").replace("^", "")
    text = text.replace("*", "_").replace(" ", "_").replace("/", "_per_")
    return text.removeprefix("1_") if text.startswith("1_per") else text


def written(value: float, unit: str, zero: float = 0.0, error: float = 0.0) -> str:
    """A number with its unit, "11.8 µA"; below ``zero`` it counts as nothing.

    An error is beside it, "11.8 ± 0.3 µA", if it is not small against the last of the digits.
    """
    value = 0.0 if abs(value) <= zero else value
    error = error if error > zero else 0.0
    chosen = scale(max(abs(value), error), unit)
    text = f"{value / chosen.factor:.3g}"
    if error > 0 and error > 0.3 * 10.0 ** (floor(log10(max(abs(value), error))) - 2):
        digits = max(0, -floor(log10(error / chosen.factor)))
        text = " ± ".join(f"{x / chosen.factor:.{digits}f}" for x in (value, error))
    return f"{text} {chosen.name}".replace("-", "−")
