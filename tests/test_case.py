"""The case file: what a good one gives, what each kind of bad one is told, and the way back."""

import math
import subprocess
import sys
import tomllib

import pytest

from meso import Case, CaseError, Contact, Material, Periodic, Profile, Wall
from meso.constants import ELEMENTARY_CHARGE

CASE = """
title = "Ti ribbon"
[geometry]
file = "drawings/ribbon.geo"
length_unit = "nm"
parameters = { width = 100, length = 400.5 }
thickness = "20 nm"
[mesh]
size = "10 nm"
wall_size = "1 nm"
[materials.Ti]
carriers = "3d"
conductivity = "2.4e6 S/m"
mean_free_path = "7 nm"
electron_electron_mean_free_path = "inf"
fermi_energy = "1 eV"
[regions]
metal = "Ti"
[boundaries]
source = { contact = { potential = "1 mV" } }
drain = { contact = { potential = 0 } }
probe = { contact = { current = "0 A", law = "reservoir" } }
edges = { wall = { specularity = 0.5 } }
tip = { wall = { slip_length = "inf", law = "literal" } }
[flow]
model = "hydrodynamic"
[output]
directory = "results/ribbon"
[output.probes]
across = { from = ["200 nm", "-50 nm"], to = ["200 nm", 5e-8], points = 401 }
"""

SHEET = {
    "geometry.thickness": None,
    "materials.Ti.carriers": "2d",
    "materials.Ti.conductivity": "0.05 S",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "ribbon.geo").write_text("Point(1) = {0, 0, 0};\n")
    (tmp_path / "case.toml").write_text(CASE)
    return tmp_path


@pytest.fixture
def load(folder):
    """Load the case with changes: dotted key -> value, None to remove."""

    def load(**changes):
        tables = tomllib.loads(CASE)
        for dotted, value in changes.items():
            *path, last = dotted.split(".")
            table = tables
            for part in path:
                table = table.setdefault(part, {})
            table[last] = value
            if value is None:
                del table[last]
        return Case.from_dict(tables, folder)

    return load


def error_of(action, *args, **kwargs):
    with pytest.raises(CaseError) as error:
        action(*args, **kwargs)
    return str(error.value)


def test_a_good_case(folder):
    case = Case.load(folder / "case.toml")
    assert case.title == "Ti ribbon"
    assert case.geometry.file == folder / "drawings" / "ribbon.geo"
    assert case.geometry.length_unit == 1e-9
    assert case.geometry.length_unit_name == "nm"
    assert case.geometry.parameters == {"width": 100.0, "length": 400.5}
    assert case.geometry.thickness == 20e-9
    assert (case.mesh.size, case.mesh.wall_size, case.mesh.geometry_order) == (1e-8, 1e-9, None)
    assert case.materials == {
        "Ti": Material(
            name="Ti",
            carriers="3d",
            conductivity=2.4e6,
            mean_free_path=7e-9,
            fermi_energy=ELEMENTARY_CHARGE,
        )
    }
    assert case.regions == {"metal": "Ti"}
    assert case.contacts == {
        "source": Contact(potential=1e-3),
        "drain": Contact(potential=0.0),
        "probe": Contact(current=0.0, law="reservoir"),
    }
    assert case.walls == {
        "edges": Wall(specularity=0.5),
        "tip": Wall(slip_length=math.inf, law="literal"),
    }
    assert case.boundaries == case.contacts | case.walls
    assert (case.flow.model, case.flow.order, case.flow.solver) == ("hydrodynamic", None, "auto")
    assert case.flow.magnetic_field == 0.0
    assert case.mesh.adapt is None
    assert str(case.output.directory) == "results/ribbon"
    assert case.output.fields == ("current_density", "potential", "vorticity", "orbital_density")
    probe = case.output.probes["across"]
    assert (probe.from_, probe.to, probe.points) == ((2e-7, -5e-8), (2e-7, 5e-8), 401)
    assert case.warnings == ()


