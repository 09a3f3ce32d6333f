"""Names of groups, probes and points as names of files, which cannot hold everything."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Leaves room for what is put before and after it, in the 255 bytes of most file systems.
_LONGEST = 180
# Separators, what shells and other systems reserve, control characters, lone surrogates.
_BAD = re.compile(r'[/\\<>:"|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A file name, without suffix, for each name; no two differ by upper and lower case alone.

    Args:
        names: Any texts, each once. Those that are file names already stay what they are.
    """
    names = list(names)
    taken: set[str] = set()
    # Names that need no change have the first choice.
    order = sorted(names, key=lambda name: _plain(name) != name)
    found = {name: free(name, taken) for name in order}
    return {name: found[name] for name in names}


def free(name: str, taken: set[str]) -> str:
    """A file name for a name, which ``taken`` has not yet; it has it afterwards."""
    stem = _plain(name)
    candidates = (stem if i == 1 else f"{stem}_{i}" for i in range(1, len(taken) + 2))
    chosen = next(text for text in candidates if _folded(text) not in taken)
    taken.add(_folded(chosen))
    return chosen


def _plain(name: str) -> str:
    text = _BAD.sub("_", name)
    text = text.encode()[:_LONGEST].decode(errors="ignore")
    # Hidden files, and ends that some systems drop.
    text = re.sub(r"^[.\s]+|[.\s]+$", lambda found: "_" * len(found[0]), text)
    return text or "_"


def _folded(name: str) -> str:
    """What file systems that ignore case, or the way letters are composed, take for the same."""
    return unicodedata.normalize("NFKC", name).casefold()
