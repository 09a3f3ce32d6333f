"""Parts that reports of all kinds have: materials, pictures, what to cite, versions, the case."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from math import inf
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import meso
from meso.errors import MesoError
from meso.files.readable import quantity, words
from meso.materials.material import Material
from meso.reports.markup import Node, bullets, code, folded, grid, picture, tag, with_unit
from meso.reports.papers import PAPERS, cited
from meso.units import factor
from meso.validation import checked

#: Units of numbers of a material in SI; that of the conductivity depends on its carriers.
_UNITS = {
    **dict.fromkeys(("mean_free_path", "electron_electron_mean_free_path"), "m"),
    "vorticity_diffusion_length": "m",
    "fermi_energy": "J",
    "orbital_coupling": "J_s_per_A",
    "spin_coupling": "J_s_per_A",
}
#: Where a number is from that has no source of its own.
_GIVEN = "given in the case file"
#: What pictures show, by the beginning of their names.
_CAPTIONS = {
    "current": "Current density. Lines follow the current, heavier where it is larger; contacts"
    " are shown with their potentials and currents, and walls by their names",
    "current_density_z": "Current density along z over the section of the wire",
    "potential": "Potential; white lines are those of equal potential",
    "orbital_density": "Orbital density, in multiples of ħ",
    "orbital_diffusive_density_": "Orbital density that Hall effects make and that diffuses, in"
    " multiples of ħ: component ",
    "orbital_total_density_": "Orbital density of both origins, in multiples of ħ: component ",
    "spin_density_": "Spin density, in multiples of ħ: component ",
    "vorticity": "Vorticity of the flow of carriers",
    "edges": "Along the walls: the arc length runs with the conductor on the left",
    "sweep": "The main results against what was varied",
    "fit": "Data (points with errors), fit (marks and bands), and residuals below",
    "profiles": "Profile likelihoods: rise of chi squared when one parameter is held",
    "design": "The device before and after, and the target step by step",
    "compare": "Profiles of the models along the probes, and how far they are from the kinetic one;"
    " grey is what that is uncertain by",
    "sensitivity": "Per cent of each number for one per cent of each input",
    "walls_": "How much a number changes where a wall moves outwards, and by what a whole piece"
    " does: ",
    "probe_": "Along the probe ",
    "densities_probe_": "Densities of angular momentum along the probe ",
    "densities_": "Densities of angular momentum along the wall ",
    "distribution_": "Distribution of the carriers over directions at the point ",
}


#: The same of 3D devices, where it is something else; views are above the sections with PyVista.
_SOLID = {
    "current": "Current density in sections, and in a view if there is one; contacts are marked."
    " Lines follow the current, in a section heavier where it is larger.",
    "potential": "Potential in sections, with lines of equal potential.",
    "orbital_density": "Orbital density in sections, in multiples of ħ: the component normal to"
    " each, or as its title says.",
}


def read_case(text: str) -> dict[str, Any]:
    """Tables of a case file; none where there is no file."""
    return tomllib.loads(text)


def versions() -> dict[str, str]:
    """Versions of what is installed, without loading it."""
    out = {"meso": meso.__version__}
    for name in ("fenics-dolfinx", "gmsh", "numpy", "scipy", "matplotlib"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def materials(case: Mapping[str, Any]) -> Iterator[Node]:
    """Each number of each material with its source, and what follows from them."""
    regions = case.get("regions", {})
    for name, table in case.get("materials", {}).items():
        sources = table.get("provenance", {})
        rows: list[list[Any]] = [
            [words(key), _cell(key, value, table), sources.get(key, _GIVEN)]
            for key, value in table.items()
            if key != "provenance"
        ]
        for key, (value, source) in _derived(table, case).items():
            rows.append([words(key), with_unit(value, _UNITS.get(key, "")), source])
        where = [region for region, material in regions.items() if material == name]
        text = f"{name}, in {', '.join(where)}" if where else f"{name}, not used"
        yield grid(["quantity", "value", "where it is from"], rows, text)


def _cell(key: str, value: Any, table: Mapping[str, Any]) -> Any:
    """A value as the case has it, a bare number with its SI unit."""
    unit = ("S" if table.get("carriers") == "2d" else "S_per_m") if key == "conductivity" else ""
    unit = unit or _UNITS.get(key, "")
    if key == "carriers":
        return value
    finite = isinstance(value, int | float) and abs(value) < inf
    return with_unit(value, unit) if unit and finite else _plainly(value)


def _plainly(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} = {_plainly(v)}" for k, v in value.items())
    if isinstance(value, str):
        return quantity(value)
    return str(value).replace("inf", "∞") if isinstance(value, float) else str(value)


def _derived(table: Mapping[str, Any], case: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """What follows from the numbers of a material; nothing if these cannot be read."""
    context = {"base_directory": Path(), "sheet": table.get("carriers") == "2d"}
    try:
        length = factor(case.get("geometry", {}).get("length_unit", "m"), "m")
        found = checked(Material, table, context | {"length_unit": length}, {})
    except MesoError:
        return {}
    return {
        key: (getattr(found, key), source)
        for key, source in found.provenance.items()
        if source.startswith("derived")
    }


def pictures(paths: Sequence[Path], *, of: str = "", solid: bool = False) -> list[Element]:
    """Pictures with captions; ``solid``: sections of a device in 3D, which have no names."""
    texts = [_SOLID.get(path.stem) if solid else None for path in paths]
    return [
        picture(path, of + (text or caption(path.stem)))
        for path, text in zip(paths, texts, strict=True)
    ]


def caption(stem: str) -> str:
    """What a picture shows, by its name."""
    for start in sorted(_CAPTIONS, key=len, reverse=True):
        if stem == start:
            return f"{_CAPTIONS[start]}."
        if start.endswith("_") and stem.startswith(start):
            return f"{_CAPTIONS[start]}{stem.removeprefix(start)}."
    return f"{stem.replace('_', ' ').capitalize()}."


def figures(folder: Path) -> list[Path]:
    """The pictures of a result, the one with the names of contacts and walls first."""
    paths = sorted((folder / "figures").glob("*.png"))
    order = ["device", "current", "orbital_density", "vorticity", "potential", "edges"]
    rank = {name: i for i, name in enumerate(order)}
    lines = ("edges", "probe_", "densities_", "distribution_")  # after all maps

    def place(path: Path) -> tuple[bool, int, str]:
        return path.stem.startswith(lines), rank.get(path.stem, len(order)), path.stem

    return sorted(paths, key=place)


def citations(texts: list[str]) -> list[Node]:
    """What to cite for what texts say, `meso` itself first."""
    own = "The meso developers, meso: finite elements for mesoscopic transport in conductors,"
    entries: list[list[Node]] = [[f"{own} version {meso.__version__}"]]
    for key in cited(texts):
        authors, title, where = PAPERS[key]
        entries.append([f"{authors}, ", tag("cite", title), f", {where}"])
    return [
        tag("p", "If these results go into a publication, please cite"),
        bullets(entries),
    ]


def the_case(texts: Mapping[str, str]) -> list[Node]:
    """Files of the input, by name, to unfold."""
    return [folded(name, code(text)) for name, text in texts.items() if text]
