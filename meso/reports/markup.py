"""HTML of reports: elements, numbers, tables, pictures, and a page that needs nothing else.

Texts become nodes of a tree, and the standard library writes it: nothing that a user calls his
contacts can become markup.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

from meso.files.readable import Scale, digits_of, handy, scale, split_unit, words
from meso.units import is_number

#: What goes into an element; None is left out.
Node = Element | str | None
#: Errors of a number by what they are from, in its own unit.
Errors = Mapping[str, float]

#: What HTML cannot hold.
_BAD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
#: Part of a number below which an error is none.
_NONE = 1e-15
_STYLE = Path(__file__).with_name("style.css")


def tag(kind: str, /, *children: Node | Iterable[Node], **attributes: str) -> Element:
    """An element; ``class_`` is the attribute class, ``data_x`` data-x."""
    found = Element(kind, {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items()})
    last: Element | None = None
    for child in children:
        nodes = [child] if child is None or isinstance(child, str | Element) else child
        for node in nodes:
            if isinstance(node, Element):
                found.append(node)
                last = node
            elif node is not None:
                text = clean(node)
                if last is None:
                    found.text = (found.text or "") + text
                else:
                    last.tail = (last.tail or "") + text
    return found


def clean(text: str) -> str:
    """A text without what HTML cannot hold."""
    return _BAD.sub("\ufffd", text)


def page(title: str, subtitle: str, parts: Iterable[tuple[str, Sequence[Node]]], foot: str) -> str:
    """A whole document: sections with headings, and links to them at the top.

    Args:
        title: Its title.
        subtitle: What it is a report of.
        parts: Heading and content of each section; empty ones are left out.
        foot: The last line.
    """
    filled = [(name, [n for n in nodes if n is not None]) for name, nodes in parts]
    filled = [(name, nodes) for name, nodes in filled if nodes]
    links = [
        tag("li", tag("a", name, href=f"#part{i}")) for i, (name, _) in enumerate(filled) if name
    ]
    sections = [
        tag("section", tag("h2", name) if name else None, nodes, id=f"part{i}")
        for i, (name, nodes) in enumerate(filled)
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", "\n" + _STYLE.read_text(encoding="utf-8")),
    )
    body = tag(
        "body",
        tag("header", tag("p", subtitle, class_="kind"), tag("h1", title)),
        tag("nav", tag("ul", links), aria_label="Contents"),
        tag("main", sections),
        tag("footer", tag("p", foot)),
    )
    text = tostring(tag("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n"


# --- numbers


def number(value: float, unit: Scale, errors: Errors | None = None, digits: int = 6) -> list[Node]:
    """A number to read, with all of its digits for machines, and its errors below it."""
    errors = {what: error for what, error in (errors or {}).items() if error > _NONE * abs(value)}
    digits = digits_of(value, min(errors.values(), default=0.0), digits)
    out: list[Node] = [tag("data", shown(value / unit.factor, digits), value=repr(value))]
    return [*out, *_doubts(errors, unit)]


def _doubts(errors: Errors, unit: Scale) -> list[Node]:
    out: list[Node] = []
    for what, error in errors.items():
        size = tag("data", shown(error / unit.factor, 2), value=repr(error))
        out += [" ", tag("span", "± ", size, f" {what}", class_="error")]
    return out


def shown(value: float, digits: int = 6) -> str:
    """A number as text; powers of ten as people write them; without digits nothing is left."""
    text = f"{value:.{digits}g}" if digits else "0"
    mantissa, e, power = text.partition("e")
    if e and 0 <= int(power) < 4:  # few digits of a handy number
        text, e = f"{float(text):.0f}", ""
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")) if e else ""
    text = f"{mantissa}·10{raised}" if e else text
    return text.replace("-", "−").replace("inf", "∞")


def value_of(
    value: Any, unit: Scale | None = None, errors: Errors | None = None, digits: int = 6
) -> list[Node]:
    """Anything that a record may hold."""
    if is_number(value):
        return number(value, unit or Scale(1.0, ""), errors, digits)
    if isinstance(value, list | tuple):
        parts: list[Node] = []
        least = min((errors or {}).values(), default=0.0)
        for item in value:
            parts += [", "] if parts else []
            own = digits_of(item, least, digits) if is_number(item) else digits
            parts += value_of(item, unit, digits=own)
        return [*parts, *_doubts(errors or {}, unit or Scale(1.0, ""))]
    return ["yes" if value is True else "no" if value is False else _text(value)]


def _text(value: Any) -> str:
    return "–" if value is None or value == "" else str(value)


def with_unit(value: Any, unit: str, errors: Errors | None = None, digits: int = 6) -> list[Node]:
    """A number, or some, in a handy unit."""
    chosen = handy(_largest([value]), unit)
    dot = "·" if chosen.name.startswith("10") else " "
    name: list[Node] = [f"{dot}{chosen.name}"] if chosen.name else []
    if not errors:
        return [*value_of(value, chosen, digits=digits), *name]
    first, *rest = number(value, chosen, errors, digits)
    return [first, *name, *rest]


def _largest(values: Iterable[Any]) -> float:
    """The largest magnitude of numbers, and of lists of them."""
    flat = [x for v in values for x in (v if isinstance(v, list | tuple) else [v])]
    return max((abs(x) for x in flat if is_number(x) and abs(x) < 1e300), default=0.0)


# --- tables


def grid(
    header: Sequence[Node], rows: Iterable[Sequence[Any]], caption: str = "", *, heads: int = 1
) -> Element:
    """A table of cells, the first of each row (``heads`` of them) being its headings.

    Cells are texts, elements, lists of both, or numbers.
    """
    lines = []
    for row in rows:
        cells = [
            tag("th", _cell(cell), scope="row") if i < heads else _data(cell)
            for i, cell in enumerate(row)
        ]
        lines.append(tag("tr", cells))
    top = tag("thead", tag("tr", [tag("th", text, scope="col") for text in header]))
    name = {"aria_label": clean(caption)} if caption else {}
    inside = tag(
        "table",
        tag("caption", caption) if caption else None,
        top if any(header) else None,
        tag("tbody", lines),
    )
    # What scrolls can be reached by keys.
    return tag("div", inside, class_="wide", role="region", tabindex="0", **name)


def _cell(cell: Any) -> list[Node]:
    if isinstance(cell, Element):
        return [cell]
    if isinstance(cell, list) and any(isinstance(part, str | Element) for part in cell):
        return cell
    return value_of(cell)


def _data(cell: Any) -> Element:
    nodes = _cell(cell)
    numeric = bool(nodes) and isinstance(nodes[0], Element) and nodes[0].tag == "data"
    return tag("td", nodes, class_="number") if numeric else tag("td", nodes)


def quantities(
    rows: Mapping[str, Mapping[str, Any]],
    head: str,
    caption: str = "",
    errors: Mapping[str, Errors] | None = None,
    *,
    digits: int = 6,
) -> Element | None:
    """A table of numbers whose keys carry their unit, each column in a handy one.

    Args:
        rows: By name of the row, then by key, "current_A".
        head: What the rows are.
        caption: Of the table.
        errors: By "row.key".
        digits: Of the numbers.
    """
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    if not keys:
        return None
    units = {
        key: handy(_largest(r.get(key) for r in rows.values()), split_unit(key)[1]) for key in keys
    }
    header = [head]
    for key in keys:
        name = words(split_unit(key)[0])
        vectors = [row[key] for row in rows.values() if isinstance(row.get(key), list)]
        name += " x, y, z" if any(len(vector) == 3 for vector in vectors) else ""
        header.append(headed(name, units[key].name))
    lines = []
    for name, row in rows.items():
        cells: list[Any] = [name]
        for key in keys:
            found = (errors or {}).get(f"{name}.{key}")
            cells.append(value_of(row[key], units[key], found, digits) if key in row else "")
        lines.append(cells)
    return grid(header, lines, caption)


def headed(name: str, unit: str) -> str:
    """The head of a column, which may be broken, but not within its unit."""
    held = unit.replace(" ", "\N{NO-BREAK SPACE}")
    return f"{name} ({held})" if unit else name


def facts(table: Mapping[str, Any], caption: str = "") -> Element:
    """Keys and values, one a row."""
    rows = []
    for key, value in table.items():
        name, unit = split_unit(key)
        cell = with_unit(value, unit) if unit and value is not None else value_of(value)
        rows.append([name.replace("_", " "), cell])
    return grid(["", ""], rows, caption)


def record(table: Mapping[str, Any], level: int = 3) -> list[Node]:
    """Whatever a record holds: plain values, tables of like entries, and tables in tables."""
    flat = {k: v for k, v in table.items() if not _nested(v)}
    out: list[Node] = [facts(flat)] if flat else []
    for key, value in table.items():
        if not _nested(value) or not value:
            continue
        rows = value if isinstance(value, dict) else {str(i + 1): v for i, v in enumerate(value)}
        like = all(isinstance(v, dict) and not any(map(_nested, v.values())) for v in rows.values())
        name, unit = split_unit(key)
        title = name.replace("_", " ") + (f" ({scale(0, unit).name})" if unit else "")
        out.append(tag(f"h{level}", title))
        if like:
            out.append(quantities(rows, ""))
        elif all(isinstance(v, list) for v in rows.values()):
            out.append(grid([""], [[name, *row] for name, row in rows.items()]))
        else:
            out += record(rows, min(level + 1, 6))
    return out


def _nested(value: Any) -> bool:
    lists = isinstance(value, list) and any(isinstance(v, list | dict) for v in value)
    return isinstance(value, dict) or lists


# --- the rest


def folded(title: str, *nodes: Node) -> Element:
    """What is there for those who open it."""
    return tag("details", tag("summary", title), nodes)


def code(text: str) -> Element:
    """A text as it is."""
    return tag("pre", tag("code", text), tabindex="0")


def bullets(items: Iterable[Node | Sequence[Node]]) -> Element | None:
    """A list."""
    entries = [tag("li", item) for item in items]
    return tag("ul", entries) if entries else None


def warnings(texts: Sequence[str]) -> Element | None:
    """What a reader should know before the numbers."""
    if not texts:
        return None
    title = "Warning" if len(texts) == 1 else f"{len(texts)} warnings"
    return tag("div", tag("strong", title), bullets(texts), class_="warnings", role="note")


def picture(path: Path, caption: str) -> Element:
    """A picture, in the document itself."""
    content = path.read_bytes()
    size = [int.from_bytes(content[at : at + 4], "big") for at in (16, 20)]  # of a PNG
    image = tag("img", alt=clean(caption), width=str(size[0] // 2), height=str(size[1] // 2))
    image.set("src", "data:image/png;base64," + b64encode(content).decode())
    return tag("figure", image, tag("figcaption", caption))
