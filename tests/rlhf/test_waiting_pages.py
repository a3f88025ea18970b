"""Pages of a cycle that waits for people: how far it is, who may end the wait, and nothing that tells the sides."""

import io
import json
import re
import zipfile

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts import takeout
from feedback.models import SimulatedAnnotator
from rlhf.models import Evaluation, Run
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from tests.feedback.ranking_tasks import take_task
from tests.rlhf import feedback_rows
from tests.rlhf.waiting_cycles import answer, evaluated

pytestmark = pytest.mark.django_db
DEMONSTRATION = "JUDGED BY THE PROGRAM THAT MADE THE JUDGEMENTS: a demonstration, no evidence about people"


@pytest.fixture
def judged(base_policy):
    return feedback_rows.plenty(feedback_rows.annotator("ann"), held_out=6)


@pytest.fixture
def waiting(judged, settings):
    return cycle.drive(evaluated(settings, comparisons=5).pk, Supervisor())


def signed_in(client, role):
    person = feedback_rows.annotator(f"the-{role}")
    person.groups.add(Group.objects.get_or_create(name=role)[0])
    client.force_login(person)
    return person


def text(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def pages_of(run):
    evaluation = Evaluation.objects.get()
    return [
        *(reverse(name) for name in ("training", "training_under_way", "runs", "policies", "my_rankings")),
        *(reverse(name, args=[run.pk]) for name in ("run", "run_part", "run_metrics")),
        reverse("run", args=[evaluation.run_id]),
        *(reverse(name, args=[evaluation.pk]) for name in ("evaluation", "evaluation_html", "evaluation_json")),
        reverse("policy", args=[evaluation.policy.name]),
    ]


@pytest.mark.parametrize("role", ["annotator", "moderator", "admin"])
def test_nothing_on_the_page_of_a_pair_tells_who_wrote_which(waiting, client, role):
    signed_in(client, role)
    page = client.get(reverse("rank"))
    html = page.content.decode()
    assert "nobody is told which" in html
    evaluation = Evaluation.objects.get()
    for policy in (evaluation.policy, evaluation.baseline):
        for told in (policy.name, policy.manifest_sha256, policy.source):
            assert not re.search(rf"\b{re.escape(told)}\b", html), told
    assert "candidate" not in html.lower()
    assert "blind" not in html.lower()
    replies = [part for part in re.split(r'(?=data-reply=")', html) if part.startswith("data-reply")]
    cards = {re.sub(r"\d+|\b[AB]\b|after|before", "", part.split("</li>")[0]) for part in replies}
    assert (len(replies), len(cards)) == (2, 1)  # but for ids, letters and texts they are the same


@pytest.mark.parametrize("role", ["annotator", "moderator", "admin"])
def test_no_other_page_shows_the_texts_before_all_is_decided(waiting, client, role):
    person = signed_in(client, role)
    for address in pages_of(waiting):
        page = client.get(address)
        assert page.status_code == 200
        assert not re.search("(after|before)-reply", text(page)), address
    take_task(person)
    assert not re.search("(after|before)-reply", exported(person))


def exported(person):
    written = io.BytesIO()
    takeout.write(person, written)
    with zipfile.ZipFile(written) as archive:
        return " ".join(archive.read(name).decode() for name in archive.namelist())


def test_after_the_decision_the_replies_are_shown(waiting, client, admin):
    from rlhf.runs import comparing

    comparing.decide_now(waiting, actor=admin)
    cycle.drive(waiting.pk, Supervisor())
    signed_in(client, "admin")
    page = text(client.get(reverse("evaluation", args=[Evaluation.objects.get().pk])))
    assert "after-reply 0" in page
    assert "No comparison by people counts. An admin did not wait for the other pairs." in page


def test_the_pages_say_how_far_it_is_and_an_admin_ends_the_wait(
    waiting, client, no_worker, django_capture_on_commit_callbacks
):
    for person in ("bo", "cy", "bo"):
        answer(feedback_rows.annotator(person))
    signed_in(client, "annotator")
    address = reverse("run", args=[waiting.pk])
    for shown in (text(client.get(address)), text(client.get(reverse("training")))):
        assert "3 of 5 comparisons, by 2 people" in shown
        assert "Decide now" not in shown
    assert f"Cycle {waiting.pk} waits for people" in text(client.get(reverse("training")))
    assert "before it may answer" in text(client.get("/"))
    assert client.post(reverse("decide_run", args=[waiting.pk])).status_code == 403
    signed_in(client, "admin")
    page = text(client.get(address))
    assert "Decide now" in page
    assert "Cancel and save" not in page
    assert "3 of 5 are done" in text(client.get(reverse("training")))
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("decide_run", args=[waiting.pk]))
    assert no_worker == [waiting.pk]
    cycle.drive(waiting.pk, Supervisor())
    assert "an admin did not wait for the rest" in text(client.get(address))
    again = client.post(reverse("decide_run", args=[waiting.pk]), follow=True)
    assert "does not wait" in text(again)


def test_the_start_form_offers_who_judges_and_how_many_people_compare(judged, client, settings):
    settings.RLHF_CYCLE_COMPARISONS = 30
    signed_in(client, "admin")
    page = client.get(reverse("training")).content.decode()
    assert 'name="comparisons" value="30"' in page
    assert all(f'value="{name}"' in page for name in ("auto", "gold", "held_out", "people"))
    refused = client.post(
        reverse("start_cycle"), {"algorithm": "ppo", "judge": "people", "comparisons": 0}, follow=True
    )
    assert "say how many comparisons" in text(refused)
    refused = client.post(reverse("start_cycle"), {"algorithm": "ppo", "judge": "gold"}, follow=True)
    assert "Choose another judge." in text(refused)
    refused = client.post(reverse("start_cycle"), {"algorithm": "ppo", "comparisons": -1}, follow=True)
    assert "from 0 to 1000" in text(refused)
    assert not Run.objects.exists()
    client.post(reverse("start_cycle"), {"algorithm": "ppo", "judge": "people", "comparisons": 50})
    made = Run.objects.get(kind="cycle")
    assert (made.config["decided_by"], made.config["comparisons"]) == ("people", 50)
    page = text(client.get(reverse("run", args=[made.pk])))
    assert "people, in blind comparisons · 50 comparisons by people" in page
    assert page.count("Comparisons by people pending") == 1


def test_a_judge_that_made_the_judgements_is_named_in_large_letters(base_policy, client):
    robot = feedback_rows.annotator("robot", is_simulated=True)
    gold = {"preference": "feedback.preferences:shorter", "flags": {}}
    SimulatedAnnotator.objects.create(user=robot, noise=0.1, held_out_noise=0.1, tie_margin=0, seed=1, **gold)
    feedback_rows.plenty(robot)
    run = cycle.drive(cycle.start(judge="gold").pk, Supervisor())
    Evaluation.objects.update(report={**Evaluation.objects.get().report, "judge_kind": "gold", "judge_name": "x:y"})
    signed_in(client, "annotator")
    assert run.result["demonstration"] == DEMONSTRATION
    evaluation = Evaluation.objects.get().pk
    for address in (reverse("run", args=[run.pk]), reverse("evaluation", args=[evaluation])):
        assert re.search(rf'class="simulated-large">{DEMONSTRATION}<', client.get(address).content.decode())
    assert DEMONSTRATION in text(client.get(reverse("evaluation_html", args=[evaluation])))
    report = json.loads(client.get(reverse("evaluation_json", args=[evaluation])).content)
    assert report["demonstration"] == DEMONSTRATION
