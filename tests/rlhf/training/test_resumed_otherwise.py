"""A run that was stopped and whose settings were changed since goes on with the former ones, or says so."""

from pathlib import Path
from typing import Any

import pytest

from rlhf.training import processes
from rlhf.training.fine_tuning import stage as fine_tune_stage
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.policy import stage as policy_stage
from rlhf.training.reward import cross_fit
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.run import ComputedOtherwise, RunDirectory, Stopped
from tests.rlhf.training.planted import JUDGE, write_snapshot
from tests.rlhf.training.policy.ways import FITTED, PPO
from tests.rlhf.training.small_runs import FEW, directory


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A snapshot, and a reward model made by our Llama."""
    root = tmp_path_factory.mktemp("made")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=8)
    given = {"base": str(tiny), "snapshot": str(snapshot), "backend": "llama"}
    reward_model_stage.run(directory(root / "rm", output=str(root / "rm/out"), hyperparameters=FEW, **given))
    rows = root / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "{n} is", "completion": " {n}."}}\n' for n in range(12)))
    return {**given, "reward_model": str(root / "rm/out"), "data": str(rows)}


FINE_TUNE = {"method": "supervised", "scope": "lora", "form": "prompt_completion"}
STAGES = {
    "reward_model": (reward_model_stage.run, {"hyperparameters": FEW | {"checkpoint_every": 1}, "judge": JUDGE}),
    "judge": (cross_fit.run, {"hyperparameters": FEW | {"min_labels": 2}, "splits": ["held_out"]}),
    "ppo": (policy_stage.run, {"hyperparameters": PPO, "algorithm": "ppo"}),
    "dpo": (policy_stage.run, {"hyperparameters": FITTED, "algorithm": "dpo"}),
    "fine_tune": (fine_tune_stage.run, {"hyperparameters": {"n_epochs": 1, "rank": 2, "layers": 2}, **FINE_TUNE}),
}


def stopped_after_a_step(found: RunDirectory, stage: Any) -> None:
    report = found.report

    def report_and_stop(step: int, steps: int, values: Any) -> None:
        report(step, steps, values)
        if step:
            found.stop()

    found.report = report_and_stop  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        stage(found)


@pytest.mark.parametrize("name", STAGES)
def test_another_backend_is_refused_with_the_setting_that_goes_on(
    made: dict[str, Any], tmp_path: Path, name: str
) -> None:
    stage, config = STAGES[name]
    given = {**made, **config, "output": str(tmp_path / "out")}
    stopped_after_a_step(directory(tmp_path, **given), stage)
    with pytest.raises(ComputedOtherwise, match="CHAMSAE_TRAINING_BACKEND=llama"):
        stage(directory(tmp_path, **{**given, "backend": "transformers"}))
    with pytest.raises(ComputedOtherwise, match="CHAMSAE_TRAINING_DTYPE=bf16"):
        stage(directory(tmp_path, **{**given, "dtype": "fp32"}))
    stage(directory(tmp_path, **given))
    assert (tmp_path / "out/manifest.json").exists()


@pytest.fixture
def begun(made: dict[str, Any], tmp_path: Path) -> Any:
    """A run that began with a backend, as it is started again with what is set now."""

    def begin(by: str, **now: Any) -> RunDirectory:
        found = directory(tmp_path, **{**made, "backend": by})
        found.keep_to(Path(made["base"]), found.placement)
        found.checkpoint.mkdir()
        return directory(tmp_path, **{**made, **now})

    return begin


@pytest.mark.parametrize("now", ["auto", "llama"])
def test_what_our_llama_began_is_not_divided_and_told_to_go_on_with_one_process(
    begun: Any, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, now: str
) -> None:
    found = begun("llama", backend=now)
    monkeypatch.setattr(processes, "shards_base", lambda: True)
    with pytest.raises(ComputedOtherwise, match="CHAMSAE_TRAINER=local"):
        found.keep_to(Path(made["base"]), found.placement)


def test_the_backend_that_a_run_began_with_is_taken_where_the_choice_is_left(
    begun: Any, made: dict[str, Any]
) -> None:
    """As after FSDP, which takes transformers where one process takes our Llama."""
    found = begun("transformers", backend="auto")
    assert found.load_base(Path(made["base"]), adapted_layers=1).backend == "transformers"


@pytest.mark.parametrize("scope", ["head", "blocks", "full"])
def test_a_base_whose_own_weights_are_trained_is_not_divided(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    monkeypatch.setattr(processes, "shards_base", lambda: True)
    with pytest.raises(BadHyperparameter, match="LoRA alone"):
        fine_tune_stage.run(directory(tmp_path, **{**made, **FINE_TUNE, "scope": scope}))


def test_what_left_nothing_to_go_on_from_begins_anew_as_is_set_now(made: dict[str, Any], tmp_path: Path) -> None:
    base = Path(made["base"])
    for backend in ("llama", "transformers"):
        found = directory(tmp_path, **{**made, "backend": backend})
        found.keep_to(base, found.placement)
    found.checkpoint.mkdir()
    found = directory(tmp_path, **made)
    with pytest.raises(ComputedOtherwise, match="CHAMSAE_TRAINING_BACKEND=transformers"):
        found.keep_to(base, found.placement)
