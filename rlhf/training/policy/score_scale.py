"""The scale of the scores for ways that maximise the reward: measured as PPO measures it, on the same completions."""

from collections.abc import Callable, Sequence

from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.loop import Cancelled, PpoLoop
from rlhf.training.ppo.shaping import Scorer, ScoreScale
from rlhf.training.ppo.state import PpoState
from rlhf.training.run import Stopped


def measure(
    transformer: Transformer,
    prompts: Sequence[Sequence[int]],
    scorer: Scorer,
    shaping: PpoConfig,
    *,
    seed: int,
    should_stop: Callable[[], bool],
) -> ScoreScale:
    """Of the base's completions; the one that PPO has at the same seed. Raises Stopped."""
    state = PpoState(transformer, len(prompts), shaping, seed)
    try:
        PpoLoop(transformer, prompts, scorer, shaping, state, should_stop, len).calibrate()
    except Cancelled as error:
        raise Stopped from error
    return state.scale
