"""Units in which the closed forms are given: ħ = m = 1 with energies in eV and lengths in Å."""

from meso.constants import ELECTRON_MASS, ELEMENTARY_CHARGE, HBAR

#: Electron masses for which ħ²/m = 1 eV Å².
UNIT_MASS = HBAR**2 / ELECTRON_MASS / ELEMENTARY_CHARGE * 1e20
#: e²/ħ in S.
QUANTUM = ELEMENTARY_CHARGE**2 / HBAR
#: 1 eV/Å² per V/Å in C/m.
TORQUE = ELEMENTARY_CHARGE / 1e-10
#: Å e/ħ in m/(V s): the unit of ⟨v × r⟩/E per unit of eE.
CIRCULATION = 1e-10 * ELEMENTARY_CHARGE / HBAR
