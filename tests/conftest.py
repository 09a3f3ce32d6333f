"""Devices and flows that several tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gmsh
import numpy as np
import pytest

import meso
from meso.constants import ELEMENTARY_CHARGE

GEOMETRIES = Path(__file__).parents[1] / "geometries"
TIERS = ("verification", "demos", "ranks", "container")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What tests/test_fuzz.py and those that kill processes run."""
    group = parser.getgroup("meso")
    group.addoption("--mutants", type=int, default=16, help="number of mutants (default 16)")
    group.addoption("--kills", type=int, default=1, help="kills of a command (default 1)")
    group.addoption("--thorough", action="store_true", help="also what takes too long for CI")
    group.addoption("--seed", type=int, default=1, help="of the mutants (default 1)")
    group.addoption("--mutant", type=int, help="only the mutant of this number")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a folder that is named like a tier belong to it, but for those that start ranks."""
    for item in items:
        if item.get_closest_marker("thorough") and not item.config.getoption("thorough"):
            item.add_marker(pytest.mark.skip("with --thorough"))
        if item.get_closest_marker("ranks"):
            continue
        for tier in set(TIERS) & set(item.path.parent.parts[len(Path(__file__).parent.parts) :]):
            item.add_marker(tier)


def thorough(*values: Any) -> Any:
    """Parameters of a test that runs with ``--thorough`` only."""
    return pytest.param(*values, marks=pytest.mark.thorough)


@contextmanager
def gmsh_session() -> Iterator[None]:
    """Gmsh in this process, silent and without anybody's settings, closed again in any case."""
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("General.NumThreads", 1)
        yield
    finally:
        gmsh.finalize()


def material(**changes: Any) -> meso.Material:
    """The point scatterers of Valet et al. on a Fermi line, mean free path 10 nm."""
    values: dict[str, Any] = {
        "carriers": "2d",
        "conductivity": 0.02,
        "mean_free_path": 10e-9,
        "scattering": "radial-tangential",
        "fermi_energy": ELEMENTARY_CHARGE,
    }
    return meso.Material(**{**values, **changes})


def draw(
    name: str,
    matter: meso.Material,
    walls: tuple[str, ...],
    *,
    order: int = 4,
    **parameters: float,
) -> meso.Device:
    """A device of the gallery with the default mesh for a material, drawn in nm."""
    assert matter.vorticity_diffusion_length is not None
    layer = meso.Layer(decay=matter.vorticity_diffusion_length)
    return meso.Device.from_gmsh(
        GEOMETRIES / f"{name}.geo",
        length_unit="nm",
        parameters=parameters,
        order=order,
        layers=dict.fromkeys(walls, layer),
    )


def solve(
    device: meso.Device,
    matter: meso.Material | dict[str, meso.Material],
    order: int = 4,
    solver: str = "auto",
    **laws: meso.Contact | meso.Wall | meso.Periodic,
) -> meso.flow.Flow:
    """Hydrodynamic flow; source at 1 mV and drain at 0 V unless they are given."""
    if isinstance(matter, meso.Material):
        matter = dict.fromkeys(device.regions, matter)
    contacts: dict[str, Any] = {
        name: meso.Contact(potential=volt)
        for name, volt in (("source", 1e-3), ("drain", 0.0))
        if name in device.boundaries
    }
    return meso.flow.Hydrodynamic(
        device, materials=matter, boundaries={**contacts, **laws}, order=order, solver=solver
    ).solve()


def mesh_file(
    path: Path,
    drawing: Path | str,
    *,
    degree: int = 1,
    size: float | None = None,
    refinements: int = 0,
    turn: float = 0.0,
    unit: float = 1.0,
    version: float = 4.1,
) -> Path:
    """Mesh a drawing with Gmsh alone and write a mesh file.

    Args:
        path: The file to write.
        drawing: A ``.geo`` file, or the text of one.
        degree: Polynomial degree of the triangles.
        size: Cell size before refinement.
        refinements: How often every triangle is divided into four.
        turn: Angle by which the device is turned about the origin, radians.
        unit: Factor on all coordinates.
        version: Version of the file format.
    """
    if isinstance(drawing, str):
        text = drawing
        drawing = path.with_suffix(".geo")
        drawing.write_text(text + "\n")  # Gmsh drops a last line without end
    with gmsh_session():
        gmsh.open(str(drawing))
        if size is not None:
            gmsh.option.setNumber("Mesh.MeshSizeMax", size)
            gmsh.option.setNumber("Mesh.MeshSizeMin", size)
        gmsh.model.mesh.generate(2)
        for _ in range(refinements):
            gmsh.model.mesh.refine()
        gmsh.model.mesh.setOrder(degree)
        c, s = unit * np.cos(turn), unit * np.sin(turn)
        gmsh.model.mesh.affineTransform([c, -s, 0, 0, s, c, 0, 0, 0, 0, 1, 0])
        gmsh.option.setNumber("Mesh.MshFileVersion", version)
        gmsh.write(str(path))
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for mesh files."""
    return tmp_path_factory.mktemp("meshes")


@pytest.fixture(scope="session")
def ribbon() -> Callable[[int], tuple[meso.Device, meso.Material]]:
    """The ribbon of the paper at Kn = 0.1 and its material, by polynomial degree."""
    made: dict[int, tuple[meso.Device, meso.Material]] = {}

    def of(order: int) -> tuple[meso.Device, meso.Material]:
        if order not in made:
            made[order] = (draw("ribbon", material(), ("edges",), order=order), material())
        return made[order]

    return of


@pytest.fixture(scope="session")
def hall_bar() -> meso.Device:
    """A Hall bar on a mesh of moderate size."""
    return draw("hall_bar", material(mean_free_path=40e-9), ("edges",))


@pytest.fixture(scope="session")
def hall_flow(hall_bar: meso.Device) -> meso.flow.Flow:
    """Hall bar with all kinds of contacts: two at given potentials, one current, three probes."""
    return solve(
        hall_bar,
        material(mean_free_path=40e-9),
        edges=meso.Wall(specularity=0.2),
        probe1=meso.Contact(current=0.0),
        probe2=meso.Contact(current=0.0),
        probe3=meso.Contact(current=3e-7),
        probe4=meso.Contact(current=0.0, law="reservoir"),
    )
