"""Directories of results: one writer at a time, whole or not at all, with the user's files kept.

What is written goes to a hidden directory beside the final one, ``.NAME.partial-…``, which takes
its place at the end. ``files.written`` in the record of a result (``summary.json``) lists what
`meso` wrote; everything else is the user's and moves on to the next result. What a killed process
leaves is put right by the next one that holds the directory.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from meso.errors import CaseError, MesoError

#: The record of a wire along its axis.
WIRE = "wire.json"
#: What earlier versions, which kept no list, have written, and runs that ended before theirs, by
#: the folder.
_UNLISTED = {
    "": (
        *("case.toml", "summary.json", "report.html", "paraview_state.py"),
        *("fields.pvd", "walls.pvd", "boundaries.pvd"),
    ),
    "fields": ("*.vtu", "*.bp"),
    "boundaries": ("*.vtu",),
    "walls": ("*.vtu",),
    "probes": ("*.csv",),
    "edges": ("*.csv",),
    "distributions": ("*.csv",),
    "figures": ("*.png",),
}
# Of Linux: both names change their directories at once.
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100

#: Directories that this process holds: how often, the open lock, and the parents it made.
_HELD: dict[Path, tuple[int, int, list[Path]]] = {}


def read_record(directory: Path, record: str = "summary.json") -> dict[str, Any] | None:
    """The record of a result, None for a directory that is none."""
    try:
        found = json.loads((directory / record).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "case_hash" in found else None


def is_result(directory: Path, record: str = "summary.json") -> bool:
    """True for a directory that a run has left."""
    return read_record(directory, record) is not None


def check_directory(directory: Path, record: str = "summary.json") -> None:
    """Raise a CaseError if a directory cannot be made, or holds something that is not a result."""

    def refuse(text: str) -> CaseError:
        return CaseError(("output.directory", f"{directory} {text}"))

    try:
        _check_link(directory)
        if directory.exists() and not directory.is_dir():
            raise refuse("is a file")
        if directory.resolve() == Path.cwd():
            raise refuse("is the working directory; name one inside it")
        above = next(p for p in directory.resolve().parents if p.exists())
        if not above.is_dir():
            raise refuse(f"cannot be made: {above} is no directory")
        if not os.access(above, os.W_OK | os.X_OK):
            raise refuse(f"cannot be made: no permission to write in {above}")
        filled = directory.is_dir() and any(directory.iterdir())
    except OSError as error:
        raise refuse(f"cannot be used ({error.strerror})") from error
    if filled and read_record(directory, record) is None:
        text = "holds other files than a result: meso will not replace it"
        raise refuse(f"{text}; choose another directory")


def _check_link(directory: Path) -> None:
    if directory.is_symlink() and not directory.exists():
        text = f"{directory} is a link to {os.readlink(directory)}, which is not there"
        raise CaseError(("output.directory", text))


# --- one writer at a time


@contextmanager
def hold(directory: Path, comm: Any = None, record: str | None = None) -> Iterator[None]:
    """Be the only one who writes a directory; what a killed process left there is put right.

    The directory need not be there yet; its parents are made. If a record is given, only a result
    that has this file may be there. All ranks of a communicator call this; None is one process.
    """

    def acquire() -> Path:
        if record is not None:
            check_directory(directory, record)
        return _acquire(directory)

    target = on_root(comm, acquire)
    try:
        yield
    finally:
        if comm is None or comm.rank == 0:
            _release(target)


def on_root(comm: Any, work: Callable[[], Any]) -> Any:
    """Work of rank 0 for all of them; without MPI (None), of this process."""
    if comm is None:
        return work()
    from meso import mpi

    return mpi.on_root(comm, work)


def _acquire(directory: Path) -> Path:
    target = directory.resolve()
    if target in _HELD:
        times, lock, made = _HELD[target]
        _HELD[target] = times + 1, lock, made
        return target
    _check_link(directory)
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _HELD[target] = 1, _locked(directory, target), made
        _heal(target)
    except BaseException as error:
        if target in _HELD:
            _release(target)
        _remove_empty(made)
        if isinstance(error, OSError):
            raise CaseError(("output.directory", f"{directory}: {error.strerror}")) from error
        raise
    return target


def _locked(directory: Path, target: Path) -> int:
    """An open and locked file beside a directory; the lock ends with the process in any case."""
    path = _beside(target, "lock")
    for _ in range(100):
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # Of the process alone: its children do not hold it on after its death.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                who = os.read(lock, 200).decode(errors="replace") or "not known which"
                os.close(lock)
                text = f"another run is writing {directory} ({who}): wait for it to end, or choose"
                raise CaseError(("output.directory", f"{text} another directory")) from None
            # A file system without locks: unique names have to do.
        with suppress(OSError):
            if os.path.samestat(os.stat(path), os.fstat(lock)):
                os.truncate(lock, 0)
                os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return lock
        os.close(lock)  # the former owner has just removed the file
    raise OSError(errno.EAGAIN, "its lock changes hands all the time")


def _release(target: Path) -> None:
    times, lock, made = _HELD[target]
    if times > 1:
        _HELD[target] = times - 1, lock, made
        return
    del _HELD[target]
    _beside(target, "lock").unlink(missing_ok=True)
    os.close(lock)
    _remove_empty(made)


def _remove_empty(made: Sequence[Path]) -> None:
    """Remove parents that were made for a result that has not come."""
    for parent in made:
        with suppress(OSError):
            parent.rmdir()


def _beside(target: Path, what: str) -> Path:
    """A hidden name beside a directory."""
    return target.parent / f".{target.name}.{what}"


# --- whole or not at all


@contextmanager
def new_result(directory: Path, comm: Any = None, record: str = "summary.json") -> Iterator[Path]:
    """A directory to write a result into, which takes its place when everything is there.

    An earlier result is replaced, the user's files stay. The record, which makes it a result, gets
    the list of all files as ``files.written``; until then the directory counts as unfinished. All
    ranks of a communicator call this; None is one process.
    """
    with hold(directory, comm, record):
        target = directory.resolve()
        partial = on_root(comm, lambda: _begin(directory, target))
        try:
            yield partial
            on_root(comm, lambda: _publish(partial, target, record))
        except BaseException as error:
            if comm is None or comm.rank == 0:
                with suppress(OSError):
                    _heal(target, finish=False)
            if isinstance(error, OSError):
                raise MesoError(f"{directory}: cannot be written ({error.strerror})") from error
            raise


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A folder whose files replace those of a directory, which is held, once all are written."""
    partial = None
    made = not directory.exists()
    try:
        partial = _begin(directory, directory.resolve())
        yield partial
        directory.mkdir(exist_ok=True)
        for path in sorted(partial.iterdir()):
            os.replace(path, directory / path.name)
    except OSError as error:
        if made:
            with suppress(OSError):
                directory.rmdir()
        raise MesoError(f"{directory}: cannot be written ({error.strerror})") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _begin(directory: Path, target: Path) -> Path:
    partial = _beside(target, f"partial-{secrets.token_hex(4)}")
    try:
        partial.mkdir()
    except OSError as error:
        raise CaseError(("output.directory", f"{directory}: {error.strerror}")) from error
    return partial


