"""The models by name: `bands.models.RadialTangential(mass=1.0)`."""

from meso.bands.adapters import from_bloch, from_pythtb, from_sisl
from meso.bands.continuum import ElectronGas, RadialTangential, TiltedDirac
from meso.bands.lattices import TABLES, BccP, GappedLattice, SlaterKosterBcc, TwoCentreTable
from meso.bands.model import Model, TightBinding
from meso.bands.wannier import Wannier90

__all__ = [
    "TABLES",
    "BccP",
    "ElectronGas",
    "GappedLattice",
    "Model",
    "RadialTangential",
    "SlaterKosterBcc",
    "TightBinding",
    "TiltedDirac",
    "TwoCentreTable",
    "Wannier90",
    "from_bloch",
    "from_pythtb",
    "from_sisl",
]
