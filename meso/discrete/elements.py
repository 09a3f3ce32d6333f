"""Element families that Basix does not have by name."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import basix
import basix.ufl
import numpy as np

from meso import _compat


def enriched(degree: int, shape: tuple[int, ...] = (), *, broken: bool = False) -> Any:
    """P_k on the edges of a triangle, with bubbles of degree up to k + 1 inside.

    The continuous element of the conforming Crouzeix-Raviart family (M. Crouzeix, P.-A. Raviart,
    RAIRO 7, 33 (1973)): its bubbles meet every discontinuous P_{k-1} but the constant.
    If ``broken`` it is discontinuous. Nodes as of P_k on the edges, and as of P_{k+1} inside.
    """
    return _enriched(degree, shape, broken)


@lru_cache(maxsize=32)
def _enriched(degree: int, shape: tuple[int, ...], broken: bool) -> Any:
    if shape:
        whole = basix.ufl.blocked_element(_enriched(degree, (), broken), shape=shape)
        return _compat.with_cell(whole)
    triangle, legendre = basix.CellType.triangle, basix.PolynomialType.legendre
    points, weights = basix.make_quadrature(triangle, 2 * degree + 2)
    basis = basix.tabulate_polynomials(legendre, triangle, degree + 1, points)
    lowest = (degree + 1) * (degree + 2) // 2
    # Bubbles of degree k + 1 exactly: the product of the three heights with degree k - 2.
    inner = basix.tabulate_polynomials(legendre, triangle, degree - 2, points)[1 - degree :]
    heights = points[:, 0] * points[:, 1] * (1 - points.sum(axis=1))
    bubbles = (inner * heights * weights) @ basis.T
    span = np.linalg.qr(np.vstack([np.eye(len(basis))[:lowest], bubbles]).T)[0].T
    corners, (vertices, edges, *_) = basix.geometry(triangle), basix.topology(triangle)
    along = basix.create_lattice(
        basix.CellType.interval,
        degree,
        basix.LatticeType.gll,
        False,
        basix.LatticeSimplexMethod.warp,
    )
    inside = basix.create_lattice(
        triangle, degree + 1, basix.LatticeType.gll, False, basix.LatticeSimplexMethod.warp
    )
    nodes = [
        [corners[v] for v in vertices],
        [corners[a] + along * (corners[b] - corners[a]) for a, b in edges],
        [inside],
        [],
    ]
    if broken:
        none = [np.zeros((0, 2))] * 3
        nodes = [none, none, [np.concatenate([at for level in nodes for at in level])], []]
    values = [[np.eye(len(at))[:, None, :, None] for at in level] for level in nodes]
    element = _compat.custom_element(
        triangle,
        [],
        np.ascontiguousarray(span),
        nodes,
        values,
        0,
        basix.MapType.identity,
        basix.SobolevSpace.H1,
        broken,
        degree,
        degree + 1,
        basix.PolysetType.standard,
    )
    return _compat.with_cell(element)
