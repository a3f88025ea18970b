"""A cycle from judgements to a promoted or refused policy, with a child that trains nothing."""

import json
import shutil
from pathlib import Path

import pytest

from accounts.models import AuditEntry
from base.state_errors import StateAway
from chat import policies
from chat.errors import BadPolicy, PolicyAway
from chat.models import Policy
from rlhf import tasks
from rlhf.errors import CycleUnderWay, NotEnoughFeedback
from rlhf.models import Decision, Evaluation, Metric, Promotion, Run
from rlhf.runs import cycle, preflight
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows

PROMISED = (
    "policy",
    "base_policy",
    "comparisons",
    "flags",
    "reward_model.accuracy",
    "reward_model.pairs",
    "reward_model.flag_auc",
    "evaluation.n",
    "evaluation.win_rate",
    "evaluation.win_rate_low",
    "evaluation.win_rate_high",
    "evaluation.controls.null",
    "evaluation.controls.first_sentence",
    "evaluation.controls.best_of_8",
    "evaluation.controls.stop_controlled",
    "evaluation.violation_rate_before",
    "evaluation.violation_rate_after",
    "evaluation.kl_nats",
    "evaluation.length_ratio",
    "evaluation.perplexity_ratio",
    "gate.passed",
    "gate.reasons",
    "seconds",
    "peak_memory_mb",
)


def driven(**config):
    run = cycle.start(**config)
    return cycle.drive(run.pk, Supervisor())


def hyper(stage, **values):
    return {"hyperparameters": {stage: values}}


def config_of(stage):
    """As the training process got it."""
    return json.loads((stage.path / "config.json").read_text())


def test_the_judge_watches_the_policy_s_training_that_it_has_no_part_in(judged):
    run = driven()
    config = config_of(run.stages.get(stage="policy"))
    assert config["watch"] == str(run.stages.get(stage="judge").path / "reward_model")
    assert config["watch"] != config["reward_model"]
    assert "watch" not in config_of(driven(algorithm="rloo", seed=3).stages.get(stage="policy"))


def test_a_good_candidate_goes_live(judged, base_policy):
    run = driven()
    assert (run.state, run.error) == (Run.State.SUCCEEDED, "")
    assert [stage.stage for stage in run.stages.order_by("pk")] == ["reward_model", "judge", "policy", "evaluation"]
    live = policies.live()
    assert (live.name, live.base, live.version) == ("policy-2", base_policy, 2)
    promoted = Promotion.objects.get(policy=live)
    assert (promoted.kind, promoted.previous, promoted.decision.passed) == ("gate", base_policy, True)
    assert run.result["promoted"] is True
    assert AuditEntry.objects.filter(verb="policy.promote", target=f"chat.policy:{live.pk}").exists()


def test_the_second_cycle_starts_from_the_live_policy_and_is_measured_against_the_first_of_all(judged, base_policy):
    driven()
    second = driven(seed=1)
    assert second.result["promoted"] is True
    config = json.loads((second.stages.get(stage="evaluation").path / "config.json").read_text())
    folders = [Path(config[name]).name for name in ("base", "baseline", "anchor")]
    assert folders == [policies.directory(policies.live().base).name] * 2 + [policies.directory(base_policy).name]
    codes = {reason["code"] for reason in second.result["gate"]["reasons"]}
    assert {"anchor_kl", "anchor_surprise", "anchor_too_short", "anchor_violations", "anchor_perplexity"} <= codes


def test_what_adds_up_over_cycles_is_refused_though_each_step_holds(judged):
    driven()
    live = policies.live()
    second = driven(seed=1, **hyper("evaluation", report={"anchor_kl_nats": 20.5}))
    assert [reason["code"] for reason in second.result["gate"]["reasons"] if not reason["holds"]] == ["anchor_kl"]
    assert policies.live() == live


def test_no_cycle_starts_without_the_original_base(judged, base_policy):
    driven()
    shutil.move(policies.directory(base_policy), policies.directory(base_policy).with_name("elsewhere"))
    with pytest.raises(BadPolicy):
        cycle.start(seed=1)
    assert any("damaged" in text for text in preflight.check().refusals)


def test_the_result_has_the_promised_keys(judged):
    result = driven().result
    for path in PROMISED:
        value = result
        for key in path.split("."):
            value = value[key]
    assert result["comparisons"] == 24 * 5  # four replies with one tie
    assert result["judge"] == "held-out reward model"
    assert result["simulated"] is False


def test_metrics_become_rows_under_trl_names(judged):
    run = driven()
    metrics = Metric.objects.filter(run__parent=run, run__stage="policy")
    assert [metric.step for metric in metrics] == [1, 2, 3]
    assert metrics[0].values == {"objective/kl": 0.5, "objective/scores": 1.0, "loss/policy_avg": None}


@pytest.mark.parametrize(
    ("hyperparameters", "code"),
    [
        (hyper("policy", spoil="nan"), "finite"),
        (hyper("evaluation", report={"win_rate": 0.55}), "win_rate"),
        (hyper("evaluation", report={"kl_nats": None}), "kl"),
    ],
)
def test_a_bad_candidate_is_refused_and_the_old_one_answers(judged, base_policy, hyperparameters, code):
    run = driven(**hyperparameters)
    assert run.state == Run.State.SUCCEEDED
    assert run.result["gate"]["passed"] is False
    assert [reason["code"] for reason in run.result["gate"]["reasons"]] == [code]
    assert policies.live() == base_policy
    assert not Decision.objects.get().promotions.exists()


def test_a_damaged_candidate_never_becomes_a_policy(judged, base_policy):
    run = driven(**hyper("policy", spoil="torn"))
    assert run.state == Run.State.FAILED
    assert "policy: what it made can't be used" in run.error
    assert Policy.objects.get() == base_policy