def test_reading_a_case_loads_no_solver(folder):
    code = (
        "import sys; from meso import Case; Case.load(sys.argv[1]); "
        "print({'dolfinx', 'mpi4py', 'petsc4py', 'gmsh', 'matplotlib'} & sys.modules.keys())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, folder / "case.toml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "set()"


def test_fields_follow_from_the_model_and_the_materials(load):
    assert load(**{"flow.model": "ohmic"}).output.fields == ("current_density", "potential")
    without = load(**{"materials.Ti.fermi_energy": None})
    assert without.output.fields == ("current_density", "potential", "vorticity")


def test_wall_slip(load):
    case = load()
    titanium = case.materials["Ti"]
    assert case.walls["edges"].slip_rate(titanium) == titanium.slip_rate(0.5)
    assert case.walls["tip"].slip_rate(titanium) == 0.0
    assert Wall(slip_length=0.0).slip_rate(titanium) == math.inf
    assert Wall(slip_length=0.5).slip_rate(titanium) == 2.0


BAD = [
    # Keys
    ("flow.ordr", 4, ["flow.ordr: unknown key", 'did you mean "order"']),
    ("materials.Ti.mean_free_pth", 1, ["materials.Ti.mean_free_pth", '"mean_free_path"']),
    ("boundaries.source.contact.volt", 1, ["boundaries.source.contact.volt", "known: potential"]),
    ("output.probes.across.form", [1, 2], ["output.probes.across.form", 'did you mean "from"']),
    ("geometry.unit", "nm", ["geometry.unit: unknown key", "length_unit"]),
    ("outptu", {}, ["outptu: unknown key", 'did you mean "output"']),
    # Missing
    ("geometry", None, ["geometry: missing", "[geometry] with file"]),
    ("geometry.length_unit", None, ["geometry.length_unit: missing", '"nm"']),
    ("geometry.file", None, ["geometry.file: missing", '"ribbon.geo"']),
    ("materials", None, ["materials: missing", "[materials.NAME]"]),
    ("materials.Ti.carriers", None, ["materials.Ti.carriers: missing", '"2d" or "3d"']),
    ("materials.Ti.conductivity", None, ["materials.Ti.conductivity: missing", "S/m"]),
    ("regions", {}, ["regions: empty"]),
    ("boundaries", None, ["boundaries: missing"]),
    ("boundaries", {}, ["boundaries: empty"]),
    ("flow", None, ["flow: missing", "hydrodynamic"]),
    # Types
    ("title", 3, ["title: found 3"]),
    ("mesh", 3, ["mesh: found 3; must be a table"]),
    ("materials", [1], ["materials: found [1]; must be a table"]),
    ("materials.Ti", "Ti", ["materials.Ti: found 'Ti'; must be a table"]),
    ("materials.Ti.provenance", 3, ["materials.Ti.provenance: found 3; must be a table"]),
    ("regions.metal", 3, ["regions.metal: found 3"]),
    ("flow.order", "4", ["flow.order: found '4'", "integer"]),
    ("flow.order", True, ["flow.order: found True", "integer"]),
    ("flow.bounds", 1, ["flow.bounds: found 1; must be true or false"]),
    ("flow.seed", -1, ["flow.seed: found -1; must be 0 or larger"]),
    ("flow.magnetic_direction", [0, 1], ["magnetic_direction: found [0, 1]; must be a list of 3"]),
    ("flow.magnetic_direction", [0, 1, "x"], ["flow.magnetic_direction.2: found 'x'"]),
    ("output.probes", {"p": {"from": 1, "to": [0, 1]}}, ["probes.p.from: found 1; must be a list"]),
    # Geometry and mesh
    ("geometry.file", "other.geo", ['geometry.file: found "other.geo"; no such file: /']),
    ("geometry.file", 3, ["geometry.file: found 3; must be a path"]),
    ("geometry.length_unit", 1e-9, ["geometry.length_unit: found 1e-09; must be a unit"]),
    ("geometry.length_unit", "eV", ["geometry.length_unit", "energy", "length"]),
    ("geometry.length_unit", "10 nm", ["geometry.length_unit", "cannot read"]),
    ("geometry.parameters.width", "9 nm", ["geometry.parameters.width", "expected a number"]),
    ("geometry.parameters.width", True, ["geometry.parameters.width: found True"]),
    ("geometry.thickness", "0 nm", ["geometry.thickness", "must be positive"]),
    ("geometry.thickness", "inf", ["geometry.thickness", "must be finite"]),
    ("mesh.size", "-1 nm", ["mesh.size: found -1e-09; must be positive"]),
    ("mesh.wall_size", "11 nm", ["mesh.wall_size", "must not exceed size"]),
    ("mesh.geometry_order", 0, ["mesh.geometry_order: found 0; must be in 1 … 5"]),
    ("mesh.accuracy", 1.0, ["mesh.accuracy: found 1; a relative error of currents"]),
    ("mesh.adapt", 3, ["mesh.adapt: found 3; must be a table"]),
    ("mesh.adapt", {}, ["mesh.adapt.target: missing", '"conductance"']),
    ("mesh.adapt", {"target": "conductance", "step": 2}, ["adapt.step: unknown", '"steps"']),
    ("mesh.adapt", {"target": "conductance", "steps": 0}, ["mesh.adapt.steps: found 0"]),
    ("mesh.adapt", {"target": "conductance", "steps": 21}, ["mesh.adapt.steps: found 21"]),
    (
        "mesh.adapt",
        {"target": "conductance", "tolerance": 0},
        ["mesh.adapt.tolerance: found 0.0; must be positive"],
    ),
    ("mesh.adapt", {"target": "edge"}, ['mesh.adapt.target: unknown target "edge"', "edge_moment"]),
    # Profiles
    ("materials.Ti.conductivity", {}, ["Ti.conductivity.unit: missing", '"S/m"'], 2),
    (
        "materials.Ti.conductivity",
        {"expression": "1", "unit": "nm"},
        ["Ti.conductivity.unit", "(length)", "expected conductivity"],
    ),
    ("materials.Ti.conductivity", {"expression": "1", "unit": 3}, ["conductivity.unit: found 3"]),
    (
        "materials.Ti.conductivity",
        {"expression": "1", "data": "a", "unit": "S/m"},
        ["materials.Ti.conductivity: found both of expression and data"],
    ),
    (
        "materials.Ti.mean_free_path",
        {"expresion": "1", "unit": "nm"},
        ["mean_free_path.expresion: unknown key", 'did you mean "expression"'],
        2,
    ),
    (
        "materials.Ti.mean_free_path",
        {"expression": "7*(1 + xx)", "unit": "nm"},
        ['mean_free_path.expression: unknown name "xx"; did you mean "x"'],
    ),
    (
        "materials.Ti.mean_free_path",
        {"expression": 7, "unit": "nm"},
        ["mean_free_path.expression: found 7; must be a text"],
    ),
    (
        "materials.Ti.mean_free_path",
        {"data": "lambda", "unit": "nm"},
        ["mean_free_path.data", "ribbon.geo is a drawing"],
    ),
    ("materials.Ti.fermi_energy", {"expression": "1", "unit": "eV"}, ["Ti.fermi_energy: found {"]),
    # Quantities
    ("materials.Ti.mean_free_path", "7", ["materials.Ti.mean_free_path: missing unit"]),
    ("materials.Ti.mean_free_path", "7 eV", ["materials.Ti.mean_free_path", "energy", "length"]),
    ("materials.Ti.mean_free_path", "7 nn", ["materials.Ti.mean_free_path: unknown unit"]),
    ("materials.Ti.mean_free_path", "-7 nm", ["materials.Ti.mean_free_path: found -7e-09"]),
    ("materials.Ti.mean_free_path", 0, ["materials.Ti.mean_free_path", '"ohmic"']),
    ("materials.Ti.conductivity", "0.05 S", ["materials.Ti.conductivity", '"2.4e6 S/m"']),
    ("materials.Ti.conductivity", "0 S/m", ["materials.Ti.conductivity", "must be positive"]),
    ("materials.Ti.scattering", {"gamma2": -1}, ["materials.Ti.scattering.gamma2: found -1"]),
    ("materials.Ti.scattering", "radial-tangential", ["materials.Ti.scattering", '"2d" only']),
    ("materials.Ti.carriers", "4d", ["materials.Ti.carriers: found '4d'", "2d, 3d"]),
    ("materials.Ti.library", "Tii", ["materials.Ti.library", 'did you mean "Ti"', "Cu"]),
    # Boundaries
    ("boundaries.drain", {}, ["boundaries.drain: found {}; must be { contact"]),
    ("boundaries.drain", 3, ["boundaries.drain: found 3; must be { contact"]),
    ("boundaries.drain", {"perodic": {}}, ['boundary "perodic"; did you mean "periodic"']),
    ("boundaries.drain", {"periodic": {}}, ["drain.periodic.to: missing", 'e.g. "right"']),
    ("boundaries.drain", {"periodic": {"to": ""}}, ["drain.periodic.to: found ''"]),
    ("boundaries.drain", {"periodic": {"to": 3}}, ["drain.periodic.to: found 3"]),
    (
        "boundaries.drain",
        {"periodic": {"to": "end", "voltage": "1 V", "current": "1 A"}},
        ["drain.periodic: found both of voltage and current"],
    ),
    (
        "boundaries.drain",
        {"periodic": {"to": "end", "voltage": "1 A"}},
        ["drain.periodic.voltage", "expected potential"],
    ),
    (
        "boundaries.drain",
        {"periodic": {"to": "end", "curent": 1}},
        ["drain.periodic.curent: unknown key", 'did you mean "current"'],
    ),
    ("boundaries.drain", {"periodic": {"to": "drain"}}, ['periodic.to: found "drain" itself']),
    (
        "boundaries.tip",
        {"periodic": {"to": "edges"}},
        ["boundaries.tip.periodic.to", '"edges" is in [boundaries] as well'],
    ),
    (
        "boundaries.probe",
        {"periodic": {"to": "end", "current": "1 A/m"}},
        ['probe.periodic.current: found "1 A/m"'],
    ),
    ("boundaries.drain", {"contact": {}}, ["boundaries.drain.contact: found neither"]),
    ("boundaries.drain", {"contact": 3}, ["boundaries.drain.contact: found 3; must be a table"]),
    ("boundaries.drain.contact.current", "1 A", ["boundaries.drain.contact: found both"]),
    ("boundaries.drain.contact.potential", "1 A", ["boundaries.drain.contact.potential: found"]),
    ("boundaries.drain.contact.potential", math.inf, ["finite potential"]),
    ("boundaries.drain.contact.law", "idle", ['did you mean "ideal"']),
    ("boundaries.edges", {"wall": {}}, ["boundaries.edges.wall: found neither of specularity"]),
    ("boundaries.edges.wall.slip_length", "1 nm", ["boundaries.edges.wall: found both"]),
    ("boundaries.edges.wall.specularity", 1.5, ["edges.wall.specularity: found 1.5", "0 … 1"]),
    ("boundaries.edges.wall.specularity", "0.5", ["edges.wall.specularity: found '0.5'"]),
    ("boundaries.tip.wall.slip_length", "-1 nm", ["tip.wall.slip_length: found -1e-09"]),
    ("boundaries.wall", {"wall": {"specularty": 0}}, ['did you mean "specularity"']),
    ("boundaries.tip.wall.law", "tracton", ["tip.wall.law", 'did you mean "traction"']),
    # Flow and output
    ("flow.model", "hydro", ["flow.model: found 'hydro'", 'did you mean "hydrodynamic"']),
    ("flow.order", 1, ["flow.order: found 1; must be in 2 … 10 for the hydrodynamic"]),
    ("flow.order", 11, ["flow.order: found 11"]),
    ("flow.harmonics", 1, ["flow.harmonics: found 1", "even number from 2"]),
    ("flow.harmonics", 10**7, ["flow.harmonics: found 10000000", "from 2 to 1024"]),
    ("materials.Ti.fermi_energy", "1e-300 eV", ["fermi_energy: found 1.6", "too small"]),
    ("flow.harmonics", 3, ["flow.harmonics: found 3", '"auto"']),
    ("flow.bounds", True, ["flow.bounds", 'needs flow.model = "kinetic"']),
    ("flow.solver", "iterativ", ["flow.solver", 'did you mean "iterative"']),
    ("output.fields", ["potental"], ["output.fields.0", 'did you mean "potential"']),
    ("output.directory", 3, ["output.directory: found 3; must be a path"]),
    ("output.probes.across.points", 1, ["output.probes.across.points: found 1"]),
    ("output.probes.across.from", ["1 nm"], ["output.probes.across.from: found 1 coordinates"]),
    ("output.probes.across.from", [1, 2, 3], ["across: from and to", "number of coordinates"]),
    ("output.probes.across.from", ["inf", 2], ["output.probes.across.from.0", "finite"]),
    ("output.probes.across.from", ["200 nm", "50 nm"], ["are the same point"]),
    # Between tables
    ("regions.metal", "Tii", ['regions.metal: no material "Tii"', 'did you mean "Ti"']),
    ("materials.Ti.mean_free_path", None, ["materials.Ti.mean_free_path: missing", '"7 nm"']),
    ("boundaries.probe.contact.current", "0 A/m", ['probe.contact.current: found "0 A/m"']),
    # Not in this version
    (
        "flow.magnetic_field",
        "1 T",
        ["materials.Ti.fermi_wavevector: missing; a magnetic field needs it"],
    ),
    ("flow.magnetic_direction", [0, 0, 0], ["flow.magnetic_direction: found [0.0, 0.0, 0.0]"]),
    ("flow.magnetic_direction", [0, 1, 0], ["magnetic_direction: found [0.0, 1.0, 0.0]; other"]),
    ("angular_momentum.orbital", {"diffusivity": 1e-5}, ["orbital.relaxation_time: missing"]),
]


@pytest.mark.parametrize(("key", "value", "fragments", "lines"), [(*e, 1)[:4] for e in BAD])
def test_bad_entries(load, key, value, fragments, lines):
    message = error_of(load, **{key: value})
    for fragment in fragments:
        assert fragment in message
    assert len(message.splitlines()) == lines


def test_all_problems_are_reported_at_once(folder):
    text = CASE.replace("7 nm", "7").replace("order", "odrer").replace("drawings/", "")
    (folder / "case.toml").write_text(text.replace('"1 mV"', '"1 mA"'))
    message = error_of(Case.load, folder / "case.toml")
    first, *lines = message.splitlines()
    assert first == f"{folder / 'case.toml'}: 3 problems"
    keys = ["geometry.file", "materials.Ti.mean_free_path", "boundaries.source.contact.potential"]
    assert [line.split(":")[0].strip() for line in lines] == keys


def test_unreadable_files(folder):
    missing = folder / "none.toml"
    assert error_of(Case.load, missing) == (
        f"{missing}: cannot read the case file: No such file or directory"
    )
    assert "directory" in error_of(Case.load, folder)
    (folder / "bad.toml").write_text('title = "x"\nflow = \n')
    assert "bad.toml: not valid TOML" in error_of(Case.load, folder / "bad.toml")
    assert "line 2" in error_of(Case.load, folder / "bad.toml")
    (folder / "bad.toml").write_bytes(b"title = '\xff'")
    assert "not UTF-8" in error_of(Case.load, folder / "bad.toml")


def test_a_potential_must_be_fixed_in_every_model(load):
    floating = {
        "boundaries.source": {"contact": {"current": "1 A"}},
        "boundaries.drain": {"contact": {"current": "-1 A"}},
    }
    for model in ("ohmic", "hydrodynamic"):
        message = error_of(load, **floating, **{"flow.model": model})
        assert "boundaries: no contact has a fixed potential" in message


def test_ohmic_needs_neither_mean_free_path_nor_order_two(load):
    case = load(**{"flow.model": "ohmic", "flow.order": 1, "materials.Ti.mean_free_path": None})
    assert case.materials["Ti"].vorticity_diffusion_length is None


def test_mean_free_path_is_asked_for_by_what_needs_it(load):
    given = {
        "materials.Ti.mean_free_path": None,
        "materials.Ti.vorticity_diffusion_length": "3 nm",
        "boundaries.probe": None,
    }
    assert "the walls edges need it" in error_of(load, **given)
    slip = {"boundaries.edges": {"wall": {"slip_length": "1 nm"}}}
    assert load(**given, **slip).materials["Ti"].vorticity_diffusion_length == 3e-9
    specular = {"boundaries.edges": {"wall": {"specularity": 1.0}}}
    assert load(**given, **specular).walls["edges"].specularity == 1.0
    reservoir = {"boundaries.drain.contact.law": "reservoir"}
    assert "the reservoirs drain need it" in error_of(load, **given, **slip, **reservoir)


def test_orbital_density_needs_its_coupling(load):
    given = {"materials.Ti.fermi_energy": None, "output.fields": ["orbital_density"]}
    assert "materials.Ti.fermi_energy: missing" in error_of(load, **given)
    assert load(**given, **{"materials.Ti.orbital_coupling": "-2e-31 J s/A"})


def test_carriers_agree(load):
    other = {"carriers": "2d", "conductivity": "1 S", "mean_free_path": "1 nm"}
    assert load(**{"materials.gas": other}).warnings == ("materials.gas: not used by any region",)
    message = error_of(load, **{"materials.gas": other, "regions.sheet": "gas"})
    assert "regions: all materials must have the same carriers" in message
    assert "Ti: 3d, gas: 2d" in message


def test_electron_gas(load):
    case = load(**SHEET)
    assert case.carriers == "2d"
    assert case.materials["Ti"].conductivity == 0.05
    assert case.current_unit(2) == "A"
    assert "need a 2D mesh" in error_of(case.current_unit, 3)
    thick = SHEET | {"geometry.thickness": "1 nm"}
    assert "geometry.thickness: a 2D electron gas" in error_of(load, **thick)
    per_width = {"boundaries.probe.contact.current": "0 A/m"}
    assert "probe.contact.current" in error_of(load, **SHEET, **per_width)


def test_unit_of_currents_of_a_3d_material(load):
    assert load().current_unit(2) == "A"
    assert "geometry.thickness: is for a 2D mesh" in error_of(load().current_unit, 3)
    thin = {"geometry.thickness": None}
    current = "boundaries.probe.contact.current"
    assert load(**thin).current_unit(3) == "A"
    assert "2D mesh needs without geometry.thickness" in error_of(load(**thin).current_unit, 2)
    per_width = load(**thin, **{current: "1 A/m"})
    assert per_width.current_unit(2) == "A/m"
    assert "another unit than A" in error_of(per_width.current_unit, 3)
    number = load(**thin, **{current: 0})
    assert (number.current_unit(2), number.current_unit(3)) == ("A/m", "A")
    mixed = {current: "1 A/m", "boundaries.extra": {"contact": {"current": "1 A"}}}
    assert "in A and in A/m are mixed" in error_of(load, **thin, **mixed)


def test_forgotten_units_are_warned_of(load):
    (warning,) = load(**{"materials.Ti.mean_free_path": 7}).warnings
    assert warning.startswith("materials.Ti.mean_free_path: 7 m is unusual")
    (warning,) = load(**{"materials.Ti.fermi_energy": 1}).warnings
    assert warning.startswith("materials.Ti.fermi_energy: 1 J is unusual")


def test_library_and_provenance(load):
    case = load(**{"materials.Ti": {"library": "Cu", "mean_free_path": "10 nm"}})
    copper = case.materials["Ti"]
    assert copper.mean_free_path == 1e-8
    assert copper.conductivity == 5.959e7
    assert copper.provenance["mean_free_path"] == "case file"
    assert copper.provenance["conductivity"].startswith("library Cu: D. Gall")
    assert copper.provenance["scattering"] == "default"
    assert copper.provenance["vorticity_diffusion_length"].startswith("derived")
    own = {"library": "Cu", "provenance": {"conductivity": "mine"}}
    assert load(**{"materials.Ti": own}).materials["Ti"].provenance["conductivity"] == "mine"


def test_what_the_library_does_not_know_is_asked_for(load):
    tungsten = {"materials.Ti": {"library": "W"}}
    assert "orbital_density" not in load(**tungsten).output.fields
    message = error_of(load, **tungsten, **{"output.fields": ["orbital_density"]})
    assert "materials.Ti.fermi_energy: missing" in message


def test_overrides(folder):
    texts = ["materials.Ti.mean_free_path=9 nm", "flow.order = 5", "output.probes.across.points=3"]
    more = ["title=a = b", 'regions.metal="Ti"', "boundaries.tip.wall.slip_length=inf"]
    case = Case.load(folder / "case.toml", [*texts, *more])
    assert (case.title, case.regions["metal"]) == ("a = b", "Ti")
    assert case.walls["tip"].slip_length == math.inf
    same = {"materials.Ti.mean_free_path": "9 nm", "flow.order": 5, "title": "a = b"}
    same["output.probes.across.points"] = 3
    assert Case.load(folder / "case.toml", same).hash == case.hash
    assert case.materials["Ti"].mean_free_path == 9e-9
    assert (case.flow.order, case.output.probes["across"].points) == (5, 3)
    assert Case.load(folder / "case.toml").flow.order is None


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("flow.ordr=4", ["flow.ordr: unknown key", 'did you mean "order"']),
        ("flwo.order=4", ["flwo: unknown key", 'did you mean "flow"']),
        ("materials.Tu.mean_free_path=1 nm", ['no "Tu" in the case; did you mean "Ti"']),
        ("boundaries.sorce.contact.potential=1", ['did you mean "source"']),
        ("regions.mteal=Ti", ['no "mteal" in the case; did you mean "metal"']),
        ("title.x=1", ["title.x: title is not a table"]),
        ("flow.order=four", ["flow.order: found 'four'"]),
        ("flow.order=11", ["flow.order: found 11"]),
    ],
)
def test_bad_overrides(folder, text, fragments):
    message = error_of(Case.load, folder / "case.toml", [text])
    for fragment in ["case.toml", *fragments]:
        assert fragment in message


