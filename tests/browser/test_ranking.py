"""An annotator and a moderator at their pages, by keys alone and without a mouse."""

import re

import pytest
from playwright.sync_api import expect

from tests.site import running_site

pytestmark = pytest.mark.browser
TO_RANK_AND_TO_REVIEW = """
from accounts.models import User
import time
from chat.policies import live
from feedback.judgements.task_stock import ready, refill
from tests.rlhf import feedback_rows
while ready(live()) < 6:  # the site's own worker may be at it
    refill() or time.sleep(0.1)
from feedback.models import Report
annotator = User.objects.get(username="annotator")
flag = feedback_rows.flag(feedback_rows.rank(annotator, 1), key="no-insults")
Report.objects.create(completion=flag.completion, rule_version=flag.rule_version, reporter=annotator)
"""
WITHOUT_A_DRAFT = """
fetch(document.querySelector("#rank-page").dataset.draftUrl, {
  method: "POST", body: "{}",
  headers: {"X-CSRFToken": document.querySelector("#ranking [name=csrfmiddlewaretoken]").value},
})
"""
LONGER_THAN_A_DRAFT_WAITS_MS = 1000
CARDS_WITHIN_THE_WINDOW = """
[...document.querySelectorAll(".card")].every(card => card.getBoundingClientRect().right <= innerWidth)
"""
"""What lies past the edge may be cut off without making the page wider."""
NO_RULE_IS_ASKED_ABOUT = """
from feedback.models import Prompt
Prompt.objects.filter(tasks__assignments__annotator__username="annotator").update(elicits=None)
"""
LONG_REPLIES = """
from feedback.models import Completion
for completion in Completion.objects.filter(task__assignments__annotator__username="annotator"):
    completion.text = "One line of \\\\(x^2\\\\).\\n\\n" * (20 + 5 * completion.index)
    completion.save()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), CHAMSAE_TASK_STOCK="6") as site:
        site.manage("shell", "--verbosity", "0", "-c", TO_RANK_AND_TO_REVIEW)
        yield site


@pytest.fixture
def annotator(visit, site):
    """At a task without a draft: the tests have one annotator, whose draft of the last test would still be there."""
    annotator = visit(site, "annotator")
    annotator.go("/rank/")
    annotator.page.evaluate(WITHOUT_A_DRAFT)
    annotator.page.reload()
    return annotator


def order(page):
    return page.locator("[data-order]").inner_text()


def keys(page, *names):
    for name in names:
        page.keyboard.press(name)


def grade(page):
    """Where the prompt tempts to break a rule, each reply has to be graded."""
    for card in page.locator("[data-reply]:has([data-grades])").all():
        card.focus()
        keys(page, "Shift+Digit5")


def draft_saved(page):
    expect(page.locator("[data-draft]")).to_have_text("Draft saved")


def test_a_task_is_ranked_flagged_and_submitted_by_keys(annotator):
    page = annotator.page
    address = page.locator("#ranking").get_attribute("action")
    keys(page, "2", "1", "2", "4")
    assert order(page) == "B > A = C > D"
    keys(page, "f")
    page.keyboard.type("insult")
    expect(page.locator(".reply:nth-child(4) .found [role=option]")).to_have_count(1)
    keys(page, "Enter")
    expect(page.locator(".reply:nth-child(4)")).to_be_focused()
    expect(page.locator(".reply:nth-child(4) .flagged input")).to_be_checked()
    page.locator(".reply:nth-child(4) .flagged [data-rule]").focus()
    keys(page, "Enter")
    expect(page.locator("#rule-dialog")).to_contain_text("does not insult")
    keys(page, "Escape")
    expect(page.locator("#rule-dialog")).to_be_hidden()
    draft_saved(page)
    page.locator(".reply:nth-child(4) .flagged input").click()
    expect(page.locator(".reply:nth-child(4) .flagged input")).to_have_count(0)
    draft_saved(page)
    keys(page, "u")
    expect(page.locator(".reply:nth-child(4) .flagged input")).to_be_checked()
    grade(page)
    keys(page, "Control+Enter")
    if page.locator("[data-warn]").is_visible():
        keys(page, "Control+Enter")
    page.wait_for_function(
        "address => document.querySelector('#ranking')?.getAttribute('action') !== address", arg=address
    )
    annotator.go("/rank/mine/")
    first = page.locator("article").first
    expect(first.locator("summary")).to_contain_text("B > A = C > D")
    first.locator("summary").click()
    expect(first).to_contain_text("No insults")
    assert first.locator(".placed > li > .badge").all_inner_texts() == ["1", "2", "2", "3"]


MARKED = "CSS.highlights.has('differs')"


def answer(page):
    """Whatever is objected to is meant."""
    address = page.locator("#ranking").get_attribute("action")
    grade(page)
    for _ in range(3):
        keys(page, "Control+Enter")
        if not page.locator("[data-warn]").is_visible():
            break
    page.wait_for_function(
        "address => document.querySelector('#ranking')?.getAttribute('action') !== address", arg=address
    )


def test_tasks_follow_each_other_in_place_and_back_reopens_the_last_answer(annotator):
    page = annotator.page
    page.evaluate("window.isTheSamePage = true")
    task = page.locator("#ranking").get_attribute("action")
    keys(page, "1", "2", "3", "4")
    page.locator("[data-reply]").first.focus()
    keys(page, "+", "+", "d")
    expect(page.locator("[data-step='1']")).to_have_accessible_name("How much better A is than B: clearly")
    assert page.evaluate(MARKED)
    answer(page)
    assert page.evaluate("window.isTheSamePage")
    assert not page.evaluate(MARKED)
    expect(page.locator("[data-reply]").first).to_be_focused()
    assert order(page) == "No ranks yet"
    page.go_back()
    expect(page.get_by_role("heading", name="Correct your ranking")).to_be_visible()
    expect(page.locator("[data-order]")).to_have_text(re.compile("A » 2 B > C > D"))
    page.locator("[data-reply]").first.focus()
    keys(page, "4", "Control+Enter")
    page.wait_for_url("**/rank/")
    assert page.locator("#ranking").get_attribute("action") != task
    annotator.go("/rank/mine/")
    expect(page.locator("article").first).to_contain_text("corrected")


def test_all_bad_by_one_key_is_an_answer(annotator):
    page = annotator.page
    keys(page, "b")
    assert order(page) == "A = B = C = D"
    answer(page)
    annotator.go("/rank/mine/")
    expect(page.locator("article").first).to_contain_text("all bad")


def test_an_answer_that_cannot_be_sent_stays_on_the_page(annotator):
    page = annotator.page
    keys(page, "1", "2", "3", "4")
    grade(page)
    page.route("**/submit/", lambda route: route.abort())
    keys(page, "Control+Enter")
    if "Not sent" not in page.locator("[data-warn]").inner_text():
        keys(page, "Control+Enter")
    expect(page.locator("[data-warn]")).to_contain_text("Everything is still here")
    assert order(page) == "A > B > C > D"
    annotator.wrong.clear()  # the request that the test refused


def test_arrows_move_places_and_undo_takes_each_step_back(annotator):
    page = annotator.page
    page.locator("[data-reply]").first.focus()
    keys(page, "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown", "3", "ArrowUp")
    assert order(page) == "B > C > A"
    keys(page, "ArrowLeft")
    seen = [order(page)]
    for _ in range(5):
        keys(page, "u")
        seen.append(order(page))
    assert seen == ["B > C > A", "B > C > A", "B > A", "A", "No ranks yet", "No ranks yet"]
    expect(page.locator("[data-undo]")).to_be_disabled()
    draft_saved(page)


def test_an_older_draft_that_is_slow_does_not_replace_a_later_one(annotator):
    page = annotator.page
    held = []
    page.route("**/draft/", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/draft/"):
        keys(page, "1")
    keys(page, "2", "3")
    page.wait_for_timeout(LONGER_THAN_A_DRAFT_WAITS_MS)
    expect(page.locator("[data-draft]")).to_have_text("")
    held[0].continue_()
    draft_saved(page)
    assert order(page) == "A > B > C"
    page.reload()
    assert order(page) == "A > B > C"


def test_a_draft_is_there_after_a_reload(annotator):
    page = annotator.page
    keys(page, "3", "1")
    page.locator(".comment summary").click()
    page.fill("#comment", "half done")
    draft_saved(page)
    page.reload()
    assert order(page) == "B > A"
    assert page.input_value("#comment") == "half done"
    page.locator(".reply:nth-child(3) .places span").nth(1).click()
    assert order(page) == "B > C > A"


def test_what_is_not_placed_or_all_tied_is_objected_to(annotator, site):
    # A grade would say something of tied replies.
    site.manage("shell", "--verbosity", "0", "-c", NO_RULE_IS_ASKED_ABOUT)
    page = annotator.page
    page.reload()
    page.locator("[data-reply]").nth(3).focus()
    keys(page, "1", "Control+Enter")
    lacking = page.locator("[data-warn]")
    expect(lacking).to_be_visible()
    for card in range(4):
        page.locator("[data-reply]").nth(card).focus()
        keys(page, "1")
    keys(page, "Control+Enter")
    expect(lacking).to_contain_text("same rank")
    expect(page.locator("#ranking")).to_be_visible()


def test_long_replies_fold_at_one_height_and_unfold_at_once(annotator, site):
    page = annotator.page
    site.manage("shell", "--verbosity", "0", "-c", LONG_REPLIES)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.reload()
    bar = page.locator(".rank-bar").bounding_box()["y"]
    for seen in (page.locator(".conversation .said"), *page.locator(".reply-text math:first-of-type").all()[:1]):
        expect(seen).to_be_in_viewport()
    texts = page.locator(".reply-text")
    boxes = [text.bounding_box() for text in texts.all()]
    assert len({box["height"] for box in boxes}) == 1
    assert all(box["y"] + 60 < bar for box in boxes), "the first lines of four replies stand on one screen"
    words = page.locator("[data-unfold]").all_inner_texts()
    assert len(set(words)) == 4
    assert all(re.fullmatch(r"Show all, [\d,]+ more characters", text) for text in words)
    keys(page, "1", "2", "3", "4")
    grade(page)
    keys(page, "Control+Enter")
    expect(page.locator("[data-warn]")).to_contain_text("not unfolded")
    page.locator("[data-unfold]").nth(2).click()
    expect(page.locator("[data-unfold]:visible")).to_have_count(0)
    assert texts.evaluate_all("all => all.every(text => text.scrollHeight <= text.clientHeight + 1)")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("[data-order]")).to_be_in_viewport()
    assert page.locator("[data-reply]").evaluate_all("all => new Set(all.map(each => each.offsetLeft)).size") == 1


def test_a_skip_leads_to_another_task(annotator):
    page = annotator.page
    address = page.locator("#ranking").get_attribute("action")
    page.locator("[data-reply]").first.focus()
    keys(page, "s")
    page.select_option("[name=reason]", "unclear")
    page.locator("[data-skip] button").click()
    expect(page.locator(".notices")).to_contain_text("Skipped")
    assert page.locator("#ranking").get_attribute("action") != address


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window(visit, site, width):
    admin = visit(site, "admin", viewport={"width": width, "height": 800})
    for path in ("/rank/", "/rank/mine/", "/rank/guidelines/", "/moderation/", "/rules/", "/rules/no-body/"):
        admin.go(path)
        assert admin.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert admin.page.evaluate(CARDS_WITHIN_THE_WINDOW), path


def test_a_moderator_hides_a_flagged_reply_and_undoes_it(visit, site):
    moderator = visit(site, "moderator")
    page = moderator.page
    moderator.go("/moderation/")
    page.goto(site.url + "/moderation/next/?kind=completion")
    item = page.url
    page.get_by_role("link", name="Hide the reply").click()
    expect(page.get_by_text("Annotators no longer see this reply")).to_be_visible()
    page.fill("[name=reason]", "insults")
    page.get_by_role("button", name="Hide the reply").click()
    expect(page.locator(".done")).to_contain_text("Hide the reply")
    page.goto(item)
    expect(page.locator(".subject")).to_contain_text("hidden")
    page.get_by_role("link", name="Undo").first.click()
    page.fill("[name=reason]", "a slip")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".subject")).not_to_contain_text("hidden")


NOTHING_LEFT = """
from datetime import timedelta
from django.utils import timezone
from feedback.judgements import assignments
from feedback.models import RankingTask, TaskRefill
assignments.drop_all(RankingTask.objects.all())
hour = timezone.now() + timedelta(hours=1)
TaskRefill.objects.update_or_create(pk=1, defaults={"owner": "test", "lease_until": hour, "done": 1, "wanted": 4})
"""
ONE_MORE = "from feedback.models import TaskRefill; TaskRefill.objects.update(done=2)"
FREE_AGAIN = """
from feedback.judgements.task_stock import refill
from feedback.models import TaskRefill
TaskRefill.objects.update(lease_until=None)
refill()
"""


def test_the_page_without_a_task_follows_the_making_of_one_and_then_shows_it(visit, site):
    annotator = visit(site, "annotator")
    run = ("shell", "--verbosity", "0", "-c")
    site.manage(*run, NOTHING_LEFT)
    annotator.go("/rank/")
    page = annotator.page
    expect(page.locator("[data-stock]")).to_contain_text("1 of the 4 replies")
    again = page.get_by_role("link", name="Check again")
    again.focus()
    site.manage(*run, ONE_MORE)
    expect(page.locator("[data-stock]")).to_contain_text("2 of the 4 replies", timeout=15_000)
    expect(again).to_be_focused()
    site.manage(*run, FREE_AGAIN)
    expect(page.locator("#ranking")).to_be_visible(timeout=15_000)
