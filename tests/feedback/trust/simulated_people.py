"""Annotators of known quality who judge overlapping tasks, as arrays of answers and as rows."""

from dataclasses import dataclass

import numpy as np

from accounts.roles import Role
from feedback.models import Completion, Ranking, RankingTask
from tests.people import make_person
from tests.rlhf import feedback_rows

HONEST, ATTACKERS, LABELS = 20, 4, 60
RIGHT = 0.85


@dataclass(frozen=True)
class World:
    """`item`, `person`, `answer`: (answers,); the last people are the attackers."""

    item: np.ndarray
    person: np.ndarray
    answer: np.ndarray
    truth: np.ndarray


def overlapping(rng, people, overlap, labels=LABELS):
    """Which person judges which item: each person about `labels` items, each item `overlap` people."""
    item, person, load = [], [], np.zeros(people)
    for number in range(people * labels // overlap):
        chosen = np.argsort(load + rng.random(people))[:overlap]
        load[chosen] += 1
        item += [number] * overlap
        person += list(chosen)
    return np.array(item), np.array(person)


def world(seed, attack, overlap=5, honest=HONEST, attackers=ATTACKERS):
    """`attack`: (rng, truth, item) -> answers of the attackers to these items."""
    rng = np.random.default_rng(seed)
    item, person = overlapping(rng, honest + attackers, overlap)
    truth = rng.random(item.max() + 1) < 0.5
    answer = np.where(rng.random(len(item)) < RIGHT, truth[item], ~truth[item])
    bad = person >= honest
    answer[bad] = attack(rng, truth, item[bad])
    return World(item, person, answer, truth)


def random_answers(rng, truth, items):
    return rng.random(len(items)) < 0.5


def one_script(right):
    """All attackers give the same answers, of which so many are right."""

    def attack(rng, truth, items):
        script = np.where(rng.random(len(truth)) < right, truth, ~truth)
        return script[items]

    return attack


def store(of, names, seconds=30.0, project=None):
    """The answers as rankings of two replies, the sides drawn for each person. Returns the people."""
    rng = np.random.default_rng(1)
    people = [make_person(name, Role.ANNOTATOR) for name in names]
    policy = feedback_rows.any_policy()
    tasks = RankingTask.objects.bulk_create(
        RankingTask(prompt=feedback_rows.prompt(number), policy=policy, state="done", overlap=5)
        for number in range(of.item.max() + 1)
    )
    replies = Completion.objects.bulk_create(
        Completion(task=task, index=index, text=f"Reply {index} {'x' * (7 * index)}", finish_reason="stop")
        for task in tasks
        for index in (0, 1)
    )
    rows = []
    for item, person, first_is_better in zip(of.item, of.person, of.answer, strict=True):
        pair = [replies[2 * item].pk, replies[2 * item + 1].pk]
        order = pair if rng.random() < 0.5 else pair[::-1]
        ranks = {str(pair[0]): 1 if first_is_better else 2, str(pair[1]): 2 if first_is_better else 1}
        rows.append(
            Ranking(task=tasks[item], annotator=people[person], ranks=ranks, shown_order=order, seconds=seconds)
        )
    Ranking.objects.bulk_create(rows)
    return people
