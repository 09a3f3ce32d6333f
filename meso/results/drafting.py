"""A commented case for a drawing, with the names that are in it: where a new case begins."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from meso.device import Device
from meso.discrete.sampling import locate
from meso.errors import CaseError
from meso.files.directory import replace_file
from meso.geometry import formats
from meso.geometry.scripts import read_text
from meso.geometry.variables import constants
from meso.materials.published import library_names, load_library
from meso.mpi import largest, on_root, smallest, total
from meso.observables.edges import piece_centers

#: What contacts are called.
_CONTACT = re.compile(
    r"source|drain|contact|lead|probe|electrode|terminal|inject|collect|emitt|port|anode|cathode",
    re.IGNORECASE,
)
#: What walls are called.
_WALL = re.compile(
    r"wall|edge|side|rim|screen|surface|outline|insulat|isolat|hole|antidot|notch|fillet",
    re.IGNORECASE,
)
_ENERGY = '# fermi_energy = "5 eV"          # with it: the orbital density, kappa curl J'
_DRIVE = ('potential = "1 mV"', 'potential = "0 V"')
#: A name that TOML takes without quotes.
_BARE = re.compile(r"[\w-]+", re.ASCII)

#: Points of a line across the device; and how far beside it, in parts of the extents, lines are in
#: the device as well, and what part of it is: of the first choice, and of the second.
_STEPS, _TRIED = 201, ((0.02, 0.05), (0.0, 0.01))


def draft(device: Device, unit: str, folder: Path) -> str:
    """The text of a case for a device, which runs as it is.

    What is a contact is guessed from names, and otherwise from the size of the boundaries.

    All ranks call this.

    Args:
        device: The device; only its names and places are used.
        unit: Unit of the coordinates of its file.
        folder: Where the case is to lie; its file is named from there.
    """
    return "\n".join(line for part in _parts(device, unit, folder) for line in part) + "\n"


def write_draft(device: Device, unit: str, path: Path) -> None:
    """Write the case beside other files; one that is there is never replaced; all ranks call this.

    Raises:
        CaseError: The file exists, or no case file would be called so.
    """
    text = draft(device, unit, path.parent)

    def write() -> None:
        if path.suffix != ".toml":
            raise CaseError(("--output", f"found '{path}'; must end in .toml"))
        if os.path.lexists(path):
            raise CaseError(("--output", f"{path} exists; choose another name, or remove it"))
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())

    on_root(device.comm, write)


def _parts(device: Device, unit: str, folder: Path) -> Iterator[list[str]]:
    file, plane = device.source, device.dimension == 2
    name = os.path.relpath(file.resolve(), folder.resolve())
    yield [
        f'title = "{file.stem}"',
        "",
        "[geometry]",
        f'file = "{name}"',
        f'length_unit = "{unit}"              # the device is {_size(device)} of it',
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
        "# The specularity of a wall is from 0, rough, to 1, smooth.",
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
            law = f"{_key(name)} = {{ wall = {{ specularity = 0.0 }} }}"
            sure = _WALL.search(name) or not any(map(_WALL.search, device.boundaries))
            probe = '{ contact = { current = "0 A" } }'
            yield law if sure else f"{law}  # a guess; a probe is {probe}"


def _contacts(device: Device) -> tuple[set[str], str]:
    """Boundaries that are contacts, and what to say of a guess."""
    named = {name for name in device.boundaries if _CONTACT.search(name)}
    if len(named) > 1 or len(device.boundaries) < 2:
        return named or set(device.boundaries), ""
    size = dict.fromkeys(device.boundaries, 0.0)
    for piece in device.pieces:
        size[piece.boundary] += piece.measure
    longest = max(size, key=lambda name: size[name])
    some = {longest} if 2 * size[longest] > sum(size.values()) and len(size) > 2 else set()
    others = {name for name in device.boundaries if not _WALL.search(name)} - some
    if 1 < len(others) < len(device.boundaries):
        return others, "a guess: all that is not called a wall"
    smallest = sorted(set(device.boundaries) - named, key=lambda name: size[name])
    return {*named, *smallest[: 2 - len(named)]}, "a guess: name the contacts of your device"


def _probe(device: Device, unit: str) -> str:
    """A line across the way between the first two contacts, from one side to the other."""
    one, other = (end / device.length_unit for end in _across(device))
    ends = [
        ", ".join(f'"{x:.6g} {unit}"' for x in _rounded(*pair))
        for pair in ((one, other), (other, one))
    ]
    return f"across = {{ from = [{ends[0]}], to = [{ends[1]}], points = 201 }}"


def _rounded(end: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One end of a line, in few digits, and not beyond where it was."""
    step = 10.0 ** (np.floor(np.log10(np.abs([end, other]).max())) - 5)
    units, way = end / step, np.sign(np.round((other - end) / step))
    inwards = np.where(way > 0, np.ceil(units - 1e-3), np.floor(units + 1e-3))
    return np.asarray(step * np.where(way, inwards, np.round(units)) + 0.0)


