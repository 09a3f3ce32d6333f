"""Modules that are loaded when they are used.

Inside, because what a user sees of it is the time that a run takes.
"""

from __future__ import annotations

import subprocess
import sys


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
