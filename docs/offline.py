"""Checks that a built site loads nothing from other hosts: `python -m docs.offline DIRECTORY`, in `make docs`."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:@import\s+|url\()[\"'\s]*((?:https?:)?//[^\"')\s;]+)", re.IGNORECASE)
IN_SCRIPTS = re.compile(r"(?:import|fetch|importScripts)\s*\(\s*[\"'`](https?://[^\"'`]+)")
LOADING = {"src", "srcset", "data", "poster"}
"""Attributes whose address a browser loads by itself; of links only those of <link> are."""


class Loads(HTMLParser):
    """Collects the addresses that a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            loads = name in LOADING or (tag == "link" and name == "href")
            if loads and value and ELSEWHERE.match(value) and ("rel", "canonical") not in attributes:
                self.found.append(value)


def _loaded_by(path: Path) -> list[str]:
    """Addresses on other hosts that one file of the site loads."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".html":
        page = Loads()
        page.feed(text)
        return page.found + IN_STYLES.findall(text) + IN_SCRIPTS.findall(text)
    return {".css": IN_STYLES, ".js": IN_SCRIPTS, ".svg": IN_STYLES}[path.suffix].findall(text)


def _external_loads(site: Path) -> Iterator[tuple[Path, str]]:
    """Each file that loads something from another host, with the address."""
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css", ".js", ".svg"}:
            for address in _loaded_by(path):
                yield path.relative_to(site), address


def main(directory: str) -> int:
    site = Path(directory)
    if not (site / "index.html").is_file():
        sys.stderr.write(f"{site} holds no built site\n")
        return 1
    found = list(_external_loads(site))
    for path, address in found:
        sys.stderr.write(f"{path} loads {address}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