def _size(device: Device) -> str:
    """How long the device is along the axes, in the unit of its file."""
    nodes = device.mesh.geometry.x[:, : device.dimension]
    spans = (
        largest(device.comm, x.max(initial=-np.inf)) - smallest(device.comm, x.min(initial=np.inf))
        for x in nodes.T
    )
    return " by ".join(f"{span / device.length_unit:.4g}" for span in spans)


def _across(device: Device) -> list[np.ndarray]:
    """Ends, m, of a line along an axis in the conductor that does not run along a wall.

    Of such lines it is the one nearest to the middle of the device.
    """
    d, comm, nodes = device.dimension, device.comm, device.mesh.geometry.x
    low = np.array([smallest(comm, x.min(initial=np.inf)) for x in nodes.T[:d]])
    span = np.array([largest(comm, x.max(initial=-np.inf)) for x in nodes.T[:d]]) - low
    along = int(np.argmax(_way(device) if len(_contacts(device)[0]) > 1 else span))
    axis = min((a for a in range(d) if a != along), key=lambda a: span[a])
    others = [a for a in range(d) if a != axis]
    places = np.array(list(product(np.linspace(0.05, 0.95, 19), repeat=d - 1)))
    places = places[np.argsort(np.abs(places - 0.5).sum(axis=1), kind="stable")]
    for place, (aside, least) in ((p, how) for how in _TRIED for p in places):
        beside = np.array(list(product(dict.fromkeys((0.0, -aside, aside)), repeat=d - 1)))
        lines = np.empty((len(beside), _STEPS, d))
        lines[..., axis] = low[axis] + np.linspace(0, 1, _STEPS) * span[axis]
        lines[..., others] = (low[others] + (place + beside) * span[others])[:, None]
        inside = _inside(device, lines)
        runs = np.flatnonzero(np.diff(inside.all(axis=0), prepend=False, append=False))
        first, last = max(runs.reshape(-1, 2), key=np.ptp, default=(0, 0))
        if last - first > least * _STEPS:
            middle = (first + last) // 2
            halves = slice(middle, None, -1), slice(middle, None)
            return [_end(device, lines[0, half], inside[0, half]) for half in halves]
    middle = low + span / 2
    return [np.where(np.arange(d) == axis, end, middle) for end in (low, low + span)]


def _way(device: Device) -> np.ndarray:
    """How far the first two contacts are apart along the axes, m."""
    names, contacts = [piece.boundary for piece in device.pieces], _contacts(device)[0]
    at = [names.index(name) for name in device.boundaries if name in contacts][:2]
    return np.abs(np.diff(piece_centers(device)[at], axis=0))[0]


def _inside(device: Device, points: np.ndarray) -> np.ndarray:
    """Which points, shape (…, d), are in the device."""
    cell, _ = locate(device, points.reshape(-1, device.dimension), strict=True)
    return np.asarray(total(device.comm, (cell >= 0).astype(int)) > 0).reshape(points.shape[:-1])


def _end(device: Device, line: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Where a line of points that begins in the device leaves it."""
    for _ in range(4):
        if inside.all():
            break
        out = int(np.argmin(inside))
        line = np.linspace(line[out - 1], line[out], 101)
        inside = _inside(device, line)
        inside[0], inside[-1] = True, False
    return np.array(line[-1])


def _key(name: str) -> str:
    if _BARE.fullmatch(name):
        return name
    text = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
