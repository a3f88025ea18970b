"""`make screenshots`: every page in both languages, phone and wide, light and dark, into screenshots/."""

import argparse
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import django

from tests.browser.chromium import Visitor, started, visiting
from tests.browser.furnished import PROGRAM
from tests.site import Site, running_site

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "screenshots"
LANGUAGES = {"en": "en-US", "ko": "ko-KR"}
WIDTHS = {390: 844, 1280: 800}
SCHEMES = ("light", "dark")


def shoot(visitor: Visitor, path: str, target: Path) -> bool:
    """False where the address shows no page, but only takes what is sent to it."""
    if visitor.context.request.get(visitor.site.url + path).status == 405:
        return False
    visitor.go(path)
    visitor.page.screenshot(path=target, full_page=True, animations="disabled")
    return True


def shoot_all(site: Site, wanted: str) -> int:
    from tests.browser.tour import account_of, stops

    every = [stop for stop in stops(site) if wanted in stop.name]
    count = 0
    with started() as browser:
        for (language, locale), (width, height), scheme in itertools.product(
            LANGUAGES.items(), WIDTHS.items(), SCHEMES
        ):
            options = {"locale": locale, "viewport": {"width": width, "height": height}, "color_scheme": scheme}
            for account, group in itertools.groupby(every, key=account_of):
                with visiting(browser, site, account, **options) as visitor:
                    for stop in group:
                        name = f"{stop.name}-{language}-{width}-{scheme}.png"
                        count += shoot(visitor, stop.path, TARGET / name)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="pages whose name holds this word")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    home = Path(tempfile.mkdtemp(prefix="chamsae-screenshots-"))
    try:
        with running_site(home, program=PROGRAM) as site:
            print(f"{shoot_all(site, options.only)} pictures in {TARGET}")  # noqa: T201
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
