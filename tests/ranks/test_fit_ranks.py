"""A fit on two ranks: one table, the values of one process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import GEOMETRIES

CASE = f"""
[geometry]
file = "{GEOMETRIES / "ribbon.geo"}"
length_unit = "nm"
parameters = {{ width = 100, length = 20 }}
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "200 nm"
[regions]
metal = "sheet"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "hydrodynamic"
"""
FIT = """
[data.ribbon]
case = "case.toml"
file = "data.csv"
[parameters.p]
key = "boundaries.edges.wall.specularity"
start = 0.5
bounds = [0, 1]
"""


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun")
def test_two_ranks(tmp_path: Path) -> None:
    (tmp_path / "case.toml").write_text(CASE)
    (tmp_path / "fit.toml").write_text(FIT)
    (tmp_path / "data.csv").write_text("conductance_mS,uncertainty_mS\n60,1\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMIX", "OMPI_COMM"))}
    found = {}
    for ranks in (1, 2):
        words = ["-m", "meso", "fit", "fit.toml", "--output", f"out{ranks}"]
        done = subprocess.run(
            ["mpirun", "-n", f"{ranks}", sys.executable, *words],
            capture_output=True,
            text=True,
            timeout=900,
            env=environment,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("report, fitted cases") == 1
        summary = json.loads((tmp_path / f"out{ranks}/fit.json").read_text())
        found[ranks] = summary["parameters"]["p"]
    assert found[2]["value"] == pytest.approx(found[1]["value"], rel=1e-8)
    assert found[2]["standard_error"] == pytest.approx(found[1]["standard_error"], rel=1e-6)