@pytest.mark.parametrize("text", ["flow.order", "=4", "flow..order=4", ".=1"])
def test_malformed_overrides(folder, text):
    assert "expected key=value" in error_of(Case.load, folder / "case.toml", [text])


VARIANTS = [
    {},
    SHEET,
    {"materials.Ti": {"library": "Cu", "mean_free_path": "10 nm"}},
    {"materials.Ti.scattering": {"gamma2": 0.5, "gamma3": 2}},
    {"flow.model": "ohmic", "output": None, "mesh": None, "title": None},
    {"materials.Ti.vorticity_diffusion_length": "3 nm", "materials.Ti.orbital_coupling": 1e-31},
    {"boundaries.from_": {"wall": {"specularity": 1}}, "output.fields": []},
    {"boundaries.left": {"periodic": {"to": "right"}}, "flow.solver": "iterative"},
    {"boundaries.left": {"periodic": {"to": "right", "current": "1 mA"}}, "flow.order": 3},
    {"mesh.adapt": {"target": "edge_moment", "steps": 3, "tolerance": 1e-4}},
    {"materials.Ti.conductivity": {"expression": "2*(1 + x/100)", "unit": "MS/m"}},
    {
        "materials.Ti.mean_free_path": {"expression": "7 + step(y)", "unit": "nm"},
        "materials.Ti.vorticity_diffusion_length": {"expression": "3", "unit": "nm"},
    },
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_resolved_case_is_the_same_case(load, folder, changes):
    case = load(**changes)
    elsewhere = folder / "results" / "run"
    elsewhere.mkdir(parents=True)
    (elsewhere / "case.toml").write_text(case.to_toml(relative_to=elsewhere))
    again = Case.load(elsewhere / "case.toml")
    assert again.hash == case.hash
    assert again.to_toml(folder) == case.to_toml(folder)
    for name in ("geometry", "mesh", "materials", "boundaries", "flow", "output"):
        assert getattr(again, name) == getattr(case, name)
    assert again.materials["Ti"].provenance == case.materials["Ti"].provenance


def test_the_resolved_case_keeps_what_the_user_wrote_and_adds_defaults(load, folder):
    tables = load().to_dict(relative_to=folder)
    assert tables["geometry"]["file"] == "drawings/ribbon.geo"
    assert tables["materials"]["Ti"]["mean_free_path"] == "7 nm"
    assert tables["materials"]["Ti"]["scattering"] == "isotropic"
    assert "vorticity_diffusion_length" not in tables["materials"]["Ti"]
    assert tables["boundaries"]["source"] == {"contact": {"potential": "1 mV", "law": "ideal"}}
    assert tables["flow"]["solver"] == "auto"
    assert "order" not in tables["flow"]
    assert tables["output"]["probes"]["across"]["from"] == ["200 nm", "-50 nm"]
    assert load().to_dict()["geometry"]["file"] == str(folder / "drawings" / "ribbon.geo")


def test_the_resolved_case_does_not_depend_on_the_library(load, folder):
    case = load(**{"materials.Ti": {"library": "Cu"}})
    table = case.to_dict(folder)["materials"]["Ti"]
    assert "library" not in table
    assert table["conductivity"] == "5.959e7 S/m"
    assert table["provenance"]["conductivity"].startswith("library Cu")


def test_hash_is_of_values_not_of_spelling_or_place(load, folder):
    reference = load().hash
    assert len(reference) == 64
    same = {
        "title": "Another title",
        "materials.Ti.mean_free_path": 7e-9,
        "boundaries.source.contact.potential": "1000 uV",
        "flow.solver": "auto",
        "geometry.parameters.width": 100.0,
        "materials.Ti.provenance": {"mean_free_path": "my thesis"},
        "output.directory": "elsewhere",
    }
    assert load(**same).hash == reference
    (folder / "copy.geo").write_bytes((folder / "drawings" / "ribbon.geo").read_bytes())
    assert load(**{"geometry.file": "copy.geo"}).hash == reference


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("materials.Ti.mean_free_path", "7.0001 nm"),
        ("materials.Ti.scattering", {"gamma3": 2}),
        ("boundaries.edges.wall.specularity", 0.4),
        ("boundaries.edges.wall.law", "literal"),
        ("boundaries.tip", None),
        ("regions.other", "Ti"),
        ("flow.order", 5),
        ("flow.model", "ohmic"),
        ("flow.solver", "direct"),
        ("mesh.size", None),
        ("mesh.adapt", {"target": "conductance"}),
        ("boundaries.drain", {"periodic": {"to": "right"}}),
        ("materials.Ti.conductivity", {"expression": "2.4e6", "unit": "S/m"}),
        ("geometry.thickness", "21 nm"),
        ("geometry.length_unit", "um"),
        ("geometry.parameters.width", 101),
        ("output.fields", ["potential"]),
        ("output.probes.across.points", 400),
    ],
)
def test_hash_changes_with_every_value(load, key, value):
    assert load(**{key: value}).hash != load().hash


