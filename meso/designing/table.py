"""What a design leaves as it goes on: ``design.json``, ``design.csv`` and a drawing of each shape.

The table is the state: a design that was interrupted goes on from its last shape.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meso.errors import CaseError
from meso.files.directory import replace_file, staged

Row = dict[str, Any]

#: What a design writes, of which a directory may have some.
_RECORD = "design.json"


@dataclass(slots=True, kw_only=True)
class Table:
    """The iterates so far; ``head`` is what is the same for all.

    A design without directory leaves no files.
    """

    directory: Path | None
    head: Row
    rows: list[Row] = field(default_factory=list)
    status: str = "running"
    verified: Row | None = None

    def read(self) -> None:
        """Take over the iterates of an earlier, perhaps interrupted, design of the same kind."""
        if self.directory is None or not self.directory.exists():
            return
        path = self.directory / _RECORD

        def refuse(text: str) -> CaseError:
            return CaseError(("--output", f"{self.directory} {text}"))

        if not self.directory.is_dir():
            raise refuse("is a file")
        if not path.exists():
            if any(self.directory.iterdir()):
                raise refuse("holds other files than a design; choose another")
            return
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            rows, same = earlier["iterates"], earlier["fingerprint"] == self.head["fingerprint"]
            status, verified = earlier["status"], earlier["verified"]
        except (OSError, ValueError, KeyError, TypeError):
            raise refuse("has a design.json that is not the table of a design") from None
        if not same:
            raise refuse("holds a design of another case, target or limit; choose another")
        self.rows, self.status, self.verified = rows, status, verified

    @property
    def steps(self) -> int:
        """Number of accepted steps."""
        return sum(row["kind"] == "step" for row in self.rows)

    def append(self, row: Row, *, drawn: bool) -> None:
        """Append an iterate, which may have a drawing of its shape; every rank does."""
        index = len(self.rows)
        drawing = {"drawing": f"shapes/{index:03d}.geo"} if drawn else {}
        self.rows.append({"index": index, **row, **drawing})

    def store(self, drawing: str | None) -> None:
        """Write the table, and the drawing of the last iterate."""
        if drawing is not None and self.directory is not None:
            path = self.directory / self.rows[-1]["drawing"]
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, drawing.encode())
        self.write()

    def last_drawing(self) -> str:
        """The drawing of the last iterate."""
        assert self.directory is not None
        path = self.directory / self.rows[-1]["drawing"]
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise CaseError(("--output", f"{path}: {error.strerror}")) from None

    def write(self) -> None:
        """Replace the files, once all of them are complete."""
        if self.directory is None:
            return
        whole = {
            **self.head,
            "status": self.status,
            "iterates": self.rows,
            "verified": self.verified,
        }
        text = json.dumps(whole, indent=2, default=float) + "\n"
        with staged(self.directory) as folder:
            (folder / _RECORD).write_text(text, encoding="utf-8")
            (folder / "design.csv").write_text(self.csv(), encoding="utf-8")

    def csv(self) -> str:
        """The table: one row for each iterate."""
        flat = []
        for row in self.rows:
            plain = {k: v for k, v in row.items() if not isinstance(v, dict)}
            flat.append(plain | row["parameters"] | row["outputs"])
        columns = dict.fromkeys(key for row in flat for key in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        return text.getvalue()
