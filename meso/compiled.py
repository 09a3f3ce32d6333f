"""UFL forms as machine code, by FFCx, in a cache that all processes of a machine share.

The cache is keyed by the processor, as the code is made for it. It consists of many small folders:
FFCx lists one each time that it is asked, which takes milliseconds for each thousand of forms. A
process that is killed while it compiles leaves a source without an object; under the lock, which
only one process has at a time, such a rest is known to be nobody's and goes.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import _cffi_backend
import dolfinx
import numpy as np
import ufl
from mpi4py import MPI

from meso.errors import MesoError

#: Without -ffast-math element tensors take 1.6 to 2 times as long; errors stay at rounding.
_FLAGS = ["-O3", "-march=native", "-ffast-math", "-g0"]
#: To convert arrays to pointers: it reads types by itself, :class:`cffi.FFI` loads a parser of C.
ffi = _cffi_backend.FFI()
_SECONDS = 600  # that a process waits for another one to compile a form


@cache
def _folder() -> Path:
    """The cache; where the user has none, a folder of his own beside other temporary files."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    for folder in (Path(base) / "meso", Path(tempfile.gettempdir()) / f"meso-{os.getuid()}"):
        forms = folder / "forms" / _processor()
        with suppress(OSError):
            forms.mkdir(parents=True, exist_ok=True)
            if os.access(forms, os.W_OK) and forms.stat().st_uid == os.getuid():
                return forms
    raise MesoError(f"no folder for compiled forms: {base} cannot be written; set XDG_CACHE_HOME")


@cache
def _processor() -> str:
    """A name for what -march=native means here."""
    text = platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        text += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _place(ufl_object: Any) -> Path:
    """The folder of a form or expression in the cache."""
    form = isinstance(ufl_object, ufl.Form)
    folder = _folder() / (ufl_object.signature()[:2] if form else "expressions")
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[set[str]]:
    """One process at a time compiles; the others find what it made, which has these names."""
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = os.listdir(folder)
        sources = {name[:-2] for name in names if name.endswith(".c")}
        ready = {name[:-9] for name in names if name.endswith(".c.cached")}
        for name in sources - ready:
            (folder / f"{name}.c").unlink(missing_ok=True)
        for name in ready - sources:  # FFCx would compile, and fail at the end because it is there
            (folder / f"{name}.c.cached").unlink(missing_ok=True)
        yield ready & sources


def _options(folder: Path) -> dict[str, Any]:
    """What DOLFINx is to compile with: ``jit_options``."""
    return {"cache_dir": str(folder), "timeout": _SECONDS, "cffi_extra_compile_args": _FLAGS}


#: What this process has compiled or found, by folder and signature.
_known: dict[tuple[Path, str], Any] = {}


def compiled(ufl_object: Any) -> Any:
    """A compiled form, with the kernels of its integrals, or expression with its points.

    On any domain: no mesh is needed. Ranks need not call this together.
    """
    folder = _place(ufl_object)
    key = folder, ufl_object.signature() if isinstance(ufl_object, ufl.Form) else ""
    if key in _known:
        return _known[key]
    # As dolfinx.fem spells it: the spelling is a part of the key in the cache.
    scalar = {"scalar_type": dolfinx.default_scalar_type}
    with _alone(folder) as ready:
        found, module, _ = dolfinx.jit.ffcx_jit(
            MPI.COMM_SELF, ufl_object, form_compiler_options=scalar, jit_options=_options(folder)
        )
    if key[1]:
        _known[key] = found
    say = _told.get()
    if say is not None and module.__name__ not in ready:
        _told.set(None)
        say("compiling weak forms, each once on this machine")
    return found


def library(name: str, header: str, source: str) -> Any:
    """Functions in C, with their declarations, in the same cache."""
    key = hashlib.sha256("\n".join([header, source, *_FLAGS]).encode()).hexdigest()[:16]
    module = f"meso_{name}_{key}"
    folder = _folder() / name
    folder.mkdir(exist_ok=True)
    path = folder / (module + sysconfig.get_config_var("EXT_SUFFIX"))
    with _alone(folder):
        if not path.exists():
            import cffi

            builder = cffi.FFI()
            builder.cdef(header)
            builder.set_source(module, source, extra_compile_args=_FLAGS, libraries=["m"])
            with tempfile.TemporaryDirectory(dir=folder) as own:
                os.replace(builder.compile(own), path)
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.lib


#: Who is told that a form was compiled.
_told: ContextVar[Callable[[str], None] | None] = ContextVar("told", default=None)


@contextmanager
def announced(say: Callable[[str], None]) -> Iterator[None]:
    """Within this context the first form that was not in the cache is announced, by ``say``."""
    token = _told.set(say)
    try:
        yield
    finally:
        _told.reset(token)


def functional(form: ufl.Form) -> Any:
    """A form on a mesh, ready for DOLFINx to assemble; all ranks call this."""
    compiled(form)
    return dolfinx.fem.form(form, jit_options=_options(_place(form)))


def expression(value: Any, points: np.ndarray) -> Any:
    """A UFL expression at points of the reference cell, ready for interpolation."""
    compiled((value, points))
    return dolfinx.fem.Expression(value, points, jit_options=_options(_place((value, points))))
