"""Dataclasses out of the tables of a file, with errors that name the key.

The types of the fields say what a table may have: numbers, texts, paths, lists, tables of values,
other dataclasses; ``X | None`` is X where it is given. :class:`Before` and :class:`After` in
``Annotated`` convert and check more. What a union of several types is, what is before it has
decided. Nothing is converted silently, and what a dataclass itself refuses is an error like others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from meso.errors import CaseError, known

#: Fields that are spelled differently in files.
KEYS = {"from_": "from", "length_unit_name": "length_unit"}


@dataclass(frozen=True, slots=True)
class Info:
    """What validators may know.

    Attributes:
        context: Of the file.
        examples: Of required keys, "key" or "table.key".
        data: Fields of the same table that have been read, those before this one.
    """

    context: Mapping[str, Any]
    examples: Mapping[str, str]
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Before:
    """Annotation: a function of what the file has, and with ``informed`` of an :class:`Info`."""

    function: Callable[..., Any]
    informed: bool = False


@dataclass(frozen=True, slots=True)
class After:
    """Annotation: a function of the value of the type."""

    function: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Annotation: a table whose only key says which of these classes the table behind it makes."""

    kinds: Mapping[str, type]


def within(low: int, high: int | None = None) -> After:
    """Annotation of an integer between limits, which are permitted."""
    rule = f"{low} or larger" if high is None else f"in {low} … {high}"

    def check(value: int) -> int:
        if value < low or (high is not None and value > high):
            raise CaseError(f"found {value}; must be {rule}")
        return value

    return After(check)


def checked(
    kind: Any,
    tables: Mapping[str, Any],
    context: Mapping[str, Any],
    examples: Mapping[str, str],
) -> Any:
    """The dataclass of tables of a file; ``examples`` are those of required keys.

    Raises:
        CaseError: All that is wrong, each with its key.
    """
    problems: list[tuple[str, str]] = []
    with _collected(problems):
        return _read(kind, tables, Info(context, examples))
    raise CaseError(*problems)


@contextmanager
def _collected(problems: list[tuple[str, str]], *key: str) -> Iterator[None]:
    """Add what is wrong within to a list, below a key."""
    try:
        yield
    except CaseError as error:
        found: Iterable[tuple[str, str]] = error.problems
        problems += [(".".join(filter(None, [*key, inner])), text) for inner, text in found]
    except ValueError as error:
        problems.append((".".join(key), str(error)))


def _read(hint: Any, value: Any, info: Info) -> Any:
    """A value as its type, which may be annotated, says; raises a CaseError."""
    notes: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
    elif get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
        options = [option for option in get_args(hint) if option is not NoneType]
        return None if value is None else _read(Union[tuple(options)], value, info)  # noqa: UP007
    for note in reversed(notes):
        if isinstance(note, Before):
            value = note.function(value, info) if note.informed else note.function(value)
    one_of = next((note for note in notes if isinstance(note, OneOf)), None)
    value = _of_type(hint, value, info) if one_of is None else _one_of(one_of.kinds, value, info)
    for note in notes:
        if isinstance(note, After):
            value = note.function(value)
    return value


def _of_type(hint: Any, value: Any, info: Info) -> Any:
    kind = get_origin(hint) or hint
    if kind in (Any, Union, UnionType):
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return value if isinstance(value, kind) else _table(kind, value, info)
    if kind is Literal:
        if not any(value == option for option in get_args(hint)):
            raise CaseError(f"found {value!r}; {known(str(value), get_args(hint))}")
        return value
    if kind is dict:
        if not isinstance(value, Mapping):
            raise CaseError(f"found {value!r}; must be a table")
        of = get_args(hint)[1]
        return dict(_all({str(key): (of, item) for key, item in value.items()}, info))
    if kind is tuple:
        return _tuple(get_args(hint), value, info)
    types, words = _PLAIN[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        raise CaseError(f"found {value!r}; must be {words}")
    return kind(value)


_PLAIN: dict[Any, tuple[Any, str]] = {
    float: (Real, "a number"),
    int: (int, "an integer"),
    bool: (bool, "true or false"),
    str: (str, "a text"),
    Path: (str | Path, 'a path, e.g. "results"'),
}


def _all(items: Mapping[str, tuple[Any, Any]], info: Info) -> Iterator[tuple[str, Any]]:
    """Keys and values, of types and what is given for them."""
    problems: list[tuple[str, str]] = []
    for key, (hint, value) in items.items():
        with _collected(problems, key):
            yield key, _read(hint, value, info)
    if problems:
        raise CaseError(*problems)


def _tuple(types: tuple[Any, ...], value: Any, info: Info) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise CaseError(f"found {value!r}; must be a list")
    if types[-1] is Ellipsis:
        types = types[:1] * len(value)
    if len(types) != len(value):
        raise CaseError(f"found {value!r}; must be a list of {len(types)}")
    pairs = zip(types, value, strict=True)
    return tuple(found for _, found in _all({str(i): pair for i, pair in enumerate(pairs)}, info))


def _one_of(kinds: Mapping[str, type], value: Any, info: Info) -> Any:
    if isinstance(value, tuple(kinds.values())):
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        text = " or ".join(f"{{ {kind} = {{ … }} }}" for kind in kinds)
        raise CaseError(f"found {value!r}; must be {text}")
    ((key, table),) = value.items()
    if key not in kinds:
        raise CaseError(f'unknown kind of boundary "{key}"; {known(str(key), kinds)}')
    return dict(_all({key: (kinds[key], table)}, info))[key]


@cache
def _fields(kind: Any) -> dict[str, tuple[str, Any, bool]]:
    """The name, type of each field and whether it is required, by the keys of a table."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        KEYS.get(f.name, f.name): (f.name, hints[f.name], f.default is f.default_factory is MISSING)
        for f in fields(kind)
        if f.init
    }


def _table(kind: Any, value: Any, info: Info) -> Any:
    """A dataclass out of a table."""
    if not isinstance(value, Mapping):
        raise CaseError(f"found {value!r}; must be a table")
    own, inner = _fields(kind), Info(info.context, info.examples)
    problems: list[tuple[str, str]] = []
    for key, (name, hint, required) in own.items():
        if key in value:
            with _collected(problems, key):
                inner.data[name] = _read(hint, value[key], inner)
        elif required:
            inside = f"{kind.__name__.lower()}.{key}"
            example = info.examples.get(inside) or info.examples.get(key, "a value")
            problems.append((key, f"missing; give {example}"))
    unknown = [str(key) for key in value if key not in own]
    problems += [(key, f"unknown key; {known(key, own)}") for key in unknown]
    if problems:
        raise CaseError(*problems)
    return kind(**inner.data)
