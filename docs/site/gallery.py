"""The gallery: every demo with its picture, by the question that it answers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import literate
from documents import LINK, ROOT
from PIL import Image

PICTURES = (".png", ".svg", ".jpg")


def demos() -> dict[str, list[Path]]:
    """Documents of the demos by folder: its README, or the literate scripts in it."""
    folders: dict[str, list[Path]] = {}
    for readme in sorted(ROOT.glob("demos/*/README.md")):
        scripts = [p for p in sorted(readme.parent.glob("*.py")) if literate.is_literate(p)]
        folders[readme.parent.name] = scripts or [readme]
    return folders


def groups() -> dict[str, list[Path]]:
    """Documents of the demos by question, as gallery.toml has them; those in no list come last."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    left = demos()
    out = {
        group["title"]: [path for name in group["demos"] for path in left.pop(name, [])]
        for group in table["group"]
    }
    more = [path for paths in left.values() for path in paths]
    return {question: paths for question, paths in (out | {"More": more}).items() if paths}


def title(path: Path) -> tuple[str, str]:
    """The heading of a demo: its name, and what it says after a colon."""
    if literate.is_literate(path):
        heading = literate.title(path)
    else:
        heading = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    name, _, says = heading.partition(": ")
    return name, says[:1].upper() + says[1:]


def picture(path: Path) -> Path | None:
    """The first picture of a demo; of a script the one with its name."""
    if path.suffix == ".py":
        found = [path.with_suffix(".png")]
    else:
        text = path.read_text(encoding="utf-8")
        found = [path.parent / link for link in LINK.findall(text) if link.endswith(PICTURES)]
    return next((file.resolve() for file in found if file.is_file()), None)


def thumbnail(path: Path) -> str:
    """Where the site has the small picture of a demo."""
    return "thumbnails/" + "_".join(path.relative_to(ROOT / "demos").with_suffix(".png").parts)


def shrink(image: Path, target: Path) -> None:
    """Write a small copy of a picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(image) as picture:
        picture.thumbnail((640, 640))
        picture.save(target)


def page() -> str:
    """The gallery in MyST's Markdown."""
    parts, tree = [], []
    for question, paths in groups().items():
        parts.append(f"## {question}\n\n::::{{grid}} 1 2 2 3\n:gutter: 3\n")
        for path in paths:
            name, says = title(path)
            at = f"/{path.relative_to(ROOT).with_suffix('')}"
            image = f":img-top: {thumbnail(path)}\n:img-alt: {name}\n" if picture(path) else ""
            parts.append(
                f":::{{grid-item-card}} {name}\n:link: {at}\n:link-type: doc\n{image}\n{says}\n:::"
            )
            readme = path.with_name("README.md")
            first = f"{title(readme)[0]} <{at.rpartition('/')[0]}/README>"
            if path != readme and first not in tree:
                tree.append(first)
            tree.append(f"{name} <{at}>")
        parts.append("::::\n")
    head = "# Gallery\nEach picture is a story with a case file or a script that runs as it is.\n"
    listed = "\n".join(tree)
    return "\n".join([head, f"```{{toctree}}\n:hidden:\n\n{listed}\n```", *parts])