def test_without_promotion_a_passed_candidate_waits(judged, base_policy):
    run = driven(promotes=False)
    assert run.result["gate"]["passed"]
    assert run.result["promoted"] is False
    assert policies.live() == base_policy


@pytest.mark.parametrize("error", [PolicyAway("no route"), StateAway("no route")])
def test_where_files_are_away_at_the_gate_it_fails_and_its_resume_decides(judged, admin, monkeypatch, error):
    def away(policy):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("rlhf.release.decision.tensors_finite", away)
        run = driven()
    assert (run.state, run.error, run.owner) == (Run.State.FAILED, str(error), "")
    assert not Decision.objects.exists()
    cycle.resume(run, actor=admin)
    run = cycle.drive(run.pk, Supervisor())
    assert (run.state, run.result["promoted"]) == (Run.State.SUCCEEDED, True)


def test_a_failed_cycle_resumes_where_it_failed(judged, admin):
    run = driven(**hyper("policy", behaviour="fail"))
    assert (run.state, run.error) == (Run.State.FAILED, "policy: kl_blow_up: KL 31 nats")
    failed = run.stages.get(stage="policy")
    failed.config["hyperparameters"] = {}
    failed.save()
    cycle.resume(run, actor=admin)
    run = cycle.drive(run.pk, Supervisor())
    assert run.state == Run.State.SUCCEEDED
    assert len((run.stages.get(stage="reward_model").path / "starts").read_text().splitlines()) == 1


def test_a_programs_judgements_are_judged_by_the_program(base_policy):
    from feedback.models import SimulatedAnnotator

    robot = feedback_rows.annotator("robot", is_simulated=True)
    gold = {"preference": "feedback.preferences:shorter", "flags": {"human": "feedback.preferences:claims_a_body"}}
    SimulatedAnnotator.objects.create(user=robot, noise=0.1, held_out_noise=0.1, tie_margin=0, seed=1, **gold)
    feedback_rows.plenty(robot, held_out=0)
    run = driven()
    assert run.result["judge"] == "gold:feedback.preferences:shorter"
    assert run.result["simulated"] is True
    assert not run.stages.filter(stage="judge").exists()
    assert "watch" not in config_of(run.stages.get(stage="policy"))
    assert Evaluation.objects.get().run.config["judge"] == {"kind": "gold", **gold}
    assert policies.live().made_from_simulated


def test_people_without_held_out_judgements_cannot_judge_the_result(base_policy):
    feedback_rows.plenty(feedback_rows.annotator("ann"), held_out=0)
    with pytest.raises(NotEnoughFeedback) as caught:
        cycle.start()
    assert caught.value.split == "held_out"
    assert not Run.objects.exists()


def test_there_is_one_cycle_at_a_time(judged):
    first = cycle.start()
    with pytest.raises(CycleUnderWay) as caught:
        cycle.start()
    assert caught.value.run_id == first.pk


def test_the_scheduler_starts_a_cycle_once_enough_is_new(
    judged, settings, no_worker, django_capture_on_commit_callbacks
):
    settings.RLHF_CYCLE_AFTER = len(judged) + 1
    assert tasks.start_due_cycle() is None
    settings.RLHF_CYCLE_AFTER = len(judged)
    with django_capture_on_commit_callbacks(execute=True):
        run_id = tasks.start_due_cycle()
        assert tasks.start_due_cycle() is None
    assert no_worker == [run_id]
    assert Run.objects.get(pk=run_id).config["seed"] == 0  # of the first cycle
    assert freezing.fresh_rankings() == 0


def test_admins_are_told_once_that_a_cycle_is_due_and_cannot_start(judged, base_policy, settings, admin, client):
    settings.RLHF_CYCLE_AFTER = len(judged)
    (policies.directory(base_policy) / "manifest.json").unlink()
    assert tasks.start_due_cycle() is None
    assert tasks.start_due_cycle() is None
    (told,) = admin.notices.all()
    assert (told.kind, told.link) == ("cycle_held_up", "/training/")
    assert "can't start" in told.text
    client.force_login(admin)
    page = client.get("/training/", headers={"accept-language": "en"}).content.decode()
    assert "as soon as nothing is missing" in page
    assert "damaged" in page


def test_too_few_judgements_are_no_news(judged, settings, admin):
    settings.RLHF_CYCLE_AFTER = len(judged)
    settings.GATE = {**settings.GATE, "judge_comparisons_min": 10_000}
    assert tasks.start_due_cycle() is None
    assert not admin.notices.exists()


def test_a_cycle_without_a_seed_of_its_own_draws_anew_and_knows_what_was_asked(judged):
    first = driven(**hyper("evaluation", report={"prompts_asked": ["aa", "bb"]}))
    second = Run.objects.get(pk=cycle.start(seed=cycle.next_seed()).pk)
    assert (first.config["seed"], second.config["seed"]) == (0, 1)
    driven_again = cycle.drive(second.pk, Supervisor())
    config = json.loads((driven_again.stages.get(stage="evaluation").path / "config.json").read_text())
    assert config["prompts_used"] == {"aa": 1, "bb": 1}
    assert config["seed"] == 1


def test_a_cycle_that_failed_is_not_started_again_and_again(judged, settings):
    settings.RLHF_CYCLE_AFTER = len(judged)
    run = Run.objects.get(pk=tasks.start_due_cycle())
    Run.objects.filter(pk=run.pk).update(state=Run.State.FAILED)
    assert tasks.start_due_cycle() is None


def test_no_task_for_a_start_that_was_rolled_back(judged, no_worker, transactional_db):
    from django.db import transaction

    with transaction.atomic():
        tasks.enqueue(cycle.start().pk)
        transaction.set_rollback(True)
    assert no_worker == []
