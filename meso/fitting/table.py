"""Tables of measurements: CSV whose header has the units.

A header is a name and its unit, ``conductance_uS`` or ``conductance (uS)``, as tables of `meso`
have them: ``S_per_m`` is S/m. What is wrong is told with file, line and column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path

from meso.case import Case
from meso.case.schema import Tables
from meso.errors import CaseError, known
from meso.fitting.schema import Data
from meso.gradients.inputs import inputs_of
from meso.units import factor

#: Problems that one message has at most.
_MOST = 10
_BRACKETS = re.compile(r"(.+?)\s*[(\[]\s*(.*?)\s*[)\]]")
_PERCENT = ("%", "percent")
_UNCERTAINTY, _NOTE, _POSITION = "uncertainty", "note", "s"
_INPUTS = {f.name for f in fields(Tables)} - {"title"}
_PARAMETER = "geometry.parameters."


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The head of a column: what it may name, and in which unit."""

    text: str
    column: int  # from 1
    line: int

    @property
    def where(self) -> str:
        """For messages."""
        return f"line {self.line}, column {self.column} ({self.text})"

    def splits(self) -> Iterator[tuple[str, str]]:
        """Names and units that it may stand for: whole, in brackets, or after an underscore."""
        if found := _BRACKETS.fullmatch(self.text):
            yield found[1], found[2]
            return
        yield self.text, ""
        for at in (m.start() for m in re.finditer("_", self.text)):
            yield self.text[:at], spelled(self.text[at + 1 :])

    def unit_of(self, name: str) -> str | None:
        """The unit that it gives for a name; None if it is no header of that."""
        return next((unit for found, unit in self.splits() if found == name), None)


