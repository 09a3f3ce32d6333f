"""A commented case for a drawing, with the names that are in it: where a new case begins."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from meso.device import Device
from meso.errors import CaseError
from meso.files.directory import replace_file
from meso.geometry import formats
from meso.geometry.scripts import read_text
from meso.geometry.variables import constants
from meso.materials.material import library_names, load_library
from meso.observables.edges import piece_centers

#: What contacts are called.
_CONTACT = re.compile(
    r"source|drain|contact|lead|probe|electrode|terminal|inject|collect|emitt|port|anode|cathode",
    re.IGNORECASE,
)
#: What walls are called.
_WALL = re.compile(r"wall|edge|side|insulat|isolat|hole|antidot|notch|fillet", re.IGNORECASE)
_ENERGY = '# fermi_energy = "5 eV"          # with it: the orbital density, kappa curl J'
_DRIVE = ('potential = "1 mV"', 'potential = "0 V"')
#: A name that TOML takes without quotes.
_BARE = re.compile(r"[\w-]+", re.ASCII)


def draft(device: Device, unit: str, folder: Path) -> str:
    """The text of a case for a device, which runs as it is.

    What is a contact is guessed from names, and otherwise from the size of the boundaries.

    Args:
        device: The device; only its names and places are used.
        unit: Unit of the coordinates of its file.
        folder: Where the case is to lie; its file is named from there.
    """
    return "\n".join(line for part in _parts(device, unit, folder) for line in part) + "\n"


def write_draft(device: Device, unit: str, path: Path) -> None:
    """Write the case beside other files; one that is there is never replaced.

    Raises:
        CaseError: The file exists, or no case file would be called so.
    """
    if path.suffix != ".toml":
        raise CaseError(("--output", f"found '{path}'; must end in .toml"))
    if os.path.lexists(path):
        raise CaseError(("--output", f"{path} exists; choose another name, or remove it"))
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, draft(device, unit, path.parent).encode())


def _parts(device: Device, unit: str, folder: Path) -> Iterator[list[str]]:
    file, plane = device.source, device.dimension == 2
    name = os.path.relpath(file.resolve(), folder.resolve())
    yield [
        f'title = "{file.stem}"',
        "",
        "[geometry]",
        f'file = "{name}"',
        f'length_unit = "{unit}"',
        *_parameters(file),
    ]
    if plane:
        yield ['# thickness = "10 nm"           # of the film: currents in A instead of A/m']
    known = {name for name in device.regions if name in library_names()}
    for name in sorted(known):
        yield ["", *_from_library(name)]
    if known < set(device.regions):
        yield [
            "",
            '[materials.metal]                # or library = "Ti": `meso material` lists them',
            'carriers = "3d"                  # "2d" for an electron gas; its conductivity is in S'
            if plane
            else 'carriers = "3d"',
            'conductivity = "1e7 S/m"',
            'mean_free_path = "10 nm"',
            _ENERGY,
        ]
    yield [
        "",
        "[regions]",
        *(f'{_key(name)} = "{name if name in known else "metal"}"' for name in device.regions),
        "",
        "[boundaries]                     # all: contacts, walls, periodic pairs",
    ]
    yield list(_boundaries(device))
    yield [
        "",
        "[flow]",
        'model = "hydrodynamic"           # or "ohmic"'
        + (', "kinetic", "particles"' if plane else ""),
        "",
        "[output]",
        f'directory = "results/{re.sub(r"[^A-Za-z0-9._-]", "_", file.stem)}"',
        "",
        "[output.probes]                  # fields along lines; ends in any unit of length",
        _probe(device, unit),
    ]


def _from_library(name: str) -> list[str]:
    """A material that a region is called after."""
    lines = [f"[materials.{name}]", f'library = "{name}"                   # meso material {name}']
    if not load_library(name).entries.get("mean_free_path"):
        lines.append('mean_free_path = "10 nm"         # not in the library: a guess')
    return [*lines, _ENERGY]


def _parameters(file: Path) -> list[str]:
    """The numbers of a drawing that may be set."""
    found = constants(read_text(file)) if formats.kind(file) == "drawing" else {}
    if not found:
        return []
    table = ", ".join(f"{name} = {number}" for name, number in found.items())
    return ["# Numbers of the drawing, in its unit, where they shall differ:"] + [
        f"# parameters = {{ {table} }}"
    ]


def _boundaries(device: Device) -> Iterator[str]:
    names, guess = _contacts(device)
    drive = iter(_DRIVE)
    for name in device.boundaries:
        if name in names:
            law = f"{{ contact = {{ {next(drive, 'current = 0')} }} }}"
            yield f"{_key(name)} = {law}" + (f"  # {guess}" if guess else "")
        else:
            yield f"{_key(name)} = {{ wall = {{ specularity = 0.0 }} }}  # from 0, rough, to 1"


def _contacts(device: Device) -> tuple[set[str], str]:
    """Boundaries that are contacts, and what to say of a guess."""
    named = {name for name in device.boundaries if _CONTACT.search(name)}
    if len(named) > 1 or len(device.boundaries) < 2:
        return named or set(device.boundaries), ""
    others = {name for name in device.boundaries if not _WALL.search(name)}
    if 1 < len(others) < len(device.boundaries):
        return others, "a guess: all that is not called a wall"
    size = dict.fromkeys(device.boundaries, 0.0)
    for piece in device.pieces:
        size[piece.boundary] += piece.measure
    smallest = sorted(set(device.boundaries) - named, key=lambda name: size[name])
    return {*named, *smallest[: 2 - len(named)]}, "a guess: name the contacts of your device"


def _probe(device: Device, unit: str) -> str:
    """A line through the centre of the device, across the way between the first two contacts."""
    box = np.array([piece_centers(device).min(axis=0), piece_centers(device).max(axis=0)])
    middle, shortest = box.mean(axis=0), int(np.argmin(np.ptp(box, axis=0)))
    ends = []
    for end in box[:, shortest]:
        point = middle.copy()
        point[shortest] = end
        point[np.abs(point) < 1e-9 * device.extent] = 0.0
        ends.append(", ".join(f'"{x / device.length_unit:.6g} {unit}"' for x in point))
    return f"across = {{ from = [{ends[0]}], to = [{ends[1]}], points = 201 }}"


def _key(name: str) -> str:
    if _BARE.fullmatch(name):
        return name
    text = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
