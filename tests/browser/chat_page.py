"""The page of a conversation as tests use it: write, wait for a reply, edit, turn to another version."""

from playwright.sync_api import expect

LAST_REPLY = "article.assistant >> nth=-1"
WORDS = 40
"""Of a canned reply."""
HAND_MS = 200
"""What a hand needs at least between two presses of a key: two that come faster are taken for one."""


def write(page, text):
    """Sends it, once the page can."""
    page.locator("#chat[data-ready]").wait_for()
    page.fill("#text", text)
    page.wait_for_timeout(HAND_MS)
    page.press("#text", "Enter")


def wait_for_words(page, count):
    page.wait_for_function(
        "count => [...document.querySelectorAll('article.assistant [data-text]')].at(-1)"
        "?.textContent.trim().split(/\\s+/).length >= count",
        arg=count,
    )


def text_of(page):
    return page.locator(LAST_REPLY).locator("[data-text]").inner_text().strip()


def state(page, wanted):
    expect(page.locator(LAST_REPLY)).to_have_attribute("data-state", wanted)


def ask(page, text):
    """A whole turn."""
    before = page.locator("article.assistant").count()
    write(page, text)
    expect(page.locator("article.assistant")).to_have_count(before + 1)
    state(page, "complete")


def questions(page):
    return page.locator("article.user [data-text]")


def question(page, number=0):
    return page.locator("article.user").nth(number)


def edit(page, text, number=0):
    question(page, number).hover()
    question(page, number).locator("[data-edit]").click()
    field = page.locator(".editor textarea")
    expect(field).to_be_focused()
    field.fill(text)
    field.press("Enter")
    expect(page.locator(".editor")).to_have_count(0)


def pager(turn):
    return turn.locator("[data-pager]")


def second_tab(chatter):
    other = chatter.context.new_page()
    other.goto(chatter.page.url)
    return other
