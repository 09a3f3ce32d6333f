"""Wannier90 files: read, refused, and the same as the model they were written from."""

import time

import numpy as np
import pytest

from meso import CaseError, bands
from meso.bands import check_model, models

BCC = np.array([[-1.5, 1.5, 1.5], [1.5, -1.5, 1.5], [1.5, 1.5, -1.5]])


def write(folder, cells, hoppings, *, name="x", lattice=BCC, centres=None, unit="ang"):
    """Files as Wannier90 writes them, with multiplicities of two."""
    count, size = hoppings.shape[:2]
    lines = ["written by a test", f"{size:12d}", f"{count:12d}"]
    lines += ["    2" * min(15, count - s) for s in range(0, count, 15)]
    for cell, matrix in zip(cells, hoppings, strict=True):
        for n in range(size):
            for m in range(size):
                v = 2 * complex(matrix[m, n])
                head = "".join(f"{c:5d}" for c in (*cell, m + 1, n + 1))
                lines.append(f"{head}{v.real:12.6f}{v.imag:12.6f}")
    (folder / f"{name}_hr.dat").write_text("\n".join(lines) + "\n")
    rows = "\n".join(" ".join(f"{x:.10f}" for x in row) for row in lattice)
    (folder / f"{name}.win").write_text(
        f"num_wann = {size} ! a comment\nBegin Unit_Cell_Cart\n{unit}\n{rows}\nend unit_cell_cart\n"
    )
    if centres is not None:
        rows = "\n".join("X  " + " ".join(f"{x:.8f}" for x in r) for r in centres)
        (folder / f"{name}_centres.xyz").write_text(f"{len(centres)}\ncomment\n{rows}\nC 0 0 0\n")
    return folder / f"{name}_hr.dat"


def toy():
    """The p model as integers and hoppings, in the real basis without phases."""
    model = models.BccP(spin_orbit=0.0)
    cells = np.rint(model.vectors @ np.linalg.inv(model.lattice)).astype(int)
    home = np.zeros((1, 3), dtype=int)
    return np.concatenate([home, cells]), np.concatenate([np.zeros((1, 3, 3)), model.hoppings])


def test_a_model_survives_its_files(tmp_path):
    cells, hoppings = toy()
    path = write(tmp_path, cells, hoppings, centres=np.zeros((3, 3)))
    read = models.Wannier90(path, orbitals=["px", "py", "pz"], energy=0.1)
    check_model(read)
    assert (read.size, read.degeneracy) == (3, 2)
    own = bands.diffusivity(models.BccP(), 0.5, 0.1, 8)
    found = bands.diffusivity(read, 0.4, 0.1, 8)
    np.testing.assert_allclose(found.value, own.value, rtol=1e-6, atol=1)
    assert "Wannier90" in found.provenance["model"]


def test_lattice_in_bohr_and_spin(tmp_path):
    cells, hoppings = toy()
    both = np.array([np.kron(np.eye(2), h) for h in hoppings])
    path = write(tmp_path, cells, both, lattice=BCC / 0.529177210903, unit="bohr")
    read = models.Wannier90(path, orbitals=["x", "y", "z"], sites=[0, 0, 0], spin="up-down")
    np.testing.assert_allclose(read.lattice, BCC, rtol=1e-9)
    s, momentum = read.operators["S"], read.operators["L"]
    np.testing.assert_allclose(s[0] @ momentum[1], momentum[1] @ s[0])
    order = [0, 3, 1, 4, 2, 5]
    mixed = write(tmp_path, cells, both[:, order][:, :, order], name="y")
    other = models.Wannier90(mixed, orbitals=["x", "y", "z"], sites=[0, 0, 0], spin="alternating")
    np.testing.assert_allclose(other.operators["S"], s[:, order][:, :, order])
    np.testing.assert_allclose(other.operators["L"], momentum[:, order][:, :, order])


def test_positions_enter_the_velocity(tmp_path):
    # A chain of two sites: moving both by the same vector changes nothing, one does.
    cells = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0]])
    hop = np.array([[[0, 1.0], [1, 0]], [[0, 0], [0.5, 0]], [[0, 0.5], [0, 0]]])
    r = np.array([[0.0, 0, 0], [1.0, 0.2, 0]])
    read = [
        models.Wannier90(
            write(tmp_path, cells, hop, name=f"n{i}", lattice=3 * np.eye(3), centres=r + shift)
        )
        for i, shift in enumerate((0, [0.3, 0.1, 0.7], [[0, 0, 0], [0.4, 0, 0]]))
    ]
    k = np.random.default_rng(0).normal(size=(5, 3))
    for model in read:
        check_model(model)
    spectra = [np.linalg.eigvalsh(m.hamiltonian(k)) for m in read]
    np.testing.assert_allclose(spectra[0], spectra[2], atol=1e-12)
    gradients = [m.gradient(k) for m in read]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-12)
    assert np.abs(gradients[0] - gradients[2]).max() > 0.1


