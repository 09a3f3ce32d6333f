"""Demos that are Python files with text: as pages of the site, and as notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def is_literate(path: Path) -> bool:
    """Whether a script begins with a heading in its comments."""
    return path.suffix == ".py" and path.read_text(encoding="utf-8").startswith("# # ")


def title(path: Path) -> str:
    """The heading of a literate demo."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# # ")


def read(path: Path) -> Any:
    """The notebook that a literate demo is, without output."""
    import jupytext

    notebook = jupytext.read(path, fmt="py:light")
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return notebook


def as_notebook(path: Path) -> str:
    """A literate demo as the text of a notebook file."""
    import jupytext

    return str(jupytext.writes(read(path), fmt="ipynb"))


def as_markdown(path: Path) -> str:
    """Text and code of a literate demo; where it stores a picture, the one that lies beside it."""
    links = f"{{download}}`Notebook <{path.stem}.ipynb>` · {{download}}`Python <{path.name}>`"
    parts = []
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source.strip()}\n```")
        for name in re.findall(r"\w+\.png", cell.source):
            if (path.parent / name).is_file():
                parts.append(f"![What it draws]({name})")
    heading, _, first = parts[0].partition("\n")
    return "\n\n".join([heading, links, first.strip(), *parts[1:]]) + "\n"
