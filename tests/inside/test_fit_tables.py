"""Tables of measurements as people have them."""

from conftest import GEOMETRIES

from meso import Case
from meso.fitting.schema import Data
from meso.fitting.table import measurements

RIBBON = GEOMETRIES.parent / "demos" / "ribbon" / "case.toml"
WIDTH = "geometry.parameters.width"


def test_tables_of_spreadsheets(tmp_path):
    """Marks of the order of bytes, ends of lines, rows without numbers, a minus sign of print."""
    rows = [f"\ufeff{WIDTH} (nm),note,source.current_uA", "60,,\u22121.5", ",,", "80,a b,-2", ",,"]
    (tmp_path / "data.csv").write_bytes("\r\n".join(rows).encode())
    data = Data(case=RIBBON, file=tmp_path / "data.csv", uncertainty="1 uA")
    found = measurements(data, Case.load(RIBBON))
    assert [(m.line, m.settings[WIDTH], m.value) for m in found] == [(2, 60, -1.5), (4, 80, -2)]
