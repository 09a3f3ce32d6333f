"""Numbers and units as people read them, for pictures and reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any

_PREFIX = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_PREFIXED = tuple("AVΩSKTWJ")  # units that begin so; others get a power of ten
_RATES = {"per_m2_s": "m⁻² s⁻¹", "per_m3_s": "m⁻³ s⁻¹"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: How units end the keys of tables, the longest first.
_UNIT = re.compile(
    r"(?:^|_)((?:J_s|hbar|ohm_m|ohm|m2|m3|rad|bytes|[AVWSJTKms])(?:_per_[A-Za-z0-9_]+)?"
    r"|per_m[23]?(?:_s)?)$"
)
#: A number with or without a power of ten, and a unit.
_QUANTITY = re.compile(r"([-+]?\d+(?:\.\d*)?|[-+]?\.\d+)(?:[eE]([-+]?\d+))?\s*((?:[^\W\d]|1/).*)?")
#: Part of the largest current that direct solvers leave of none.
ROUNDING = 1e-13
#: Words of keys that are spelt otherwise in a text.
_NAMES = {"hall": "Hall", "fermi": "Fermi", "electron electron": "electron–electron"}
#: Tables of a case whose names say nothing beside those of what is in them.
_TABLES = ("materials", "boundaries", "wall", "contact", "angular_momentum")


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


def digits_of(value: float, error: float, most: int) -> int:
    """Significant digits of a number: no more than two of its error, 0 far below this."""
    if not (value and error and isfinite(value) and isfinite(error)):
        return most
    return max(0, min(most, floor(log10(abs(value))) - floor(log10(abs(error))) + 2))


def words(key: str) -> str:
    """A key of a table as words: "edges.1.orbital_moment" is "edges 1, orbital moment"."""
    text = re.sub(r"\.(?=\d)", " ", key).replace("_", " ").replace(".", ", ")
    for spelt, name in _NAMES.items():
        text = re.sub(rf"\b{spelt}\b", name, text)
    return text


def short(key: str) -> str:
    """The end of a key of a case that tells which input it is, as words."""
    parts = key.replace("geometry.parameters.", "").split(".")
    return words(" ".join(part for part in parts if part not in _TABLES))


def quantity(text: str) -> str:
    """A quantity as a case file spells it, "1e-7 um", as people write it, "10⁻⁷ µm"."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        return text
    value, power, unit = found.groups()
    if power is not None:
        raised = str(int(power)).translate(_RAISED)
        value = f"10{raised}" if value == "1" else f"{value}·10{raised}"
    return f"{value} {unit_name(unit or '')}".strip().replace("-", "−")


def unit_name(text: str) -> str:
    """A unit of a case file as people write it: "um" is "µm", "m^2/s" is "m²/s"."""
    text = re.sub(r"\bum\b", "µm", text).replace("hbar", "ħ").replace("ohm", "Ω")
    text = re.sub(r"(?:\*\*|\^)(-?\d)", lambda m: m[1].translate(_RAISED), text)
    return text.replace("*", " ")


def split_unit(key: str) -> tuple[str, str]:
    """What a key of a table names, and its unit: "current_A_per_m" is "current", "A_per_m"."""
    found = _UNIT.search(key)
    return (key[: found.start()], found[1]) if found else (key, "")


def suffix(unit: str) -> str:
    """A unit as the headers of tables spell it: "S/m" is S_per_m."""
    text = unit.replace("²", "2").replace("³", "3").replace("ħ", "hbar").replace("^", "")
    text = text.replace("*", "_").replace(" ", "_").replace("/", "_per_")
    return text.removeprefix("1_") if text.startswith("1_per") else text


def circulating(summary: Mapping[str, Any], key: str) -> float:
    """How large a current may be inside of a device, whatever its contacts have.

    Args:
        summary: Tables "extrema" and "mesh" of summary.json.
        key: Of the current of a contact, which tells its unit; 0 if that cannot be compared.
    """
    density, mesh = summary["extrema"].get("current_density"), summary["mesh"]
    if density is None or not key.startswith("current_A"):
        return 0.0
    volume = mesh.get("volume_m3")
    size = float(mesh.get("area_m2", 0.0) ** 0.5 if volume is None else volume ** (2 / 3))
    of_sheet = density["unit"] == "A_per_m" and key == "current_A"
    of_section = density["unit"] == "A_per_m2" and (key == "current_A_per_m" or volume is not None)
    return size * abs(density.get("max", 0.0)) if of_sheet or of_section else 0.0


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
