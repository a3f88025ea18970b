"""Each algorithm turns a base and a reward model into a policy directory that can be served."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rlhf.labels import ALGORITHMS
from rlhf.training.artefacts import card, checkpoints
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.choice import Placement
from rlhf.training.model.transformer import Transformer
from rlhf.training.policy import kl, publishing, trl_runs
from rlhf.training.policy import stage as policy_stage
from rlhf.training.policy.config import WayConfig
from rlhf.training.policy.peers import KlLog
from rlhf.training.ppo.brake import KlBrake
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.reward.functions import ChamsaeReward
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import BadSnapshot
from tests.chat.engines.fake_vllm import serving
from tests.rlhf.training.planted import seal, write_snapshot
from tests.rlhf.training.policy.ways import EVERY, FITTED, PEER, PPO


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("policy")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=2)
    config = {"base": str(tiny), "snapshot": str(snapshot), "output": str(root / "rm")}
    config["hyperparameters"] = {"adapted_layers": 2, "rank": 2, "epochs": 1}
    (root / "config.json").write_text(json.dumps(config))
    reward_model_stage.run(RunDirectory(root))
    return {"snapshot": str(snapshot), "reward_model": str(root / "rm")}


def policy_run(path: Path, made: dict[str, str], tiny: Path, algorithm: str, values: dict) -> RunDirectory:
    path.mkdir(exist_ok=True)
    config = {**made, "algorithm": algorithm, "base": str(tiny), "output": str(path / "policy-2"), "seed": 1}
    (path / "config.json").write_text(json.dumps(config | {"hyperparameters": values}))
    return RunDirectory(path)


@pytest.mark.parametrize(("algorithm", "values"), EVERY)
def test_an_algorithm_ends_in_a_whole_policy(
    made: dict[str, str], tiny: Path, tmp_path: Path, algorithm: str, values: dict
) -> None:
    result = policy_stage.run(policy_run(tmp_path, made, tiny, algorithm, values))
    folder = tmp_path / "policy-2"
    assert result["algorithm"] == algorithm
    assert result["steps"] >= 2
    assert result["kl_nats"] is not None
    before, after = checkpoints.verify(tiny), checkpoints.verify(folder)
    assert after["tensors"] == before["tensors"] + 2 * 7 * 2  # A and B of seven projections of two layers
    adapter = {f"adapter/{name}" for name in ("adapter_config.json", "adapter_model.safetensors", "base.json")}
    assert set(after["files"]) == {*before["files"], "served.json", *adapter}
    old, new = load_file(tiny / "model.safetensors"), load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in new.values()} == {torch.bfloat16}
    changed = {name.split(".")[2] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"2", "3"}  # the top two layers alone
    front = card.front_matter(folder)
    assert front["base_model"] == tiny.name
    used = {"trl"} if algorithm in ("rloo", "grpo", "kto") else set()
    assert set(front["tags"]) == {"chamsae", algorithm, "simulated-feedback"} | used
    said = (folder / "README.md").read_text()
    assert ("| reward model |" in said) == (algorithm in ("ppo", "rloo", "grpo", "best_of_n"))
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert "objective/kl" in last["values"]


@pytest.mark.parametrize(("algorithm", "values"), EVERY)
def test_a_stopped_run_leaves_no_policy_and_ends_in_the_weights_of_one_that_was_not(
    made: dict[str, str], tiny: Path, tmp_path: Path, algorithm: str, values: dict
) -> None:
    values = values | ({"steps": 3} if values is PEER else {})
    whole = policy_stage.run(policy_run(tmp_path / "whole", made, tiny, algorithm, values))
    directory = policy_run(tmp_path / "stopped", made, tiny, algorithm, values)
    report = directory.report
    directory.report = lambda *given: (report(*given), directory.stop())  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        policy_stage.run(directory)
    assert not (directory.path / "policy-2").exists()
    result = policy_stage.run(RunDirectory(directory.path))
    assert published(directory.path).keys() == published(tmp_path / "whole").keys()
    assert result | {"output": ""} == pytest.approx(whole | {"output": ""})
    theirs = published(tmp_path / "whole")
    assert all(torch.equal(one, theirs[name]) for name, one in published(directory.path).items())
    steps = [json.loads(line)["step"] for line in (directory.path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, steps[-1] + 1))


def test_ppo_by_a_server_ends_in_a_policy_and_says_who_sampled(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    adapters = str(tmp_path / "adapters")
    told = {"base": "base", "prefix": "rollout-1-", "folder": adapters, "seen_at": adapters}
    with serving(weights=str(tiny)) as (server,):
        servers = {"rollouts": {**told, "urls": [server.url]}}
        result = policy_stage.run(policy_run(tmp_path, {**made, **servers}, tiny, "ppo", PPO))
        loaded = [name for route, name in server.told() if route == "load_lora_adapter"]
        assert len(loaded) == result["steps"] == 2
        assert server.names() == ["base"]
    assert result["rollout_servers"] == 1
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert all(line["values"]["rollout/tokens_per_second"] > 0 for line in lines)
    assert checkpoints.verify(tmp_path / "policy-2")
    own = policy_stage.run(policy_run(tmp_path / "own", made, tiny, "ppo", PPO))
    assert own["rollout_servers"] == 0


@pytest.mark.parametrize(("algorithm", "values"), EVERY[1:])
def test_past_the_kl_the_weights_before_are_published(
    made: dict[str, str], tiny: Path, tmp_path: Path, algorithm: str, values: dict
) -> None:
    """All but our PPO, whose tests are its own: here even the first update is past the limit."""
    small = values | {"stop_kl": 1e-4, "learning_rate": 0.2} | ({"steps": 4} if values is PEER else {})
    result = policy_stage.run(policy_run(tmp_path, made, tiny, algorithm, small))
    assert result["stopped_by"] == "kl"
    assert result["kl_nats"] <= 1e-4
    base = load_file(tiny / "model.safetensors")
    assert all(torch.equal(one, base[name]) for name, one in published(tmp_path).items())


@pytest.mark.parametrize(("algorithm", "values"), [EVERY[3], EVERY[5], EVERY[6]])
def test_the_weights_last_within_the_kl_are_published(
    made: dict[str, str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, values: dict
) -> None:
    measured: list[list[torch.Tensor]] = []

    def measure(transformer: object, adapter: Adapter, *_: object, **__: object) -> kl.OwnCompletions:
        measured.append([one.detach().clone() for one in adapter.parameters()])
        found = [0.25, 60.0][min(len(measured) - 1, 1)]
        return kl.OwnCompletions(found, tokens=5.0, ended=1.0, start_kl_nats=found, anchor_kl_nats=found)

    monkeypatch.setattr(kl, "measure", measure)
    result = policy_stage.run(policy_run(tmp_path, made, tiny, algorithm, values))
    assert (result["stopped_by"], result["kl_nats"]) == ("kl", 0.25)
    transformer = Transformer.load(tiny, adapted_layers=2)
    within = Adapter.create(transformer, rank=values["rank"], alpha=32.0)
    within.copy_from(measured[0])
    wanted = within.merge_into(load_file(tiny / "model.safetensors"))
    assert all(torch.equal(one, wanted[name]) for name, one in published(tmp_path).items())
    assert any(not torch.equal(*pair) for pair in zip(measured[0], measured[1], strict=True))


@pytest.mark.parametrize(
    ("algorithm", "values"),
    [("rloo", PEER | {"steps": 3, "save_steps": 1}), ("kto", FITTED | {"save_steps": 1, "batch_size": 4})],
)
def test_a_damaged_checkpoint_of_trl_is_passed_over_for_the_one_before(
    made: dict[str, str], tiny: Path, tmp_path: Path, algorithm: str, values: dict
) -> None:
    policy_stage.run(policy_run(tmp_path / "whole", made, tiny, algorithm, values))
    directory = policy_run(tmp_path / "killed", made, tiny, algorithm, values)
    report = directory.report
    directory.report = lambda step, *given: (report(step, *given), step < 2 or directory.stop())  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        policy_stage.run(directory)
    newest = directory.checkpoint / "checkpoint-2" / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:-9])
    policy_stage.run(RunDirectory(directory.path))
    whole = published(tmp_path / "whole")
    assert all(torch.equal(one, whole[name]) for name, one in published(directory.path).items())


TRL = [("rloo", PEER), ("grpo", PEER), ("kto", FITTED)]


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_:FutureWarning")  # TRL's own call of transformers
@pytest.mark.parametrize(("algorithm", "values"), TRL)
def test_trl_computes_as_the_run_is_set(
    made: dict[str, str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, values: dict
) -> None:
    seen, train = [], trl_runs.train

    def note(trainer: Any, directory: RunDirectory) -> int:
        steps = train(trainer, directory)
        base = next(one for one in trainer.model.parameters() if not one.requires_grad)
        seen.append((base.dtype, trainer.model.is_gradient_checkpointing, str(trainer.args.device)))
        return steps

    monkeypatch.setattr(trl_runs, "train", note)
    set_so = {**made, "dtype": "fp32", "checkpointing": True}
    policy_stage.run(policy_run(tmp_path, set_so, tiny, algorithm, values))
    assert seen == [(torch.float32, True, "cpu")]


@pytest.mark.parametrize(("algorithm", "values"), TRL)
def test_trl_does_not_begin_over_weights_of_few_bits(
    made: dict[str, str], tiny: Path, tmp_path: Path, algorithm: str, values: dict
) -> None:
    with pytest.raises(BadHyperparameter, match="CHAMSAE_TRAINING_BITS=16"):
        policy_stage.run(policy_run(tmp_path, {**made, "bits": 4}, tiny, algorithm, values))


@pytest.mark.parametrize(
    ("wanted", "chosen", "cards", "holds"),
    [
        ("cpu", "cpu", 0, True),
        ("cuda", "cuda:0", 1, True),
        ("cuda", "cpu", 1, False),
        ("cuda:1", "cuda:0", 1, False),
        ("cuda", "cuda:0", 2, False),
    ],
)
def test_trl_does_not_begin_on_another_device(wanted: str, chosen: str, cards: int, holds: bool) -> None:
    args = SimpleNamespace(device=torch.device(chosen), n_gpu=cards)
    with nullcontext() if holds else pytest.raises(trl_runs.TrlDevice, match="CUDA_VISIBLE_DEVICES"):
        trl_runs.require_device(Placement(device=wanted), args)


def test_rloo_falls_back_to_the_weights_that_were_measured_last_within_the_kl(
    made: dict[str, str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third rollout, of the weights after two updates, is past: those after one are published."""
    begun: list[list[torch.Tensor]] = []
    clones = trl_runs._clones
    monkeypatch.setattr(trl_runs, "_clones", lambda trained: begun.append(clones(trained)) or begun[-1])
    monkeypatch.setattr(KlBrake, "is_past", lambda brake, stop: len(begun) == 3)
    result = policy_stage.run(policy_run(tmp_path, made, tiny, "rloo", PEER | {"steps": 5}))
    assert (result["stopped_by"], result["steps"], len(begun)) == ("kl", 3, 3)
    transformer = Transformer.load(tiny, adapted_layers=2)
    wanted = [_merged(tiny, transformer, tensors) for tensors in begun]
    found = published(tmp_path)
    assert [all(torch.equal(found[name], one[name]) for name in found) for one in wanted] == [False, True, False]


