"""Mutants: command lines of meso whose case, drawing or mesh file was sound before it was changed.

A mutant is made of a seed and its number alone, so that it can be made again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from math import inf, nan
from pathlib import Path
from random import Random
from typing import Any

import tomli_w

REPOSITORY = Path(__file__).parents[1]
#: Demos whose cases are small once they are coarse, and geometries that are smaller than theirs.
CASES: dict[str, dict[str, float]] = {
    "ribbon": {},
    "nonlocal": {"length": 30, "width": 10},
    "hall_bar": {"fillet": 0},
    "magnetic_ribbon": {},
    "graded": {},
    "bilayer": {},
    "chromium": {},
    "corbino": {},
    "cad": {},
    "step_3d": {},
}
#: Read but hardly ever solved: a solution takes seconds.
_LARGE = ("step_3d",)
_BANDS: dict[str, Any] = {
    "title": "Bands",
    "model": {"kind": "ElectronGas", "exchange": "300 meV", "rashba": "0.001 eV nm"},
    "bands": {"energy": "0.8 eV", "broadening": "0.1 eV", "kmesh": 6},
    "output": {"directory": "results/gas"},
}
_BANDS["model"]["direction"] = [0, 0, 1]
_SQUARE = """
Point(1) = {0, 0, 0};
Point(2) = {100, 0, 0};
Point(3) = {100, 40, 0};
Point(4) = {0, 40, 0};
Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {3, 4};
Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Physical Surface("metal") = {1};
Physical Curve("source") = {4};
Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3};
"""


@dataclass(slots=True, kw_only=True)
class Mutant:
    """A command line and the files that it finds.

    Attributes:
        words: After ``meso``.
        files: Content by path, relative to the working directory.
        links: Targets of symbolic links, likewise.
        says: What was changed.
    """

    words: list[str]
    files: dict[str, bytes]
    links: dict[str, str] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Put the files into an empty working directory."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, target in self.links.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)

    def __str__(self) -> str:
        lines = [f"meso {' '.join(self.words)}", *(f"  {text}" for text in self.says)]
        for name, content in self.files.items():
            if name.endswith(".toml"):
                lines += [f"--- {name}", content.decode(errors="backslashreplace")]
        return "\n".join(lines)


def mutant(seed: int, number: int) -> Mutant:
    """The mutant of a number.

    Args:
        seed: Of all mutants.
        number: Of this one.
    """
    random = Random(f"{seed}/{number}")
    kinds = {_case: 9, _drawing: 6, _mesh: 4, _cad: 1, _bands: 1}
    return random.choices(list(kinds), list(kinds.values()))[0](random)


# --- the sound ones


@cache
def _demo(name: str) -> tuple[str, bytes, str]:
    """A demo's case, its drawing and the drawing's name."""
    text = (REPOSITORY / "demos" / name / "case.toml").read_text()
    path = (REPOSITORY / "demos" / name / tomllib.loads(text)["geometry"]["file"]).resolve()
    return text, path.read_bytes(), path.name


def coarse(name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The tables of a demo's case on a mesh as coarse as possible, and its drawing."""
    text, drawing, file = _demo(name)
    tables = tomllib.loads(text)
    tables["geometry"]["file"] = file
    if CASES.get(name):
        tables["geometry"]["parameters"] |= CASES[name]
    tables["mesh"] = {"size": "1 mm", "wall_size": "1 mm"}
    tables["flow"]["order"] = 2
    if tables["flow"]["model"] == "kinetic":
        tables["flow"] |= {"harmonics": 4, "estimate": False}
    for probe in tables["output"].get("probes", {}).values():
        probe["points"] = 5
    return tables, {file: drawing}


def _made(random: Random, tables: dict[str, Any], files: dict[str, bytes], large: bool) -> Mutant:
    """A mutant of tables and files; large ones are hardly ever solved."""
    run = random.random() < (0.02 if large else 0.7)
    words = ["run", "case.toml", "--no-figures"] if run else ["check", "case.toml"]
    return Mutant(words=words, files={"case.toml": tomli_w.dumps(tables).encode(), **files})


