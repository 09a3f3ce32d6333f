"""The mesh that a case asks for, before there is one: light, so that Gmsh can begin with it early.

What resolves the layers of a case is known from its materials, and from the box around the drawing
where these vary.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from meso.case import Case
from meso.errors import MesoError
from meso.geometry import gmsh_process
from meso.geometry.gmsh_process import Source
from meso.geometry.layers import CORNER_SIZE, Layer, SizeField, Sizes, corner_size
from meso.materials.material import Material
from meso.units import is_number, without_unit

if TYPE_CHECKING:
    from mpi4py import MPI

#: Points along a side of the box in which a profile is sampled before there is a mesh.
_SAMPLES = {2: 129, 3: 33}
#: Harmonics up to which cells at walls resolve the layer like one of the vorticity; what comes in
#: flat along a wall makes thinner ones. Those that a mesh for "auto" is made for.
_PLAIN, _AUTO = 16, 32
#: Relative error of currents that meshes of kinetic flow are made for, unless the case says it.
ACCURACY = 1e-4
#: Cells at walls where no moments are asked for, over those for moments.
_CURRENTS_ALONE = 2.0


def begin(case: Case, *, trusted: bool = False, many_cells: bool = False) -> None:
    """Let Gmsh make the mesh of a case while this process loads the solver.

    For one process, or rank 0; what is wrong is told when the mesh is asked for.
    """
    varies = any(material.varies for material in case.region_materials.values())
    # The others need the box around the drawing, more of the solver, or an earlier mesh.
    if not (varies or case.angular_momentum or case.mesh.adapt):
        with suppress(MesoError, ConnectionError):
            gmsh_process.ask(
                "geometry.meshing.plan", source(case, trusted=trusted, many_cells=many_cells)
            )


def source(
    case: Case,
    wanted: SizeField | None = None,
    *,
    trusted: bool = False,
    many_cells: bool = False,
    comm: MPI.Comm | None = None,
) -> Source:
    """The drawing of a case with the sizes of its cells, vorticity layers resolved.

    What is ``trusted`` and ``many_cells`` see :func:`meso.run`; ``wanted`` are sizes that a
    solution asks for, where the mesh is adapted. With a communicator all ranks call this.
    """
    geometry, mesh, unit = case.geometry, case.mesh, case.geometry.length_unit
    given = mesh.size or mesh.wall_size or not case.flow.kinetic
    # Charge and angular momentum together magnify rounding in cells far smaller than any length.
    both = case.angular_momentum and case.angular_momentum.coupling == "two-way"
    coarser = both and case.flow.viscous
    accuracy = mesh.accuracy or (ACCURACY if coarser or not given else None)
    if case.flow.by_particles:  # they see no layers, and no singularities at corners
        wanted = SizeField.anything()
    drawing = Source(
        path=geometry.file,
        unit=unit,
        parameters={**geometry.parameters, **(wanted.parameters if wanted else {})},
        sizes=Sizes(
            order=case.flow.degree,
            bulk=None if mesh.size is None else mesh.size / unit,
            coarsen=mesh.wall_size is None,
            known_only=True,
            stretched=wanted is None,
            wanted=wanted.over(unit) if wanted else None,
            corner=corner_size(accuracy) if accuracy else CORNER_SIZE,
        ),
        geometry_order=mesh.geometry_order,
        groups=geometry.groups,
        trusted=trusted,
        many_cells=many_cells,
    )
    if not geometry.is_drawing:
        return drawing
    # Adapted meshes resolve layers of the flow where the target needs it.
    viscous = case.flow.viscous and wanted is None
    wall, interface = _layers(case, _thinnest(case, drawing, comm) if viscous else None)
    layers = dict.fromkeys(case.walls, wall.over(unit)) if wall else {}
    interface = interface.over(unit) if interface else None
    return replace(drawing, sizes=replace(drawing.sizes, layers=layers, interface=interface))


def _layers(case: Case, decay: float | None) -> tuple[Layer | None, Layer | None]:
    """Flat cells at walls and at interfaces, for the flow's decay length and the densities'."""
    wall = interface = None
    size = case.mesh.wall_size
    if decay:
        # Measured on ribbons of .01 to .3 mean free paths: moments within some 1e-4 of fine cells.
        finer = min(1.0, (_PLAIN / _harmonics(case)) ** 0.75)
        if case.flow.kinetic:
            finer *= _coarser(case)
        wall = Layer(decay=decay, size=size, finer=finer, wider=1.0 if size else finer)
        interface = Layer(decay=decay)
    elif size:
        wall = Layer(size=size, reach=10 * size)
    if case.angular_momentum and not _adapts_to_densities(case):
        from meso.angular_momentum.lengths import combined
        from meso.angular_momentum.problem import wall_layers

        if own := wall_layers(case):
            wall = combined([*own, *([wall] if wall and wall.decay else [])])
            plain = [Layer(decay=layer.decay) for layer in own]
            interface = combined([*plain, *([interface] if interface else [])])
    return wall, interface


def _adapts_to_densities(case: Case) -> bool:
    """Whether the mesh follows densities of angular momentum, where the target needs that."""
    wish = case.mesh.adapt
    if wish is None:
        return False
    first, last = wish.target.split(".")[0], without_unit(wish.target).split(".")[-1]
    along_probe = first == "probe" and last.isdigit()  # else a boundary of that name
    return first in ("angular_momentum", "inverse") or along_probe or last == "diffusive_moment"


def _coarser(case: Case) -> float:
    """Cells at walls for an accuracy over those for moments within 1e-4.

    Currents alone err by the square: 2e-7 on ribbons where moments do by 2e-5 (degree 3).
    """
    over, degree = (case.mesh.accuracy or ACCURACY) / ACCURACY, case.flow.order or 3
    moments = any(case.couples(channel) for channel in ("orbital", "spin"))
    power, most = (degree + 1, 1.0) if moments else (2 * degree, _CURRENTS_ALONE)
    return most * float(np.clip(over ** (1 / power), 0.3, 2.0))


def _harmonics(case: Case) -> int:
    """Number of harmonics that a mesh is made for; "auto" raises the degree if it takes more."""
    if not case.flow.kinetic:
        return 2
    return _AUTO if case.flow.harmonics == "auto" else int(case.flow.harmonics)


def _thinnest(case: Case, drawing: Source, comm: MPI.Comm | None) -> float | None:
    """Decay length of the thinnest layer at walls, m; None if there is none.

    That of the vorticity, or in the kinetic model the mean free path of all collisions.
    """
    materials = list(case.region_materials.values())
    low = high = np.zeros(2)
    if any(material.varies for material in materials):
        from meso.device import bounding_box

        low, high = bounding_box(drawing, comm)
    lengths = [shortest_diffusion_length(material, low, high) for material in materials]
    shortest = min((length for length in lengths if length), default=None)
    if shortest is None or not case.flow.kinetic:
        return shortest
    paths = [(m.mean_free_path, m.electron_electron_mean_free_path) for m in materials]
    most = max(path / between if is_number(path) else 0.0 for path, between in paths)
    plain = np.sqrt(5.0) if case.carriers == "3d" else 2.0  # lambda over l
    return shortest * float(plain / np.sqrt(1 + most))  # 1/(1/lambda + 1/lambda_ee) over l


def shortest_diffusion_length(
    material: Material, low: np.ndarray, high: np.ndarray
) -> float | None:
    """Shortest vorticity diffusion length in a box, m, for sizes before there is a mesh.

    None if there is none or it is data of a mesh. Where profiles are not positive and finite in the
    box there is no conductor, or there will be an error once there is a mesh.
    """
    profiles = material.profiles
    if not {"mean_free_path", "vorticity_diffusion_length"} & profiles.keys():
        return material.vorticity_diffusion_length  # type: ignore[return-value]
    if any(profile.data is not None for profile in profiles.values()):
        return None
    count = _SAMPLES[len(low)]
    axes = [np.linspace(a, b, count) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    length = material.local(grid, checked=False).vorticity_diffusion_length
    assert length is not None
    length = length[np.isfinite(length) & (length > 0)]
    return float(length.min()) if length.size else None