def test_hash_changes_with_the_geometry_and_what_it_includes(load, folder):
    drawing = folder / "drawings" / "ribbon.geo"
    before = load().hash
    drawing.write_text('Include "part.geo";\n')
    (folder / "drawings" / "part.geo").write_text('Include "ribbon.geo";\n')
    first = load().hash
    (folder / "drawings" / "part.geo").write_text("Point(2) = {0, 0, 0};\n")
    assert len({before, first, load().hash}) == 3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Contact(), "found neither of potential and current"),
        (lambda: Contact(potential=1.0, current=1.0), "found both"),
        (lambda: Contact(potential=math.nan), "potential: found nan"),
        (lambda: Contact(current="1 A"), "current: found '1 A'; must be a finite number"),
        (lambda: Contact(potential=0.0, law="x"), "law: found 'x'; must be \"ideal\" or"),
        (lambda: Wall(), "found neither of specularity and slip_length"),
        (lambda: Wall(specularity=-0.1), "specularity: found -0.1; must be in 0 … 1"),
        (lambda: Wall(slip_length=-1.0), "slip_length: found -1.0; must be 0 or positive"),
        (lambda: Wall(specularity=0.0, law="x"), "law: found 'x'; must be \"traction\" or"),
        (lambda: Periodic(to=""), "to: found ''; must be the name of a boundary"),
        (lambda: Periodic(to="right", voltage=0.0, current=0.0), "found both of voltage and"),
        (lambda: Periodic(to="right", voltage=math.inf), "voltage: found inf; must be a finite"),
        (lambda: Periodic(to="right", current="1 A"), "current: found '1 A'; must be a finite"),
    ],
)
def test_boundaries_built_in_python_are_checked(build, message):
    assert message in error_of(build)


