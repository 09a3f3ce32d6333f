"""[VR] eq. 5-10 and 14: the quantum kinetic equation, Kubo's formula with its ladder, the limit."""

from dataclasses import dataclass

import numpy as np
import pytest

from meso import CaseError, bands
from meso.bands import models

from .scales import QUANTUM, UNIT_MASS

X, Y, Z = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
RASHBA = models.ElectronGas(mass=UNIT_MASS, exchange=0.3, rashba=0.1)
TILTED = models.ElectronGas(
    mass=UNIT_MASS, exchange=0.3, rashba=0.3, dresselhaus=0.15, direction=(1, 2, 3)
)


@dataclass(frozen=True)
class OneSpin:
    """(k²/2)(P_R − P_T) + λ τ_y: the radial-tangential model of one spin, with a Hall effect."""

    coupling: float
    name = "radial-tangential, one spin"
    dimension, size, degeneracy, lattice = 2, 2, 1, None
    operators = {}  # noqa: RUF012

    def hamiltonian(self, k):
        x, y = k.T[:, :, None, None]
        return (x**2 - y**2) / 2 * Z + x * y * X + self.coupling * Y

    def gradient(self, k):
        x, y = k.T[:, :, None, None]
        return np.stack([x * Z + y * X, -y * Z + x * X], axis=1)

    def hessian(self, k):
        return np.broadcast_to(np.array([[Z, X], [X, -Z]]), (len(k), 2, 2, 2, 2))


@pytest.mark.parametrize(
    ("model", "rays"),
    [
        (RASHBA, 8),
        (TILTED, 16),
        (models.RadialTangential(mass=UNIT_MASS), 8),
        (OneSpin(0.3), 8),
    ],
    ids=["Rashba", "tilted", "radial-tangential", "one spin"],
)
def test_kinetic_equation_and_kubo_formula_are_equal(model, rays):
    """At a broadening of a seventh of the Fermi energy: nothing is expanded."""
    bands.check_model(model)
    disorder = bands.scatterers(model, energy=1.0, strength=0.3, kmesh=rays)
    kubo, kinetic = bands.kubo_ladder(disorder), bands.quantum_kinetic(disorder)
    # Densities between bands of the order of 10⁷ … 10⁸ 1/m² cancel to 10⁶ or to nothing.
    assert np.abs(kubo.interband - kinetic.interband).max() < 1e-2
    scale = max(np.abs(kubo.intraband).max(), 1e8)
    assert np.abs(kubo.intraband - kinetic.intraband).max() < 1e-11 * scale
    np.testing.assert_allclose(kinetic.vertex, kubo.vertex, atol=1e-12)
    scale = kubo.conductivity[0, 0]
    np.testing.assert_allclose(kinetic.conductivity, kubo.conductivity, atol=1e-11 * scale)


@pytest.mark.parametrize(("model", "energy", "rays"), [(RASHBA, 1.0, 8), (RASHBA, 0.0, 8)])
def test_limit_of_weak_disorder(model, energy, rays):
    """Kubo's interband density tends to eq. 1 and its principal values, linearly in u."""
    limit = bands.weak_limit(model, energy=energy, kmesh=rays)
    found = [
        bands.kubo_ladder(bands.scatterers(model, energy=energy, strength=u, kmesh=rays))
        for u in (0.08, 0.04, 0.02)
    ]
    scale = np.abs(limit.field).max()
    a, b, c = (f.interband for f in found)
    first, second = np.abs(b - limit.interband).max(), np.abs(c - limit.interband).max()
    assert first / second == pytest.approx(2, rel=0.05)
    assert np.abs((8 * c - 6 * b + a) / 3 - limit.interband).max() < 3e-5 * scale
    # Without the principal values it is not the limit.
    assert np.abs((8 * c - 6 * b + a) / 3 - limit.field - limit.disorder).max() > 1e-2 * scale
    # Eq. 9 and 10: the dressed vertex.
    a, b, c = (f.vertex for f in found)
    assert np.abs((8 * c - 6 * b + a) / 3 - limit.vertex).max() < 1e-4 * 0.1


def test_self_energy():
    """Eq. 8 with −iπ in place of the printed 2iπ: Σ/u → R − iπD, D = Σ_q∫δ(ε − ε_q) P_q."""
    lines = bands.fermi_lines(RASHBA, 1.0, 8)
    _, states = np.linalg.eigh(RASHBA.hamiltonian(lines.points))
    chosen = states[np.arange(len(states)), :, lines.bands]
    density = np.einsum("k,km,kn->mn", lines.weights, chosen, chosen.conj())
    found = [
        bands.scatterers(RASHBA, energy=1.0, strength=u, kmesh=8).self_energy / u
        for u in (0.02, 0.01)
    ]
    sharp = 2 * found[1] - found[0]
    spectral = (sharp - sharp.conj().T) / 2j
    np.testing.assert_allclose(spectral, -np.pi * density, atol=1e-4 * np.abs(density).max())
    assert abs(np.trace(sharp).real) < 1e-12


def test_rashba_vertex_without_exchange():
    """The dressed vertex of a Rashba gas has no spin-orbit velocity, nor a spin Hall effect."""
    model = models.ElectronGas(mass=UNIT_MASS, rashba=0.2)
    limit = bands.weak_limit(model, energy=1.0, kmesh=8)
    np.testing.assert_allclose(limit.vertex, 0.2 * np.array([-Y, X]), atol=1e-10)


