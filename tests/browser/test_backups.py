"""An admin makes a backup on its page while the site runs, and sees that it can be read."""

import pytest
from playwright.sync_api import expect

from tests.browser import axe
from tests.site import SCRIPTED, running_site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
LONG_MS = 5_000
WORDS = {
    "en-US": ("Make a backup now", "A backup is being made", "sound"),
    "ko-KR": ("지금 백업", "백업을 만들고 있습니다", "이상 없음"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    settings = {"CHAMSAE_BACKUP_PASSPHRASE": "correct horse battery staple", "CHAMSAE_BACKUP_HOURS": "0"}
    with running_site(tmp_path_factory.mktemp("site"), program=SCRIPTED, **settings) as site:
        yield site


@pytest.mark.parametrize("locale", WORDS)
def test_a_backup_is_made_and_found_sound(visit, site, locale):
    button, told, sound = WORDS[locale]
    page = visit(site, "admin", locale=locale).page
    page.goto(f"{site.url}/site/backups/")
    rows = page.locator("tbody tr")
    before = rows.count()
    page.get_by_role("button", name=button).click()
    expect(page.locator(".notices")).to_contain_text(told)
    for _turn in range(20):
        page.reload()
        if rows.filter(has_text=sound).count() > before:
            break
        page.wait_for_timeout(LONG_MS / 5)
    expect(rows.filter(has_text=sound)).to_have_count(before + 1)
    assert axe.grave(page) == []
    page.emulate_media(color_scheme="dark")
    assert axe.grave(page, "color-contrast") == []
