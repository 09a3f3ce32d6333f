"""ParaView files: unstructured grids of Lagrange cells at the true degree.

Cells share a node where they agree about it, and have one of their own where something jumps: so
does it on the screen. Cells are lines, triangles, in a plane or on a surface, or tetrahedra.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from itertools import pairwise
from math import comb
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from scipy.spatial.distance import cdist

from meso import _compat

_TYPES = {"float64": "Float64", "int64": "Int64", "uint8": "UInt8"}
# Lagrange curves, triangles and tetrahedra.
_CELL = {1: 68, 2: 69, 3: 71}
_BLOCK = 1 << 20


@lru_cache
def vtk_lattice(degree: int, dimension: int = 2) -> np.ndarray:
    """Nodes of the Lagrange simplex in the order of VTK, times the degree, shape (n, d).

    Vertices, edges, faces, and inside again a simplex, of lower degree. The inner nodes of a face
    are those of a triangle whose corners are these vertices of the tetrahedron.
    """
    if degree <= 0:
        return np.zeros((int(degree == 0), dimension), dtype=int)
    if dimension == 1:
        return np.array([0, degree, *range(1, degree)])[:, None]
    corners = degree * np.vstack([np.zeros(dimension, dtype=int), np.eye(dimension, dtype=int)])
    edges = [(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)][: 3 if dimension == 2 else 6]
    inside = np.arange(1, degree)[:, None]
    parts = [corners]
    parts += [corners[a] + inside * (corners[b] - corners[a]) // degree for a, b in edges]
    if dimension == 3:
        face = vtk_lattice(degree - 3) + 1
        for a, b, c in ((0, 1, 3), (2, 3, 1), (0, 3, 2), (0, 2, 1)):
            sides = np.stack([corners[b] - corners[a], corners[c] - corners[a]]) // degree
            parts.append(corners[a] + face @ sides)
    return np.concatenate([*parts, vtk_lattice(degree - dimension - 1, dimension) + 1])


def degree_of(nodes: int, dimension: int = 2) -> int:
    """Polynomial degree of a Lagrange simplex from the number of its nodes."""
    return next(p for p in range(nodes) if comb(p + dimension, dimension) == nodes)


def vtk_nodes(degree: int, dimension: int = 2) -> np.ndarray:
    """Nodes of the Lagrange simplex in the order of VTK on the reference cell, shape (n, d)."""
    return vtk_lattice(degree, dimension) / degree


def vtk_order(nodes: int, dimension: int = 2) -> np.ndarray:
    """Basix positions of the nodes of a Lagrange simplex in the order of VTK."""
    degree = degree_of(nodes, dimension)
    cell = "triangle" if dimension == 2 else "tetrahedron"
    points = _compat.scalar_element(cell, degree).points
    return cdist(vtk_nodes(degree, dimension), points).argmin(axis=1)


def write_vtu(
    path: Path,
    points: np.ndarray,
    data: Mapping[str, np.ndarray],
    *,
    dimension: int | None = None,
    nodes: np.ndarray | None = None,
    cell_data: Mapping[str, np.ndarray] | None = None,
    names: Mapping[str, int] | None = None,
    units: Mapping[str, str] | None = None,
) -> None:
    """Write the cells of one rank.

    Args:
        path: The file.
        points: Nodes of each cell in the order of VTK, metres, shape (c, n, 2) or (c, n, 3).
        data: Values at the nodes by name, shape (c, n) or (c, n, components).
        dimension: Of the cells, by default that of the points.
        nodes: Numbers of the nodes, shape (c, n): cells whose data are equal at one share it. By
            default each has its own.
        cell_data: Values of the cells by name, shape (c,).
        names: Numbers of names, such as {"region: metal": 0}, kept as field data of these names,
            which all programs show.
        units: Units of data by name, kept with them (VTK's UNITS_LABEL), and among the names.
    """
    cells, each = points.shape[:2]
    units = units or {}
    if nodes is None:
        nodes = np.arange(cells * each).reshape(cells, each)
    flat = {name: v.reshape(nodes.size, *(v.shape[2:] or (1,))) for name, v in data.items()}
    kept, connectivity = _merged(nodes, list(flat.values()))

    def arrays(given: Mapping[str, np.ndarray]) -> str:
        return "".join(_array(name, v, units.get(name)) for name, v in sorted(given.items()))

    def three(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, 0), (0, 3 - values.shape[1])))

    topology = {
        "connectivity": connectivity,
        "offsets": each * np.arange(1, cells + 1, dtype=np.int64),
        "types": np.full(cells, _CELL[dimension or points.shape[2]], dtype=np.uint8),
    }
    at_points = {
        name: three(values[kept]) if data[name].ndim == 3 else values[kept, 0]
        for name, values in flat.items()
    }
    known = {f"unit: {name} in {unit}": 1 for name, unit in units.items()} | dict(names or {})
    path.write_text(
        f"""<?xml version="1.0"?>
<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian"
 header_type="UInt64" compressor="vtkZLibDataCompressor">
<UnstructuredGrid>
<FieldData>
{arrays({name: np.array([number]) for name, number in known.items()})}</FieldData>
<Piece NumberOfPoints="{len(kept)}" NumberOfCells="{cells}">
<Points>{_array("Points", three(points.reshape(nodes.size, points.shape[2])[kept]))}</Points>
<Cells>
{arrays(topology)}</Cells>
<PointData>
{arrays(at_points)}</PointData>
<CellData>
{arrays(cell_data or {})}</CellData>
</Piece>
</UnstructuredGrid>
</VTKFile>
""",
        encoding="utf-8",
    )


def _merged(nodes: np.ndarray, data: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Copies of nodes that are kept, and which of these each of them is, shape (c * n,)."""
    number = nodes.ravel().astype(np.int64)
    _, kept, which = np.unique(number, return_index=True, return_inverse=True)
    rows = np.concatenate([np.empty((len(number), 0)), *data], axis=1)
    # Those that differ from the first one at their node; equal ones among them are one again.
    other = np.flatnonzero((rows != rows[kept[which]]).any(axis=1))
    keys = np.column_stack([number[other], rows[other]]) + 0.0
    _, first, of = np.unique(
        keys.view(f"V{keys.itemsize * keys.shape[1]}"), return_index=True, return_inverse=True
    )
    which[other] = len(kept) + of.ravel()
    return np.concatenate([kept, other[first]]), which


def write_pvd(path: Path, parts: list[str]) -> None:
    """Write the file that ParaView opens, with the files of all ranks relative to it."""
    sets = "\n".join(
        f'<DataSet timestep="0" part="{i}" file="{part}"/>' for i, part in enumerate(parts)
    )
    path.write_text(
        '<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1">\n<Collection>\n'
        f"{sets}\n</Collection>\n</VTKFile>\n"
    )


def read_vtu(path: Path, space: int | None = None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read what :func:`write_vtu` wrote.

    Args:
        path: The file.
        space: Number of coordinates to return; by default the dimension of the cells.

    Returns:
        Points, shape (c, n, space), and data: at nodes of shape (c, n) or (c, n, 3), of cells of
        shape (c,).
    """
    piece = next(ElementTree.parse(path).iter("Piece"))
    cells = int(piece.attrib["NumberOfCells"])
    found = {array.attrib["Name"]: _decoded(array) for array in piece.iter("DataArray")}
    kinds = {number: d for d, number in _CELL.items()}
    if space is None:
        space = kinds[int(found["types"][0])] if cells else 2
    # A rank may have no cells.
    nodes = found["connectivity"].reshape(cells, -1 if cells else 0)
    data = {name: found[name] for name in _names(piece, "CellData")}
    data |= {name: found[name][nodes] for name in _names(piece, "PointData")}
    return found["Points"][nodes][..., :space], data


def _names(piece: ElementTree.Element, section: str) -> list[str]:
    return [array.attrib["Name"] for array in piece.iterfind(f"{section}/DataArray")]


def read_names(path: Path, kind: str) -> list[str]:
    """Names of a kind ("wall: left", …) that :func:`write_vtu` kept as field data, by number."""
    tree = ElementTree.parse(path)
    # Those of earlier versions: each as the numbers of its bytes and a zero.
    body = tree.findtext(f".//Array[@Name='{kind}_names']") or ""
    found = {
        int(_decoded(array)[0]): array.attrib["Name"].removeprefix(f"{kind}: ")
        for array in tree.iterfind(".//FieldData/DataArray")
        if array.attrib["Name"].startswith(f"{kind}: ")
    }
    earlier = bytes(map(int, body.split())).decode().split("\0")[:-1]
    return [found[number] for number in sorted(found)] or earlier


def _array(name: str, values: np.ndarray, unit: str | None = None) -> str:
    """Numbers of blocks and of bytes in each, and the blocks, compressed, in base64; the unit."""
    # Of scalars it is left out: other readers take one for a vector.
    several = f' NumberOfComponents="{values.shape[1]}"' if values.ndim > 1 else ""
    raw = np.ascontiguousarray(values).tobytes()
    packed = [_packed(raw[i : i + _BLOCK]) for i in range(0, len(raw), _BLOCK)]
    sizes = [len(packed), _BLOCK, len(raw) % _BLOCK, *map(len, packed)]
    head, body = (base64.b64encode(b) for b in (np.array(sizes, "<u8"), b"".join(packed)))
    key = '<InformationKey name="UNITS_LABEL" location="vtkDataArray">'
    label = f"{key}{escape(unit)}</InformationKey>" if unit else ""
    return (
        f'<DataArray Name="{escape(name)}" type="{_TYPES[values.dtype.name]}"'
        f'{several} NumberOfTuples="{len(values)}" format="binary">'
        f"{(head + body).decode()}{label}</DataArray>\n"
    )


def _packed(block: bytes) -> bytes:
    # Of numbers nothing longer than a byte repeats, and to look for it takes twice as long.
    stream = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return stream.compress(block) + stream.flush()


def _decoded(array: ElementTree.Element) -> np.ndarray:
    text, name = array.text or "", array.attrib["type"]
    count = int(np.frombuffer(base64.b64decode(text[:32])[:8], "<u8")[0])
    head = 4 * (-(-8 * (3 + count) // 3))
    ends = np.cumsum(np.frombuffer(base64.b64decode(text[:head]), "<u8", 3 + count)[3:]).tolist()
    data = base64.b64decode(text[head:])
    raw = b"".join(zlib.decompress(data[a:b]) for a, b in pairwise([0, *ends]))
    values = np.frombuffer(raw, {v: k for k, v in _TYPES.items()}[name])
    components = int(array.attrib.get("NumberOfComponents", 1))
    return values if components == 1 else values.reshape(-1, components)
