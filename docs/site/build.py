"""Builds the site into build/site, as docs/build calls it; options are those of sphinx-build."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Page(HTMLParser):
    """Names and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what a tag has of both."""
        for key, value in attrs:
            if key in ("id", "name") and value:
                self.names.add(value)
            elif key in ("href", "src") and value and not re.match(r"\w+:|//", value):
                self.links.add(unquote(value))


def broken(site: Path) -> list[str]:
    """Links of the pages to files and headings of the site that are not there."""
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}
    out = []
    for file, page in pages.items():
        for link in sorted(page.links):
            path, _, anchor = link.partition("#")
            target = (file.parent / path.partition("?")[0]).resolve() if path else file
            known = pages.get(target)
            if not target.exists() or (anchor and known and anchor not in known.names):
                out.append(f"{file.relative_to(site)}: {link}")
    return out


def main(options: list[str]) -> int:
    """Gather the sources, call Sphinx, look at the links; a warning is an error."""
    sys.path[:0] = [str(HERE), str(ROOT / "tests"), str(ROOT)]
    from pages import Site
    from sphinx.cmd.build import build_main

    build = ROOT / "build"
    sources, site = build / "site-sources", build / "site"
    Site(sources).gather()
    strict = ["-q", "-n", "-W", "--keep-going", "-j", "2", "-c", str(HERE)]
    state = ["-d", str(build / "site-state")]
    code = build_main([*strict, *state, *options, str(sources), str(site)])
    wrong = broken(site)
    for line in wrong:
        print("a link that leads nowhere:", line, file=sys.stderr)
    code = code or int(bool(wrong))
    if not code:
        print(f"The site: {(site / 'index.html').relative_to(ROOT)}, to be opened in a browser.")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
