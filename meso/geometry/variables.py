"""Variables of a drawing: which there are, and other values for them.

Gmsh lets a plain assignment, ``width = 100;``, win over what it is told from outside, so that it
is replaced in the text; what ``DefineConstant`` gives, and the names that ``DefineNumber`` shows in
the window of Gmsh, take values from outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import gmsh

from meso.errors import GeometryError
from meso.geometry.scripts import blanked

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ELSEWHERE = re.compile(r"\b(Include|Merge)")
_CONSTANTS = re.compile(r"(?s)DefineConstant\s*\[(.*?)\]\s*;")
# A statement begins a line, or follows another one, the range of a loop or a condition.
_BEGIN = r"(?:^|[;})])\s*"


def names(text: str) -> list[str]:
    """Names of what a script assigns: the variables that may be set from outside."""
    plain = re.findall(rf"(?m){_BEGIN}([A-Za-z_]\w*)\s*=(?!=)", _CONSTANTS.sub("", blanked(text)))
    return sorted({*_defined(text), *plain})


def constants(text: str) -> dict[str, str]:
    """Those that are given a number as such, with it: what a drawing is to be varied by.

    Counters, which it changes afterwards, are none.
    """
    code = blanked(text)
    inside = " ".join(_CONSTANTS.findall(code))
    found = re.findall(rf"([A-Za-z_]\w*)\s*=\s*\{{?\s*({_NUMBER})\s*(?=[,}}]|$)", inside)
    number = rf"(?:DefineNumber\s*\[\s*)?({_NUMBER})\s*(?=[;,\]])"
    plain = rf"(?m)(?:^|;[ \t]*)([A-Za-z_]\w*)\s*=\s*{number}"
    counted = set(re.findall(r"\b([A-Za-z_]\w*)\s*(?:[-+*/]=|\+\+|--)", code))
    every = found + re.findall(plain, _CONSTANTS.sub("", code))
    return {name: number for name, number in every if name not in counted}


def replaced(path: Path, text: str, values: Mapping[str, float]) -> tuple[str, list[str]]:
    """A script with other values of some of its variables.

    Args:
        path: Of the script, for messages.
        text: The script.
        values: By name of a variable, or by the ``Name`` that a number has in the window of Gmsh.

    Returns:
        The text, and the variables whose values Gmsh has been told instead, to be looked at when
        it has run.

    Raises:
        GeometryError: There is no such variable.
    """
    told = []
    for name, value in values.items():
        other = _assigned(text, name, float(value))
        if other is not None:
            text = other
        elif name in _shown(text):
            gmsh.onelab.setNumber(name, [float(value)])
        else:
            code = blanked(text)
            if name not in re.findall(r"[A-Za-z_]\w*", code) and not _ELSEWHERE.search(code):
                raise _unknown(path, text, name)
            gmsh.parser.setNumber(name, [float(value)])
            told.append(name)
    return text, told


def _defined(text: str) -> list[str]:
    return re.findall(r"([A-Za-z_]\w*)\s*=", " ".join(_CONSTANTS.findall(blanked(text))))


def _shown(text: str) -> set[str]:
    """Names in the window of Gmsh."""
    return set(re.findall(r'\bName\s*"([^"]*)"', blanked(text, strings=False)))


def _assigned(text: str, name: str, value: float) -> str | None:
    """The script with the first plain assignment to a variable replaced; None: it has none."""
    code = _CONSTANTS.sub(lambda found: " " * len(found[0]), blanked(text))
    found = re.search(rf"(?m){_BEGIN}({re.escape(name)}\s*=(?!=)[^;]*);", code)
    if found is None or name in _defined(text):
        return None
    return f"{text[: found.start(1)]}{name} = {value!r}{text[found.end(1) :]}"


def _unknown(path: Path, text: str, name: str) -> GeometryError:
    known = [*names(text), *sorted(_shown(text))]
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    has = ", ".join(known) or "none"
    return GeometryError(
        f"{path}: the drawing has no variable '{name}' (geometry.parameters){hint}"
        f"{' It' if near else '; it'} has: {has}"
    )


def check_taken(path: Path, told: list[str], values: Mapping[str, float]) -> None:
    """Raise a GeometryError if a variable has another value than Gmsh was told."""
    for name in told:
        found = gmsh.parser.getNumber(name)
        if len(found) and found[0] != values[name]:
            raise GeometryError(
                f"{path}: '{name}' (geometry.parameters) is {found[0]:g} whatever it is given: a"
                " statement of the drawing, or of a file that it includes, assigns it; with"
                f" DefineConstant[ {name} = … ]; it can be varied"
            )
