"""Policies that are adapters: over which weights, what training and evaluation are given, and what is kept."""

import shutil

import pytest
from django.urls import reverse

from chat import policies
from chat.errors import BadPolicy
from chat.models import Policy
from fine_tuning import fine_tuned_models
from fine_tuning.fine_tuned_models import CannotRetire
from rlhf import fsck, lineage
from rlhf.models import Decision, Evaluation, Run
from rlhf.release import promotion
from rlhf.runs import cycle, preflight, stages
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import write_policy

pytestmark = pytest.mark.django_db


def decision_on(policy, baseline):
    run = Run.objects.create(kind=Run.Kind.EVALUATION, state="succeeded", policy=policy, base_policy=baseline)
    evaluation = Evaluation.objects.create(run=run, policy=policy, baseline=baseline, judge="test", report={})
    return Decision.objects.create(evaluation=evaluation, passed=True, reasons=[])


@pytest.fixture
def add(settings):
    def add(name, base, over=""):
        directory = write_policy(settings.MODELS_DIR / name, mark=name, adapter_over=over)
        return policies.register(directory, name=name, source="test", base=base)

    return add


@pytest.fixture
def chain(base_policy, add):
    """The base, a merged policy of before adapters, two adapters over it; the last one is live."""
    merged = add("merged", base_policy)
    first = add("first", merged, over="merged")
    second = add("second", first, over="merged")
    live = base_policy
    for one in (merged, first, second):
        promotion.promote(decision_on(one, live))
        live = one
    return [base_policy, merged, first, Policy.objects.get(pk=second.pk)]


def test_the_root_is_what_the_adapter_changes_whatever_lies_between(chain):
    base, merged, first, second = chain
    assert [lineage.adapter_root(one) for one in chain] == [base, merged, merged, merged]
    shutil.rmtree(policies.directory(first))  # its weights were removed: it must not be taken for one without adapter
    assert lineage.adapter_root(second) == merged
    shutil.rmtree(policies.directory(merged))
    with pytest.raises(BadPolicy, match="merged is gone"):
        lineage.adapter_root(second)


def test_every_stage_of_a_later_cycle_gets_the_unmerged_base_and_the_live_policy(chain, judged):
    base, merged, first, second = chain
    run = cycle.start(unqualified=True)
    reward = stages.child_config(cycle.stage_row(run, "reward_model"), 1)
    policy = stages.child_config(cycle.stage_row(run, "policy"), 1)
    for config in (reward, policy):
        assert config["base"] == str(policies.directory(merged))
        assert config["start"] == str(policies.directory(second))
    Run.objects.filter(parent=run, stage="policy").update(policy=second, state="succeeded")
    made = Run.objects.get(parent=run, stage="policy")
    evaluation = Run.objects.create(
        kind=Run.Kind.EVALUATION,
        policy=second,
        base_policy=first,
        snapshot=run.snapshot,
        reward_model=Run.objects.get(parent=run, stage="reward_model"),
        config={"judge": {"kind": "gold", "preference": "x"}},
    )
    found = stages.child_config(evaluation, 1)
    assert made.base_policy == second
    assert [found[key] for key in ("policy", "baseline", "base", "anchor", "root")] == [
        str(policies.directory(one)) for one in (second, first, first, base, merged)
    ]


def test_a_policy_without_an_adapter_is_its_own_root(base_policy, judged):
    config = stages.child_config(cycle.stage_row(cycle.start(unqualified=True), "reward_model"), 1)
    assert config["base"] == str(policies.directory(base_policy))
    assert "start" not in config


def test_the_root_keeps_its_weights_however_many_versions_follow(
    chain, add, settings, django_capture_on_commit_callbacks
):
    settings.RLHF_KEEP_VERSIONS = 2
    live = chain[-1]
    with django_capture_on_commit_callbacks(execute=True):
        for name in ("third", "fourth", "fifth"):
            new = add(name, live, over="merged")
            promotion.promote(decision_on(new, live))
            live = new
    there = {path.name for path in settings.MODELS_DIR.iterdir() if path.is_dir()}
    assert there == {"base", "merged", "fourth", "fifth"}
    assert list(fsck.one_policy_is_live()) == []


def test_a_lost_root_is_told_before_a_cycle_and_by_fsck(chain, judged):
    assert preflight.check().refusals == []
    shutil.rmtree(policies.directory(chain[1]))
    with pytest.raises(BadPolicy, match="merged is gone, whose weights the adapter of second changes"):
        cycle.start(unqualified=True)
    assert preflight.check().refusals == [str(BadPolicy.message)]
    assert any("merged is gone" in line for line in fsck.one_policy_is_live())


def test_a_damaged_adapter_is_never_made_live_and_fsck_finds_it(chain, add):
    new = add("third", chain[-1], over="merged")
    for policy in (new, chain[-1]):
        weights = policies.directory(policy) / "adapter/adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-2] + b"\xc0\x7f")
    with pytest.raises(promotion.CannotPromote):
        promotion.promote(decision_on(new, chain[-1]))
    assert any("adapter_model.safetensors: its content differs" in line for line in fsck.one_policy_is_live())


def test_an_own_model_under_somebody_s_adapter_stays(base_policy, add, admin):
    own = add("own", base_policy)
    Policy.objects.filter(pk=own.pk).update(owner=admin, label="mine")
    add("over-it", own, over="own")
    with pytest.raises(CannotRetire, match="another policy is an adapter on its weights"):
        fine_tuned_models.retire(Policy.objects.get(pk=own.pk), actor=admin)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["LoRA of rank 16 on layers 2 to 3", "Serve it as an adapter", "CHAMSAE_ENGINE_URL"]),
        ("ko", ["2번째부터 3번째 층", "어댑터로 제공하기", "CHAMSAE_ENGINE_URL"]),
    ],
)
def test_the_page_tells_the_adapter_and_an_admin_how_to_serve_it(chain, admin, client, settings, language, said):
    second = chain[-1]
    command = (
        f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {policies.directory(chain[1])} "
        "--served-model-name merged --enable-lora --max-lora-rank 16"
    )
    client.force_login(admin)
    text = client.get(reverse("policy", args=[second.name]), headers={"accept-language": language}).content.decode()
    assert all(one in text for one in [*said, command]), [one for one in [*said, command] if one not in text]
    assert (
        said[1]
        not in client.get(reverse("policy", args=["base"]), headers={"accept-language": language}).content.decode()
    )
    client.force_login(feedback_rows.annotator("reader"))
    seen = client.get(reverse("policy", args=[second.name]), headers={"accept-language": language}).content.decode()
    assert said[0] in seen
    assert str(settings.MODELS_DIR) not in seen  # where files are is for admins
