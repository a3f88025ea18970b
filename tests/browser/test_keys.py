"""A key is made on a page, copied, opens the API, and opens it no more once it is revoked."""

import httpx
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def status(site, secret):
    return httpx.get(f"{site.url}/v1/models", headers={"Authorization": f"Bearer {secret}"}).status_code


def test_a_key_from_its_making_to_its_end(visit, talking_site):
    visitor = visit(talking_site, "chatter")
    page = visitor.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.go("/account/keys/")
    page.fill("[name=name]", "notebook")
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    secret = page.evaluate("navigator.clipboard.readText()")
    assert secret == page.get_by_label("The key", exact=True).input_value()
    assert status(talking_site, secret) == 200

    visitor.go("/account/keys/")
    assert secret not in page.content()
    page.get_by_role("link", name="Revoke “notebook”").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator(".notices")).to_contain_text("“notebook” was revoked.")
    expect(page.get_by_role("row", name="notebook")).to_contain_text("revoked")
    assert status(talking_site, secret) == 401
