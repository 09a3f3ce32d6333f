"""Gmsh and OpenCASCADE in a process of their own.

So that they can be interrupted, that a crash of theirs is an error like others, and that no setting
of one drawing is there for the next. The process is started with the first drawing, is kept for
the next ones, and ends where Gmsh would keep something of one. It knows nothing of MPI: rank 0
has one.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from select import poll
from typing import Any

from meso.errors import CaseError, GeometryError, MesoError
from meso.groups import Groups
from meso.layers import Sizes

Progress = Callable[[str], None]

# Variables by which launchers make a process a rank.
_LAUNCHERS = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_")
_START = (
    "import sys; descriptor, folder, *sys.path = sys.argv[1:];"
    "from meso.gmsh_process import serve; serve(int(descriptor), folder)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to be read, and what is asked of its mesh; lengths in the unit of the file.

    Attributes:
        path: The file.
        unit: Metres per unit of the file.
        parameters: Variables of a drawing to set.
        sizes: Wanted cell sizes.
        geometry_order: Degree of curved cells, or None for that which suits the order.
        groups: Names of the regions and boundaries of a CAD file.
        trusted: True if the drawing may run commands and write files.
        many_cells: True to make meshes of any number of cells.
    """

    path: Path
    unit: float
    parameters: dict[str, float]
    sizes: Sizes
    geometry_order: int | None = None
    groups: Groups | None = None
    trusted: bool = False
    many_cells: bool = False


class _Process:
    """The process, seen from this one; it has a folder for its temporary files."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.folder = tempfile.mkdtemp(prefix="meso-")
        self.connection, other = Pipe()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHERS)}
        with other:
            self.process = subprocess.Popen(
                # Without the folder of the user's work: a gmsh.py there is not meant.
                [
                    *(sys.executable, "-P", "-c", _START, str(other.fileno()), self.folder),
                    *(path or os.getcwd() for path in sys.path),
                ],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                # OpenCASCADE writes there, and the C library when something crashes.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                # Ctrl-C of a terminal is for this process, which ends the other.
                process_group=0,
            )

    def stop(self) -> int:
        """End the process and remove its folder; returns its exit code, if it had ended itself."""
        if self.owner != os.getpid():  # a fork of the owner
            return 0
        self.connection.close()
        code = self.process.poll()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.process.returncode if code is None else code

    @property
    def is_usable(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None


_current: _Process | None = None


def start() -> None:
    """Start the process, so that it is ready when the first drawing is."""
    global _current
    if _current is not None and not _current.is_usable:
        stop()
    if _current is None:
        _current = _Process()


@atexit.register
def stop() -> int:
    """End the process; returns its exit code."""
    global _current
    ended, _current = _current, None
    return ended.stop() if ended else 0


def call(what: str, source: Source, progress: Progress = lambda text: None) -> Any:
    """Let the process do something.

    Args:
        what: A function of :mod:`meso.meshing`.
        source: Its argument.
        progress: Called with lines of text meanwhile.

    Returns:
        What the function returns.

    Raises:
        GeometryError: Gmsh crashed; or what the function raised.
        MesoError: Gmsh cannot be loaded.
    """
    start()
    assert _current is not None
    connection = _current.connection
    path = source.path.absolute()
    try:
        with _without_sigpipe():
            connection.send((what, replace(source, path=path), os.getcwd()))
        kind, value, is_spent = connection.recv()
        while kind == "progress":
            progress(value)
            kind, value, is_spent = connection.recv()
    except (EOFError, ConnectionError):
        # The connection closes a moment before the process is gone.
        with suppress(subprocess.TimeoutExpired):
            _current.process.wait(10)
        raise GeometryError(f"{source.path}: {_cause(stop())}") from None
    except BaseException:
        stop()
        raise
    if is_spent:
        stop()
    if kind == "error":
        raise _relative(value, path, source.path)
    return value


@contextmanager
def _without_sigpipe() -> Iterator[None]:
    """A process that is gone is an error here, even where PETSc ends the program at this signal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        yield
    finally:
        if signal.SIGPIPE in signal.sigpending():
            signal.sigwait({signal.SIGPIPE})
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def version() -> str:
    """Version of Gmsh, without loading it."""
    found = find_spec("gmsh")
    text = Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""
    stated = re.search(r'^(?:GMSH_API_VERSION|__version__) = "(.*)"', text, re.MULTILINE)
    return stated[1] if stated else "unknown"


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return (
            "Gmsh was killed, most likely because the memory is full; larger cells (mesh.size,"
            " mesh.wall_size) take less"
        )
    if code < 0:
        return (
            f"Gmsh crashed on this file ({signal.strsignal(-code)}); it may be damaged: open it in"
            " another program and write it anew"
        )
    return "Gmsh ended while it read this file; Exit is not for drawings that meso reads"


def _relative(error: Exception, path: Path, given: Path) -> Exception:
    """The error with the path as the user gave it."""

    def short(text: Any) -> Any:
        if isinstance(text, tuple):
            return tuple(map(short, text))
        return text.replace(str(path), str(given)) if isinstance(text, str) else text

    if isinstance(error, CaseError):
        return CaseError(*map(short, error.args), file=error.file)
    error.args = tuple(map(short, error.args))
    return error


# -- the other side -------------------------------------------------------------------------------


def serve(descriptor: int, folder: str) -> None:
    """Do what the starting process asks for, until it closes the connection or ends.

    Args:
        descriptor: File descriptor of the connection.
        folder: For temporary files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = folder
    threading.Thread(target=_end_with, args=(descriptor, folder), daemon=True).start()
    connection = Connection(descriptor)
    try:
        from meso import drawing, meshing
    except (ImportError, OSError) as error:  # without the library ctypes raises the second
        connection.recv()
        connection.send(("error", MesoError(f"Gmsh cannot be loaded: {error}"), True))
        return
    with suppress(EOFError, ConnectionError):
        while True:
            what, source, here = connection.recv()
            # Some errors make Gmsh write files into the current folder.
            os.chdir(here if source.trusted else folder)
            try:
                work = getattr(meshing, what)
                value = work(source, lambda text: connection.send(("progress", text, False)))
                connection.send(("done", value, drawing.is_spent))
            except Exception as error:
                error = _explained(error, source.path)
                spent = drawing.is_spent or not isinstance(error, MesoError)
                connection.send(("error", error, spent))


def _explained(error: Exception, path: Path) -> Exception:
    """The error, as one message if it is not a fault of the program."""
    if isinstance(error, MemoryError):
        return GeometryError(
            f"{path}: the memory is full; larger cells (mesh.size, mesh.wall_size) take less"
        )
    if isinstance(error, UnicodeDecodeError):
        word = bytes(error.object).decode(errors="replace")
        return GeometryError(f"{path}: '{word}' is not written in UTF-8: save the file as UTF-8")
    if type(error) is Exception:  # of Gmsh's own functions, which work on any sound drawing
        return GeometryError(f"{path}: Gmsh cannot use this drawing: {error}")
    if not isinstance(error, MesoError):
        error.add_note("".join(traceback.format_exception(error)))
    return error


def _end_with(descriptor: int, folder: str) -> None:
    """Wait for the other end of the connection to be closed, by whatever, and end at once."""
    waiting = poll()
    waiting.register(descriptor, 0)  # nothing but the end is waited for
    waiting.poll()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
