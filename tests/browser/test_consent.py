"""Consent in the chat: asked when training is switched on, withdrawn in the settings, and by keys alone."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
SWITCH = "#consent [name=may_train]"


@pytest.fixture(scope="module")
def site(talking_site):
    return talking_site


def test_it_is_asked_once_and_withdrawn_in_the_settings(visit, site):
    chatter = visit(site, "chatter")
    page = chatter.page
    chatter.go("/account/consent/")
    if page.get_by_role("button", name="Withdraw consent").is_visible():
        page.get_by_role("button", name="Withdraw consent").click()
    chatter.go("/")
    words = page.locator("#consent-words")
    page.locator(SWITCH).focus()
    page.keyboard.press("Space")
    expect(words).to_be_visible()
    page.keyboard.press("Escape")
    expect(words).to_be_hidden()
    expect(page.locator(SWITCH)).not_to_be_checked()
    page.keyboard.press("Space")
    words.get_by_role("button", name="I agree").click()
    expect(words).to_be_hidden()
    expect(page.locator(SWITCH)).to_be_checked()
    page.locator(SWITCH).click()
    page.locator(SWITCH).click()
    expect(page.locator(SWITCH)).to_be_checked()
    chatter.go("/account/consent/")
    page.get_by_role("button", name="Withdraw consent").click()
    expect(page.get_by_role("button", name="I agree")).to_be_visible()
    chatter.go("/")
    expect(page.locator(SWITCH)).not_to_be_checked()


def test_a_switch_pressed_before_the_script_is_there_asks_when_the_message_is_sent(visit, site):
    chatter = visit(site, "chatter")
    page = chatter.page
    chatter.go("/account/consent/")
    if page.get_by_role("button", name="Withdraw consent").is_visible():
        page.get_by_role("button", name="Withdraw consent").click()
        expect(page.get_by_role("button", name="I agree")).to_be_visible()
    held = []
    page.route("**/js/chat*.js", lambda route: held.append(route))
    page.goto(site.url + "/", wait_until="commit")
    page.locator(SWITCH).click()
    expect(page.locator("#consent-words")).to_be_hidden()  # nobody listens yet
    while not held:
        page.wait_for_timeout(20)
    held.pop().continue_()
    page.locator("#chat[data-ready]").wait_for()
    expect(page.locator(SWITCH)).to_be_checked()
    page.fill("#text", "What is a rainbow?")
    page.click("#send")
    words = page.locator("#consent-words")
    words.get_by_role("button", name="Not now").click()
    expect(page.locator("article.assistant")).to_have_attribute("data-state", "complete")
    expect(page.locator(SWITCH)).not_to_be_checked()
