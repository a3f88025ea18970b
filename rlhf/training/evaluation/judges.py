"""The judges of an evaluation: gold functions or a second reward model score replies and find violations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rlhf.training.evaluation.cross_fitted import MAX_TOKENS, CrossFittedJudge
from rlhf.training.gold import BadJudge, Gold
from rlhf.training.model.choice import Placement
from rlhf.training.reward import cross_fit
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.features import encode
from rlhf.training.reward.model import ReplyScores, RewardModel
from rlhf.training.reward.qualification import Judgements
from rlhf.training.snapshot.files import PlainReply, PromptMessages, thaw
from rlhf.training.statistics.calibration import Calibration
from rlhf.training.tokens import ChatTokenizer


class Judge(Protocol):
    """Scores decide wins (equal scores are ties), by their calibration where there is one; violations are counted for
    each rule."""

    @property
    def kind(self) -> str:
        """gold or reward_model, as in a run's configuration."""
        ...

    @property
    def name(self) -> str:
        """Which one of its kind: the preference function, or the splits that the reward model was trained on."""
        ...

    @property
    def label(self) -> str:
        """Kind and name as people read them."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """None: whichever reply has the higher score is the better one."""
        ...

    @property
    def judgements(self) -> Judgements | None:
        """What it said of held-out judgements that it did not learn from; None where nobody asked."""
        ...

    def scores(self, replies: Sequence[PlainReply]) -> list[float]: ...

    def violations(self, replies: Sequence[PlainReply]) -> dict[str, list[bool]]: ...

    def violation_probabilities(self, replies: Sequence[PlainReply]) -> dict[str, list[float]]:
        """Of each rule that it knows, the chance that each reply breaks it; what they are worth labels tell."""
        ...


class SecondRewardModel:
    """A single reward model trained on judgements that the policy's own never saw, as version 0.2 made it: nobody
    knows how good it is. A rule counts as broken above 1/2."""

    calibration = None
    judgements = None

    def __init__(self, model: RewardModel, tokenizer: ChatTokenizer, name: str) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.kind, self.label = "reward_model", f"reward model:{name}"

    @classmethod
    def load(cls, directory: Path, known: Sequence[Path], placement: Placement | None = None) -> "SecondRewardModel":
        base = reward_model.base_of(directory, known)
        splits = "+".join(reward_model.read_config(directory)["splits"])
        return cls(reward_model.load(directory, base=base, placement=placement), ChatTokenizer.load(base), splits)

    def scores(self, replies: Sequence[PlainReply]) -> list[float]:
        return [float(score) for score in self._scores_of(replies).scores]

    def violations(self, replies: Sequence[PlainReply]) -> dict[str, list[bool]]:
        found = self._scores_of(replies).violations
        return {key: (found[:, column] > 0.5).tolist() for column, key in enumerate(self.model.judged)}

    def violation_probabilities(self, replies: Sequence[PlainReply]) -> dict[str, list[float]]:
        found = self._scores_of(replies).violations
        return {key: found[:, column].tolist() for column, key in enumerate(self.model.judged)}

    def _scores_of(self, replies: Sequence[PlainReply]) -> ReplyScores:
        rows = [
            encode(
                self.tokenizer,
                thaw(reply.prompt),
                reply.text,
                finished=reply.finished,
                max_completion_tokens=MAX_TOKENS,
            )
            for reply in replies
        ]
        return self.model.judge_rows(rows, self.tokenizer.padding_id)


def resolve(
    judge: dict[str, Any],
    known: Sequence[Path] = (),
    groups: Mapping[PromptMessages, str] | None = None,
    placement: Placement | None = None,
) -> Judge:
    """From the `judge` of a run's configuration; `known` policies may be its base, `groups` are those of the prompts.

    Raises BadJudge.
    """
    kind = judge.get("kind")
    if kind == "gold":
        return Gold.resolve(judge)
    if kind == "reward_model":
        directory = Path(judge["directory"])
        if reward_model.read_config(directory).get("kind") == cross_fit.KIND:
            return CrossFittedJudge.load(directory, known, groups or {}, placement)
        return SecondRewardModel.load(directory, known, placement)
    raise BadJudge(str(kind), "kind must be gold or reward_model")
