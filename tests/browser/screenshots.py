"""`make screenshots`: every page in both languages, phone and wide, light and dark, into screenshots/."""

import argparse
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
from django.urls import get_resolver, reverse

from tests.bench.serving import model
from tests.browser.chromium import Visitor, started, visiting
from tests.person import Person
from tests.site import Site, running_site

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "screenshots"
LANGUAGES = {"en": "en-US", "ko": "ko-KR"}
WIDTHS = {390: 844, 1280: 800}
SCHEMES = ("light", "dark")
SKIPPED = {"healthz", "readyz", "conversation_list", "sign_out"}
"""Routes without a page of their own."""
LINKED = {
    "home-signed-in": r"/c/[0-9a-f-]{36}/",
    "moderation": r"/moderation/\w+/\d+/",
    "rules": r"/rules/[\w-]+/",
    "training": r"/training/evaluations/\d+/",
    "runs": r"/training/runs/\d+/",
    "policies": r"/training/policies/[\w-]+/",
}
"""Pages that a list links to: what their addresses look like."""
CALM = {"CHAMSAE_MAX_COMPLETION_TOKENS": "100", "CHAMSAE_ENGINE_THREADS": "1", "CHAMSAE_TASK_STOCK": "2"}
"""Two threads that wait for each other on a busy machine are far slower than one."""
SAYS = ("What is a rainbow?", "무지개는 왜 생기나요?")


def pages() -> Iterator[tuple[str, str, str]]:
    """(name, path, account) of each page without a number in its address, for the least account that may see it."""
    from accounts.permissions import roles_for

    for entry in get_resolver().url_patterns:
        for route in getattr(entry, "url_patterns", [entry]):
            name = getattr(route, "name", None)
            if name and name not in SKIPPED and not route.pattern.converters and "admin" not in str(entry.pattern):
                roles = {role.value for role in roles_for(name)}
                least = next(
                    (role for role in ("anonymous", "chatter", "annotator", "moderator", "admin") if role in roles),
                    "",
                )
                yield name, reverse(name), "" if least == "anonymous" else least
    yield "admin", "/admin/", "admin"
    yield "home-signed-in", "/", "chatter"
    yield "not-found", "/no/such/page/", ""
    yield "forbidden", "/audit-log/", "chatter"


def furnish(site: Site, rankings: int, with_cycle: bool) -> None:
    """Something to be seen on the pages: a talk, judgements, a report, and a cycle if asked for."""
    chatter = Person(site.url, "chatter")
    with started() as browser, visiting(browser, site, "chatter") as visitor:
        talk(visitor)
        reply = visitor.page.locator("article.assistant").last.get_attribute("data-message")
    report = f"/messages/{reply}/report/"
    chatter.get(report)
    chatter.post(report, comment="It claims to be a person.")
    site.manage("simulate_annotators", "--rankings", str(rankings), timeout_s=900)
    if with_cycle:
        site.manage("run_cycle", timeout_s=3600)


def talk(visitor: Visitor) -> None:
    visitor.go("/")
    for text in SAYS:
        visitor.page.fill("#text", text)
        visitor.page.press("#text", "Enter")
        visitor.page.wait_for_function(
            "says => document.querySelectorAll('article.assistant[data-state=complete]').length >= says",
            arg=SAYS.index(text) + 1,
            timeout=120_000,
        )


def linked(visitor: Visitor, name: str, path: str) -> list[tuple[str, str]]:
    """The page itself, and the first one of its kind that it links to."""
    found = [(name, path)]
    if pattern := LINKED.get(name):
        hrefs = [link.get_attribute("href") or "" for link in visitor.page.locator("a").all()]
        first = next((href for href in hrefs if re.fullmatch(pattern, href)), None)
        found += [(f"{name}-one", first)] if first else []
    return found


def shoot(visitor: Visitor, name: str, look: str) -> None:
    visitor.page.screenshot(path=str(TARGET / f"{name}-{look}.png"), full_page=True, animations="disabled")


def shoot_all(site: Site) -> int:
    every = sorted(pages(), key=lambda page: page[2])
    count = 0
    with started() as browser:
        for (language, locale), (width, height), scheme in itertools.product(
            LANGUAGES.items(), WIDTHS.items(), SCHEMES
        ):
            look = f"{language}-{width}-{scheme}"
            options = {"locale": locale, "viewport": {"width": width, "height": height}, "color_scheme": scheme}
            for account, group in itertools.groupby(every, key=lambda page: page[2]):
                with visiting(browser, site, account, **options) as visitor:
                    for name, path, _ in group:
                        count += shoot_with_linked(visitor, name, path, look)
    return count


def shoot_with_linked(visitor: Visitor, name: str, path: str, look: str) -> int:
    answer = visitor.context.request.get(visitor.site.url + path)
    if answer.status == 405 or "html" not in answer.headers.get("content-type", ""):
        return 0  # an address that only takes what is sent to it
    visitor.go(path)
    shoot(visitor, name, look)
    more = linked(visitor, name, path)[1:]
    for other, where in more:
        visitor.go(where)
        shoot(visitor, other, look)
    return 1 + len(more)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--rankings", type=int, default=24)
    parser.add_argument("--cycle", action="store_true", help="run a whole cycle first, so that its pages are filled")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    home = Path(tempfile.mkdtemp(prefix="chamsae-screenshots-"))
    try:
        with running_site(home, model(), patience_s=180, **CALM) as site:
            furnish(site, options.rankings, options.cycle)
            print(f"{shoot_all(site)} pictures in {TARGET}")  # noqa: T201
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
