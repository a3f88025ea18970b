"""Usage and costs of the whole site by the API: buckets of UTC, groups, filters, pages; for keys of admins alone."""

import itertools
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client

from accounts import keys
from accounts.models import User
from metering import ledger
from metering.models import Price, Usage

pytestmark = pytest.mark.django_db
DAY = 86_400
START = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())
USAGE, COSTS = "/v1/organization/usage/completions", "/v1/organization/costs"
REFS = (f"reply:{number}" for number in itertools.count())


@pytest.fixture(autouse=True)
def _prices(db):
    cache.clear()
    Price.objects.all().delete()
    Price.objects.create(model="sparrow", training=30_000, prompt=1_600, completion=2_100)


@pytest.fixture
def people(db):
    boss = User.objects.create_user("boss")
    boss.groups.add(Group.objects.get_or_create(name="admin")[0])
    return boss, User.objects.create_user("sora")


@pytest.fixture
def ask(people):
    _key, secret = keys.make(people[0], "figures", scopes=["admin"])
    client = Client(headers={"authorization": f"Bearer {secret}"})

    def get(path, status=200, **parameters):
        answer = client.get(path, {"start_time": START, "end_time": START + 3 * DAY, **parameters})
        assert answer.status_code == status, answer.content
        return answer.json()

    return get


def use(person, seconds, *, key=None, names=("sparrow",), kind=Usage.Kind.API, **tokens):
    at = datetime.fromtimestamp(START + seconds, UTC)
    ledger.record(next(REFS), user=person.pk, key=key, kind=kind, names=list(names), at=at, **tokens)


def results(page):
    return [bucket["results"] for bucket in page["data"]]


def test_every_bucket_is_there_and_empty_ones_are_empty(ask, people):
    boss, sora = people
    use(sora, DAY - 1, prompt_tokens=5, completion_tokens=7)
    use(boss, 0, prompt_tokens=1)
    use(sora, 2 * DAY, prompt_tokens=3)
    page = ask(USAGE)
    assert (page["object"], page["has_more"], page["next_page"]) == ("page", False, None)
    assert [bucket["start_time"] for bucket in page["data"]] == [START, START + DAY, START + 2 * DAY]
    assert [bucket["end_time"] for bucket in page["data"]] == [START + DAY, START + 2 * DAY, START + 3 * DAY]
    assert {bucket["object"] for bucket in page["data"]} == {"bucket"}
    first, second, third = results(page)
    assert second == []
    assert [row["input_tokens"] for row in third] == [3]
    assert first == [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": 6,
            "output_tokens": 7,
            "num_model_requests": 2,
            "input_cached_tokens": 0,
            "input_audio_tokens": 0,
            "output_audio_tokens": 0,
            "project_id": None,
            "user_id": None,
            "api_key_id": None,
            "model": None,
            "batch": None,
        }
    ]


def test_the_first_bucket_holds_the_start(ask, people):
    use(people[1], 10, prompt_tokens=5)
    page = ask(USAGE, start_time=START + 3600)
    assert page["data"][0]["start_time"] == START
    assert page["data"][0]["results"][0]["input_tokens"] == 5


@pytest.mark.parametrize(
    ("width", "seconds", "usual", "most"), [("1m", 60, 60, 1440), ("1h", 3600, 24, 168), ("1d", DAY, 7, 31)]
)
def test_buckets_have_their_widths_and_pages_their_limits(ask, people, width, seconds, usual, most):
    use(people[1], seconds - 1, prompt_tokens=1)
    use(people[1], seconds, prompt_tokens=2)
    page = ask(USAGE, bucket_width=width, end_time=START + 2000 * seconds)
    assert len(page["data"]) == usual
    assert [[row["input_tokens"] for row in rows] for rows in results(page)[:3]] == [[1], [2], []]
    assert len(ask(USAGE, bucket_width=width, end_time=START + 2000 * seconds, limit=most)["data"]) == most
    ask(USAGE, 400, bucket_width=width, limit=most + 1)


def test_pages_follow_one_another_without_gap_or_repeat(ask, people):
    for day in range(7):
        use(people[1], day * DAY, prompt_tokens=10**day)
    page, starts, tokens = {"has_more": True}, [], 0
    cursors = {}
    while page["has_more"]:
        page = ask(USAGE, end_time=START + 7 * DAY, limit=3, **cursors)
        cursors = {"page": page["next_page"]}
        starts += [bucket["start_time"] for bucket in page["data"]]
        tokens += sum(row["input_tokens"] for rows in results(page) for row in rows)
    assert starts == [START + day * DAY for day in range(7)]
    assert tokens == 1_111_111


def test_groups_name_what_they_group_by(ask, people):
    boss, sora = people
    key, _ = keys.make(sora, "notebook")
    use(sora, 0, prompt_tokens=1, key=key.pk)
    use(sora, 1, prompt_tokens=2, names=("finch",))
    use(boss, 2, prompt_tokens=4)
    by_model = results(ask(USAGE, **{"group_by[]": ["model"]}))[0]
    assert {row["model"]: row["input_tokens"] for row in by_model} == {"sparrow": 5, "finch": 2}
    assert {row["user_id"] for row in by_model} == {None}
    by_both = results(ask(USAGE, group_by=["user_id", "api_key_id"]))[0]
    assert {(row["user_id"], row["api_key_id"], row["input_tokens"]) for row in by_both} == {
        (f"user-{sora.pk}", f"key_{key.pk}", 1),
        (f"user-{sora.pk}", None, 2),
        (f"user-{boss.pk}", None, 4),
    }
    assert len(results(ask(USAGE, group_by="project_id"))[0]) == 1