@pytest.mark.parametrize("coupling", [0.1, 0.6])
def test_vertex_correction_of_the_radial_tangential_model(coupling):
    """Spin: λ(1 − λ²)/4π(1 + λ²), half of the intrinsic λ/2π at weak coupling. Orbital: none."""
    model = models.RadialTangential(mass=UNIT_MASS, spin_orbit=coupling)
    exact = coupling * (1 - coupling**2) / (4 * np.pi * (1 + coupling**2))
    found = bands.vertex_correction(model, "S", energy=1.0, kmesh=8)
    assert found.unit == "(hbar/e) S"
    assert found.value[0, 2, 1] / QUANTUM == pytest.approx(exact, rel=1e-12)
    assert found.value[1, 2, 0] / QUANTUM == pytest.approx(-exact, rel=1e-12)
    found = bands.vertex_correction(model, "L", energy=1.0, kmesh=8)
    assert np.abs(found.value).max() < 1e-12 * QUANTUM


def test_hall_conductivity_of_the_ladder():
    """Intrinsic, the interband vertex correction, and once more as much within bands: λ/π(1 + λ²).

    The last part is the one that Valet and Raimondi leave for later.
    """
    coupling = 0.3
    found = []
    for u in (0.2, 0.1, 0.05):
        disorder = bands.scatterers(OneSpin(coupling), energy=1.0, strength=u, kmesh=8)
        found.append(bands.kubo_ladder(disorder).conductivity[0, 1] / QUANTUM)
    limit = (8 * found[2] - 6 * found[1] + found[0]) / 3
    assert limit == pytest.approx(coupling / (np.pi * (1 + coupling**2)), rel=1e-4)


def fourteen(model: models.ElectronGas, energy: float, rays: int, printed: bool) -> np.ndarray:
    """Eq. 14 integrated over p, for a unit force along x and y: c of ρ = c·σ as (2, 3)."""
    free = models.ElectronGas(mass=UNIT_MASS, exchange=model.exchange)
    line = bands.fermi_lines(free, energy, rays)
    sign = np.where(line.bands == 1, 1, -1)
    m = np.asarray(model.direction) / np.linalg.norm(model.direction)
    a, d = model.rashba, model.dresselhaus
    x, y = line.points.T
    field = np.stack([d * x - a * y, a * x - d * y, 0 * x], axis=1) / model.exchange
    across = field - np.outer(field @ m, m)
    # f = δ(ε − E_F) v/(2πu D), with D of one spin; u drops out.
    f = line.points.T / (2 * np.pi * line.weights[sign == 1].sum())
    pair = np.outer(line.weights, line.weights)  # FS of σ, FS of σ′ with its energy
    factor = np.ones_like(sign) if printed else sign
    prefactor = np.pi / (2 if printed else 4) / model.exchange
    change = np.einsum("pq,q,ipq,pqa->ia", pair, factor, *(_differences(f, across)), optimize=True)
    return prefactor * np.cross(m, change)


def _differences(f, across):
    return f[:, None, :] - f[:, :, None], across[None] - across[:, None]


@pytest.mark.parametrize("direction", [(0, 0, 1), (1, 2, 3)])
def test_disorder_part_of_the_electron_gas(direction):
    """Eq. 14 with σ′ and half its prefactor is the first order of eq. 1, and as printed is not."""
    errors = []
    for strength in (0.02, 0.01):
        model = models.ElectronGas(
            mass=UNIT_MASS,
            exchange=0.3,
            rashba=strength,
            dresselhaus=strength / 2,
            direction=direction,
        )
        limit = bands.weak_limit(model, energy=1.0, kmesh=16)
        spin = np.einsum("amn,inm->ia", [X, Y, Z], limit.disorder).real / 2
        scale = -1e10 * np.abs(spin / 1e10).max()  # the charge is negative
        exact, printed = (-1e10 * fourteen(model, 1.0, 16, p) for p in (False, True))
        errors.append(np.abs(spin - exact).max() / abs(scale))
        assert np.abs(spin - printed).max() > 0.5 * abs(scale)
    assert errors[1] < 1e-2
    assert errors[0] / errors[1] > 1.8


def test_no_vertex_part_of_orbital_density():
    """[V] eq. 6 in the radial-tangential model: zero for every distribution on the Fermi line."""
    model = models.RadialTangential(mass=UNIT_MASS)
    line = bands.fermi_lines(model, 1.0, 32)
    energies, states = np.linalg.eigh(model.hamiltonian(line.points))
    projectors = np.einsum("kmn,kpn->knmp", states, states.conj())  # tangential, radial
    f = np.random.default_rng(3).normal(size=32)
    radial, tangential = projectors[:, 1], projectors[:, 0]
    density = np.tensordot(line.weights, radial, axes=1)
    arriving = np.tensordot(line.weights * f, radial, axes=1)
    # Third term of eq. 1 with n = R, m = T: only R has states at the Fermi energy.
    gap = (energies[:, 1] - energies[:, 0])[:, None, None]
    half = -1j * np.pi / gap * (radial @ (arriving - f[:, None, None] * density) @ tangential)
    local = np.einsum("kmn,nm->k", half + half.conj().swapaxes(1, 2), Y).real
    assert np.abs(local).max() > 1e-3
    assert abs(line.weights @ local) < 1e-12


def test_bad_arguments():
    with pytest.raises(CaseError, match="strength: found 0; must be positive"):
        bands.scatterers(RASHBA, energy=1.0, strength=0)
    with pytest.raises(CaseError, match="no Fermi line of electron gas at -1 eV"):
        bands.scatterers(RASHBA, energy=-1.0, strength=0.1)
    with pytest.raises(CaseError, match="this needs a model of the plane"):
        bands.weak_limit(models.GappedLattice(), energy=2.0)
    with pytest.raises(CaseError, match='has no operator "L"'):
        bands.vertex_correction(RASHBA, "L", energy=1.0)