def test_resistances_name_contacts(load):
    wanted = {"current": ["source", "drain"], "voltage": ["drain", "source"]}
    case = load(**{"output.resistances.back": wanted})
    assert case.output.resistances["back"].voltage == ("drain", "source")
    assert case.to_dict()["output"]["resistances"]["back"] == wanted
    wrong = {"current": ["source", "drian"], "voltage": ["drain", "drain"]}
    with pytest.raises(CaseError) as error:
        load(**{"output.resistances.back": wrong})
    assert "output.resistances.back.voltage" in str(error.value)
    wrong["voltage"] = ["drain", "source"]
    with pytest.raises(CaseError, match='no contact "drian"; did you mean "drain"'):
        load(**{"output.resistances.back": wrong})


def test_a_periodic_pair(load):
    pair = {"periodic": {"to": "right", "voltage": "1 mV"}}
    case = load(**{"boundaries.left": pair})
    assert case.periodic == {"left": Periodic(to="right", voltage=1e-3)}
    assert case.boundaries == case.contacts | case.walls | case.periodic
    still = load(**{"boundaries.left": {"periodic": {"to": "right"}}}).periodic["left"]
    assert (still.voltage, still.current) == (0.0, None)
    driven = {"boundaries.left": {"periodic": {"to": "right", "current": "1 mA"}}}
    assert load(**driven).periodic["left"] == Periodic(to="right", current=1e-3)
    assert load(**driven).periodic["left"].voltage is None


