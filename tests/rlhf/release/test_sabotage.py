"""Sabotaged candidates before the real evaluation on tiny policies: whatever they win by, the gate refuses them."""

import json
import sys

import pytest

from chat import policies
from chat.models import Policy
from feedback.models import SimulatedAnnotator
from rlhf.errors import CannotPromote
from rlhf.models import Evaluation, Run
from rlhf.release import promotion
from rlhf.release.decision import decide, tensors_finite
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(180)]
GOLD = {"preference": "feedback.preferences:shorter", "flags": {"human": "feedback.preferences:claims_a_body"}}
SMALL = {
    "reward_model": {"epochs": 1, "rank": 4},
    "evaluation": {"prompts": 8, "draws": 1, "best_of": 2, "best_of_prompts": 4, "max_tokens": 16},
}


@pytest.fixture
def site(home, settings, tiny_policy):
    """A tiny live policy and a judge who loves short replies, which a one-word answer fools."""
    import shutil

    settings.RLHF_TRAINER = [sys.executable, "-m", "rlhf.training"]
    shutil.copytree(tiny_policy, settings.MODELS_DIR / "tiny")
    live = policies.register(settings.MODELS_DIR / "tiny", name="tiny", source="test")
    promotion.make_first_live(live)
    robot = feedback_rows.annotator("robot", is_simulated=True)
    SimulatedAnnotator.objects.create(user=robot, noise=0, held_out_noise=0, tie_margin=0, seed=1, **GOLD)
    for ranking in feedback_rows.plenty(robot, 20, 8):
        feedback_rows.flag(ranking)
        feedback_rows.flag(ranking, index=0, is_violation=False)
    return live


def reward_model(live):
    config = {"hyperparameters": SMALL["reward_model"]}
    run = Run.objects.create(kind="reward_model", config=config, snapshot=freezing.freeze(), base_policy=live)
    run = Supervisor().run_stage(run.pk)
    assert run.state == Run.State.SUCCEEDED, run.error
    return run


def evaluated(learned, candidate):
    """The gate's decision on a candidate, by the road that a cycle takes after training."""
    run = Run.objects.create(
        kind="evaluation",
        policy=candidate,
        reward_model=learned,
        snapshot=learned.snapshot,
        base_policy=learned.base_policy,
        config={"hyperparameters": SMALL["evaluation"], "judge": cycle.judge_of(learned.snapshot)},
    )
    run = Supervisor().run_stage(run.pk)
    assert run.state == Run.State.SUCCEEDED, run.error
    return decide(Evaluation.objects.get(run=run))


def sabotaged(live, settings, change):
    """A whole directory, by its manifest, whose weights `change` has spoilt: state dict in place."""
    import shutil

    from safetensors.torch import load_file, save_file

    from rlhf.training.artefacts import checkpoints

    target = settings.MODELS_DIR / change.__name__.strip("<>")

    def write(draft):
        source = policies.directory(live)
        for path in source.iterdir():
            if path.name not in ("manifest.json", "policy.gguf"):
                shutil.copy(path, draft)
        state = load_file(draft / "model.safetensors")
        config = json.loads((draft / "config.json").read_text())
        change(state, config)
        save_file(state, draft / "model.safetensors", metadata={"format": "pt"})
        (draft / "config.json").write_text(json.dumps(config))

    checkpoints.publish(write, target)
    return policies.register(target, name=target.name, source="test", base=live)


def gibberish(state, config):
    """Every token as likely as any other."""
    state["model.norm.weight"].zero_()


def one_word(state, config):
    """Says one token and ends: dimension 0 is 1 at every token and dimension 1 only where the reply begins."""
    import torch

    embedding = state["model.embed_tokens.weight"]
    end, newline, word = 2, token("\n"), token("A")
    for name, weight in state.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight[:2] = 0  # no layer writes there
    embedding[:, 0], embedding[:, 1], embedding[newline, 1] = 1, 0, 1
    head = torch.zeros_like(embedding)
    head[end, 0], head[word, 1] = 1, 2
    state["model.norm.weight"].zero_()
    state["model.norm.weight"][:2] = 200
    state["lm_head.weight"] = head
    config["tie_word_embeddings"] = False


def untouched(state, config):
    """Nothing is wrong with it yet."""


def token(text):
    from tokenizers import Tokenizer

    path = policies.directory(Policy.objects.get(name="tiny")) / "tokenizer.json"
    return Tokenizer.from_file(str(path)).encode(text).ids[0]


def codes(decision):
    return {reason["code"] for reason in decision.decisive()}


def test_gibberish_and_a_one_word_answer_that_wins_are_refused(site, settings):
    learned = reward_model(site)
    decision = evaluated(learned, sabotaged(site, settings, gibberish))
    assert not decision.passed
    assert {"kl", "surprise"} <= codes(decision)
    decision = evaluated(learned, sabotaged(site, settings, one_word))
    report = decision.evaluation.report
    assert report["win_rate_low"] > 0.5
    assert {sample["after"] for sample in report["samples"]} == {"A"}
    assert not decision.passed
    assert {"too_short", "kl", "surprise"} <= codes(decision)
    with pytest.raises(CannotPromote):
        promotion.promote(decision)
    assert policies.live() == site


def test_a_nan_that_got_past_the_trainer_is_refused(site, settings):
    """The trainer's own check is gone round: the bytes are spoilt, and the manifest is made to fit."""
    from rlhf.training.artefacts import checkpoints
    from tests.rlhf.policy_directories import spoil_last_weight

    made = sabotaged(site, settings, untouched)
    directory = policies.directory(made)
    spoil_last_weight(directory)
    with pytest.raises(checkpoints.NotFinite):
        checkpoints.seal(directory)
    made.manifest_sha256 = policies.verify(directory)
    made.save()
    assert tensors_finite(made) is False
    admin = feedback_rows.annotator("boss", is_superuser=True)
    with pytest.raises(CannotPromote, match="not finite"):
        promotion.force(made, actor=admin, reason="it will do")
    assert policies.live() == site
