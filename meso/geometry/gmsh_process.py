"""Gmsh and OpenCASCADE in a process of their own.

So that they can be interrupted, and that a crash of theirs is an error like others. The process
loads them once and is kept; each drawing is then read in a fork of it, because Gmsh keeps macros
and, after an error, statements of one drawing for the next. It knows nothing of MPI; rank 0 has it.
Where a command begins it is a fork of that, which has loaded nothing yet but what both need; later
it is started anew. As one that may fork it also draws the pictures, with what it loads while this
process solves.
"""

from __future__ import annotations

import atexit
import gc
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
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from select import poll
from typing import TYPE_CHECKING, Any

from meso.errors import CaseError, GeometryError, MesoError

if TYPE_CHECKING:  # nothing that takes long to load: the process is the first thing to be started
    from meso.geometry.groups import Groups
    from meso.geometry.layers import Sizes

Progress = Callable[[str], None]

# Variables by which launchers make a process a rank.
_LAUNCHERS = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_")
# Elsewhere libraries do not bear it; there each drawing has a new process.
_FORKS = sys.platform == "linux"
_START = (
    "import sys; descriptor, folder, *sys.path = sys.argv[1:];"
    "from meso import lazily; lazily.install();"
    "from meso.geometry.gmsh_process import serve; serve(int(descriptor), folder)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to be read, and what is asked of its mesh; lengths in the unit of the file."""

    path: Path
    unit: float  # metres per unit of the file
    parameters: dict[str, float]  # variables of a drawing to set
    sizes: Sizes
    geometry_order: int | None = None  # of curved cells; None: what suits the order
    groups: Groups | None = None  # names of the regions and boundaries of a CAD file
    trusted: bool = False  # the drawing may run commands and write files
    many_cells: bool = False  # meshes may have any number of cells


class _Process:
    """The process, seen from this one; it has a folder for its temporary files."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.asked: tuple[str, Source | Path] | None = None  # what has not been answered yet
        self.later = ""  # a module to load after the next answer
        self.folder = tempfile.mkdtemp(prefix="meso-")
        self.connection, other = Pipe()
        with other:
            begin = _forked if _may_fork() else _started
            self.process = begin(self.connection, other, self.folder)

    def stop(self) -> None:
        """End the process with its forks and remove its folder."""
        if self.owner != os.getpid():  # a fork of the owner
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Fork:
    """A fork of this process, as subprocess.Popen tells of others."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = False

    def poll(self) -> int | None:
        return self._look(os.WNOHANG)

    def wait(self) -> int | None:
        return self._look(0)

    def _look(self, how: int) -> int | None:
        if not self._ended:
            try:
                self._ended = os.waitpid(self.pid, how)[0] != 0
            except ChildProcessError:  # somebody else has waited for it
                self._ended = True
        return 0 if self._ended else None


def _may_fork() -> bool:
    """Whether nothing is loaded yet that a fork would not bear: at the start of a command."""
    return _FORKS and "mpi4py.MPI" not in sys.modules and threading.active_count() == 1


def _forked(connection: Connection, other: Connection, folder: str) -> _Fork:
    """The process as a fork of this one, which has what both load already."""
    if pid := os.fork():
        with suppress(OSError):  # both do: none may be sent a signal of the group before
            os.setpgid(pid, pid)
        return _Fork(pid)
    try:
        os.setpgid(0, 0)
        connection.close()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nowhere, standard)
        for name in [name for name in os.environ if name.startswith(_LAUNCHERS)]:
            del os.environ[name]
        sys.path[:] = [path or os.getcwd() for path in sys.path]
        serve(other.fileno(), folder)
    finally:
        os._exit(0)


def _started(connection: Connection, other: Connection, folder: str) -> subprocess.Popen[bytes]:
    """The process as a new one."""
    # Without the folder of the user's work (-P): a gmsh.py there is not meant.
    command = [sys.executable, "-P", "-c", _START, str(other.fileno()), folder]
    return subprocess.Popen(
        [*command, *(path or os.getcwd() for path in sys.path)],
        pass_fds=[other.fileno()],
        stdin=subprocess.DEVNULL,
        # OpenCASCADE writes there, and the C library when something crashes.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHERS)},
        # Ctrl-C of a terminal is for this process, which ends the other.
        process_group=0,
    )


_current: _Process | None = None


def start() -> None:
    """Start the process, so that it is ready when the first drawing is."""
    global _current
    if _current and (_current.owner != os.getpid() or _current.process.poll() is not None):
        stop()
    if _current is None:
        _current = _Process()


@atexit.register
def stop() -> None:
    """End the process."""
    global _current
    ended, _current = _current, None
    if ended:
        ended.stop()


def is_running() -> bool:
    """Whether there is a process."""
    return (
        _current is not None and _current.owner == os.getpid() and _current.process.poll() is None
    )


def forget() -> None:
    """Nobody wants the answer to what has been asked."""
    if _current and _current.asked:
        stop()


def load(module: str) -> None:
    """Let the process, if there is one, load a module of meso after its next answer.

    And call its ``prepare()``: what that leaves is there for all forks.
    """
    if is_running():
        assert _current is not None
        _current.later = module


