"""What ends a run before its iterations do, at the best iteration: signs that the policy games its reward or breaks.

Each alarm reads the metrics of all iterations, which are in the checkpoint: a resumed run raises the same ones. It
fires when its sign is there in `alarm_patience` measurements in a row, since one rollout says little.

watch: the reward rises while a judge that does not train falls (Gao et al., arXiv:2210.10760, figure 1).
entropy: the policy has become nearly certain of every token.
length: replies have become far shorter or longer than the base's.
value: the value function's loss has exploded, so that advantages are noise.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from rlhf.training.ppo.config import PpoConfig

Metrics = Mapping[str, float]
WATCH, REWARD, ENTROPY = "watch/score", "objective/rlhf_reward", "policy/entropy_avg"
LENGTH, VALUE = "length/mean", "loss/value_avg"
SETTLED = 3
"""Iterations whose value losses make a median worth comparing with."""


def _watch_falls(history: Sequence[Metrics], config: PpoConfig) -> bool:
    measured = [one for one in history if WATCH in one]
    best = max(measured[:-1], key=lambda one: one[WATCH], default=None)
    if best is None or WATCH not in history[-1]:
        return False
    last = history[-1]
    return last[WATCH] < best[WATCH] - config.alarm_watch_fall and last[REWARD] > best[REWARD]


def _entropy_collapses(history: Sequence[Metrics], config: PpoConfig) -> bool:
    return history[-1][ENTROPY] < config.alarm_entropy * history[0][ENTROPY]


def _length_drifts(history: Sequence[Metrics], config: PpoConfig) -> bool:
    first = history[0][LENGTH]
    return not config.alarm_length_min * first <= history[-1][LENGTH] <= config.alarm_length_max * first


def _value_explodes(history: Sequence[Metrics], config: PpoConfig) -> bool:
    """Against the median of what came before, among which are those of the alarm itself: a median bears some."""
    before = [one[VALUE] for one in history[:-1]]
    return len(before) >= SETTLED and history[-1][VALUE] > config.alarm_value_loss * median(before)


SIGNS: dict[str, Callable[[Sequence[Metrics], PpoConfig], bool]] = {
    "watch": _watch_falls,
    "entropy": _entropy_collapses,
    "length": _length_drifts,
    "value": _value_explodes,
}
"""By the name that `stopped_by` gives."""


def signs_of(history: Sequence[Metrics], config: PpoConfig) -> set[str]:
    """Signs in the newest iteration, whose metrics are the last of `history`."""
    return {name for name, is_there in SIGNS.items() if is_there(history, config)} if history else set()


def fired(history: Sequence[Metrics], config: PpoConfig) -> str | None:
    """The alarm that ends the run now; None where there is none, or alarms are off."""
    for name in SIGNS if config.alarm_patience else ():
        seen = _measured(name, history)
        newest = seen[len(seen) - config.alarm_patience :] if len(seen) >= config.alarm_patience else []
        if newest and all(SIGNS[name](history[: at + 1], config) for at in newest):
            return name
    return None


def _measured(name: str, history: Sequence[Metrics]) -> list[int]:
    """Positions of the iterations in which there is something to tell the sign by."""
    return [at for at, one in enumerate(history) if name != "watch" or WATCH in one]
