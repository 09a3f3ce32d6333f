"""From a Bloch Hamiltonian to the coefficients of a material.

    from meso import bands

    metal = bands.models.SlaterKosterBcc("V")
    bands.diffusivity(metal, energy=0.0, broadening=0.1, kmesh=48)
    bands.orbital_coupling(metal, energy=0.0)
    bands.hall_conductivity(metal, operator="L", energy=0.0)

Energies are in eV and lengths in Å here; results carry SI values with `.value`, `.unit`, `.error`,
`.provenance`.
"""

from meso.bands import models
from meso.bands.boltzmann import relaxation_rates
from meso.bands.coefficients import Coefficients, coefficients
from meso.bands.diffusivity import Diffusivity, Normalisation, diffusivities, diffusivity
from meso.bands.disorder import scatterers
from meso.bands.fermi import FermiSurface, curl_coefficient, fermi_surface, orbital_coupling
from meso.bands.hall import hall_conductivity
from meso.bands.interband import interband_density, torque, vertex_correction
from meso.bands.kinetics import quantum_kinetic, weak_limit
from meso.bands.kmesh import Mesh, fermi_lines, plane, uniform
from meso.bands.ladder import kubo_ladder
from meso.bands.magnetoelectric import dipole, orbital_magnetoelectric
from meso.bands.model import check_model
from meso.bands.result import Quantity
from meso.bands.wellposed import validate

__all__ = [
    "Coefficients",
    "Diffusivity",
    "FermiSurface",
    "Mesh",
    "Normalisation",
    "Quantity",
    "check_model",
    "coefficients",
    "curl_coefficient",
    "diffusivities",
    "diffusivity",
    "dipole",
    "fermi_lines",
    "fermi_surface",
    "hall_conductivity",
    "interband_density",
    "kubo_ladder",
    "models",
    "orbital_coupling",
    "orbital_magnetoelectric",
    "plane",
    "quantum_kinetic",
    "relaxation_rates",
    "scatterers",
    "torque",
    "uniform",
    "validate",
    "vertex_correction",
    "weak_limit",
]
