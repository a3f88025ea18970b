"""A chatter writes, edits, asks again and pages through the versions; what is open stays open."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import (
    HAND_MS,
    LAST_REPLY,
    WORDS,
    ask,
    edit,
    pager,
    question,
    questions,
    second_tab,
    state,
    text_of,
    wait_for_words,
    write,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(talking_site):
    return talking_site


@pytest.fixture
def chatter(visit, site):
    chatter = visit(site, "robin")
    chatter.go("/")
    return chatter


def test_an_edited_message_stands_beside_the_former_one(chatter):
    page = chatter.page
    ask(page, "What is a river?")
    ask(page, "And a lake?")
    edit(page, "What is a cloud?")
    expect(questions(page)).to_have_text(["What is a cloud?"])
    state(page, "complete")
    expect(pager(question(page))).to_contain_text("2 / 2")
    question(page).locator("[data-step=previous]").click()
    expect(questions(page)).to_have_text(["What is a river?", "And a lake?"])
    expect(pager(question(page))).to_contain_text("1 / 2")
    expect(page.locator("article.assistant")).to_have_count(2)


def test_another_reply_stands_beside_the_former_one_and_the_arrows_lead_to_both(chatter):
    page = chatter.page
    ask(page, "What is a river?")
    first = page.locator(LAST_REPLY).get_attribute("data-message")
    page.locator(LAST_REPLY).locator(".actions [data-regenerate]").click()
    expect(pager(page.locator(LAST_REPLY))).to_contain_text("2 / 2")
    state(page, "complete")
    assert page.locator(LAST_REPLY).get_attribute("data-message") != first
    expect(page.locator("article.assistant")).to_have_count(1)
    page.locator(LAST_REPLY).locator("[data-step=previous]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-message", first)
    expect(pager(page.locator(LAST_REPLY))).to_contain_text("1 / 2")
    expect(page.locator(LAST_REPLY).locator("[data-step=next]")).to_be_focused()
    expect(page.locator(LAST_REPLY).locator("[data-step=previous]")).to_be_disabled()


def test_the_open_path_stays_open_over_a_reload_and_in_another_tab(chatter):
    page = chatter.page
    ask(page, "Version one")
    edit(page, "Version two")
    state(page, "complete")
    question(page).locator("[data-step=previous]").click()
    expect(questions(page)).to_have_text(["Version one"])
    page.reload()
    expect(questions(page)).to_have_text(["Version one"])
    other = second_tab(chatter)
    expect(questions(other)).to_have_text(["Version one"])
    question(other).locator("[data-step=next]").click()
    expect(questions(other)).to_have_text(["Version two"])
    expect(questions(page)).to_have_text(["Version two"])
    write(page, "Go on")
    expect(questions(other)).to_have_text(["Version two", "Go on"])
    state(other, "complete")
    state(page, "complete")
    assert text_of(other) == text_of(page)
    other.close()


def test_another_tab_hears_a_new_version_as_it_is_written(chatter):
    page = chatter.page
    ask(page, "Say slowly who listens.")
    other = second_tab(chatter)
    state(other, "complete")
    page.locator(LAST_REPLY).locator(".actions [data-regenerate]").click()
    expect(pager(other.locator(LAST_REPLY))).to_contain_text("2 / 2")
    state(other, "streaming")
    wait_for_words(other, 3)
    other.click("#stop")
    state(other, "stopped")
    state(page, "stopped")
    assert text_of(page) == text_of(other) != ""
    other.close()


def test_a_version_can_be_left_while_it_is_written_and_found_again(chatter):
    page = chatter.page
    ask(page, "Say slowly what a river is.")
    page.locator(LAST_REPLY).locator(".actions [data-regenerate]").click()
    state(page, "streaming")
    page.locator(LAST_REPLY).locator("[data-step=previous]").click()
    expect(pager(page.locator(LAST_REPLY))).to_contain_text("1 / 2")
    state(page, "complete")
    expect(page.locator("#send")).to_be_visible()
    page.locator(LAST_REPLY).locator("[data-step=next]").click()
    expect(pager(page.locator(LAST_REPLY))).to_contain_text("2 / 2")  # no more the former one
    state(page, "complete")
    assert len(text_of(page).split()) == WORDS


def test_an_edit_is_kept_until_it_is_sent_or_given_up(chatter):
    page = chatter.page
    ask(page, "What is a river?")
    question(page).hover()
    question(page).locator("[data-edit]").click()
    field = page.locator(".editor textarea")
    expect(field).to_have_value("What is a river?")
    field.press("Enter")
    expect(page.locator("[data-editor-problem]")).to_be_visible()
    page.wait_for_timeout(HAND_MS)
    field.fill("one")
    field.press("Shift+Enter")
    page.keyboard.type("two")
    page.reload()
    question(page).hover()
    question(page).locator("[data-edit]").click()
    expect(field).to_have_value("one\ntwo")
    field.press("Escape")
    expect(questions(page)).to_have_text(["What is a river?"])
    expect(question(page).locator("[data-edit]")).to_be_focused()
    question(page).locator("[data-edit]").click()
    expect(field).to_have_value("What is a river?")


def test_words_that_ask_to_wait_leave_with_what_was_waited_for(chatter):
    page = chatter.page
    ask(page, "What is a river?")
    write(page, "Say slowly what a lake is.")
    wait_for_words(page, 2)
    question(page).hover()
    question(page).locator("[data-edit]").click()
    page.fill(".editor textarea", "What is a cloud?")
    page.press(".editor textarea", "Enter")
    expect(page.locator("#problem")).to_contain_text("Wait for it to finish")
    state(page, "complete")
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.locator(".editor textarea")).to_have_value("What is a cloud?")


def test_an_edit_that_is_refused_comes_back_with_its_words(chatter):
    page = chatter.page
    ask(page, "What is a river?")
    question(page).hover()
    question(page).locator("[data-edit]").click()
    field = page.locator(".editor textarea")
    field.evaluate("field => { field.value = 'half a character: \\ud83d'; }")
    field.press("Enter")
    expect(page.locator("#problem")).to_contain_text("characters that are not text")
    expect(page.locator(".editor textarea")).to_have_value(re.compile("^half a character"))
    page.keyboard.press("Escape")
    expect(questions(page)).to_have_text(["What is a river?"])
    expect(page.locator("article.assistant")).to_have_count(1)


def test_hangul_that_is_edited_is_sent_by_one_press_of_enter(chatter):
    page = chatter.page
    ask(page, "안녕")
    question(page).hover()
    question(page).locator("[data-edit]").click()
    field = page.locator(".editor textarea")
    field.fill("")
    keyboard = chatter.context.new_cdp_session(page)
    keyboard.send("Input.imeSetComposition", {"text": "강", "selectionStart": 1, "selectionEnd": 1})
    field.evaluate(
        "field => field.dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Enter', code: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true}))"
    )
    keyboard.send("Input.insertText", {"text": "강"})
    expect(questions(page)).to_have_text(["강"])
    state(page, "complete")
    expect(pager(question(page))).to_contain_text("2 / 2")


def test_what_did_not_fit_the_context_is_said(chatter):
    page = chatter.page
    for text in ("One thing.", "Another thing.", "A third thing."):
        ask(page, (f"{text} " * 200)[:1600])  # two of them and their replies fit, a third does not
    notice = page.locator("article [data-trimmed]")
    expect(notice.nth(0)).to_be_hidden()
    expect(notice.nth(2)).to_contain_text("2")
    page.reload()
    expect(notice.nth(0)).to_be_hidden()
    expect(notice.nth(2)).to_contain_text("The 2 oldest messages were left out")


def test_a_reader_who_scrolls_up_is_left_there(visit, site):
    chatter = visit(site, "robin", viewport={"width": 420, "height": 480})
    chatter.go("/")
    page = chatter.page
    ask(page, "Fill the page.")
    ask(page, "Fill it more.")
    write(page, "And more, slowly.")
    wait_for_words(page, 8)
    at_end = (
        "() => { const l = document.querySelector('#log'); return l.scrollHeight - l.scrollTop - l.clientHeight < 3 }"
    )
    page.wait_for_function(at_end)
    page.hover("#log")
    page.mouse.wheel(0, -30)
    expect(page.locator("#jump")).to_be_visible()
    top = page.evaluate("document.querySelector('#log').scrollTop")
    state(page, "complete")
    assert page.evaluate("document.querySelector('#log').scrollTop") == top
    page.click("#jump")
    page.wait_for_function(at_end)
    expect(page.locator("#jump")).to_be_hidden()
    page.evaluate(
        "() => { for (const heard of [new WheelEvent('wheel', {deltaY: -1}), new Event('scroll')])"
        " document.querySelector('#log').dispatchEvent(heard) }"
    )  # as when text comes between the two: the scroll then finds the page at its end
    expect(page.locator("#jump")).to_be_visible()


def test_a_draft_survives_a_reload_and_belongs_to_its_conversation(chatter):
    page = chatter.page
    ask(page, "What is a river?")
    page.fill("#text", "half a thought")
    page.reload()
    expect(page.locator("#text")).to_have_value("half a thought")
    chatter.go("/")
    expect(page.locator("#text")).to_have_value("")