def strip(kind: str) -> bytes:
    """A mesh of a strip of 100 by 40, as a file of Gmsh, Abaqus or ParaView."""
    columns, rows = 5, 2
    points = [(20.0 * i, 20.0 * j) for j in range(rows + 1) for i in range(columns + 1)]

    def at(i: int, j: int) -> int:
        return i + (columns + 1) * j

    squares = [(i, j) for j in range(rows) for i in range(columns)]
    cells = [(at(i, j), at(i + 1, j), at(i + 1, j + 1)) for i, j in squares]
    cells += [(at(i, j), at(i + 1, j + 1), at(i, j + 1)) for i, j in squares]
    lines = {"source": [(at(0, j), at(0, j + 1)) for j in range(rows)]}
    lines["drain"] = [(at(columns, j), at(columns, j + 1)) for j in range(rows)]
    walls = (0, rows)
    lines["edges"] = [(at(i, j), at(i + 1, j)) for j in walls for i in range(columns)]
    named = [*((name, line) for name, found in lines.items() for line in found)]
    named += [("metal", cell) for cell in cells]
    return {"msh": _msh, "inp": _inp, "vtu": _vtu}[kind](points, named).encode()


_NUMBERS = {"source": 1, "drain": 2, "edges": 3, "metal": 4}
Named = list[tuple[str, tuple[int, ...]]]


def _msh(points: list[tuple[float, float]], named: Named) -> str:
    out = ["$MeshFormat", "2.2 0 8", "$EndMeshFormat", "$PhysicalNames", str(len(_NUMBERS))]
    out += [f'{2 if n == "metal" else 1} {k} "{n}"' for n, k in _NUMBERS.items()]
    out += ["$EndPhysicalNames", "$Nodes", str(len(points))]
    out += [f"{i} {x} {y} 0" for i, (x, y) in enumerate(points, 1)]
    out += ["$EndNodes", "$Elements", str(len(named))]
    for i, (name, nodes) in enumerate(named, 1):
        tag = _NUMBERS[name]
        nodes = tuple(n + 1 for n in nodes)
        out.append(" ".join(map(str, (i, len(nodes) - 1, 2, tag, tag, *nodes))))
    return "\n".join([*out, "$EndElements", ""])


def _inp(points: list[tuple[float, float]], named: Named) -> str:
    out = ["*NODE", *(f"{i}, {x}, {y}, 0" for i, (x, y) in enumerate(points, 1))]
    count = 0
    for name in _NUMBERS:
        kind = "CPS3" if name == "metal" else "T3D2"
        out.append(f"*ELEMENT, TYPE={kind}, ELSET={name}")
        for nodes in (nodes for other, nodes in named if other == name):
            count += 1
            out.append(", ".join(map(str, (count, *(n + 1 for n in nodes)))))
    return "\n".join([*out, ""])


def _vtu(points: list[tuple[float, float]], named: Named) -> str:
    ends = [sum(len(nodes) for _, nodes in named[: i + 1]) for i in range(len(named))]
    arrays = {
        "connectivity": " ".join(str(n) for _, nodes in named for n in nodes),
        "offsets": " ".join(map(str, ends)),
        "types": " ".join("5" if name == "metal" else "3" for name, _ in named),
        "region": " ".join(str(_NUMBERS[name]) for name, _ in named),
    }
    xml = {
        key: f'<DataArray type="Int64" Name="{key}" format="ascii">\n{text}\n</DataArray>'
        for key, text in arrays.items()
    }
    nodes = "\n".join(f"{x} {y} 0" for x, y in points)
    return f"""<?xml version="1.0"?>
<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian" header_type="UInt64">
<UnstructuredGrid>
<Piece NumberOfPoints="{len(points)}" NumberOfCells="{len(named)}">
<Points>
<DataArray type="Float64" NumberOfComponents="3" Name="Points" format="ascii">
{nodes}
</DataArray>
</Points>
<Cells>
{xml["connectivity"]}
{xml["offsets"]}
{xml["types"]}
</Cells>
<CellData>
{xml["region"]}
</CellData>
</Piece>
</UnstructuredGrid>
</VTKFile>
"""


# --- cases

