"""A moderator's sitting of fifty items: by keys alone, several at once, and with a severe verb that asks first."""

import pytest
from playwright.sync_api import expect

from tests.site import running_site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
ITEMS = 50
REPORTED = f"""
from accounts.models import User
from chat.models import Policy
from feedback import seed
from feedback.models import Report, Rule
from tests.feedback.conversation_rows import talk
seed.load()
owner, eve = User.objects.get(username="chatter"), User.objects.create_user("eve")
version = Rule.objects.get(key="no-insults").versions.first()
for number in range({ITEMS}):
    message = talk(owner, f"Question {{number}}", f"Reply number {{number}}.", policy=Policy.objects.first())[1]
    Report.objects.create(message=message, reporter=eve, rule_version=version, comment="rude")
"""
LEFT = "from feedback.models import *; print(Report.objects.filter(state='open').count())"
ENTRIES = """
from collections import Counter
from accounts.models import AuditEntry
print(sorted(Counter(AuditEntry.objects.exclude(verb="text.read").values_list("verb", flat=True)).items()))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), CHAMSAE_TASK_STOCK="0") as site:
        site.manage("shell", "--verbosity", "0", "-c", REPORTED)
        yield site


def press(page, key):
    """A key that leads to another page."""
    with page.expect_navigation():
        page.keyboard.press(key)


def test_fifty_items_by_keys_and_in_bulk(visit, site):
    moderator = visit(site, "moderator")
    page = moderator.page
    moderator.go("/moderation/")
    expect(page.locator("[data-row]")).to_have_count(25)
    page.keyboard.press("?")
    expect(page.locator("#desk-keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("[data-row] [data-open]").first).to_be_focused()
    press(page, "Enter")
    expect(page.locator("main header")).to_contain_text("1 of 50")

    press(page, "j")  # a look at the next one, and back
    expect(page.locator("main header")).to_contain_text("2 of 50")
    press(page, "k")
    for number in range(10):
        expect(page.locator(".subject")).to_contain_text(f"Reply number {number}.")
        press(page, "d")
        expect(page.locator(".done")).to_contain_text("Dismiss the reports")
    press(page, "e")
    expect(page.locator(".done")).to_contain_text("Exclude from training")
    press(page, "u")  # undone, and on its page again
    expect(page.locator(".subject")).to_contain_text("Reply number 10.")
    press(page, "h")  # severe: asks first
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible()
    page.keyboard.type("an insult")
    press(page, "Control+Enter")
    expect(page.locator(".done")).to_contain_text("Hide the reply")

    moderator.go("/moderation/")
    page.keyboard.press("a")
    page.keyboard.press("b")
    page.keyboard.press("Tab")
    page.keyboard.type("a quiet afternoon")
    press(page, "Enter")
    expect(page.get_by_text("25 items done.")).to_be_visible()
    moderator.go("/moderation/")
    for _ in range(14):  # the last ones, ticked one by one
        page.keyboard.press("j")
        page.keyboard.press("x")
    page.keyboard.press("b")
    page.keyboard.press("Tab")
    page.keyboard.type("the rest")
    press(page, "Enter")
    expect(page.get_by_text("14 items done.")).to_be_visible()
    assert site.manage("shell", "--verbosity", "0", "-c", LEFT).strip() == "0"
    told = site.manage("shell", "--verbosity", "0", "-c", ENTRIES)
    assert "('reports.dismiss', 49)" in told
    assert "('text.hide', 1)" in told
    assert "('moderation.undo', 1)" in told


def test_a_person_is_warned_by_keys_with_their_name_in_large_letters(visit, site):
    moderator = visit(site, "moderator")
    page = moderator.page
    moderator.go("/moderation/people/?name=chatter")
    with page.expect_navigation():
        page.get_by_role("link", name="chatter", exact=True).click()
    press(page, "w")
    name = page.locator(".acted-on")
    expect(name).to_have_text("chatter")
    assert float(name.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 28
    page.keyboard.type("Please be kind.")
    press(page, "Control+Enter")
    expect(page.locator("section", has=page.get_by_role("heading", name="Warnings"))).to_contain_text(
        "Please be kind."
    )
