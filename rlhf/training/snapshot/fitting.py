"""Trims every prompt of a snapshot to a number of tokens, by the rule that also trims served prompts."""

from dataclasses import dataclass, replace

from base.trimming import DoesNotFit, trim
from rlhf.training.snapshot.files import PromptMessages, RankingRow, SnapshotFiles, freeze, thaw
from rlhf.training.tokens import ChatTokenizer


@dataclass(frozen=True)
class FittedSnapshot:
    snapshot: SnapshotFiles
    shortened: int
    """Distinct prompts that lost turns."""
    left_out: int
    """Distinct prompts that cannot be cut to fit; their replies are left out, too."""

    @property
    def counts(self) -> dict[str, int]:
        return {"prompts_shortened": self.shortened, "prompts_left_out": self.left_out}


def fit_prompts(snapshot: SnapshotFiles, tokenizer: ChatTokenizer, max_prompt_tokens: int) -> FittedSnapshot:
    """Done once in each stage, so that a policy and all judges of its replies get the same prompts."""
    found = {prompt: _fitted(prompt, tokenizer, max_prompt_tokens) for prompt in _prompts_of(snapshot)}
    fitting = {prompt: fitted for prompt, fitted in found.items() if fitted is not None}
    snapshot = replace(
        snapshot,
        rankings=tuple(_ranking(one, fitting) for one in snapshot.rankings if one.replies[0].prompt in fitting),
        violations=tuple(
            replace(one, reply=replace(one.reply, prompt=fitting[one.reply.prompt]))
            for one in snapshot.violations
            if one.reply.prompt in fitting
        ),
        thumbs=tuple(
            replace(one, reply=replace(one.reply, prompt=fitting[one.reply.prompt]))
            for one in snapshot.thumbs
            if one.reply.prompt in fitting
        ),
        prompts=tuple(replace(row, prompt=fitting[row.prompt]) for row in snapshot.prompts if row.prompt in fitting),
    )
    shortened = sum(prompt != fitted for prompt, fitted in fitting.items())
    return FittedSnapshot(snapshot, shortened, left_out=len(found) - len(fitting))


def _prompts_of(snapshot: SnapshotFiles) -> dict[PromptMessages, None]:
    ranked = (ranking.replies[0].prompt for ranking in snapshot.rankings)
    judged = (violation.reply.prompt for violation in snapshot.violations)
    thumbed = (thumb.reply.prompt for thumb in snapshot.thumbs)
    return dict.fromkeys([*ranked, *judged, *thumbed, *(row.prompt for row in snapshot.prompts)])


def _fitted(prompt: PromptMessages, tokenizer: ChatTokenizer, max_prompt_tokens: int) -> PromptMessages | None:
    try:
        return freeze(trim(thaw(prompt), tokenizer.prompt_ids, len, room=max_prompt_tokens).turns)
    except DoesNotFit:
        return None


def _ranking(ranking: RankingRow, fitting: dict[PromptMessages, PromptMessages]) -> RankingRow:
    """All replies of a ranking answer one prompt."""
    return replace(ranking, replies=tuple(replace(one, prompt=fitting[one.prompt]) for one in ranking.replies))