def test_reading_is_fast(tmp_path):
    """50 orbitals, 499 vectors: the target is 2 s of one core, a slow one may take 6."""
    grid = np.array(np.meshgrid(*[range(-4, 5)] * 3, indexing="ij")).reshape(3, -1).T
    cells = grid[(len(grid) - 499) // 2 : -((len(grid) - 499) // 2)]
    lines = ["fast", "50", f"{len(cells)}"]
    lines += ["1 " * min(15, len(cells) - s) for s in range(0, len(cells), 15)]
    block = [f"{m + 1:5d}{n + 1:5d}    0.000000    0.000000" for n in range(50) for m in range(50)]
    for c in cells:
        head = "".join(f"{x:5d}" for x in c)
        lines += [head + row for row in block]
    path = tmp_path / "fast_hr.dat"
    path.write_text("\n".join(lines) + "\n")
    start = time.process_time()
    read = models.Wannier90(path, lattice=3 * np.eye(3))
    assert time.process_time() - start < 6
    assert read.hoppings.shape == (len(cells), 50, 50)


def test_what_is_missing_is_asked_for(tmp_path):
    cells, hoppings = toy()
    path = write(tmp_path, cells, hoppings)
    with pytest.raises(CaseError, match="sites: unknown: give centres = NAME_centres.xyz, or"):
        models.Wannier90(path, orbitals=["px", "py", "pz"])
    with pytest.raises(CaseError, match=r"orbitals: found 2 for 3 states .* expected 3, one for"):
        models.Wannier90(path, orbitals=["px", "py"], sites=[0, 0])
    with pytest.raises(CaseError, match=r'orbitals: found "pw"; did you mean'):
        models.Wannier90(path, orbitals=["pw", "py", "pz"], sites=[0, 0, 0])
    with pytest.raises(CaseError, match="one character twice; is spin given"):
        models.Wannier90(path, orbitals=["px", "px", "pz"], sites=[0, 0, 0])
    with pytest.raises(CaseError, match="spin: found 'up-down', but 3 states"):
        models.Wannier90(path, spin="up-down")
    (tmp_path / "x.win").unlink()
    with pytest.raises(CaseError, match="lattice: x_hr.dat holds none: give win"):
        models.Wannier90(path)
    with pytest.raises(CaseError, match="No such file"):
        models.Wannier90(tmp_path / "y_hr.dat", lattice=BCC)


def test_damaged_files(tmp_path):
    cells, hoppings = toy()
    path = write(tmp_path, cells, hoppings)
    text = path.read_text()
    path.write_text("\n".join(text.splitlines()[:-2]))
    with pytest.raises(CaseError, match="damaged or cut off: found 553 numbers; 3 functions and 9"):
        models.Wannier90(path)
    path.write_text("nothing\n")
    with pytest.raises(CaseError, match="not a Wannier90 file of hoppings"):
        models.Wannier90(path)
    path.write_text(text)
    (tmp_path / "x.win").write_text("num_wann = 3\n")
    with pytest.raises(CaseError, match="no block unit_cell_cart, so no lattice"):
        models.Wannier90(path)
    hoppings[1, 0, 1] += 0.3
    with pytest.raises(CaseError, match="the Hamiltonian is not Hermitian"):
        models.Wannier90(write(tmp_path, cells, hoppings))


def test_sisl():
    sisl = pytest.importorskip("sisl")
    h = sisl.Hamiltonian(sisl.geom.graphene())
    h.construct([[0.1, 1.5], [0.2, -2.7]])
    model = models.from_sisl(h, orbitals=["pz", "pz"])
    check_model(model)
    f = np.array([[0.1, 0.2, 0.0], [0.3, -0.4, 0.2]])
    k = f @ (2 * np.pi * np.linalg.inv(model.lattice).T)
    expected = [np.linalg.eigvalsh(h.Hk(x, format="array")) for x in f]
    np.testing.assert_allclose(np.linalg.eigvalsh(model.hamiltonian(k)), expected, atol=1e-10)
    assert model.degeneracy == 2


def test_pythtb():
    pythtb = pytest.importorskip("pythtb")
    m = pythtb.tb_model(2, 2, [[1, 0], [0.5, 3**0.5 / 2]], [[1 / 3, 1 / 3], [2 / 3, 2 / 3]])
    m.set_onsite([0.3, -0.3])
    for amplitude, i, j, r in ((-1, 0, 1, [0, 0]), (-1, 1, 0, [1, 0]), (0.2j, 0, 0, [1, 0])):
        m.set_hop(amplitude, i, j, r)
    model = models.from_pythtb(m)
    check_model(model)
    f = np.array([0.13, 0.27])
    k = (f @ (2 * np.pi * np.linalg.inv(model.lattice).T))[None]
    raw = m.hamiltonian([f])[0] if hasattr(m, "hamiltonian") else m._gen_ham(f)
    np.testing.assert_allclose(model.hamiltonian(k)[0], raw, atol=1e-12)