def test_filters_leave_what_they_name(ask, people):
    boss, sora = people
    key, _ = keys.make(sora, "notebook")
    use(sora, 0, prompt_tokens=1, key=key.pk)
    use(sora, 1, prompt_tokens=2, names=("finch",))
    use(boss, 2, prompt_tokens=4)

    def tokens(**filters):
        return sum(row["input_tokens"] for row in results(ask(USAGE, **filters))[0])

    assert tokens(**{"user_ids[]": f"user-{sora.pk}"}) == 3
    assert tokens(**{"api_key_ids[]": f"key_{key.pk}"}) == 1
    assert tokens(**{"models[]": ["finch", "wren"]}) == 2
    assert tokens(**{"models[]": "fin\0ch"}) == 0


def test_trainings_are_no_completions_but_cost(ask, people):
    use(people[1], 0, trained_tokens=24_000, kind=Usage.Kind.TRAINING)
    assert results(ask(USAGE))[0] == []
    assert results(ask(COSTS))[0] == [
        {
            "object": "organization.costs.result",
            "amount": {"value": 0.72, "currency": "usd"},
            "line_item": None,
            "project_id": None,
            "user_id": None,
            "api_key_id": None,
            "quantity": None,
            "quantity_unit": None,
        }
    ]


def test_lines_of_a_bill_add_up_to_it_exactly(ask, people):
    boss, sora = people
    use(sora, 0, prompt_tokens=7, completion_tokens=11)
    use(boss, 1, prompt_tokens=1, names=("sparrow",))
    use(sora, 2, trained_tokens=3, kind=Usage.Kind.TRAINING)
    use(sora, 3, prompt_tokens=99, names=("finch",))  # costs nothing
    page = ask(COSTS, **{"group_by[]": ["line_item"]})
    lines = {row["line_item"]: Decimal(str(row["amount"]["value"])) for row in results(page)[0]}
    assert lines == {
        "sparrow, input_tokens": 8 * Decimal("0.0016") / 1000,
        "sparrow, output_tokens": 11 * Decimal("0.0021") / 1000,
        "sparrow, trained_tokens": 3 * Decimal("0.03") / 1000,
    }
    assert {row["quantity"] for row in results(page)[0]} == {8, 11, 3}
    (one,) = results(ask(COSTS, **{"line_items[]": "sparrow, output_tokens"}))[0]
    assert (one["line_item"], one["quantity"], one["quantity_unit"]) == ("sparrow, output_tokens", 11, "tokens")
    (whole,) = results(ask(COSTS))[0]
    assert sum(lines.values()) == Decimal(str(whole["amount"]["value"]))


@pytest.mark.parametrize("path", [USAGE, COSTS])
def test_of_projects_and_batches_there_is_nothing(ask, people, path):
    use(people[1], 0, prompt_tokens=1)
    assert results(ask(path, **{"project_ids[]": "proj_1"}))[0] == []
    assert results(ask(path, batch="true"))[0] == []
    assert len(results(ask(path, batch="false", group_by=["project_id", "batch"]))[0]) == 1


def test_costs_by_key(ask, people):
    key, _ = keys.make(people[1], "notebook")
    use(people[1], 0, prompt_tokens=1000, key=key.pk)
    use(people[1], 1, prompt_tokens=2000)
    found = {row["api_key_id"]: row["amount"]["value"] for row in results(ask(COSTS, group_by="api_key_id"))[0]}
    assert found == {f"key_{key.pk}": 0.0016, None: 0.0032}


def test_without_an_end_it_ends_now(people):
    use(people[1], int(time.time()) - START, prompt_tokens=3)
    _key, secret = keys.make(people[0], "figures", scopes=["admin"])
    client = Client(headers={"authorization": f"Bearer {secret}"})
    page = client.get(USAGE, {"start_time": int(time.time()) - DAY, "limit": 31}).json()
    assert page["data"][-1]["results"][0]["input_tokens"] == 3
    assert page["data"][-1]["end_time"] > time.time()


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"start_time": ""}, "start_time"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"start_time": "-1"}, "start_time"),
        ({"start_time": "9" * 30}, "start_time"),
        ({"start_time": "٣"}, "start_time"),
        ({"end_time": START}, "end_time"),
        ({"bucket_width": "1y"}, "bucket_width"),
        ({"limit": "0"}, "limit"),
        ({"page": "page_soon"}, "page"),
        ({"group_by": "weather"}, "group_by"),
        ({"user_ids[]": "sora"}, "user_ids"),
        ({"api_key_ids": "key_x"}, "api_key_ids"),
    ],
)
@pytest.mark.parametrize("path", [USAGE, COSTS])
def test_what_cannot_be_read_is_named(ask, path, wrong, param):
    error = ask(path, 400, **wrong)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize("path", [USAGE, COSTS])
def test_a_time_at_the_end_of_the_calendar_is_no_failure(ask, path):
    assert ask(path, start_time=253_402_214_399, end_time=253_402_214_400)["has_more"] is False
    assert ask(path, start_time=0, end_time=253_402_214_400)["has_more"] is True


@pytest.mark.parametrize("path", [USAGE, COSTS])
def test_the_figures_are_for_keys_of_admins_that_say_so(people, path):
    boss, sora = people
    assert Client().get(path, {"start_time": START}).status_code == 401
    for owner in (boss, sora):
        _key, secret = keys.make(owner, "ordinary")
        answer = Client(headers={"authorization": f"Bearer {secret}"}).get(path, {"start_time": START})
        assert answer.status_code == 403
        assert answer.json()["error"]["type"] == "invalid_request_error"
