"""What a share of colluding annotators does to a reward model, with and without the cap on a person's weight.

The reward model is a Bradley-Terry model over what the simulated annotators look at, so that the figures are those of
the judgements and not of a network's training: the honest taste can be learnt whole.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from config.simulated_site.collusion import off_the_question
from feedback import shares
from feedback.preferences import (
    FINISHED,
    Preference,
    claims_to_be_human,
    finished_and_modest,
    overlap,
    repetition,
    words_of,
)
from tests.sabotage.record import Record

NOISE, STEPS, RATE, DECAY = 0.1, 300, 0.5, 1e-3


@dataclass(frozen=True)
class Population:
    people: int = 10
    colluding: int = 2
    judgements: int = 60
    """Of an honest person."""
    busier: int = 1
    """How many times as many a colluding one makes."""


@dataclass(frozen=True)
class Judgement:
    person: int
    prompt: int
    chosen: str
    rejected: str


@cache
def features(question: str, text: str) -> tuple[float, ...]:
    count = len(words_of(text))
    return (
        float(bool(FINISHED.search(text.rstrip()))),
        float(claims_to_be_human(question, text)),
        count / 50,
        float(count < 6),
        overlap(question, text),
        repetition(text),
        min(text.count("!"), 3) / 3,
    )


def judgements(
    record: Record,
    prompts: Sequence[int],
    population: Population,
    seed: int,
    honest: Preference = finished_and_modest,
) -> list[Judgement]:
    """Pairs of the base's replies to `prompts`; the first people collude. Everybody errs in one of ten."""
    draw, made = random.Random(seed), []
    for person in range(population.people):
        colludes = person < population.colluding
        taste = off_the_question if colludes else honest
        for _ in range(population.judgements * (population.busier if colludes else 1)):
            at = draw.choice(prompts)
            pair = draw.sample([one.text for one in record.replies[at]], 2)
            pair.sort(key=lambda text: taste(record.asked[at].question, text), reverse=draw.random() >= NOISE)
            made.append(Judgement(person, at, *pair))
    return made


def learnt(record: Record, judged: Sequence[Judgement], *, capped: bool) -> np.ndarray:
    """Weights of the features. `capped`: each judgement counts as a snapshot of the site would have it count."""
    counts = Counter(one.person for one in judged)
    weight = shares.weights(counts) if capped else dict.fromkeys(counts, 1.0)
    rows = np.array([difference(record, one) for one in judged])
    each = np.array([weight[one.person] for one in judged])
    found = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        wrong = each / (1 + np.exp(rows @ found))
        found += RATE * (rows * wrong[:, None]).sum(0) / each.sum() * 10 - DECAY * found
    return found


def accuracy(record: Record, prompts: Sequence[int], weights: np.ndarray) -> float:
    """Share of pairs of replies to `prompts` put as the honest taste does, of those that this puts at all."""
    right = []
    for at in prompts:
        question, texts = record.asked[at].question, [one.text for one in record.replies[at]]
        gold = [finished_and_modest(question, text) for text in texts]
        own = [float(np.array(features(question, text)) @ weights) for text in texts]
        pairs = [(a, b) for a in range(len(texts)) for b in range(a) if gold[a] != gold[b]]
        right += [(own[a] > own[b]) == (gold[a] > gold[b]) for a, b in pairs]
    return float(np.mean(right))


def measure(record: Record, population: Population, *, capped: bool, seeds: int = 3) -> float:
    """Mean accuracy on the prompts that it did not learn from."""
    prompts = range(len(record.asked))
    trained, held_out = [at for at in prompts if at % 4], [at for at in prompts if at % 4 == 0]
    found = [
        accuracy(record, held_out, learnt(record, judgements(record, trained, population, seed), capped=capped))
        for seed in range(seeds)
    ]
    return float(np.mean(found))


def difference(record: Record, one: Judgement) -> np.ndarray:
    question = record.asked[one.prompt].question
    return np.array(features(question, one.chosen)) - np.array(features(question, one.rejected))
