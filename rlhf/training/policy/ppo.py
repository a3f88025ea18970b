"""Our PPO as a way to train a policy."""

import logging
from pathlib import Path
from typing import Any

from rlhf.training.model.transformer import Transformer
from rlhf.training.policy import publishing
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.rule_groups import GroupedRewardModel
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.shaping import Scorer
from rlhf.training.ppo.train import PpoResult, train_ppo
from rlhf.training.reward import cross_fit
from rlhf.training.reward import model as reward_model
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.texts import has_sentence, words

WATCHING_FOLD = "fold-0-0"
"""Of a cross-fitted judge: none of its models learnt from the prompts that are trained on, and one is enough."""
log = logging.getLogger(__name__)


def run(directory: RunDirectory) -> dict[str, Any]:
    config = PpoConfig.read(directory.hyperparameters)
    inputs = PolicyInputs.read(directory, config.max_prompt_tokens)
    judge, prompts = directory.directory("reward_model"), inputs.prompt_ids()
    layers = int(reward_model.read_config(judge)["adapted_layers"])
    transformer = Transformer.load(inputs.base, adapted_layers=layers)
    scorer = GroupedRewardModel(reward_model.load(judge, transformer, inputs.base), inputs.snapshot.rule_groups)
    result = train_ppo(
        transformer,
        prompts,
        scorer,
        config,
        seed=directory.seed,
        directory=directory.checkpoint,
        report=directory.report,
        should_stop=directory.should_stop,
        count_words=lambda ids: len(words(inputs.tokenizer.decode(ids))),
        speaks=lambda ids: has_sentence(inputs.tokenizer.decode(ids)),
        watch=_watching_judge(directory, transformer, inputs.base),
    )
    if result.stopped_by == "cancelled":
        raise Stopped
    return publishing.publish(directory, inputs, result.adapter, _facts(result), config.as_json())


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
    if about.get("kind") == cross_fit.KIND:
        folder = folder / WATCHING_FOLD
    return reward_model.load(folder, transformer, base)


def _facts(result: PpoResult) -> dict[str, Any]:
    return {
        "algorithm": "ppo",
        "kl_nats": result.kl_nats,
        "steps": result.iterations,
        "episodes": result.episodes,
        "stopped_by": result.stopped_by,
        **({} if result.best_iteration is None else {"best_step": result.best_iteration}),
    }
