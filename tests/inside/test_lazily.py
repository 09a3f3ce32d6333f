"""Modules that are loaded when they are used.

Inside, because what a user sees of it is the time that a run takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_seldom_used_modules_wait_until_they_are_used() -> None:
    code = (
        "import sys\n"
        "from meso import lazily\n"
        "lazily.install()\n"
        "import numpy, scipy.sparse\n"
        "waits = lambda name: type(sys.modules[name]).__name__ == '_LazyModule'\n"
        "print(waits('numpy.f2py'), waits('scipy.sparse.csgraph'))\n"
        "from scipy.sparse.csgraph import connected_components\n"
        "print(connected_components(scipy.sparse.identity(3))[0], numpy.f2py.__name__)\n"
        "print(waits('numpy.f2py'), waits('scipy.sparse.csgraph'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines() == ["True True", "3 numpy.f2py", "False False"], done.stderr


def test_artists_do_not_list_their_properties() -> None:
    code = (
        "from meso import lazily\n"
        "lazily.install()\n"
        "from matplotlib.lines import Line2D\n"
        "print('linewidth' in Line2D.set.__doc__, Line2D([0], [0], linewidth=3).get_linewidth())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["False", "3.0"], done.stderr


def test_methods_of_data_classes_are_compiled_once(tmp_path: Path) -> None:
    code = (
        "import builtins, sys\n"
        "from meso import lazily\n"
        "lazily.install()\n"
        "compiled, own = [], builtins.compile\n"
        "builtins.compile = lambda *a, **b: compiled.append(a) or own(*a, **b)\n"
        "from dataclasses import make_dataclass, field, replace\n"
        "kinds = [('x', float), (sys.argv[1], float, field(default=float(sys.argv[2])))]\n"
        "Point = make_dataclass('Point', kinds, frozen=True, slots=True)\n"
        "print(replace(Point(1.0), x=2.0), Point(1.0) == Point(1.0), len(compiled))\n"
        "lazily.loaded()\n"
    )

    def output(*words: str) -> str:
        own = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, stdout=-1, text=True, check=True, env=own).stdout.strip()

    for count in (1, 0):
        assert output("y", "7") == f"Point(x=2.0, y=7.0) True {count}"
    # The text of a default is a name: another value, the same methods. Another field is new.
    assert output("y", "5") == "Point(x=2.0, y=5.0) True 0"
    assert output("z", "5") == "Point(x=2.0, z=5.0) True 1"
    assert output("y", "7") == "Point(x=2.0, y=7.0) True 0"
    (kept,) = (tmp_path / "meso").iterdir()
    kept.write_bytes(b"rubbish")
    assert output("y", "7") == "Point(x=2.0, y=7.0) True 1"
