"""A design on three ranks takes the same steps as on one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from launching import launch
from mpi4py import MPI

import meso

GEOMETRY = Path(__file__).parents[2] / "geometries" / "wavy_channel.geo"
CASE = f"""
[geometry]
file = "{GEOMETRY}"
length_unit = "nm"
parameters = {{ width = 100, period = 200, amplitude = 15, phase = 180 }}
[mesh]
size = "50 nm"
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "50 nm"
[regions]
metal = "sheet"
[boundaries]
left = {{ contact = {{ potential = "1 mV" }} }}
right = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "ohmic"
order = 2
"""
DESIGN = """
case = "case.toml"
maximise = "conductance"
[walls]
free = ["edges"]
spacing = "100 nm"
[constraints]
area = "kept"
[method]
steps = 2
"""


def test_ranks(tmp_path) -> None:
    (tmp_path / "case.toml").write_text(CASE)
    (tmp_path / "design.toml").write_text(DESIGN)
    one, three = (json.loads(launch(__file__, n, tmp_path, n)) for n in (1, 3))
    assert len(one) == 4 and three == pytest.approx(one, rel=1e-8)


if __name__ == "__main__":
    place, ranks = Path(sys.argv[1]), sys.argv[2]
    found = meso.design(place / "design.toml", directory=place / ranks, figures=False)
    values = [row["target"] for row in found.iterates] + [found.value]
    if MPI.COMM_WORLD.rank == 0:
        sys.stdout.write(json.dumps(values))
