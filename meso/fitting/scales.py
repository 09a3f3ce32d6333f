"""Data in units of their own: results times a factor that is fitted, too.

What a magneto-optical signal in nrad means in hbar/m^3 is seldom known. The prediction of such a
column is c T, with the result T and its scale c.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.errors import CaseError, known
from meso.fitting import schema
from meso.fitting.parameters import Parameter, check_limits
from meso.fitting.table import Header
from meso.units import factor, number

_QUANTITY = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(.*?)\s*")
#: A scale without bounds may be so many times its start, with either sign.
_WIDE = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A scale as the file has it; what its unit is, only results tell.

    Attributes:
        name: What the file calls it.
        columns: Headers of the columns that it belongs to, for each set of data.
        start: First value, None for the best one.
        bounds: None for any.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    start: float | str | None
    bounds: tuple[float | str, float | str] | None

    def parameter(
        self, units: Iterable[tuple[str, str]], results: np.ndarray, values: np.ndarray
    ) -> Parameter:
        """The scale as a parameter.

        Args:
            units: Those of its columns, and of their results.
            results: What is multiplied, over the uncertainties, for the first values of the others.
            values: The data over their uncertainties: without a start it is
                (data . results)/(results . results), for which chi^2 is smallest.

        Raises:
            CaseError: A start or bounds that are none, or are needed; different units.
        """
        unit, *others = dict.fromkeys(units)
        if others:
            text = " and ".join(_text(*each) for each in (unit, *others))
            raise CaseError(("scale", f"found columns that need {text}; give each its own scale"))
        given = [("start", self.start), *(("bounds", x) for x in self.bounds or ())]
        read = [_read(x, unit, key) for key, x in given if x is not None]
        _, shown, size = read[0] if read else (0.0, _text(*unit), 1.0)
        square, product = float(results @ results), float(results @ values)
        start = product / square if square else 0.0
        wide = max(abs(start), float(np.linalg.norm(values)) / (square**0.5 or np.inf))
        if self.start is not None:
            start = read[0][0]
            wide = abs(start) or wide
        elif not wide:
            text = "missing; data or first results are all zero, which tell none"
            raise CaseError(("start", f'{text}; give it, e.g. "1 {_text(*unit)}"'))
        low, high = -_WIDE * wide, _WIDE * wide
        if self.bounds is not None:
            (low, *_), (high, *_) = read[-2:]
            start = start if self.start is not None else float(np.clip(start, low, high))
        check_limits(start, low, high, self.start, self.bounds)
        return Parameter(
            name=self.name,
            keys={},
            multiples={},
            columns=self.columns,
            unit=_text(*unit),
            shown=shown,
            size=size,
            start=start,
            low=low,
            high=high,
            width=wide or high - low,
        )


def scales(file: schema.FitFile, headers: Mapping[str, Iterable[Header]]) -> tuple[Scale, ...]:
    """The scales of a file.

    Args:
        file: The file.
        headers: Of the data, for each set.

    Raises:
        CaseError: A column that is not there, or that has two scales.
    """
    out, problems, taken = [], [], dict[tuple[str, str], str]()
    for name, table in file.parameters.items():
        if table.scale is None:
            continue
        try:
            columns = _columns(table.scale, headers)
            for place in ((data, text) for data, texts in columns.items() for text in texts):
                if place in taken:
                    raise CaseError(f"{place[1]} has the scale {taken[place]} already")
                taken[place] = name
            out.append(Scale(name=name, columns=columns, start=table.start, bounds=table.bounds))
        except CaseError as error:
            problems += [(f"parameters.{name}.scale", text) for _, text in error.problems]
    if problems:
        raise CaseError(*problems)
    return tuple(out)


def _columns(wanted: Any, headers: Mapping[str, Iterable[Header]]) -> dict[str, tuple[str, ...]]:
    """The headers that are named, whole or without unit, of each set of data that has them."""
    sets = wanted if isinstance(wanted, dict) else dict.fromkeys(headers, wanted)
    out: dict[str, tuple[str, ...]] = {}
    missing = {(data if sets is wanted else "", name) for data in sets for name in sets[data]}
    for data, names in sets.items():
        if data not in headers:
            raise CaseError(f'no data "{data}"; {known(data, headers)}')
        for name in names:
            found = [h.text for h in headers[data] if name == h.text]
            found = found or [h.text for h in headers[data] if h.unit_of(name) is not None]
            if len(found) > 1:
                raise CaseError(f'"{name}" may be {" or ".join(found)}; give the whole header')
            if found:
                out[data] = (*out.get(data, ()), *found)
                missing -= {(data, name), ("", name)}
    for data, name in sorted(missing):
        texts = dict.fromkeys(h.text for d in ([data] if data else sets) for h in headers[d])
        raise CaseError(f'no column "{name}"; {known(name, texts)}')
    return out


def _text(column: str, si: str) -> str:
    """The unit of a scale: that of a column over that of the result."""
    over = f"({si})" if re.search(r"[*/ ]", si) else si
    return f"{column or 1}/{over}" if si else column


def _read(value: float | str, unit: tuple[str, str], key: str) -> tuple[float, str, float]:
    """A start or a bound, "0.3 nrad/(hbar/nm^3)", in SI units, its unit, and that in SI units."""
    try:
        if not isinstance(value, str):
            return number(value), _text(*unit), 1.0
        found, shown, size = _split(value, unit)
        return found * size, shown, size
    except CaseError as error:
        raise CaseError((key, str(error))) from None


def _split(text: str, unit: tuple[str, str]) -> tuple[float, str, float]:
    """Number and unit of a text, and what that unit is in SI units."""
    column, si = unit
    match = _QUANTITY.fullmatch(text)
    above = f"{column or 1}/".replace(" ", "")
    try:
        if match and not si and match[2] == column:
            return float(match[1]), column, 1.0
        if match and si and match[2].replace(" ", "").startswith(above):
            below = match[2].replace(" ", "").removeprefix(above)
            if inside := re.fullmatch(r"\(([^()]*)\)|([^()/]+)", below):
                return float(match[1]), match[2], 1 / factor(inside[1] or inside[2], si)
    except (CaseError, ValueError):
        pass
    raise CaseError(f'found "{text}"; must be a number with its unit, e.g. "1 {_text(*unit)}"')
