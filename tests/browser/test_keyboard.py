"""From signing in to a ranking without a mouse; what a screen reader is told meanwhile; Hangul and Enter."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
MOST_STOPS = 80
FOCUSED = """wanted => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const ring = (some) => some.outlineStyle !== "none" && parseFloat(some.outlineWidth) > 0;
  const around = one.closest(".composer, label") ?? one;
  const next = one.nextElementSibling;
  const shows = [one, around, next].some((some) => some && ring(getComputedStyle(some)));
  const box = one.getBoundingClientRect();
  const seen = box.width > 0 && box.height > 0;
  return { hit: one.matches(wanted), name: one.outerHTML.slice(0, 120), shows, seen };
}"""
LISTEN = """() => {
  window.announced = [];
  for (const one of document.querySelectorAll("[aria-live]:not([aria-live=off]), [role=status], [role=alert]")) {
    new MutationObserver(() => {
      if (one.textContent.trim()) window.announced.push(one.textContent.trim());
    }).observe(one, { childList: true, characterData: true, subtree: true });
  }
}"""
LIVE_AROUND_REPLIES = """() => [...document.querySelectorAll("article.assistant")].filter((one) => {
  const live = one.closest("[aria-live], [role=log], [role=status], [role=alert]");
  return live && live.getAttribute("aria-live") !== "off";
}).length"""
READING_MS = 3_200
"""Whoever submits sooner is asked whether they have read."""


@pytest.fixture(scope="module")
def site(talking_site):
    return talking_site


def tab_to(page, wanted):
    """By Tab alone; each stop on the way is on the screen and shows that it has the focus."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED, wanted)
        if stop["name"].startswith("<body"):  # past the last: the browser's own bars, then the page from its top
            continue
        assert stop["seen"] or stop["hit"], f"the focus is nowhere: {stop['name']}"
        assert stop["shows"], f"no ring around {stop['name']}"
        if stop["hit"]:
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


def test_from_signing_in_to_a_ranking_by_keys_alone(visit, site):
    page = visit(site).page
    page.goto(site.url + "/sign-in/?next=/")
    expect(page.locator("[name=username]")).to_be_focused()
    page.keyboard.type("annotator")
    tab_to(page, "[name=password]")
    page.keyboard.type("chamsae-demo")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()

    page.keyboard.type("Tell me a story, slowly.")
    page.keyboard.press("Enter")
    reply = page.locator("article.assistant").last
    expect(reply).to_have_attribute("data-state", "streaming")
    with site.silent_talker():
        tab_to(page, "#stop")
        page.keyboard.press("Enter")
        expect(reply).to_have_attribute("data-state", "stopped")
    expect(page.locator("#text")).to_be_focused()

    page.keyboard.press("Control+Home")
    page.goto(page.url)
    tab_to(page, "nav a[href='/rank/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rank/")
    page.wait_for_load_state("load")
    task = page.locator("#ranking").get_attribute("action")
    for place in ("1", "2", "3", "4"):  # each goes on to the next reply
        page.keyboard.press(place)
    page.wait_for_timeout(READING_MS)
    page.keyboard.press("Control+Enter")
    page.wait_for_function("task => document.querySelector('#ranking')?.getAttribute('action') !== task", arg=task)
    page.goto(site.url + "/rank/mine/")
    expect(page.get_by_role("button", name="Withdraw").first).to_be_visible()


def test_a_screen_reader_is_told_of_a_reply_once_at_its_end_and_not_by_the_token(visit, site):
    chatter = visit(site, "chatter")
    page = chatter.page
    chatter.go("/")
    log = page.get_by_role("log")
    expect(log).to_have_attribute("aria-label", "Messages")
    page.evaluate(LISTEN)
    page.fill("#text", "Tell me slowly what a rainbow is.")
    page.press("#text", "Enter")
    expect(page.locator("article.assistant").last).to_have_attribute("data-state", "streaming")
    assert page.evaluate(LIVE_AROUND_REPLIES) == 0
    expect(page.locator("article.assistant").last).to_have_attribute("data-state", "complete")
    text = page.locator("article.assistant [data-text]").last.inner_text().strip()
    page.wait_for_function("window.announced.length > 0")
    told = page.evaluate("window.announced")
    assert [one for one in told if text[:40] in one] == told
    assert len(told) == 1


def compose(page, keyboard, texts):
    for text in texts:
        span = {"selectionStart": len(text), "selectionEnd": len(text)}
        keyboard.send("Input.imeSetComposition", {"text": text, **span})


def enter_while_composing(page):
    page.evaluate(
        "document.querySelector('#text').dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Process', code: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true}))"
    )


@pytest.mark.parametrize("is_told_twice", [False, True], ids=["once", "twice"])
def test_one_enter_at_the_end_of_hangul_sends_once_however_often_a_system_tells_it(visit, site, is_told_twice):
    chatter = visit(site, "chatter", locale="ko-KR")
    page = chatter.page
    chatter.go("/")
    page.click("#text")
    keyboard = chatter.context.new_cdp_session(page)
    compose(page, keyboard, ["ㅇ", "아", "안"])
    keyboard.send("Input.insertText", {"text": "안"})
    compose(page, keyboard, ["ㄴ", "녀", "녕"])
    enter_while_composing(page)
    keyboard.send("Input.insertText", {"text": "녕"})
    if is_told_twice:
        page.keyboard.press("Enter")
    expect(page.locator("article.user [data-text]")).to_have_text(["안녕"])
    expect(page.locator("article.assistant").last).to_have_attribute("data-state", "complete")
    expect(page.locator("article.user [data-text]")).to_have_text(["안녕"])
    expect(page.locator("#text")).to_have_value("")


def test_an_enter_that_picks_a_japanese_word_sends_nothing(visit, site):
    chatter = visit(site, "chatter")
    page = chatter.page
    chatter.go("/")
    page.click("#text")
    keyboard = chatter.context.new_cdp_session(page)
    compose(page, keyboard, ["す", "すずめ", "雀"])
    enter_while_composing(page)
    keyboard.send("Input.insertText", {"text": "雀"})
    expect(page.locator("#text")).to_have_value("雀")
    expect(page.locator("article.user")).to_have_count(0)
