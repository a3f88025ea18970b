"""RLOO and GRPO by a Tinker server: it samples and takes the steps, this process computes the reward and the KL.

The KL to the base is part of the reward, for the protocol's losses have none. The server knows no temperature in its
losses, so completions are sampled at 1.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.hyperparameters import build, require
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import Rollout
from rlhf.training.model.scoring import completion_mask, score_completions
from rlhf.training.policy import publishing, score_scale
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.peers_config import PeerConfig
from rlhf.training.ppo.brake import KlBrake
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.functions import ChamsaeReward
from rlhf.training.rollouts.completions import BadCompletion, PromptRequest, ServerCompletion
from rlhf.training.rollouts.mismatch import Mismatch
from rlhf.training.rollouts.server_sampler import rollout_of
from rlhf.training.rollouts.source import RolloutSampling
from rlhf.training.run import RunDirectory
from rlhf.training.tinker import learning
from rlhf.training.tinker.learning import SavedAdapter
from rlhf.training.tinker.server import TinkerRefused, TinkerServer

KEY = "tinker"
"""In a run's config.json, where a Tinker server trains it."""
KEY_VARIABLE = "CHAMSAE_TINKER_KEY"
TEMPERATURE = 1.0


@dataclass(frozen=True)
class TinkerConfig:
    """What the site says of the server."""

    url: str
    patience_s: float = 600.0

    def validate(self) -> None:
        """Nothing here can be out of range."""


@dataclass(frozen=True)
class Drawn:
    """One rollout, of the weights under `path`."""

    step: int
    path: str
    prompts: list[list[int]]
    completions: list[list[ServerCompletion]]


def run(directory: RunDirectory) -> dict[str, Any]:
    require(processes.count() == 1, KEY, "server", "it trains for a run of one process")
    require(directory.placement.bits == 16, "bits", directory.placement.bits, "a Tinker server trains whole weights")
    asked = PeerConfig.read({"temperature": TEMPERATURE, **directory.hyperparameters})
    require(asked.temperature == TEMPERATURE, "temperature", asked.temperature, "a Tinker server's losses are of 1")
    require(asked.alpha == learning.ALPHA, "alpha", asked.alpha, f"a Tinker server's is {learning.ALPHA:g}")
    inputs = PolicyInputs.read(directory, asked.max_prompt_tokens)
    require(inputs.start is None, KEY, "server", "the protocol has no way to send it the adapter to go on from")
    told = build(TinkerConfig, directory[KEY])
    key = os.environ.pop(KEY_VARIABLE, "")
    server = TinkerServer(told.url, key, poll=directory.stop_if_asked, patience_s=told.patience_s)
    try:
        return _Training(directory, inputs, asked, server).run()
    finally:
        server.close()


