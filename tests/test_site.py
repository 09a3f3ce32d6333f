"""The site has everything: public names, pages, demos, pictures, formulas."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from documents import BLOCKS, LINK, ROOT
from test_public import NAMES

if not (ROOT / "docs" / "site").exists():
    pytest.skip("the site is part of the source tree only", allow_module_level=True)
sys.path.append(str(ROOT / "docs" / "site"))

import formulas  # noqa: E402
import gallery  # noqa: E402
import literate  # noqa: E402
import pages  # noqa: E402
import reference  # noqa: E402

SCRIPTS = [path for path in sorted(ROOT.glob("demos/**/*.py")) if literate.is_literate(path)]
#: They take what other programs make; tests/bands has them.
WITHOUT_EXAMPLE = {f"meso.bands.models.{n}" for n in ("from_pythtb", "from_sisl", "Wannier90")}


def test_reference_has_every_public_name() -> None:
    """Those of tests/test_public.py, each once, and no other."""
    assert set(reference.MODULES) == set(NAMES)
    for module, text in reference.pages().items():
        found = re.findall(r"^(?:\.\. (?:auto|py:)\w+:: |:py:mod:`)([\w.]+)", text, re.M)
        if module != "index.rst":
            name, *entries = found
            assert name == module.removesuffix(".rst")
            assert not re.search(r"^\.\. py:data:: .*\n\n+(?! )", text, re.M)  # nothing said of it
            assert sorted(entries) == sorted(f"{name}.{each}" for each in NAMES[name])


def test_every_public_name_is_used_in_a_document() -> None:
    """In code that the tests run: the reference links to it."""
    names = [f"{module}.{name}" for module in NAMES for name in NAMES[module]]
    missing = {name for name in names if not reference.examples(name)}
    assert missing <= WITHOUT_EXAMPLE | {"meso.__version__"}


def test_pages_and_demos_are_on_the_site() -> None:
    """All of docs/ in the table of contents; each demo once, with a picture, in a group that is."""
    listed = [name for names in pages.documents().values() for name in names]
    assert sorted(listed) == sorted(path.stem for path in ROOT.glob("docs/*.md"))
    shown = [path for paths in gallery.groups().values() for path in paths]
    assert len(shown) == len(set(shown))
    assert {path.parent for path in shown} == {p.parent for p in ROOT.glob("demos/*/README.md")}
    assert {path for path in shown if path.suffix == ".py"} == set(SCRIPTS)
    assert [str(path) for path in shown if gallery.picture(path) is None] == []
    text = (ROOT / "docs" / "site" / "gallery.toml").read_text(encoding="utf-8")
    for folder in re.findall(r'"(\w+)"[,\]]', text):
        assert (ROOT / "demos" / folder / "README.md").is_file(), folder


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_links_of_literate_demos(script: Path) -> None:
    for link in LINK.findall(script.read_text(encoding="utf-8")):
        assert "://" in link or (script.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebooks(script: Path) -> None:
    """Notebooks have all of the code, in cells that compile, and pages the picture."""
    pytest.importorskip("jupytext")
    code = [cell.source for cell in literate.read(script).cells if cell.cell_type == "code"]
    for source in code:
        compile(source, script.name, "exec")
    notebook = json.loads(literate.as_notebook(script))
    assert len(notebook["cells"]) > 2 * len(code) - 3 > 3
    assert f"]({script.stem}.png)" in literate.as_markdown(script)


def test_formulas_lose_nothing() -> None:
    """Each is well-formed, and has every letter and number of the text."""
    chosen = [
        block.text
        for block in BLOCKS
        if block.language == "text" and formulas.is_formula(block.text)
    ]
    assert len(chosen) > 30
    same = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀ₀₁₂₃₄₅₆₇₈₉Σ", "0123456789−+T0123456789∑")
    for text in chosen:
        found = "".join(ElementTree.fromstring(formulas.mathml(text)).itertext())
        plain = re.sub(r"[\s^_{}\u0302]", "", text.translate(same))
        # Indices below come before those above.
        assert sorted(re.sub(r"[\s^]", "", found)) == sorted(plain), text


def test_formulas() -> None:
    assert formulas.pieces("λ_ee and X^j = κ^j_ik ∂_iJ_k, at γ̂₂") == [
        *(("text", "λ"), ("sub", "ee"), ("text", " and X"), ("sup", "j"), ("text", " = κ")),
        *(("sup", "j"), ("sub", "ik"), ("text", " ∂"), ("sub", "i"), ("text", "J"), ("sub", "k")),
        ("text", ", at γ̂₂"),
    ]
    for plain in ("a file_name of two", "see meso_x", "edges.1_2", "2^10", "in x_axis_label"):
        assert formulas.pieces(plain) == [("text", plain)]
