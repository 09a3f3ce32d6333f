"""The models by name: `bands.models.RadialTangential(mass=1.0)` …"""

from meso.bands.continuum import ElectronGas, RadialTangential, TiltedDirac
from meso.bands.lattices import TABLES, BccP, GappedLattice, SlaterKosterBcc, TwoCentreTable
from meso.bands.model import Model, TightBinding

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
]
