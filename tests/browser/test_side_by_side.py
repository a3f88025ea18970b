"""Two replies beside each other: they stream at once, nothing tells whose they are, and a key or a button decides."""

import re

import pytest
from playwright.sync_api import expect

from tests.site import SCRIPT, SCRIPTED, running_site

pytestmark = [pytest.mark.browser, pytest.mark.on_services]
PAIRED = (
    SCRIPTED
    + f"""
from chat.models import SiteChoices
Policy.objects.get_or_create(name="heron-2", version=2, is_on_trial=True, is_scripted=True, source='{SCRIPT}')
SiteChoices.objects.get_or_create(defaults={{"side_by_side_percent": 100}})
"""
)
NAMES = re.compile(r"scripted|heron-2")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), program=PAIRED, CHAMSAE_MESSAGES_PER_MINUTE="1000") as site:
        yield site


@pytest.fixture
def chatter(visit, site):
    chatter = visit(site, "chatter")
    chatter.frames = []
    hear = lambda frame: chatter.frames.append(frame)  # noqa: E731
    chatter.page.on("websocket", lambda socket: socket.on("framereceived", hear))
    chatter.go("/")
    return chatter


def ask(page, text="What is a rainbow?"):
    page.locator("#chat[data-ready]").wait_for()
    page.fill("#text", text)
    page.click("#send")
    expect(page.locator("[data-side]")).to_have_count(2)


def allow_training(page):
    """Switches training on; the words are agreed to once an account, and nothing can be typed while they are open."""
    page.locator("#chat[data-ready]").wait_for()  # a click that comes before is answered when the message is sent
    page.locator("#consent [name=may_train]").click()
    if (words := page.locator("#consent-words")).is_visible():
        words.get_by_role("button", name="I agree").click()
        expect(words).to_be_hidden()
    expect(page.locator("#consent [name=may_train]")).to_be_checked()


def both_are(page, state):
    for side in page.locator("[data-side]").all():
        expect(side).to_have_attribute("data-state", state)


def words(page, side):
    return len(page.locator(f"[data-side={side}] [data-text]").inner_text().split())


def decided(page):
    expect(page.locator("[data-pair]")).to_have_count(0)
    expect(page.locator("article.assistant")).to_have_count(1)
    return page.locator("[data-verdict]")


def test_both_stream_at_once_and_nothing_tells_whose_they_are(chatter):
    page = chatter.page
    ask(page, "Say slowly what a rainbow is.")
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-side] [data-text]')]"
        ".every(text => text.textContent.split(' ').length > 3)"
    )
    both_are(page, "streaming")
    assert not NAMES.search(page.locator("#log").inner_html())
    both_are(page, "complete")
    assert words(page, "left") == words(page, "right") == 40
    page.reload()
    both_are(page, "complete")
    assert not NAMES.search(page.locator("#log").inner_html())
    assert chatter.frames
    assert not [frame for frame in chatter.frames if NAMES.search(str(frame))]


def test_a_key_decides_and_the_names_are_told(chatter):
    page = chatter.page
    ask(page)
    both_are(page, "complete")
    right = page.locator("[data-side=right]").get_attribute("data-message")
    expect(page.locator("[data-choice=right]")).to_be_enabled()  # as a person waits, too
    page.locator("#log").focus()
    page.keyboard.press("2")
    verdict = decided(page)
    expect(verdict).to_contain_text("You chose reply 2.")
    expect(verdict).to_contain_text("heron-2 · v2")
    expect(verdict).to_contain_text("scripted · v1")
    winner = page.locator("article.assistant")
    expect(winner).to_have_attribute("data-message", right)
    expect(winner.locator("[data-policy]")).to_have_text(NAMES)
    page.reload()
    expect(page.locator("article.assistant")).to_have_attribute("data-message", right)
    expect(page.locator("article.assistant [data-pager]")).to_contain_text("2")


def test_two_replies_of_one_policy_are_told_as_that(chatter, site):
    trial = "from chat.models import Policy; Policy.objects.filter(name='heron-2').update(is_on_trial={})"
    site.manage("shell", "-c", trial.format(False))
    try:
        allow_training(chatter.page)
        ask(chatter.page)
        both_are(chatter.page, "complete")
        chatter.page.click("[data-choice=tie]")
        expect(decided(chatter.page)).to_contain_text(
            "Both were written by scripted · v1: two samples of the same model."
        )
    finally:
        site.manage("shell", "-c", trial.format(True))


def test_a_digit_that_is_written_decides_nothing(chatter):
    page = chatter.page
    ask(page)
    both_are(page, "complete")
    keys = page.locator("[data-choices] kbd").first
    expect(keys).to_have_css("visibility", "visible")
    page.locator("#text").press_sequentially("12")
    expect(keys).to_have_css("visibility", "hidden")
    expect(page.locator("[data-side]")).to_have_count(2)
    expect(page.locator("#text")).to_have_value("12")


def test_a_choice_may_come_before_the_end_and_the_reply_is_whole_all_the_same(chatter):
    page = chatter.page
    ask(page, "Say slowly what a rainbow is.")
    page.get_by_role("button", name="Equally good").click()  # as soon as it can be pressed
    expect(decided(page)).to_contain_text("equally good")
    expect(page.locator("article.assistant")).to_have_attribute("data-state", "complete")
    assert len(page.locator("article.assistant [data-text]").inner_text().split()) == 40


