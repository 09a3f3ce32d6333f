"""Powers as which flows go at corners."""

import numpy as np
import pytest

from meso import Contact, Wall
from meso.evidence.singular import _of_flow

LAWS = {"slips": Wall(slip_length=1), "stuck": Wall(slip_length=0), "ideal": Contact(current=0)}
#: Screens that slip leave J uniform; 1/0: not known.
KNOWN = """ohmic slips slips 270 2/3; ohmic slips ideal 180 1/2; hydrodynamic slips slips 270 1/3;
hydrodynamic slips slips 360 1/2; hydrodynamic ideal slips 90 2/1; kinetic ideal slips 100 1/0;
hydrodynamic ideal slips 80 1/8; kinetic stuck stuck 270 1/3; hydrodynamic ideal stuck 80 1/0"""


@pytest.mark.parametrize("row", KNOWN.split(";"))
def test_powers(row: str) -> None:
    model, one, two, degrees, power = row.split()
    exact = np.divide(*map(float, power.split("/"))) if power != "1/0" else np.inf
    for pair in ((LAWS[one], LAWS[two]), (LAWS[two], LAWS[one])):
        assert _of_flow(model, *pair, np.radians(float(degrees))) == pytest.approx(exact)
