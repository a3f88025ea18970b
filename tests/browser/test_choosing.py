"""A reply that is chosen among several: the page says so while it shows nothing, then leads to the candidates."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import LAST_REPLY, WORDS, state, text_of, write

pytestmark = pytest.mark.browser
CHOICES = """
from chat.models import SiteChoices
SiteChoices.objects.update_or_create(id=1, defaults={"best_of": %d})
"""


@pytest.fixture
def site(talking_site):
    talking_site.manage("shell", "-c", CHOICES % 3)
    yield talking_site
    talking_site.manage("shell", "-c", CHOICES % 1)


@pytest.mark.parametrize(
    ("locale", "choosing", "chosen", "candidates"),
    [
        ("en-US", "Choosing among 3 replies", r"^chosen among 3, \d+ ms$", "Candidates of a reply"),
        ("ko-KR", "답변 3개 중에서 고르는 중", r"^3개 중에서 고름, \d+ ms$", "답변의 후보"),
    ],
)
def test_it_says_that_it_chooses_and_shows_what_it_chose_among(visit, site, locale, choosing, chosen, candidates):
    page = visit(site, "wren", locale=locale).page
    page.goto(site.url + "/")
    write(page, "Tell me slowly what a rainbow is.")
    words = page.locator(LAST_REPLY).locator("[data-state-words]")
    expect(words).to_have_text(choosing)
    assert text_of(page) == ""
    state(page, "complete")
    shown = text_of(page)
    assert len(shown.split()) == WORDS
    link = page.locator(LAST_REPLY).locator("[data-among]")
    expect(link).to_have_text(re.compile(chosen))
    link.click()
    expect(page.locator("h1")).to_have_text(candidates)
    expect(page.locator("section.card")).to_have_count(3)
    expect(page.locator("section.card:has(.badge.ok) .prose")).to_have_text(shown)


def test_stop_while_it_chooses_ends_it_with_nothing(visit, site):
    page = visit(site, "heron").page
    page.goto(site.url + "/")
    write(page, "Tell me slowly what a rainbow is.")
    expect(page.locator(LAST_REPLY).locator("[data-state-words]")).to_have_text("Choosing among 3 replies")
    page.click("#stop")
    state(page, "stopped")
    assert text_of(page) == ""
