"""The numbers of a case that vary continuously, and their units."""

from __future__ import annotations

from collections.abc import Sequence

from meso.case import Case
from meso.materials.material import conductivity_unit

#: Numbers of a case that vary continuously, by the last word of their key, and their SI units.
UNITS = {
    "conductivity": "S/m",
    "mean_free_path": "m",
    "electron_electron_mean_free_path": "m",
    "fermi_energy": "J",
    "vorticity_diffusion_length": "m",
    "orbital_coupling": "J*s/A",
    "spin_coupling": "J*s/A",
    "fermi_wavevector": "1/m",
    "thickness": "m",
    "specularity": "",
    "slip_length": "m",
    "potential": "V",
    "voltage": "V",
    "current": "A",
    "magnetic_field": "T",
    "hall_conductivity": "hbar/e S/m",
    "diffusivity": "m^2/s",
    "divergence": "m^2/s",
    "swapping": "m^2/s",
    "cubic_anisotropy": "m^2/s",
    "relaxation_time": "s",
    "diffusion_length": "m",
    "susceptibility": "J*s^2/m^3",
    "relaxation_velocity": "m/s",
    "angle": "deg",
    "ratio": "",
    "warping": "",
    "spin_to_orbital": "Hz",
    "orbital_to_spin": "Hz",
    "conductance": "m/s",
}
#: Tables by the name of the key above; each has numbers of its own names.
_TABLES = {"parameters": "", "scattering": "", "current": "J/m^2", "density": "J*s/m^3"}


def unit_of(case: Case, path: Sequence[str]) -> str | None:
    """SI unit of a continuous number, by the words of its key, None for all others."""
    if path[0] not in ("geometry", "materials", "boundaries", "flow", "angular_momentum"):
        return None
    if len(path) > 2 and path[-2] in _TABLES:
        return _TABLES[path[-2]]
    if path[-1] == "conductivity":
        return conductivity_unit(case.carriers)
    if path[-1] == "current" and (case.carriers == "3d" and case.geometry.thickness is None):
        return "A/m"
    return UNITS.get(path[-1])
