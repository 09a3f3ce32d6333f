"""Current flow: one module per model, one result type."""

from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.ohmic import Ohmic
from meso.flow.result import Flow, Terminal

__all__ = ["Flow", "Hydrodynamic", "Ohmic", "Terminal"]
