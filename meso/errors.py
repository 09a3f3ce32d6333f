"""Errors of `meso`: whose fault it is can be told from the class."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable

__all__ = ["CaseError", "ConvergenceError", "GeometryError", "MesoError", "known"]


class MesoError(Exception):
    """Base class of every error that `meso` raises on purpose."""


class CaseError(MesoError, ValueError):
    """A case file, material or boundary is wrong.

    It is also a `ValueError`, so that a validator that collects problems can go on after one.

    Args:
        problems: texts, or pairs (dotted key, text), one for each problem.
        file: the case file, if the problems come from one.

    Attributes:
        problems: pairs (dotted key, text); the key is empty where none applies.
        file: the case file or None.
    """

    def __init__(self, *problems: str | tuple[str, str], file: str | None = None) -> None:
        super().__init__(*problems)
        self.problems = tuple(("", p) if isinstance(p, str) else p for p in problems)
        self.file = file

    def __str__(self) -> str:
        lines = [f"{key}: {text}" if key else text for key, text in self.problems]
        if self.file is None:
            return "\n".join(lines)
        if len(lines) == 1:
            return f"{self.file}: {lines[0]}"
        return "\n  ".join([f"{self.file}: {len(lines)} problems", *lines])


class TooLargeError(CaseError):
    """A solution needs more memory than there is."""


class GeometryError(MesoError):
    """A drawing or a mesh cannot be used."""


class FlatCellsError(GeometryError):
    """Layers of flat cells do not fit into a drawing; others may."""


class ConvergenceError(MesoError):
    """A solver did not reach its tolerance."""


def exit_code(error: BaseException) -> int:
    """Exit code of a command that an error has ended: 2 bad input, 3 did not converge, else 1."""
    if isinstance(error, ConvergenceError):
        return 3
    return 2 if isinstance(error, CaseError | GeometryError) else 1


def told(error: BaseException) -> str:
    """An error as the terminal shows it: one message, or the traceback of an unexpected one."""
    if isinstance(error, MemoryError):
        return "meso: error: memory ran out; larger cells (mesh.size) or more memory would help"
    if not isinstance(error, MesoError):
        return "".join(traceback.format_exception(error)).rstrip()
    kind = "did not converge" if isinstance(error, ConvergenceError) else "error"
    return f"meso: {kind}: {error}"


def known(word: str, names: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest known one and all of them.

    Args:
        word: the name that was found.
        names: the names that would have been right.
    """
    names = list(names)
    nearest = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f'did you mean "{nearest[0]}"? ' if nearest else ""
    return f"{hint}known: {', '.join(names) or 'none'}"
