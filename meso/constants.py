"""Constants of nature in SI units (the 2019 SI fixes ħ and e exactly; m_e: CODATA 2022)."""

from math import pi

__all__ = ["ELECTRON_CHARGE", "ELECTRON_MASS", "ELEMENTARY_CHARGE", "HBAR"]

#: Reduced Planck constant ħ in J s.
HBAR = 6.62607015e-34 / (2 * pi)
#: Elementary charge in C, positive.
ELEMENTARY_CHARGE = 1.602176634e-19
#: Charge of the carriers e < 0 in C.
ELECTRON_CHARGE = -ELEMENTARY_CHARGE
#: Electron mass in kg.
ELECTRON_MASS = 9.1093837139e-31
