"""Our PPO as a way to train a policy."""

from typing import Any

from rlhf.training.model.transformer import Transformer
from rlhf.training.policy import publishing
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.train import PpoResult, train_ppo
from rlhf.training.reward import model as reward_model
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.texts import words


def run(directory: RunDirectory) -> dict[str, Any]:
    config = PpoConfig.read(directory.hyperparameters)
    inputs = PolicyInputs.read(directory, config.max_prompt_tokens)
    judge, prompts = directory.directory("reward_model"), inputs.prompt_ids()
    layers = int(reward_model.read_config(judge)["adapted_layers"])
    transformer = Transformer.load(inputs.base, adapted_layers=layers)
    result = train_ppo(
        transformer,
        prompts,
        reward_model.load(judge, transformer, inputs.base),
        config,
        seed=directory.seed,
        directory=directory.checkpoint,
        report=directory.report,
        should_stop=directory.should_stop,
        count_words=lambda ids: len(words(inputs.tokenizer.decode(ids))),
    )
    if result.stopped_by == "cancelled":
        raise Stopped
    return publishing.publish(directory, inputs, result.adapter, _facts(result), config.as_json())


def _facts(result: PpoResult) -> dict[str, Any]:
    return {
        "algorithm": "ppo",
        "kl_nats": result.kl_nats,
        "steps": result.iterations,
        "episodes": result.episodes,
        "stopped_by": result.stopped_by,
    }