class _Training:
    """One run. Its checkpoint is on the server, with what it takes to find it here."""

    def __init__(
        self, directory: RunDirectory, inputs: PolicyInputs, config: PeerConfig, server: TinkerServer
    ) -> None:
        self.directory, self.inputs, self.config, self.server = directory, inputs, config, server
        self.algorithm = str(directory["algorithm"])
        self.prompts = inputs.prompt_ids()
        judge = directory.directory("reward_model")
        layers = int(reward_model.read_config(judge)["adapted_layers"])
        self.transformer = directory.load_base(inputs.base, adapted_layers=layers)
        self.reward = ChamsaeReward(
            reward_model.load(judge, self.transformer, inputs.base), inputs.tokenizer, config.reward()
        )
        self.brake, self.kl_nats, self.best = KlBrake(), 0.0, ""
        self.last: Drawn | None = None
        self.base = self._base_of_the_server()

    def run(self) -> dict[str, Any]:
        self._measure_scale()
        checkpointer = Checkpointer(self.directory.checkpoint, self._identity())
        saved = checkpointer.load()
        self.model = self.server.create(self.base, self.config.rank, self.directory.seed)
        done = self._go_on(saved[1]) if saved else 0
        steps, stopped_by = done, "steps"
        for step in range(done, self.config.steps + 1):
            drawn = self._draw(step)
            rewards, values = self._score(drawn)
            if self.brake.is_past(self.config.stop_kl):
                stopped_by = "kl"
                self.directory.report(step, self.config.steps, values)
                break
            self.best, self.last, self.kl_nats, steps = drawn.path, drawn, values["objective/kl"], step
            self.directory.report(step, self.config.steps, values)
            if step < self.config.steps:
                self._learn(drawn, rewards)
                self._save(checkpointer, step + 1)
        return self._publish(steps, stopped_by)

    def _base_of_the_server(self) -> str:
        """The name under which it has this run's base: the base's own, or the end of a path. Raises TinkerRefused."""
        listed, name = self.server.bases(), self.inputs.base.name
        for found in listed:
            if found.rstrip("/").rpartition("/")[2] == name:
                return found
        raise TinkerRefused(self.server.url, f"it has no {name}, only {', '.join(listed) or 'nothing'}")

    def _measure_scale(self) -> None:
        """As every way that maximises the reward does."""
        begun = score_scale.measure(
            self.transformer,
            self.prompts,
            self.reward.model,
            self.reward.shaping,
            seed=self.directory.seed,
            should_stop=self.directory.should_stop,
        )
        self.reward.scale = begun.scale

    def _identity(self) -> dict[str, Any]:
        return {"algorithm": self.algorithm, "seed": self.directory.seed, "config": asdict(self.config)}

    def _go_on(self, values: Mapping[str, Any]) -> int:
        """From a checkpoint; returns the steps done."""
        self.server.load(self.model, values["path"])
        self.brake, self.kl_nats, self.best = KlBrake(**values["brake"]), values["kl_nats"], values["best"]
        return int(values["step"])

    def _save(self, checkpointer: Checkpointer, step: int) -> None:
        path = self.server.save(self.model, f"step-{step:06d}")
        values = {"step": step, "path": path, "best": self.best, "kl_nats": self.kl_nats}
        checkpointer.save(step, {"scale": torch.zeros(1)}, {**values, "brake": asdict(self.brake)})

    def _draw(self, step: int) -> Drawn:
        """Raises TinkerRefused."""
        config, ends = self.config, sorted(self.transformer.config.eos)
        path = self.server.publish(self.model, f"sampled-{step:06d}")
        seed = self.directory.seed * 1_000_003 + step * 1009
        prompts = [self.prompts[index] for index in self._chosen(step)]
        drawn = self.server.sample(
            path, prompts, n=config.num_generations, tokens=config.max_tokens, ends=ends, seed=seed
        )
        made = [[ServerCompletion(one.ids, one.log_probs) for one in of_prompt] for of_prompt in drawn]
        self._check(prompts, made, ends)
        return Drawn(step, path, prompts, made)

    def _chosen(self, step: int) -> list[int]:
        """Places of a step's prompts: all prompts in a random order, then all in another."""
        count, size = len(self.prompts), self.config.prompts_per_step
        places = range(step * size, (step + 1) * size)
        return [self._order(place // count)[place % count] for place in places]

    def _order(self, epoch: int) -> list[int]:
        drawing = torch.Generator().manual_seed(self.directory.seed * 7919 + epoch)
        order: list[int] = torch.randperm(len(self.prompts), generator=drawing).tolist()
        return order

    def _check(
        self, prompts: Sequence[Sequence[int]], made: Sequence[Sequence[ServerCompletion]], ends: Sequence[int]
    ) -> None:
        sampling = RolloutSampling(self.config.num_generations, self.config.max_tokens, TEMPERATURE)
        for prompt, completions in zip(prompts, made, strict=True):
            request = PromptRequest(prompt, sampling, ends, len(self.transformer.embedding), 0)
            try:
                if len(completions) != sampling.completions_per_prompt:
                    raise BadCompletion(f"{len(completions)} instead of {sampling.completions_per_prompt}")
                for one in completions:
                    request.check(one.ids, one.log_probs)
            except BadCompletion as error:
                raise TinkerRefused(self.server.url, f"a completion is none: {error}") from error

    def _score(self, drawn: Drawn) -> tuple[Tensor, dict[str, float]]:
        """The rewards less the KL, [N]. Raises AnotherModelSampled where untrained weights are not the base's."""
        rollout = rollout_of(self.transformer, drawn.prompts, drawn.completions)
        sampled, mask = rollout.completion_log_probs(), completion_mask(rollout)
        base = self._log_probs(self.transformer, rollout, None)
        if drawn.step == 0:
            Mismatch.of(base, sampled, mask).refuse_another_model()
        kl = ((sampled - base) * mask).sum(1)
        shaped = self.reward.of_rollout(rollout)
        self.brake.update(max(0.0, float(kl.mean())))
        values = {
            "reward": float(shaped.total.mean()),
            "objective/kl": float(kl.mean()),
            "objective/kl_smoothed": self.brake.level,
            "completions/mean_length": float(rollout.completion_lengths.float().mean()),
        }
        return shaped.total - self.config.beta * kl, values

    def _log_probs(self, transformer: Decoder, rollout: Rollout, adapter: Adapter | None) -> Tensor:
        batches = list(torch.split(torch.arange(len(rollout)), 16))
        return score_completions(transformer, rollout, adapter, batches, temperature=TEMPERATURE).log_probs

    def _learn(self, drawn: Drawn, rewards: Tensor) -> None:
        weighed = learning.advantages(rewards.reshape(len(drawn.prompts), -1).float().cpu(), self.algorithm).tolist()
        examples = [
            learning.example(prompt, one, weight)
            for prompt, made, weights in zip(drawn.prompts, drawn.completions, weighed, strict=True)
            for one, weight in zip(made, weights, strict=True)
        ]
        self.server.learn(self.model, learning.LOSS, examples, self.config.learning_rate)

    def _publish(self, steps: int, stopped_by: str) -> dict[str, Any]:
        saved = SavedAdapter.read(self.server.archive(self.best))
        whole = self.directory.load_base(self.inputs.base, adapted_layers=self.transformer.config.layers)
        adapter = saved.onto(whole)
        facts = {
            "algorithm": self.algorithm,
            "kl_nats": self.kl_nats,
            "steps": steps,
            "episodes": steps * self.config.prompts_per_step * self.config.num_generations,
            "stopped_by": stopped_by,
            "trained_by": urlsplit(self.server.url).netloc,
            **self._examined(whole, adapter),
        }
        return publishing.publish(self.directory, self.inputs, adapter, facts, asdict(self.config))

    def _examined(self, whole: Decoder, adapter: Adapter) -> dict[str, float]:
        """How far the adapter here is from the one that sampled there. Raises AnotherModelSampled."""
        if self.last is None or self.last.path != self.best:
            return {}
        rollout = rollout_of(whole, self.last.prompts, self.last.completions)
        scored = self._log_probs(whole, rollout, adapter)
        found = Mismatch.of(scored, rollout.completion_log_probs(), completion_mask(rollout))
        found.refuse_another_model()
        return {"sampler_kl": found.kl}
