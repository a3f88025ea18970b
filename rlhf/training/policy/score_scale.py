"""The scale of the scores for ways that maximise the reward: measured as PPO measures it, on the same completions."""

from collections.abc import Callable, Sequence

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.loop import Cancelled, PpoLoop
from rlhf.training.ppo.shaping import Scorer
from rlhf.training.ppo.state import PpoState
from rlhf.training.run import Stopped


def measure(
    transformer: Decoder,
    prompts: Sequence[Sequence[int]],
    scorer: Scorer,
    shaping: PpoConfig,
    *,
    seed: int,
    should_stop: Callable[[], bool],
    start: Adapter | None = None,
) -> PpoState:
    """A state with the scale of the completions of where training starts, an adapter or the base, and how far from
    the reference that is; those that PPO has at the same seed. Raises Stopped."""
    state = PpoState(transformer, len(prompts), shaping, seed, start)
    try:
        PpoLoop(transformer, prompts, scorer, shaping, state, should_stop, len).calibrate()
    except Cancelled as error:
        raise Stopped from error
    return state
