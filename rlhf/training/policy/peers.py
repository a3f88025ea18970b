"""TRL's RLOO and GRPO trainers as ways to train a policy, on the very reward of our PPO and with its KL stop."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.policy import by_tinker, publishing, score_scale, served_peers, trl_runs
from rlhf.training.policy.config import TRL_NAMES
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.kl import KlStop
from rlhf.training.policy.peers_config import PeerConfig
from rlhf.training.policy.served_peers import ServedRollouts
from rlhf.training.ppo.brake import KlBrake
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.functions import ChamsaeReward
from rlhf.training.rollouts import server_sampler
from rlhf.training.rollouts.server_sampler import ServerSampler
from rlhf.training.rollouts.source import RolloutSampling
from rlhf.training.run import RunDirectory
from rlhf.training.snapshot.files import PromptRow, thaw


class KlLog:
    """The KL of each step's completions, smoothed as our PPO smooths it, from what TRL logs: nats a token.

    `kl_nats` of the weights that were last within the limit.
    """

    def __init__(self, stop: float, start_kl: float = 0.0) -> None:
        """`start_kl`: of a run that goes on, where it begins."""
        self.stop, self.brake, self.kl_nats = stop, KlBrake(level=start_kl), start_kl

    def add(self, step: int, values: dict[str, float]) -> bool:
        """Adds the KL in nats a completion to what was logged; whether it is past the limit."""
        if "kl" not in values:
            return False
        found = values["kl"] * values.get("completions/mean_length", 1.0)
        self.brake.update(found)
        values |= {"objective/kl": found, "objective/kl_smoothed": self.brake.level}
        if self.brake.is_past(self.stop):
            return True
        self.kl_nats = found
        return False

    def replay(self, history: Sequence[dict[str, Any]]) -> None:
        """The steps before a resume."""
        for logged in history:
            self.add(0, dict(logged))


def run(directory: RunDirectory) -> dict[str, Any]:
    if by_tinker.KEY in directory.config:
        return by_tinker.run(directory)
    trl_runs.require_whole_weights(directory.placement)
    algorithm, asked = str(directory["algorithm"]), PeerConfig.read(directory.hyperparameters)
    inputs = PolicyInputs.read(directory, asked.max_prompt_tokens)
    config = inputs.shaped(asked)
    judge, prompts = directory.directory("reward_model"), inputs.training_prompts()
    layers = int(reward_model.read_config(judge)["adapted_layers"])
    transformer = directory.load_base(inputs.base, adapted_layers=layers)
    start = inputs.starting_adapter(transformer, seed=directory.seed)
    reward = ChamsaeReward(reward_model.load(judge, transformer, inputs.base), inputs.tokenizer, config.reward())
    begun = score_scale.measure(
        transformer,
        inputs.prompt_ids(),
        reward.model,
        reward.shaping,
        seed=directory.seed,
        should_stop=directory.should_stop,
        start=start,
    )
    reward.scale = begun.scale
    log = KlLog(config.stop_after(begun.start_kl or None), begun.start_kl)
    with server_sampler.of_run(directory, transformer, batch_rows=PpoConfig.sample_rows) as source:
        served = _served(source, config, directory, transformer)
        callback = trl_runs.reporting_callback(directory, config.steps, _reporter(log, served))
        trainer = _trainer(algorithm, config, inputs, reward, prompts, directory, transformer, callback, served)
        trl_runs.begin_at(trainer.model, start, config.reference)
        log.replay(trl_runs.history(directory.checkpoint))
        steps = trl_runs.train(trainer, directory)
    facts: dict[str, Any] = {
        "algorithm": algorithm,
        "kl_nats": log.kl_nats,
        "steps": steps,
        "episodes": steps * config.prompts_per_step * config.num_generations,
        "stopped_by": callback.stopped_by,
    }
    if source is not None:
        facts["rollout_servers"] = len(source.config.urls)
    adapter = trl_runs.adapter_of(trainer.model, transformer, config)
    facts |= _distances(directory, inputs, transformer, adapter, start, config) | inputs.start_facts(asked)
    return publishing.publish(directory, inputs, adapter, facts, asdict(config))


def _served(
    source: ServerSampler | None, config: PeerConfig, directory: RunDirectory, transformer: Decoder
) -> ServedRollouts | None:
    """None where TRL samples in this process."""
    if source is None:
        return None
    return ServedRollouts(
        source,
        RolloutSampling(config.num_generations, config.max_tokens, config.temperature),
        config.importance_sampling_cap,
        directory.seed,
        directory.stop_if_asked,
        lambda trained: trl_runs.adapter_of(trained, transformer, config),
    )


def _reporter(log: KlLog, served: ServedRollouts | None) -> Callable[[int, dict[str, float]], bool]:
    def add(step: int, values: dict[str, float]) -> bool:
        values |= {} if served is None else served.metrics
        return log.add(step, values)

    return add


def _distances(
    directory: RunDirectory,
    inputs: PolicyInputs,
    transformer: Decoder,
    adapter: Adapter,
    start: Adapter | None,
    config: PeerConfig,
) -> dict[str, float]:
    """Of a run that goes on, at its end: TRL measures from one reference only."""
    if start is None:
        return {}
    stop = KlStop.over(
        transformer,
        inputs.prompt_ids(),
        config,
        seed=directory.seed,
        checkpointer=Checkpointer(directory.checkpoint / "within", {}),
        poll=directory.stop_if_asked,
        start=start,
    )
    found = stop.measure(adapter)
    return {"kl_nats": found.start_kl_nats, "anchor_kl_nats": found.anchor_kl_nats}


def _trainer(
    algorithm: str,
    config: PeerConfig,
    inputs: PolicyInputs,
    reward: ChamsaeReward,
    prompts: Sequence[PromptRow],
    directory: RunDirectory,
    transformer: Decoder,
    callback: Any,
    served: ServedRollouts | None,
) -> Any:
    import trl
    from datasets import Dataset

    settings, kind = {
        "rloo": (trl.RLOOConfig, trl.RLOOTrainer),
        "grpo": (trl.GRPOConfig, trl.GRPOTrainer),
    }[algorithm]
    rows = config.prompts_per_step * config.num_generations
    arguments = settings(
        **trl_runs.arguments(directory, config, rows=rows, save_steps=config.save_steps if served is None else 1),
        max_steps=config.steps,
        num_generations=config.num_generations,
        temperature=config.temperature,
        beta=config.beta,
        chat_template_kwargs={"sanitize_control_tokens": True},
        **{theirs: getattr(config, ours) for theirs, ours in TRL_NAMES.items()},
    )
    trl_runs.require_device(directory.placement, arguments)
    trainer = (kind if served is None else served_peers.kind_of(algorithm, kind))(
        model=trl_runs.model(inputs.base, directory.placement),
        reward_funcs=[reward],
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": thaw(row.prompt)} for row in prompts]),
        processing_class=trl_runs.tokenizer_of(inputs),
        callbacks=[callback],
        peft_config=trl_runs.lora(config, transformer),
    )
    if served is not None:
        trainer.begin(served)
    return trainer
