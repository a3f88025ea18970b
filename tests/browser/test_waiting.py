"""An annotator compares blindly what a cycle waits for; an admin watches, and then does not wait for the rest."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.waiting import PROGRAM
from tests.site import running_site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    settings = {"CHAMSAE_TASK_STOCK": "0", "CHAMSAE_CYCLE_AFTER": "0"}
    with running_site(tmp_path_factory.mktemp("site"), program=PROGRAM, **settings) as site:
        yield site


def prefer(page, side):
    """Ranks the reply of that side first."""
    for card in page.locator("[data-reply]").all():
        place = "1" if side in card.locator(".reply-text").inner_text() else "2"
        card.locator(f".places input[value='{place}']").check(force=True)
        for rule in card.locator("[data-grades]").all():
            rule.locator("input").last.check(force=True)
    address = page.locator("#ranking").get_attribute("action")
    page.get_by_role("button", name="Submit").click()
    if page.locator("[data-warn]").is_visible():  # so quick that the page asks whether it was read
        page.get_by_role("button", name="Submit").click()
    page.wait_for_function(
        "address => document.querySelector('#ranking')?.getAttribute('action') !== address", arg=address
    )


def test_people_compare_an_admin_watches_and_the_gate_decides(visit, site):
    annotator, admin = visit(site, "annotator"), visit(site, "admin")
    admin.go("/training/")
    expect(admin.page.locator("[data-live]")).to_contain_text("0 of 3 comparisons")
    admin.page.get_by_role("link", name="View", exact=True).first.click()
    admin.page.wait_for_url(re.compile(r"/training/runs/\d+/"))
    for number in range(2):
        annotator.go("/rank/")
        expect(annotator.page.locator("main")).to_contain_text("nobody is told which")
        assert annotator.page.locator("[data-reply]").count() == 2
        prefer(annotator.page, "after")
        expect(admin.page.locator("[data-comparisons]")).to_contain_text(
            f"{number + 1} of 3 comparisons, by 1 person", timeout=30_000
        )
    admin.page.get_by_role("button", name="Decide now").click()
    ended = admin.page.locator("main .badge", has_text=re.compile("^(passed|refused)$"))
    expect(ended.first).to_be_visible(timeout=300_000)
    expect(admin.page.locator("[data-comparisons]")).to_contain_text("an admin did not wait for the rest")
    admin.page.get_by_role("link", name=re.compile("vs. base")).click()
    expect(admin.page.locator("main")).to_contain_text("In 2 blind comparisons people preferred its replies in 100")
