"""The energy curves of V and Ta, into a table that `run.py` draws.

    python3 demos/bands_orbital_diffusion/curves.py demos/bands_orbital_diffusion/curves.csv

Twenty minutes of one core, with 2·96³ wave vectors, and 2·72³ where there is spin-orbit coupling.
What the table has already is kept, so that it can be stopped and goes on where it was.
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from meso import bands
from meso.bands import models

BROADENING = 0.1
TANTALUM = models.TABLES["Ta"].spin_orbit
#: Per cent of the spin-orbit coupling of Ta.
STRENGTHS = (5, 15, 25, 40, 55, 70, 85, 100)
ENERGIES = np.round(np.linspace(-6, 6, 121), 3)
METALS = {
    "V": models.SlaterKosterBcc("V"),
    "Ta without": models.SlaterKosterBcc("Ta", spin_orbit=0),
    "Ta": models.SlaterKosterBcc("Ta"),
    **{f"Ta {p} %": models.SlaterKosterBcc("Ta", spin_orbit=p / 100 * TANTALUM) for p in STRENGTHS},
}
#: Source, sink, and directions of gradient and current, as for `Diffusivity.between`.
COMPONENTS = {
    **{f"{x}>{x}": (x, x, "xx") for x in ("c", "sx", "sy", "lx", "ly")},
    **{f"{a}{i}>{b}{i}": (a + i, b + i, "xx") for a, b in ("sl", "ls") for i in "xy"},
    **{f"{a}x>{b}y": (f"{a}x", f"{b}y", "xy") for a in "sl" for b in "sl"},
    **{f"{a}x>{b}y turned": (f"{a}x", f"{b}y", "yx") for a in "sl" for b in "sl"},
}
FIELDS = ("metal", "energy", "grid", "states", *COMPONENTS)


def rows(metal: str, energies: Iterable[float], n: int) -> Iterable[dict[str, object]]:
    """One row of the table for each energy; S in S/m, states per eV and cell."""
    # A few energies at once share the work of the Hamiltonian.
    chosen = np.array(list(energies))
    for some in np.array_split(chosen, max(1, len(chosen) // 8)) if len(chosen) else ():
        found = bands.diffusivities(METALS[metal], list(some), BROADENING, n, error=False)
        for d in found:
            numbers = {key: float(f"{d.between(*of):.7g}") for key, of in COMPONENTS.items()}
            states = round(d.states_per_cell or 0.0, 7)
            yield {"metal": metal, "energy": d.energy, "grid": n, "states": states, **numbers}


def columns(lines: Iterable[dict[str, object]]) -> dict[str, dict[str, np.ndarray]]:
    """Metal -> column -> values, in the order of energies."""
    ordered = sorted(lines, key=lambda row: float(row["energy"]))
    return {
        metal: {
            key: np.array([float(row[key]) for row in ordered if row["metal"] == metal])
            for key in FIELDS[1:]
        }
        for metal in METALS
    }


def load(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The table, by `columns`."""
    with path.open(newline="", encoding="utf-8") as file:
        return columns(csv.DictReader(file))


def compute(n: int, energies: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """The same on another grid and for other energies, without a table."""
    wanted = {m: [0.0] if m.endswith("%") else energies for m in METALS}
    return columns([row for metal in METALS for row in rows(metal, wanted[metal], n)])


def main(path: Path) -> None:
    """Add to the table what it does not have."""
    known = load(path) if path.exists() else {}
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not known:
            writer.writeheader()
        for metal in METALS:
            done = set(known[metal]["energy"]) if known else set()
            wanted = [0.0] if metal.endswith("%") else ENERGIES
            n = 96 if METALS[metal].size == 9 else 72
            for row in rows(metal, [e for e in wanted if e not in done], n):
                writer.writerow(row)
                file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
