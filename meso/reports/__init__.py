"""Reports: what a directory of results says, as one page to read, print and send.

Everything is read from the files that are there anyway, so that a report can be written again at
any time, and shows no number that is not in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["NAME", "write_report"]

#: The file in each directory of results.
NAME = "report.html"


def write_report(folder: Path, case: Mapping[str, str] | None = None) -> Path:
    """Write ``report.html`` into a directory of results of any kind.

    Args:
        folder: It has the record of a run, sweep, comparison, fit, design or sensitivity.
        case: Files of the input by name, where the directory does not have them.

    Returns:
        The file, complete.
    """
    from meso.files.directory import replace_file

    if (folder / "summary.json").is_file():
        from meso.reports.of_run import report

        text = report(folder)
    else:
        from meso.reports.of_others import KINDS

        write = next(make for name, make in KINDS.items() if (folder / name).is_file())
        text = write(folder, case or {})
    path = folder / NAME
    replace_file(path, text.encode("utf-8", errors="replace"))
    return path
