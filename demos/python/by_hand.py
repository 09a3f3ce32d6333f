# # Spins by hand: coefficients, walls and what flows back
#
# The tables `[angular_momentum.…]` of a case file know the usual coefficients. In Python they are
# arrays, blocks of tensors that you may turn, add and fill yourself: here a metal whose spin turns
# into orbital angular momentum and back, and in which a magnetic field makes both precess.

# +
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import meso
from meso.angular_momentum import (
    LEVI_CIVITA,
    ONE,
    RESERVOIR,
    Diffusion,
    Surface,
    conversion,
    decay_lengths,
    diffusion_block,
    hall_block,
    layer,
    material,
    one_way,
    powers,
    precession_block,
    rotated,
    rotation,
    shortest,
    two_way,
)
from meso.constants import HBAR

# -

# ## Coefficients
# A block of the diffusivity has the indices (i, a, k, b): the current along i of the component a
# that a gradient along k of the component b drives. Along a flat wall only two sums of them count.

# +
D, TAU, SIGMA = 1e-4, 1e-12, 2.4e6  # m^2/s, s, S/m
turned = rotated(hall_block(1e5), rotation([0, 0, 1], np.pi / 5))
assert np.allclose(turned, hall_block(1e5))  # an isotropic tensor does not care
assert np.allclose(hall_block(1.0) / hall_block(1.0)[0, 1, 2], LEVI_CIVITA)

rates = conversion(to_orbital=4e11, to_spin=1e11)  # 1/s; conserves the sum
components = ["spin_x", "spin_z", "orbital_x", "orbital_z"]
field = precession_block([0, 2e12, 0])  # about y: x and z turn into each other, rad/s
metal = material(
    components,
    diffusivity={("spin", "spin"): diffusion_block(D), ("orbital", "orbital"): diffusion_block(D)},
    relaxation={
        ("spin", "spin"): ONE / TAU + rates[0, 0] * ONE + field,
        ("orbital", "orbital"): 2 * ONE / TAU + rates[1, 1] * ONE + field,
        ("spin", "orbital"): rates[0, 1] * ONE,
        ("orbital", "spin"): rates[1, 0] * ONE,
    },
    hall={"orbital": hall_block(1e5)},
    susceptibility=dict.fromkeys(["spin", "orbital"], 2.7e-21),  # J s^2/m^3
    dimension=2,
)
lengths = decay_lengths(metal, np.array([0, 1, 0]))
print("decay lengths", np.round(lengths * 1e9, 2), "nm; complex: they oscillate")
# -

# ## A strip
# Cells at the walls resolve the shortest of these lengths. The wall below takes angular momentum
# up like a reservoir, the one above with a velocity.

# +
drawing = Path(tempfile.mkdtemp()) / "strip.geo"
drawing.write_text(
    """
    SetFactory("OpenCASCADE");
    Rectangle(1) = {0, 0, 0, 15, 60};
    Physical Surface("metal") = {1};
    Physical Curve("source") = {4};
    Physical Curve("drain") = {2};
    Physical Curve("bottom") = {1};
    Physical Curve("top") = {3};
    """
)
layers = dict.fromkeys(["bottom", "top"], layer(shortest([metal])))
device = meso.Device.from_gmsh(drawing, length_unit="nm", layers=layers, order=3)
problem = Diffusion(
    device,
    components=components,
    materials={"metal": metal},
    surfaces={"bottom": RESERVOIR, "top": Surface(velocity=100.0)},
)
E = 1e5  # V/m
found = problem.solve([E, 0.0, 0.0])
height = np.linspace(0, 60e-9, 121)
across = np.column_stack([np.full_like(height, 7e-9), height])
density = found.sample(across)
print(sorted(density))
print("what the wall above takes:", dict(zip(components, found.outflow["top"], strict=True)))
# -

# ## And back
# What diffuses makes a current in turn (the inverse effect, Onsager's partner): `one_way` adds it
# to a flow, `two_way` solves both together, and then the power of the contacts is what everything
# takes, to rounding.

# +
ohm = meso.Material(carriers="3d", conductivity=SIGMA)
flow = meso.flow.Ohmic(
    device,
    materials={"metal": ohm},
    boundaries={
        "source": meso.Contact(potential=E * 15e-9),
        "drain": meso.Contact(potential=0.0),
        "bottom": meso.Wall(specularity=1.0),
        "top": meso.Wall(specularity=1.0),
    },
    order=3,
).solve()
small = one_way(problem, problem.solve(flow), flow)
coupled, densities, response = two_way(problem, flow)
print(f"current {flow.contacts['source'].current:.6g} A/m")
print(f"  changes by {small.contacts['source'].current:.3g} A/m, both ways by ", end="")
print(f"{response.contacts['source'].current:.3g} A/m")
balance = powers(problem, densities, coupled)
print({name: f"{value:.6g}" for name, value in balance.items() if value})
taken = sum(value for name, value in balance.items() if name not in ("contacts", "injection"))
assert np.isclose(balance["contacts"], taken, rtol=1e-8)
# -

# ## Closed forms to lean on
# Where something is known in closed form, `meso.exact` has it: layers of metals, a round wire,
# ribbons, bends.

# +
two = meso.exact.Layers(
    thickness=(20e-9, 10e-9),
    conductivity=(SIGMA, 8e6),
    diffusion_length=(4e-9, 3e-9),
    field=E,
)
wire = meso.exact.RoundWire(radius=20e-9, diffusion_length=4e-9, slip_rate=1e8, drive=SIGMA * E)
print(f"a bilayer carries {two.current:.5g} A/m")
print(f"a wire carries {wire.conductance_ratio:.4f} of Drude's current")
# -

# +
figure = Figure(figsize=(8, 3.4), layout="constrained")
axes = figure.subplots(1, 2, sharex=True)
names = {"orbital": "orbital_diffusive_density_", "spin": "spin_density_"}
for ax, channel, symbol in zip(axes, ("orbital", "spin"), "LS", strict=True):
    for axis in "xz":
        values = density[names[channel] + axis] / HBAR * 1e-24
        ax.plot(height * 1e9, values, label=f"{symbol}$_{axis}$")
    ax.axhline(0, color="gray", lw=0.8)
    ax.set(xlabel="y (nm)", ylabel=f"{channel} density ($10^{{24}}$ $\\hbar$/m³)")
    ax.legend()
figure.savefig("by_hand.png", dpi=150)
# -

# The orbital Hall current carries L_z to the walls; collisions hand a part of it on to the spin,
# and the field turns both.
