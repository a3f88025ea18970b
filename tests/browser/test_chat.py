"""A chatter at the page: a reply streams, is stopped, goes on after a reload; Hangul and Enter make one message."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import LAST_REPLY, WORDS, state, text_of, wait_for_words, write

pytestmark = [pytest.mark.browser, pytest.mark.on_services]


@pytest.fixture(scope="module")
def site(talking_site):
    return talking_site


@pytest.fixture
def chatter(visit, site):
    chatter = visit(site, "chatter")
    chatter.go("/")
    return chatter


def test_a_reply_streams_and_names_the_policy_that_wrote_it(chatter):
    page = chatter.page
    write(page, "Tell me slowly what a rainbow is.")
    wait_for_words(page, 3)
    state(page, "streaming")
    state(page, "complete")
    expect(page.locator("article.user [data-text]")).to_have_text("Tell me slowly what a rainbow is.")
    expect(page.locator(LAST_REPLY).locator("[data-policy]")).to_have_text(re.compile("scripted"))
    assert len(text_of(page).split()) == WORDS


def test_a_stopped_reply_keeps_what_was_written(chatter):
    page = chatter.page
    write(page, "Tell me a story, slowly.")
    wait_for_words(page, 5)
    page.click("#stop")
    state(page, "stopped")
    kept = text_of(page)
    assert 5 <= len(kept.split()) < WORDS
    page.reload()
    state(page, "stopped")
    assert text_of(page) == kept


def test_a_reload_in_the_middle_goes_on_where_it_was(chatter):
    page = chatter.page
    write(page, "And another one, slowly.")
    wait_for_words(page, 5)
    before = text_of(page)
    page.reload()
    state(page, "streaming")
    assert text_of(page).startswith(before)
    state(page, "complete")
    after = text_of(page)
    assert after.startswith(before)
    assert len(after.split()) == WORDS
    page.reload()
    assert text_of(page) == after


def test_a_conversation_goes_on_after_a_reply(chatter):
    page = chatter.page
    write(page, "The first thing.")
    state(page, "complete")
    write(page, "The second thing.")
    expect(page.locator("article.assistant")).to_have_count(2)
    state(page, "complete")
    expect(page.locator("article.user [data-text]")).to_have_text(["The first thing.", "The second thing."])


def test_a_second_window_sees_the_same_reply(chatter, visit, site):
    write(chatter.page, "Say slowly who listens.")
    wait_for_words(chatter.page, 3)
    other = chatter.context.new_page()
    other.goto(chatter.page.url)
    state(other, "complete")
    state(chatter.page, "complete")
    assert text_of(other) == text_of(chatter.page)
    other.close()


def test_enter_at_the_end_of_hangul_sends_one_message(chatter):
    page = chatter.page
    page.click("#text")
    keyboard = chatter.context.new_cdp_session(page)
    for composed in ("ㅇ", "아", "안", "안녀", "안녕"):
        keyboard.send(
            "Input.imeSetComposition",
            {"text": composed, "selectionStart": len(composed), "selectionEnd": len(composed)},
        )
    page.evaluate(
        "document.querySelector('#text').dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Enter', code: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true}))"
    )
    keyboard.send("Input.insertText", {"text": "안녕"})
    page.keyboard.press("Enter")  # some systems tell the same press a second time
    state(page, "complete")
    expect(page.locator("article.user [data-text]")).to_have_text(["안녕"])


def test_a_line_break_is_shift_and_enter(chatter):
    page = chatter.page
    page.fill("#text", "one")
    page.press("#text", "Shift+Enter")
    page.keyboard.type("two")
    expect(page.locator("article.user")).to_have_count(0)
    page.press("#text", "Enter")
    expect(page.locator("article.user [data-text]")).to_have_text("one\ntwo")
    state(page, "complete")


def test_a_message_that_is_far_too_long_is_not_sent_and_says_why(chatter):
    page = chatter.page
    write(page, "a" * 100_000)
    expect(page.locator("#problem")).to_contain_text("100,000")
    expect(page.locator("#problem")).to_contain_text("8,000")
    expect(page.locator("#send")).to_be_disabled()
    expect(page.locator("article.user")).to_have_count(0)
    assert len(page.input_value("#text")) == 100_000
    write(page, "Shorter.")
    expect(page.locator("#problem")).to_be_hidden()
    state(page, "complete")


def test_what_a_person_writes_is_never_markup(chatter):
    page = chatter.page
    write(page, "<img src=x onerror='window.__pwned = 1'> **bold** https://example.org")
    state(page, "complete")
    page.reload()
    state(page, "complete")
    assert page.evaluate("window.__pwned") is None
    expect(page.locator("article.user img")).to_have_count(0)


def test_the_korean_pages_are_in_korean(visit, site):
    visitor = visit(site, locale="ko-KR")
    visitor.go("/sign-in/")
    assert visitor.page.locator("html").get_attribute("lang") == "ko"