def test_periodic_pairs_need_no_contact_but_contacts_need_a_potential(load):
    closed = {
        "boundaries.source": {"periodic": {"to": "right", "voltage": "1 mV"}},
        "boundaries.drain": None,
    }
    alone = load(**closed, **{"boundaries.probe": None})
    assert not alone.contacts
    assert "no contact has a fixed potential" in error_of(load, **closed)


def test_a_boundary_belongs_to_one_pair(load):
    pairs = {
        "boundaries.left": {"periodic": {"to": "right"}},
        "boundaries.lower": {"periodic": {"to": "right"}},
    }
    message = error_of(load, **pairs)
    assert message == (
        'boundaries.lower.periodic.to: "right" belongs to the pair of "left" already'
    )


def test_unit_of_the_current_of_a_periodic_pair(load):
    def driven(current):
        pair = {"periodic": {"to": "right", "current": current}}
        return {"geometry.thickness": None, "boundaries.probe": pair}

    assert load(**driven("1 A/m")).current_unit(2) == "A/m"
    assert load(**driven("1 A")).current_unit(3) == "A"
    assert "another unit than A/m" in error_of(load(**driven("1 A")).current_unit, 2)
    extra = {"boundaries.extra": {"contact": {"current": "1 A"}}}
    message = error_of(load, **driven("1 A/m"), **extra)
    assert 'in A and in A/m are mixed; found extra: "1 A", probe: "1 A/m"' in message


