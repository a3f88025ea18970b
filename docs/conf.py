"""How Sphinx builds these pages as a site: `make docs`. The navigation is the lists of links in docs/index.md."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

project = "Chamsae"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"Chamsae {version}"
html_logo = html_favicon = "../static/sparrow.svg"
html_static_path = html_css_files = ["site.css"]
html_extra_path = ["loop.svg", "loop-dark.svg"]  # Sphinx copies no picture of a <picture> by itself
html_copy_source = False
html_show_copyright = False
html_theme_options = {"light_css_variables": {"color-brand-primary": "#9c4a1f", "color-brand-content": "#9c4a1f"}}
html_theme_options["dark_css_variables"] = {"color-brand-primary": "#eba671", "color-brand-content": "#eba671"}


def contents(index: str) -> Iterator[str]:
    """A hidden table of contents for each list of links under a heading: a directive in the page itself would be
    shown as code where the page is read as plain Markdown."""
    for part in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        caption, pages = part.splitlines()[0], re.findall(r"^- \[[^]]+\]\(([\w.-]+)\.md\)", part, re.MULTILINE)
        yield "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])


def add_contents(app: Any, name: str, source: list[str]) -> None:
    if name == "index":
        source[0] = "\n\n".join([source[0], *contents(source[0])])


def setup(app: Any) -> None:
    app.connect("source-read", add_contents)
