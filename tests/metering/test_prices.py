"""The price table: admins change it, each change is logged, and no bill of before changes."""

import re
from decimal import Decimal

import pytest

from accounts.models import AuditEntry
from metering.models import Price, Usage

pytestmark = pytest.mark.django_db
FIGURES = {"training": "0.0300", "prompt": "0.1200", "completion": "0.12"}


def test_a_row_is_changed_in_place(boss, browser_of, priced):
    browser = browser_of(boss)
    page = browser.get("/site/prices/").content.decode()
    assert f'form="price-{priced.pk}"' in page
    assert 'value="0.0021"' in page
    assert browser.post(f"/site/prices/{priced.pk}/", FIGURES)["Location"] == "/site/prices/"
    priced.refresh_from_db()
    assert (priced.training, priced.prompt, priced.completion) == (30_000, 120_000, 120_000)
    entry = AuditEntry.objects.get(verb="price.change")
    assert entry.actor == boss
    assert entry.before == {"training": 400, "prompt": 1600, "completion": 2100}
    assert entry.after == {"training": 30_000, "prompt": 120_000, "completion": 120_000}


def test_what_did_not_change_is_not_logged(boss, browser_of, priced):
    same = {"training": "0.0004", "prompt": "0.0016", "completion": "0.0021"}
    browser_of(boss).post(f"/site/prices/{priced.pk}/", same)
    assert not AuditEntry.objects.filter(verb="price.change").exists()


@pytest.mark.parametrize("wrong", ["", "-1", "0.0000001", "NaN", "Infinity", "10000", "1e99", "free"])
def test_what_is_no_price_is_refused_beside_its_field(boss, browser_of, priced, wrong):
    answer = browser_of(boss).post(f"/site/prices/{priced.pk}/", {**FIGURES, "prompt": wrong})
    assert answer.status_code == 400
    assert "errorlist" in answer.content.decode()
    priced.refresh_from_db()
    assert priced.prompt == 1_600


def test_a_model_gets_a_price_once(boss, browser_of, priced, use):
    browser = browser_of(boss)
    assert browser.post("/site/prices/add/", {**FIGURES, "model": "*"}).status_code == 302
    assert use(boss, names=("unheard-of",), prompt_tokens=1000).cost == 120_000_000
    again = browser.post("/site/prices/add/", {**FIGURES, "model": "*"})
    assert again.status_code == 400
    assert "already has a price" in again.content.decode()
    assert Price.objects.filter(model="*").count() == 1
    assert AuditEntry.objects.filter(verb="price.add").count() == 1


def test_a_removed_price_leaves_the_bills_of_before(boss, browser_of, priced, use):
    before = use(boss, prompt_tokens=1000)
    browser_of(boss).post(f"/site/prices/{priced.pk}/remove/")
    after = use(boss, prompt_tokens=1000)
    assert Usage.objects.get(pk=before.pk).cost == 1_600_000
    assert (after.cost, after.priced_as) == (0, "")
    entry = AuditEntry.objects.get(verb="price.remove")
    assert entry.before == {"model": "sparrow", "training": 400, "prompt": 1600, "completion": 2100}


def test_the_page_speaks_of_dollars_not_of_powers_of_ten(boss, browser_of):
    Price.objects.create(model="cheap", prompt=1)
    page = browser_of(boss).get("/site/prices/").content.decode()
    assert 'value="0.000001"' in page
    assert "E-" not in page
    assert Decimal("0.000001") * 10**6 == 1


def test_everybody_reads_the_prices_and_only_an_admin_can_change_them(sora, boss, browser_of, priced):
    Price.objects.create(model="cheap", prompt=1)
    page = browser_of(sora).get("/site/prices/").content.decode()
    rows = re.findall(r"<tr><th[^>]*>(\w+)</th>(.*?)</tr>", page.split("<tbody")[1])
    assert [(model, re.findall(r">(\$[^<]+)<", cells)) for model, cells in rows] == [
        ("cheap", ["$0", "$0.000001", "$0"]),
        ("sparrow", ["$0.0004", "$0.0016", "$0.0021"]),
    ]
    assert f"/site/prices/{priced.pk}/" not in page
    for address in ("add/", f"{priced.pk}/", f"{priced.pk}/remove/"):
        assert browser_of(sora).post(f"/site/prices/{address}", {**FIGURES, "model": "mine"}).status_code == 403
    assert Price.objects.count() == 2
    assert browser_of(boss).post("/site/prices/", {**FIGURES, "model": "mine"}).status_code == 405
