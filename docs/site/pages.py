"""Gathers what the site consists of: the documents as they are, and pages made from the repository.

The tree of the repository is kept, so that links between documents stay as they are. A link to a
file that is no page leads to a page that shows the file, one to a folder to its README.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import gallery
import literate
import reference
from documents import FILE, LINK, PAGES, ROOT

HERE = Path(__file__).parent
#: The README begins with what the landing page says; the rest is its page "Getting started".
BEGIN = "## Your own device in ten minutes"
#: Pages of docs/ by what they are for; others, new ones, follow those of the guide.
PHYSICS = ("theory", "papers", "verification", "bounds")
GUIDE = ("guide", "angular_momentum", "gradients", "fitting", "designing", "bands", "parallel")
PROJECT = ("design",)
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".c": "c",
    ".geo": "c",
    ".cff": "yaml",
    ".yaml": "yaml+jinja",
}


def documents() -> dict[str, list[str]]:
    """Names of the pages of docs/ by what they are for."""
    named = {path.stem for path in (ROOT / "docs").glob("*.md")}
    new = sorted(named - {*PHYSICS, *GUIDE, *PROJECT})
    return {"guide": [*GUIDE, *new], "physics": [*PHYSICS], "project": [*PROJECT]}


class Site:
    """The sources of the site, in a folder.

    Attributes:
        target: The folder.
        shown: Files of the repository that have a page because something links to them.
        written: Files in the folder.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.shown: set[Path] = set()
        self.written: set[Path] = set()

    def gather(self) -> None:
        """Write all of it, and remove what an earlier call left and is no longer there."""
        for page in PAGES:
            if page != ROOT / "README.md":
                text = self.linked(page.read_text(encoding="utf-8"), page.parent)
                self.write(page.relative_to(ROOT), text)
        self.landing()
        self.gallery()
        self.write(Path("citation.md"), self.linked(citation(), ROOT))
        for name, text in reference.pages().items():
            self.write(Path("api") / name, text)
        for file in sorted(self.shown):
            self.source(file)
        for old in {p for p in self.target.rglob("*") if p.is_file()} - self.written:
            old.unlink()

    def write(self, name: Path, text: str) -> None:
        """Write a file if it has changed: Sphinx reads what is new."""
        path = self.target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        self.written.add(path)

    def copy(self, path: Path, folder: str = "") -> None:
        """Copy a file of the repository to the same place, or to that place in a folder."""
        target = self.target / folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.stat().st_mtime < path.stat().st_mtime:
            shutil.copy2(path, target)
        self.written.add(target)

    def linked(self, text: str, folder: Path) -> str:
        """A document in a folder of the repository, with links that lead somewhere on the site."""

        def link(found: re.Match[str]) -> str:
            path, _, anchor = found[1].partition("#")
            if "://" in path or not path:
                return found[0]
            page = os.path.relpath(self.page(Path(os.path.normpath(folder / path))), folder)
            return found[0].replace(f"({found[1]})", f"({page}{anchor and '#'}{anchor})")

        def named(found: re.Match[str]) -> str:
            if not (ROOT / found[1]).is_file():
                return found[0]
            return f"[{found[0]}]({os.path.relpath(self.page(ROOT / found[1]), folder)})"

        return re.sub(rf"(?<!\[){FILE.pattern}", named, LINK.sub(link, text))

    def page(self, file: Path) -> Path:
        """Where the site has a file or folder of the repository, as if it were in it."""
        if file == ROOT / "demos":
            return ROOT / "gallery.md"
        if file.is_dir():
            file = file / "README.md"
        if file.suffix in gallery.PICTURES:
            self.copy(file)
            return file
        if file in PAGES:
            return file
        if literate.is_literate(file):
            return file.with_suffix(".md")
        if not file.is_file():
            raise ValueError(f"{file.relative_to(ROOT)}: a document links to it; no such file")
        self.shown.add(file)
        return ROOT / "source" / f"{file.relative_to(ROOT)}.md"

    def landing(self) -> None:
        """The README: how it begins, with the table of contents, and the rest as a page."""
        text = self.linked((ROOT / "README.md").read_text(encoding="utf-8"), ROOT)
        first, begin, rest = text.partition(BEGIN)
        if not begin:
            raise ValueError(f"README.md has no heading {BEGIN!r}, where its landing page ends")
        self.write(Path("README.md"), f"# Getting started\n{begin}{rest}")
        table = (HERE / "landing.md.in").read_text(encoding="utf-8")
        table = table.replace("@demos@", str(sum(map(len, gallery.groups().values()))))
        for key, names in documents().items():
            table = table.replace(f"@{key}@", "\n".join(f"docs/{name}" for name in names))
        self.write(Path("index.md"), f"{first}\n{table}")

    def gallery(self) -> None:
        """The gallery, its small pictures, and the literate demos."""
        self.write(Path("gallery.md"), gallery.page())
        for path in (p for paths in gallery.groups().values() for p in paths):
            if literate.is_literate(path):
                self.literate(path)
            if image := gallery.picture(path):
                small = self.target / gallery.thumbnail(path)
                if not small.is_file() or small.stat().st_mtime < image.stat().st_mtime:
                    gallery.shrink(image, small)
                self.written.add(small)

    def literate(self, path: Path) -> None:
        """A literate demo: page, script, notebook."""
        name = path.relative_to(ROOT)
        self.write(name.with_suffix(".md"), self.linked(literate.as_markdown(path), path.parent))
        self.copy(path)
        self.write(name.with_suffix(".ipynb"), literate.as_notebook(path))

    def source(self, path: Path) -> None:
        """A page that shows a file of the repository."""
        self.copy(path, "source")
        language = LANGUAGES.get(path.suffix, "text")
        self.write(
            Path("source") / f"{path.relative_to(ROOT)}.md",
            f"---\norphan: true\nnosearch: true\n---\n# {path.relative_to(ROOT)}\n"
            f"{{download}}`Download <{path.name}>`\n\n"
            f"```{{literalinclude}} {path.name}\n:language: {language}\n```\n",
        )


def citation() -> str:
    """What to cite, from CITATION.cff, which reference managers read."""
    import yaml

    data = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    message = data["message"].replace("docs/papers.md", "[docs/papers.md](docs/papers.md)")
    lines = [
        f"# How to cite\n{message} `meso` is",
        f"> {data['authors'][0]['name']}, *{data['title']}*.",
    ]
    lines.append("The papers behind it:")
    for paper in data["references"]:
        names = ", ".join(f"{a['given-names']} {a['family-names']}" for a in paper["authors"])
        place = " ".join(str(paper[key]) for key in ("journal", "volume", "start") if key in paper)
        lines.append(f"- {names}, *{paper['title']}*{place and ', '}{place} ({paper['year']}).")
    lines.append("Reference managers read [CITATION.cff](CITATION.cff).")
    return "\n\n".join(lines) + "\n"
