"""Samples the base and has it read every saboteur's replies, as an evaluation measures a candidate's."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rlhf.training.evaluation import players
from rlhf.training.evaluation.players import Draw, DriftFromBase, Player, human_text_nll
from rlhf.training.model.logprobs import token_log_probs
from rlhf.training.model.rollout import PAD, Rollout
from rlhf.training.model.scoring import score_completions
from rlhf.training.model.transformer import Transformer
from rlhf.training.snapshot.files import thaw
from rlhf.training.tokens import ChatTokenizer
from tests.sabotage.record import SIDE, Asked, Measured, Record, Written, digest
from tests.sabotage.saboteurs import Saboteur, sentences

ROWS = 16
Prompt = tuple[tuple[str, str], ...]
Place = tuple[Prompt, Prompt, Written]
"""A reply with its prompt, and the other prompt after which it is read for the topic."""


def sampled(base: "Base", model: str, asked: Sequence[Asked]) -> Record:
    """Without what saboteurs make of it. Its own replies have two thirds of the length that the saboteurs' may have,
    and one that was cut is cut back to its last whole sentence, so that there is something to append to."""
    prompts = _prompts(asked)
    return known_of(base, model, asked, base.sample(prompts, 2 * SIDE))


def known_of(base: "Base", model: str, asked: Sequence[Asked], drawn: Sequence[Sequence[Written]]) -> Record:
    prompts, replies = _prompts(asked), [[base.whole(one) for one in of] for of in drawn]
    own, _ = base.read(prompts, [of[0] for of in replies])
    return Record(model, base.max_tokens, base.temperature, list(asked), replies, rows(own), {}, {})


def measure(base: "Base", known: Record, saboteurs: Sequence[Saboteur], tell: Callable[[str], None]) -> None:
    """Adds what is not there yet, and then the figures of the weights, which spoils them."""
    prompts = _prompts(known.asked)
    _, given = base.read(prompts, [of[SIDE] for of in known.replies])
    for saboteur in saboteurs:
        tell(saboteur.name)
        known.measured[saboteur.name] = base.measure(known, saboteur, prompts, given)
    known.figures["forgotten_words_perplexity_ratio"] = base.without_words_of_others(known.replies)


def _prompts(asked: Sequence[Asked]) -> list[Prompt]:
    return [(("user", one.question),) for one in asked]


def rows(drifts: Sequence[DriftFromBase]) -> list[list[float | None]]:
    return [
        [round(one.kl_nats, 3), round(one.surprise_nats, 3), one.tokens, round(one.worst_window_nats, 3),
         None if one.topic_nats is None else round(one.topic_nats, 4)]
        for one in drifts
    ]  # fmt: skip


class Base:
    def __init__(self, policy: Path, max_tokens: int, temperature: float) -> None:
        self.transformer, self.tokenizer = Transformer.load(policy), ChatTokenizer.load(policy)
        self.max_tokens, self.temperature = max_tokens, temperature
        self.known: dict[Place, tuple[DriftFromBase, float]] = {}

    def sample(self, prompts: Sequence[Prompt], draws: int) -> list[list[Written]]:
        player = Player(self.transformer, self.tokenizer, self.temperature, self.max_tokens * 2 // 3, lambda: None)
        found: list[list[Draw]] = []
        for chosen, rollout in player.rollouts(prompts, draws, seed=1):
            found += player.draws_of(chosen, rollout, draws)
        return [[Written(one.reply.text, one.reply.finished, one.tokens) for one in of] for of in found]

    def whole(self, one: Written) -> Written:
        limit = self.max_tokens * 2 // 3
        cut = self.tokenizer.decode(self.ids(one)[:limit])
        kept = one.text if one.finished and one.tokens <= limit else " ".join(sentences(cut)[:-1]) or cut
        return self.written(kept, finished=True)

    def ids(self, one: Written) -> list[int]:
        """At least the end token, as a policy that says nothing writes it."""
        return self.tokenizer.completion_ids(one.text, finished=one.finished, limit=self.max_tokens)

    def written(self, text: str, *, finished: bool) -> Written:
        """As sampled: of no more tokens than the limit, and not finished where it was cut."""
        ids = self.tokenizer.completion_ids(text, finished=finished)
        if len(ids) <= self.max_tokens:
            return Written(text, finished, len(ids))
        return Written(self.tokenizer.decode(ids[: self.max_tokens]), False, self.max_tokens)

    def rollout(self, places: Sequence[Place]) -> Rollout:
        asked = [self.tokenizer.prompt_ids(thaw(prompt)) for prompt, _, _ in places]
        both = [[*ids, *self.ids(one)] for ids, (_, _, one) in zip(asked, places, strict=True)]
        width = max(map(len, both))
        ids = torch.tensor([row + [PAD] * (width - len(row)) for row in both])
        return Rollout(
            ids,
            torch.tensor([len(row) for row in asked]),
            torch.tensor([len(row) for row in both]),
            torch.tensor([one.finished for _, _, one in places]),
            self.transformer.run_trunk(ids),
            torch.arange(len(both)),
            torch.zeros(len(both), 0),
        )

    def read(self, prompts: Sequence[Prompt], replies: Sequence[Written]) -> tuple[list[DriftFromBase], list[float]]:
        """With the topic and KL 0; and log p of whole replies at the sampling temperature. Each is read once."""
        places = list(zip(prompts, [*prompts[1:], prompts[0]], replies, strict=True))
        new = [place for place in dict.fromkeys(places) if place not in self.known]
        for start in range(0, len(new), ROWS):
            self._read(new[start : start + ROWS])
        found = [self.known[place] for place in places]
        return [drift for drift, _ in found], [log_prob for _, log_prob in found]

    @torch.no_grad()
    def _read(self, places: Sequence[Place]) -> None:
        base, rollout = self.transformer, self.rollout(places)
        batch = [torch.arange(len(rollout))]
        theirs = score_completions(base, rollout, None, batch, temperature=self.temperature)
        targets = rollout.ids[rollout.completion_mask()]
        nats = -token_log_probs(theirs.hidden, base.head, targets, temperature=1.0).log_probs
        parts = torch.split(nats, rollout.completion_lengths.tolist())
        plain = [DriftFromBase(0.0, float(part.sum()), len(part), players._worst_window(part)) for part in parts]
        others = [self.tokenizer.prompt_ids(thaw(other)) for _, other, _ in places]
        drifts = players._with_topic(plain, base, rollout, others)
        log_probs = theirs.log_probs.sum(1).tolist()
        self.known |= dict(zip(places, zip(drifts, log_probs, strict=True), strict=True))

    def measure(
        self, known: Record, saboteur: Saboteur, prompts: Sequence[Prompt], given: Sequence[float]
    ) -> Measured:
        """KL is log p(reply | saboteur) - log p(reply | base), where the first is at least the chance of the reply
        that it was made of (`given`): others may have become the same. So it is the least that it can be."""
        texts = known.sabotaged(saboteur)
        written = [
            [
                before if text == before.text else self.written(text, finished=True)
                for text, before in zip(of, known.replies[at][SIDE:], strict=True)
            ]
            for at, of in enumerate(texts)
        ]
        first = [of[0] for of in written]
        drifts, theirs = self.read(prompts, first)
        for at, drift in enumerate(drifts):
            own = given[at]
            if saboteur.own_nats_a_token is not None and first[at].text != known.replies[at][SIDE].text:
                own = -saboteur.own_nats_a_token * drift.tokens
            drifts[at] = replace(drift, kl_nats=own - theirs[at])
        return Measured(digest(texts), written, rows(drifts))

    @torch.no_grad()
    def without_words_of_others(self, replies: Sequence[Sequence[Written]]) -> float:
        """Human text's perplexity, against before, once every token is forgotten that no reply here has: the replies
        to these prompts stay as they are."""
        kept = {one for of in replies for reply in of for one in self.ids(reply)}
        before = human_text_nll(self.transformer, self.tokenizer)
        forgotten = torch.ones(len(self.transformer.embedding), dtype=torch.bool)
        forgotten[list(kept)] = False
        self.transformer.embedding[forgotten] = 0  # the head is the same tensor where they are tied
        return float(torch.exp(torch.tensor(human_text_nll(self.transformer, self.tokenizer) - before)))
