"""How Sphinx makes the site of what `build.py` has gathered."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests"), str(HERE.parents[1])]

import documents  # noqa: E402
import formulas  # noqa: E402
import reference  # noqa: E402

import meso  # noqa: E402

project = "meso"
author = "The meso developers"
version = release = meso.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
html_theme = "furo"
html_title = f"meso {release}"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
pygments_style, pygments_dark_style = "default", "monokai"

# Headings have the anchors that they have in the repository's own view of the documents.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
maximum_signature_line_length = 70
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Annotations say what a reader wants to know; types of other libraries are not on this site.
nitpick_ignore_regex = [("py:(class|obj|data)", ".*")]
#: Pygments' names of the languages in the documents.
LEXERS = {"command": "console", "geo": "c", "python": "python", "toml": "toml"}
#: What sub- and superscripts are in a document.
KINDS: dict[str, Any] = {
    "text": lambda _, text: nodes.Text(text),
    "sub": nodes.subscript,
    "sup": nodes.superscript,
}


def typeset(app: Any, doctree: nodes.document) -> None:
    """Give blocks of code their language, and formulas the form of formulas."""
    for block in list(doctree.findall(nodes.literal_block)):
        text = block.astext()
        if block.get("language", "none") not in ("none", "default", "text") or not text.strip():
            continue
        kind = documents.language(text, "")
        block["language"] = LEXERS.get(kind, "text")
        if kind == "command":
            block["language"] = "bash"
        if kind == "text" and formulas.is_formula(text):
            html = f'<div class="formula">{formulas.mathml(text)}</div>'
            block.replace_self(nodes.raw("", html, format="html"))
    for field in doctree.findall(nodes.field_name):
        if field.astext() == "Variables":
            field[0] = nodes.Text("Attributes")
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.raw):
            parts = formulas.pieces(text.astext())
            if len(parts) > 1:
                text.parent.replace(text, [KINDS[kind]("", part) for kind, part in parts])


def illustrate(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Mark what is indented in a docstring as a block; add what uses a public name."""
    out: list[str] = []
    block = False
    for line in lines:
        if block and line.strip() and not line.startswith("    "):
            block = False
        elif not block and line.startswith("    ") and out and not out[-1].strip():
            last = next((text for text in reversed(out) if text.strip()), "")
            if block := bool(re.match(r"[^\s*-]", last) and not re.match(r"\w+:$", last)):
                out += ["", "::", ""]
        # "width: W." is no item of a list, |v| no substitution.
        line = re.sub(r"^(\s+\w+: )([A-Za-z])\.$", r"\1\2\\.", line)
        out.append(line if block or "`" in line else line.replace("|", r"\|"))
    module, _, _ = name.rpartition(".")
    if module in reference.MODULES and what in ("class", "function", "exception"):
        out += reference.examples(name)
    lines[:] = out


def shortened(
    app: Any,
    what: str,
    name: str,
    thing: Any,
    options: Any,
    signature: str | None,
    back: str | None,
) -> tuple[str | None, str | None]:
    """Defaults that Python shows as <...> would not parse."""
    return re.sub(r"<(?:[^<>]|<[^<>]*>)*>", "...", signature or "") or None, back


def inside(app: Any, env: Any, node: Any, content: nodes.Node) -> nodes.Node | None:
    """What docstrings say of the inside of the package is true, but has no page."""
    target = node.get("reftarget", "").lstrip(".")
    module, within = node.get("py:module") or "", node.get("py:class") or ""
    names = [target, f"{module}.{target}", f"{module}.{within}.{target}"]
    known = node.get("refdomain") == "py" and any(map(reference.exists, names))
    return content if known else None


def setup(app: Any) -> None:
    """Connect what happens on the way."""
    app.connect("doctree-read", typeset)
    app.connect("missing-reference", inside)
    app.connect("autodoc-process-signature", shortened)
    app.connect("autodoc-process-docstring", illustrate, priority=400)
