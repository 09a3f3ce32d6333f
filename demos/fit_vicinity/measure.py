"""A made-up measurement: vicinity resistances by the kinetic model, with noise, as a table.

python3 demos/fit_vicinity/measure.py demos/fit_vicinity/data.csv

On the cells and with the harmonics of the kinetic fit: what is compared are models, not meshes.
"""

import sys
from pathlib import Path

import numpy as np

import meso

TRUTH = {
    "materials.sheet.electron_electron_mean_free_path": "200 nm",
    "boundaries.edges.wall.specularity": 0.3,
}
KINETIC = {
    "flow.model": "kinetic",
    "flow.harmonics": 8,
    "flow.order": 2,
    "flow.estimate": False,
}
UNCERTAINTY = 0.03  # ohm


def main(path: Path) -> None:
    case = meso.Case.load(Path(__file__).parent / "device.toml", TRUTH | KINETIC)
    exact = meso.run(case).resistances
    noise = UNCERTAINTY * np.random.default_rng(1).standard_normal(len(exact))
    header = ",".join(f"resistance.{name}_ohm" for name in exact)
    row = ",".join(
        f"{value + error:.3f}" for value, error in zip(exact.values(), noise, strict=True)
    )
    path.write_text(
        f"# made by measure.py: kinetic model, noise of {UNCERTAINTY} ohm\n{header}\n{row}\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
