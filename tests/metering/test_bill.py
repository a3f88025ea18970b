"""A day's bill, made anew from the raw rows with decimals of its own: the page's number, to the last digit."""

import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import import_module

import pytest
from django.apps import apps
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import keys
from metering import bill, ledger, prices
from metering.models import Price, Usage

pytestmark = pytest.mark.django_db
NOVEMBER = {"month": "2026-11"}
NOON = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
"""Of the 24th in Seoul."""


def at(day, hour, minute=0):
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def rows_of(browser, **filters):
    answer = browser.get("/usage/rows.csv", {**NOVEMBER, **filters})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def recomputed(rows):
    """Dollars, from tokens and prices alone; by hand, with none of the site's own arithmetic."""
    return sum(
        (
            Decimal(row[f"{part}_tokens"]) * Decimal(row[f"{price}_per_1k"]) / 1000
            for row in rows
            for part, price in (("prompt", "prompt"), ("completion", "completion"), ("trained", "training"))
        ),
        Decimal(0),
    )


def day_in(row):
    """In Seoul, which is nine hours ahead all the year."""
    moment = datetime.fromisoformat(row["time"]).timestamp() + 9 * 3600
    return datetime.fromtimestamp(moment, UTC).date()


def cost_on(page, day):
    """What the page says that a day cost, digits and all."""
    line = re.search(rf'<tr data-day="{day}">.*?</tr>', page, re.DOTALL)
    return Decimal(re.findall(r">\$([\d.,]+)<", line.group())[-1].replace(",", ""))


def total_on(page):
    return Decimal(re.search(r"data-total>\$([\d.,]+)<", page).group(1).replace(",", ""))


def test_a_day_s_bill_from_the_raw_rows_is_the_page_s_to_the_last_digit(sora, browser_of, priced, use):
    use(sora, prompt_tokens=7, completion_tokens=11, at=at(24, 0, 30))
    use(sora, prompt_tokens=1_234_567, completion_tokens=89, at=NOON, kind=Usage.Kind.CHAT)
    use(sora, trained_tokens=98_765_431, at=at(24, 9), kind=Usage.Kind.TRAINING)
    use(sora, prompt_tokens=5, at=at(23, 14, 59))  # 23:59 in Seoul
    use(sora, prompt_tokens=3, at=at(23, 15, 0))  # midnight in Seoul: the 24th
    Price.objects.filter(pk=priced.pk).update(prompt=9_999)  # changes no bill of before
    use(sora, prompt_tokens=13, at=at(24, 10))
    browser = browser_of(sora)
    page = browser.get("/usage/", NOVEMBER).content.decode()
    rows = rows_of(browser)
    of_the_day = [row for row in rows if day_in(row) == date(2026, 11, 24)]
    assert len(of_the_day) == 5
    by_hand = Decimal("41.481705600") + Decimal("0.000129987")
    assert recomputed(of_the_day) == cost_on(page, "2026-11-24") == by_hand
    assert recomputed(rows) == total_on(page) == by_hand + Decimal("0.000008")
    assert cost_on(page, "2026-11-23") == Decimal("0.000008")
    assert sum(Decimal(row["cost"]) for row in rows) == total_on(page)


TOKENS = st.integers(0, 50_000_000)
MICRO = st.integers(0, 10_000_000)
ROWS = st.lists(st.tuples(TOKENS, TOKENS, TOKENS, st.integers(0, 29 * 24 * 60)), min_size=1, max_size=12)


@given(ROWS, st.tuples(MICRO, MICRO, MICRO))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_add_up_without_rounding(sora, rows, micro):
    Usage.objects.all().delete()
    Price.objects.all().delete()
    Price.objects.create(model="*", prompt=micro[0], completion=micro[1], training=micro[2])
    by_hand = Decimal(0)
    for number, (*tokens, minute) in enumerate(rows):
        names = ("prompt_tokens", "completion_tokens", "trained_tokens")
        ledger.record(
            f"reply:{number}",
            user=sora.pk,
            kind=Usage.Kind.API,
            names=[f"model-{number % 3}"],
            at=datetime.fromtimestamp(NOON.replace(day=1).timestamp() + 60 * minute, UTC),
            **dict(zip(names, tokens, strict=True)),
        )
        dollars = (Decimal(price) / 10**6 for price in micro)
        by_hand += sum(count * price / 1000 for count, price in zip(tokens, dollars, strict=True))
    days = bill.by_day(Usage.objects.all(), date(2026, 11, 1))
    total = bill.total(Usage.objects.all())
    assert prices.dollars(total.cost) == by_hand
    assert sum(sums.cost for _day, sums in days) == total.cost
    assert sum(line.sums.cost for line in bill.by(Usage.objects.all(), "model")) == total.cost
    assert Decimal(prices.format_cost(total.cost).replace("$", "").replace(",", "")) == by_hand


def test_the_same_thing_is_metered_once(sora, priced, use):
    use(sora, ref="reply:1", prompt_tokens=5)
    use(sora, ref="reply:1", prompt_tokens=500)
    assert [row.prompt_tokens for row in Usage.objects.all()] == [5]


