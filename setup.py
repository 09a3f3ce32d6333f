"""The rest of the build: demos and drawings go into the package, from the one place they have."""

from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import setup
from setuptools.command.build_py import build_py


class WithDemos(build_py):
    """``meso demo`` finds them in meso/shared; in the repository where they are."""

    def run(self) -> None:
        """Build the package, then add them."""
        super().run()
        if not self.editable_mode:
            for name in ("demos", "geometries"):
                target = Path(self.build_lib, "meso", "shared", name)
                copytree(name, target, dirs_exist_ok=True, ignore=ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": WithDemos})