def ask(what: str, subject: Source | Path) -> None:
    """Let the process begin with what will be wanted of :func:`call`, unless it is forgotten."""
    forget()
    start()
    assert _current is not None
    path = _path(subject).absolute()
    sent = path if isinstance(subject, Path) else replace(subject, path=path)
    with _without_sigpipe():
        _current.connection.send((what, sent, os.getcwd()))
    _current.asked = what, subject


def call(what: str, subject: Source | Path, progress: Progress = lambda text: None) -> Any:
    """What a function of meso ("geometry.meshing.plan") returns, or raises, in the process.

    A GeometryError if the process crashes. Progress is called with lines of text meanwhile.

    Args:
        what: A function of the subject and of ``progress``, which loads no MPI.
        subject: What is to be read.
        progress: Called with what the function tells.
    """
    if _current and _current.asked != (what, subject):
        forget()
    start()
    assert _current is not None
    given = _path(subject)
    answer: tuple[str, Any] | None = None
    try:
        if not _current.asked:
            ask(what, subject)
        _current.asked = None
        while (message := _current.connection.recv())[0] != "ended":
            if message[0] == "progress":
                progress(message[1])
            else:
                answer = message
        if _current.later:
            with _without_sigpipe():
                _current.connection.send(("load", _current.later, ""))
            _current.later = ""
    except (EOFError, ConnectionError):
        stop()
        raise MesoError(f"{given}: the process of Gmsh has ended") from None
    except BaseException:
        stop()
        raise
    if not _FORKS:
        stop()
    if answer is None:
        raise GeometryError(f"{given}: {_cause(message[1])}")
    kind, value = answer
    if kind == "error":
        raise as_given(value, given)
    return value


def _path(subject: Source | Path) -> Path:
    return subject if isinstance(subject, Path) else subject.path


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


def as_given(error: Exception, given: Path) -> Exception:
    """An error of the process with the path of the drawing as the user gave it."""
    path = given.absolute()

    def short(text: Any) -> Any:
        if isinstance(text, tuple):
            return tuple(map(short, text))
        return text.replace(str(path), str(given)) if isinstance(text, str) else text

    if isinstance(error, CaseError):
        return CaseError(*map(short, error.args), file=error.file)
    error.args = short(error.args)
    return error


# -- the other side -------------------------------------------------------------------------------


def serve(descriptor: int, folder: str) -> None:
    """Do what the starting process asks for, until it closes the connection or ends.

    The connection is given by its file descriptor; the folder is for temporary files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # what is loaded is no garbage
    tempfile.tempdir = folder
    connection = Connection(descriptor)
    with suppress(ImportError, OSError):  # the work will say what is missing
        from meso.geometry import meshing  # noqa: F401, for all forks
    with suppress(EOFError, ConnectionError):
        while True:
            request = connection.recv()
            if request[0] == "load":
                with suppress(ImportError, OSError):
                    import_module(f"meso.{request[1]}").prepare()
                continue
            with suppress(ImportError, OSError):  # for later forks as well; this one tells errors
                import_module(f"meso.{request[0].rpartition('.')[0]}")
            # Some errors make Gmsh write files into the current folder.
            os.chdir(request[2] if getattr(request[1], "trusted", False) else folder)
            code = 0
            if not _FORKS:
                _work(connection, request)
            elif pid := os.fork():
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            else:
                threading.Thread(target=_end_with, args=(descriptor,), daemon=True).start()
                _work(connection, request)
                os._exit(0)
            connection.send(("ended", code))
    shutil.rmtree(folder, ignore_errors=True)


def _work(connection: Connection, request: tuple[str, Source | Path, str]) -> None:
    """Do one thing and answer with a result or an error."""
    what, subject, _ = request
    gc.freeze()
    gc.enable()
    module, _, name = what.rpartition(".")
    try:
        function = getattr(import_module(f"meso.{module}"), name)
    except (ImportError, OSError) as error:  # without the library ctypes raises the second
        connection.send(("error", MesoError(f"Gmsh cannot be loaded: {error}")))
        return
    try:
        found = function(subject, lambda text: connection.send(("progress", text)))
        connection.send(("done", found))
    except Exception as error:
        connection.send(("error", _explained(error, _path(subject))))


def apart(what: str, subject: Source) -> Any:
    """What a function returns, or raises, in a fork of the process, for one drawing of several."""
    context: Any = get_context("fork" if _FORKS else "spawn")
    connection, other = context.Pipe(duplex=False)
    # As in the process itself, nothing but the answer is told.
    child = context.Process(target=_work, args=(other, (what, subject, "")))
    child.start()
    other.close()
    try:
        while (message := connection.recv())[0] == "progress":
            pass
    except EOFError:
        child.join()
        raise GeometryError(f"{subject.path}: {_cause(child.exitcode or 0)}") from None
    finally:
        connection.close()
    child.join()
    if message[0] == "error":
        raise message[1]
    return message[1]


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


def _end_with(descriptor: int) -> None:
    """Wait for the other end of the connection to be closed, by whatever, and end at once."""
    waiting = poll()
    waiting.register(descriptor, 0)  # nothing but the end is waited for
    waiting.poll()
    os._exit(1)