def spelled(suffix: str) -> str:
    """The end of a header as a unit: ``A_per_m2`` is A/m^2, ``ohm_m`` is ohm*m."""
    above, per, below = f"_{suffix}".partition("_per_")
    above, below = (part.strip("_").replace("_", "*") for part in (above, below))
    return re.sub(r"(?<=[A-Za-z])(\d)", r"^\1", f"{above or 1}/{below}" if per else above)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number that was measured, in the unit of its header, and under which circumstances."""

    line: int
    settings: Mapping[str, float]  # key of the case -> value as the case has it
    position: float | None  # along the probe, m
    header: Header
    value: float
    uncertainty: float
    uncertainty_unit: str  # empty: that of the value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """What the columns are: keys with their factors, outputs, uncertainties."""

    settings: Mapping[str, tuple[Header, float]]
    position: tuple[Header, float] | None
    outputs: Sequence[Header]
    uncertainties: Mapping[str, tuple[Header, str]]  # by the text of the output's header
    usual: tuple[float, str] | None  # what has no column, "1 %"


def measurements(data: Data, case: Case) -> list[Measurement]:
    """Read the table of a set of data.

    Args:
        data: The set.
        case: What it belongs to, which knows the keys and their units.

    Raises:
        CaseError: What is wrong, with line and column.
    """
    problems: list[tuple[str, str]] = []
    try:
        lines = _lines(data.file)
        columns = _columns(lines[0], data, case, problems)
        found = []
        if not problems:
            for number, cells in lines[1:]:
                found += _row(number, cells, len(lines[0][1]), columns, problems)
        if not problems and not found:
            only = "no row has a result" if lines[1:] else "there is a header only"
            problems.append(("", f"no data: {only}"))
    except CaseError as error:
        problems += error.problems
    if problems:
        more = len(problems) - _MOST
        rest = [("", f"and {more} more like these")] if more > 0 else []
        raise CaseError(*problems[:_MOST], *rest, file=str(data.file))
    return found


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbers and cells of the lines that are no comments; the first is the header."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CaseError(f"cannot read the table: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CaseError("not a table: it is not UTF-8 text") from None
    out = [
        (i + 1, [cell.strip() for cell in next(csv.reader([line]))])
        for i, line in enumerate(text.splitlines())
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not out:
        raise CaseError("no data: the file is empty")
    line, head = f"line {out[0][0]}", out[0][1]
    for mark, name in ((";", "semicolons"), ("\t", "tabulators")):
        if len(head) == 1 and mark in head[0]:
            text = f"found {name}; columns are separated by commas, decimals by a point"
            raise CaseError((line, text))
    if all(_read(cell) is not None for cell in head):
        text = "found numbers; the first line is the header, with units: e.g. conductance_uS"
        raise CaseError((line, text))
    return [out[0], *(row for row in out[1:] if any(row[1]))]


def _read(cell: str) -> float | None:
    """The finite number that a cell has, with whichever minus; None if there is none."""
    with suppress(ValueError):
        if isfinite(value := float(cell.replace("\u2212", "-"))):
            return value
    return None


# --- the header


def _columns(
    head: tuple[int, list[str]], data: Data, case: Case, problems: list[tuple[str, str]]
) -> _Columns:
    headers = [Header(text=text, column=i + 1, line=head[0]) for i, text in enumerate(head[1])]
    settings: dict[str, tuple[Header, float]] = {}
    outputs, errors, position = [], [], None
    for header in headers:
        first = header.text.split(".")[0].split("_")[0].split(" ")[0]
        try:
            if sum(header.text == other.text for other in headers) > 1:
                raise CaseError("this column comes twice")
            if not header.text:
                raise CaseError("this column has no header")
            if header.text == _NOTE:
                continue
            if first == _UNCERTAINTY:
                errors.append(header)
            elif data.probe is not None and first == _POSITION:
                position = header, _factor(header, _POSITION, "m")
            elif header.text.split(".")[0] in _INPUTS:
                key, size = _input(header, case)
                if key in settings:
                    other = settings[key][0]
                    raise CaseError(f"is the same input as column {other.column} ({other.text})")
                settings[key] = header, size
            else:
                outputs.append(header)
        except CaseError as error:
            problems += [(header.where, text) for _, text in error.problems]
    line = f"line {head[0]}"
    if not outputs and not problems:
        problems.append((line, "no column of results; e.g. conductance_S, resistance.NAME_ohm"))
    if data.probe is not None and position is None and not problems:
        text = "no column s of distances along the probe; e.g. s_nm"
        problems.append((line, text))
    uncertainties = {} if problems else _uncertainties(errors, outputs, data, problems)
    return _Columns(
        settings=settings,
        position=position,
        outputs=outputs,
        uncertainties=uncertainties,
        usual=None if data.uncertainty is None else _usual(data.uncertainty),
    )


def _usual(text: str) -> tuple[float, str]:
    """The uncertainty of all numbers of a table, "2 %" or "1 uS"."""
    found = re.fullmatch(r"\s*([\d.]+(?:[eE][+-]?\d+)?)\s*(\S.*?)\s*", text)
    if not found or not float(found[1]) > 0:
        raise CaseError(("uncertainty", f'found "{text}"; must be e.g. "1 %" or "2 uS"'))
    return float(found[1]), found[2]


def _input(header: Header, case: Case) -> tuple[str, float]:
    """The key of an input, and what a number of its column is to be multiplied by."""
    if header.text.startswith(_PARAMETER):
        return _parameter(header, case)
    for key, unit in header.splits():
        try:
            (one,) = inputs_of(case, [key])
        except CaseError:
            continue
        if not one.unit:
            if unit:
                raise CaseError(f'found the unit "{unit}"; {key} is a number without unit')
            return key, 1.0
        return key, _factor(header, key, one.unit)
    key = next(header.splits())[0]
    inputs_of(case, [key])
    raise AssertionError(key)


def _parameter(header: Header, case: Case) -> tuple[str, float]:
    """The same for a parameter of the drawing: a length, or with the unit 1 a plain number."""
    for key, unit in header.splits():
        if unit == "1":
            return key, 1.0
        if unit and key.removeprefix(_PARAMETER) in case.geometry.parameters:
            return key, factor(unit, "m") / case.geometry.length_unit
        with suppress(CaseError):
            return key, factor(unit, "m") / case.geometry.length_unit
    name = next(header.splits())[0]
    text = f"no unit; e.g. {name}_nm, or {name}_1 for a number that is no length"
    raise CaseError(text)


def _factor(header: Header, name: str, si: str) -> float:
    """SI units in the unit of a header."""
    unit = header.unit_of(name)
    if not unit:
        raise CaseError(f"no unit; e.g. {name}_{_suffix(si)}")
    return factor(unit, si)


def _suffix(unit: str) -> str:
    """A unit as the end of a header: the inverse of :func:`spelled`."""
    text = unit.replace("^", "").replace("*", "_").replace(" ", "_").replace("/", "_per_")
    return text.removeprefix("1_") if text.startswith("1_per") else text


def _uncertainties(
    errors: Sequence[Header],
    outputs: Sequence[Header],
    data: Data,
    problems: list[tuple[str, str]],
) -> dict[str, tuple[Header, str]]:
    """The column of uncertainties of each output, and its unit."""
    out = {}
    used = set()
    for output in outputs:
        names = [""] if len(outputs) == 1 else []
        names += [f".{name}" for name, _ in output.splits()]
        pairs = [
            (header, unit)
            for header in errors
            for name in names
            if (unit := header.unit_of(_UNCERTAINTY + name))
        ]
        if pairs:
            out[output.text] = pairs[0]
            used.add(pairs[0][0].text)
        elif data.uncertainty is None:
            name = f"{_UNCERTAINTY}." + output.text if len(outputs) > 1 else f"{_UNCERTAINTY}_UNIT"
            text = f'no uncertainty; add a column {name}, or uncertainty = "1 %" to [data]'
            problems.append((output.where, text))
    for header in errors:
        if header.text not in used:
            text = "belongs to no column of its own, or has no unit; e.g. uncertainty_percent"
            problems.append(
                (header.where, f"{text}; {known(header.text, [o.text for o in outputs])}")
            )
    return out


# --- the rows


def _row(
    line: int,
    cells: Sequence[str],
    wide: int,
    columns: _Columns,
    problems: list[tuple[str, str]],
) -> list[Measurement]:
    """The measurements of a line."""
    if len(cells) != wide:
        hint = "; decimals have a point" if len(cells) > wide and all(cells) else ""
        problems.append((f"line {line}", f"found {len(cells)} cells; the header has {wide}{hint}"))
        return []
    count = len(problems)

    def read(header: Header, *, empty: bool = False) -> float | None:
        cell = cells[header.column - 1]
        if empty and not cell:
            return None
        if (value := _read(cell)) is None:
            where = f"line {line}, column {header.column} ({header.text})"
            hint = ", e.g. 1.5" if "," in cell else ""
            problems.append((where, f'found "{cell}"; must be a finite number{hint}'))
        return value

    settings = {
        key: value * size if (value := read(header)) is not None else 0.0
        for key, (header, size) in columns.settings.items()
    }
    position = None
    if columns.position is not None and (place := read(columns.position[0])) is not None:
        position = place * columns.position[1]
    out = []
    for header in columns.outputs:
        if (value := read(header, empty=True)) is None:
            continue  # not measured here
        error, unit = columns.usual or (0.0, "")
        if own := columns.uncertainties.get(header.text):
            error, unit = read(own[0]) or 0.0, own[1]
        if unit in _PERCENT:
            error, unit = abs(value) * error / 100, ""
        if not error > 0 and len(problems) == count:
            at = own[0] if own else header
            where = f"line {line}, column {at.column} ({at.text})"
            text = f"found an uncertainty of {error:g}; must be positive"
            problems.append((where, text))
        out.append(
            Measurement(
                line=line,
                settings=settings,
                position=position,
                header=header,
                value=value,
                uncertainty=error,
                uncertainty_unit=unit,
            )
        )
    return out if len(problems) == count else []
