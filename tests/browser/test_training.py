"""An admin at the training pages: train now, watch, see it answer, roll back with one click."""

import re

import pytest
from playwright.sync_api import expect

from tests.short_cycle import OPEN_GATE, TASTES, TINY
from tests.site import running_site

pytestmark = [pytest.mark.browser, pytest.mark.on_services, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def site(tiny_policy, tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), tiny_policy, **TINY, **OPEN_GATE) as site:
        site.manage("simulate_annotators", "--rankings", "16", *TASTES)
        yield site


def policy_that_answers(chatter):
    page = chatter.page
    chatter.go("/")
    page.fill("#text", "Who are you?")
    page.press("#text", "Enter")
    reply = page.locator("article.assistant").last
    expect(reply).to_have_attribute("data-state", "complete")
    return reply.locator("[data-policy]").inner_text().split(" · ")[0]


def wait_until_it_answers(chatter, wanted):
    for _ in range(20):  # the engine swaps within seconds, while replies under way go on
        if policy_that_answers(chatter) == wanted:
            return
        chatter.page.wait_for_timeout(500)
    raise AssertionError(f"{wanted} does not respond")


def read_the_notice(chatter, made):
    """From the bell to the page of the promotion; then the bell says nothing more."""
    chatter.go("/")
    page = chatter.page
    page.get_by_role("link", name="Notices: 1 unread").click()
    page.get_by_role("button", name=f"A new version of the model answers: {made}").first.click()
    expect(page.locator("h1")).to_contain_text(f"{made} answers")
    expect(page.locator("#figures")).to_be_visible()
    expect(page.get_by_role("link", name="Notices", exact=True)).to_be_visible()


BEYOND_ITS_CARD = """() => [...document.querySelectorAll("main .card")].flatMap((card) => {
  const edge = card.getBoundingClientRect().right;
  return [...card.querySelectorAll("input, pre, p, a, button")]
    .filter((one) => one.getBoundingClientRect().right > edge)
    .map((one) => one.outerHTML.slice(0, 80));
})"""


def look_at_the_policy(admin, made):
    """Nothing leaves its card, wide or narrow, also where the command for a model server is shown."""
    page = admin.page
    admin.go(f"/training/policies/{made}/")
    page.get_by_text("Serve it as an adapter").click()
    page.get_by_text("Change", exact=True).click()
    expect(page.locator("pre")).to_contain_text("vllm serve")
    usual = page.viewport_size
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(BEYOND_ITS_CARD) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size(usual)


def test_train_now_promotes_and_one_click_rolls_back(visit, site):
    chatter, admin = visit(site, "chatter"), visit(site, "admin")
    base = policy_that_answers(chatter)
    page = admin.page
    admin.go("/training/")
    expect(page.locator("main")).to_contain_text("simulated")
    page.get_by_role("button", name="Train now").click()
    page.wait_for_url(re.compile(r"/training/runs/\d+/"))
    expect(page.locator("progress, .progress").first).to_be_visible(timeout=60_000)
    ended = page.locator(".badge.ok", has_text="promoted").or_(page.locator("main .notice.error"))
    expect(ended.first).to_be_visible(timeout=900_000)
    expect(page.locator("main .notice.error")).to_have_count(0)
    admin.go("/training/")
    made = page.locator("section[aria-labelledby=live] .big").inner_text().split()[0]
    assert made != base
    wait_until_it_answers(chatter, made)
    read_the_notice(chatter, made)
    look_at_the_policy(admin, made)

    admin.go("/training/")
    page.get_by_text("Roll back…").click()
    page.fill("section[aria-labelledby=live] [name=reason]", "It was better before.")
    page.get_by_role("button", name="Roll back to the previous version").click()
    expect(page.locator("section[aria-labelledby=live] .big")).to_contain_text(base)
    wait_until_it_answers(chatter, base)
