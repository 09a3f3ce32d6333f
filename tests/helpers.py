"""What several tests do with meshes, files and PETSc, through DOLFINx and other libraries alone."""

from __future__ import annotations

import base64
import csv
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import basix
import dolfinx
import numpy as np
from petsc4py import PETSc

import meso
from meso.cli import main

# --- meshes


def coordinate_element(device: meso.Device) -> Any:
    """The scalar element of the cells' geometry."""
    return device.mesh.ufl_domain().ufl_coordinate_element().sub_elements[0]


def cell_degree(device: meso.Device) -> int:
    """Polynomial degree of the cells."""
    return coordinate_element(device).degree


def nodes_of(device: meso.Device) -> np.ndarray:
    """Nodes of the cells that this rank owns, m, vertices first, shape (c, n, d)."""
    geometry, d = device.mesh.geometry, device.dimension
    dofmap = geometry.dofmaps[0] if hasattr(geometry, "dofmaps") else geometry.dofmap
    own = device.mesh.topology.index_map(d).size_local
    return geometry.x[np.asarray(dofmap)[:own], :d]


def facets_of(device: meso.Device, name: str) -> np.ndarray:
    """Cells of the facets of a boundary on this rank, and their numbers in these, shape (f, 2)."""
    return np.asarray(device.ds.entities[name]).reshape(-1, 2)


def on_facets(device: meso.Device, name: str, points: np.ndarray) -> np.ndarray:
    """Positions on the facets of a boundary, m.

    Args:
        device: The device.
        name: The boundary.
        points: Barycentric coordinates with respect to the vertices of a facet, shape (q, d).

    Returns:
        Shape (f, q, d).
    """
    cell = {2: basix.CellType.triangle, 3: basix.CellType.tetrahedron}[device.dimension]
    corners = basix.geometry(cell)
    vertices = np.array(basix.topology(cell)[device.dimension - 1])
    nodes, element = nodes_of(device), coordinate_element(device)
    tables = [element.tabulate(0, np.ascontiguousarray(points @ corners[v]))[0] for v in vertices]
    pairs = facets_of(device, name)
    shape = (len(pairs), len(points), device.dimension)
    return np.array([tables[f] @ nodes[c] for c, f in pairs]).reshape(shape)


def measures(device: meso.Device) -> dict[str, float]:
    """Length (3D: area) of each boundary."""
    out = dict.fromkeys(device.boundaries, 0.0)
    for piece in device.pieces:
        out[piece.boundary] += piece.measure
    return out


