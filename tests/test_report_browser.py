"""Reports in a browser: silent, as wide as a phone, on paper.

Run by a Python of a machine that has one; its own needs nothing but pytest:

    python3 -m pytest -c /dev/null --noconftest tests/test_report_browser.py

``MESO_REPORTS`` may name reports that are there already, separated by colons.
"""

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is here")

#: Width of a phone in pixels.
PHONE = 390
#: What is wider than a phone, apart from what scrolls by itself.
PROBE = """<script>addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest(".wide, pre")
    && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName);
  const blank = [...page.images].filter(e => !e.complete || !e.naturalWidth).length;
  document.title = `${root.clientWidth} ${root.scrollWidth} ${blank} ${wide}`;
})</script>"""


def browse(folder: Path, page: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What a browser without a window says and does."""
    silent = ("quic", "background-networking", "component-update", "sync", "gpu")
    fixed = ["--headless", "--no-sandbox", "--no-first-run", "--enable-logging=stderr"]
    fixed += [f"--disable-{what}" for what in silent] + [f"--user-data-dir={folder / 'user'}"]
    command = [str(BROWSER), *fixed, *words, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some, or one of a small run."""
    if given := os.environ.get("MESO_REPORTS"):
        return [Path(path) for path in given.split(":")]
    folder = tmp_path_factory.mktemp("browser")
    (folder / "blank.html").touch()
    if browse(folder, folder / "blank.html", "--dump-dom").returncode:
        pytest.skip(f"{BROWSER} does not start here")
    root = Path(__file__).resolve().parents[1]
    run = [root / "docker" / "run", "meso", "run", root / "demos" / "ribbon" / "case.toml"]
    subprocess.run([*run, "--quiet", "--output", folder / "out"], check=True, timeout=100)
    return [folder / "out" / "report.html"]


def test_on_a_phone(reports: list[Path], tmp_path: Path) -> None:
    for report in reports:
        page = tmp_path / "frame.html"
        inside = html.escape(report.read_text(encoding="utf-8"))
        frame = f'<iframe style="width: {PHONE}px; height: 800px; border: 0" srcdoc="{inside}">'
        page.write_text(f"<!DOCTYPE html>{PROBE}{frame}</iframe>", encoding="utf-8")
        done = browse(tmp_path, page, "--dump-dom")
        assert "CONSOLE" not in done.stderr
        found = re.search(r"<title>(\d+) (\d+) (\d+) (.*?)</title>", done.stdout)
        assert found, done.stderr
        width, needed, blank, wide = found.groups()
        assert int(needed) <= int(width) <= PHONE and blank == "0" and wide == "", report


def test_on_paper(reports: list[Path], tmp_path: Path) -> None:
    for report in reports:
        paper = tmp_path / "paper.pdf"
        paper.unlink(missing_ok=True)
        done = browse(tmp_path, report, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
        assert "CONSOLE" not in done.stderr
        content = paper.read_bytes()
        assert content.startswith(b"%PDF") and len(content) > 20_000
        assert 1 < len(re.findall(rb"/Type\s*/Page\b", content)) < 30
