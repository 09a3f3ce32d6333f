# # A Hamiltonian of your own: from H(k) to a material
#
# Whatever gives H(k) as a matrix can be a model: a function, hopping matrices, the files of
# Wannier90, objects of pythtb and sisl. Here are two of them, and what a device needs to know of
# either: conductivity, mean free path, the rates of collisions, and κ, the coupling of the orbital
# density to the vorticity of the current.

# +
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

import meso
from meso import bands
from meso.bands import models
from meso.constants import HBAR
from meso.errors import known

# -

# ## A lattice, as a function
# Two orbitals on a square lattice, s and p₊, with a gap. `from_bloch` finds the hoppings by a
# Fourier transform and refuses what is not periodic; `check_model` looks whether everything fits,
# Hermitian and derivatives included.


# +
def hamiltonian(k: np.ndarray) -> np.ndarray:
    """H in eV at k, in fractions of the reciprocal lattice."""
    x, y = 2 * np.pi * np.asarray(k)
    mass = -1.0 + 2 - np.cos(x) - np.cos(y)
    mixing = np.sin(x) - 1j * np.sin(y)
    return np.array([[mass, mixing], [mixing.conjugate(), -mass]])


lattice = 3.0 * np.eye(2)  # Å
orbital = {"L": np.array([np.zeros((2, 2)), np.zeros((2, 2)), np.diag([0.0, 1.0])])}  # ħ
own = models.from_bloch("s and p", hamiltonian, lattice, operators=orbital)
bands.check_model(own)

shipped = models.GappedLattice()  # the same
assert isinstance(own, models.TightBinding) and isinstance(own, models.Model)
for model in (own, shipped):
    surface = bands.fermi_surface(model, energy=1.5, kmesh=96)
    print(
        model.name,
        f"v = {surface.velocity:.4g} m/s, {surface.density_of_states:.4g} states/(J m^2)",
    )
# -

# Shipped tables may be changed. A name that is not among them is best answered with the nearest
# that is:

# +
table = models.TABLES["V"]
assert isinstance(table, models.TwoCentreTable)
stretched = models.SlaterKosterBcc(replace(table, constant=1.01 * table.constant), spin_orbit=0.0)
bands.check_model(stretched)
print("found Vv;", known("Vv", models.TABLES))
# -

# ## A gas in the plane
# The model of T. Valet et al.: radial and tangential orbitals on a Fermi line. Point scatterers
# relax its second harmonic at half the rate of the first, and it couples to the vorticity:

# +
gas = models.RadialTangential()
ENERGY = 1.0  # eV
rates = bands.relaxation_rates(gas, ENERGY, harmonics=4)
print("rates of the harmonics", np.round(rates, 6))
kappa = bands.orbital_coupling(gas, energy=ENERGY)
value, rest = bands.curl_coefficient(kappa.value)
print(f"kappa = {value:.4g} J s/A, {rest:.1e} of the tensor is no curl")
# -

# Averages over all occupied states take a grid in the plane; densities that live between bands,
# such as those of an electric field, come with their parts:

# +
mesh = bands.plane(gas, ENERGY, rays=32, radial=16)
print(len(mesh.points), "points,", mesh.label)
between = bands.interband_density(gas, energy=ENERGY, current_gradient=[[0, 0], [1.0, 0]])
print("interband density", between.value.shape, "in", between.unit, "of", type(between).__name__)
# -

# ## A material
# All of it together, with what is missing and why. The normalisation says what a diffusivity
# refers to. Diffusion that would grow instead of decay is found before anything is solved:

# +
found = bands.coefficients(gas, energy=ENERGY, broadening=0.05)
for name, each in found.values.items():
    print(f"{name:20s} {np.round(np.asarray(each.value), 40)} {each.unit}")
print("scattering", dict(found.scattering), "- missing:", *found.missing)
print("diffusivities refer to", *(each.value for each in bands.Normalisation))
assert bands.validate(1e-4, 1e12) == ()
try:
    bands.validate(-1e-4, 1e12)
except meso.CaseError as error:
    print("refused:", error)

metal = meso.Material.from_bands(gas, energy=ENERGY, broadening=0.05, name="gas")
assert np.isclose(metal.orbital_coupling, value, rtol=1e-6)
print(f"lambda = {metal.mean_free_path * 1e9:.2f} nm, gamma2 = {metal.gamma2:.4f}")
# -

# `metal` goes into a flow like any other: [from a drawing to a figure](bend.py). `meso bands` does
# the same from a file; [wannier90](../bands_wannier90/README.md) is an example.

# +
figure = Figure(figsize=(8, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
path = np.concatenate([np.column_stack([t, 0 * t]) for t in [np.linspace(0, 0.5, 60)]])
path = np.concatenate([path, np.column_stack([0.5 + 0 * path[:, 0], path[:, 0]])])
path = np.concatenate([path, 0.5 - np.column_stack([path[:60, 0]] * 2)])
levels = np.array([np.linalg.eigvalsh(hamiltonian(k)) for k in path])
left.plot(levels, color="tab:blue")
left.set(ylabel="energy (eV)", xticks=[0, 60, 120, 179], xticklabels=["Γ", "X", "M", "Γ"])
energies = np.linspace(0.4, 2.0, 9)
curl = [bands.orbital_coupling(gas, energy=each).value for each in energies]
curl = np.array([bands.curl_coefficient(each)[0] for each in curl])
right.plot(energies, curl / HBAR, "o-")
right.set(xlabel="Fermi energy (eV)", ylabel="κ/ħ of the gas (1/A)")
figure.savefig("own_bands.png", dpi=150)
# -
