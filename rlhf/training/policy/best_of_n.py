"""Best of n as a way to train a policy: sample several completions, keep the best by the reward, learn those, repeat.

Dong et al. (RAFT), arXiv:2304.06767, algorithm 1. Deviations: LoRA on a frozen trunk; a prompt whose completions all
earn the same teaches nothing and is left out; the rounds end at a KL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from rlhf.training.fine_tuning.examples import Example, replying
from rlhf.training.fine_tuning.objectives import Supervised
from rlhf.training.model.rollout import Rollout
from rlhf.training.model.sampler import sample
from rlhf.training.policy import score_scale
from rlhf.training.policy.config import FittedConfig, RewardedConfig
from rlhf.training.policy.fitted import FittingRun, RunReport, StopAtKl
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.replies import NothingToFit
from rlhf.training.ppo.shaping import ScoreScale, ShapedReward
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.functions import ChamsaeReward
from rlhf.training.run import RunDirectory


@dataclass(frozen=True)
class BestOfNConfig(RewardedConfig, FittedConfig):
    """`adapted_layers` is the reward model's here, whose trunk samples and scores alike."""

    n: int = 8  # completions of each prompt, of which the best is learnt
    rounds: int = 4  # of sampling and learning
    prompts_per_round: int = 64
    sample_rows: int = 64  # completions that grow together in the sampler

    def validate(self) -> None:
        super().validate()
        self._at_least(2, "n")
        self._at_least(1, "rounds", "prompts_per_round", "sample_rows")

    @property
    def steps_per_round(self) -> int:
        """At most: fewer where prompts teach nothing."""
        return self.n_epochs * -(-self.prompts_per_round // self.batch_size)


@dataclass(frozen=True)
class ChosenReplies:
    """The completions that a round learns from, and the figures of all that were sampled."""

    replies: list[tuple[list[int], list[int]]]
    """(prompt, completion) as ids, the end token included where the model wrote it."""
    figures: dict[str, float]

    def examples(self) -> list[Example]:
        return [replying(*one) for one in self.replies]


def run(directory: RunDirectory) -> dict[str, Any]:
    config = BestOfNConfig.read(directory.hyperparameters)
    inputs = PolicyInputs.read(directory, config.max_prompt_tokens)
    judge = directory.directory("reward_model")
    layers = int(reward_model.read_config(judge)["adapted_layers"])
    transformer = directory.load_base(inputs.base, adapted_layers=layers)
    reward = ChamsaeReward(reward_model.load(judge, transformer, inputs.base), inputs.tokenizer, config.reward())
    shaped = inputs.shaped(config)
    return Rounds(FittingRun.start(directory, inputs, shaped, transformer, asked=config), shaped, reward).run()


class Rounds:
    """The rounds of one run. Each starts from a checkpoint that holds what it learns from."""

    def __init__(self, run: FittingRun, config: BestOfNConfig, reward: ChamsaeReward) -> None:
        self.fitting, self.config, self.reward = run, config, reward
        self.prompts = run.inputs.prompt_ids()
        self.checkpointer = run.checkpointer("rounds")
        self.episodes = 0

    def run(self) -> dict[str, Any]:
        first, chosen = self._resumed()
        stopped_by, steps = "iterations", 0
        for number in range(first, self.config.rounds):
            if chosen is None:
                chosen = self._choose(number)
                self._save(number, chosen)
            if self._learn(number, chosen):
                steps, chosen = number + 1, None
            else:
                self.fitting.kl.fall_back(self.fitting.learner.adapter)
                stopped_by, steps = "kl", number
                break
        facts = {"algorithm": "best_of_n", "steps": steps, "episodes": self.episodes, "stopped_by": stopped_by}
        return self.fitting.publish(facts)

    def _learn(self, number: int, chosen: ChosenReplies) -> bool:
        """Fit to a round's best completions. Whether the KL is within the limit then."""
        steps = self.config.steps_per_round
        before = number * (steps + 1)
        report = RunReport(self.fitting.directory, self.fitting.kl, before=before, fits=self.config.rounds)
        report.first = chosen.figures
        stop = StopAtKl(self.fitting, checks=0)

        def step(done: int, _: int, values: Mapping[str, Any]) -> None:
            report.step(done, steps, values)

        self.fitting.fit(Supervised(chosen.examples()), name=f"round-{number}", report=step, stop=stop)
        stop.measure(before + steps)
        report.end(steps, steps)
        return not stop.past

    def _choose(self, number: int) -> ChosenReplies:
        """The best completion of each of a round's prompts."""
        indices = _shuffled(len(self.prompts), self._seed(number))[: self.config.prompts_per_round]
        at_once = max(1, self.config.sample_rows // self.config.n)
        replies: list[tuple[list[int], list[int]]] = []
        totals: list[torch.Tensor] = []
        for start in range(0, len(indices), at_once):
            self.fitting.directory.stop_if_asked()
            part = [self.prompts[index] for index in indices[start : start + at_once]]
            rollout = self._sample(part, self._seed(number) + start)
            shaped = self.reward.of_rollout(rollout)
            replies += best_of(rollout, shaped)
            totals.append(shaped.total.view(len(part), self.config.n))
        if not replies:
            raise NothingToFit("prompt whose completions differ in reward")
        rewards = torch.cat(totals)
        self.episodes += rewards.numel()
        figures = {"reward": float(rewards.mean()), "reward/best": float(rewards.amax(1).mean())}
        return ChosenReplies(replies, figures | {"length/chosen": fmean(len(reply) for _, reply in replies)})

    def _sample(self, prompts: Sequence[Sequence[int]], seed: int) -> Rollout:
        learner = self.fitting.learner
        return sample(
            learner.transformer,
            prompts,
            completions_per_prompt=self.config.n,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            seed=seed,
            adapter=learner.adapter,
            batch_rows=self.config.sample_rows,
        )

    def _seed(self, number: int) -> int:
        return self.fitting.directory.seed * 1_000_003 + number * 10_007

    def _save(self, number: int, chosen: ChosenReplies) -> None:
        tensors = {str(index): one.detach() for index, one in enumerate(self.fitting.learner.parameters())}
        scale = self.reward.scale
        values = {
            "round": number,
            "replies": chosen.replies,
            "figures": chosen.figures,
            "episodes": self.episodes,
            "scale": [scale.mean, scale.spread],
        }
        self.checkpointer.save(number, tensors, values)

    def _resumed(self) -> tuple[int, ChosenReplies | None]:
        """(round to go on with, what it learns from); a fresh run measures the scale of the scores first."""
        saved = self.checkpointer.load()
        if saved is None:
            self.reward.scale = self._measure_scale()
            return 0, None
        tensors, values = saved
        self.fitting.learner.adapter.copy_from(tensors[str(index)] for index in range(len(tensors)))
        self.reward.scale = ScoreScale(*values["scale"])
        self.episodes = int(values["episodes"])
        replies = [(list(prompt), list(reply)) for prompt, reply in values["replies"]]
        return int(values["round"]), ChosenReplies(replies, dict(values["figures"]))

    def _measure_scale(self) -> ScoreScale:
        directory = self.fitting.directory
        return score_scale.measure(
            self.fitting.learner.transformer,
            self.prompts,
            self.reward.model,
            self.reward.shaping,
            seed=directory.seed,
            should_stop=directory.should_stop,
            start=self.fitting.kl.start,
        ).scale


def best_of(rollout: Rollout, shaped: ShapedReward) -> list[tuple[list[int], list[int]]]:
    """(prompt, completion) of the highest reward of each prompt whose completions differ in it."""
    found = []
    for prompt in range(int(rollout.prompt_index.max()) + 1):
        rows = (rollout.prompt_index == prompt).nonzero()[:, 0]
        totals = shaped.total[rows]
        if float(totals.max()) > float(totals.min()):
            row = int(rows[int(totals.argmax())])
            start, end = int(rollout.prompt_lengths[row]), int(rollout.lengths[row])
            ids = rollout.ids[row].tolist()
            found.append((ids[:start], ids[start:end]))
    return found


def _shuffled(count: int, seed: int) -> list[int]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
