"""Before a training it is said what the judge lacks, and an admin may train all the same."""

import pytest

from accounts.models import AuditEntry
from feedback.models import SimulatedAnnotator
from rlhf import tasks
from rlhf.errors import JudgeNotQualified
from rlhf.models import Run, Snapshot
from rlhf.runs import cycle, judge_material, preflight
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call

pytestmark = pytest.mark.django_db


@pytest.fixture
def floors(base_policy, settings):
    """Those of a site."""
    settings.GATE = {**settings.GATE, "judge_comparisons_min": 100, "judge_people_min": 2}


def test_it_counts_strict_pairs_and_people_as_a_snapshot_does(floors):
    ann, robot = feedback_rows.annotator("ann"), feedback_rows.annotator("robot", is_simulated=True)
    feedback_rows.plenty(ann, train=20, held_out=4)
    feedback_rows.rank(ann, 8, "held_out", ranks=(1, 1))
    feedback_rows.rank(robot, 9, "held_out", ranks=(2, 1))
    feedback_rows.rank(feedback_rows.annotator("tie"), 10, "held_out", ranks=(1, 1))
    found = judge_material.count()
    assert (found.comparisons, found.people, found.simulated) == (4 * 5 + 1, 2, 1)
    assert freezing.freeze().held_out == found.comparisons


def test_a_cycle_is_refused_with_the_figures_before_anything_is_frozen(floors, judged):
    with pytest.raises(JudgeNotQualified) as caught:
        cycle.start()
    assert "20 of 100, by 1 of 2 people" in str(caught.value)
    assert (caught.value.code, caught.value.split) == ("judge_not_qualified", "held_out")
    assert not Run.objects.exists()
    assert not Snapshot.objects.exists()


def test_enough_by_enough_people_starts(floors, judged):
    for number in range(16):
        feedback_rows.rank(feedback_rows.annotator("bob"), 100 + number, "held_out")
    assert cycle.start().state == Run.State.QUEUED


def test_what_a_snapshot_leaves_out_does_not_count(floors, judged):
    for number in range(16):
        feedback_rows.rank(feedback_rows.annotator("bob"), 100 + number, "held_out")
    for number in range(2):  # as it is trained on
        prompt = feedback_rows.prompt(100 + number, "held_out")
        prompt.messages = feedback_rows.prompt(number, "train").messages
        prompt.save()
    assert judge_material.count().comparisons == 100
    with pytest.raises(JudgeNotQualified) as caught:
        cycle.start()
    assert caught.value.comparisons == 90
    assert not Run.objects.exists()


@pytest.mark.parametrize(("comparisons", "people"), [(101, 2), (100, 3)])
def test_either_alone_is_not_enough(floors, settings, judged, comparisons, people):
    for number in range(16):
        feedback_rows.rank(feedback_rows.annotator("bob"), 100 + number, "held_out")
    settings.GATE = {**settings.GATE, "judge_comparisons_min": comparisons, "judge_people_min": people}
    with pytest.raises(JudgeNotQualified):
        cycle.start()


def test_one_program_that_judged_everything_needs_no_other_judge(floors):
    robot = feedback_rows.annotator("robot", is_simulated=True)
    gold = {"preference": "feedback.preferences:shorter", "flags": {}}
    SimulatedAnnotator.objects.create(user=robot, noise=0, held_out_noise=0, tie_margin=0, seed=1, **gold)
    feedback_rows.plenty(robot)
    assert judge_material.gold_now() == {"kind": "gold", **gold}
    assert preflight.check().judge_shortage == ""
    assert cycle.start().config["judge"] == judge_material.gold_now()


def test_a_flag_of_a_person_ends_that(floors):
    test_one_program_that_judged_everything_needs_no_other_judge(None)
    Run.objects.all().delete()
    ranking = feedback_rows.rank(feedback_rows.annotator("robot", is_simulated=True), 77)
    flag = feedback_rows.flag(ranking)
    flag.is_simulated = False
    flag.save()
    assert judge_material.gold_now() is None
    with pytest.raises(JudgeNotQualified):
        cycle.start()


def test_trained_anyway_the_gate_refuses_for_want_of_a_judge(floors, judged):
    report = {"judge_comparisons": 20, "judge_people": 1}
    run = cycle.start(unqualified=True, hyperparameters={"evaluation": {"report": report}})
    run = cycle.drive(run.pk, Supervisor())
    assert [reason["code"] for reason in run.result["gate"]["reasons"] if not reason["holds"]] == [
        "judge_comparisons",
        "judge_people",
    ]


def test_the_page_offers_to_train_anyway_and_says_what_is_missing(floors, judged, admin, client):
    client.force_login(admin)
    page = client.get("/training/").content.decode()
    assert "20 of 100, by 1 of 2 people" in page
    assert "A training that starts anyway" in page
    assert "Train now" not in page
    assert "Train anyway" in page
    client.post("/training/start/", {"algorithm": "ppo"})
    assert not Run.objects.exists()
    client.post("/training/start/", {"algorithm": "ppo", "unqualified": "on"})
    assert Run.objects.get(kind="cycle").started_by == admin
    assert AuditEntry.objects.filter(verb="run.start").count() == 1


def test_the_command_exits_with_three_and_goes_on_when_told(floors, judged):
    code, said = call("run_cycle")
    assert (code, said["error"]["code"]) == (3, "judge_not_qualified")
    code, result = call("run_cycle", "--unqualified")
    assert code == 0
    assert result["evaluation"]["judge_accuracy"] == 0.66


def test_the_schedule_waits_until_the_judge_has_enough(floors, judged, settings, no_worker):
    settings.RLHF_CYCLE_AFTER = len(judged)
    assert tasks.start_due_cycle() is None
    assert not Snapshot.objects.exists()