def _merged(tiny: Path, transformer: Transformer, tensors: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """PEFT's tensors, in the order of its modules, merged as PEFT itself would."""
    from peft import get_peft_model

    config = WayConfig(rank=PEER["rank"])
    trained = get_peft_model(trl_runs.model(tiny, Placement()), trl_runs.lora(config, transformer))
    trl_runs.put_back(trained, tensors)
    return trl_runs.adapter_of(trained, transformer, config).merge_into(load_file(tiny / "model.safetensors"))


def test_trl_s_kl_is_told_in_nats_a_completion_and_smoothed_as_ppo_s() -> None:
    log, brake = KlLog(stop=7.5), KlBrake()
    for step, (a_token, length) in enumerate([(0.0, 20.0), (0.1, 30.0), (0.5, 40.0), (0.5, 40.0)]):
        values = {"kl": a_token, "completions/mean_length": length}
        brake.update(a_token * length)
        assert log.add(step, values) == brake.is_past(7.5)
        assert values["objective/kl"] == pytest.approx(a_token * length)
        assert values["objective/kl_smoothed"] == pytest.approx(brake.level)
    assert brake.is_past(7.5)
    assert log.kl_nats == pytest.approx(3.0)  # of the last that was within
    assert not log.add(9, {"loss": 1.0})


def test_every_way_is_offered_named_and_described() -> None:
    assert set(policy_stage.WAYS) == set(ALGORITHMS) == set(publishing.HOW)
    assert all(len(name) <= 10 for name in ALGORITHMS)  # the column of a run


def published(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "policy-2" / "model.safetensors")


def test_groups_of_rules_have_curves_and_weights_and_the_card_tells_what_was_made_up(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    snapshot = write_snapshot(tmp_path / "s", rankings=8, held_out=2)
    rules = json.loads((snapshot / "rules.json").read_text())
    groups = {"no-feelings": "self", "no-numbers": "style"}
    (snapshot / "rules.json").write_text(json.dumps([{**rule, "group": groups[rule["key"]]} for rule in rules]))
    seal(snapshot)
    values = PPO | {"violation_mode": "lagrangian", "lagrange_start": 3.0}
    policy_stage.run(policy_run(tmp_path / "run", made | {"snapshot": str(snapshot)}, tiny, "ppo", values))
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])["values"]
    assert {"violation/self", "violation/style", "lagrange/self", "lagrange/style"} <= set(last)
    assert last["reward/violation"] <= last["violation/self"] + last["violation/style"]
    assert "made-up replies that it learnt as worst | 16 |" in (tmp_path / "run/policy-2/README.md").read_text()


