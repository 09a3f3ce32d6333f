"""Quantities that vary in space: an expression in the coordinates, or data of the cells.

An expression is parsed to a tree of numbers, coordinates and known functions, and nothing else
is ever evaluated: a case file cannot run code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial, reduce
from math import isfinite, pi
from typing import Any

import numpy as np

from meso.errors import CaseError, known
from meso.units import factor, number

_COORDINATES = ("x", "y", "z")
_CONSTANTS = {"pi": pi}

#: Function -> (implementation, fewest arguments, most arguments).
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    **{
        name: (getattr(np, name), 1, 1)
        for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "abs")
    },
    "step": (lambda value: np.heaviside(value, 1.0), 1, 1),
    "atan2": (np.arctan2, 2, 2),
    "hypot": (np.hypot, 2, 2),
    "min": (lambda *values: reduce(np.minimum, values), 2, 99),
    "max": (lambda *values: reduce(np.maximum, values), 2, 99),
    "clip": (np.clip, 3, 3),
    "where": (np.where, 3, 3),
}
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: np.logical_not,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A positive quantity that varies in space.

    Args:
        expression: in x, y and z, for instance "2.4e6*(1 + 0.5*x/100)". Known are the operators
            + - * / ** and comparisons, pi, exp, log, sqrt, sin, cos, tan, sinh, cosh, tanh, abs,
            atan2, hypot, min, max, clip, step (one from zero on) and where(condition, a, b).
        data: name of cell data of the mesh, instead of an expression.
        parameters: numbers of the expression, by their names in it.
        scale: SI units in one unit of the values.
        length_unit: metres in one unit of x, y and z.

    Raises:
        CaseError: not exactly one of expression and data, or an expression that has no meaning.
    """

    expression: str | None = None
    data: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)
    scale: float = 1.0
    length_unit: float = 1.0

    def __post_init__(self) -> None:
        found = [key for key in ("expression", "data") if getattr(self, key) is not None]
        if len(found) != 1:
            text = f"found {'both' if found else 'neither'} of expression and data"
            raise CaseError(f"{text}; give exactly one")
        text = getattr(self, found[0])
        if not isinstance(text, str) or not text.strip():
            example = '"2.4e6*(1 + x/100)"' if self.data is None else 'a name, e.g. "sigma"'
            raise CaseError((found[0], f"found {text!r}; must be a text, e.g. {example}"))
        for key in ("scale", "length_unit"):
            if not (isfinite(getattr(self, key)) and getattr(self, key) > 0):
                raise CaseError((key, f"found {getattr(self, key)!r}; must be positive and finite"))
        self._check_parameters()
        if self.expression is not None:
            try:
                _parsed(self.expression, tuple(self.parameters))
            except CaseError as error:
                raise CaseError(("expression", str(error))) from None

    def _check_parameters(self) -> None:
        words = set(re.findall(r"[^\W\d]\w*", self.expression or ""))
        for name in self.parameters:
            problem = ""
            if name in (*_COORDINATES, *_CONSTANTS, *_FUNCTIONS):
                problem = "stands for something else in expressions; take another name"
            elif name not in words:
                problem = f"is not in {'the expression' if self.expression else 'data'}"
            if problem:
                raise CaseError((f"parameters.{name}", problem))

    def __str__(self) -> str:
        text = self.expression or f'cell data "{self.data}"'
        text += "".join(f", {name} = {value:g}" for name, value in self.parameters.items())
        return text if self.scale == 1 else f"{self.scale:g} × ({text})"

    def at(
        self,
        positions: np.ndarray,
        cells: np.ndarray | None = None,
        cell_data: Mapping[str, np.ndarray] | None = None,
        *,
        checked: bool = True,
    ) -> np.ndarray:
        """Values at positions, in SI.

        Args:
            positions: in m, shape (…, d); z is zero in the plane.
            cells: local number of the cell that each position is in, of shape (…) or of its first
                axes; for cell data only.
            cell_data: name -> value in each local cell, in the unit of the profile.
            checked: False to return values that are not positive and finite as they are.

        Returns:
            Shape (…).

        Raises:
            CaseError: a value that is not positive and finite, or no such data.
        """
        positions = np.asarray(positions, dtype=float)
        shape = positions.shape[:-1]
        at = positions / self.length_unit
        if self.expression is not None:
            given = {name: np.float64(value) for name, value in self.parameters.items()}
            names: dict[str, Any] = {"y": 0.0, "z": 0.0, **given}
            names |= {n: at[..., i] for i, n in enumerate(_COORDINATES[: at.shape[-1]])}
            try:
                with np.errstate(all="ignore"):
                    values = _value(_parsed(self.expression, tuple(self.parameters)), names)
            except RecursionError:
                raise CaseError(("expression", "too deeply nested")) from None
        else:
            if cells is None or self.data not in (cell_data or {}):
                text = f'no cell data "{self.data}" in the mesh'
                raise CaseError(("data", f"{text}; {known(str(self.data), cell_data or ())}"))
            values = np.asarray(cell_data[self.data], dtype=float)[cells]  # type: ignore[index]
            values = values.reshape(values.shape + (1,) * (len(shape) - values.ndim))
        values = np.broadcast_to(np.asarray(values, dtype=float), shape) * self.scale
        if checked:
            self._check(values, at)
        return values

    def _check(self, values: np.ndarray, at: np.ndarray) -> None:
        bad = ~((values > 0) & np.isfinite(values))
        if bad.any():
            first = tuple(np.argwhere(bad)[0])
            place = ", ".join(f"{n} = {v:.6g}" for n, v in zip("xyz", at[first], strict=False))
            found = f"found {values[first] / self.scale:g} at {place}"
            raise CaseError(f"{found}; must be positive and finite in the whole conductor")


