"""Draws the loop from docs/loop.toml, for pages on the web and for the site's first page. `make tree` runs it."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
SPARROW = DOCS.parent / "static/sparrow.svg"
TEMPLATES = DOCS.parent / "templates/chat/loop"
WIDTH, HEIGHT = 880, 486
CARD_WIDTH, CARD_HEIGHT = 336, 132
CORNERS = [(32, 32), (512, 32), (512, 292), (32, 292)]
"""Of the cards, clockwise from the top left."""
FONTS = "system-ui, -apple-system, 'Segoe UI', 'Apple SD Gothic Neo', 'Noto Sans KR', 'Malgun Gothic', sans-serif"
MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
STYLE = """
text {{ font-family: {fonts}; font-size: 15px; fill: {soft} }}
.name {{ font-size: 21px; font-weight: 650; fill: {ink} }}
.folder {{ font-family: {mono}; font-size: 13px; fill: {accent} }}
.number {{ font-size: 15px; font-weight: 700; fill: {on_accent} }}
.label {{ font-weight: 600; fill: {ink} }}
.arrow {{ fill: none; stroke: {accent}; stroke-width: 2.5; stroke-linecap: round; stroke-linejoin: round }}
.refusal {{ stroke: {bad} }}
.refused {{ font-weight: 600; fill: {bad} }}
.paper {{ fill: {paper} }}
.step {{ fill: {card}; stroke: {line}; stroke-width: 1.5 }}
.disc {{ fill: {accent} }}
"""

Colours = Mapping[str, str]
Words = Mapping[str, Any]


def pictures() -> dict[Path, str]:
    """Each file with what belongs into it."""
    said = tomllib.loads((DOCS / "loop.toml").read_text(encoding="utf-8"))
    return {
        _path_of(language, scheme): _picture(words, colours)
        for language, words in said["languages"].items()
        for scheme, colours in said["schemes"].items()
    }


def _path_of(language: str, scheme: str) -> Path:
    """`loop.svg` is English and light; `loop-dark.ko.svg` is Korean and dark."""
    return DOCS / f"loop{'-dark' if scheme == 'dark' else ''}{'' if language == 'en' else '.' + language}.svg"


def _picture(words: Words, colours: Colours) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{escape(words['title'])}</title>",
            f"<style>{STYLE.format(fonts=FONTS, mono=MONO, **colours)}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="16"/>',
            *_cards(words),
            *_folders(words),
            *_arrows(words),
            *_refusal(words),
            *_middle(words["middle"]),
            "</svg>\n",
        ]
    )


def site_pictures() -> dict[Path, str]:
    """For the site's first page, which colours and turns it (static/css/landing.css) and tells the same as text.

    Without the names of folders, which say nothing to a visitor.
    """
    said = tomllib.loads((DOCS / "loop.toml").read_text(encoding="utf-8"))
    return {TEMPLATES / f"{language}.html": _site_picture(words) for language, words in said["languages"].items()}


def _site_picture(words: Words) -> str:
    return "\n".join(
        [
            f'<svg class="loop-picture" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" focusable="false">',
            '<circle class="traveller" r="8"/>',
            *_cards(words),
            *_arrows(words),
            *_refusal(words),
            *_middle([]),
            "</svg>\n",
        ]
    )


def _cards(words: Words) -> Iterator[str]:
    for number, (step, corner) in enumerate(zip(words["steps"], CORNERS, strict=True), start=1):
        yield from _card(number, step, corner)


def _card(number: int, step: Words, corner: tuple[int, int]) -> Iterator[str]:
    x, y = corner
    yield f'<rect class="step" x="{x}" y="{y}" width="{CARD_WIDTH}" height="{CARD_HEIGHT}" rx="14"/>'
    yield f'<circle class="disc disc-{number}" cx="{x + 33}" cy="{y + 34}" r="14"/>'
    yield _written(x + 33, y + 39, str(number), "number", "middle")
    yield _written(x + 58, y + 41, step["name"], "name")
    for line, says in enumerate(step["says"]):
        yield _written(x + 20, y + 81 + 24 * line, says)


def _folders(words: Words) -> Iterator[str]:
    for step, (x, y) in zip(words["steps"], CORNERS, strict=True):
        yield _written(x + CARD_WIDTH - 20, y + 40, step["folder"], "folder", "end")


def _arrows(words: Words) -> Iterator[str]:
    """Between the cards: along the top, down on the right, back along the bottom, up on the left."""
    left, right = CORNERS[0][0] + CARD_WIDTH, CORNERS[1][0]
    upper, lower = CORNERS[0][1] + CARD_HEIGHT, CORNERS[2][1]
    top, bottom = CORNERS[0][1] + CARD_HEIGHT // 2, lower + CARD_HEIGHT // 2
    west, east = CORNERS[0][0] + 60, CORNERS[1][0] + CARD_WIDTH - 60
    yield _arrow(left + 10, top, right - 10, top)
    yield _arrow(east, upper + 10, east, lower - 10)
    yield _arrow(right - 10, bottom, left + 10, bottom)
    yield _arrow(west, lower - 10, west, upper + 10)
    centre, height = (left + right) // 2, (upper + lower) // 2
    along_top, on_right, along_bottom, on_left = words["arrows"]
    yield from _block(centre, top - 14, along_top, "label", "middle")
    yield from _block(east - 18, height + 5, on_right, "label", "end")
    yield from _block(centre, bottom - 14, along_bottom, "label", "middle")
    yield from _block(west + 18, height + 5, on_left, "label")


def _refusal(words: Words) -> Iterator[str]:
    """A candidate that does not pass leaves the loop below the last card."""
    x, y = CORNERS[3][0] + 60, CORNERS[3][1] + CARD_HEIGHT
    yield _arrow(x, y + 10, x, y + 44, "arrow refusal")
    yield _written(x + 18, y + 34, words["refused"], "refused")


def _middle(lines: list[str]) -> Iterator[str]:
    x, y = WIDTH // 2, (CORNERS[0][1] + CARD_HEIGHT + CORNERS[2][1]) // 2
    strokes = re.sub(r"</?svg[^>]*>", "", SPARROW.read_text(encoding="utf-8")).strip()
    yield f'<g transform="translate({x - 32} {y - 60})">{strokes}</g>'
    yield from _block(x, y + 34, lines, "", "middle")


def _block(x: int, y: int, lines: list[str], kind: str = "", anchor: str = "start") -> Iterator[str]:
    """Lines of text around the height y."""
    first = y - 11 * (len(lines) - 1)
    for number, line in enumerate(lines):
        yield _written(x, first + 22 * number, line, kind, anchor)


def _written(x: int, y: int, words: str, kind: str = "", anchor: str = "start") -> str:
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{x}" y="{y}"{attributes}>{escape(words)}</text>'


def _arrow(x1: int, y1: int, x2: int, y2: int, kind: str = "arrow") -> str:
    """A line with an open head."""
    dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
    one = f"{x2 - 9 * dx + 6 * dy} {y2 - 9 * dy + 6 * dx}"
    other = f"{x2 - 9 * dx - 6 * dy} {y2 - 9 * dy - 6 * dx}"
    return f'<path class="{kind}" d="M{x1} {y1} L{x2} {y2} M{one} L{x2} {y2} L{other}"/>'


if __name__ == "__main__":
    for path, drawn in {**pictures(), **site_pictures()}.items():
        path.write_text(drawn, encoding="utf-8")
