"""A person who knows no command line: a file comes in, is prepared, becomes a model, and is talked with."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.site import running_site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(tiny_policy, tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), tiny_policy) as site:
        yield site


def guide(count=12):
    rows = ({"prompt": f"what is {n}", "completion": f"it is number {n}"} for n in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_from_a_file_to_a_conversation(visit, site):
    visitor = visit(site, "chatter")
    page = visitor.page
    visitor.go("/models/")
    page.get_by_role("main").get_by_role("link", name="Upload a file").click()
    page.set_input_files("#file", {"name": "guide.jsonl", "mimeType": "text/plain", "buffer": guide()})
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("heading", name="guide.jsonl")).to_be_visible()
    expect(page.locator("table.lines")).to_contain_text("it is number 11")
    page.get_by_role("link", name="Prepare").click()
    expect(page.locator(".change")).not_to_have_count(0)
    page.get_by_role("button", name="Save as a new file").click()
    expect(page.get_by_role("heading", name="guide_prepared.jsonl")).to_be_visible()
    page.get_by_role("link", name="Create a model").click()
    figures = page.locator("[data-figures]")
    expect(figures).to_contain_text("15 epochs")
    page.get_by_text("More settings").click()
    page.fill("#id_n_epochs", "2")
    page.locator("#id_n_epochs").blur()
    expect(figures).to_contain_text("2 epochs")
    page.get_by_label("transfer learning: output layer only").check()
    expect(figures.locator("tr.strong")).to_contain_text("output layer only")
    page.get_by_label("LoRA").check()
    page.get_by_role("button", name="Create the model").click()
    expect(page.locator(".events")).to_contain_text("Fine-tune started", timeout=60_000)
    expect(page.locator(".events")).to_contain_text("Fine-tune succeeded", timeout=400_000)
    expect(page.get_by_role("heading", name=re.compile("^ft:"))).to_be_visible()
    expect(page.get_by_role("heading", name="Was fine-tuning worth it?")).to_be_visible()
    expect(page.get_by_text("Validation loss").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".zip")
    page.get_by_role("button", name="Chat with this model").click()
    page.locator("#chat[data-ready]").wait_for()
    page.fill("#text", "what is 3")
    page.press("#text", "Enter")
    reply = page.locator("article.assistant").last
    expect(reply).to_have_attribute("data-state", "complete", timeout=60_000)
    expect(reply.locator("[data-policy]")).to_contain_text(re.compile("ft"))


def test_a_bad_file_is_refused_with_its_lines(visit, site):
    visitor = visit(site, "chatter")
    visitor.go("/data/")
    visitor.page.set_input_files("#file", {"name": "a.jsonl", "mimeType": "text/plain", "buffer": guide(2) + b"?\n"})
    visitor.page.get_by_role("button", name="Upload", exact=True).click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("line 3")
    visitor.forgive("Failed to load resource")