Tables = dict[str, Any]
_VALUES: list[Any] = [
    *(0, 1, -1, 2, 3, 7, 10**9, 10**30, -(10**19), 0.0, -0.0, 0.5, -0.5, 1e-300, 1e300, 5e-324),
    *(nan, inf, -inf, True, False, "", " ", "0", "nan", "nan nm", "inf nm", "-inf V", "1e400 m"),
    *("0 nm", "-5 nm", "1e-30 nm", "1e30 nm", "5 furlong", "5 kg", "5 V", "1 mV", "10 nm", "nm"),
    *(
        "1 S",
        "1 S/m",
        "1e-30 S",
        "1e30 S/m",
        "5 nm nm",
        "1 nm + 1 nm",
        "1/0 nm",
        "__import__('os')",
    ),
    *("é", "Ω", "名前", "\u202e", "a b", "../x", "a/b", "\x7f", "x" * 300, "auto", "inf", "metal"),
    *("source", "drain", "edges", "reservoir", "no flux", "ohmic", "hydrodynamic", "kinetic"),
    *("2d", "3d", "direct", "iterative", "isotropic", "radial-tangential", "literal", "traction"),
    *([], [1], [[]], [1, 2, 3], ["10 nm"], ["0 nm", "0 nm"], ["0 nm", "0 nm", "0 nm"], ["x", 1]),
    *({}, {"x": 1}, {"value": 1}, {"expression": "x"}, {"expression": "1/x", "unit": "nm"}),
    *({"expression": "x**x**x", "unit": "nm"}, {"expression": "", "unit": "S"}, {"gamma2": 0.5}),
]
_DIRECTORIES = [
    *("file", "link", "dangling", "loop", "/dev/null/x", "", ".", "..", "case.toml", "full"),
    *("results/a/b/c", "file/x", "~", "\u202e", "a\nb", "x" * 300, " ", "-", "./", "link/../new"),
]
_KEYS = ["", "x", "sizee", "order", "wall", "contact", "file", "é", "a b", "from", "value", "unit"]


