"""A snapshot with every prompt within a number of tokens, cut by the rule by which prompts are served."""

from dataclasses import dataclass, replace

from base.trimming import DoesNotFit, trim
from rlhf.training.data import Prompt, Ranking, Snapshot, freeze, thaw
from rlhf.training.tokens import ChatTokenizer


@dataclass(frozen=True)
class Fitted:
    snapshot: Snapshot
    shortened: int
    """Distinct prompts that lost turns."""
    left_out: int
    """Distinct prompts of which even what must stay is too long; what answers them is left out, too."""

    @property
    def counts(self) -> dict[str, int]:
        return {"prompts_shortened": self.shortened, "prompts_left_out": self.left_out}


def fit_prompts(snapshot: Snapshot, tokenizer: ChatTokenizer, max_prompt_tokens: int) -> Fitted:
    """For the stages: done once, so that a policy and all who judge its replies read the same prompts."""
    found = {prompt: _fitted(prompt, tokenizer, max_prompt_tokens) for prompt in _prompts_of(snapshot)}
    kept = {prompt: fitted for prompt, fitted in found.items() if fitted is not None}
    fitted = replace(
        snapshot,
        rankings=tuple(_ranking(one, kept) for one in snapshot.rankings if one.replies[0].prompt in kept),
        judgements=tuple(
            replace(one, reply=replace(one.reply, prompt=kept[one.reply.prompt]))
            for one in snapshot.judgements
            if one.reply.prompt in kept
        ),
        prompts=tuple(replace(row, prompt=kept[row.prompt]) for row in snapshot.prompts if row.prompt in kept),
    )
    shortened = sum(prompt != short for prompt, short in kept.items())
    return Fitted(fitted, shortened, left_out=len(found) - len(kept))


def _prompts_of(snapshot: Snapshot) -> dict[Prompt, None]:
    ranked = (ranking.replies[0].prompt for ranking in snapshot.rankings)
    judged = (judgement.reply.prompt for judgement in snapshot.judgements)
    return dict.fromkeys([*ranked, *judged, *(row.prompt for row in snapshot.prompts)])


def _fitted(prompt: Prompt, tokenizer: ChatTokenizer, max_prompt_tokens: int) -> Prompt | None:
    try:
        return freeze(trim(thaw(prompt), tokenizer.prompt_ids, len, room=max_prompt_tokens).turns)
    except DoesNotFit:
        return None


def _ranking(ranking: Ranking, kept: dict[Prompt, Prompt]) -> Ranking:
    """All replies of a ranking answer one prompt."""
    return replace(ranking, replies=tuple(replace(one, prompt=kept[one.prompt]) for one in ranking.replies))
