"""Commands: one JSON object on stdout, words on stderr, and exit codes that mean something."""

import os
import subprocess
import sys

from accounts.models import AuditEntry
from base import fsck
from chat import policies
from chat.models import Policy
from rlhf.models import Promotion, Run
from rlhf.runs import cycle, memory
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call
from tests.rlhf.policy_directories import write_policy


def test_fetching_makes_the_first_policy_live_and_the_second_time_needs_nothing(db, home, settings):
    told = {"policy": "tiny-model", "source": "hub/Tiny-Model", "live": True, "engine": "transformers"}
    assert call("fetch_model", "hub/Tiny-Model")[1] == {**told, "fetched": True}
    settings.RLHF_TRAINER = ["/nonexistent"]
    assert call("fetch_model", "hub/Tiny-Model") == (0, {**told, "fetched": False})
    assert Promotion.objects.get().kind == Promotion.Kind.BASE


def test_another_source_of_the_same_name_gets_its_own(db, home):
    call("fetch_model", "hub/tiny")
    told = call("fetch_model", "other/tiny")[1]
    assert (told["policy"], told["source"], told["fetched"], told["live"]) == ("tiny-2", "other/tiny", True, False)


def test_a_check_takes_the_same_options_as_the_start(judged, settings):
    settings.GATE = {**settings.GATE, "judge_comparisons_min": 10_000}
    code, told = call("run_cycle", "--check")
    assert (code, told["can_start"], told["refusals"]) == (3, False, [])
    assert call("run_cycle", "--check", "--unqualified")[0] == 0
    assert call("run_cycle", "--check", "--judge", "people", "--comparisons", "4")[0] == 0


def test_a_policy_whose_files_are_gone_is_fetched_again(db, home):
    call("fetch_model", "hub/tiny")
    directory = policies.directory(Policy.objects.get())
    (directory / "model.safetensors").unlink()
    assert call("fetch_model", "hub/tiny")[1]["fetched"] is True
    assert Policy.objects.count() == 1


def test_what_a_cycle_lacks_is_told_before_it_starts(judged, settings, admin, client):
    assert call("run_cycle", "--check")[1]["can_start"] is True
    settings.RLHF_PLACEMENT = {**settings.RLHF_PLACEMENT, "bits": 4}
    code, told = call("run_cycle", "--check", "--algorithm", "grpo")
    assert (code, told["can_start"], len(told["refusals"])) == (3, False, 1)
    assert "GRPO" in told["refusals"][0]
    assert not Run.objects.exists()
    client.force_login(admin)
    page = client.get("/training/needs.json?algorithm=grpo", headers={"accept-language": "en"})
    assert page.json()["refusals"] == told["refusals"]


def test_what_a_stage_lacks_is_told_before_it_starts(judged, base_policy, settings):
    assert call("train_reward_model")[0] == 0
    settings.RLHF_LAUNCHER, settings.RLHF_ACCELERATE_CONFIG = "accelerate", ""
    runs = Run.objects.count()
    for name in ("train_reward_model", "train_policy"):
        code, said = call(name)
        assert (code, said["error"]["code"]) == (1, "launcher_broken")
    assert Run.objects.count() == runs


def test_a_reward_model_is_not_held_against_the_memory_of_a_policy(judged, base_policy, monkeypatch):
    monkeypatch.setattr(memory, "free_mb", lambda: 0)
    assert call("train_reward_model")[0] == 0
    assert call("train_policy")[1]["error"]["code"] == "not_enough_memory"


