"""A look inside a reply: its tokens shaded by probability, what could have stood there, and going on from it."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.site import running_site

pytestmark = pytest.mark.browser
LAST_REPLY = "article.assistant >> nth=-1"


@pytest.fixture(scope="module")
def site(talking_site):
    return talking_site


def replied(visitor, text="What is a rainbow?"):
    visitor.go("/")
    visitor.page.fill("#text", text)
    visitor.page.press("#text", "Enter")
    expect(visitor.page.locator(LAST_REPLY)).to_have_attribute("data-state", "complete")
    return visitor.page.locator(LAST_REPLY)


def opened(reply):
    reply.locator("[data-look]").click()
    expect(reply.locator("[data-tokens] [role=option]").first).to_be_visible()
    return reply.locator("[data-tokens] [role=option]")


@pytest.fixture
def reply(visit, site):
    return replied(visit(site, "heron"))


def test_tokens_add_up_to_the_reply_and_are_shaded_by_their_probability(reply):
    text = reply.locator("[data-text]").inner_text()
    tokens = opened(reply)
    assert "".join(tokens.all_text_contents()) == text
    classes = [re.search(r"\bp(\d)\b", token.get_attribute("class"))[1] for token in tokens.all()[:6]]
    assert classes == ["5", "4", "3", "2", "1", "0"]
    expect(tokens.nth(1)).to_have_attribute("aria-label", re.compile(r"\w+, 70%"))
    colours = [token.evaluate("cell => getComputedStyle(cell).backgroundColor") for token in tokens.all()[:6]]
    assert len(set(colours)) == 6
    expect(reply.locator("[data-text]")).to_be_hidden()
    reply.locator("[data-look]").click()
    expect(reply.locator("[data-text]")).to_be_visible()


def test_by_keyboard_alone_from_the_button_to_an_alternative_and_on_from_it(reply):
    page, text = reply.page, reply.locator("[data-text]").inner_text()
    look = reply.locator("[data-look]")
    look.focus()
    page.keyboard.press("Enter")
    tokens = reply.locator("[data-tokens] [role=option]")
    expect(tokens.first).to_be_visible()
    tokens.first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "End", "Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(tokens.nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    expect(tokens.nth(2)).to_have_attribute("aria-selected", "true")
    lines = reply.locator("[data-choices-list] li")
    expect(lines).to_have_count(5)
    expect(reply.locator("[data-choices-list] li.chosen")).to_have_count(1)
    expect(page.locator("#announcement")).to_have_text(re.compile("5 alternatives"))
    page.keyboard.press("Tab")
    button = lines.locator("button").first
    expect(button).to_be_focused()
    word = button.evaluate("b => b.closest('li').querySelector('.choice-text').textContent").replace("␣", " ")
    begun = "".join(tokens.all_text_contents()[:2]) + word
    assert not text.startswith(begun)
    page.keyboard.press("Enter")
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-state", "complete")
    expect(page.locator(LAST_REPLY).locator("[data-text]")).to_have_text(re.compile("^" + re.escape(begun)))
    expect(page.locator("article.assistant")).to_have_count(1)  # a sibling: it stands where the other stood
    tokens = opened(page.locator(LAST_REPLY))
    assert "".join(tokens.all_text_contents()).startswith(begun)
    expect(tokens.first).to_have_class(re.compile("given"))
    page.reload()
    expect(page.locator(LAST_REPLY).locator("[data-text]")).to_have_text(re.compile("^" + re.escape(begun)))


def test_it_says_that_it_computes_and_after_a_failure_a_second_try_helps(reply):
    page = reply.page
    answers = [
        {"state": "queued"},
        {"state": "failed", "message": "The probabilities could not be computed. Try again.", "retryable": True},
    ]
    page.route("**/look/", lambda route: route.fulfill(status=200, body=json.dumps(answers[0])))
    page.route("**/inside/", lambda route: route.fulfill(status=200, body=json.dumps(answers[-1])))
    reply.locator("[data-look]").click()
    expect(reply.locator("[data-inside-state]")).to_have_text(re.compile("Computing"))
    expect(reply.locator("[data-inside-state]")).to_have_text(re.compile("could not be computed"))
    page.unroute("**/look/")
    page.unroute("**/inside/")
    reply.locator("[data-inside-retry]").click()
    expect(reply.locator("[data-tokens] [role=option]").first).to_be_visible()
    expect(reply.locator("[data-inside-retry]")).to_be_hidden()


def test_it_fits_a_phone_in_the_dark_and_in_korean(visit, site):
    phone = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark", "locale": "ko-KR"}
    reply = replied(visit(site, "heron", **phone))
    tokens = opened(reply)
    tokens.nth(3).click()
    expect(reply.locator("[data-choices-list] button").first).to_have_text("여기서 이어 쓰기")
    assert reply.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert reply.locator("[data-inside]").evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")


def test_without_probabilities_there_is_a_reason_and_no_useless_button(reply, site):
    site.manage("shell", "-c", "from chat.models import TokenView; TokenView.objects.all().delete()")
    reply.locator("[data-look]").click()
    expect(reply.locator("[data-inside-state]")).to_have_text(re.compile("No probabilities"))
    expect(reply.locator("[data-inside-retry]")).to_be_hidden()


@pytest.fixture
def real_site(tmp_path_factory, tiny_policy):
    home = tmp_path_factory.mktemp("real")
    with running_site(home, tiny_policy, CHAMSAE_MAX_COMPLETION_TOKENS="24", CHAMSAE_ENGINE_SLOTS="2") as site:
        yield site


@pytest.mark.timeout(600)
def test_probabilities_of_a_real_policy_are_recomputed(real_site, visit):
    """Through the whole site: the engine writes, the inspector computes, the page shows."""
    reply = replied(visit(real_site, "chatter"))
    reply.locator("[data-look]").click()
    tokens = reply.locator("[data-tokens] [role=option]")
    expect(tokens.first).to_be_visible(timeout=300_000)
    tokens.last.click()
    assert reply.locator("[data-choices-list] li").count() >= 8
