"""Powers as which flows go at corners."""

import numpy as np
import pytest

from meso import Contact, Wall
from meso.evidence.singular import _of_flow

LAWS = {
    "slips": Wall(slip_length=1e-8),
    "stuck": Wall(slip_length=0.0),
    "ideal": Contact(current=0),
}
#: Screens that slip leave J uniform.
KNOWN = """ohmic slips slips 270 2/3; ohmic slips ideal 180 1/2; hydrodynamic slips slips 270 1/3
hydrodynamic slips slips 360 1/2; hydrodynamic ideal slips 90 2; hydrodynamic ideal slips 100 1/10
hydrodynamic ideal slips 80 1/8; kinetic stuck stuck 270 1/3; kinetic ideal slips 100 1/0
hydrodynamic ideal stuck 80 1/0"""


@pytest.mark.parametrize("row", KNOWN.replace("\n", "; ").split("; "))
def test_powers(row: str) -> None:
    model, one, two, degrees, power = row.split()
    top, _, below = power.partition("/")
    exact = float(top) / float(below or 1) if below != "0" else np.inf
    for pair in ((one, two), (two, one)):
        found = _of_flow(model, *(LAWS[name] for name in pair), np.radians(float(degrees)))
        assert found == pytest.approx(exact)