def test_a_judge_that_does_not_train_watches(made: dict[str, str], tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    config = {**made, "base": str(tiny), "output": str(tmp_path / "judge/out"), "splits": ["held_out"], "seed": 2}
    config["hyperparameters"] = {"adapted_layers": 2, "rank": 2, "epochs": 1}
    (tmp_path / "judge/config.json").write_text(json.dumps(config))
    reward_model_stage.run(RunDirectory(tmp_path / "judge"))
    watched = made | {"watch": str(tmp_path / "judge/out")}
    policy_stage.run(policy_run(tmp_path / "run", watched, tiny, "ppo", PPO))
    lines = [json.loads(line)["values"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert ["watch/score" in values for values in lines] == [True, False]  # every second iteration
    about = json.loads((tmp_path / "judge/out/config.json").read_text())
    (tmp_path / "judge/out/config.json").write_text(json.dumps(about | {"base_sha256": "0" * 64}))
    result = policy_stage.run(policy_run(tmp_path / "other", watched, tiny, "ppo", PPO))
    assert result["stopped_by"] == "iterations"  # one of another base cannot read the states, and is left out
    assert "watch/score" not in (tmp_path / "other/metrics.jsonl").read_text()


def test_an_unknown_algorithm_and_a_snapshot_without_prompts_are_refused(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadHyperparameter, match="dqn"):
        policy_stage.run(policy_run(tmp_path, made, tiny, "dqn", {}))
    empty = write_snapshot(tmp_path / "empty", rankings=1, held_out=0)
    (empty / "prompts.jsonl").write_text("")
    seal(empty)
    with pytest.raises(BadSnapshot, match=r"prompts\.jsonl"):
        policy_stage.run(policy_run(tmp_path, made | {"snapshot": str(empty)}, tiny, "ppo", PPO))


def test_a_reward_function_has_trl_s_signature(made: dict[str, str]) -> None:
    reward = ChamsaeReward.load(made["reward_model"])
    prompt = [{"role": "user", "content": "What is a star?"}]
    long = "It is light and a star and the song and water today."
    ids = reward.tokenizer.text_ids(long)
    found = reward(
        prompts=[prompt, prompt, prompt],
        completions=[[{"role": "assistant", "content": text}] for text in (long, long, "")],
        completion_ids=[[*ids, reward.tokenizer.end_id], ids, []],
        trainer_state=None,
    )
    assert all(isinstance(value, float) for value in found)
    assert found[0] != found[1]
    assert found[2] < min(found[:2])  # an empty reply pays for not ending and for being too short
    assert reward(["What is a star?"], [long]) == pytest.approx([found[0]], abs=0.05)
