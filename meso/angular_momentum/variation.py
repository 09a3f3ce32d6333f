"""Derivatives of the weak form of the diffusion of angular momentum, for two given fields.

With omega and lambda held at their nodes,

    L = (d_i lambda_a, Theta^{ia}_k E_k - (D chi)^{ia}_{kb} d_k omega_b)
        - (lambda_a, (T chi)_ab omega_b) + <mu_a, j_a - (V chi)_ab omega_b>_boundaries
        - <[lambda]_a, g_ab [omega]_b>_interfaces

is differentiated in its coefficients, in the potential of E = -grad phi, and in the nodes of the
mesh: d_i u -> d_i u - (d_i V_k) d_k u, dx -> (1 + div V) dx, ds -> (1 + div V - n.grad V.n) ds. At
boundaries mu is lambda, less what a target has of the flux there. Where charge is solved for too,
with phi and psi beside omega and lambda, there is

        - (d_k psi, sigma d_k phi - Theta^{ia}_k d_i omega_a)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meso.angular_momentum.phases import facets_between, of_region
from meso.angular_momentum.surfaces import Surface, evaluated
from meso.angular_momentum.tensors import Transport
from meso.device import Device, Facets
from meso.discrete.cells import FacetGeometry, cells_of, facet_geometry, inverse, slopes
from meso.discrete.motion import Nodes, from_cells, from_facets
from meso.flow.result import Flow

if TYPE_CHECKING:
    from meso.angular_momentum.diffusion import Diffusion, Electric

#: Numbers that arrays of a batch of cells may hold.
_BATCH = 1_000_000


def coefficients(
    device: Device,
    *,
    materials: Mapping[str, Transport],
    surfaces: Mapping[str, Surface],
    conductances: Mapping[tuple[str, str], np.ndarray],
    perpendicular_field: float,
    thickness: float | None,
) -> dict[str, np.ndarray]:
    """What a problem on a device is made of, SI, by name; arguments as of :class:`Diffusion`.

    "diffusivity.REGION" (3, n, 3, n), "relaxation.REGION" (n, n), "hall.REGION" (3, n, 3) and
    "susceptibility.REGION" (n, n) as in :class:`Transport`; "velocity.BOUNDARY" (n, n),
    "current.BOUNDARY" (n,), and "density.BOUNDARY" (n,) where one is held;
    "conductance.REGION|REGION" (n, n); "perpendicular_field" and "thickness". What varies along a
    boundary is not among them.
    """
    out: dict[str, np.ndarray] = {}
    for name in device.regions:
        for key in ("diffusivity", "relaxation", "hall", "susceptibility"):
            out[f"{key}.{name}"] = np.array(getattr(materials[name], key))
        n = materials[name].components
    for name in device.boundaries:
        surface = surfaces.get(name, Surface())
        velocity, fed, held = surface.matrix(n), surface.injected, surface.density
        out[f"velocity.{name}"] = np.zeros((n, n)) if velocity is None else velocity
        if not callable(fed):
            out[f"current.{name}"] = np.zeros(n) + np.array(0.0 if fed is None else fed)
        if held is not None and not callable(held):
            out[f"density.{name}"] = np.zeros(n) + np.nan_to_num(np.array(held, dtype=float))
    for pair, g in conductances.items():
        names = sorted(pair, key=device.regions.index)
        out["conductance." + "|".join(names)] = g * np.eye(n) if np.ndim(g) == 0 else np.array(g)
    if device.dimension == 2:
        out["perpendicular_field"] = np.array(perpendicular_field)
        out["thickness"] = np.array(thickness or 1.0)
    return out


@dataclass(frozen=True, slots=True)
class OfCharge:
    """Of the equation of charge: sigma of each region, (r,), and psi, (c, nodes)."""

    conductivity: np.ndarray
    adjoint: np.ndarray


class Variation:
    """Derivatives of L on this rank.

    Attributes:
        coefficients: In the coefficients, by name: sums over this rank.
        potential: In phi at the nodes of each cell, (c, q); None where no flow drives.
        nodes: In the nodes of the mesh.
    """

    def __init__(self, problem: Diffusion, field: Electric | None) -> None:
        self.problem, self.field = problem, field
        self.device, self.cells = problem.device, cells_of(problem.device)
        self.coefficients = {k: np.zeros_like(v) for k, v in problem.coefficients.items()}
        self.nodes = Nodes(self.device)
        self.potential: np.ndarray | None = None
        if isinstance(field, Flow):
            self.potential = np.zeros(field.fields["potential"].values.shape[:2])

    def of(
        self,
        omega: np.ndarray,
        adjoint: np.ndarray,
        less: Mapping[str, np.ndarray],
        charge: OfCharge | None = None,
    ) -> None:
        """Find them for omega and lambda at the nodes of each cell, (c, nodes, n).

        ``less`` is lambda - mu by boundary, (n,).
        """
        problem, n = self.problem, omega.shape[2]
        # Nothing inside cells drives currents of what a boundary alone is given.
        if omega.any() or self._is_driven:
            for batch, points, weights in self._batches(n):
                self._in_cells(batch, points, weights, omega[batch], adjoint[batch])
        if charge is not None:
            self.of_charge(omega, charge)
        periodic = {name for pair in problem.pairs for name in pair}
        for name in self.device.boundaries:
            if name not in periodic:
                self._on_boundary(name, omega, adjoint, less.get(name, np.zeros(n)))
        for pair in problem.conductance:
            self._on_interface(pair, omega, adjoint)

    @property
    def _is_driven(self) -> bool:
        """Whether there is a field in cells, or may be."""
        if isinstance(self.field, Flow):
            potential = self.field.fields["potential"].values
            return bool(potential.any() or self.problem.perpendicular_field)
        return self.field is not None

    def of_charge(self, omega: np.ndarray, charge: OfCharge) -> None:
        """Those of the equation of charge alone."""
        names = self.device.regions
        self.coefficients |= {f"conductivity.{name}": np.zeros(()) for name in names}
        if not (omega.any() or self._is_driven):
            return
        for batch, points, weights in self._batches(omega.shape[2]):
            self._in_charge(batch, points, weights, omega[batch], charge)

    def _batches(self, n: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Cells of one kind, and a quadrature for n fields there."""
        # In straight cells all of it is polynomial.
        least = 2 * self.problem.order + self.cells.degree - 1
        for kind in (True, False):
            exact = kind and not callable(self.field)
            points, weights = self.cells.quadrature(least if exact else self.problem.degree)
            size = 10 * len(points) * n * self.device.dimension
            chosen = np.flatnonzero(self.cells.affine == kind)
            for start in range(0, len(chosen), step := max(1, _BATCH // size)):
                yield chosen[start : start + step], points, weights

    def _in_cells(
        self,
        batch: np.ndarray,
        points: np.ndarray,
        weights: np.ndarray,
        omega: np.ndarray,
        adjoint: np.ndarray,
    ) -> None:
        problem, d, n = self.problem, self.device.dimension, omega.shape[2]
        region = self.device.cell_region[batch]
        inverses, determinant = inverse(self.cells.jacobians(batch, points))
        weight = determinant * weights * self.device.extent**d
        values, table = problem.space.values(points), slopes(problem.space.space, points)
        u, v = values @ omega, values @ adjoint
        du, dv = (self._slopes(table, inverses, nodal) for nodal in (omega, adjoint))
        E, rise = self._electric(batch, points, inverses)
        shape = (*weight.shape, d, n)
        du_, dv_ = (slope.reshape(*weight.shape, d * n) for slope in (du, dv))
        D = problem.operator.diffusion.reshape(-1, d * n, d * n)[region]
        theta = problem.hall.reshape(-1, d * n, 3)[region]
        flux = E @ theta.swapaxes(1, 2) - du_ @ D.swapaxes(1, 2)
        pushed, pulled = (dv_ @ D).reshape(shape), dv_ @ theta
        density = (dv_ * flux).sum(axis=2) - ((v @ problem.operator.reaction[region]) * u).sum(2)
        S = density[..., None, None] * np.eye(d)
        S += du @ pushed.swapaxes(2, 3) - dv @ flux.reshape(shape).swapaxes(2, 3)
        if rise is not None:
            S += rise[..., :, None] * pulled[..., None, :d]
            self._pull(batch, points, inverses, pulled[..., :d] * weight[..., None])
        self.nodes.add(batch, from_cells(self.cells, batch, points, S * weight[..., None, None]))
        for index in np.unique(region):
            w = weight[region == index].ravel()[:, None]
            tested = [x[region == index].reshape(len(w), -1).T for x in (dv_, v)]
            du_r, u_r, E_r = (x[region == index].reshape(len(w), -1) * w for x in (du_, u, E))
            self._in_region(index, tested[0] @ du_r, tested[1] @ u_r, tested[0] @ E_r)
            if "perpendicular_field" in self.coefficients:
                along = problem.hall[index, ..., 2].ravel()
                self.coefficients["perpendicular_field"] += along @ (tested[0] @ w)[:, 0]

    def _in_charge(
        self,
        batch: np.ndarray,
        points: np.ndarray,
        weights: np.ndarray,
        omega: np.ndarray,
        charge: OfCharge,
    ) -> None:
        """What the equation of charge adds."""
        problem, d, n = self.problem, self.device.dimension, omega.shape[2]
        region = self.device.cell_region[batch]
        inverses, determinant = inverse(self.cells.jacobians(batch, points))
        weight = determinant * weights * self.device.extent**d
        table = slopes(problem.space.space, points)
        du = self._slopes(table, inverses, omega)
        dpsi = self._slopes(table, inverses, charge.adjoint[batch][..., None])[..., 0]
        _, rise = self._electric(batch, points, inverses)
        assert rise is not None
        theta = problem.hall.reshape(-1, d * n, 3)[region][..., :d]
        sigma = charge.conductivity[region][:, None, None]
        driven = du.reshape(*weight.shape, d * n) @ theta - sigma * rise
        pushed = (dpsi @ theta.swapaxes(1, 2)).reshape(*weight.shape, d, n)
        S = (driven * dpsi).sum(axis=2)[..., None, None] * np.eye(d)
        S -= dpsi[..., :, None] * driven[..., None, :]
        S += rise[..., :, None] * (sigma * dpsi)[..., None, :] - du @ pushed.swapaxes(2, 3)
        self.nodes.add(batch, from_cells(self.cells, batch, points, S * weight[..., None, None]))
        lost = -((dpsi * rise).sum(axis=2) * weight).sum(axis=1)
        for index in np.unique(region):
            own, name = region == index, self.device.regions[index]
            flat = (du * weight[..., None, None])[own].reshape(-1, d * n)
            both = flat.T @ dpsi[own].reshape(-1, d)
            self.coefficients[f"hall.{name}"][:d, :, :d] += both.reshape(d, n, d)
            self.coefficients[f"conductivity.{name}"] += lost[own].sum()

    def _slopes(self, table: np.ndarray, inverses: np.ndarray, nodal: np.ndarray) -> np.ndarray:
        """d_i of values at the nodes of cells, (c, q, i, k), in SI."""
        reference = np.stack([part @ nodal for part in table], axis=2)
        return np.asarray(inverses.swapaxes(2, 3) @ reference) / self.device.extent

    def _electric(
        self, batch: np.ndarray, points: np.ndarray, inverses: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The field that drives, (c, q, 3), and grad phi of a flow, (c, q, d)."""
        E = np.zeros((*inverses.shape[:2], 3))
        field, rise = self.field, None
        if isinstance(field, Flow):
            potential = field.fields["potential"]
            table = slopes(potential.data.function_space, points)
            rise = self._slopes(table, inverses, potential.values[batch])[..., 0]
            E[..., 2] = self.problem.perpendicular_field
            E[..., : rise.shape[2]] = -rise
        elif callable(field):
            E[:] = field(self.cells.positions(batch, points) * self.device.extent)
        elif field is not None:
            E[:] = np.asarray(field, dtype=float)
        return E, rise

    def _pull(
        self, batch: np.ndarray, points: np.ndarray, inverses: np.ndarray, pulled: np.ndarray
    ) -> None:
        """The derivative - (d_i lambda_a Theta^{ia}_k, d_k psi) in the potential."""
        assert isinstance(self.field, Flow)
        assert self.potential is not None
        table = slopes(self.field.fields["potential"].data.function_space, points)
        along = (inverses @ pulled[..., None])[..., 0] / self.device.extent
        parts = (along[..., a] @ part for a, part in enumerate(table))
        self.potential[batch] -= sum(parts)

    def _in_region(self, index: int, M: np.ndarray, N: np.ndarray, H: np.ndarray) -> None:
        """From the integrals of d_i lambda_a d_k omega_b, lambda_a omega_b, d_i lambda_a E_k."""
        name, n = self.device.regions[index], len(N)
        d, chi = self.device.dimension, self.problem.chi[index]
        transport, out = self.problem.materials[name], self.coefficients
        M = M.reshape(d, n, d, n)
        out[f"diffusivity.{name}"][:d, :, :d] -= M @ chi.T
        out[f"relaxation.{name}"] -= N @ chi.T
        out[f"hall.{name}"][:d] += H.reshape(d, n, 3)
        for k in range(d):
            own = transport.diffusivity[:d, :, k].reshape(d * n, n)
            out[f"susceptibility.{name}"] -= own.T @ M[:, :, k].reshape(d * n, n)
        out[f"susceptibility.{name}"] -= transport.relaxation.T @ N

    def _at(self, facets: tuple[np.ndarray, np.ndarray]) -> tuple[FacetGeometry, np.ndarray]:
        """Geometry of facets, and basis functions at their points, (f, q, nodes)."""
        rule = self.cells.facet_quadrature(self.problem.degree)
        geometry = facet_geometry(self.cells, *facets, *rule)
        return geometry, geometry.table(lambda points, _: self.problem.space.values(points))

    def _stretch(self, geometry: FacetGeometry, density: np.ndarray) -> None:
        """An integral over facets of a density times weights, (f, q), when they move."""
        S = density[..., None, None] * geometry.tangential
        self.nodes.add(geometry.cell, from_facets(self.cells, geometry, S))

    def _on_boundary(
        self, name: str, omega: np.ndarray, adjoint: np.ndarray, less: np.ndarray
    ) -> None:
        problem, n = self.problem, len(less)
        facets: Facets = self.device.facets_on(name)
        if not len(facets.cell):
            return
        geometry, table = self._at((facets.cell, facets.local))
        weight = geometry.weight * self.device.extent ** (self.device.dimension - 1)
        u, mu = table @ omega[facets.cell], table @ adjoint[facets.cell] - less
        region = self.device.cell_region[facets.cell]
        X = u @ problem.chi[region].swapaxes(1, 2)
        V, surface = problem.velocity.get(name, np.zeros((n, n))), problem.surfaces.get(name)
        j = np.zeros(n)
        if surface is not None and surface.injected is not None:
            j = evaluated(surface.injected, geometry.position * self.device.extent, n)
        self._stretch(geometry, (mu * (j - X @ V.T)).sum(axis=2) * weight)
        mu = mu * weight[..., None]
        self.coefficients[f"velocity.{name}"] -= np.tensordot(mu, X, ((0, 1), (0, 1)))
        if f"current.{name}" in self.coefficients:
            self.coefficients[f"current.{name}"] += mu.sum(axis=(0, 1))
        for index in np.unique(region):
            own = region == index
            both = np.tensordot(mu[own] @ V, u[own], ((0, 1), (0, 1)))
            self.coefficients[f"susceptibility.{self.device.regions[index]}"] -= both

    def _on_interface(self, pair: tuple[int, int], omega: np.ndarray, adjoint: np.ndarray) -> None:
        g, names = self.problem.conductance[pair], [self.device.regions[i] for i in pair]
        other = [of_region(self.device, self.problem.space, x, pair[1]) for x in (omega, adjoint)]
        cell, local = facets_between(self.device, pair)
        if not len(cell):
            return
        geometry, table = self._at((cell, local))
        weight = geometry.weight * self.device.extent ** (self.device.dimension - 1)
        u, v = (
            table @ (own[cell] - beyond[cell])
            for own, beyond in zip((omega, adjoint), other, strict=True)
        )
        self._stretch(geometry, -(v * (u @ g.T)).sum(axis=2) * weight)
        found = np.tensordot(v * weight[..., None], u, ((0, 1), (0, 1)))
        self.coefficients["conductance." + "|".join(names)] -= found
