"""Builds the site into build/site; the first page is build/site/index.html.

    docker/run python3 docs/site/build.py [OPTION OF SPHINX ...]

Options are those of sphinx-build; `-E` reads everything anew. Needs the extra "docs".
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main(options: list[str]) -> int:
    """Gather the sources, and call Sphinx; every warning is an error."""
    sys.path[:0] = [str(HERE), str(ROOT / "tests"), str(ROOT)]
    from pages import Site
    from sphinx.cmd.build import build_main

    build = ROOT / "build"
    sources = build / "site-sources"
    Site(sources).gather()
    strict = ["-q", "-n", "-W", "--keep-going", "-j", "2"]
    folders = [str(sources), str(build / "site")]
    return build_main(
        [*strict, "-c", str(HERE), "-d", str(build / "site-state"), *options, *folders]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
