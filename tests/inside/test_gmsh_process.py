"""What the process of Gmsh loads: a user sees only that signals and crashes are what they are."""

import subprocess
import sys

CODE = """
import sys
from meso import figures
from meso.geometry import gmsh_process, meshing
assert gmsh_process._may_fork()
sys.exit(", ".join({"dolfinx", "mpi4py", "petsc4py"} & set(sys.modules)) or 0)
"""


def test_it_knows_nothing_of_mpi():
    """MPI would take signals that are to end the process, and time to start."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
