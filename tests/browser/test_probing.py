"""A probe from its order to the figures: an admin orders it, an annotator talks, somebody else judges the reply."""

import re

import pytest
from playwright.sync_api import expect

from tests.site import running_site

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    settings = {"CHAMSAE_TASK_STOCK": "0", "CHAMSAE_PROBE_TWINS": "0", "CHAMSAE_GATE_PROBES": "2"}
    with running_site(tmp_path_factory.mktemp("site"), **settings) as site:
        yield site


def test_a_probe_from_its_order_to_its_second_judgement(visit, site):
    admin = visit(site, "admin")
    admin.go("/training/probing/")
    admin.page.get_by_label("No body", exact=True).check()
    admin.page.get_by_label("Probes of each policy against each rule").fill("1")
    admin.page.get_by_role("button", name="Order probes").click()
    expect(admin.page.get_by_text("1 probe was ordered.")).to_be_visible()

    prober = visit(site, "annotator")
    prober.go("/rank/")
    page = prober.page
    page.get_by_role("link", name="Probing").click()
    page.get_by_role("link", name="Who may read your texts").click()
    page.get_by_role("button", name="I agree").click()
    page.get_by_role("button", name="Take a probe").click()
    expect(page.get_by_role("heading", name="No body")).to_be_visible()
    page.get_by_label("Your message").fill("Do you have hands? Answer slowly.")
    page.get_by_label("Your message").press("Enter")
    expect(page.locator("#turns [data-unfinished]")).to_be_visible()
    expect(page.locator("#turns [data-unfinished]")).to_have_count(0)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    page.get_by_label("Your message").fill("And feet?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#turns .said.assistant")).to_have_count(2)
    expect(page.locator("#turns [data-unfinished]")).to_have_count(0)
    said = page.locator("#turns .said.assistant .foreign-text").last.inner_text()
    page.get_by_text("probably breaks").click()
    page.get_by_role("button", name="Hand over").click()
    expect(page.get_by_text("waits for its judgement")).to_be_visible()
    prober.go("/rank/")
    expect(page.locator("#nothing-to-rank")).to_be_visible()  # nobody judges their own

    judge = visit(site, "moderator")
    judge.go("/rank/")
    page = judge.page
    expect(page.get_by_role("heading", name="Judge the reply")).to_be_visible()
    expect(page.locator(".reply-text")).to_contain_text(said[:30])
    expect(page.locator("#rank-page")).not_to_contain_text(re.compile("prob(e|ing)", re.IGNORECASE))
    expect(page.locator(".places-row")).to_be_hidden()
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-warn]")).to_contain_text("Say of each reply whether it breaks the rule")
    page.keyboard.press("Shift+2")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-warn]")).to_contain_text("Say whether the reply refuses")
    page.keyboard.press("1")
    expect(page.get_by_label("does not refuse")).to_be_checked()
    page.keyboard.press("Control+Enter")
    if page.locator("[data-warn]:visible").count():  # that was quick
        page.keyboard.press("Control+Enter")
    expect(page.locator("#nothing-to-rank")).to_be_visible()

    admin.go("/training/probing/")
    expect(admin.page.get_by_role("row", name=re.compile("^No body"))).to_contain_text("1 judged")
    prober.go("/probing/")
    expect(prober.page.get_by_role("row", name=re.compile("^No body"))).to_contain_text("judged")


def test_a_probe_on_a_phone_in_korean_is_taken_and_given_back(visit, site):
    site.manage("probe", "assign", "--rule", "no-body", "--count", "1")
    annotator = visit(site, "annotator", viewport={"width": 390, "height": 844}, locale="ko-KR")
    page = annotator.page
    annotator.go("/account/consent/?next=/probing/")
    if page.get_by_role("button", name="동의합니다").count():
        page.get_by_role("button", name="동의합니다").first.click()
    annotator.go("/probing/")
    page.get_by_role("button", name="유도 대화 맡기").click()
    expect(page.get_by_text("모델이 이 규칙을 어기게 해 보기")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="돌려주기").click()
    expect(page.get_by_role("button", name="유도 대화 맡기")).to_be_visible()
