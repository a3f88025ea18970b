"""The policy stage: tunes a policy against a reward model and publishes it as a directory of its own."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.training.artefacts import policy_directory
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.transformer import Transformer
from rlhf.training.policy import peers
from rlhf.training.policy.rule_groups import GroupedRewardModel
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.shaping import Scorer
from rlhf.training.ppo.train import PpoResult, train_ppo
from rlhf.training.reward import model as reward_model
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import TRAIN, BadSnapshot, PromptRow, SnapshotFiles, thaw
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.texts import has_sentence, words
from rlhf.training.tokens import ChatTokenizer

log = logging.getLogger(__name__)


def run(directory: RunDirectory) -> dict[str, Any]:
    algorithm = str(directory["algorithm"])
    if algorithm == "ppo":
        return _run_ppo(directory)
    if algorithm in peers.ALGORITHMS:
        return peers.run(directory, algorithm)
    raise BadHyperparameter("algorithm", algorithm, "must be ppo, rloo or grpo")


def _run_ppo(directory: RunDirectory) -> dict[str, Any]:
    base, judge = directory.directory("base"), directory.directory("reward_model")
    config = PpoConfig.read(directory.hyperparameters)
    tokenizer = ChatTokenizer.load(base)
    fitted = fit_prompts(SnapshotFiles.load(directory.directory("snapshot")), tokenizer, config.max_prompt_tokens)
    snapshot = fitted.snapshot
    layers = int(reward_model.read_config(judge)["adapted_layers"])
    transformer = Transformer.load(base, adapted_layers=layers)
    result = train_ppo(
        transformer,
        _prompt_ids(tokenizer, _training_prompts(snapshot)),
        GroupedRewardModel(reward_model.load(judge, transformer, base), snapshot.rule_groups),
        config,
        seed=directory.seed,
        directory=directory.checkpoint,
        report=directory.report,
        should_stop=directory.should_stop,
        count_words=lambda ids: len(words(tokenizer.decode(ids))),
        speaks=lambda ids: has_sentence(tokenizer.decode(ids)),
        watch=_watching_judge(directory, transformer, base),
    )
    if result.stopped_by == "cancelled":
        raise Stopped
    facts = _facts(result) | fitted.counts
    policy_directory.publish(
        directory.directory("output"),
        base=base,
        state=result.adapter.merge_into(policy_directory.weights(base)),
        served=directory.served,
        simulated=snapshot.simulated,
        facts=facts | _lineage(directory, judge, config.as_json()),
    )
    return facts | {"output": str(directory.directory("output"))}


def _watching_judge(directory: RunDirectory, transformer: Transformer, base: Path) -> Scorer | None:
    """The judge under `watch`, trained on other judgements than the reward model; None where there is none, or it
    was made over another base and cannot read the rollouts' states."""
    if not directory.config.get("watch"):
        return None
    folder = directory.directory("watch")
    about, layers = reward_model.read_config(folder), transformer.config.layers - transformer.trunk_layers
    if about["base_sha256"] != reward_model.weights_digest(base) or about["adapted_layers"] != layers:
        log.warning("%s was made over another base and does not watch", folder)
        return None
    return reward_model.load(folder, transformer, base)


def _training_prompts(snapshot: SnapshotFiles) -> list[PromptRow]:
    """The prompts to sample from. Raises BadSnapshot where there is none."""
    rows = snapshot.prompts_of(TRAIN)
    if not rows:
        raise BadSnapshot(snapshot.directory / "prompts.jsonl", "no prompt of the train split to sample from")
    return rows


def _prompt_ids(tokenizer: ChatTokenizer, rows: Sequence[PromptRow]) -> list[list[int]]:
    return [tokenizer.prompt_ids(thaw(row.prompt)) for row in rows]


def _lineage(directory: RunDirectory, judge: Path, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The inputs that a policy was made from, for its model card."""
    return {
        "reward model": judge.name,
        "made-up replies that it learnt as worst": reward_model.read_config(judge).get("made_up_pairs", 0),
        "snapshot": directory.directory("snapshot").name,
        "seed": directory.seed,
        "hyperparameters": hyperparameters,
    }


def _facts(result: PpoResult) -> dict[str, Any]:
    return {
        "algorithm": "ppo",
        "kl_nats": result.kl_nats,
        "steps": result.iterations,
        "episodes": result.episodes,
        "stopped_by": result.stopped_by,
        **({} if result.best_iteration is None else {"best_step": result.best_iteration}),
    }
