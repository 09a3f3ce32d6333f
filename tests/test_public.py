"""The public interface: what tests may import, its names, and what they say of themselves."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import meso

TESTS = Path(__file__).parent
#: Modules that a user may import; from all others nothing, outside tests/inside.
PUBLIC = {
    *("meso", "meso.angular_momentum", "meso.bands", "meso.bands.models", "meso.cli"),
    *("meso.constants", "meso.errors", "meso.exact", "meso.exact_kinetic", "meso.flow"),
    "meso.gradients",
    "meso.orbital",
}
#: What each of them promises: a change here is a change for users, and belongs into CHANGELOG.md.
NAMES = {
    "meso": {
        *("Case", "Contact", "Device", "FermiLine", "Groups", "Layer", "Material", "Periodic"),
        *("Profile", "Result", "Selector", "Wall", "compare", "design", "fit", "four_terminal"),
        "quantity",
        "run",
        "sweep",
        "wire",
        *("CaseError", "ConvergenceError", "GeometryError", "MesoError"),
        *("angular_momentum", "bands", "exact", "exact_kinetic", "flow", "gradients", "orbital"),
        "__version__",
    },
    "meso.angular_momentum": {
        *("LEVI_CIVITA", "ONE", "RESERVOIR", "Densities", "Diffusion", "Response", "Surface"),
        *("Transport", "conversion", "decay_lengths", "diffusion_block", "hall_block", "layer"),
        *("material", "one_way", "powers", "precession_block", "rotated", "rotation", "shortest"),
        "two_way",
    },
    "meso.flow": {
        *("Bounds", "Flow", "Hydrodynamic", "Kinetic", "Ohmic", "Particles", "Terminal"),
        *("Wire", "WireFlow"),
        "conductance_bounds",
    },
    "meso.orbital": {
        *("EdgeMoment", "couplings", "edge_moments", "orbital_density", "spin_density"),
        "vorticity",
    },
    "meso.gradients": {
        "Gradient",
        "Input",
        "gradient",
        "inputs_of",
        "moved",
        "velocities",
        *("ShapeGradient", "shape_gradient", "with_errors", "with_uncertainties"),
    },
    "meso.exact": {"Bend", "Corbino", "Layers", "Ribbon", "RoundWire"},
    "meso.exact_kinetic": {"KineticFilm", "KineticRibbon"},
    "meso.errors": {"MesoError", "CaseError", "GeometryError", "ConvergenceError", "known"},
    "meso.constants": {"ELECTRON_CHARGE", "ELECTRON_MASS", "ELEMENTARY_CHARGE", "HBAR"},
    "meso.cli": {"main"},
    "meso.bands": {
        *("Coefficients", "Diffusivity", "FermiSurface", "Mesh", "Normalisation", "Quantity"),
        *("check_model", "coefficients", "curl_coefficient", "diffusivities", "diffusivity"),
        *("dipole", "fermi_lines", "fermi_surface", "hall_conductivity", "interband_density"),
        *("kubo_ladder", "models", "orbital_coupling", "orbital_magnetoelectric", "plane"),
        *("quantum_kinetic", "relaxation_rates", "scatterers", "torque", "uniform", "validate"),
        *("vertex_correction", "weak_limit"),
    },
    "meso.bands.models": {
        *("TABLES", "BccP", "ElectronGas", "GappedLattice", "Model", "RadialTangential"),
        *("SlaterKosterBcc", "TightBinding", "TiltedDirac", "TwoCentreTable", "Wannier90"),
        *("from_bloch", "from_pythtb", "from_sisl"),
    },
}


def imports(path: Path) -> list[str]:
    """Modules of meso that a test imports, also in code that it runs, or patches by name."""
    found = []
    todo = [ast.parse(path.read_text(encoding="utf-8"))]
    for tree in todo:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                # A name that is a module counts as one: from meso import sizing.
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found += [node.module or "", *(n for n in names if is_module(n))]
            elif isinstance(node, ast.Constant) and re.fullmatch(r"meso(\.\w+)+", str(node.value)):
                found += [name for name in prefixes(str(node.value)) if is_module(name)]
            elif isinstance(node, ast.Constant) and "import meso" in str(node.value):
                try:
                    todo.append(ast.parse(str(node.value)))
                except SyntaxError:
                    continue  # a part of a text
    return [name for name in found if name.split(".")[0] == "meso"]


def prefixes(name: str) -> list[str]:
    """All of a dotted name and what it begins with, without the package itself."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(2, len(parts) + 1)]


def is_module(name: str) -> bool:
    place = TESTS.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


