"""Who says which of two replies is better and which rules one breaks: gold functions or a second reward model."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rlhf.training.data import Prompt, last_user_text, thaw
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.features import encode
from rlhf.training.reward.model import RewardModel, Verdicts
from rlhf.training.tokens import ChatTokenizer

Preference = Callable[[str, str], float]
ViolationTest = Callable[[str, str], bool]
MAX_TOKENS = 512


@dataclass
class BadJudge(Exception):
    """A judge that cannot be found or is not what it should be."""

    spelling: str
    reason: str

    def __str__(self) -> str:
        return f"judge {self.spelling!r}: {self.reason}"


@dataclass(frozen=True)
class Said:
    """A reply to be judged. `finished`: it ended by itself, or was cut where it may end."""

    prompt: Prompt
    text: str
    finished: bool


class Judge(Protocol):
    """Scores decide wins (equal scores are ties); violations are counted a rule."""

    @property
    def name(self) -> str: ...

    def scores(self, replies: Sequence[Said]) -> list[float]: ...

    def violations(self, replies: Sequence[Said]) -> dict[str, list[bool]]: ...


@dataclass(frozen=True)
class Gold:
    """The functions that the simulated annotators judge by, without their noise. Both take (prompt, completion)."""

    name: str
    preference: Preference
    flags: dict[str, ViolationTest]

    @classmethod
    def resolve(cls, judge: dict[str, Any]) -> "Gold":
        """From {"preference": "module:function", "flags": {rule: "module:function"}}. Raises BadJudge."""
        spelling = str(judge["preference"])
        flags = {key: function(path) for key, path in (judge.get("flags") or {}).items()}
        return cls(f"gold:{spelling}", function(spelling), flags)

    def scores(self, replies: Sequence[Said]) -> list[float]:
        return [float(self.preference(last_user_text(reply.prompt), reply.text)) for reply in replies]

    def violations(self, replies: Sequence[Said]) -> dict[str, list[bool]]:
        pairs = [(last_user_text(reply.prompt), reply.text) for reply in replies]
        return {key: [bool(test(*pair)) for pair in pairs] for key, test in self.flags.items()}


class SecondRewardModel:
    """A reward model trained on judgements that the policy's own never saw. A rule counts as broken above 1/2."""

    def __init__(self, model: RewardModel, tokenizer: ChatTokenizer, name: str) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name

    @classmethod
    def load(cls, directory: Path, known: Sequence[Path]) -> "SecondRewardModel":
        base = reward_model.base_of(directory, known)
        splits = "+".join(reward_model.read_config(directory)["splits"])
        return cls(reward_model.load(directory, base=base), ChatTokenizer.load(base), f"reward model:{splits}")

    def scores(self, replies: Sequence[Said]) -> list[float]:
        return [float(score) for score in self._verdicts(replies).scores]

    def violations(self, replies: Sequence[Said]) -> dict[str, list[bool]]:
        found = self._verdicts(replies).violations
        return {key: (found[:, column] > 0.5).tolist() for column, key in enumerate(self.model.judged)}

    def _verdicts(self, replies: Sequence[Said]) -> Verdicts:
        rows = [
            encode(
                self.tokenizer,
                thaw(reply.prompt),
                reply.text,
                finished=reply.finished,
                max_prompt_tokens=MAX_TOKENS,
                max_completion_tokens=MAX_TOKENS,
            )
            for reply in replies
        ]
        return self.model.judge_rows(rows, self.tokenizer.padding_id)


def resolve(judge: dict[str, Any], known: Sequence[Path] = ()) -> Judge:
    """From the `judge` of a run's configuration; `known` policies may be its base. Raises BadJudge."""
    kind = judge.get("kind")
    if kind == "gold":
        return Gold.resolve(judge)
    if kind == "reward_model":
        return SecondRewardModel.load(Path(judge["directory"]), known)
    raise BadJudge(str(kind), "kind must be gold or reward_model")


def function(spelling: str) -> Callable[[str, str], Any]:
    """`package.module:name`. Raises BadJudge."""
    path, colon, name = spelling.partition(":")
    if not colon:
        raise BadJudge(spelling, "expected package.module:function")
    try:
        found = getattr(importlib.import_module(path), name, None)
    except ImportError as error:
        raise BadJudge(spelling, f"cannot be imported: {error}") from error
    if not callable(found):
        raise BadJudge(spelling, f"the module has no function {name}")
    return found  # type: ignore[no-any-return]  # what it returns is converted at each call
