"""The documents of the repository: which they are, their links, their blocks of code.

Shared by the tests and by what makes the site of them (docs/site).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            page
            for folder in ("docs", "demos", "geometries")
            for page in ROOT.glob(f"{folder}/**/*.md")
        ),
        *(ROOT / folder / "README.md" for folder in ("benchmarks", "docker")),
    ]
)
COMMANDS = (
    "docker",
    "docs/build",
    "meso",
    "mpirun",
    "python3",
    "pip",
    "conda",
    "apptainer",
    "srun",
    "MESO_",
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: A file of the repository, named in the text.
FILE = re.compile(r"`((?:benchmarks|demos|docs|geometries|meso|tests)/[\w./-]+)`")
#: What a line of a case file looks like, valid or not: no formula ends in a bare number.
TOML_LINE = re.compile(
    r'^(\[[\w."\[]+|["\w.|]+ = (["{\[]|true|false|[-+]?(inf|\d[\d_.e+-]*)\s*(#|$)))'
)


@dataclass(frozen=True)
class Block:
    """A block of code: where it stands, what it says, and in which language."""

    page: Path
    line: int
    text: str
    language: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def language(text: str, fence: str) -> str:
    """What an indented block is: a formula unless it looks like code, which then must be right."""
    lines = text.splitlines()
    if fence:
        return {"sh": "command", "bash": "command"}.get(fence, fence)
    if lines[0].startswith(COMMANDS):
        return "command"
    if any(line.startswith(("SetFactory(", "Physical ", "Periodic ")) for line in lines):
        return "geo"
    if any(
        re.search(r"\bmeso\.\w", line) or line.startswith(("import ", "from ")) for line in lines
    ):
        return "python"
    if any(TOML_LINE.match(line) for line in lines):
        return "toml"
    return "text"


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks, and those indented by four after an empty line or a heading."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        first = at
        if lines[at].startswith("```"):
            fence = lines[at].strip("`").strip()
            at = lines.index("```", at + 1)
            text = "\n".join(lines[first + 1 : at])
        elif lines[at].startswith("    ") and (not at or re.match(r"#|$", lines[at - 1])):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at]):
                at += 1
            text, fence = "\n".join(line[4:] for line in lines[first:at]).rstrip(), ""
        else:
            at += 1
            continue
        yield Block(page, first + 1, text + "\n", language(text, fence))
        at += 1


BLOCKS = [block for page in PAGES for block in blocks(page)]