#: Longer than sixty lines, each for a reason.
LONG = {
    "coefficients": "one entry for each coefficient of a band structure",
    "adaptive": "one loop whose state is all of it",
    "decide": "the criteria, one after the other",
}
#: More than eight arguments: options of users, by keyword.
WIDE = {"__init__", "fit", "from_gmsh", "number", "run", "scalar_matrices", "sweep"}


def test_functions_are_short() -> None:
    for path in (TESTS.parent / "meso").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            documented = len((ast.get_docstring(node) or "").splitlines())
            lines = (node.end_lineno or 0) - node.lineno - documented
            assert lines <= 60 or node.name in LONG, f"{path}: {node.name} has {lines} lines"
            arguments = len(node.args.args) + len(node.args.kwonlyargs)
            assert arguments <= 8 or node.name in WIDE, f"{path}: {node.name}: {arguments}"


def hidden(modules: list[str]) -> set[str]:
    """Those that are not public; the equations are, module by module."""
    return {m for m in modules if m not in PUBLIC and not m.startswith("meso.equations")}


def test_tests_see_what_users_see() -> None:
    """The inside may change without them; what needs it lies in tests/inside."""
    files = [p for p in TESTS.rglob("*.py") if TESTS / "inside" not in p.parents]
    assert len(files) > 20
    wrong = {str(p.relative_to(TESTS)): sorted(hidden(imports(p))) for p in files}
    assert {name: modules for name, modules in wrong.items() if modules} == {}


#: Packages and modules of meso from the ground up: each knows those above it in this list only.
FLOORS = [
    *("errors", "validation", "constants", "units", "stencils"),
    *("interrupts", "lazily", "mpi", "_compat"),
    *("equations", "materials"),
    *("boundary", "geometry", "requirements", "files", "case", "reports", "compiled", "measures"),
    "device",
    *("sensitivities", "discrete", "flow", "observables", "orbital", "moment_gradients"),
    *("angular_momentum", "bands", "evidence", "exact", "exact_kinetic", "figures", "results"),
    *("gradients", "fitting", "designing", "demos", "cli", "__main__"),
]


def test_imports_go_one_way() -> None:
    """Also: equations know nothing but UFL and small arrays."""
    package = TESTS.parent / "meso"
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        if parts == ("__init__",):
            continue
        own = FLOORS.index(parts[0])
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ImportFrom | ast.Import):
                continue
            names = [alias.name for alias in node.names]
            whole = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            if isinstance(node, ast.ImportFrom) and whole == ["meso"]:
                whole = [f"meso.{name}" for name in names if name != "__version__"]
            for name in whole:
                first, _, rest = name.partition(".")
                if first == "meso" and rest:
                    assert FLOORS.index(rest.split(".")[0]) <= own, f"{path} imports {name}"
                if parts[0] == "equations":
                    allowed = {"numpy", "ufl", *sys.stdlib_module_names}
                    assert first in allowed or rest.startswith("equations"), f"{path}: {name}"


def test_who_knows_what() -> None:
    """PETSc's objects belong to `discrete`; einsum is for angular matrices and bands."""
    package = TESTS.parent / "meso"
    for path in package.rglob("*.py"):
        text, parts = path.read_text(encoding="utf-8"), path.relative_to(package).parts
        if parts[0] not in ("discrete", "results", "cli"):  # the last two: versions, options
            assert "petsc4py" not in text, path
        if parts[0] != "bands" and parts[-2:] != ("flow", "angular.py"):
            assert "einsum" not in text, path


def test_tests_of_the_inside_are_few() -> None:
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in TESTS.rglob("*.py")}
    inside = sum(n for p, n in lines.items() if TESTS / "inside" in p.parents)
    assert inside < 0.15 * sum(lines.values())


@pytest.mark.parametrize("module", NAMES)
def test_public_names(module: str) -> None:
    found = import_module(module)
    assert set(found.__all__) == NAMES[module]
    assert len(found.__all__) == len(set(found.__all__))
    assert all(hasattr(found, name) for name in found.__all__)


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names_say_what_they_are(module: str) -> None:
    """Every function and class, and every public method, has a docstring of its own."""
    found = import_module(module)
    assert found.__doc__
    silent = []
    for name in found.__all__:
        thing = getattr(found, name)
        if not (inspect.isfunction(thing) or inspect.isclass(thing)):
            continue
        parts = {name: thing}
        if inspect.isclass(thing):
            parts |= {
                f"{name}.{key}": value
                for key, value in vars(thing).items()
                if not key.startswith("_")
                and isinstance(value, property | classmethod | staticmethod | type(is_module))
            }
        silent += [key for key, part in parts.items() if not (part.__doc__ or "").strip()]
    assert silent == []


def test_names_that_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="module 'meso' has no attribute 'Devise'"):
        _ = meso.Devise
    assert set(dir(meso)) == set(meso.__all__)
