"""What drawings must not do: run commands, write files.

Gmsh's language is that of a program. This module reads it as Gmsh's scanner does, with its
comments and strings, and refuses what reaches out of the drawing, before Gmsh sees it. Files that
a drawing includes or merges are read too; those whose name is only known when the drawing runs
are refused.

Gmsh skips branches that are not taken, and jumps back in loops and macros, by cruder rules than
those by which it reads: what looks like a comment or a string may then be read as a statement.
Where a text gives occasion for that, its comments and strings are searched as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from meso.errors import GeometryError

#: Commands, each with a text after it, and what they do.
COMMANDS = {
    **dict.fromkeys(
        ("System", "SystemCall", "NonBlockingSystemCall", "OnelabRun"),
        "runs commands of this machine",
    ),
    **dict.fromkeys(("Print", "Save", "CreateDir"), "writes files"),
    "SendToServer": "sends data to other programs",
}
#: Other words.
WORDS = {
    "ExternalProcess": "runs commands of this machine",
    "AutomaticMeshSizeField": "writes files",
    "Plugin": "runs programs of Gmsh that may write files",
    **dict.fromkeys(
        ("StringToName", "S2N"), "makes names, of commands too, that only the run of it shows"
    ),
}
# What reads another file as statements of the same language.
_INCLUDING = ("Include", "Merge", "MergeWithBoundingBox")
# What is followed by the name of a file, perhaps in parentheses.
_WITH_FILES = (*_INCLUDING, "ShapeFromFile", "ListFromFile", "Save", "Print", "CreateDir")

_SKIPPED = r"""(?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z) )
      | (?P<string> "[^"]*(?:"|\Z) | '[^']*(?:'|\Z) )"""
_READ = r" | (?P<word> [A-Za-z_]\w* ) | (?P<sign> \S )"
_HOW = re.VERBOSE | re.DOTALL | re.ASCII
_INERT, _TOKEN = re.compile(_SKIPPED, _HOW), re.compile(_SKIPPED + _READ, _HOW)
_NOT_ENDS = re.compile(r"[^\n]")
# Options that name programs, commands or files, and those of other programs that Gmsh starts.
_CATEGORIES = ("General", "Geometry", "Mesh", "PostProcessing", "Print", "Solver", "View")
_OPTION = re.compile(
    r"FileName|Command|Executable|Interpreter|Editor|Browser|SocketName|RecentFile|Scripting"
    r"|RemoteLogin|Save(Options|Session)"
)
# Gmsh's buffers; what is longer is cut.
_LONGEST_LINE, _LONGEST_STRING = 4000, 1000
# Formats that every Gmsh tells by the suffix, in lower or upper case: nothing but data.
_DATA = (".stl", ".brep", ".iges", ".igs", ".step", ".stp", ".unv", ".vtk", ".mesh", ".bdf", ".nas")
# Programs, archives and what Gmsh hands to other programs.
_PROGRAMS = (".py", ".m", ".exe", ".pro", ".gz")
# First characters of meshes and views of Gmsh, which it tells by them.
_MESH = (b"$PTS", b"$NO", b"$PARA", b"$ELM", b"$MeshFormat", b"$Comments")
_VIEWS = (b"$PostFormat", b"$View")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def inert(self) -> bool:
        """Not a statement, as one would think."""
        return self.kind in ("comment", "string")


def is_mesh(path: Path) -> bool:
    """True if Gmsh takes a file for a mesh, whatever its name."""
    with path.open("rb") as file:
        return file.read(16).startswith(_MESH)


def check(path: Path, text: str) -> None:
    """Refuse a drawing, of which Gmsh will read this text, if it reaches out of itself.

    The GeometryError names file, line and statement.
    """
    _check_text(path, text, {path.resolve()}, alone=True)


def check_options(path: Path) -> None:
    """The same for the options that Gmsh reads with a file, if there are any."""
    options = path.with_name(path.name + ".opt")
    if options.is_file():
        _check_file(options, {path.resolve()})


def with_absolute_names(path: Path, text: str) -> str:
    """The text of a drawing for a copy in another folder: the files that it names stay the same."""
    parts, last = [], 0
    for token in _named_files(_code(text)):
        name = token.text[1:-1]
        if name and not Path(name).is_absolute():
            parts += [text[last : token.start], f'"{path.parent.resolve() / name}"']
            last = token.end
    return "".join([*parts, text[last:]])


@lru_cache(maxsize=4)
def _tokens(text: str) -> list[_Token]:
    return [_Token(m.lastgroup or "", m[0], m.start()) for m in _TOKEN.finditer(text)]


def _code(text: str) -> list[_Token]:
    return [token for token in _tokens(text) if token.kind != "comment"]


def _named_files(code: list[_Token]) -> Iterator[_Token]:
    for i, token in enumerate(code):
        if token.text in _WITH_FILES:
            following = [t for t in code[i + 1 : i + 3] if t.text not in ("(", "[")]
            if following and following[0].kind == "string":
                yield following[0]


def _check_file(path: Path, seen: set[Path]) -> None:
    """Check a file that a drawing includes or merges, if it is one of statements."""
    if path.resolve() in seen or not path.is_file():
        return  # Gmsh says what is missing
    seen.add(path.resolve())
    # Byte by byte: how a text is encoded is no matter here.
    _check_text(path, path.read_bytes().decode("latin-1"), seen, alone=False)


def _check_text(path: Path, text: str, seen: set[Path], alone: bool) -> None:
    code = _code(text)
    for i, token in enumerate(code):
        if token.kind != "word":
            continue
        following = code[i + 1 : i + 3]
        if why := _reason(code, i):
            raise _refusal(path, text, token, f"{why[0]} {why[1]}")
        if token.text in _INCLUDING and _is_text(following):
            literal = len(following) == 2 and following[0].kind == "string"
            if not literal or following[1].text != ";":
                what = f"{token.text} needs the name of a file in quotes"
                raise _refusal(path, text, token, f"{what}, as here nobody can check the file")
            _check_merged(path, text, token, following[0].text[1:-1], seen)
    if _is_ambiguous(text, alone and len(seen) == 1):
        _check_raw(path, text)


def _check_merged(path: Path, text: str, token: _Token, name: str, seen: set[Path]) -> None:
    """Check the file that a statement includes or merges."""
    file = path.parent / name
    if token.text != "Include" and file.is_file():
        if file.suffix.lower() in _PROGRAMS:
            what = f"{token.text} makes Gmsh start a program for {file.suffix} files"
            raise _refusal(path, text, token, what)
        check_options(file)
        with file.open("rb") as opened:
            start = opened.read(16)
        lower_or_upper = file.suffix in (file.suffix.lower(), file.suffix.upper())
        if start.startswith((*_MESH, *_VIEWS)) or (lower_or_upper and file.suffix.lower() in _DATA):
            return
    _check_file(file, seen)


def _reason(code: list[_Token], i: int) -> tuple[str, str] | None:
    """A word that is refused at some place, and why."""
    token, following = code[i], code[i + 1 :]
    sign = following[0].text if following else ""
    if token.text in COMMANDS and _is_text(following):
        return token.text, COMMANDS[token.text]
    if token.text in WORDS and sign not in ("=", "."):
        return token.text, WORDS[token.text]
    if token.text in ("Printf", "Error", "Warning") and _is_redirected(following):
        return f"{token.text} > file", "writes files"
    if token.text in _CATEGORIES and sign in (".", "["):
        option = _option(following)
        if option and (token.text == "Solver" or _OPTION.search(option)):
            return f"{token.text}.{option}", "names a program, a command or a file for Gmsh to use"
    return None


def _is_text(following: list[_Token]) -> bool:
    """Whether a text may begin here: else the word before is the name of a variable or option."""
    return bool(following) and (following[0].kind in ("string", "word") or following[0].text == "(")


def _is_redirected(following: list[_Token]) -> bool:
    """Whether a > follows the parentheses of a call."""
    depth = 0
    for token in following:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text == ";" or (depth <= 0 and token.text == ">"):
            return token.text == ">"
    return False


def _option(following: list[_Token]) -> str:
    """The word after the point in ``.word`` and ``[number].word``."""
    i, depth = 0, 0
    while i < len(following) and (depth or following[i].text == "["):
        depth += {"[": 1, "]": -1}.get(following[i].text, 0)
        i += 1
    if i + 1 < len(following) and following[i].text == ".":
        return following[i + 1].text
    return ""


def _is_ambiguous(text: str, alone: bool) -> bool:
    """Whether Gmsh may read a comment or a string of this text as statements.

    A loop may begin in one text and end in another, if this is not the only one.
    """
    tokens = _tokens(text)
    words = {token.text for token in tokens if token.kind == "word"}
    jumps = bool(words & {"For", "Macro", "Function", "Call"})
    if "\0" in text or ("EndFor" in words and not alone):
        return True
    if jumps and max(map(len, re.split(r"[\r\n]", text))) > _LONGEST_LINE:
        return True
    last = 0  # end of the last token that is no comment
    for token in tokens:
        # What ends a branch, a loop or a macro that Gmsh skips.
        if token.inert and re.search(r"Else|EndIf|EndFor|Return", token.text):
            return True
        if token.kind == "string" and len(token.text) > _LONGEST_STRING:
            return True
        # Gmsh jumps to the ends of lines: into what goes on in the next one.
        goes_on = token.inert and jumps and re.search(r"[\r\n]", token.text.rstrip())
        if goes_on and not re.search(r"[\r\n]", text[last : token.start]):
            return True
        if token.kind != "comment":
            last = token.end
    return False


def _check_raw(path: Path, text: str) -> None:
    """Refuse words in comments and strings as if these were statements."""
    words = "|".join(sorted({*COMMANDS, *WORDS, *_INCLUDING, "Solver"}, key=len, reverse=True))
    for token in _tokens(text):
        if token.inert and (found := re.search(rf"({words})\b|Printf[^;]*>", token.text)):
            at = _Token("word", found[0], token.start + found.start())
            what = f"'{found[0].split('(')[0]}' is in a comment or string here, but"
            raise _refusal(path, text, at, f"{what} Gmsh may read it as a statement")


def _refusal(path: Path, text: str, token: _Token, why: str) -> GeometryError:
    line = text.count("\n", 0, token.start) + 1
    before, after = text[: token.start].rpartition("\n")[2], text[token.start :].partition("\n")[0]
    statement = (before + after).strip()
    if len(statement) > 80:
        statement = statement[:77] + "..."
    return GeometryError(
        f"{path}, line {line}: {why}: {statement}\n  Drawings may not; if you trust whoever wrote"
        " this one, allow it with --trust (trusted = True in Python)"
    )


def read_text(path: Path) -> str:
    """The text of a file, or a GeometryError."""
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise GeometryError(f"{path}: cannot be read ({error.strerror})") from error


@lru_cache(maxsize=4)
def blanked(text: str, *, strings: bool = True) -> str:
    """A script with blanks in place of its comments, and strings, of the same length."""

    def blank(found: re.Match[str]) -> str:
        inert = strings or found.lastgroup == "comment"
        return _NOT_ENDS.sub(" ", found[0]) if inert else found[0]

    return _INERT.sub(blank, text)
