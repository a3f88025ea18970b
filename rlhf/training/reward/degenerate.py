"""Made-up replies that nobody wants, each as worse than the worst reply of a ranking.

Annotators are shown replies of the base, which hardly ever writes an empty reply, one word or a row of emoji. Of
those a reward model that learnt from rankings alone knows nothing, and a taste for short replies extrapolates: a
policy tuned on one wrote 7 % of them. Gao et al., arXiv:2210.10760, describe such over-optimisation; the pairs here
bound it where nobody measured. They are no judgements: they weigh little, count nowhere as people's, and a kind that
people did rank is theirs to decide.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import comb

from rlhf.training.reward.examples import Examples, Group
from rlhf.training.reward.features import encode
from rlhf.training.snapshot.files import PromptMessages, RankingRow, last_user_text, thaw
from rlhf.training.texts import first_sentence, has_sentence, repetition, words
from rlhf.training.tokens import ChatTokenizer

SEEN_ENOUGH = 5
"""Rankings with a reply of a kind from which on people's word about it holds for all prompts, not only for theirs."""
EMOJI = "👍😀🎉"
REPEATED = 4


@dataclass(frozen=True)
class Kind:
    """How a reply of it is made from (prompt, a reply to it, a reply to another prompt), and known again."""

    make: Callable[[str, str, str], str]
    matches: Callable[[str, str], bool]
    """Of (prompt, reply)."""


KINDS: dict[str, Kind] = {
    "empty": Kind(lambda prompt, text, other: "", lambda prompt, text: not text.strip()),
    "one_word": Kind(
        lambda prompt, text, other: " ".join(text.split()[:1]), lambda prompt, text: len(words(text)) == 1
    ),
    "fragment": Kind(
        lambda prompt, text, other: " ".join(text.split()[:2]),
        lambda prompt, text: len(words(text)) > 1 and not has_sentence(text),
    ),
    "emoji": Kind(lambda prompt, text, other: EMOJI, lambda prompt, text: bool(text.strip()) and not words(text)),
    "echo": Kind(lambda prompt, text, other: prompt, lambda prompt, text: words(prompt) == words(text)),
    "repeated": Kind(
        lambda prompt, text, other: " ".join([first_sentence(text).strip()] * REPEATED),
        lambda prompt, text: repetition(text) >= 0.5,
    ),
    "other_prompt": Kind(lambda prompt, text, other: other, lambda prompt, text: False),
}


@dataclass(frozen=True)
class Grown:
    """Examples with made-up replies behind their own."""

    examples: Examples
    pairs: Counter[str]
    """How many of each kind."""
    left_to_people: list[str]
    """Kinds that people ranked often enough."""

    @property
    def facts(self) -> dict[str, object]:
        """For a run's result and a model card."""
        return {
            "made_up_pairs": self.pairs.total(),
            "made_up_by_kind": dict(sorted(self.pairs.items())),
            "made_up_left_to_people": self.left_to_people,
        }


def grow(
    data: Examples,
    rankings: Sequence[RankingRow],
    tokenizer: ChatTokenizer,
    *,
    each: int,
    weight: float,
    max_completion_tokens: int,
) -> Grown:
    """`each` made-up replies a ranking, the kinds in turn, that together weigh `weight` times the ranking.

    The groups of `rankings` are the first of `data`, in this order, as `examples` made them.
    """
    seen = [_kinds_of(ranking) for ranking in rankings]
    counts = Counter(kind for kinds in seen for kind in kinds)
    free = [kind for kind in KINDS if counts[kind] < SEEN_ENOUGH]
    left = [kind for kind in KINDS if kind not in free]
    rows, prompts, groups, made = list(data.rows), list(data.prompts), list(data.groups), Counter[str]()
    for at, ranking in enumerate(rankings):
        if not groups[at].pairs or not free or each < 1 or weight <= 0:
            continue
        other = _other_reply(rankings, at)
        turn = [free[(at * each + step) % len(free)] for step in range(min(each, len(free)))]
        texts = {kind: _text(kind, ranking, other) for kind in turn if kind not in seen[at]}
        known = {reply.text for reply in ranking.replies}
        wanted = {kind: text for kind, text in texts.items() if text not in known and text is not None}
        start = len(rows)
        for text in wanted.values():
            prompt = ranking.replies[0].prompt
            rows.append(
                encode(tokenizer, thaw(prompt), text, finished=True, max_completion_tokens=max_completion_tokens)
            )
            prompts.append(prompt)
        groups[at] = _with_worse(groups[at], ranking, range(start, len(rows)), weight)
        made.update(wanted.keys())
    return Grown(replace(data, rows=rows, prompts=prompts, groups=groups), made, left)


def _with_worse(group: Group, ranking: RankingRow, added: range, weight: float) -> Group:
    """The replies `added` as worse than the worst that people ranked."""
    worst = max(range(len(ranking.ranks)), key=lambda position: ranking.ranks[position])
    first = len(group.items)
    pairs = [(worst, first + index) for index in range(len(added))]
    of_ranking = group.pair_weight * comb(len(ranking.ranks), 2)
    return replace(
        group,
        items=[*group.items, *added],
        made_up_pairs=pairs,
        made_up_weight=weight * of_ranking / max(len(added), 1),
    )


def _kinds_of(ranking: RankingRow) -> set[str]:
    return {kind for reply in ranking.replies for kind in _matching(reply.prompt, reply.text)}


def _matching(prompt: PromptMessages, text: str) -> list[str]:
    asked = last_user_text(prompt)
    return [name for name, kind in KINDS.items() if kind.matches(asked, text)]


def _other_reply(rankings: Sequence[RankingRow], at: int) -> str | None:
    """A sentence in reply to the next prompt that is another."""
    own = rankings[at].replies[0].prompt
    following = (rankings[(at + step) % len(rankings)] for step in range(1, len(rankings)))
    replies = (one.replies[0] for one in following)
    return next((reply.text for reply in replies if reply.prompt != own and has_sentence(reply.text)), None)


def _text(kind: str, ranking: RankingRow, other: str | None) -> str | None:
    """None where the kind cannot be made, or what was made of the replies at hand is not of it."""
    asked = last_user_text(ranking.replies[0].prompt)
    best = min(zip(ranking.ranks, ranking.replies, strict=True), key=lambda one: one[0])[1].text
    if kind == "other_prompt":
        return other
    text = KINDS[kind].make(asked, best, "")
    return text if KINDS[kind].matches(asked, text) else None
