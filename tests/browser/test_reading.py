"""A reader of replies: code is copied, what was found is in sight, a reply that was cut off goes on."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import LAST_REPLY, ask, state
from tests.site import running_site

pytestmark = pytest.mark.browser

LENGTH = 64
ECHO = """
from chat.models import Policy
Policy.objects.create(name="echo", version=1, is_live=True, is_scripted=True, source='{"echoes": true}')
"""
"""Says what it was told, and no more words than a reply may have."""
CODE = """A sparrow in code:

1. Name it.
2. Call it.

```python
def sparrow():
    return "참새" * 2
```"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    settings = {"CHAMSAE_MESSAGES_PER_MINUTE": "1000", "CHAMSAE_MAX_COMPLETION_TOKENS": str(LENGTH)}
    with running_site(tmp_path_factory.mktemp("site"), program=ECHO, **settings) as site:
        yield site


@pytest.fixture
def chatter(visit, site):
    chatter = visit(site, "chatter", permissions=["clipboard-read", "clipboard-write"])
    chatter.go("/")
    return chatter


def clipboard(page):
    return page.evaluate("navigator.clipboard.readText()")


def test_code_and_replies_are_copied_as_they_were_written(chatter):
    page = chatter.page
    ask(page, CODE)
    for _now_and_after_a_reload in range(2):
        page.click(".code [data-copy-code]")
        expect(page.locator("#announcement")).to_have_text("Copied")
        assert clipboard(page) == 'def sparrow():\n    return "참새" * 2\n'
        page.click("article.assistant [data-copy]")
        expect(page.locator("article.assistant [data-copy] use")).to_have_attribute("href", "/static/icons.svg#check")
        assert clipboard(page) == CODE
        page.reload()
        page.locator("#chat[data-ready]").wait_for()


MATHS = r"""The roots: \(x_1\) and $$\frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$$ for $5.

- [x] done
- [ ] open"""


def test_formulas_and_tasks_are_drawn_when_a_reply_has_ended(chatter):
    page = chatter.page
    ask(page, MATHS)
    for _now_and_after_a_reload in range(2):
        reply = page.locator(LAST_REPLY).locator("[data-text]")
        expect(reply.locator("math")).to_have_count(2)
        expect(reply).to_contain_text("for $5.")
        fraction = reply.locator("mfrac").bounding_box()
        above, below = (reply.locator(f"mfrac > :nth-child({n})").bounding_box() for n in (1, 2))
        assert above["y"] + above["height"] <= below["y"] + 1 < fraction["y"] + fraction["height"]
        assert reply.locator("input").evaluate_all("boxes => boxes.map(box => box.checked)") == [True, False]
        page.reload()
        page.locator("#chat[data-ready]").wait_for()


def test_a_page_without_a_clipboard_copies_by_selection(chatter):
    """As where a site is reached by plain HTTP under a name that is not localhost."""
    page = chatter.page
    ask(page, CODE)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.click(".code [data-copy-code]")
    expect(page.locator("#announcement")).to_have_text("Copied")
    page.fill("#text", "")
    page.press("#text", "Control+v")
    expect(page.locator("#text")).to_have_value('def sparrow():\n    return "참새" * 2\n')


def test_what_was_found_far_above_is_in_sight(chatter):
    page = chatter.page
    ask(page, "The nightjar sleeps by day.")
    for number in range(5):
        ask(page, f"{number}\n" + "line by line\n" * 12)
    page.click(f"{LAST_REPLY} >> [data-regenerate] >> visible=true")
    expect(page.locator(LAST_REPLY).locator("[data-pager]")).to_contain_text("2 / 2")
    state(page, "complete")
    page.fill("#search", "nightjar")
    page.click("#list [data-item]:has(.item-hit) > a")
    expect(page.locator(".turn.found")).to_be_in_viewport()
    page.wait_for_timeout(400)  # the page has settled: what is laid out later may not move the reader away
    expect(page.locator(".turn.found")).to_be_in_viewport()
    expect(page.locator("#jump")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollHeight - innerHeight") == 0, "the log scrolls, not the page"


def test_a_reply_that_was_cut_off_says_so_and_goes_on_as_another_version(chatter):
    page = chatter.page
    goes_on = page.locator(LAST_REPLY).locator("[data-continue]")
    ask(page, "A short one.")
    expect(goes_on).to_be_hidden()
    ask(page, " ".join(f"w{number}" for number in range(2 * LENGTH)))
    expect(page.locator(LAST_REPLY).locator("[data-state-words]")).to_have_text("Stopped at the maximum length.")
    cut = page.locator(LAST_REPLY).locator("[data-text]").inner_text()
    goes_on.click()
    expect(page.locator(LAST_REPLY).locator("[data-pager]")).to_contain_text("2 / 2")
    state(page, "complete")
    begun = page.locator(LAST_REPLY).locator("[data-text]").inner_text()
    assert begun.startswith(cut)
    assert len(begun.split()) > LENGTH
    expect(page.locator(LAST_REPLY)).to_contain_text("This continues an earlier version of the reply.")
    page.click("article.assistant >> nth=-1 >> [data-step=previous]")
    expect(page.locator(LAST_REPLY).locator("[data-text]")).to_have_text(cut)
    expect(goes_on).to_be_visible()


def test_a_stopped_reply_goes_on(chatter, site):
    page = chatter.page
    ask(page, "What a sparrow says.")
    site.manage("shell", "-c", "from chat.models import Reply; Reply.objects.update(state='stopped')")
    page.reload()
    page.locator("#chat[data-ready]").wait_for()
    page.click("[data-continue] >> visible=true")
    expect(page.locator(LAST_REPLY).locator("[data-text]")).to_have_text("What a sparrow says.What a sparrow says.")


def test_code_in_a_text_from_right_to_left_reads_from_the_left(chatter):
    page = chatter.page
    ask(page, "مرحبا بالعالم\n\n```\nx = 1\n```")
    direction = "element => getComputedStyle(element).direction"
    assert page.locator(f"{LAST_REPLY} >> pre").evaluate(direction) == "ltr"
    assert page.locator(f"{LAST_REPLY} >> [data-text] > p").evaluate(direction) == "rtl"