def test_the_first_name_with_a_price_decides_then_the_star_then_nothing(sora, priced, use):
    Price.objects.create(model="davinci", prompt=120_000)
    assert use(sora, names=("policy-7", "davinci", "sparrow"), prompt_tokens=1).priced_as == "davinci"
    assert use(sora, names=("sparrow", "davinci"), prompt_tokens=1).priced_as == "sparrow"
    nothing = use(sora, names=("policy-7",), prompt_tokens=1)
    assert (nothing.priced_as, nothing.cost, nothing.model) == ("", 0, "policy-7")
    Price.objects.create(model="*", prompt=2)
    assert use(sora, names=("policy-7",), prompt_tokens=1).cost == 2


def test_the_seeded_prices_are_those_of_the_lecture(db):
    """Dollars per 1,000 tokens of March 2023; the table of the model families gave training and usage."""
    wanted = {
        "gpt-3.5-turbo": ("0", "0.002", "0.002"),
        "gpt-4": ("0", "0.03", "0.06"),
        "gpt-4-32k": ("0", "0.06", "0.12"),
        "ada": ("0.0004", "0.0016", "0.0016"),
        "babbage": ("0.0006", "0.0024", "0.0024"),
        "curie": ("0.0030", "0.0120", "0.0120"),
        "davinci": ("0.0300", "0.1200", "0.1200"),
    }
    Price.objects.all().delete()  # whatever other tests left
    import_module("metering.migrations.0002_first_prices").add(apps, None)
    stored = {
        price.model: tuple(prices.per_thousand(micro) for micro in (price.training, price.prompt, price.completion))
        for price in Price.objects.all()
    }
    assert stored == {model: tuple(map(Decimal, figures)) for model, figures in wanted.items()}


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (72, "$0.000000072"),
        (720_000_000, "$0.72"),
        (1_000_000_000, "$1.00"),
        (12_345_600_000_001, "$12,345.600000001"),
    ],
)
def test_money_is_shown_to_the_last_digit(nano, text):
    assert prices.format_cost(nano) == text


# --- who sees what ------------------------------------------------------------------------------------------------


def test_a_person_sees_their_own_and_an_admin_everybody_s(sora, boss, browser_of, priced, use):
    use(sora, prompt_tokens=1, at=NOON)
    use(boss, prompt_tokens=2, at=NOON)
    assert [row["user"] for row in rows_of(browser_of(sora))] == ["sora"]
    assert [row["user"] for row in rows_of(browser_of(sora), user="boss")] == ["sora"]
    assert [row["user"] for row in rows_of(browser_of(boss))] == ["sora", "boss"]
    assert [row["user"] for row in rows_of(browser_of(boss), user="sora")] == ["sora"]
    assert "By person" not in browser_of(sora).get("/usage/", NOVEMBER).content.decode()


def test_filters_leave_what_fits(sora, browser_of, priced, use):
    key, _ = keys.make(sora, "notebook")
    other, _ = keys.make(sora, "robot")
    use(sora, prompt_tokens=1, at=NOON, key=key.pk)
    use(sora, prompt_tokens=2, at=NOON, key=other.pk, names=("finch",))
    use(sora, prompt_tokens=4, at=NOON)
    use(sora, prompt_tokens=8, at=datetime(2026, 10, 31, 14, 59, tzinfo=UTC))
    use(sora, prompt_tokens=16, at=datetime(2026, 10, 31, 15, 0, tzinfo=UTC))  # November has begun in Seoul
    use(sora, prompt_tokens=32, at=datetime(2026, 11, 30, 15, 0, tzinfo=UTC))
    browser = browser_of(sora)

    def tokens(**filters):
        return sum(int(row["prompt_tokens"]) for row in rows_of(browser, **filters))

    assert (tokens(), tokens(key=key.pk), tokens(model="finch"), tokens(month="2026-10")) == (23, 1, 2, 8)
    page = browser.get("/usage/", {**NOVEMBER, "key": other.pk}).content.decode()
    assert "robot" in page
    assert total_on(page) == 0  # finch has no price


@pytest.mark.parametrize("filters", [{"user": "nobody"}, {"key": "999999"}, {"month": "soon"}, {"model": "none"}])
def test_a_filter_that_cannot_be_read_shows_nothing(boss, sora, browser_of, priced, use, filters):
    use(sora, prompt_tokens=1, at=timezone.now())
    for path in ("/usage/", "/usage/rows.csv"):
        answer = browser_of(boss).get(path, filters)
        assert answer.status_code == 400
        assert "$" not in answer.content.decode()
        assert "sora" not in answer.content.decode()


def test_another_s_key_is_no_filter(sora, boss, browser_of):
    key, _ = keys.make(boss, "figures")
    assert browser_of(sora).get("/usage/", {"key": key.pk}).status_code == 400


def test_no_cell_of_the_file_is_a_formula(sora, browser_of, use):
    key, _ = keys.make(sora, '=HYPERLINK("https://example.org")')
    use(sora, names=("@model",), at=NOON, key=key.pk)
    (row,) = rows_of(browser_of(sora))
    assert row["key"].startswith("'=")
    assert row["model"] == "'@model"


def test_a_month_without_usage_says_so(sora, browser_of):
    assert "No usage in this month." in browser_of(sora).get("/usage/").content.decode()
