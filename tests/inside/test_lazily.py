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
        "count, own = 0, builtins.compile\n"
        "def compile(*words, **more):\n"
        "    global count\n"
        "    count += 1\n"
        "    return own(*words, **more)\n"
        "builtins.compile = compile\n"
        "from dataclasses import dataclass, replace\n"
        "kind = sys.argv[1]\n"
        "@dataclass(frozen=True, slots=True, kw_only=True)\n"
        "class Point:\n"
        "    x: float\n"
        "    y: float = float(kind)\n"
        "if kind == '2':\n"
        "    Point = dataclass(type('Point', (), {'__annotations__': {'z': int}}))\n"
        "    print(Point(3), count)\n"
        "else:\n"
        "    print(replace(Point(x=1.0), x=2.0), Point(x=1.0) == Point(x=1.0), count)\n"
        "lazily.loaded()\n"
    )

    def output(kind: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, kind],
            capture_output=True,
            text=True,
            timeout=100,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        )
        assert not done.stderr
        return done.stdout.split()

    first, again = output("7"), output("7")
    assert first[:-1] == ["Point(x=2.0,", "y=7.0)", "True"] == again[:-1]
    assert (first[-1], again[-1]) == ("1", "0")
    # The text of a default is a name: another value, the same methods. Another class is new.
    assert output("5") == ["Point(x=2.0,", "y=5.0)", "True", "0"]
    assert output("2") == ["Point(z=3)", "1"]
    assert output("2") == ["Point(z=3)", "0"]
    assert output("7")[-1] == "0"
    (kept,) = (tmp_path / "meso").iterdir()
    kept.write_bytes(b"rubbish")
    assert output("7") == first
    assert output("7") == again
