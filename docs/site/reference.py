"""The API reference: a page for each public module, an entry for each public name."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from documents import PAGES, ROOT, blocks

import meso

#: The public modules, the most used ones first.
MODULES = (
    *("meso", "meso.flow", "meso.angular_momentum", "meso.orbital", "meso.gradients"),
    *("meso.bands", "meso.bands.models", "meso.exact", "meso.exact_kinetic", "meso.constants"),
    *("meso.errors", "meso.cli"),
)


def pages() -> dict[str, str]:
    """Files of the reference, in reStructuredText, by name."""
    out = {f"{module}.rst": _page(module) for module in MODULES}
    names = "\n".join(f"   {module}" for module in MODULES)
    rows = "\n".join(f"   * - :py:mod:`{m}`\n     - {_summary(import_module(m))}" for m in MODULES)
    out["index.rst"] = (
        "API reference\n=============\n\nEverything is in metres and SI units. What stands here is "
        "public; everything else may change from one version to the next. The options of the "
        "commands are in the :doc:`guide </docs/guide>` and in ``meso COMMAND --help``.\n\n"
        f".. list-table::\n   :widths: auto\n\n{rows}\n\n.. toctree::\n   :hidden:\n\n{names}\n"
    )
    return out


def _page(module: str) -> str:
    found = import_module(module)
    lines = [module, "=" * len(module), "", f".. automodule:: {module}", ""]
    classes = [n for n in found.__all__ if inspect.isclass(getattr(found, n))]
    functions = [n for n in found.__all__ if inspect.isroutine(getattr(found, n))]
    modules = [n for n in found.__all__ if isinstance(getattr(found, n), ModuleType)]
    others = [n for n in found.__all__ if n not in (*classes, *functions, *modules)]
    kinds = {"Functions": functions, "Classes": classes, "Data": others, "Modules": modules}
    for kind, names in kinds.items():
        if not names:
            continue
        lines += [kind, "-" * len(kind), ""]
        for name in sorted(names, key=str.lower):
            lines += [*_entry(module, name), ""]
    return "\n".join(lines)


def _entry(module: str, name: str) -> list[str]:
    thing, full = getattr(import_module(module), name), f"{module}.{name}"
    if isinstance(thing, ModuleType):
        return [f":py:mod:`{full}`", f"   {_summary(thing)}"]
    if inspect.isclass(thing):
        # The exceptions of meso.errors are those of meso.
        twice = ["   :no-index:"] if module == "meso.errors" and hasattr(meso, name) else []
        return [f".. autoclass:: {full}", "   :members:", *twice]
    if inspect.isroutine(thing):
        return [f".. autofunction:: {full}"]
    lines = [*_comment(name).splitlines(), "", *examples(full)]
    return [f".. py:data:: {full}", "", *(f"   {line}".rstrip() for line in lines)]


def _summary(thing: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


@cache
def _comment(name: str) -> str:
    """What the comment above a constant, or behind it, says."""
    for path in sorted((ROOT / "meso").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        above = re.search(rf"^((?:#: .*\n)+){name}\b.* = ", text, re.M)
        if above:
            return re.sub(r"^#: ", "", above[1], flags=re.M)
        behind = re.search(rf"^{name}\b.* = .*  #:? ?(.*)$", text, re.M)
        if behind:
            return behind[1]
    return ""


def exists(name: str) -> bool:
    """Whether a dotted name is a module of meso, or something in one."""
    first, _, rest = name.partition(".")
    if first != "meso":
        return False
    thing: Any = meso
    for part in filter(None, rest.split(".")):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            if hasattr(thing, "__path__") and find_spec(f"{thing.__name__}.{part}"):
                thing = import_module(f"{thing.__name__}.{part}")
            else:
                return part in getattr(thing, "__annotations__", {})
    return True


# --- what uses a name --------------------------------------------------------------------------


def used(text: str) -> set[str]:
    """Dotted names that Python code uses, whatever it calls them."""
    tree = ast.parse(text)
    known = {"meso": "meso"}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {a.asname or a.name: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in known:
            parts = [*known[node.id].split("."), *parts]
            found |= {".".join(parts[:i]) for i in range(2, len(parts) + 1)}
    return found


@cache
def uses() -> dict[int, list[Path]]:
    """Documents with code that uses a public thing, by its identity; tests run all of that code."""
    out: dict[int, list[Path]] = defaultdict(list)
    texts = [(b.page, b.text) for page in PAGES for b in blocks(page) if b.language == "python"]
    for script in sorted(ROOT.glob("demos/**/*.py")):
        texts.append((script, script.read_text(encoding="utf-8")))
    public = {
        f"{m}.{n}": getattr(import_module(m), n) for m in MODULES for n in import_module(m).__all__
    }
    for path, text in texts:
        for name in sorted(used(text) & set(public)):
            if path not in out[id(public[name])]:
                out[id(public[name])].append(path)
    for thing in public.values():
        if inspect.isclass(thing) and not out[id(thing)]:
            makers = [each for each in public.values() if thing.__name__ in _returned(each)]
            out[id(thing)] = list(dict.fromkeys(p for each in makers for p in out[id(each)]))
    return out


def _returned(thing: Any) -> set[str]:
    """Names of the types that a function returns, or the methods and properties of a class."""
    if inspect.isclass(thing):
        parts = [p.fget if isinstance(p, property) else p for p in vars(thing).values()]
        return {name for part in parts if inspect.isfunction(part) for name in _returned(part)}
    if not inspect.isfunction(thing):
        return set()
    return set(re.findall(r"\w+", str(thing.__annotations__.get("return", ""))))


def examples(name: str) -> list[str]:
    """Lines that say which documents use a public name, the first three."""
    module, _, last = name.rpartition(".")
    paths = uses()[id(getattr(import_module(module), last))][:3]
    if not paths:
        return []
    return ["", f"**Used in:** {', '.join(map(_link, paths))}", ""]


def _link(path: Path) -> str:
    if path.suffix == ".py" and not path.read_text(encoding="utf-8").startswith("# # "):
        path = path.with_name("README.md")
    return f":doc:`/{path.relative_to(ROOT).with_suffix('')}`"
