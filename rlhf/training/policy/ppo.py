"""Our PPO as a way to train a policy."""

import logging
from pathlib import Path
from typing import Any

from rlhf.training.model.decoder import Decoder
from rlhf.training.policy import publishing
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.rule_groups import GroupedRewardModel
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.shaping import Scorer
from rlhf.training.ppo.train import PpoResult, train_ppo
from rlhf.training.reward import cross_fit
from rlhf.training.reward import model as reward_model
from rlhf.training.rollouts import server_sampler
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.texts import has_sentence, words

WATCHING_FOLD = "fold-0-0"
"""Of a cross-fitted judge: none of its models learnt from the prompts that are trained on, and one is enough."""
log = logging.getLogger(__name__)


def run(directory: RunDirectory) -> dict[str, Any]:
    asked = PpoConfig.read(directory.hyperparameters)
    inputs = PolicyInputs.read(directory, asked.max_prompt_tokens)
    config = inputs.shaped(asked)
    judge, prompts = directory.directory("reward_model"), inputs.prompt_ids()
    layers = int(reward_model.read_config(judge)["adapted_layers"])
    transformer = directory.load_base(inputs.base, adapted_layers=layers)
    scorer = GroupedRewardModel(reward_model.load(judge, transformer, inputs.base), inputs.snapshot.rule_groups)
    with server_sampler.of_run(directory, transformer, batch_rows=config.sample_rows) as source:
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
            start=inputs.starting_adapter(transformer, seed=directory.seed),
            source=source,
        )
    if result.stopped_by == "cancelled":
        raise Stopped
    facts = _facts(result, goes_on=inputs.start is not None) | inputs.start_facts(asked)
    facts["rollout_servers"] = 0 if source is None else len(source.config.urls)
    return publishing.publish(directory, inputs, result.adapter, facts, config.as_json())


def _watching_judge(directory: RunDirectory, transformer: Decoder, base: Path) -> Scorer | None:
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


def _facts(result: PpoResult, *, goes_on: bool) -> dict[str, Any]:
    further = {"anchor_kl_nats": result.anchor_kl_nats, "start_kl_nats": result.start_kl_nats}
    return {
        "algorithm": "ppo",
        "kl_nats": result.kl_nats,
        "steps": result.iterations,
        "episodes": result.episodes,
        "stopped_by": result.stopped_by,
        **(further if goes_on else {}),
        **({} if result.best_iteration is None else {"best_step": result.best_iteration}),
    }
