"""The line to the site breaks, and its processes die: what was written is there when they are back."""

import os
import re
import signal

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import (
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
from tests.site import running_site

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Of its own, for its processes are killed."""
    with running_site(tmp_path_factory.mktemp("site"), CHAMSAE_MESSAGES_PER_MINUTE="1000") as site:
        yield site


@pytest.fixture
def chatter(visit, site):
    chatter = visit(site, "chatter")
    chatter.go("/")
    yield chatter
    chatter.forgive("net::ERR_FAILED")  # the browser's own word on what was asked for while the line was cut


class Line:
    """The page's line to the site, to be cut and mended."""

    def __init__(self, page):
        self.page = page
        self.is_cut = False
        self.open = []
        page.route_web_socket("**/ws/chat/**", self.connect)
        page.route("**/path/", lambda route: route.abort() if self.is_cut else route.continue_())

    def connect(self, socket):
        if self.is_cut:
            socket.close(code=3000)
            return
        socket.connect_to_server()
        self.open.append(socket)

    def cut(self):
        self.is_cut = True
        for socket in self.open:
            socket.close(code=3000)
        self.open.clear()

    def mend(self):
        self.is_cut = False
        self.page.evaluate("dispatchEvent(new Event('online'))")


def test_a_message_is_shown_once_when_the_path_comes_before_the_word_that_it_was_taken(chatter):
    page = chatter.page
    late = []
    is_late = True

    def hold_accepted(socket):
        server = socket.connect_to_server()
        server.on_message(
            lambda text: late.append((socket, text)) if is_late and "accepted" in text else socket.send(text)
        )

    page.route_web_socket("**/ws/chat/**", hold_accepted)
    write(page, "Shown once")
    state(page, "complete")  # by the path that the page fetched
    expect(questions(page)).to_have_text(["Shown once"])
    is_late = False
    ask(page, "And the next")  # though the word on the first has not come yet
    for socket, text in late:
        socket.send(text)
    expect(questions(page)).to_have_text(["Shown once", "And the next"])


def test_a_reply_that_ended_while_the_line_was_down_is_shown_whole(chatter):
    page = chatter.page
    line = Line(page)
    write(page, "Tell me all, slowly.")
    wait_for_words(page, 4)
    line.cut()
    expect(page.locator("#connection")).to_be_visible()
    before = text_of(page)
    other = second_tab(chatter)
    state(other, "complete")
    other.close()
    state(page, "streaming")
    line.mend()
    state(page, "complete")
    assert text_of(page).startswith(before)
    assert len(text_of(page).split()) == WORDS
    expect(page.locator("#connection")).to_be_hidden()


def test_what_another_tab_did_while_the_line_was_down_is_caught_up_with(chatter):
    page = chatter.page
    line = Line(page)
    ask(page, "What is a river?")
    line.cut()
    expect(page.locator("#connection")).to_be_visible()
    other = second_tab(chatter)
    edit(other, "What is a cloud?")
    state(other, "complete")
    expect(questions(page)).to_have_text(["What is a river?"])
    line.mend()
    expect(questions(page)).to_have_text(["What is a cloud?"])
    expect(pager(question(page))).to_contain_text("2 / 2")
    other.close()


def test_a_stop_that_was_pressed_on_a_dead_line_counts_when_it_is_back(chatter, site):
    page = chatter.page
    line = Line(page)
    write(page, "Tell me all, slowly.")
    wait_for_words(page, 3)
    with site.silent_talker():
        line.cut()
        expect(page.locator("#connection")).to_be_visible()
        page.click("#stop")
        kept = text_of(page)
        line.mend()
        state(page, "stopped")
    assert text_of(page) == kept
    page.reload()
    assert text_of(page) == kept


def test_a_message_that_was_sent_on_a_dead_line_goes_out_when_it_is_back(chatter):
    page = chatter.page
    line = Line(page)
    ask(page, "Tell me all.")
    line.cut()
    expect(page.locator("#connection")).to_be_visible()
    write(page, "Into the dark.")
    expect(page.locator("article.user[data-pending]")).to_have_count(1)
    write(page, "And another.")
    expect(page.locator("#problem")).to_contain_text("not been sent yet")
    expect(page.locator("#text")).to_have_value("And another.")
    line.mend()
    expect(page.locator("article.user[data-pending]")).to_have_count(0)
    state(page, "complete")
    expect(questions(page)).to_have_text(["Tell me all.", "Into the dark."])


def forget_failed_requests(chatter):
    """What the browser itself says of a site that is away is no fault of the page."""
    chatter.wrong[:] = [wrong for wrong in chatter.wrong if "ERR_" not in wrong and "WebSocket" not in wrong]


def test_a_page_goes_on_when_the_web_process_comes_back(chatter, site):
    page = chatter.page
    write(page, "Tell me all, slowly.")
    wait_for_words(page, 4)
    os.kill(site.process_of("config.asgi").pid, signal.SIGKILL)
    expect(page.locator("#connection")).to_be_visible()
    expect(page.locator("#connection")).to_be_hidden(timeout=60_000)
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-state", "complete", timeout=60_000)
    assert len(text_of(page).split()) == WORDS
    ask(page, "Still there?")
    forget_failed_requests(chatter)


def test_an_interrupted_reply_says_so_and_can_be_tried_again(chatter, site):
    page = chatter.page
    write(page, "Tell me all, slowly.")
    wait_for_words(page, 4)
    os.kill(site.process_of("run_talker").pid, signal.SIGKILL)
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-state", "interrupted", timeout=60_000)
    part = text_of(page)
    assert 4 <= len(part.split()) < WORDS
    expect(page.locator(LAST_REPLY).locator("[data-state-words]")).to_contain_text("Try again", ignore_case=True)
    page.locator(LAST_REPLY).locator("[data-retry]").click()
    expect(pager(page.locator(LAST_REPLY))).to_contain_text("2 / 2")
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-state", "complete", timeout=60_000)
    page.locator(LAST_REPLY).locator("[data-step=previous]").click()
    state(page, "interrupted")
    assert text_of(page) == part


LISTEN = """
window.said = [];
new MutationObserver(() => {
  const words = [...document.querySelectorAll("[data-state-words]")].at(-1)?.textContent;
  if (words && words !== window.said.at(-1)) window.said.push(words);
}).observe(document.querySelector("#log"), { childList: true, subtree: true, characterData: true });
"""


def test_a_reply_that_waits_says_its_place_then_that_it_thinks_then_that_it_writes(chatter, site):
    page = chatter.page
    ask(page, "Speak slowly.")  # from now on the site knows how long a reply takes
    with site.silent_talker():
        write(page, "I wait, slowly.")
        words = page.locator(LAST_REPLY).locator("[data-state-words]")
        expect(words).to_have_text(re.compile(r"Waiting, number 1 in the queue, about \d+ s"))
        page.reload()
        expect(words).to_have_text(re.compile(r"Waiting, number 1 in the queue, about \d+ s"))
        page.evaluate(LISTEN)
    state(page, "complete")
    said = page.evaluate("window.said")
    assert said.index("Thinking") < said.index("Writing")
