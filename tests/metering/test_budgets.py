"""Budgets: what is spent of them, when they begin anew, and that admins alone set them."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from accounts import keys
from accounts.models import AuditEntry
from metering import budgets
from metering.errors import BudgetSpent
from metering.models import Budget, Price

pytestmark = pytest.mark.django_db
DOLLAR = 10**9


@pytest.fixture(autouse=True)
def a_dollar_a_token(db):
    Price.objects.all().delete()
    Price.objects.create(model="*", prompt=1_000_000_000)


def set_budget(browser, **fields):
    return browser.post("/site/budgets/", {"period": "month", "limit": "3", **fields})


def test_a_budget_stops_at_its_limit_and_not_before(sora, boss, browser_of, use):
    assert set_budget(browser_of(boss), user="sora").status_code == 302
    use(sora, prompt_tokens=2)
    budgets.check(sora.pk)
    use(sora, prompt_tokens=1)
    with pytest.raises(BudgetSpent) as refused:
        budgets.check(sora.pk)
    assert (refused.value.limit, refused.value.spent) == (3 * DOLLAR, 3 * DOLLAR)
    assert refused.value.until > timezone.now()


def test_a_key_s_budget_stops_the_key_alone(sora, boss, browser_of, use):
    key, _ = keys.make(sora, "notebook")
    other, _ = keys.make(sora, "robot")
    set_budget(browser_of(boss), key=key.pk)
    use(sora, prompt_tokens=5, key=key.pk)
    budgets.check(sora.pk)
    budgets.check(sora.pk, other.pk)
    with pytest.raises(BudgetSpent):
        budgets.check(sora.pk, key.pk)


def test_a_person_s_budget_counts_all_their_keys(sora, boss, browser_of, use):
    key, _ = keys.make(sora, "notebook")
    set_budget(browser_of(boss), user="sora")
    use(sora, prompt_tokens=2, key=key.pk)
    use(sora, prompt_tokens=1)
    for asked_with in (None, key.pk):
        with pytest.raises(BudgetSpent):
            budgets.check(sora.pk, asked_with)


@pytest.mark.parametrize(
    ("period", "begins", "ends"),
    [
        ("day", datetime(2026, 11, 23, 15, tzinfo=UTC), datetime(2026, 11, 24, 15, tzinfo=UTC)),
        ("month", datetime(2026, 10, 31, 15, tzinfo=UTC), datetime(2026, 11, 30, 15, tzinfo=UTC)),
    ],
)
def test_a_period_begins_and_ends_at_midnight_in_seoul(sora, monkeypatch, use, period, begins, ends):
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 24, 3, tzinfo=UTC))
    budget = Budget.objects.create(user=sora, period=period, limit=2 * DOLLAR)
    use(sora, prompt_tokens=100, at=begins.replace(minute=0) - (ends - begins) / 1000)
    assert budgets.spent_of(budget) == 0
    use(sora, prompt_tokens=2, at=begins)
    assert budgets.spent_of(budget) == 2 * DOLLAR
    with pytest.raises(BudgetSpent) as refused:
        budgets.check(sora.pk)
    assert refused.value.until == ends


def test_a_budget_of_nothing_refuses_everything_and_says_that_it_never_begins_anew(sora):
    Budget.objects.create(user=sora, period="total", limit=0)
    with pytest.raises(BudgetSpent) as refused:
        budgets.check(sora.pk)
    assert refused.value.until is None


def test_setting_again_changes_and_is_logged(sora, boss, browser_of):
    browser = browser_of(boss)
    set_budget(browser, user="sora")
    set_budget(browser, user="sora", limit="0.000000001")
    budget = Budget.objects.get()
    assert budget.limit == 1
    browser.post(f"/site/budgets/{budget.pk}/", {"limit": "7.5"})
    budget.refresh_from_db()
    assert budget.limit == 7_500_000_000
    browser.post(f"/site/budgets/{budget.pk}/remove/")
    assert not Budget.objects.exists()
    log = AuditEntry.objects.filter(verb__startswith="budget").order_by("id")
    assert [(entry.verb, entry.before.get("limit"), entry.after.get("limit")) for entry in log] == [
        ("budget.set", None, 3 * DOLLAR),
        ("budget.set", 3 * DOLLAR, 1),
        ("budget.set", 1, 7_500_000_000),
        ("budget.remove", 7_500_000_000, None),
    ]
    assert {entry.actor for entry in log} == {boss}


@pytest.mark.parametrize(
    "wrong", [{}, {"user": "nobody"}, {"user": "sora", "limit": "-1"}, {"user": "sora", "limit": "x"}]
)
def test_what_is_no_budget_is_refused(sora, boss, browser_of, wrong):
    answer = set_budget(browser_of(boss), **wrong)
    assert answer.status_code == 400
    assert not Budget.objects.exists()


def test_a_budget_is_of_a_person_or_of_a_key_never_of_both(sora, boss, browser_of):
    key, _ = keys.make(sora, "notebook")
    assert set_budget(browser_of(boss), user="sora", key=key.pk).status_code == 400


def test_the_person_sees_what_is_spent(sora, boss, browser_of, use):
    key, _ = keys.make(sora, "notebook")
    Budget.objects.create(user=sora, limit=8 * DOLLAR)
    Budget.objects.create(key=key, limit=2 * DOLLAR)
    Budget.objects.create(user=boss, limit=77 * DOLLAR)
    use(sora, prompt_tokens=2, key=key.pk)
    page = browser_of(sora).get("/usage/").content.decode()
    assert "$2.00 of $8.00" in page
    assert 'value="25"' in page
    assert "$2.00 of $2.00" in page
    assert page.count("used up") == 1
    assert "$77" not in page


def test_what_is_under_way_is_kept_in_the_budget_and_told_on_its_pages(sora, boss, browser_of, use, monkeypatch):
    Budget.objects.create(user=sora, limit=8 * DOLLAR)
    use(sora, prompt_tokens=2)
    kept = [4 * DOLLAR]
    monkeypatch.setattr("fine_tuning.jobs.reservations.held", lambda budget: kept[0])
    budgets.check(sora.pk)
    for page in (browser_of(sora).get("/usage/"), browser_of(boss).get("/site/budgets/")):
        text = page.content.decode()
        assert "$2.00 of $8.00 · $4.00 reserved for running fine-tunes" in text
        assert 'value="75"' in text
    kept[0] = 6 * DOLLAR
    with pytest.raises(BudgetSpent) as refused:
        budgets.check(sora.pk)
    assert (refused.value.spent, refused.value.held) == (2 * DOLLAR, 6 * DOLLAR)
