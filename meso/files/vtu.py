"""ParaView files: unstructured grids of Lagrange cells at the true degree, discontinuous.

Every cell has its own nodes, so that what jumps between cells jumps on the screen. Cells are
triangles, in a plane or on a surface, or tetrahedra.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import comb
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from scipy.spatial.distance import cdist

from meso import _compat

_TYPES = {"float64": "Float64", "int64": "Int64", "uint8": "UInt8"}
# Lagrange triangles and tetrahedra.
_CELL = {2: 69, 3: 71}
_BLOCK = 1 << 20


@lru_cache
def vtk_lattice(degree: int, dimension: int = 2) -> np.ndarray:
    """Nodes of the Lagrange simplex in the order of VTK, times the degree, shape (n, d).

    Vertices, edges, faces, and inside again a simplex, of lower degree. The inner nodes of a face
    are those of a triangle whose corners are these vertices of the tetrahedron.
    """
    if degree <= 0:
        return np.zeros((int(degree == 0), dimension), dtype=int)
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
    cell_data: Mapping[str, np.ndarray] | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write the cells of one rank.

    Args:
        path: The file.
        points: Nodes of each cell in the order of VTK, metres, shape (c, n, 2) or (c, n, 3).
        data: Values at the nodes by name, shape (c, n) or (c, n, components).
        dimension: 2 for triangles, 3 for tetrahedra; by default that of the points.
        cell_data: Values of the cells by name, shape (c,).
        names: Lists of texts, kept as field data.
    """
    cells, nodes = points.shape[:2]

    def three(array: np.ndarray) -> np.ndarray:
        flat = array.reshape(cells * nodes, array.shape[-1])
        return np.pad(flat, ((0, 0), (0, 3 - flat.shape[1])))

    def arrays(given: Mapping[str, np.ndarray]) -> str:
        flat = {name: three(v) if v.ndim == 3 else v.ravel() for name, v in given.items()}
        return "".join(_array(name, values) for name, values in sorted(flat.items()))

    topology = {
        "connectivity": np.arange(cells * nodes, dtype=np.int64),
        "offsets": nodes * np.arange(1, cells + 1, dtype=np.int64),
        "types": np.full(cells, _CELL[dimension or points.shape[2]], dtype=np.uint8),
    }
    path.write_text(f"""<?xml version="1.0"?>
<VTKFile type="UnstructuredGrid" version="2.2" byte_order="LittleEndian"
 header_type="UInt64" compressor="vtkZLibDataCompressor">
<UnstructuredGrid>
{_field_data(names or {})}<Piece NumberOfPoints="{cells * nodes}" NumberOfCells="{cells}">
<Points>{_array("Points", three(points))}</Points>
<Cells>
{arrays(topology)}</Cells>
<PointData>
{arrays(data)}</PointData>
<CellData>
{arrays(cell_data or {})}</CellData>
</Piece>
</UnstructuredGrid>
</VTKFile>
""")


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
    nodes = int(piece.attrib["NumberOfPoints"]) // max(1, cells)  # a rank may have no cells
    found = {array.attrib["Name"]: _decoded(array) for array in piece.iter("DataArray")}
    kinds = {number: d for d, number in _CELL.items()}
    if space is None:
        space = kinds[int(found["types"][0])] if cells else 2
    points = found["Points"].reshape(cells, nodes, 3)[..., :space]
    data = {name: found[name] for name in _names(piece, "CellData")}
    for name in _names(piece, "PointData"):
        data[name] = found[name].reshape(cells, nodes, *found[name].shape[1:])
    return points, data


def _names(piece: ElementTree.Element, section: str) -> list[str]:
    return [array.attrib["Name"] for array in piece.iterfind(f"{section}/DataArray")]


def read_names(path: Path, name: str) -> list[str]:
    """A list of texts that :func:`write_vtu` kept as field data."""
    body = ElementTree.parse(path).findtext(f".//Array[@Name='{name}']") or ""
    return bytes(map(int, body.split())).decode().split("\0")[:-1]


def _field_data(names: Mapping[str, Sequence[str]]) -> str:
    """Lists of texts, each text as the numbers of its bytes and a zero."""
    arrays = [
        f'<Array type="String" Name="{name}" NumberOfTuples="{len(texts)}" format="ascii">'
        + " ".join(str(byte) for text in texts for byte in (*text.encode(), 0))
        + "</Array>\n"
        for name, texts in names.items()
    ]
    return f"<FieldData>\n{''.join(arrays)}</FieldData>\n" if arrays else ""


def _array(name: str, values: np.ndarray) -> str:
    """Numbers of blocks and of bytes in each, and the blocks, compressed, in base64."""
    components = 1 if values.ndim == 1 else values.shape[1]
    raw = np.ascontiguousarray(values).tobytes()
    packed = [zlib.compress(raw[i : i + _BLOCK], 1) for i in range(0, len(raw), _BLOCK)]
    sizes = [len(packed), _BLOCK, len(raw) % _BLOCK, *map(len, packed)]
    head, body = (base64.b64encode(b) for b in (np.array(sizes, "<u8"), b"".join(packed)))
    return (
        f'<DataArray Name="{name}" type="{_TYPES[values.dtype.name]}"'
        f' NumberOfComponents="{components}" format="binary">{(head + body).decode()}</DataArray>\n'
    )


def _decoded(array: ElementTree.Element) -> np.ndarray:
    text, name = array.text or "", array.attrib["type"]
    count = int(np.frombuffer(base64.b64decode(text[:32])[:8], "<u8")[0])
    head = 4 * (-(-8 * (3 + count) // 3))
    ends = np.cumsum(np.frombuffer(base64.b64decode(text[:head]), "<u8", 3 + count)[3:]).tolist()
    data = base64.b64decode(text[head:])
    raw = b"".join(zlib.decompress(data[a:b]) for a, b in pairwise([0, *ends]))
    values = np.frombuffer(raw, {v: k for k, v in _TYPES.items()}[name])
    components = int(array.attrib["NumberOfComponents"])
    return values if components == 1 else values.reshape(-1, components)
