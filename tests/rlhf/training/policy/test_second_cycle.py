"""A second cycle goes on from the live policy's adapter on the unmerged base, and loses nothing of a small update."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rlhf.training.artefacts import card, checkpoints, gguf_import, policy_adapter, policy_directory
from rlhf.training.evaluation import stage as evaluate
from rlhf.training.evaluation.shared_trunks import SharedTrunks
from rlhf.training.model.adapter import Adapter, AdapterMismatch
from rlhf.training.model.transformer import Transformer
from rlhf.training.policy import stage as policy_stage
from rlhf.training.reward import model as reward_model
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.run import RunDirectory, Stopped
from tests.rlhf.training.planted import JUDGE, write_snapshot
from tests.rlhf.training.policy.live_adapters import publish, updated
from tests.rlhf.training.policy.ways import EVERY, FITTED, PEER
from tests.tiny import make_tiny_policy

IDS = torch.randint(5, 300, (2, 12), generator=torch.Generator().manual_seed(1))
STILL = 1e-9
"""A learning rate by which nothing moves that a test could see."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_policy(tmp_path_factory.mktemp("base") / "base-policy")


@pytest.fixture(scope="module")
def live(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    adapter = updated(Transformer.load(base, adapted_layers=2), 0.3)
    return publish(tmp_path_factory.mktemp("live") / "run-1", base, adapter)


@pytest.fixture(scope="module")
def made(base: Path, live: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A snapshot, and a reward model of the second cycle, whose own setting asks for fewer layers."""
    root = tmp_path_factory.mktemp("second")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=4)
    config: dict[str, Any] = {"base": str(base), "start": str(live), "snapshot": str(snapshot)}
    config |= {"output": str(root / "rm"), "hyperparameters": {"adapted_layers": 1, "rank": 2, "epochs": 1}}
    (root / "config.json").write_text(json.dumps(config))
    reward_model_stage.run(RunDirectory(root))
    return {"snapshot": str(snapshot), "reward_model": str(root / "rm"), "base": str(base), "start": str(live)}


def second(path: Path, made: dict[str, str], algorithm: str, values: dict[str, Any]) -> RunDirectory:
    path.mkdir(exist_ok=True)
    config = {**made, "algorithm": algorithm, "output": str(path / "run-2"), "seed": 1, "hyperparameters": values}
    (path / "config.json").write_text(json.dumps(config))
    return RunDirectory(path)


def changes(base: Path, adapter: Adapter) -> dict[str, torch.Tensor]:
    weights = policy_directory.weights(base)
    return {name: exact - weights[name].float() for name, exact in adapter.merged_matrices(weights).items()}


def lost(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Share of the norm of what was wanted."""
    missing = sum(float((found[name] - wanted[name]).square().sum()) for name in wanted)
    return float((missing / sum(float(one.square().sum()) for one in wanted.values())) ** 0.5)


def test_a_small_update_survives_the_adapter_and_not_the_merge_into_bf16(base: Path, tmp_path: Path) -> None:
    """Two cycles, each of which moves B by draws of 0.002."""
    transformer = Transformer.load(base, adapted_layers=2)
    first = updated(transformer, 0.002)
    one = publish(tmp_path / "run-1", base, first)
    again = Adapter.load_onto(one / policy_adapter.FOLDER, transformer, seed=9)
    two = publish(tmp_path / "run-2", base, updated(transformer, 0.002, start=again, seed=2))
    kept = Adapter.load_onto(two / policy_adapter.FOLDER, transformer, seed=9)
    wanted = changes(base, updated(transformer, 0.002, start=first, seed=2))
    assert lost(changes(base, kept), wanted) < 1e-6

    merged, weights = load_file(one / "model.safetensors"), policy_directory.weights(base)
    after_one = {name: merged[name].float() - weights[name].float() for name in wanted}
    assert lost(after_one, changes(base, first)) > 0.3  # bf16 has 8 bits of which the update moves the last, or none


def test_exports_are_merged_in_fp32_and_rounded_once(base: Path, live: Path, tmp_path: Path) -> None:
    adapter = Adapter.load(live / policy_adapter.FOLDER, Transformer.load(base, adapted_layers=2))
    before, after = load_file(base / "model.safetensors"), load_file(live / "model.safetensors")
    file = gguf_import.Tensors(live / "policy.gguf", json.loads((live / "config.json").read_text()))
    for part in ("self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"):
        name = f"model.layers.3.{part}"
        a, b = (adapter.state()[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
        exact = before[f"{name}.weight"].double() + 2.0 * b.double() @ a.double()
        torch.testing.assert_close(file.read(f"{name}.weight").double(), exact, atol=1e-6, rtol=1e-6)
        assert torch.equal(after[f"{name}.weight"], file.read(f"{name}.weight").to(torch.bfloat16))
        assert not torch.equal(after[f"{name}.weight"].float(), file.read(f"{name}.weight"))
    untouched = "model.layers.0.mlp.down_proj.weight"
    assert torch.equal(file.read(untouched), before[untouched].float())


def test_peft_reads_the_folder_over_the_base_and_transformers_the_merged_policy(base: Path, live: Path) -> None:
    transformer = Transformer.load(base, dtype=torch.float32, adapted_layers=2)
    adapter = Adapter.load_onto(live / policy_adapter.FOLDER, transformer, seed=0)
    read = {"dtype": torch.float32, "trust_remote_code": False}
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, **read), live / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(live, **read)
    assert not hasattr(merged, "peft_config")  # an adapter_config.json beside the weights would load the base
    with torch.no_grad():
        expected = theirs(IDS).logits.log_softmax(-1)
        ours = transformer.logits(transformer.run_top(transformer.run_trunk(IDS), adapter)).log_softmax(-1)
        served = merged(IDS).logits.log_softmax(-1)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    assert float((served - expected).abs().mean()) < 0.05  # rounded to bf16


@pytest.mark.parametrize(("algorithm", "values"), EVERY)
def test_each_way_goes_on_from_the_live_adapter(
    made: dict[str, str], base: Path, live: Path, tmp_path: Path, algorithm: str, values: dict[str, Any]
) -> None:
    result = policy_stage.run(second(tmp_path, made, algorithm, values | {"learning_rate": STILL, "rank": 4}))
    folder = tmp_path / "run-2"
    before, after = (load_file(one / "adapter/adapter_model.safetensors") for one in (live, folder))
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        torch.testing.assert_close(tensor, before[name], atol=1e-6, rtol=0)
    found = policy_adapter.read(folder)
    assert found is not None
    assert (found.base, found.base_sha256) == (base.name, reward_model.weights_digest(base))
    assert (found.rank, found.alpha) == (2, 4.0)
    assert (result["goes_on_from"], result["rank_asked"], result["rank_kept"]) == ("run-1", 4, 2)
    assert result["kl_nats"] == pytest.approx(0, abs=0.1)  # from the live policy, up to bf16
    assert result["anchor_kl_nats"] > 0.5
    said = (folder / "README.md").read_text()
    assert "`run-1`" in said
    assert "`adapter/`" in said
    assert card.front_matter(folder)["base_model"] == base.name
    assert "adapter/adapter_model.safetensors" in checkpoints.verify(folder)["files"]


@pytest.mark.parametrize(("algorithm", "values"), [EVERY[1], EVERY[3], EVERY[5]])
def test_the_live_policy_can_be_the_reference(
    made: dict[str, str], tmp_path: Path, algorithm: str, values: dict[str, Any]
) -> None:
    """What each library tells of its own reference at the first step."""
    told = {}
    for reference in ("anchor", "live"):
        path = tmp_path / reference
        given = values | {"learning_rate": STILL, "reference": reference, "rank": 2, "alpha": 4.0}
        result = policy_stage.run(second(path, made, algorithm, given))
        lines = [json.loads(line)["values"] for line in (path / "metrics.jsonl").read_text().splitlines()]
        name = "margin" if algorithm in ("dpo", "kto") else "kl"
        told[reference] = next(line[name] for line in lines if name in line)
        assert "rank_kept" not in result
    assert abs(told["live"]) < 0.02
    assert abs(told["anchor"]) > 10 * abs(told["live"])


LIVE = {"reference": "live"}


@pytest.mark.parametrize(
    ("algorithm", "values"), [EVERY[0], ("rloo", PEER | LIVE), ("kto", FITTED | LIVE), ("kto", FITTED), EVERY[6]]
)
def test_a_stopped_second_cycle_ends_in_the_weights_of_one_that_was_not(
    made: dict[str, str], tmp_path: Path, algorithm: str, values: dict[str, Any]
) -> None:
    values = values | ({"steps": 3} if algorithm == "rloo" else {}) | {"alpha": 4.0}
    whole = policy_stage.run(second(tmp_path / "whole", made, algorithm, values))
    directory = second(tmp_path / "stopped", made, algorithm, values)
    report = directory.report
    directory.report = lambda *given: (report(*given), directory.stop())  # type: ignore[method-assign,func-returns-value]
    with pytest.raises(Stopped):
        policy_stage.run(directory)
    result = policy_stage.run(RunDirectory(directory.path))
    one, other = (
        load_file(tmp_path / name / "run-2/adapter/adapter_model.safetensors") for name in ("whole", "stopped")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert result | {"output": ""} == pytest.approx(whole | {"output": ""})


def test_the_reward_model_of_a_second_cycle_is_over_the_base_with_as_many_layers_as_the_adapter(
    made: dict[str, str], base: Path, live: Path
) -> None:
    about = reward_model.read_config(Path(made["reward_model"]))
    assert about["base_sha256"] == reward_model.weights_digest(base)
    assert about["adapted_layers"] == 2  # one was asked for
    policy = Transformer.load(live, adapted_layers=2)
    over_live = reward_model.load_for(Path(made["reward_model"]), policy, live, [base])
    alone = reward_model.load(Path(made["reward_model"]), base=base)
    states = policy.run_trunk(IDS)
    assert torch.equal(states, alone.transformer.run_trunk(IDS))
    spans = torch.tensor([4, 4]), torch.tensor([12, 12])
    assert torch.equal(over_live.judge(states, *spans).scores, alone.judge(states, *spans).scores)


def test_an_adapter_meets_more_layers_and_no_fewer_and_no_other_base(
    base: Path, live: Path, made: dict[str, str], tmp_path: Path
) -> None:
    folder = live / policy_adapter.FOLDER
    more, less = (Transformer.load(base, adapted_layers=layers) for layers in (3, 1))
    grown, two = Adapter.load_onto(folder, more, seed=0), Transformer.load(base, adapted_layers=2)
    wanted = two.run_top(two.run_trunk(IDS), Adapter.load(folder, two))
    torch.testing.assert_close(more.run_top(more.run_trunk(IDS), grown), wanted)
    assert len(grown.parameters()) > len(Adapter.load(folder, two).parameters())
    with pytest.raises(AdapterMismatch, match="adapted_layers must be at least 2"):
        Adapter.load_onto(folder, less, seed=0)
    stranger = make_tiny_policy(tmp_path / "stranger", seed=5)
    with pytest.raises(AdapterMismatch, match="base-policy, not over stranger"):
        policy_stage.run(second(tmp_path / "run", {**made, "base": str(stranger)}, "sft", FITTED))


def test_an_evaluation_keeps_one_trunk_and_finds_the_weights_that_are_served(
    made: dict[str, str], base: Path, live: Path, tmp_path: Path
) -> None:
    transformer = Transformer.load(base, adapted_layers=2)
    start = Adapter.load(live / policy_adapter.FOLDER, transformer)
    candidate = publish(tmp_path / "run-2", base, updated(transformer, 0.2, start=start, seed=3))
    loaded = SharedTrunks([candidate, live, base], 2)
    shared = [loaded.transformer(one) for one in (candidate, live, base)]
    assert all(one.embedding is shared[2].embedding for one in shared)
    for folder, one in zip((candidate, live), shared, strict=False):
        whole = Transformer.load(folder, adapted_layers=2)
        assert torch.equal(one.run_top(one.run_trunk(IDS)), whole.run_top(whole.run_trunk(IDS)))
    assert loaded.reward_model(Path(made["reward_model"])).transformer is shared[2]

    config = {"policy": candidate, "baseline": live, "base": live, "anchor": base, "root": base}
    config |= {"reward_model": made["reward_model"], "snapshot": made["snapshot"]}
    quick = {"max_tokens": 10, "prompts": 4, "draws": 1, "best_of": 2, "best_of_prompts": 2, "samples": 2}
    told = {name: str(path) for name, path in config.items()} | {"judge": JUDGE, "seed": 1, "hyperparameters": quick}
    (tmp_path / "config.json").write_text(json.dumps(told))
    report = evaluate.run(RunDirectory(tmp_path))
    assert report["anchor_is_start"] is False
    assert 0 < report["kl_nats"] != report["anchor_kl_nats"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the policy first", "the base first"])
def test_a_policy_that_is_its_base_to_the_last_bit_is_loaded_once(
    base: Path, tmp_path: Path, order: tuple[int, int]
) -> None:
    """An alarm may return to where training began, and an update may be too small for bf16."""
    nothing = Adapter.create(Transformer.load(base, adapted_layers=2), rank=4, seed=1)
    same = [publish(tmp_path / "run-2", base, nothing), base]
    loaded = SharedTrunks(same, 2)
    first, second = (loaded.transformer(same[place]) for place in order)
    assert first is second
