"""What other packages load or make when they are loaded, and a run hardly ever needs.

Such modules make a sixth of the time to load SciPy, DOLFINx and what belongs to them. With
:func:`install` they are loaded when they are first used, by the loader that Python has for that.
Classes of Matplotlib list their properties in their documentation, which takes as long as to load
them: they do not. For programs of this project only: what others import is theirs to decide.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import LazyLoader
from types import ModuleType

#: What the packages mention as an attribute only ("from . import x"); "from x import y" loads it.
_NAMES = frozenset(
    {
        *("numpy.f2py", "numpy.ma", "numpy.polynomial", "numpy.testing"),
        *("scipy.sparse.csgraph", "scipy.sparse.linalg", "scipy.spatial.transform"),
        *("dolfinx.io", "dolfinx.nls", "dolfinx.plot", "dolfinx.utils", "pydoc"),
    }
)


class _Undocumented(SourceFileLoader):
    """Loads ``matplotlib.artist`` without what lists the properties of a class."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.kwdoc = lambda artist: ""  # type: ignore[attr-defined]


class _Finder:
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        artist = name == "matplotlib.artist"
        spec = PathFinder.find_spec(name, path, target) if artist or name in _NAMES else None
        if spec is not None and spec.loader is not None:
            if not artist:
                spec.loader = LazyLoader(spec.loader)
            elif isinstance(spec.loader, SourceFileLoader):
                spec.loader = _Undocumented(name, spec.loader.path)
        return spec


def install() -> None:
    """From now on load these modules lazily."""
    sys.meta_path.insert(0, _Finder)