def _publish(partial: Path, target: Path, record: str) -> None:
    whole = json.loads((partial / record).read_text(encoding="utf-8"))
    files = sorted(
        path.relative_to(partial).as_posix()
        for path in partial.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )
    whole["files"] = {**whole.get("files", {}), "written": files}
    # Last, because the list says that the directory is complete.
    replace_file(partial / record, (json.dumps(whole, indent=2) + "\n").encode())
    if not target.exists():
        partial.rename(target)
        return
    old = _exchange(partial, target)
    _keep(old, target)
    shutil.rmtree(old, ignore_errors=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, which is complete, or as it was, at every moment."""
    partial = _beside(path, "partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _exchange(partial: Path, target: Path) -> Path:
    """Put a new directory in place of an old one; returns where the old one is now."""
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        exchange = None
    names = os.fsencode(partial), os.fsencode(target)
    if exchange and not exchange(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        return partial
    # A system without it: for a moment there is neither, which the next holder puts right.
    old = _beside(target, f"old-{secrets.token_hex(4)}")
    target.rename(old)
    partial.rename(target)
    return old


def _keep(old: Path, new: Path) -> None:
    """Move the user's files from an old result to the new one."""
    own = _written(old)
    folders = {parent for path in own for parent in path.parents}

    def move(path: Path) -> None:
        relative = path.relative_to(old)
        if relative in own:
            return
        to = new / relative
        folder = path.is_dir() and not path.is_symlink()
        if folder and (relative in folders or (to.is_dir() and not to.is_symlink())):
            for child in sorted(path.iterdir()):
                move(child)
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        # The new result may have a file of this name: as GNU's backups.
        names = chain([to], (to.with_name(f"{to.name}.~{number}~") for number in count(1)))
        path.rename(next(name for name in names if not os.path.lexists(name)))

    for child in sorted(old.iterdir()):
        move(child)


def copy_written(directory: Path, folder: Path, leave: Sequence[str]) -> None:
    """Copy, or link, what `meso` wrote in a result to a new one, but for what it may leave."""
    for path in sorted(_written(directory)):
        if path.parts[0] in leave:
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(directory / path, folder / path)
        except FileNotFoundError:
            continue  # somebody removed it
        except OSError:
            shutil.copy2(directory / path, folder / path)


def _listed(folder: Path) -> Any:
    """The record of a result, of whatever kind, and its list of files; None where there is none."""
    records = (read_record(folder, name) for name in ("summary.json", "compare.json", WIRE))
    found = next((record for record in records if record is not None), None)
    files = found and found.get("files")
    return found, files.get("written") if isinstance(files, dict) else None


def _written(folder: Path) -> set[Path]:
    """What `meso` has written in a result, relative to it."""
    found, files = _listed(folder)
    if found is None:
        return set()
    if isinstance(files, list):
        return {Path(str(name)) for name in files}
    return {
        path.relative_to(folder)
        for name, patterns in _UNLISTED.items()
        for pattern in patterns
        for path in (folder / name).glob(pattern)
    }


def _heal(target: Path, *, finish: bool = True) -> None:
    """Put right what a process left that was killed while it wrote this directory.

    Where the place is empty, a result that is complete takes it, if that is to be finished.
    """
    pattern = re.compile(re.escape(f".{target.name}.") + r"(partial|old)(-[0-9a-f]{8})?")
    left = [path for path in target.parent.iterdir() if pattern.fullmatch(path.name)]
    if not target.exists():
        # Killed between two renames, or before the last one: the new result, else the old one.
        aside = _beside(target, "old").name
        old = [path for path in left if path.name.startswith(aside) and _written(path)]
        new = [path for path in left if path not in old and finish and _listed(path)[1] is not None]
        for path in [*new, *old][:1]:
            path.rename(target)
            left.remove(path)
    for path in left:
        if target.is_dir() and _written(path):
            _keep(path, target)
        shutil.rmtree(path, ignore_errors=True)
