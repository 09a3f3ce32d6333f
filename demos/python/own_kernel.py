# # Collisions and a field of your own: carriers that remember odd harmonics
#
# When electrons collide with each other in two dimensions, head-on collisions relax the even
# harmonics of their distribution quickly and the odd ones hardly at all. Between the ballistic and
# the viscous flow lies then a third, "tomographic" one. What collisions do is one rate for each
# angular harmonic, and these are yours to give; what is sampled, drawn and written of a flow is a
# table of expressions, to which you add your own.

# +
import tempfile
from pathlib import Path

import numpy as np
import ufl
from matplotlib.figure import Figure

import meso
from meso.equations.derived import Derived

# -

# ## A ribbon, one period of it
# An infinite ribbon is a short piece whose ends are a periodic pair; the voltage is that along the
# piece.

# +
WIDTH, PERIOD = 1e-6, 0.1e-6
drawing = Path(tempfile.mkdtemp()) / "period.geo"
drawing.write_text(
    """
    SetFactory("OpenCASCADE");
    Rectangle(1) = {0, -0.5, 0, 0.1, 1.0};
    Physical Surface("metal") = {1};
    Physical Curve("left") = {4};
    Physical Curve("right") = {2};
    Physical Curve("walls") = {1, 3};
    Periodic Curve {2} = {4} Translate {0.1, 0, 0};
    """
)
layers = {"walls": meso.Layer(decay=0.1e-6)}
device = meso.Device.from_gmsh(drawing, length_unit="um", layers=layers, size="0.1 um", order=3)
boundaries = {
    "left": meso.Periodic(to="right", voltage=1e-3),
    "walls": meso.Wall(specularity=0.0),
}
# -

# ## The kernel
# Rates are relative to that of the momentum, γ₁ = v/λ. Isotropic scatterers have γ_m = γ₁ for all
# m. Here the momentum lives long (λ = 10 µm, ten widths), even harmonics decay within 0.1 µm, and
# the odd ones in between decide:

# +
MOMENTUM, EVEN = 10e-6, 0.1e-6
HARMONICS = 24


def metal(odd: float) -> meso.Material:
    """A Fermi line whose odd harmonics live for some length."""
    paths = {m: odd if m % 2 else EVEN for m in range(2, HARMONICS + 1)}
    return meso.Material(
        carriers="2d",
        conductivity=0.02,
        mean_free_path=MOMENTUM,
        scattering={f"gamma{m}": MOMENTUM / path for m, path in paths.items()},
    )


def flow(material: meso.Material, harmonics: int = HARMONICS) -> meso.flow.Flow:
    """The Boltzmann equation with this kernel."""
    model = meso.flow.Kinetic(
        device, materials={"metal": material}, boundaries=boundaries, harmonics=harmonics
    )
    return model.solve()


odd = {"as even ones": EVEN, "1 µm": 1e-6, "10 µm": 10e-6}
flows = {name: flow(metal(length)) for name, length in odd.items()}
y = np.linspace(-0.5, 0.5, 81) * WIDTH
points = np.column_stack([np.full_like(y, PERIOD / 2), y])
profiles = {name: each.sample(points)["current_density"][:, 0] for name, each in flows.items()}
for name, each in flows.items():
    print(f"odd harmonics {name}: I = {each.periodic['left'].current * 1e6:.3f} uA")
# -

# With a kernel for which there is an exact result, the solver has it: isotropic scattering.

# +
plain = meso.Material(carriers="2d", conductivity=0.02, mean_free_path=0.2e-6)
exact = meso.exact_kinetic.KineticRibbon(width=WIDTH, mean_free_path=0.2e-6)
found = flow(plain, 16).periodic["left"].current
drude = plain.conductivity * WIDTH * 1e-3 / PERIOD
print(f"isotropic: {found / drude:.5f} of Drude's current, exact {exact.conductance:.5f}")
assert np.isclose(found / drude, exact.conductance, rtol=2e-3)
# -

# ## A field of your own
# What the profile looks like, parabola or not, is a matter of its curvature. The shear rate is one
# derivative of it; as a row of the table of derived fields it is sampled like any other, drawn,
# and written for ParaView.


# +
def shear(of):
    """|∇J + ∇Jᵀ|/√2, from the symbols of a flow."""
    strain = ufl.grad(of.J) + ufl.grad(of.J).T
    return ufl.sqrt(ufl.inner(strain, strain) / 2)


own = {
    "shear": Derived(
        label="shear rate of J", unit="A_per_m3", sheet_unit="A_per_m2", expression=shear
    )
}
case = meso.Case.from_dict(
    {
        "geometry": {"file": str(drawing), "length_unit": "um"},
        "mesh": {"size": "0.1 um"},
        "materials": {
            "metal": {
                "carriers": "2d",
                "conductivity": "20 mS",
                "mean_free_path": "10 um",
                "electron_electron_mean_free_path": "0.1 um",
            }
        },
        "regions": {"metal": "metal"},
        "boundaries": {
            "left": {"periodic": {"to": "right", "voltage": "1 mV"}},
            "walls": {"wall": {"specularity": 0.0}},
        },
        "flow": {"model": "hydrodynamic", "order": 3},
    },
    drawing.parent,
)
result = meso.run(case, derived=own)
viscous = result.sample(points)
print(f"largest shear rate {viscous['shear'].max():.3g} A/m^2, at the walls")
# -

# +
figure = Figure(figsize=(8, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
for name, profile in profiles.items():
    left.plot(y * 1e6, profile / profile.mean(), label=f"odd: {name}")
left.set(xlabel="y (µm)", ylabel="J over its mean", ylim=(0, None))
left.legend()
right.plot(y * 1e6, viscous["shear"] * 1e-6, color="tab:red")
right.set(xlabel="y (µm)", ylabel="shear rate, hydrodynamic (A/m per µm)")
figure.savefig("own_kernel.png", dpi=150)
# -
