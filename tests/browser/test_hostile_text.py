"""What did something in chats of others does nothing here: on no page, whole or half written, looked at or clicked.

A request to a foreign host and a violation of the content policy fail the test as the visitor leaves.
"""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.attacks import ATTACKS
from tests.browser.hostile import PROGRAM
from tests.site import running_site

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.timeout(180)]
ADDRESSES = """
import json
from django.urls import reverse
from chat.models import Conversation, SharedLink
from feedback.models import Probe, Report
found = {"shared": reverse("shared", args=[SharedLink.objects.get().token])}
for name in ("Whole", "Half"):
    found[name] = reverse("conversation", args=[Conversation.objects.get(title=name).pk])
found["item"] = reverse("moderation_item", args=["message", Report.objects.latest("id").message_id])
found["probe"] = reverse("probe", args=[Probe.objects.get().pk])
print(json.dumps(found))
"""
WRITTEN = ".prose *, [data-text] *, .foreign-text *, .reply-text *"
TEMPT = """(written) => {
  const wrong = [];
  for (const one of document.querySelectorAll(written)) {
    for (const { name, value } of one.attributes) {
      if (/^(on|style$|src|ping$|formaction$|id$|name$)/i.test(name)) wrong.push(`${one.tagName} ${name}=${value}`);
    }
    for (const kind of ["mouseover", "mouseenter", "focus", "toggle"]) one.dispatchEvent(new Event(kind));
    if (one.matches("a[href]")) {
      if (!["http:", "https:", "mailto:"].includes(one.protocol)) wrong.push(one.href);
      one.addEventListener("click", (event) => event.preventDefault(), { once: true });
      one.click();
    }
  }
  return wrong;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp("site")
    with running_site(home, program=PROGRAM, CHAMSAE_MESSAGES_PER_MINUTE="1000", CHAMSAE_TASK_STOCK="0") as site:
        site.addresses = json.loads(site.manage("shell", "--verbosity", "0", "-c", ADDRESSES))
        yield site


def look(visitor):
    """Everything on the page is hovered over, focused and clicked as far as it is the writer's."""
    assert visitor.page.evaluate(TEMPT, WRITTEN) == []
    assert visitor.page.evaluate("window.__pwned") is None


def test_a_reply_that_streams_and_ends_as_an_attack_does_nothing(visit, site):
    chatter = visit(site, "chatter")
    page = chatter.page
    for text in ("\n\n".join(ATTACKS[:24]), "\n\n".join(ATTACKS[24:48]), "\n\n".join(ATTACKS[48:])):
        chatter.go("/")
        page.fill("#text", text)
        page.press("#text", "Enter")
        expect(page.locator("article.assistant").last).to_have_attribute("data-state", "complete")
        look(chatter)
        page.reload()
        expect(page.locator("article.assistant").last).to_have_attribute("data-state", "complete")
        look(chatter)


def test_what_is_said_in_a_probe_does_nothing(visit, site):
    annotator = visit(site, "annotator")
    annotator.go(site.addresses["probe"])
    assert annotator.page.locator("#turns .said").count() == 2 * len(ATTACKS)
    look(annotator)


@pytest.mark.parametrize("name", ["Whole", "Half"])
def test_replies_and_messages_of_old_do_nothing(visit, site, name):
    chatter = visit(site, "chatter")
    chatter.go(site.addresses[name])
    assert chatter.page.locator("article.assistant").count() > len(ATTACKS)
    look(chatter)


def test_titles_found_by_a_search_do_nothing(visit, site):
    chatter = visit(site, "chatter")
    chatter.go("/")
    with chatter.page.expect_response(re.compile(r"/conversations/\?")):
        chatter.page.fill("#search", "__pwned")
    expect(chatter.page.locator("#list a").first).to_contain_text("__pwned")
    look(chatter)


def test_a_shared_conversation_does_nothing_to_a_stranger(visit, site):
    stranger = visit(site)
    stranger.go(site.addresses["shared"])
    expect(stranger.page.locator("main")).to_contain_text("window.__pwned")
    look(stranger)


def test_reported_texts_do_nothing_to_a_moderator(visit, site):
    moderator = visit(site, "moderator")
    for path in ("/moderation/", site.addresses["item"]):
        moderator.go(path)
        expect(moderator.page.locator("main")).to_contain_text("window.__pwned")
        look(moderator)


def test_completions_do_nothing_to_an_annotator(visit, site):
    annotator = visit(site, "annotator")
    for _ in range(3):
        annotator.go("/rank/")
        expect(annotator.page.locator("main")).to_contain_text(re.compile("__pwned|evil"))
        look(annotator)
        skip(annotator.page)


def skip(page):
    page.get_by_text("Skip this task").click()
    page.locator("[data-skip] select").select_option(index=1)
    address = page.locator("#ranking").get_attribute("action")
    page.locator("[data-skip] button").click()
    expect(page.locator(f'#ranking:not([action="{address}"]), #nothing-to-rank')).to_be_visible()
