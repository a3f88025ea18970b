"""Each question of a project answered by keys alone, on a phone and in Korean too, and a lead's decision after it."""

import json

import pytest
from playwright.sync_api import expect

from tests.browser import axe
from tests.site import running_site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
REPLIES = {"compare": 2, "grade": 2, "rate": 2, "demonstrate": 0, "correct": 1}
OPTIONS = {"grade": ["--rule", "no-insults"], "rate": ["--attributes", "helpfulness,wit"]}
GROUPS = {"compare": 1, "grade": 2, "rate": 4}
"""How many choices a task of each asks for."""
PHONE = {"viewport": {"width": 390, "height": 760}, "locale": "ko-KR"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A project for each question with an overlap of two, whose lead is the admin."""
    folder = tmp_path_factory.mktemp("files")
    with running_site(tmp_path_factory.mktemp("site"), CHAMSAE_TASK_STOCK="0") as site:
        people = folder / "people.csv"
        people.write_text("annotator,annotator,en\nchatter,annotator,en\n")
        for question, count in REPLIES.items():
            replies = [f"An answer of its own, number {n}." for n in range(count)]
            row = {"prompt": f"Is the sea salty ({question})?", "language": "en", "replies": replies}
            prompts = folder / f"{question}.jsonl"
            prompts.write_text(json.dumps(row))
            site.manage(
                *("project", "create", question, "--question", question, "--prompts", str(prompts)),
                *("--replies", "pasted", "--overlap", "2", "--people", str(people), *OPTIONS.get(question, [])),
            )
        yield site


def begin(visitor, question):
    visitor.go(f"/projects/{question}/")
    button = visitor.page.locator("form[action$='/first/'] button")
    if button.count():
        button.click()
        visitor.page.wait_for_url("**/rank/")
    else:  # it comes first already
        visitor.go("/rank/")
    if question == "grade":  # its rule is about harm: nothing is shown before the reader wants it
        expect(visitor.page.locator("#answer")).to_be_hidden()
        visitor.page.keyboard.press("c")
    expect(visitor.page.locator("#answer")).to_be_visible()


def submit(page):
    """By keys; again where the page asks whether it was read."""
    address = page.locator("#answer").get_attribute("action")
    page.keyboard.press("Control+Enter")
    if page.locator("[data-warn]:visible").count():
        page.keyboard.press("Control+Enter")
    expect(page.locator(f'#answer[action="{address}"]')).to_have_count(0)


def answer(page, question, digit):
    for _ in range(GROUPS.get(question, 0)):
        page.keyboard.press(digit)
    if question not in GROUPS:
        page.locator("#text").fill(f"It is, by {digit} per cent.")


@pytest.mark.parametrize("question", REPLIES)
def test_a_question_is_answered_by_keys_and_its_draft_survives(visit, site, question):
    visitor = visit(site, "annotator")
    begin(visitor, question)
    page = visitor.page
    if axe.SCRIPT.exists():
        assert axe.grave(page) == []
    answer(page, question, "1")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.reload()
    if question in GROUPS:
        expect(page.locator("#answer [data-question] input:checked")).to_have_count(GROUPS[question])
    else:
        expect(page.locator("#text")).to_have_value("It is, by 1 per cent.")
    submit(page)
    visitor.go("/rank/mine/" if question == "compare" else "/rank/answers/")
    expect(page.get_by_text(f"({question})").first).to_be_visible()


def test_what_is_not_answered_is_asked_again(visit, site):
    visitor = visit(site, "chatter")
    begin(visitor, "rate")
    visitor.page.keyboard.press("3")
    visitor.page.keyboard.press("Control+Enter")
    expect(visitor.page.get_by_text("Something is not answered yet.")).to_be_visible()


@pytest.mark.parametrize("question", ["rate", "compare", "grade"])
def test_on_a_phone_in_korean_and_a_lead_decides_after_it(visit, site, question):
    annotated = visit(site, "chatter", **PHONE)
    begin(annotated, question)
    page = annotated.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    answer(page, question, {"grade": "5"}.get(question, "7"))
    if question == "compare":  # the replies may stand in the other order than before
        page.locator("[name=choice][value=bad] + span").click()
    submit(page)
    lead = visit(site, "admin")
    lead.go(f"/projects/{question}/disagreements/")
    page = lead.page
    if question == "compare" and not page.locator("#answer").count():
        return  # one prefers, the other does not: half way, which is no dispute
    if axe.SCRIPT.exists():
        assert axe.grave(page) == []
    page.keyboard.press("2")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Decided.")).to_be_visible()
    lead.go(f"/projects/{question}/")
    expect(page.get_by_text("0 wait for a lead, 1 decided")).to_be_visible()