def test_resistances_do_not_name_periodic_pairs(load):
    wanted = {"current": ["source", "left"], "voltage": ["drain", "source"]}
    changes = {
        "boundaries.left": {"periodic": {"to": "right"}},
        "output.resistances.back": wanted,
    }
    assert 'output.resistances.back.current: no contact "left"' in error_of(load, **changes)


def test_profiles(load):
    case = load(
        **{
            "materials.Ti.conductivity": {"expression": "2*(1 + x/100)", "unit": "MS/m"},
            "materials.Ti.mean_free_path": {"expression": "7", "unit": "nm"},
        }
    )
    titanium = case.materials["Ti"]
    assert titanium.conductivity == Profile(expression="2*(1 + x/100)", scale=1e6, length_unit=1e-9)
    assert titanium.mean_free_path == Profile(expression="7", scale=1e-9, length_unit=1e-9)
    assert titanium.provenance["conductivity"] == "case file"
    assert titanium.vorticity_diffusion_length is None
    assert case.warnings == ()
    assert "vorticity" in case.output.fields


def test_unit_of_the_conductivity_profile_follows_the_carriers(load):
    profile = {"materials.Ti.conductivity": {"expression": "1", "unit": "S"}}
    assert load(**(SHEET | profile)).materials["Ti"].conductivity.scale == 1.0
    assert "Ti.conductivity.unit" in error_of(load, **profile)


