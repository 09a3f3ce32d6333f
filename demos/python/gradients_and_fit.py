# # Derivatives and a fit: which input decides, and which do the data know?
#
# Every number of a result has derivatives in every continuous input of its case, by adjoints: one
# solution with the factor that is there, not one run for each input. The same derivatives make
# fits quick, errors of inputs errors of results, and tell what a measurement cannot tell apart.

# +
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import meso
from meso.cli import main

# -

# ## A case
# A case file's tables may be written in Python. An input may have an uncertainty, `100(3)`: one
# standard deviation in the last digits.

# +
folder = Path(tempfile.mkdtemp())
(folder / "strip.geo").write_text(
    """
    SetFactory("OpenCASCADE");
    DefineConstant[ width = 100 ];
    Rectangle(1) = {0, 0, 0, 200, width};
    Physical Surface("metal") = {1};
    Physical Curve("source") = {4};
    Physical Curve("drain") = {2};
    Physical Curve("walls") = {1, 3};
    """
)
tables = {
    "geometry": {
        "file": "strip.geo",
        "length_unit": "nm",
        "thickness": "20 nm",
        "parameters": {"width": "100(3)"},
    },
    "materials": {
        "Ti": {
            "carriers": "3d",
            "conductivity": "2.4e6 S/m",
            "mean_free_path": "20(3) nm",
            "fermi_energy": "1 eV",
        }
    },
    "regions": {"metal": "Ti"},
    "boundaries": {
        "source": {"contact": {"potential": "1 mV"}},
        "drain": {"contact": {"potential": "0 V"}},
        "walls": {"wall": {"specularity": 0.2}},
    },
    "flow": {"model": "hydrodynamic", "order": 3},
    "mesh": {"size": "40 nm", "wall_size": "7 nm"},
}
case = meso.Case.from_dict(tables, folder)
for each in meso.gradients.inputs_of(case):
    print(each.key, each.value, each.unit, "+-", each.uncertainty)
# -

# What a case cannot have is refused with its key, and with what would be right. All errors of
# `meso` are a `MesoError`: what is wrong with a case or a drawing, or a solver that does not
# converge. The commands are there, too:

# +
try:
    meso.gradients.moved(case, {"boundaries.walls.wall.specularity": 1.5})
except meso.MesoError as error:
    print(type(error).__name__, error)

(folder / "case.toml").write_text(case.to_toml(folder))
assert main(["check", str(folder / "case.toml")]) == 0  # the exit code of `meso check`
# -

# ## Derivatives
# `gradients=True` keeps what adjoints need. `relative()` is by how many per cent a number changes
# if an input does by one.

# +
result = meso.run(case, gradients=True)
found = meso.gradients.gradient(result, ["conductance", "walls.1.orbital_moment"])
path = "materials.Ti.mean_free_path"
print("dG/dlambda =", found.of("conductance", path), "S/m, by", *found.methods)
# -

# The shape is an input, too: by how much a number changes where the walls move outwards. And the
# nodes of the mesh know how they move with a parameter of the drawing.

# +
shape = meso.gradients.shape_gradient(result, "conductance")
for piece, of_piece in zip(result.device.pieces, shape.pieces, strict=True):
    print(f"{piece.boundary} outwards by 1 nm: {of_piece * 1e-9 / shape.value:+.3%}")
speed = meso.gradients.velocities(case, result.device, ["width"])["width"]
print("fastest node:", np.abs(speed).max(), "m per nm of the width")
# -

# With the uncertainties of the inputs, first order and independent:

# +
sure = meso.gradients.with_uncertainties(result)
of_conductance = sure.summary()["uncertainties"]["conductance_S"]
print(of_conductance["standard_deviation_from_inputs"], "S of", of_conductance["value"], "S")
# -

# ## A fit
# Two strips and their conductances, as somebody measures them: here the model's own with λ = 30
# nm and 1 % of noise. A fit is a file and a table; in Python both may be written on the way.

# +
widths = [40, 120]
tables["materials"]["Ti"].pop("fermi_energy")  # a conductance needs no densities
(folder / "case.toml").write_text(meso.Case.from_dict(tables, folder).to_toml(folder))
rows = meso.sweep(folder / "case.toml", ["geometry.parameters.width=" + ",".join(map(str, widths))])
noise = 1 + 0.01 * np.random.default_rng(5).normal(size=len(widths))
measured = noise * [row["results"]["conductance_S"] for row in rows]
lines = ["geometry.parameters.width_nm,conductance_S"]
lines += [f"{width},{value:.6g}" for width, value in zip(widths, measured, strict=True)]
(folder / "strips.csv").write_text("\n".join(lines))
(folder / "fit.toml").write_text(
    f"""
    [data.strips]
    case = "case.toml"
    file = "strips.csv"
    uncertainty = "1 %"
    [parameters.path]
    key = "{path}"
    start = "30 nm"
    bounds = ["2 nm", "500 nm"]
    """
)
try:
    fit = meso.fit(folder / "fit.toml", figures=False)
except meso.ConvergenceError as error:
    raise SystemExit(f"no minimum: {error}") from None
path_length, error = fit.values["path"], fit.errors["path"]
print(f"lambda = {path_length * 1e9:.2f} +- {error * 1e9:.2f} nm, chi^2 {fit.chi2:.2f}")
# -

# The specularity was given. As a second parameter it would leave a valley: a channel narrower than
# l knows λ times a function of p, and nothing else. `fit.statements` says so in words; [what data
# mean](../../docs/fitting.md) has an example, and [vicinity
# resistances](../fit_vicinity/README.md) one with a surprise.

# +
figure = Figure(figsize=(8, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
relative = found.relative()
own = [i for i, each in enumerate(found.inputs) if np.any(abs(relative[:, i]) > 1e-6)]
names = [found.inputs[i].key.split(".")[-1].replace("_", " ") for i in own]
for row, (output, height) in enumerate(zip(found.outputs, (0.2, -0.2), strict=True)):
    left.barh(np.arange(len(own)) + height, relative[row, own], 0.4, label=output)
left.set(xlabel="% for 1 %", yticks=range(len(own)), yticklabels=names)
left.axvline(0, color="gray", lw=0.8)
left.legend(loc="lower left", fontsize="x-small")
per_width = measured / widths * 1e3
right.errorbar(widths, per_width, 0.01 * per_width, fmt="o", label="measured")
right.plot(widths, fit.predictions / widths * 1e3, color="black", label="fit")
right.set(xlabel="width (nm)", ylabel="conductance per width (mS/nm)")
right.legend()
figure.savefig("gradients_and_fit.png", dpi=150)
# -
