"""The lecture's pages in a browser: a click goes on, they fit a phone and a projector, axe finds nothing."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import axe
from tests.site import SCRIPTED, running_site

pytestmark = pytest.mark.browser
TAUGHT = """
from pathlib import Path
from django.conf import settings
from lecture import teaching
from tests.lecture.small_texts import ENGLISH, HOSTILE, carry_out
for name, text in (("hostile", HOSTILE), ("english", ENGLISH)):
    path = Path(settings.UPLOADS_DIR).parent / f"{name}.txt"
    path.write_text(text)
    carry_out(teaching.start(None, str(path), teaching.FAMILIES), path)
"""
PAGES = ("/lecture/", "/lecture/comparison/", "/lecture/words/", "/lecture/sizes/")
PHONE, PROJECTOR = {"width": 360, "height": 740}, {"width": 1920, "height": 1080}
OVERFLOWS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), program=SCRIPTED + TAUGHT) as site:
        yield site


def test_a_clicked_word_goes_on_and_the_live_policy_says_what_it_can(visit, site):
    visitor = visit(site, "chatter")
    visitor.go("/lecture/")
    page = visitor.page
    page.get_by_label("Prompt").fill("The king of")
    page.get_by_role("button", name="Show the next words").click()
    trigram = page.get_by_role("region", name="3-gram")
    trigram.get_by_role("link", name="the").click()
    expect(page.get_by_label("Prompt")).to_have_value("The king of the")
    live = page.get_by_role("region", name="The live policy")
    expect(live.locator(".notice")).to_be_visible()  # canned text has no probabilities
    expect(live.locator("[data-waits]")).to_have_count(0)


@pytest.mark.skipif(not axe.SCRIPT.exists(), reason=axe.ABSENT)
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
@pytest.mark.parametrize("size", [PHONE, PROJECTOR], ids=["phone", "projector"])
def test_pages_fit_and_are_accessible(visit, site, locale, size):
    visitor = visit(site, "chatter", locale=locale, viewport=size)
    for path in PAGES:
        for scheme in ("light", "dark"):
            visitor.page.emulate_media(color_scheme=scheme)
            visitor.go(path)
            expect(visitor.page.locator("[data-waits]")).to_have_count(0)
            assert not visitor.page.evaluate(OVERFLOWS), path
            assert axe.grave(visitor.page) == []


def test_the_menu_of_an_admin_fits_a_phone(visit, site):
    visitor = visit(site, "admin", viewport=PHONE)
    visitor.go("/lecture/")
    assert not visitor.page.evaluate(OVERFLOWS)
    link = visitor.page.get_by_role("link", name="Lecture", exact=True)
    link.scroll_into_view_if_needed()  # the bar scrolls where there are more links than fit
    expect(link).to_be_in_viewport()
    visitor.page.get_by_text("Teach the models a text").click()
    expect(visitor.page.get_by_role("checkbox", name="LSTM")).to_be_visible()


def test_hostile_words_of_a_text_do_nothing(visit, site):
    visitor = visit(site, "chatter")
    visitor.go("/lecture/")
    page = visitor.page
    page.get_by_label("Text", exact=True).select_option("hostile.txt")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_label("Prompt").fill("<script")
    page.get_by_role("button", name="Show the next words").click()
    expect(page.get_by_role("region", name=re.compile("n = 5"))).to_contain_text(">")
    assert page.locator("main script, main img").count() == 0
