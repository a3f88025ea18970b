"""axe finds nothing serious on any page: both languages, light and dark, with menus and folds closed and open."""

import functools

import pytest

from tests.browser import axe, tour, waiting
from tests.browser.furnished import PROGRAM
from tests.site import running_site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.pages,
    pytest.mark.skipif(not axe.SCRIPT.exists(), reason=axe.ABSENT),
    pytest.mark.timeout(300),
]
ACCOUNTS = ("", "chatter", "annotator", "moderator", "admin")
UNFOLD = "document.querySelectorAll('details:not(.menu)').forEach(fold => { fold.open = true })"
OPEN_MENUS = """() => {  // one of each kind: they lie over what follows, another menu as well as the page
  const kinds = new Set();
  for (const menu of document.querySelectorAll("details.menu")) {
    const kind = menu.parentElement.className + menu.parentElement.id;
    menu.open = !kinds.has(kind);
    kinds.add(kind);
  }
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), program=PROGRAM) as site:
        site.stops = functools.cache(lambda: tour.stops(site))
        yield site


@pytest.fixture(scope="module")
def waiting_site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("waiting"), program=waiting.PROGRAM) as site:
        yield site


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account or "anybody")
def test_nothing_serious_on_any_page(visit, site, account, locale):
    visitor = visit(site, account, locale=locale)
    found = []
    for stop in site.stops():
        if stop.account == account:
            found += look(visitor, stop)
    assert not found, "\n".join(sorted(set(found)))


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_nothing_serious_while_a_cycle_waits_for_people(visit, waiting_site, locale):
    found = [one for stop in waiting.STOPS for one in look(visit(waiting_site, stop.account, locale=locale), stop)]
    assert not found, "\n".join(sorted(set(found)))


def look(visitor, stop):
    page, found = visitor.page, {}
    page.emulate_media(color_scheme="light")
    if not tour.enter(visitor, stop):
        return []
    found["light"] = axe.grave(page)
    page.emulate_media(color_scheme="dark")
    found["dark"] = axe.grave(page, "color-contrast")
    page.evaluate(UNFOLD)
    found["dark, unfolded"] = axe.grave(page)
    page.evaluate(OPEN_MENUS)
    found["dark, menus open"] = axe.grave(page, within="details.menu[open]")
    if stop.name in ("not-found", "forbidden"):
        visitor.forgive("Failed to load resource")
    return [f"{stop.name} ({state}): {one}" for state, ones in found.items() for one in ones]