def test_both_bad_offers_another_reply(chatter):
    page = chatter.page
    ask(page)
    both_are(page, "complete")
    page.get_by_role("button", name="Both bad").click()
    decided(page)
    page.get_by_role("button", name="Write another reply").click()
    expect(page.locator("article.assistant")).to_have_count(1)
    expect(page.locator("article.assistant [data-pager]")).to_contain_text("3")
    expect(page.locator("article.assistant")).to_have_attribute("data-state", "complete")


def test_another_window_sees_the_two_and_the_choice(chatter):
    page = chatter.page
    ask(page)
    both_are(page, "complete")
    other = chatter.context.new_page()
    other.goto(page.url)
    expect(other.locator("[data-side]")).to_have_count(2)
    page.get_by_role("button", name="Reply 1 is better").click()
    decided(page)
    expect(decided(other)).to_contain_text("You chose reply 1.")
    other.close()


def test_whoever_writes_on_lets_the_pair_lapse(chatter):
    page = chatter.page
    ask(page)
    both_are(page, "complete")
    left = page.locator("[data-side=left]").get_attribute("data-message")
    page.fill("#text", "And then?")
    page.press("#text", "Enter")
    expect(page.locator(f"article.assistant[data-message='{left}']:not([data-side]) [data-policy]")).to_have_text(
        NAMES
    )
    expect(page.locator("[data-side]")).to_have_count(2)  # of the new turn
    both_are(page, "complete")


def test_a_pair_can_be_left_without_a_choice_and_switched_off(chatter):
    page = chatter.page
    ask(page)
    both_are(page, "complete")
    page.get_by_role("button", name="Continue without choosing").click()
    expect(decided(page)).to_contain_text("You did not choose.")
    ask(page, "Another one?")
    both_are(page, "complete")
    page.get_by_role("button", name="Don't show me two replies again").click()
    expect(page.get_by_role("button", name="Don't show me two replies again")).to_be_disabled()
    chatter.go("/")
    page.fill("#text", "One reply, please.")
    page.press("#text", "Enter")
    expect(page.locator("article.assistant")).to_have_count(1)
    expect(page.locator("[data-pair]")).to_have_count(0)
    expect(page.locator("article.assistant")).to_have_attribute("data-state", "complete")
    page.request.post(
        f"{chatter.site.url}/side-by-side/",
        form={"is_on": "on", "csrfmiddlewaretoken": page.locator("[name=csrfmiddlewaretoken]").first.input_value()},
        headers={"Accept": "application/json", "Referer": chatter.site.url, "Origin": chatter.site.url},
    )


def test_they_stand_one_above_the_other_on_a_phone(visit, site):
    visitor = visit(site, "chatter", viewport={"width": 390, "height": 780}, has_touch=True)
    visitor.go("/")
    ask(visitor.page)
    left, right = visitor.page.evaluate(  # both at one moment: the page follows the text
        "['left', 'right'].map((side) => document.querySelector(`[data-side=${side}]`))"
        ".map((turn) => turn.getBoundingClientRect().toJSON())"
    )
    assert left["x"] == right["x"]
    assert left["y"] + left["height"] <= right["y"]


# --- what is said of one reply ---------------------------------------------------------------------


@pytest.fixture
def answered(chatter):
    page = chatter.page
    ask(page)
    both_are(page, "complete")
    page.get_by_role("button", name="Continue without choosing").click()
    decided(page)
    return page


def test_a_thumb_with_reasons_is_there_after_a_reload_and_can_be_undone(answered):
    page = answered
    page.get_by_role("button", name="Bad reply").click()
    expect(page.get_by_role("button", name="Bad reply")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Too long").check()
    page.get_by_label("In your own words").fill("Words, words.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("[data-why-form]")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Bad reply")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_label("Too long")).to_be_checked()
    expect(page.get_by_label("In your own words")).to_have_value("Words, words.")
    page.get_by_role("button", name="Bad reply").click()
    expect(page.get_by_role("button", name="Bad reply")).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(page.get_by_role("button", name="Bad reply")).to_have_attribute("aria-pressed", "false")


def test_keys_give_a_thumb_and_open_the_report(answered):
    page = answered
    page.get_by_role("button", name="Copy the reply").focus()
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator("[data-why-form]")).to_have_count(0)
    page.keyboard.press("!")
    expect(page.locator("#report-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#report-dialog")).to_be_hidden()
    expect(page.locator("[data-report]")).to_be_focused()


def test_a_rule_is_named_and_taken_back_without_leaving_the_page(answered):
    page = answered
    address = page.url
    page.locator("[data-report]").click()
    dialog = page.locator("#report-dialog")
    dialog.get_by_label("Which rule does it break?").select_option("no-insults")
    dialog.get_by_role("button", name="Report", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#announcement")).to_contain_text("Thank you")
    page.locator("[data-report]").click()
    dialog.get_by_role("button", name="Withdraw").click()
    expect(dialog.locator(".flags")).to_have_count(0)
    dialog.get_by_role("button", name="Close").click()
    assert page.url == address
