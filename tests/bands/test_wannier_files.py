"""Files as Wannier90 writes them from a model that is known: its bands, spins and responses."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import meso
from meso import CaseError, bands
from meso.bands import check_model, models
from meso.cli import main

ROOT = Path(__file__).parents[2]
DEMO = runpy.run_path(str(ROOT / "demos/bands_wannier90/write_files.py"))
SHIFT = np.array([2 * np.pi / 3, 0, 0])  # folds the zone of the bcc lattice into the cubic one
K = np.random.default_rng(0).normal(size=(9, 3))


def files(folder, toy, *, alternating=False, name="toy", spinors=False, n=2):
    lattice, cells, hoppings = DEMO["two_atoms"](toy)
    spins = toy.size // 3
    centres = DEMO["positions"](lattice, spins)
    if alternating:
        order = np.arange(12).reshape(2, 6).T.ravel()
        (hoppings,), centres = DEMO["turn"](order, hoppings), centres[order]
    DEMO["Files"](lattice, cells, hoppings, centres, n).write(folder, name, spinors)
    return folder / name


def levels(model, k=K):
    return np.linalg.eigvalsh(model.hamiltonian(k))


def folded(toy, k=K):
    both = np.concatenate([levels(toy, k), levels(toy, k + SHIFT)], axis=1)
    return np.sort(both, axis=1)


@pytest.mark.parametrize("end, digits", [("_tb.dat", 1e-7), ("_hr.dat", 1e-5)])
def test_bands_between_the_grid_points(tmp_path, end, digits):
    """Exact with the images of _wsvec.dat, at the grid points only without them."""
    toy = models.BccP(sigma=0.2123456789, pi=0.0512345678, spin_orbit=0.0)
    seed = files(tmp_path, toy)
    read = models.Wannier90(f"{seed}{end}")
    check_model(read)
    np.testing.assert_allclose(levels(read), folded(toy), atol=digits)
    np.testing.assert_allclose(read.centres[3:], 1.5 * np.ones((3, 3)))
    assert f"toy{end} and toy_wsvec.dat" in read.name
    (tmp_path / "toy_wsvec.dat").rename(tmp_path / "kept")
    bare = models.Wannier90(f"{seed}{end}")
    grid = np.array([[0.0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5]]) * 2 * np.pi / 3
    np.testing.assert_allclose(levels(bare, grid), folded(toy, grid), atol=digits)
    assert np.abs(levels(bare) - folded(toy)).max() > 0.05
    for head in ("use_ws_distance=.false.", "use_ws_distance=.true.  write_ndegen_applied=.true."):
        text = (tmp_path / "kept").read_text().replace("use_ws_distance=.true.", head)
        (tmp_path / "toy_wsvec.dat").write_text(text)
        same = models.Wannier90(f"{seed}{end}")
        np.testing.assert_allclose(levels(same), levels(bare), atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_every_grid_gives_the_same_model(tmp_path, n):
    toy = models.BccP(spin_orbit=0.0)
    read = models.Wannier90(files(tmp_path, toy, n=n))
    np.testing.assert_allclose(levels(read), folded(toy), atol=1e-7)


def test_spinors(tmp_path):
    """Up and down in turn or in blocks, L and S about each atom: the responses of the model."""
    toy = models.BccP(sigma=0.2123456789, spin_orbit=0.1)
    own = bands.diffusivity(toy, 0.5, 0.1, 8, error=False)
    for alternating in (True, False):
        seed = files(tmp_path, toy, alternating=alternating, spinors=True)
        spin = "alternating" if alternating else "up-down"
        read = models.Wannier90(seed, orbitals=DEMO["ORBITALS"], spin=spin, energy=0.5)
        assert read.degeneracy == 1
        found = bands.diffusivity(read, 0.0, 0.1, 8, symmetry="none", error=False)
        scale = np.abs(own.value).max()
        np.testing.assert_allclose(found.value, own.value, atol=1e-6 * scale)
    with pytest.raises(CaseError, match='spin: "none" but toy.win has spinors = true: "alternatin'):
        models.Wannier90(seed)


def test_two_spins_of_a_magnet(tmp_path):
    """Collinear: a file for each spin."""
    magnet = models.BccP(exchange=(0, 0, 0.2))
    for name, sign in (("Fe_up", 1), ("Fe_dn", -1)):
        toy = models.BccP()
        home = np.zeros((1, 3)), sign * 0.2 * np.eye(3)[None]
        split = replace(
            toy,
            vectors=np.concatenate([toy.vectors, home[0]]),
            hoppings=np.concatenate([toy.hoppings, home[1]]),
        )
        files(tmp_path, split, name=name)
    pair = [tmp_path / "Fe_up", tmp_path / "Fe_dn_hr.dat"]
    read = models.Wannier90(pair, orbitals=DEMO["ORBITALS"])
    np.testing.assert_allclose(levels(read), folded(magnet), atol=1e-7)
    assert read.degeneracy == 1 and read.name.startswith("Fe_up and Fe_dn (")
    zone = bands.uniform(read, 6, symmetry="none")
    points, weights = np.concatenate([zone.points, zone.points + SHIFT]), np.tile(zone.weights, 2)
    whole = bands.Mesh(points=points, weights=weights, label="both halves of the bcc zone")
    own = bands.diffusivity(magnet, 0.5, 0.1, whole)
    found = bands.diffusivity(read, 0.5, 0.1, zone)
    scale = np.abs(own.value).max()
    np.testing.assert_allclose(found.value, own.value, atol=1e-6 * scale)
    files(tmp_path, models.BccP(spin_orbit=0.1), name="wide")
    with pytest.raises(CaseError, match="seedname: 6 and 12 functions: both spins need the same"):
        models.Wannier90([pair[0], tmp_path / "wide"])
    with pytest.raises(CaseError, match="found 3; expected one, or two: spin up, down"):
        models.Wannier90([*pair, pair[0]])
    with pytest.raises(CaseError, match="of two files one is up and one is down"):
        models.Wannier90(pair, spin="alternating")


def test_levels_that_rounding_has_split(tmp_path):
    """A Kramers pair stays one: its curvature is that of the model without the last digit."""
    toy = models.BccP(sigma=0.2123456789, pi=0.0512345678, spin_orbit=0.1)
    read = models.Wannier90(
        files(tmp_path, toy, alternating=True, spinors=True),
        orbitals=DEMO["ORBITALS"],
        spin="alternating",
    )
    rng = np.random.default_rng(1)
    noise = rng.uniform(-5e-7, 5e-7, read.hoppings.shape)
    cells = np.rint(read.vectors @ np.linalg.inv(read.lattice)).astype(int).tolist()
    back = [cells.index([-x for x in cell]) for cell in cells]
    noise = (noise + noise[back].swapaxes(1, 2)) / 2
    split = replace(read, hoppings=read.hoppings + noise)
    how = {"energy": 0.5, "kmesh": 6, "symmetry": "none", "error": False}
    clean = bands.hall_conductivity(read, "L", **how).value
    noisy = bands.hall_conductivity(split, "L", **how).value
    np.testing.assert_allclose(noisy, clean, atol=1e-3 * np.abs(clean).max())
    blind = bands.hall_conductivity(replace(split, resolution=0.0), "L", **how).value
    assert np.abs(blind - clean).max() > np.abs(clean).max()


def test_files_that_do_not_belong_together(tmp_path):
    seed = files(tmp_path, models.BccP())
    images = tmp_path / "toy_wsvec.dat"
    text = images.read_text()
    images.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(CaseError, match=r"wsvec.dat: damaged, cut off or of another calculation"):
        models.Wannier90(seed)
    images.write_text(text.replace("\n   -1   -1   -1    1    1", "\n   -7   -1   -1    1    1"))
    with pytest.raises(CaseError, match="lattice vectors or functions that these hoppings do not"):
        models.Wannier90(seed)
    images.write_text("nothing\n")
    with pytest.raises(CaseError, match="not a Wannier90 file of images"):
        models.Wannier90(seed)
    images.unlink()
    tb = tmp_path / "toy_tb.dat"
    tb.write_text("\n".join(tb.read_text().splitlines()[:-1]))
    with pytest.raises(CaseError, match="toy_tb.dat: damaged or cut off"):
        models.Wannier90(seed)
    with pytest.raises(CaseError, match=r"seedname: found .* no file none_tb.dat or none_hr"):
        models.Wannier90(tmp_path / "none")


def test_from_a_seedname_to_a_device(tmp_path, monkeypatch, capsys):
    """The demo as its text has it, on few wave vectors and large cells."""
    for name in ("demos", "geometries"):
        (tmp_path / name).mkdir()
    for name in ("metal.toml", "device.toml"):
        folder = tmp_path / "demos/bands_wannier90"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text((ROOT / "demos/bands_wannier90" / name).read_text())
    (tmp_path / "geometries/ribbon.geo").write_text((ROOT / "geometries/ribbon.geo").read_text())
    monkeypatch.chdir(tmp_path)
    DEMO["main"](tmp_path / "results/wannier90")
    words = ["bands", "demos/bands_wannier90/metal.toml", "--set", "bands.kmesh=6"]
    assert main([*words, "--set", "model.resolution=2 meV"]) == 0
    assert "toy (Wannier90: toy_tb.dat and toy_wsvec.dat)" in capsys.readouterr().out
    tensors = json.loads((tmp_path / "results/wannier90/metal.json").read_text())
    toy = models.BccP(spin_orbit=0.1)
    own = bands.diffusivity(toy, 0.5, 0.1, 6, error=False).value
    np.testing.assert_allclose(
        tensors["diffusivity"]["value"], own, rtol=1e-7, atol=1e-7 * np.abs(own).max()
    )
    case = meso.Case.load(
        tmp_path / "demos/bands_wannier90/device.toml",
        ["mesh.size=40", "mesh.wall_size=20", "flow.order=2"],
    )
    result = meso.run(case)
    conductivity = case.materials["metal"].conductivity
    assert conductivity == pytest.approx(own[0, 0, 0, 0], rel=1e-7)
    ohm = conductivity * (60 / 240) * 1e-3  # per thickness, without walls: an upper bound
    assert 0.9 * ohm < result.contacts["source"].current < ohm