def test_the_loop_step_by_step(judged, base_policy):
    code, frozen = call("snapshot")
    assert (code, frozen["rankings"], frozen["held_out"]) == (0, 24, 20)
    code, learned = call("train_reward_model", "--snapshot", str(frozen["snapshot"]))
    assert (code, learned["accuracy"]) == (0, 0.66)
    code, trained = call("train_policy", "--algorithm", "rloo")
    assert (code, trained["policy"], trained["kl_nats"]) == (0, "policy-2", 4.2)
    assert Run.objects.get(pk=trained["run"]).algorithm == "rloo"
    assert policies.live() == base_policy
    assert call("promote_policy", "policy-2")[0] == 1  # nobody evaluated it
    code, report = call("evaluate_policy", "policy-2", "--set", "prompts=12")
    assert (code, report["gate"]["passed"], report["win_rate"]) == (0, True, 0.7)
    assert Run.objects.get(pk=report["run"]).config["hyperparameters"] == {"prompts": 12}
    assert call("promote_policy", "policy-2")[1] == {
        "policy": "policy-2", "previous": "base", "kind": "gate", "live": True
    }  # fmt: skip
    assert call("promote_policy", "policy-2")[0] == 3
    assert call("rollback_policy", "--reason", "test") == (0, {"policy": "base", "previous": "policy-2"})
    assert call("rollback_policy")[0] == 3
    assert call("fsck") == (0, {"ok": True, "checked": len(fsck.all_checks()), "problems": []})


def test_a_whole_cycle(judged):
    code, result = call("run_cycle", "--seed", "7")
    assert (code, result["gate"]["passed"], result["policy"], result["seed"]) == (0, True, "policy-2", 7)


def test_a_cycle_whose_supervisor_died_is_taken_up(judged):
    from rlhf.runs import leases
    from tests.rlhf.expired_leases import expire

    run = cycle.start(seed=3)
    leases.claim(run.pk, "dead")
    expire(run)
    code, result = call("run_cycle")
    assert (code, result["run"], result["seed"]) == (0, run.pk, 3)


def test_nothing_to_do_is_code_3(base_policy, judged):
    cycle.start()
    code, said = call("run_cycle")
    assert (code, said["error"]["code"]) == (3, "cycle_under_way")


def test_too_little_feedback_is_code_3(base_policy):
    for name in ("snapshot", "run_cycle"):
        code, said = call(name)
        assert (code, said["error"]["code"]) == (3, "not_enough_feedback")


def test_a_failed_run_is_code_1_with_its_reason(judged):
    run = cycle.start(hyperparameters={"reward_model": {"behaviour": "fail"}})
    Run.objects.filter(pk=run.pk).update(error="left over")
    code, said = call("run_cycle")
    assert code == 1
    assert said["error"] == {"code": "failed", "message": "reward_model: kl_blow_up: KL 31 nats"}


def test_usage_errors_are_code_2_in_a_real_process():
    for arguments in (
        ["train_policy", "--algorithm", "dqn"],
        ["promote_policy"],
        ["snapshot", "--until", "yesterday"],
        ["train_policy", "--set", "violation_weight"],
    ):
        process = subprocess.run(
            [sys.executable, "manage.py", *arguments], capture_output=True, text=True, env=os.environ, check=False
        )
        assert process.returncode == 2, process.stderr
        assert process.stdout == ""


def test_unknown_names_are_code_2(base_policy):
    assert call("promote_policy", "nobody")[0] == 2
    assert call("evaluate_policy", "nobody")[0] == 2
    assert call("train_reward_model", "--snapshot", "77")[0] == 2


def test_force_needs_a_named_admin_and_a_reason(base_policy, admin, settings):
    directory = write_policy(settings.MODELS_DIR / "odd", "odd")
    policies.register(directory, name="odd", source="test", base=base_policy)
    feedback_rows.annotator("ann")
    assert call("promote_policy", "odd", "--force")[0] == 2
    assert call("promote_policy", "odd", "--force", "--by", "ann", "--reason", "x")[0] == 1
    assert call("promote_policy", "odd", "--force", "--by", "root-admin", "--reason", "x")[0] == 0
    entry = AuditEntry.objects.first()
    assert (entry.actor, entry.reason) == (admin, "x")


def test_hyperparameters_of_one_s_own_reach_their_stage(judged):
    code, said = call("run_cycle", "--set", "policy.steps=3", "--set", "reward_model.note=word")
    assert code == 0, said
    stages = {run.kind: run.config for run in Run.objects.filter(parent=said["run"])}
    assert stages["policy"]["hyperparameters"] == {"steps": 3}
    assert stages["reward_model"]["hyperparameters"] == {"note": "word"}


def test_a_hyperparameter_without_a_stage_is_code_2(judged):
    assert call("run_cycle", "--set", "violation_weight=8")[0] == 2
