"""What a band structure knows of a material: computed values with error and provenance.

What no band structure gives, such as relaxation times of angular momentum and laws of walls, stays
the user's: `Coefficients.missing` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meso.bands.boltzmann import relaxation_rates
from meso.bands.diffusivity import Diffusivity, Normalisation, diffusivity
from meso.bands.fermi import TEMPERATURE, curl_coefficient, density_couplings, fermi_surface
from meso.bands.geometry import Electrons
from meso.bands.hall import hall_conductivity
from meso.bands.model import Floats, Model, check_positive
from meso.bands.result import Quantity
from meso.bands.wellposed import validate
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError

#: Quantities of a device that are not in any band structure.
MISSING = {
    "spin_relaxation_time": "τ of the spin density",
    "orbital_relaxation_time": "τ of the orbital density",
    "wall_relaxation_velocity": "𝒱 of angular momentum at walls",
    "specularity": "p of each wall",
    "electron_electron_mean_free_path": "λ_ee",
}
#: A tensor is called isotropic if it differs from its scalar by less than this.
_ISOTROPIC = 1e-3
#: J s/A, a millionth of a part of what free electrons of 1 eV have.
_NO_COUPLING = 1e-9 * HBAR**2 / ELEMENTARY_CHARGE**2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coefficients:
    """Everything that was computed for a material.

    Attributes:
        model: Name of the model.
        carriers: "2d" or "3d".
        values: Quantity -> scalar; couplings to the current are tensors if no scalar will do.
        scattering: Rates γ_m/γ_1 that differ from one, for `Material.scattering`.
        results: The tensors.
        missing: What the user has to supply, name -> what it is.
        warnings: Anisotropy, errors, what was left out and why.
    """

    model: str
    carriers: str
    values: Mapping[str, Quantity]
    scattering: Mapping[str, float]
    results: Mapping[str, Quantity]
    missing: Mapping[str, str]
    warnings: tuple[str, ...] = field(default=())

    def validate(self, **rates: Any) -> tuple[str, ...]:
        """Check that the diffusivity makes a well-posed problem; see `wellposed.validate`.

        Args:
            rates: `rates`, `walls`, `susceptibility` of the components S_x … L_z, if known.

        Returns:
            Warnings.

        Raises:
            CaseError: It does not, with the reason.
        """
        return _validate(self.results, **rates)

    def report(self) -> str:
        """All values with errors, what is missing, and warnings."""
        lines = [f"{self.model} (carriers = {self.carriers!r})"]
        for key, v in self.values.items():
            error = "" if v.error is None else f" ± {np.max(v.error):.2g}"
            size = "" if np.ndim(v.value) == 0 else "tensor, at most "
            lines.append(f"  {key:<28} {size}{_largest(v.value) + 0.0:.6g}{error} {v.unit}")
            lines.append(f"      {v.method}")
        for key, rate in self.scattering.items():
            lines.append(f"  scattering.{key:<17} {rate:.6g}")
        lines += [f"  not from bands: {key} ({what})" for key, what in self.missing.items()]
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)


def coefficients(
    model: Model,
    *,
    energy: float = 0.0,
    broadening: float = 0.1,
    kmesh: int = 48,
    temperature: float = TEMPERATURE,
    hall_tolerance: float | None = None,
    **options: Any,
) -> Coefficients:
    """Compute what a material needs.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        broadening: Γ in eV; τ = ħ/2Γ is the transport time.
        kmesh: Points along one direction, or rays.
        temperature: k_B T in eV that smears Fermi surfaces of lattice models.
        hall_tolerance: Relative; compute Hall conductivities adaptively.
        options: `symmetry`, `error`, `processes`, `comm`, `progress`.

    Raises:
        CaseError: The energy is outside the bands, or an argument makes no sense.
    """
    check_positive(broadening=broadening)
    results: dict[str, Quantity] = {}
    values: dict[str, Quantity] = {}
    warnings: list[str] = []
    d = model.dimension
    unit = "S/m" if d == 3 else "S"

    def add(key: str, value: float, unit: str, origin: Any, relative: float | None) -> None:
        error = None if relative is None else abs(value) * float(relative)
        values[key] = Quantity(
            name=key, value=value, unit=unit, error=error, provenance=origin.provenance
        )

    how: dict[str, Any] = {"energy": energy, "kmesh": kmesh, **options}
    surface = fermi_surface(model, temperature=temperature, **how)
    if model.lattice is None:
        origin: Any = surface
        time = HBAR / (2 * broadening * ELEMENTARY_CHARGE)
        sigma, relative = surface.conductivity(time), surface.error
    else:
        results["diffusivity"] = origin = diffusivity(model, broadening=broadening, **how)
        sigma, relative = origin.conductivity, origin.relative_error
        hint = f"found {broadening:g} eV, which {kmesh} k points along a direction do not resolve"
        if not np.trace(sigma) > 0:
            raise CaseError(("broadening", f"{hint}: take a larger one, or a larger kmesh"))
        if (relative or 0) > 0.5:
            warnings.append(f"broadening: {hint}; estimated error {100 * (relative or 0):.2g} %")
        # Scalars: means over components and directions of the part that keeps both.
        kept = np.einsum("iaia->ia", origin.blocks(Normalisation.TRACE))
        for key, diagonal in (("spin", kept[:, :3]), ("orbital", kept[:, 3:])):
            if diagonal.any():
                mean = float(diagonal.mean())
                warnings += _anisotropy(f"{key}_diffusivity", diagonal - mean, mean)
                add(f"{key}_diffusivity", mean, "m^2/s", origin, relative)
    mean = float(np.trace(sigma)) / d
    warnings += _anisotropy("conductivity", sigma[:d, :d] - mean * np.eye(d), mean)
    add("conductivity", mean, unit, origin, relative)
    both = None if surface.error is None else surface.error + (relative or 0.0)
    add("mean_free_path", surface.mean_free_path(mean, d), "m", surface, both)
    add("density_of_states", surface.density_of_states, f"1/(J m^{d})", surface, surface.error)
    add("fermi_velocity", surface.velocity, "m/s", surface, surface.error)
    names = {"L": "orbital_coupling", "S": "spin_coupling"}
    present = [letter for letter in names if letter in model.operators]
    electrons = Electrons(model, float(energy), float(temperature))
    found = density_couplings(electrons, kmesh, present, **options) if present else []
    for letter, kappa in zip(present, found, strict=True):
        key = names[letter]
        nothing = np.abs(kappa.value).max() < _NO_COUPLING
        if letter == "S" and nothing:
            continue  # without spin-orbit coupling
        results[key] = kappa
        value, rest = curl_coefficient(kappa.value)
        if rest > _ISOTROPIC and not nothing:
            text = f"a tensor; κ ∇×J would leave {100 * rest:.2g} % of it: shear counts too"
            warnings.append(f"{key}: {text}")
            values[key] = kappa
        else:
            add(key, value, "J*s/A", kappa, kappa.relative_error)
    for key, letter in (("spin_hall_conductivity", "S"), ("orbital_hall_conductivity", "L")):
        if letter not in model.operators:
            continue
        results[key] = hall = hall_conductivity(model, letter, tolerance=hall_tolerance, **how)
        wrong = hall.relative_error
        if (wrong or 0) > 0.1:
            text = f"error {100 * (wrong or 0):.2g} %; refine with hall_tolerance"
            warnings.append(f"{key}: {text}")
        # θ of 𝒥^{ij} = θ ε_ijk E_k, from [i, j, k].
        add(key, curl_coefficient(hall.value.transpose(1, 2, 0))[0], unit, hall, wrong)
    try:
        warnings += _validate(results)
    except CaseError as problem:
        for key in ("spin_diffusivity", "orbital_diffusivity"):
            values.pop(key, None)
        warnings.append(f"diffusivities left out, no well-posed problem: {problem}")
    return Coefficients(
        model=model.name,
        carriers=f"{d}d",
        values=values,
        scattering=_scattering(model, energy),
        results=results,
        missing=MISSING,
        warnings=tuple(warnings),
    )


def _largest(value: Any) -> float:
    """A number, or the entry of a tensor with the largest magnitude."""
    flat = np.ravel(value)
    return float(flat[np.argmax(np.abs(flat))])


def _validate(results: Mapping[str, Quantity], **rates: Any) -> tuple[str, ...]:
    found = results.get("diffusivity")
    if not isinstance(found, Diffusivity):
        return ()
    d = found.blocks(Normalisation.TRACE)
    used = np.flatnonzero(np.abs(d).max(axis=(0, 2, 3)) > 0)
    return validate(d[:, used][:, :, :, used], **rates)


def _anisotropy(key: str, rest: Floats, mean: float) -> list[str]:
    """A warning if a scalar leaves too much of a tensor."""
    worst = float(np.abs(rest).max()) / max(abs(mean), 1e-300)
    return [f"{key}: a scalar leaves {100 * worst:.2g} % of the tensor"] * (worst > _ISOTROPIC)


def _scattering(model: Model, energy: float) -> dict[str, float]:
    """Rates of point scatterers where the Fermi line is a circle; else isotropic ones."""
    if model.lattice is not None:
        return {}
    try:
        rates = relaxation_rates(model, energy)
    except CaseError:
        return {}
    return {f"gamma{m}": float(r) for m, r in enumerate(rates) if m >= 2 and abs(r - 1) > 1e-9}