def _leaves(table: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in nested tables and lists, tables included."""
    pairs = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _leaves(value, (*path, key))


def _get(tables: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tables = tables[key]
    return tables


def _pick(random: Random, tables: Tables) -> tuple[Any, Any, str]:
    """A table or list, a key of it, and its dotted name."""
    path = random.choice([p for p in _leaves(tables) if p != ("geometry", "file")])
    return _get(tables, path[:-1]), path[-1], ".".join(map(str, path))


def _drop(random: Random, tables: Tables) -> str:
    parent, key, name = _pick(random, tables)
    del parent[key]
    return f"{name} dropped"


def _rename(random: Random, tables: Tables) -> str:
    parent, key, name = _pick(random, tables)
    if not isinstance(parent, dict):
        return _drop(random, tables)
    new = random.choice([*_KEYS, key[:-1], key + "s", key.upper()])
    parent[new] = parent.pop(key)
    return f"{name} renamed to {new!r}"


def _replace(random: Random, tables: Tables) -> str:
    parent, key, name = _pick(random, tables)
    parent[key] = deepcopy(random.choice(_VALUES))
    return f"{name} = {parent[key]!r}"


def _scale(random: Random, tables: Tables) -> str:
    """A number with unit by orders of magnitude, or of the other sign, or with another unit."""
    found = [p for p in _leaves(tables) if re.match(r"-?[\d.]+(e-?\d+)? ", str(_get(tables, p)))]
    if not found:
        return _replace(random, tables)
    path = random.choice(found)
    number, unit = _get(tables, path).split(" ", 1)
    factor = random.choice([0, -1, 1e-30, 1e-12, 1e-6, 1e-3, 0.1, 10, 1e3, 1e6, 1e12, 1e30, inf])
    if random.random() < 0.2:
        unit = random.choice(["m", "V", "A/m", "S", "S/m", "K", "", "eV", "m^-1", "nm^2", "%"])
    value = f"{float(number) * factor} {unit}"
    _get(tables, path[:-1])[path[-1]] = value
    return f"{'.'.join(map(str, path))} = {value!r}"


def _swap(random: Random, tables: Tables) -> str:
    """Values of two names in one table: boundaries, regions, materials."""
    table = random.choice(["boundaries", "regions", "materials", "geometry", "flow"])
    if len(tables.get(table, ())) < 2:
        return _rename(random, tables)
    one, two = random.sample(list(tables[table]), 2)
    tables[table][one], tables[table][two] = tables[table][two], tables[table][one]
    return f"{table}: {one} and {two} swapped"


def _boundary(random: Random, tables: Tables) -> str:
    if not isinstance(tables.get("boundaries"), dict) or not tables["boundaries"]:
        return _replace(random, tables)
    names = list(tables["boundaries"])
    name, other = random.choice(names), random.choice([*names, "nowhere", ""])
    law = random.choice(
        [
            {"contact": {}},
            {"contact": {"potential": "1 mV", "current": "1 uA"}},
            {"contact": {"current": "1 uA"}},
            {"contact": {"current": "0 A/m", "law": "reservoir"}},
            {"contact": {"potential": "1 V", "law": "reservoir"}},
            {"wall": {}},
            {"wall": {"specularity": random.choice([-0.1, 0, 0.5, 1, 1.1, 1e-12])}},
            {"wall": {"slip_length": random.choice(["0 nm", "inf", "-1 nm", "1 m", "20 nm"])}},
            {"periodic": {"to": other, "voltage": "1 mV"}},
            {"periodic": {"to": other, "current": "1 uA"}},
            {"periodic": {"to": other}},
            {"wall": {"specularity": 1}, "contact": {"potential": 0}},
        ]
    )
    tables["boundaries"][name] = law
    return f"boundaries.{name} = {law}"


def _flow(random: Random, tables: Tables) -> str:
    flow: dict[str, list[Any]] = {
        "model": ["ohmic", "hydrodynamic", "kinetic", "Ohmic", "", 1],
        "order": [1, 2, 3, 4, 0, -1, 11, 10**6, 2.0, "2", True],
        "solver": ["direct", "iterative", "auto", "", None],
        "harmonics": [2, 4, 6, 3, 0, -2, 4.0, "4", "", 10**7],
        "magnetic_field": ["0 T", "1 T", "-1 T", "1e9 T", "1e-30 T", "inf T", "nan T", 1],
        "tolerance": [1e-3, 0, -1, 1, nan, inf, 1e-300, "1e-3"],
        "estimate": [False, 0, "no"],
        "bounds": [True, False, 1, "yes"],
    }
    key = random.choice(list(flow))
    value = random.choice(flow[key])
    if not isinstance(tables.get("flow"), dict):
        return _replace(random, tables)
    tables["flow"][key] = "" if value is None else value
    if value == "kinetic":
        tables["flow"] |= {"harmonics": 4, "estimate": False}
    return f"flow.{key} = {value!r}"


def _mesh_table(random: Random, tables: Tables) -> str:
    value: Tables = random.choice(
        [
            *({"size": s} for s in ("0 nm", "-1 nm", "1e30 m", "inf nm", 1e-8)),
            *({"wall_size": s} for s in ("1 mm", "0 m", "1 nm", "nan m", [])),
            *({"geometry_order": n} for n in (3, 5, 6, 0, -1, 1.0)),
            *({"size": "1 mm", "geometry_order": n} for n in (1, 2)),
            {"size": "1 nm", "wall_size": "2 nm"},
            {"adapt": {"steps": 1, "target": "conductance"}},
            {"adapt": {"steps": 1, "target": "edge_moment", "tolerance": 0.5}},
            {"adapt": {"steps": 1, "target": "edge_moment", "tolerance": 0}},
            {"adapt": {"steps": 0, "target": "conductance"}},
            {"adapt": {"steps": 1, "target": ""}},
            {"adapt": {"target": "nothing"}},
            {"adapt": {}},
        ]
    )
    tables["mesh"] = {**tables.get("mesh", {}), **value} if random.random() < 0.7 else value
    if "adapt" in value:
        tables["mesh"].pop("wall_size", None)
    return f"mesh: {value}"


def _geometry(random: Random, tables: Tables) -> str:
    geometry = tables.get("geometry")
    if not isinstance(geometry, dict):
        return _replace(random, tables)
    if random.random() < 0.4 and isinstance(geometry.get("parameters"), dict):
        name = random.choice([*geometry["parameters"], "unknown", "", "é", "Mesh.Algorithm"])
        values = [0, -1, 1e-12, 1e-3, 1e3, 1e9, 1e30, nan, inf, 10**400, True, "5", 1]
        geometry["parameters"][name] = value = random.choice(values)
        return f"geometry.parameters.{name} = {str(value)[:20]}"
    key, value = random.choice(
        [
            *(("thickness", t) for t in ("20 nm", "0 nm", "-1 nm", "1e30 m", "inf m", 1, "", [])),
            *(("length_unit", u) for u in ("m", "km", "um", "pm", "s", "", "é", "nm^2", 3, "kg m")),
            *(("file", f) for f in ("", ".", "none.geo", "case.toml", "/dev/null", "x.xyz", "..")),
            ("groups", {}),
            ("groups", {"boundaries": {"source": {"near": ["0 nm", "50 nm"]}}}),
        ]
    )
    geometry[key] = value
    return f"geometry.{key} = {value!r}"


def _output(random: Random, tables: Tables) -> str:
    output = tables.get("output")
    if not isinstance(output, dict):
        return _replace(random, tables)
    far = ["1 m", "1 m"]
    key, value = random.choice(
        [
            *(("directory", d) for d in _DIRECTORIES),
            ("probes", {"p": {"from": far, "to": ["2 m", "2 m"], "points": 5}}),
            ("probes", {"p": {"from": ["50 nm", "0 nm"], "to": far, "points": 5}}),
            ("probes", {"p": {"from": ["0 nm"] * 3, "to": ["1 nm"] * 3, "points": 5}}),
            ("probes", {"p": {"from": ["0 nm"], "to": ["1 nm"]}}),
            ("probes", {"p": {"from": [], "to": []}}),
            ("probes", {"p": {"from": far, "to": far}}),
            ("probes", {"p": {"from": ["0 nm", "0 nm"], "to": ["nan m", "0 nm"]}}),
            ("probes", {"p": {"from": ["0 nm", "0 nm"], "to": ["5 nm", "0 nm"], "points": 10**9}}),
            *(("probes", {n: {"from": far, "to": ["0 m", "0 m"]}}) for n in ("", "a/b", "..", "é")),
            ("fields", ["vorticity", "vorticity"]),
            ("fields", ["orbital_density"]),
            ("fields", ["current_density"]),
            ("fields", ["spin_density_x"]),
            ("fields", []),
            (
                "resistances",
                {"R": {"current": ["source", "drain"], "voltage": ["drain", "x"]}},
            ),
            (
                "resistances",
                {"R": {"current": ["source", "drain"], "voltage": ["drain", "source"]}},
            ),
            ("resistances", {"": {"current": ["source"], "voltage": []}}),
            ("distributions", {"d": ["50 nm", "0 nm"]}),
            ("distributions", {"d": far}),
            ("distributions", {"d": ["0 nm"] * 3, "e/f": far}),
        ]
    )
    output[key] = value
    return f"output.{key} = {value!r}"


def _angular(random: Random, tables: Tables) -> str:
    if not isinstance(tables.get("angular_momentum"), dict):
        tables["angular_momentum"] = {}
    table = tables["angular_momentum"]
    channel = {
        "components": random.choice(
            [["z"], ["x", "z"], ["x", "y", "z"], [], ["w"], "z", ["z", "z"]]
        ),
        "hall_conductivity": random.choice(["1e5 (hbar/e) S/m", "-1e5 (hbar/e) S/m", "0 S/m", 1]),
        "diffusivity": random.choice(["1e-4 m^2/s", "0 m^2/s", "-1 m^2/s", "1e-30 m^2/s"]),
        "diffusion_length": random.choice(["5 nm", "0 nm", "1e-9 nm", "1 m", "inf nm"]),
    }
    if random.random() < 0.4:
        value = random.choice(["reservoir", "no flux", {"relaxation_velocity": "50 m/s"}, "x", 1])
        channel["boundaries"] = {random.choice(["edges", "source", "x"]): value}
    if random.random() < 0.2:
        channel["relaxation_time"] = "1 ps"
    if random.random() < 0.2:
        table["coupling"] = random.choice(["one-way", "two-way", "", "both", 1])
    name = random.choice(["spin", "orbital", "charge"])
    table[name] = channel
    return f"angular_momentum.{name} = {channel}"


def _material(random: Random, tables: Tables) -> str:
    materials = tables.get("materials")
    if not isinstance(materials, dict) or not materials:
        return _replace(random, tables)
    name = random.choice(list(materials))
    if not isinstance(materials[name], dict):
        return _replace(random, tables)
    choices: dict[str, list[Any]] = {
        "carriers": ["2d", "3d", "4d", [[]], ["2d"], 2],
        "conductivity": ["1e-300 S", "1e300 S", "-1 S", "0 S", "nan S", "5e6 S/m", "5 mS"],
        "mean_free_path": ["1e-30 nm", "1e30 nm", "0 nm", "inf nm", "-1 nm", "10 nm"],
        "electron_electron_mean_free_path": ["1e-30 nm", "0 nm", "inf", "10 nm", "1 m", -1],
        "scattering": [{"gamma2": g} for g in (0, 0.5, -1, nan, 1e30)] + ["isotropic", "", []],
        "fermi_energy": ["0 eV", "-1 eV", "1e-300 eV", "1e300 eV", "1 eV"],
        "library": ["Ti", "Cu", "none", "", "../x.toml", "case.toml", ["Ti"], "."],
        "orbital_coupling": [0, "1e-31 J s", [], [[1]], nan, "x"],
        "viscosity": ["0 m^2/s", "1 m^2/s"],
    }
    expressions = ["1e7", "x", "y/0", "1/y", "sqrt(-1)", "nan", "exp(1e9*x)", "import os", "x[0]"]
    key = random.choice(list(choices))
    value = random.choice(choices[key])
    if key in ("conductivity", "mean_free_path") and random.random() < 0.4:
        unit = "nm" if key == "mean_free_path" else random.choice(["S", "S/m"])
        value = {"expression": random.choice(expressions), "unit": unit}
    materials[name][key] = value
    return f"materials.{name}.{key} = {value!r}"


def _text(random: Random, content: bytes) -> tuple[bytes, str]:
    """Any text: characters lost, changed or put in; lines lost, doubled or swapped."""
    if not content:
        return b"\0", "one zero byte"
    at = random.randrange(len(content))
    lines = content.splitlines(keepends=True)
    i, j = random.randrange(len(lines)), random.randrange(len(lines))
    what = random.choice(["cut", "lose", "flip", "insert", "line", "double", "swap", "tail"])
    if what == "cut":
        return content[:at], f"cut after {at} bytes"
    if what == "tail":
        return content[at:], f"first {at} bytes lost"
    if what == "lose":
        n = random.choice([1, 2, 10, 100])
        return content[:at] + content[at + n :], f"{n} bytes lost at {at}"
    if what == "flip":
        byte = random.randrange(256)
        return content[:at] + bytes([byte]) + content[at + 1 :], f"byte {byte} at {at}"
    if what == "insert":
        some = random.choice([b"\xe9\xff", b"\0", b"\n", b'"', b"{", b"}", b"=", b"\xef\xbb\xbf"])
        return content[:at] + some + content[at:], f"{some!r} at {at}"
    if what == "double":
        lines.insert(i, lines[j])
    elif what == "line":
        del lines[i]
    else:
        lines[i], lines[j] = lines[j], lines[i]
    return b"".join(lines), f"lines {i + 1} and {j + 1}: {what}"


_TABLES: dict[Callable[[Random, Tables], str], int] = {
    **dict.fromkeys((_drop, _rename, _replace, _scale, _boundary, _output), 3),
    **dict.fromkeys((_swap, _flow, _mesh_table, _geometry, _angular, _material), 2),
}


def _furnish(random: Random, made: Mutant) -> None:
    """Things that an output directory may meet."""
    made.files |= {"file": b"not a directory\n", "full/notes.txt": b"mine\n"}
    made.files["../elsewhere/notes.txt"] = b"mine\n"
    made.links |= {"dangling": "nowhere", "loop": "loop", "link": "../elsewhere/empty"}
    made.files["../elsewhere/empty/.keep"] = b""


def _case(random: Random) -> Mutant:
    name = random.choice(list(CASES))
    tables, files = coarse(name)
    says = [f"case of demos/{name}"]
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        change = random.choices(list(_TABLES), list(_TABLES.values()))[0]
        try:
            says.append(change(random, tables))
        except (KeyError, TypeError, AttributeError, IndexError, ValueError):
            continue  # an earlier change has removed what this one wants
    made = _made(random, tables, files, name in _LARGE)
    if random.random() < 0.1:
        made.files["case.toml"], what = _text(random, made.files["case.toml"])
        says.append(f"case.toml: {what}")
    _furnish(random, made)
    made.says = says
    return made


# --- drawings

_STATEMENTS = [
    'SystemCall "touch ../canary";',
    'Include "missing.geo";',
    'Merge "missing.msh";',
    'Include "own.geo";',
    'Include "case.toml";',
    "Coherence;",
    "Delete { Surface{1}; }",
    "Recursive Delete { Surface{1}; }",
    "Delete Physicals;",
    "Mesh.ElementOrder = 3;",
    "Mesh.RecombineAll = 1;",
    "Mesh.SubdivisionAlgorithm = 2;",
    "Mesh 2;",
    "Mesh.MeshSizeFactor = 1e-9;",
    "Mesh.MeshSizeMin = 1e9;",
    "Mesh.Algorithm = 99;",
    "Mesh.SaveAll = 1;",
    "General.AbortOnError = 0;",
    "General.NumThreads = 64;",
    "Geometry.Tolerance = 1e3;",
    'Save "../canary.msh";',
    'Print "../canary.png";',
    'Printf("x") > "../canary.txt";',
    "Abort;",
    "Exit;",
    "Return",
    'Error("own.geo: wrong");',
    "x = 1/0;",
    "For i In {1:3}",
    "EndFor",
    "If (0)",
    "Point(99) = {50, 0, 0};",
    "Point(99) = {1e30, 0, 0};",
    "Line(99) = {1, 1};",
    "Line(99) = {1, 2};",
    "Line(99) = {1, 2}; Curve{99} In Surface{1};",
    "Rectangle(99) = {0, 0, 0, 100, 40};",
    "Disk(99) = {50, 0, 0, 10};",
    "Translate {1000, 0, 0} { Duplicata { Surface{1}; } }",
    "Translate {0, 0, 5} { Surface{1}; }",
    "Rotate {{1, 0, 0}, {0, 0, 0}, Pi/2} { Surface{1}; }",
    "Extrude {0, 0, 10} { Surface{1}; }",
    "Dilate {{0, 0, 0}, {0, 0, 0}} { Surface{1}; }",
    "Transfinite Surface {1}; Recombine Surface {1};",
    "Reverse Surface {1};",
    'Physical Surface("other") = {1};',
    'Physical Surface("metal") = {99};',
    'Physical Surface("metal") = {};',
    'Physical Curve("source") = {1, 2, 3, 4};',
    'Physical Curve("source") = {-1};',
    'Physical Curve("edges") = {99};',
    'Physical Curve("") = {1};',
    'Physical Curve("a/b") = {1};',
    'Physical Curve("é") = {1};',
    'Physical Point("source") = {1};',
    'Physical Volume("metal") = {1};',
    "Physical Surface(7) = {1};",
    'SetFactory("Built-in");',
    'SetFactory("OpenCASCADE");',
    'SetFactory("None");',
]


def _number(random: Random, content: bytes, pattern: bytes = rb"-?\d+\.?\d*") -> tuple[bytes, str]:
    """A number of the text by orders of magnitude."""
    found = list(re.finditer(pattern, content))
    if not found:
        return _text(random, content)
    old = random.choice(found)
    values = [b"0", b"-1", b"1e-12", b"1e9", b"1e30", b"nan", b"1", b"2", b"99", b"-" + old[0]]
    values += [old[0] + b"000", b"0.001", b"9" * 25]
    new = random.choice(values)
    line = content[: old.start()].count(b"\n") + 1
    return content[: old.start()] + new + content[old.end() :], f"{old[0]!r} → {new!r} in {line}"


def _insert(random: Random, content: bytes) -> tuple[bytes, str]:
    lines = content.splitlines(keepends=True)
    statement = random.choice(_STATEMENTS)
    at = len(lines) if random.random() < 0.6 else random.randrange(len(lines) + 1)
    return b"".join([*lines[:at], f"{statement}\n".encode(), *lines[at:]]), f"{statement} ({at})"


def _doubled(random: Random, content: bytes) -> tuple[bytes, str]:
    """A statement once more, somewhere else or with a tag of its own."""
    found = [s for s in re.findall(rb"^[A-Z][\w ]+\(.*\) = .*;", content, re.MULTILINE)]
    if not found:
        return _text(random, content)
    new = random.choice(found)
    if random.random() < 0.5:
        new = re.sub(rb"\(\d+\)", b"(77)", new, count=1)
    return content + new + b"\n", f"once more: {new.decode(errors='replace')}"


def _name(random: Random, content: bytes) -> tuple[bytes, str]:
    """A group by another name."""
    found = list(re.finditer(rb'"(\w+)"\) =', content)) or list(re.finditer(rb"'(\w+)'", content))
    if not found:
        return _text(random, content)
    old = random.choice(found)
    names = [b"", b"metal", b"source", b"edges", b"a/b", b"..", b"\xe9", "é".encode(), b"x" * 300]
    new = random.choice([*names, b"a b", b"%s%n"])
    return content[: old.start(1)] + new + content[old.end(1) :], f"{old[1]!r} → {new!r}"


_DRAWING = {_text: 3, _number: 4, _insert: 5, _doubled: 2, _name: 2}


def _drawing(random: Random) -> Mutant:
    names = ["ribbon", "nonlocal", "hall_bar", "bilayer", "corbino", "magnetic_ribbon", "step_3d"]
    name = random.choice(["own", "own", "own", "own", *names])
    if name == "own":
        tables, _ = coarse("ribbon")
        content = _SQUARE.encode()
        if random.random() < 0.4:
            content = b'SetFactory("OpenCASCADE");\n' + content
        tables["geometry"] = {"file": "own.geo", "length_unit": "nm"}
        del tables["output"]["probes"]
    else:
        tables, files = coarse(name)
        (content,) = files.values()
        tables["geometry"]["file"] = "own.geo"
    if random.random() < 0.5:
        del tables["mesh"]["wall_size"]
    says = [f"drawing of {name}"]
    for _ in range(random.choice([1, 1, 1, 2])):
        change = random.choices(list(_DRAWING), list(_DRAWING.values()))[0]
        content, what = change(random, content)
        says.append(what)
    if random.random() < 0.02:
        content, says = b"", ["empty drawing"]
    made = _made(random, tables, {"own.geo": content}, name in _LARGE)
    made.says = says
    return made


def _cad(random: Random) -> Mutant:
    tables, files = coarse("cad")
    ((file, content),) = files.items()
    body = content.index(b"DATA;")
    change = random.choice([_text, _number, _number])
    new, what = change(random, content[body:])
    made = _made(random, tables, {file: content[:body] + new}, False)
    made.says = ["STEP of demos/cad", what]
    return made


# --- meshes


def _cell(random: Random, content: bytes) -> tuple[bytes, str]:
    """A row of numbers with its last two swapped, or doubled, or lost."""
    lines = content.splitlines()
    rows = [i for i, line in enumerate(lines) if len(re.findall(rb"\d+", line)) > 2]
    if not rows:
        return _text(random, content)
    i, separator = random.choice(rows), b", " if b"," in content else b" "
    words = [word.strip() for word in lines[i].split(separator.strip() or None)]
    what = random.choice(["flipped", "doubled", "lost", "longer", "shorter", "collapsed"])
    lines[i] = separator.join(
        {
            "flipped": [*words[:-2], words[-1], words[-2]],
            "longer": [*words, words[-1]],
            "shorter": words[:-1],
            "collapsed": [*words[:-1], words[-2]],
        }.get(what, words)
    )
    if what == "doubled":
        lines.insert(i, lines[i])
    elif what == "lost":
        del lines[i]
    return b"\n".join([*lines, b""]), f"row in line {i + 1} {what}"


def _kind(random: Random, content: bytes) -> tuple[bytes, str]:
    """Another type of element, format or encoding."""
    pairs = [
        *((b"2.2 0 8", v) for v in (b"4.1 0 8", b"2.2 1 8", b"1.0 0 8", b"2.2 0 4", b"9 9 9")),
        *((b"CPS3", v) for v in (b"CPS4", b"CPS6", b"C3D4", b"B31", b"XXX", b"")),
        *((b"T3D2", v) for v in (b"CPS3", b"T3D3")),
        *((b"ascii", v) for v in (b"binary", b"appended", b"x")),
        *((b"Float64", v) for v in (b"Float32", b"Int8", b"String", b"")),
        *((b"Int64", v) for v in (b"UInt8", b"Float64", b"Int32")),
        *((b"UnstructuredGrid", v) for v in (b"PolyData", b"")),
        *((b'"region"', v) for v in (b'"x"', b'"material"', b'""')),
        (b'"3"', b'"2"'),
    ]
    found = [pair for pair in pairs if pair[0] in content]
    if not found:
        return _text(random, content)
    old, new = random.choice(found)
    return content.replace(old, new, random.choice([1, -1])), f"{old!r} → {new!r}"


_MESH = {_text: 3, _number: 4, _cell: 4, _kind: 2, _name: 1}


def _mesh(random: Random) -> Mutant:
    kind = random.choice(["msh", "inp", "vtu"])
    tables, _ = coarse("ribbon")
    tables["geometry"] = {"file": f"own.{kind}", "length_unit": "nm"}
    del tables["mesh"], tables["output"]["probes"]
    if kind == "vtu":
        for table in ("regions", "boundaries"):
            tables[table] = {str(_NUMBERS[n]): v for n, v in tables[table].items()}
    content = strip(kind)
    says = [f"mesh own.{kind}"]
    for _ in range(random.choice([1, 1, 1, 2])):
        change = random.choices(list(_MESH), list(_MESH.values()))[0]
        content, what = change(random, content)
        says.append(what)
    made = _made(random, tables, {f"own.{kind}": content}, False)
    made.says = says
    return made


def _bands(random: Random) -> Mutant:
    tables = deepcopy(_BANDS)
    kinds = ["RadialTangential", "TiltedDirac", "GappedLattice", "BccP", "SlaterKosterBcc", "x", ""]
    says = ["bands"]
    for _ in range(random.choice([1, 1, 2])):
        if random.random() < 0.3:
            tables["model"] = {"kind": random.choice(kinds)}
            says.append(f"model {tables['model']}")
        else:
            change = random.choice([_drop, _rename, _replace, _replace, _scale])
            says.append(change(random, tables))
    if isinstance(tables.get("output"), dict) and random.random() < 0.2:
        tables["output"]["directory"] = random.choice(_DIRECTORIES)
    made = Mutant(
        words=["bands", "case.toml"], files={"case.toml": tomli_w.dumps(tables).encode()}, says=says
    )
    _furnish(random, made)
    return made
