"""The judge that was cross-fitted on the held-out split: each prompt's replies by the models that never saw it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rlhf.training.artefacts import checkpoints
from rlhf.training.model import choice
from rlhf.training.model.choice import Placement
from rlhf.training.model.decoder import Decoder
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.features import EncodedReply, by_length, encode, lengths, pad
from rlhf.training.reward.folds import Fold, Folds
from rlhf.training.reward.model import BATCH_TOKENS, RewardModel
from rlhf.training.reward.qualification import Judgements
from rlhf.training.snapshot.files import PlainReply, PromptMessages, digest, thaw
from rlhf.training.statistics.calibration import Calibration
from rlhf.training.tokens import ChatTokenizer

MAX_TOKENS = 512


class _Said(NamedTuple):
    score: float
    rules: dict[str, float]
    """P(violation) of each rule that a model of the fold can tell."""


class CrossFittedJudge:
    """A score is the mean over the folds of people; a rule counts as broken above 1/2.

    Its scores become probabilities by its calibration. That was measured on single models, and their mean is a little
    better than each of them: probabilities are nearer to 1/2 than they need be.
    """

    kind = "reward_model"

    def __init__(
        self,
        models: Mapping[Fold, RewardModel],
        folds: Folds,
        tokenizer: ChatTokenizer,
        name: str,
        judgements: Judgements,
        groups: Mapping[PromptMessages, str],
    ) -> None:
        self.models, self.folds, self.tokenizer, self.name = models, folds, tokenizer, name
        self.label = f"reward model:{name}"
        self.judgements = judgements
        self.calibration: Calibration | None = judgements.calibration
        self.groups = groups
        self.rules = self._rules()
        self._known: dict[PlainReply, _Said] = {}

    @classmethod
    def load(
        cls,
        directory: Path,
        known: Sequence[Path],
        groups: Mapping[PromptMessages, str],
        placement: Placement | None = None,
    ) -> "CrossFittedJudge":
        """`groups` of the prompts whose replies it will judge; one without is in a group by itself."""
        checkpoints.verify(directory)
        config = reward_model.read_config(directory)
        base, folds = reward_model.base_of(directory, known), Folds.from_json(config["folds"])
        transformer = choice.load(base, adapted_layers=config["adapted_layers"], placement=placement)
        models = {fold: _loaded(directory / fold.name, transformer, base) for fold in folds.cells}
        name = "+".join(config["splits"])
        return cls(models, folds, ChatTokenizer.load(base), name, Judgements.read([directory]), groups)

    def scores(self, replies: Sequence[PlainReply]) -> list[float]:
        return [said.score for said in self._said_of(replies)]

    def violations(self, replies: Sequence[PlainReply]) -> dict[str, list[bool]]:
        return {rule: [p > 0.5 for p in found] for rule, found in self.violation_probabilities(replies).items()}

    def violation_probabilities(self, replies: Sequence[PlainReply]) -> dict[str, list[float]]:
        """Of the rules that it can tell on every prompt."""
        said = self._said_of(replies)
        return {rule: [one.rules[rule] for one in said] for rule in self.rules}

    def _rules(self) -> list[str]:
        known = [
            {rule for fold, model in self.models.items() if fold.prompts == number for rule in model.judged}
            for number in range(self.folds.prompt_folds)
        ]
        return sorted(set.intersection(*known))

    def _said_of(self, replies: Sequence[PlainReply]) -> list[_Said]:
        """Each distinct reply is read once, whatever is asked about it."""
        fresh: dict[int, list[PlainReply]] = defaultdict(list)
        for reply in dict.fromkeys(replies):
            if reply not in self._known:
                fresh[self._fold_of(reply.prompt)].append(reply)
        for number, of_fold in fresh.items():
            self._read(number, of_fold)
        return [self._known[reply] for reply in replies]

    def _fold_of(self, prompt: PromptMessages) -> int:
        return self.folds.prompt_fold(self.groups.get(prompt) or digest(prompt))

    def _read(self, number: int, replies: Sequence[PlainReply]) -> None:
        """The trunk runs once for the models of all people; no more than these are merged at a time."""
        models = [self.models[Fold(number, people)] for people in range(self.folds.annotator_folds)]
        rows = [self._encoded(reply) for reply in replies]
        for model in models:
            model.merge()
        for batch in by_length(rows, BATCH_TOKENS):
            chosen = [rows[at] for at in batch]
            states = models[0].transformer.run_trunk(pad(chosen, self.tokenizer.padding_id))
            found = [(model.judged, model.judge(states, *lengths(chosen))) for model in models]
            scores = [scored.scores.tolist() for _, scored in found]
            told = [(judged, scored.violations.tolist()) for judged, scored in found]
            for place, at in enumerate(batch):
                by_rule = _by_rule([(judged, values[place]) for judged, values in told])
                self._known[replies[at]] = _Said(_mean([column[place] for column in scores]), by_rule)
        for model in models:
            model.unmerge()

    def _encoded(self, reply: PlainReply) -> EncodedReply:
        messages = thaw(reply.prompt)
        return encode(self.tokenizer, messages, reply.text, finished=reply.finished, max_completion_tokens=MAX_TOKENS)


def _loaded(directory: Path, transformer: Decoder, base: Path) -> RewardModel:
    """With its adapter beside the base: merged copies of all folds at once would take the memory of as many tops."""
    model = reward_model.load(directory, transformer, base)
    model.unmerge()
    return model


def _by_rule(told: Sequence[tuple[Sequence[str], Sequence[float]]]) -> dict[str, float]:
    """The mean over the models that can tell a rule."""
    found: dict[str, list[float]] = defaultdict(list)
    for rules, values in told:
        for rule, value in zip(rules, values, strict=True):
            found[rule].append(value)
    return {rule: _mean(values) for rule, values in found.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
