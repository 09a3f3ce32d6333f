# # A term of your own: a tip that slows the carriers
#
# A charged tip above a conductor pushes at the carriers below it. Scanned across a strip while the
# resistance is measured, it makes a map of where the current flows: where much flows, friction
# costs much. `meso` has no tip. It takes one more term of the weak form, written in UFL, and
# everything else stays: walls, contacts, solvers.

# +
import tempfile
from pathlib import Path

import dolfinx
import numpy as np
import ufl
from matplotlib.figure import Figure

import meso

# -

# ## The strip
# Walls without any specular reflection and frequent collisions among the carriers: the profile is
# nearly Poiseuille's parabola.

# +
WIDTH, LENGTH = 100e-9, 300e-9
drawing = Path(tempfile.mkdtemp()) / "strip.geo"
drawing.write_text(
    """
    SetFactory("OpenCASCADE");
    Rectangle(1) = {0, 0, 0, 300, 100};
    Physical Surface("metal") = {1};
    Physical Curve("source") = {4};
    Physical Curve("drain") = {2};
    Physical Curve("walls") = {1, 3};
    """
)
device = meso.Device.from_gmsh(drawing, length_unit="nm", size="15 nm")
metal = meso.Material(
    carriers="2d",
    conductivity=0.02,
    mean_free_path=400e-9,
    electron_electron_mean_free_path=20e-9,
)
boundaries = {
    "source": meso.Contact(potential=1e-3),
    "drain": meso.Contact(potential=0.0),
    "walls": meso.Wall(specularity=0.0),
}


def flow(*terms):
    """The flow with more terms than the usual ones."""
    model = meso.flow.Hydrodynamic(
        device, materials={"metal": metal}, boundaries=boundaries, terms=terms
    )
    return model.solve()


# -

# ## The term
# The balance of momentum is tested with w. Relaxation is the term ∫ J·w/σ; the tip adds
#
#     ∫ ρ exp(−|x − x₀|²/2a²) J·w
#
# A term is a function from the symbols of the model, `of`, to a form: `of.J` is the current
# density, `of.w` its test function, `of.x` the position in metres, `of.conductivity` and
# `of.diffusion_length` those of the material, `of.dx`, `of.ds` integrals over named regions and
# boundaries.

# +
WAIST = 12e-9
STRENGTH = 50 / metal.conductivity  # friction below the tip, fifty times that of the metal
#: Where the tip is: a constant of DOLFINx, so that the form is compiled once for all places.
place = dolfinx.fem.Constant(device.mesh, [LENGTH / 2, WIDTH / 2])


def bump(x):
    """The tip's profile at a position."""
    return ufl.exp(-((x[0] - place[0]) ** 2 + (x[1] - place[1]) ** 2) / (2 * WAIST**2))


def tip(of):
    """Friction below the tip."""
    return STRENGTH * bump(of.x) * ufl.dot(of.J, of.w) * of.dx


free = flow()
J = free.current_density
dissipated = STRENGTH * bump(ufl.SpatialCoordinate(device.mesh)) * ufl.inner(J, J)
heights = np.linspace(0.05, 0.95, 10) * WIDTH
scanned, first = [], []
for y in heights:
    place.value[1] = y
    scanned.append(flow(tip))
    power = device.integrate(dissipated * device.dx(degree=10))
    first.append(power / free.contacts["source"].current ** 2)
# -

# ## What it shows
# To first order a term that dissipates adds its power: ΔR = ∫ ρ J²/I² with the flow that is there
# without it. A strong tip makes the current go around it, and adds less.

# +
resistance = np.array([1e-3 / each.contacts["source"].current for each in (free, *scanned)])
added = resistance[1:] - resistance[0]

for y, by_tip, linear in zip(heights, added, first, strict=True):
    print(f"y = {y * 1e9:4.0f} nm: {by_tip:7.2f} ohm, to first order {linear:7.2f} ohm")
assert np.all(added > 0) and np.all(added < first)
# -

# +
across = np.column_stack([np.full(101, LENGTH / 2), np.linspace(0, WIDTH, 101)])
middle = scanned[len(scanned) // 2].sample(across)["current_density"][:, 0]
figure = Figure(figsize=(8, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(heights * 1e9, added, "o-", label="with the tip")
left.plot(heights * 1e9, first, "--", color="gray", label="first order, ∫ρJ²/I²")
left.set(xlabel="tip at y (nm)", ylabel="added resistance (Ω)", ylim=(0, None))
left.legend()
right.plot(across[:, 1] * 1e9, free.sample(across)["current_density"][:, 0], label="no tip")
right.plot(across[:, 1] * 1e9, middle, label=f"tip at {heights[len(scanned) // 2] * 1e9:.0f} nm")
right.set(xlabel="y (nm)", ylabel="J along the strip (A/m)", ylim=(0, None))
right.legend()
figure.savefig("own_term.png", dpi=150)
# -

# The map of a strong tip is flatter than J²: it is no picture of the current by itself, but a fit
# with this model would be. A term without J is a load, one on `of.ds("walls")` a law of walls; the
# [guide](../../docs/guide.md#from-python) has the symbols of the other models. In a case file's
# run the same function is `meso.run(case, terms=[tip])`.
