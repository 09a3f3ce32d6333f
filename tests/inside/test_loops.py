"""Loops in C against NumPy."""

import numpy as np
import pytest

from meso.discrete.loops import combine, eliminate, integrate, refer


def systems(definite: bool) -> tuple[np.ndarray, np.ndarray]:
    """Eleven systems, so that the last three do not fill a vector: 5 unknowns outside, 7 inside.

    Those inside are of the kind [[A, B^T], [B, 0]], or have nothing on their diagonal.
    """
    random = np.random.default_rng(1)
    roots = random.standard_normal((11, 12, 12))
    matrices = roots @ roots.swapaxes(1, 2) + np.eye(12)
    matrices[:, 9:, 9:] = 0.0
    if not definite:
        matrices[:, range(5, 12), range(5, 12)] = 0.0
    return matrices, random.standard_normal((11, 12, 2))


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("definite", [False, True])
def test_elimination(definite, loaded):
    """Schur complements and inner solutions, to rounding; by LAPACK where a pivot vanishes."""
    matrices, load = systems(definite)
    left, solved = eliminate(matrices, 5, load if loaded else None)
    right = np.concatenate([matrices[:, :, :5], load[..., : 2 * loaded]], axis=2)
    inner = np.linalg.solve(matrices[:, 5:, 5:], right[:, 5:])
    # Twelve unknowns, whose condition numbers are up to 1e3.
    np.testing.assert_allclose(solved, inner, rtol=0, atol=1e-11 * np.abs(inner).max())
    outer = right[:, :5] - matrices[:, :5, 5:] @ inner
    np.testing.assert_allclose(left, outer, rtol=0, atol=1e-11 * np.abs(outer).max())


def test_matrices_without_symmetry():
    """With pivoting, these are solved as well."""
    matrices = np.random.default_rng(2).standard_normal((3, 6, 6))
    left, solved = eliminate(matrices, 2, pivoting=True)
    inner = np.linalg.solve(matrices[:, 2:, 2:], matrices[:, 2:, :2])
    np.testing.assert_allclose(solved, inner, rtol=1e-12)
    np.testing.assert_allclose(left, matrices[:, :2, :2] - matrices[:, :2, 2:] @ inner, rtol=1e-10)


def test_no_cells():
    """A rank may have none."""
    left, solved = eliminate(np.zeros((0, 12, 12)), 5)
    assert left.shape == (0, 5, 5)
    assert solved.shape == (0, 7, 5)


@pytest.mark.parametrize("d", [2, 3])
def test_tensors_on_the_reference_cell(d):
    """Derivatives are turned, values stay; of eleven cells."""
    random = np.random.default_rng(3)
    tensors = random.standard_normal((11, 2, 1 + d, 2, 1 + d))
    inverses = random.standard_normal((11, d, d))
    K = np.zeros((11, 1 + d, 1 + d))
    K[:, 0, 0], K[:, 1:, 1:] = 1.0, inverses
    wanted = np.einsum("cij,cajbl,ckl->caibk", K, tensors, K)
    np.testing.assert_allclose(refer(tensors, inverses), wanted, rtol=0, atol=1e-13)


def test_combined_tables():
    """Sums of tables go to their places, and nowhere else; of eleven cells."""
    random = np.random.default_rng(4)
    factors, tables = random.standard_normal((11, 2, 3, 5)), random.standard_normal((5, 4, 2))
    out = np.full((11, 15, 15), 7.0)
    combine(factors, tables, out, 1, 6)
    wanted = np.einsum("cabp,pmn->cmanb", factors, tables).reshape(11, 8, 6)
    np.testing.assert_allclose(out[:, 1:9, 6:12], wanted, rtol=0, atol=1e-13)
    out[:, 1:9, 6:12] = 7.0
    assert (out == 7.0).all()
    combine(factors[:0], tables, out[:0], 1, 6)


@pytest.mark.parametrize(("d", "symmetric"), [(2, False), (2, True), (3, True)])
def test_products_at_points(d, symmetric):
    """Sums over points of products of functions and derivatives in x; of eleven cells."""
    random = np.random.default_rng(5)
    f, g = random.standard_normal((1 + d, 7, 5)), random.standard_normal((1 + d, 7, 6))
    T = random.standard_normal((11, 7, 2, 1 + d, 2, 1 + d))
    T[..., 0, :, 0] = 0.0  # terms that do not occur
    if symmetric:
        g, T = f, T + T.transpose(0, 1, 4, 5, 2, 3)
    terms, inverses = np.argwhere(T.any(axis=(0, 1))), random.standard_normal((11, 7, d, d))
    K = np.zeros((11, 7, 1 + d, 1 + d))
    K[..., 0, 0], K[..., 1:, 1:] = 1.0, inverses
    F, G = (np.einsum("cqki,kqm->cqim", K, each) for each in (f, g))
    wanted = np.einsum("cqaibj,cqim,cqjn->cmanb", T, F, G).reshape(11, 10, 2 * g.shape[2])
    out = np.zeros((11, 24, 24))
    factors = T[(slice(None), slice(None), *terms.T)]
    integrate(terms, factors, inverses, (f, g), (2, 2), out, (1, 6), symmetric=symmetric)
    out[:, 1:11, 6 : 6 + wanted.shape[2]] -= wanted
    assert np.abs(out).max() < 1e-12
