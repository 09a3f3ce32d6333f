"""Manufactured solutions of the diffusion of angular momentum, with full nonsymmetric tensors.

X^a = cos(q_a.x + a) in scaled coordinates; f = div J + T X in the volume, j = V X - n.J on walls.
The error in the norm of L2 must fall like h^(k+1).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dolfinx
import gmsh
import numpy as np
import pytest
from conftest import gmsh_session, thorough

from meso import Device
from meso.angular_momentum import Densities, Diffusion, Surface, Transport

BOX = """SetFactory("OpenCASCADE");
Box(1) = {0, 0, 0, 1, 0.8, 0.6};
Physical Volume("metal") = {1};
Physical Surface("wall") = {1, 2, 3, 4, 5, 6};
"""
SQUARE = """SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 1, 0.8};
Physical Surface("metal") = {1};
Physical Curve("wall") = {1, 2, 3, 4};
"""
DISC = """SetFactory("OpenCASCADE");
Disk(1) = {0, 0, 0, 1, 0.7};
Physical Surface("metal") = {1};
Physical Curve("wall") = {1};
"""
LENGTH = 1e-8


def full(n: int, d: int, seed: int) -> Transport:
    """Tensors without any symmetry, but with positive symmetric parts."""
    random = np.random.default_rng(seed)
    D = 0.25 * random.standard_normal((3 * n, 3 * n)) / np.sqrt(n) + np.eye(3 * n)
    T = 0.4 * random.standard_normal((n, n)) + 1.5 * np.eye(n)
    return Transport(
        diffusivity=1e-5 * D.reshape(3, n, 3, n),
        relaxation=1e-5 / LENGTH**2 * T,
        hall=random.standard_normal((3, n, 3)),
        susceptibility=np.diag(1 + random.random(n)) * 2.0,
    )


class Exact:
    """The manufactured solution; positions in metres."""

    def __init__(self, transport: Transport, velocity: np.ndarray, dimension: int) -> None:
        self.D = transport.diffusivity[:dimension, :, :dimension]
        self.T, self.V = transport.relaxation, velocity
        self.hall = transport.hall[:dimension]
        n = transport.components
        random = np.random.default_rng(5)
        self.q = 2.0 * random.standard_normal((n, dimension)) / LENGTH
        self.phase = np.arange(n)

    def density(self, x: np.ndarray) -> np.ndarray:
        """X, shape (..., n)."""
        return np.cos(x @ self.q.T + self.phase)

    def field(self, x: np.ndarray) -> np.ndarray:
        """E, shape (..., 3): its Hall current has a divergence."""
        s = 1e3 * np.sin(x[..., 0] / LENGTH)
        return np.stack([s, 0.5 * s, -s], axis=-1)

    def source(self, x: np.ndarray, region: np.ndarray) -> np.ndarray:
        """f."""
        X = self.density(x)
        second = np.einsum("iakb,bi,bk->ab", self.D, self.q, self.q)
        slope = 1e3 * np.cos(x[..., 0] / LENGTH) / LENGTH
        rise = np.einsum("ak,k->a", self.hall[0], [1.0, 0.5, -1.0])
        return X @ (second + self.T).T + slope[..., None] * rise

    def injected(self, x: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """j."""
        sine = -np.sin(x @ self.q.T + self.phase)
        flux = np.einsum("iak,...k->...ia", self.hall, self.field(x))
        flux = flux - np.einsum("iakb,bk,...b->...ia", self.D, self.q, sine)
        return self.density(x) @ self.V.T - np.einsum("...i,...ia->...a", normal, flux)


def of_box(x: np.ndarray) -> np.ndarray:
    """Normals of a box by position."""
    sides = np.array([1.0, 0.8, 0.6])[: x.shape[-1]] * LENGTH
    return np.where(x < 1e-7 * LENGTH, -1.0, 0.0) + np.where(x > sides * (1 - 1e-7), 1.0, 0.0)


def of_ellipse(x: np.ndarray) -> np.ndarray:
    """Normals of the ellipse by position."""
    n = x / np.array([1.0, 0.49])
    return n / np.linalg.norm(n, axis=-1, keepdims=True)


def divided(drawing: Path, times: int) -> Device:
    """A mesh of tetrahedra of half the size of the box, divided some times."""
    path = drawing.with_suffix(".msh")
    with gmsh_session():
        gmsh.open(str(drawing))
        gmsh.option.setNumber("Mesh.MeshSizeMax", 0.5)
        gmsh.option.setNumber("Mesh.MeshSizeMin", 0.5)
        gmsh.model.mesh.generate(3)
        for _ in range(times):
            gmsh.model.mesh.refine()
        gmsh.write(str(path))
    return Device.from_gmsh(path, length_unit=LENGTH)


def error(
    folder: Path, drawing: str, order: int, size: float, *, n: int, solver: str = "auto"
) -> tuple[float, Densities]:
    """Relative error in L2, and the solution."""
    path = folder / "manufactured.geo"
    path.write_text(drawing)
    if drawing is BOX:
        device = divided(path, int(size))
    else:
        device = Device.from_gmsh(path, length_unit=LENGTH, order=order, size=size * LENGTH)
    d = device.dimension
    transport = full(n, d, seed=3)
    random = np.random.default_rng(4)
    V = 1e-5 / LENGTH * (0.3 * random.standard_normal((n, n)) + np.eye(n))
    exact = Exact(transport, V, d)
    normals = of_ellipse if drawing is DISC else of_box
    problem = Diffusion(
        device,
        components=[f"{c}_{a}" for c in ("spin", "orbital") for a in "xyz"][:n],
        materials={"metal": transport},
        surfaces={"wall": Surface(velocity=V, injected=lambda x: exact.injected(x, normals(x)))},
        order=order,
        solver=solver,
    )
    found = problem.solve(exact.field, source=exact.source)
    return distance(found, exact.density), found


def distance(found: Densities, exact: Callable[[np.ndarray], np.ndarray]) -> float:
    """Relative error in L2 of all components."""
    device, k = found.device, found.order
    wanted = dolfinx.fem.Function(dolfinx.fem.functionspace(device.mesh, ("DG", k + 2)))
    X = dolfinx.fem.Function(found.field(found.components[0]).function().function_space)
    # One form for all components.
    squares = [v**2 * device.dx(degree=2 * k + 4) for v in (X - wanted, wanted)]
    sums = np.zeros(2)
    for i, component in enumerate(found.components):
        X.x.array[:] = found.field(component).function().x.array
        wanted.interpolate(lambda x, i=i: exact(x[: device.dimension].T)[:, i])
        sums += [device.integrate(square) for square in squares]
    return float(np.sqrt(sums[0] / sums[1]))


def rate(results: list[tuple[float, Densities]]) -> float:
    """Order in the mean cell size: unstructured meshes have not quite the size that is asked."""
    (coarse, first), (fine, second) = results
    ratio = (second.device.cells / first.device.cells) ** (1 / first.device.dimension)
    return float(np.log(coarse / fine) / np.log(ratio))


@pytest.mark.parametrize(
    ("drawing", "order"),
    [
        *((SQUARE, order) for order in (1, 2, 3, 4)),
        (DISC, 2),
        *(thorough(DISC, order) for order in (1, 3, 4)),
    ],
    ids=lambda value: {SQUARE: "square", DISC: "ellipse"}.get(value, value),
)
def test_plane(tmp_path: Path, drawing: str, order: int) -> None:
    """k + 1 in 2D; 0.3 is what irregular meshes lose."""
    assert rate([error(tmp_path, drawing, order, h, n=4) for h in (0.06, 0.03)]) > order + 0.7


@pytest.mark.parametrize(
    ("order", "levels", "solver"),
    [thorough(1, (2, 3), "iterative"), (2, (1, 2), "iterative"), thorough(3, (1, 2), "direct")],
)
def test_space(tmp_path: Path, order: int, levels: tuple[int, int], solver: str) -> None:
    """k + 1 in 3D; by factorisation where that is seven times faster."""
    results = [error(tmp_path, BOX, order, level, n=3, solver=solver) for level in levels]
    assert rate(results) > order + 0.7


def test_iterations_and_factorisation_agree(tmp_path: Path) -> None:
    """Both solve the same equations: as far as the residual of the iterations."""
    direct = error(tmp_path, BOX, 2, 1, n=3, solver="direct")[1]
    iterative = error(tmp_path, BOX, 2, 1, n=3, solver="iterative")[1]
    assert direct.evidence["method"] == "MUMPS LU"
    assert iterative.evidence["method"] == "GMRES, BoomerAMG"
    for component in direct.components:
        one, two = (f.field(component).function().x.array for f in (iterative, direct))
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_balance(tmp_path: Path) -> None:
    """What is made relaxes or leaves, for each component, in 2D and 3D."""
    assert np.abs(error(tmp_path, SQUARE, 4, 0.16, n=4)[1].imbalance).max() < 1e-12
    assert np.abs(error(tmp_path, BOX, 2, 1, n=3, solver="direct")[1].imbalance).max() < 1e-12