def determinants(device: meso.Device, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a quadrature of some degree, (q,), and determinants of the cells, m^d, (c, q)."""
    cell = {2: basix.CellType.triangle, 3: basix.CellType.tetrahedron}[device.dimension]
    points, weights = basix.make_quadrature(cell, degree)
    table = coordinate_element(device).tabulate(1, points)[1:]
    return weights, np.linalg.det(np.einsum("aqn,cni->cqia", table, nodes_of(device)))


def spread(device: meso.Device, function: Any, degree: int) -> Any:
    """A function of positions in the polynomials of a degree on each cell.

    Args:
        device: The device.
        function: From positions (m, d) in metres to values (m,) or (m, k).
        degree: The degree.
    """
    sides = np.asarray(function(np.zeros((1, device.dimension)))).shape[1:]
    space = dolfinx.fem.functionspace(device.mesh, ("DG", degree, sides))
    out = dolfinx.fem.Function(space)
    out.interpolate(lambda x: np.asarray(function(x[: device.dimension].T)).T)
    return out


# --- files


def table(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a CSV file by name."""
    with Path(path).open(newline="") as file:
        header, *rows = csv.reader(file)
    values = np.array(rows, dtype=float)
    assert values.shape[1] == len(header) == len(set(header))
    return dict(zip(header, values.T, strict=True))


_KINDS = {"Float64": "<f8", "Int64": "<i8", "UInt8": "u1"}


def read_vtu(path: str | Path, space: int = 3) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cells of one kind with their nodes: a file of a result, as ParaView reads it.

    Args:
        path: The file.
        space: How many coordinates of the points are wanted.

    Returns:
        Points, shape (c, n, space), and data: at nodes of shape (c, n) or (c, n, 3), of cells of
        shape (c,), without the numbers of their regions.
    """
    piece = next(ElementTree.parse(path).iter("Piece"))
    cells = int(piece.attrib["NumberOfCells"])
    arrays = {a.attrib["Name"]: _decoded(a) for a in piece.iter("DataArray")}
    nodes = arrays.pop("connectivity").reshape(cells, -1 if cells else 0)
    assert set(nodes.ravel()) == set(range(int(piece.attrib["NumberOfPoints"])))
    np.testing.assert_array_equal(arrays.pop("offsets"), nodes.shape[1] * np.arange(1, cells + 1))
    points = arrays.pop("Points")[nodes][..., :space]
    arrays.pop("types")
    arrays.pop("region", None)
    inside = {a.attrib["Name"] for a in piece.find("CellData")}
    data = {name: values if name in inside else values[nodes] for name, values in arrays.items()}
    return points, data


def _decoded(array: ElementTree.Element) -> np.ndarray:
    """A binary array: header of block sizes, then the blocks, both in base64."""
    text = (array.text or "").strip()
    count = int(np.frombuffer(base64.b64decode(text[:12])[:8], "<u8")[0])
    head = 4 * (-(-8 * (3 + count) // 3))
    sizes = np.frombuffer(base64.b64decode(text[:head]), "<u8", 3 + count)[3:]
    packed = base64.b64decode(text[head:])
    ends = np.cumsum(sizes).tolist()
    raw = b"".join(zlib.decompress(packed[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True))
    values = np.frombuffer(raw, _KINDS[array.attrib["type"]])
    components = int(array.attrib.get("NumberOfComponents", 1))
    return values if components == 1 else values.reshape(-1, components)


def vtu_names(path: str | Path, kind: str) -> list[str]:
    """Names of a kind, "wall: left" and others, in the field data of a .vtu file, by number."""
    found = {}
    for array in ElementTree.parse(path).iterfind(".//FieldData/DataArray"):
        before, _, name = array.attrib["Name"].partition(": ")
        if before == kind:
            found[int(_decoded(array)[0])] = name
    assert sorted(found) == list(range(len(found)))
    return [found[number] for number in range(len(found))]


def draw(folder: str | Path) -> list[Path]:
    """Pictures of a result directory, by ``meso plot``."""
    known = {p: p.stat().st_mtime_ns for p in (Path(folder) / "figures").glob("*")}
    assert main(["plot", str(folder)]) == 0
    found = sorted((Path(folder) / "figures").iterdir())
    return [p for p in found if known.get(p) != p.stat().st_mtime_ns]


# --- solvers


@contextmanager
def hopeless() -> Iterator[None]:
    """Direct solutions that are wrong: MUMPS takes every pivot for zero, and goes on."""
    options = PETSc.Options()
    given = {"mat_mumps_icntl_24": 1, "mat_mumps_cntl_3": 1e30}
    for key, value in given.items():
        options[key] = value
    try:
        yield
    finally:
        for key in given:
            options.delValue(key)


def factorisations() -> int:
    """Number of factorisations so far, by PETSc's own log."""
    PETSc.Log.begin()
    events = ("MatCholFctrNum", "MatLUFactorNum", "MatCholFctrSym", "MatLUFactorSym")
    return sum(int(PETSc.Log.Event(name).getPerfInfo()["count"]) for name in events)


# --- reports


class Page(HTMLParser):
    """A report as a browser has it: well formed, and needing nothing but itself.

    Attributes:
        text: All text.
        numbers: Values of its numbers.
        images: Texts in place of its pictures.
        headings: Levels of its headings.
        blocks: Texts of what is set as code.
    """

    _EMPTY = ("meta", "img", "br", "hr")

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.open, self.headings = "", list[str](), list[int]()
        self.numbers, self.images, self.blocks = list[float](), list[str](), list[str]()
        self.ids, self.links = list[str](), list[str]()
        source = path.read_text(encoding="utf-8")
        assert source.startswith("<!DOCTYPE html>\n")
        self.feed(source)
        self.close()
        assert self.open == [] and len(set(self.ids)) == len(self.ids)
        assert set(self.links) <= {f"#{name}" for name in self.ids}
        assert self.headings[:1] == [1] and self.headings.count(1) == 1
        steps = zip(self.headings, self.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs) and tag not in ("script", "link", "iframe", "object")
        assert not any(name.startswith("on") for name in given)
        if tag not in self._EMPTY:
            self.open.append(tag)
        if tag == "html":
            assert given["lang"] == "en"
        if tag == "img":
            start, _, content = str(given["src"]).partition(",")
            assert start == "data:image/png;base64"
            assert base64.b64decode(content, validate=True).startswith(b"\x89PNG")
            assert given["alt"]
            self.images.append(str(given["alt"]))
        if tag == "data":
            self.numbers.append(float(str(given["value"])))
        if tag[0] == "h" and tag[1:].isdigit():
            self.headings.append(int(tag[1:]))
        if tag == "code":
            self.blocks.append("")
        self.ids += [str(given["id"])] if "id" in given else []
        self.links += [str(given["href"])] if "href" in given else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            assert "url(" not in data and "@import" not in data
            return
        self.text += data
        if self.open and self.open[-1] == "code":
            self.blocks[-1] += data

    def record(self) -> Any:
        """The numbers of the whole record, which ends the page."""
        return json.loads(self.blocks[-1])