def read_profile(value: object, *units: str, length_unit: float) -> Profile:
    """A profile as a case file has it, { expression = …, unit = … } or { data = …, unit = … }.

    An expression may have { parameters = { NAME = … } }. Of several units any will do; the other
    one is that of the drawing's coordinates in m.
    """
    table = dict(value) if isinstance(value, Mapping) else {}
    keys = ("expression", "data", "unit", "parameters")
    problems = [(k, f"unknown key; {known(k, keys)}") for k in table if k not in keys]
    scale = 1.0
    try:
        if "unit" not in table:
            raise CaseError(f'missing; give the unit of the values, e.g. "{units[0]}"')
        scale = factor(table.pop("unit"), *units)
    except CaseError as error:
        problems += [("unit", text) for _, text in error.problems]
    table = {k: v for k, v in table.items() if k in keys}
    try:
        if "parameters" in table:
            table["parameters"] = _numbers(table["parameters"])
        profile = Profile(**table, scale=scale, length_unit=length_unit)
    except CaseError as error:
        problems += error.problems
    if problems:
        raise CaseError(*problems)
    return profile


def _numbers(given: object) -> dict[str, float]:
    """Parameters, which may have uncertainties."""
    if not isinstance(given, Mapping):
        raise CaseError(("parameters", f"found {given!r}; must be a table, e.g. {{ a = 0.5 }}"))
    found, problems = {}, []
    for name, value in given.items():
        try:
            found[name] = number(value)
        except CaseError as error:
            problems.append((f"parameters.{name}", str(error)))
    if problems:
        raise CaseError(*problems)
    return found


@cache
def _parsed(text: str, parameters: tuple[str, ...] = ()) -> ast.expr:
    """The tree of an expression, all of which is known."""
    text = " ".join(text.split())
    try:
        tree = ast.parse(text, mode="eval").body
        with np.errstate(all="ignore"):
            _value(tree, dict.fromkeys((*_COORDINATES, *parameters), np.float64(1)))
        return tree
    except SyntaxError as error:
        rest = text[max(0, (error.offset or 1) - 1) :]
        place = f'at "{rest[:20]}"' if rest else "at its end"
        raise CaseError(f'cannot read "{text[:60]}": {error.msg} {place}') from None
    except (RecursionError, MemoryError):
        raise CaseError(f'cannot read "{text[:40]}…": too deeply nested') from None
    except CaseError:
        raise
    except (ValueError, OverflowError) as error:  # a null byte, a number of 400 digits
        raise CaseError(f'cannot read "{text[:40]}": {error}') from None


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Value of an expression, by the values of the coordinates; truth values are 0 and 1."""

    def values(parts: Sequence[ast.expr]) -> list[Any]:
        return [_value(part, names) for part in parts]

    def applied(kind: ast.AST, *terms: Any) -> Any:
        return np.asarray(_OPERATORS[type(kind)](*terms), dtype=float)

    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return np.float64(value)  # so that 1/0 and 9**9**9 are infinite, not exceptions
        case ast.Name(id=name):
            return _named(name, names)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return applied(op, _value(operand, names))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return applied(op, *values([left, right]))
        case ast.BoolOp(op=op, values=parts):
            return reduce(partial(applied, op), values(parts))
        case ast.Compare(left=left, ops=ops, comparators=right) if {
            type(op) for op in ops
        } <= _OPERATORS.keys():
            terms = values([left, *right])
            pairs = [applied(op, *terms[i : i + 2]) for i, op in enumerate(ops)]
            return reduce(partial(applied, ast.And()), pairs)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in _FUNCTIONS:
                raise CaseError(f'unknown function "{name}"; {known(name, _FUNCTIONS)}')
            function, fewest, most = _FUNCTIONS[name]
            if not fewest <= len(args) <= most:
                wanted = str(fewest) if fewest == most else f"{fewest} or more"
                raise CaseError(f"{name}(…) has {len(args)} arguments; must be {wanted}")
            return np.asarray(function(*values(args)), dtype=float)
    power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor)
    vocabulary = ", ".join((*_COORDINATES, *_CONSTANTS, *_FUNCTIONS))
    hint = f"known are numbers, + - * / **, comparisons, and, or, not, {vocabulary}"
    raise CaseError(
        f'"{ast.unparse(node)}" is not allowed; {"write ** for a power" if power else hint}'
    )


def _named(name: str, names: Mapping[str, Any]) -> Any:
    if name in _CONSTANTS or name in names:
        return _CONSTANTS[name] if name in _CONSTANTS else names[name]
    if name in _FUNCTIONS:
        raise CaseError(f'"{name}" is a function: write {name}(…)')
    raise CaseError(f'unknown name "{name}"; {known(name, (*names, *_CONSTANTS))}')
