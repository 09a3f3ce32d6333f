# # From a drawing to a figure: a bend, all of it in Python
#
# A viscous current that goes round a bend has vorticity at its walls even where these are smooth,
# and more where they are rough. Here is everything that a case file would do, call by call: a
# drawing made with Gmsh's own Python interface, a device, a flow, fields and walls as arrays, a
# comparison with the closed form, a figure.

# +
import tempfile
from pathlib import Path

import gmsh
import numpy as np
import ufl
from matplotlib.figure import Figure

import meso
from meso.constants import ELEMENTARY_CHARGE, HBAR

# -

# ## The drawing
# A quarter of a ring. What matters are the *names*: a physical surface for the conductor, physical
# curves for all of its boundary. Gmsh works in any unit; here 1 is a nanometre.

# +
INNER, OUTER = 100.0, 200.0


def draw(folder: Path) -> None:
    """A quarter of a ring between radial contacts: bend.brep, and bend.msh with names."""
    gmsh.initialize(interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    occ = gmsh.model.occ
    outer, inner = (occ.addDisk(0, 0, 0, radius, radius) for radius in (OUTER, INNER))
    ring, _ = occ.cut([(2, outer)], [(2, inner)])
    quarter, _ = occ.intersect(ring, [(2, occ.addRectangle(0, 0, 0, OUTER, OUTER))])
    occ.synchronize()
    gmsh.write(str(folder / "bend.brep"))
    gmsh.model.addPhysicalGroup(2, [tag for _, tag in quarter], name="metal")
    for _, curve in gmsh.model.getBoundary(quarter, oriented=False):
        x, y, _ = occ.getCenterOfMass(1, curve)
        wall = "inner" if np.hypot(x, y) < INNER else "outer"
        name = "source" if x < 1e-6 else "drain" if y < 1e-6 else wall
        gmsh.model.addPhysicalGroup(1, [curve], name=name)
    gmsh.option.setNumber("Mesh.MeshSizeMax", 10)
    gmsh.model.mesh.generate(2)
    gmsh.model.mesh.setOrder(2)
    gmsh.write(str(folder / "bend.msh"))
    gmsh.finalize()


folder = Path(tempfile.mkdtemp())
draw(folder)
device = meso.Device.from_gmsh(folder / "bend.msh", length_unit="nm")
print(device.boundaries, device.cells, "cells")
# -

# A mesh comes as it is. A drawing or CAD file is meshed by `meso`, with cells that resolve what
# happens at walls. What such a file does not name, the caller does, by where it is:

# +
try:
    meso.Device.from_gmsh(folder / "bend.brep", length_unit="nm")
except meso.GeometryError as error:
    print(str(error).splitlines()[0])

groups = meso.Groups(
    regions={"metal": meso.Selector(rest=True)},
    boundaries={
        "source": meso.Selector(near=(0.0, 150e-9)),
        "drain": meso.Selector(near=(150e-9, 0.0)),
        "inner": meso.Selector(near=(70e-9, 70e-9)),
        "outer": meso.Selector(rest=True),
    },
)
layers = dict.fromkeys(["inner", "outer"], meso.Layer(decay=20e-9))
device = meso.Device.from_gmsh(folder / "bend.brep", length_unit="nm", groups=groups, layers=layers)
print(device.boundaries, device.cells, "cells")
# -

# ## The flow
# A two-dimensional electron gas with a mean free path of 40 nm and walls that scatter a part of
# the carriers specularly. Numbers are SI, or text with a unit.

# +
metal = meso.Material(
    carriers="2d",
    conductivity=0.02,
    mean_free_path=meso.quantity("40 nm", "m"),
    fermi_energy=ELEMENTARY_CHARGE,
    spin_coupling=1e-33,  # J s/A, as an example: of the spin to the same vorticity
)
materials = dict.fromkeys(device.regions, metal)
boundaries = {
    "source": meso.Contact(potential=1e-3),
    "drain": meso.Contact(potential=0.0),
    "inner": meso.Wall(specularity=0.5),
    "outer": meso.Wall(specularity=0.5),
}
viscous = meso.flow.Hydrodynamic(device, materials=materials, boundaries=boundaries).solve()
ohmic = meso.flow.Ohmic(device, materials=materials, boundaries=boundaries).solve()
for flow in (ohmic, viscous):
    print(f"{flow.model}: {flow.contacts['source'].current * 1e6:.4f} uA")
# -

# The closed form of the bend knows both. `drive` is σV over the angle; l and s follow from the
# material.

# +
slip = metal.slip_rate(0.5)
exact = meso.exact.Bend(
    inner=INNER * 1e-9,
    outer=OUTER * 1e-9,
    diffusion_length=metal.vorticity_diffusion_length,
    inner_slip=slip,
    outer_slip=slip,
    drive=metal.conductivity * 1e-3 / (np.pi / 2),
)
print(f"closed form: {exact.current * 1e6:.4f} uA")
assert np.isclose(viscous.contacts["source"].current, exact.current, rtol=1e-5)
# -

# (Between contacts on its two circles, the same ring has radial flow without any vorticity, Ohm's
# law and a term that only the contacts feel:)

# +
corbino = meso.exact.Corbino(
    inner=INNER * 1e-9, outer=OUTER * 1e-9, diffusion_length=metal.vorticity_diffusion_length
)
print(f"as a Corbino disc: {corbino.conductance * metal.conductivity:.4f} S")
# -

# ## Fields and walls
# The vorticity is projected once and becomes the orbital density L_z = κ ∇×J. Values at points,
# along walls, and what belongs to each wall:

# +
omega = meso.orbital.vorticity(viscous)
density = meso.orbital.orbital_density(viscous, omega)
radii = np.linspace(INNER, OUTER, 101) * 1e-9
diagonal = np.column_stack([radii, radii]) / np.sqrt(2)
current = viscous.sample(diagonal)["current_density"]  # A/m, shape (101, 2)
L_z = device.sample(density.function(), diagonal) / HBAR  # 1/m^2
S_z = device.sample(meso.orbital.spin_density(viscous, omega).function(), diagonal) / HBAR
assert np.allclose(S_z / L_z, metal.spin_coupling / metal.orbital_coupling)
along = viscous.profile("inner")  # columns: arc length, position, J_t, vorticity, ...
print(sorted(along))

print("kappa:", meso.orbital.couplings(viscous), "J s/A")
for edge in meso.orbital.edge_moments(viscous, density):
    print(f"{edge.wall}: {edge.moment / HBAR / edge.measure:.4g} hbar per metre")
# -

# Anything else is UFL. The power that the flow dissipates is the current times the voltage:

# +
J = viscous.current_density
strain = 2 * ufl.sym(ufl.grad(J))
stress = metal.vorticity_diffusion_length**2 / metal.conductivity
heat = device.integrate(ufl.inner(J, J) / metal.conductivity * device.dx(degree=8))
heat += device.integrate(stress / 2 * ufl.inner(strain, strain) * device.dx(degree=8))
friction = device.integrate(stress * slip * ufl.inner(J, J) * device.ds("inner", "outer"))
power = viscous.contacts["source"].current * 1e-3
print(f"power {power:.6g} W, dissipated {heat + friction:.6g} W")
# -

# ## The figure

# +
figure = Figure(figsize=(8, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
nm = 1e9
left.plot(radii * nm, exact.current_density(radii), color="black", label="closed form")
left.plot(radii[::5] * nm, np.hypot(*current.T)[::5], "o", label="hydrodynamic")
left.plot(
    radii * nm, np.hypot(*ohmic.sample(diagonal)["current_density"].T), "--", label="Ohm's law"
)
left.set(xlabel="r (nm)", ylabel="J (A/m)")
left.legend()
right.plot(radii * nm, L_z * 1e-12, color="tab:red")
right.axhline(0, color="gray", lw=0.8)
right.set(xlabel="r (nm)", ylabel=r"$L_z$ ($\hbar$/µm²)")
figure.savefig("bend.png", dpi=150)
# -

# Ohm's law crowds the current where the way is short; friction at the inner wall moves it
# outwards. Nearly all of the moment is the inner wall's.
