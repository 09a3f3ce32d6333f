"""What a design is to make large or small: a formula of outputs."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meso.errors import CaseError

_OUTPUT = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "sqrt": np.sqrt, "log": np.log}
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
# Of the differences by which formulas are derived, relative.
_STEP = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A formula of outputs, such as "edges.1.orbital_moment / dissipated_power".

    Attributes:
        text: The formula.
        outputs: The outputs in it.
        tree: The formula with ``v0``, ``v1``, … for the outputs.
    """

    text: str
    outputs: tuple[str, ...]
    tree: ast.expr = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a formula of outputs, + - * / **, numbers, abs, sqrt and log.

        Raises:
            CaseError: It cannot be read, or has no output in it.
        """
        names: dict[str, int] = {}

        def place(found: re.Match[str]) -> str:
            name = found[0]
            return name if name in _FUNCTIONS else f"v{names.setdefault(name, len(names))}"

        # 1e-3 is a number, not an output.
        parts = re.split(r"((?<![\w.])\d+\.?\d*(?:[eE][+-]?\d+)?|(?<![\w.])\.\d+)", text)
        written = "".join(p if i % 2 else _OUTPUT.sub(place, p) for i, p in enumerate(parts))
        try:
            tree = ast.parse(" ".join(written.split()), mode="eval").body
        except SyntaxError:
            example = '"edges.1.orbital_moment / dissipated_power"'
            raise CaseError(
                f'cannot read "{text}"; a formula of outputs is, e.g., {example}'
            ) from None
        if not names:
            raise CaseError(f'found "{text}"; there is no output in it')
        target = cls(text=text, outputs=tuple(names), tree=tree)
        target.value(dict.fromkeys(names, 1.0))
        return target

    def value(self, outputs: Mapping[str, float]) -> float:
        """The number, from those of the outputs."""
        given = {f"v{i}": outputs[name] for i, name in enumerate(self.outputs)}
        with np.errstate(all="ignore"):
            return float(_value(self.tree, given, self.text))

    def slopes(self, outputs: Mapping[str, float]) -> dict[str, float]:
        """Derivative in each output."""
        out = {}
        for name in self.outputs:
            step = _STEP * (abs(outputs[name]) or 1.0)
            high, low = (self.value({**outputs, name: outputs[name] + s}) for s in (step, -step))
            out[name] = (high - low) / (2 * step)
        return out


def _value(node: ast.expr, names: Mapping[str, float], text: str) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand, names, text))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            sides = (_value(side, names, text) for side in (left, right))
            try:
                found = _OPERATORS[type(op)](*sides)
                return np.nan if isinstance(found, complex) else found  # (-1) ** 0.5
            except (ZeroDivisionError, OverflowError):
                return np.nan
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_value(argument, names, text))
    allowed = f"outputs, numbers, + - * / ** and {', '.join(_FUNCTIONS)}(…)"
    raise CaseError(f'cannot read "{text}"; allowed are {allowed}')