def test_cell_data_come_with_a_mesh(load, folder):
    (folder / "ribbon.msh").write_text("")
    data = {"materials.Ti.mean_free_path": {"data": "lambda", "unit": "nm"}}
    case = load(**data, **{"geometry.file": "ribbon.msh"})
    assert case.materials["Ti"].mean_free_path.data == "lambda"
    assert not case.geometry.is_drawing


@pytest.mark.parametrize("suffix", ["geo", "step", "STP", "brep", "iges"])
def test_drawings(load, folder, suffix):
    (folder / f"part.{suffix}").write_text("")
    assert load(**{"geometry.file": f"part.{suffix}"}).geometry.is_drawing


def test_adaptive_refinement(load, folder):
    adapt = load(**{"mesh.adapt": {"target": "conductance"}}).mesh.adapt
    assert (adapt.target, adapt.steps, adapt.tolerance) == ("conductance", 6, None)
    moment = {"mesh.adapt": {"target": "edge_moment", "steps": 20, "tolerance": 1e-5}}
    assert load(**moment).mesh.adapt.tolerance == 1e-5
    resistance = {"current": ["source", "drain"], "voltage": ["probe", "drain"]}
    named = {"mesh.adapt": {"target": "back"}, "output.resistances.back": resistance}
    assert load(**named).mesh.adapt.target == "back"
    (folder / "ribbon.msh").write_text("")
    message = error_of(load, **moment, **{"geometry.file": "ribbon.msh"})
    assert message == "mesh.adapt: ribbon.msh is a mesh already; only a drawing can be refined"


def test_targets_of_the_refinement_must_exist(load):
    moment = {"mesh.adapt": {"target": "edge_moment"}}
    bare = error_of(load, **moment, **{"materials.Ti.fermi_energy": None})
    assert "mesh.adapt.target" in bare
    assert "missing in Ti" in bare
    no_wall = {"boundaries.edges": None, "boundaries.tip": None}
    assert 'target: "edge_moment" needs a wall' in error_of(load, **moment, **no_wall)
    assert "not the ohmic model" in error_of(load, **moment, **{"flow.model": "ohmic"})
    one = {"mesh.adapt": {"target": "conductance"}, "boundaries.probe": None}
    one |= {"boundaries.drain": None}
    assert "needs two contacts or a periodic pair" in error_of(load, **one)
    assert load(**one, **{"boundaries.left": {"periodic": {"to": "right"}}})
