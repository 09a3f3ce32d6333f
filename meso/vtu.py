"""ParaView files: unstructured grids of Lagrange cells at the true degree, discontinuous.

Every cell has its own nodes, so that what jumps between cells jumps on the screen.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import dolfinx
import numpy as np

_TYPES = {"float64": "Float64", "int64": "Int64", "uint8": "UInt8"}
_LAGRANGE_TRIANGLE = 69
_BLOCK = 1 << 20


def vtk_order(nodes: int) -> np.ndarray:
    """Basix positions of the nodes of a Lagrange triangle in the order of VTK."""
    permutation = dolfinx.cpp.io.perm_vtk(dolfinx.mesh.CellType.triangle, nodes)
    # DOLFINx gives the way back, from the order of VTK to that of Basix.
    return np.argsort(permutation)


def write_vtu(path: Path, points: np.ndarray, data: Mapping[str, np.ndarray]) -> None:
    """Write the cells of one rank.

    Args:
        path: The file.
        points: Nodes of each cell in the order of VTK, metres, shape (c, n, 2).
        data: Values at the nodes by name, shape (c, n) or (c, n, 2).
    """
    cells, nodes = points.shape[:2]

    def three(array: np.ndarray) -> np.ndarray:
        flat = array.reshape(cells * nodes, array.shape[-1])
        return np.column_stack([flat, np.zeros((len(flat), 3 - flat.shape[1]))])

    arrays = [
        _array(name, three(v) if v.ndim == 3 else v.ravel()) for name, v in sorted(data.items())
    ]
    text = f"""<?xml version="1.0"?>
<VTKFile type="UnstructuredGrid" version="2.2" byte_order="LittleEndian"
 header_type="UInt64" compressor="vtkZLibDataCompressor">
<UnstructuredGrid>
<Piece NumberOfPoints="{cells * nodes}" NumberOfCells="{cells}">
<Points>{_array("Points", three(points))}</Points>
<Cells>
{_array("connectivity", np.arange(cells * nodes, dtype=np.int64))}
{_array("offsets", nodes * np.arange(1, cells + 1, dtype=np.int64))}
{_array("types", np.full(cells, _LAGRANGE_TRIANGLE, dtype=np.uint8))}
</Cells>
<PointData>
{"".join(arrays)}
</PointData>
</Piece>
</UnstructuredGrid>
</VTKFile>
"""
    path.write_text(text)


def write_pvd(path: Path, parts: list[str]) -> None:
    """Write the file that ParaView opens.

    Args:
        path: The file.
        parts: Names of the files of all ranks, relative to it.
    """
    sets = "\n".join(
        f'<DataSet timestep="0" part="{i}" file="{part}"/>' for i, part in enumerate(parts)
    )
    path.write_text(
        '<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1">\n<Collection>\n'
        f"{sets}\n</Collection>\n</VTKFile>\n"
    )


def read_vtu(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read what :func:`write_vtu` wrote.

    Returns:
        Points, shape (c, n, 2), and data, shape (c, n) or (c, n, 3).
    """
    text = path.read_text()
    cells = int(re.search(r'NumberOfCells="(\d+)"', text)[1])  # type: ignore[index]
    found = {}
    for name, kind, components, body in re.findall(
        r'<DataArray Name="([^"]*)" type="(\w+)" NumberOfComponents="(\d+)"[^>]*>([^<]*)<', text
    ):
        found[name] = _decode(body, kind).reshape(-1, int(components))
    nodes = len(found["Points"]) // max(1, cells)  # a rank may have no cells
    points = found.pop("Points")[:, :2].reshape(cells, nodes, 2)
    data = {
        name: array.reshape((cells, nodes, array.shape[1])[: 2 + (array.shape[1] > 1)])
        for name, array in found.items()
        if name not in ("connectivity", "offsets", "types")
    }
    return points, data


def _array(name: str, values: np.ndarray) -> str:
    components = 1 if values.ndim == 1 else values.shape[1]
    raw = np.ascontiguousarray(values).tobytes()
    blocks = [raw[i : i + _BLOCK] for i in range(0, len(raw), _BLOCK)]
    packed = [zlib.compress(block, 1) for block in blocks]
    last = len(raw) % _BLOCK
    header = struct.pack(f"<{3 + len(packed)}Q", len(blocks), _BLOCK, last, *map(len, packed))
    body = base64.b64encode(header).decode() + base64.b64encode(b"".join(packed)).decode()
    return (
        f'<DataArray Name="{name}" type="{_TYPES[values.dtype.name]}"'
        f' NumberOfComponents="{components}" format="binary">{body}</DataArray>\n'
    )


def _decode(body: str, kind: str) -> np.ndarray:
    dtype = {v: k for k, v in _TYPES.items()}[kind]
    start = base64.b64decode(body[:32])[:8]
    (count,) = struct.unpack("<Q", start)
    head = 4 * (-(-8 * (3 + count) // 3))
    header = struct.unpack(f"<{3 + count}Q", base64.b64decode(body[:head])[: 8 * (3 + count)])
    data = base64.b64decode(body[head:])
    raw, at = [], 0
    for size in header[3:]:
        raw.append(zlib.decompress(data[at : at + size]))
        at += size
    return np.frombuffer(b"".join(raw), dtype=dtype)
