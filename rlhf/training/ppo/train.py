"""PPO on completions: roll out, score, shape the reward, update, stop on KL; resumable after every iteration.

Schulman et al., arXiv:1707.06347, in the form of Ziegler et al., arXiv:1909.08593, with the details of Huang et al.,
arXiv:2403.17031. Deviations: LoRA on a frozen trunk; a closed-form value (value.py); scores also clipped; beta only
ever rises above its base, since a controller that lowers it early cannot brake later; the run ends at a KL, not at a
reward. Knows no tokenizer and no Django: prompts are ids, the scorer is an argument.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.model import choice
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.ppo import alarms
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.loop import Cancelled, PpoLoop
from rlhf.training.ppo.shaping import Scorer
from rlhf.training.ppo.state import PpoState
from rlhf.training.rollouts.source import RolloutSource

Metrics = dict[str, float]
Report = Callable[[int, int, Metrics], None]


@dataclass(frozen=True)
class PpoResult:
    """`kl_nats` a completion was measured on the adapter's own rollout, or, after the last iteration, one before.
    After an alarm the adapter is that of the best iteration, `best_iteration` updates old."""

    adapter: Adapter
    metrics: list[Metrics]
    stopped_by: str  # "iterations", "kl", "cancelled" or the name of an alarm (alarms.SIGNS)
    iterations: int
    episodes: int
    kl_nats: float
    """From where training started."""
    anchor_kl_nats: float
    """From the base without an adapter; the same where training started there."""
    start_kl_nats: float
    """Of where training started, from the reference."""
    best_iteration: int | None = None  # None where no alarm ended the run


def train_ppo(
    transformer: Decoder,
    prompts: Sequence[Sequence[int]],
    scorer: Scorer,
    config: PpoConfig,
    *,
    seed: int,
    directory: Path,
    report: Report,
    should_stop: Callable[[], bool],
    count_words: Callable[[Sequence[int]], int] = len,
    speaks: Callable[[Sequence[int]], bool] | None = None,
    watch: Scorer | None = None,
    start: Adapter | None = None,
    source: RolloutSource | None = None,
) -> PpoResult:
    """Train an adapter, a fresh one or on from `start`, which is left as it is. A second call with the same
    `directory` resumes where the first was killed.

    `count_words` counts the words of a completion from its ids (without the EOS); by default each token is one.
    `speaks` tells whether they hold a sentence. `watch` is a judge that does not train: when its score falls while
    the reward rises, the run ends at the best iteration, as it does for the other alarms. `source` samples the
    completions; by default this process does. A checkpoint is continued whatever samples.

    Raises TrainingDiverged when a score, loss or gradient is not finite, CheckpointMismatch when `directory` holds
    the checkpoint of a run with another configuration, seed or prompts, BadHyperparameter for a bad configuration.
    """
    config.validate()
    checkpointer = Checkpointer(Path(directory), _identity(transformer, prompts, config, seed, start))
    state = PpoState(transformer, len(prompts), config, seed, start)
    loop = PpoLoop(transformer, prompts, scorer, config, state, should_stop, count_words, speaks, watch, source)
    try:
        if not state.restore(checkpointer.load()):
            loop.calibrate()
            checkpointer.save(0, *state.pack())
        while state.iteration < config.iterations:
            if (alarm := alarms.fired(state.metrics, config)) is not None:
                state.return_to_best()
                return replace(_result(state, alarm), best_iteration=state.best.iteration)
            loop.poll()
            if not loop.iterate():
                return _result(state, "kl")
            checkpointer.save(state.iteration, *state.pack())
            report(state.iteration, config.iterations, state.metrics[-1])
    except Cancelled:
        state.restore(checkpointer.load())
        return _result(state, "cancelled")
    return _result(state, "iterations")


def _result(state: PpoState, stopped_by: str) -> PpoResult:
    episodes = int(state.metrics[-1]["episode"]) if state.metrics else 0
    distances = state.kl_nats, state.anchor_kl_nats, state.start_kl
    return PpoResult(state.adapter, state.metrics, stopped_by, state.iteration, episodes, *distances)


def _identity(
    transformer: Decoder,
    prompts: Sequence[Sequence[int]],
    config: PpoConfig,
    seed: int,
    start: Adapter | None,
) -> dict[str, object]:
    """What must be equal for a checkpoint to be continued."""
    text = json.dumps([list(prompt) for prompt in prompts])
    return {
        "config": config.as_json(),
        "seed": seed,
        "prompts": hashlib.sha256(text.encode()).hexdigest(),
        "trunk_layers": transformer.trunk_layers,
        "layers": transformer.config.layers,
        "backend": choice.mark(transformer),
        "start": None if start is None else start.digest(),
    }
