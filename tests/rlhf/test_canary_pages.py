"""The page of a policy and of its cycle say how it does on a share of the chats; an admin begins and ends that."""

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from chat.models import ShareOfChats
from rlhf.charts import canary_chart
from rlhf.models import Canary, Run
from rlhf.release import canary
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from tests.rlhf import canaries, feedback_rows
from tests.rlhf.command_calls import call

pytestmark = pytest.mark.django_db
PAGE = "/training/policies/heron-2/"


@pytest.fixture
def heron(base_policy, settings):
    policy = canaries.candidate(base_policy, settings.MODELS_DIR)
    canaries.decide(policy, base_policy)
    return policy


@pytest.fixture
def running(heron):
    made = canaries.begun(heron)
    canaries.many(made, "win", 4)
    canaries.many(made, "lose", 2, start=4)
    canaries.choose(made, "late", "win", hours=24 * canaries.DAYS_AGO - 1)
    canaries.reply(made, "person-0", heron)
    canaries.reply(made, "person-0", made.baseline, hours=1)
    canary.check()
    return made


def read(client, path=PAGE, language="en"):
    client.cookies["django_language"] = language
    return client.get(path).content.decode()


def test_an_admin_begins_and_ends_it_on_the_page(heron, admin, client):
    client.force_login(admin)
    assert "Let it answer a share of the chats" in read(client)
    client.post(PAGE + "canary/", {"is_on": "on", "percent": "15"})
    assert ShareOfChats.objects.get().percent == 15
    page = read(client)
    assert "on 15 % of the chats" in page
    assert "Not looked at yet" in page
    client.post(PAGE + "canary/", {})
    assert Canary.objects.get().state == "stopped"
    assert AuditEntry.objects.filter(verb__startswith="canary.", actor=admin).count() == 2
    assert "An admin ended it." in read(client)


@pytest.mark.parametrize("percent", ["", "0", "101", "many"])
def test_a_share_that_is_none_begins_nothing(heron, admin, client, percent):
    client.force_login(admin)
    response = client.post(PAGE + "canary/", {"is_on": "on", "percent": percent}, follow=True)
    assert "from 1 to 100" in response.content.decode()
    assert not Canary.objects.exists()


def test_what_does_not_run_is_not_ended(heron, admin, client):
    client.force_login(admin)
    page = client.post(PAGE + "canary/", {}, follow=True).content.decode()
    assert "heron-2 answers no share of the chats." in page


def test_others_read_and_change_nothing(running, client):
    client.force_login(feedback_rows.annotator("ann"))
    page = read(client)
    assert "6 people count, with 6 choices" in page
    assert "End it" not in page
    assert client.post(PAGE + "canary/", {}).status_code == 403
    assert Canary.objects.get().is_running


def test_the_page_says_how_far_it_is(running, client, admin):
    client.force_login(admin)
    page = read(client)
    for words in (
        "heron-2 against base in 10 % of the chats",
        "1 more counts once 24 hours have passed",
        "66.7 %",
        "at least 10 people: then it is promoted",
        "for 1 person who got replies of both",
        "If people have not decided by then, it is withdrawn.",
        "lower limit",
        "Win rate of the candidate",
    ):
        assert words in page, words
    assert "Step" not in page


def test_the_page_speaks_korean(running, client, admin):
    client.force_login(admin)
    page = read(client, language="ko")
    for words in ("대화의 일부에서", "6명의 선택 6개를 셉니다", "하한", "더 낫다는 증거"):
        assert words in page, words
    assert "Evidence" not in page


def test_the_course_is_drawn_with_its_limits(running):
    chart = canary_chart.chart(Canary.objects.get())
    assert [curve.latest for curve in chart.curves] == pytest.approx(
        [running_figures()["win_rate"], running_figures()["low"], running_figures()["high"]]
    )
    assert chart.rows[0][0] == 1
    assert canary_chart.chart(Canary(figures={})) is None


def running_figures():
    return Canary.objects.get().figures


def test_a_cycle_begins_a_canary_in_place_of_a_promotion(judged, settings, client, admin, base_policy):
    settings.CANARY = {**settings.CANARY, "percent": 20}
    run = cycle.drive(cycle.start().pk, Supervisor())
    made = Canary.objects.get()
    assert (run.result["canary"], run.result["promoted"], made.percent) == (made.pk, False, 20)
    assert run.result["gate"]["passed"]
    base_policy.refresh_from_db()
    assert base_policy.is_live
    client.force_login(admin)
    page = read(client, f"/training/runs/{run.pk}/")
    assert f"{made.policy.name} against base in 20 % of the chats" in page


def test_a_cycle_whose_candidate_cannot_begin_says_why_and_promotes_nothing(judged, settings, client, admin):
    settings.CANARY = {**settings.CANARY, "percent": 20}
    settings.CHAT_ENGINES = 1
    run = cycle.drive(cycle.start().pk, Supervisor())
    assert (run.result["promoted"], run.result["canary"]) == (False, None)
    client.force_login(admin)
    assert "CHAMSAE_ENGINES" in read(client, f"/training/runs/{run.pk}/")
    assert Run.objects.get(pk=run.pk).state == "succeeded"


def test_the_command_begins_counts_and_ends(heron, admin):
    assert call("canary") == (3, {"canary": None})
    code, told = call("canary", "heron-2", "--percent", "10", "--by", admin.username)
    assert (code, told["state"], told["percent"]) == (0, "running", 10)
    canaries.many(Canary.objects.get(), "win", 1)
    Canary.objects.update(until=timezone.now())
    code, told = call("canary")
    assert (code, told["state"], told["why"], told["people"]) == (0, "withdrawn", "undecided", 1)
    assert call("canary", "--stop", "--by", admin.username) == (3, {"canary": None})


def test_the_command_says_what_is_wrong(heron, admin, base_policy):
    assert call("canary", "heron-2", "--percent", "10")[0] == 2
    assert call("canary", "--stop")[0] == 2
    assert call("canary", "owl", "--by", admin.username)[0] == 2
    for name, percent in (("base", "10"), ("heron-2", "0")):
        code, told = call("canary", name, "--percent", percent, "--by", admin.username)
        assert (code, told["error"]["code"]) == (1, "cannot_begin_canary")


def test_the_command_ends_what_runs(running, admin):
    assert call("canary", "--stop", "--by", admin.username)[1]["state"] == "stopped"
