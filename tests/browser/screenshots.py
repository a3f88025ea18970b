"""`make screenshots`: every page in both languages, phone and wide, light and dark, into screenshots/."""

import argparse
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.browser.chromium import Visitor, started, visiting
from tests.browser.furnished import PROGRAM
from tests.site import Site, running_site

if TYPE_CHECKING:
    from tests.browser.tour import Stop

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "screenshots"
LANGUAGES = {"en": "en-US", "ko": "ko-KR"}
WIDTHS = {390: 844, 1280: 800}
SCHEMES = ("light", "dark")


def shoot(visitor: Visitor, target: Path) -> None:
    """The whole page in a window of its height: what is fixed at an edge stands there and not amid the text."""
    page = visitor.page
    size = page.viewport_size or {"width": 1280, "height": 800}
    page.set_viewport_size({**size, "height": max(size["height"], page.evaluate("document.body.scrollHeight"))})
    page.screenshot(path=target, animations="disabled")
    page.set_viewport_size(size)


def shoot_all(site: Site, stops: "list[Stop]", look: str) -> int:
    from tests.browser.tour import account_of, enter

    count = 0
    with started() as browser:
        for (language, locale), (width, height), scheme in itertools.product(
            LANGUAGES.items(), WIDTHS.items(), SCHEMES
        ):
            if look not in ("", f"{language}-{width}-{scheme}"):
                continue
            options = {"locale": locale, "viewport": {"width": width, "height": height}, "color_scheme": scheme}
            for account, group in itertools.groupby(stops, key=account_of):
                with visiting(browser, site, account, **options) as visitor:
                    for stop in group:
                        if enter(visitor, stop):
                            shoot(visitor, TARGET / f"{stop.name}-{language}-{width}-{scheme}.png")
                            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="pages whose name holds this word")
    parser.add_argument("--look", default="", metavar="LOOK", help="such as ko-390-dark: this look alone")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    from tests.browser import tour, waiting

    count = sum(
        shoot_site(program, stops, options.only, options.look)
        for program, stops in ((PROGRAM, tour.stops), (waiting.PROGRAM, lambda site: waiting.STOPS))
    )
    print(f"{count} pictures in {TARGET}")  # noqa: T201


def shoot_site(program: str, stops: "Callable[[Site], list[Stop]]", wanted: str, look: str) -> int:
    """The stops whose name holds the wanted word, on a site of their own."""
    home = Path(tempfile.mkdtemp(prefix="chamsae-screenshots-"))
    try:
        with running_site(home, program=program) as site:
            return shoot_all(site, [stop for stop in stops(site) if wanted in stop.name], look)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
