"""Rows of feedback, made in bulk and without a policy that speaks."""

from django.contrib.auth.models import Group

from accounts.models import User
from accounts.roles import Role
from chat.models import Policy
from feedback.models import Completion, Prompt, Ranking, RankingTask, Rule, RuleVersion, Violation
from feedback.prompts import digest

TEXTS = ("A rainbow is light.", "I feel rainbows in my heart.", "It is", "Rain and sun make it.")


def any_policy() -> Policy:
    return Policy.objects.order_by("version").first() or Policy.objects.create(
        name="scripted", version=1, is_scripted=True
    )


def annotator(name: str, **fields) -> User:
    person, is_new = User.objects.get_or_create(username=name, defaults=fields)
    if is_new:
        person.groups.add(Group.objects.get_or_create(name=Role.ANNOTATOR.value)[0])
    return person


ASKS = {"train": "What is a rainbow, number {}?", "held_out": "Who has painted the picture of bird {}?"}
"""Those of one side are near-duplicates, those of two are not."""


def prompt(number: int, split: str = "train") -> Prompt:
    messages = [{"role": "user", "content": ASKS[split].format(number)}]
    fields = {"messages": messages, "split": split}
    return Prompt.objects.get_or_create(sha256=digest(messages), defaults=fields)[0]


def rank(person: User, number: int, split: str = "train", ranks=(1, 3, 3, 2), **fields) -> Ranking:
    task = RankingTask.objects.create(prompt=prompt(number, split), policy=any_policy(), state="done")
    completions = [
        Completion.objects.create(task=task, index=index, text=text, finish_reason="stop")
        for index, text in enumerate(TEXTS[: len(ranks)])
    ]
    order = {str(completion.pk): place for completion, place in zip(completions, ranks, strict=True)}
    return Ranking.objects.create(
        task=task, annotator=person, ranks=order, is_simulated=person.is_simulated, **fields
    )


def rule(key: str = "human", is_on: bool = True) -> RuleVersion:
    row, _ = Rule.objects.get_or_create(key=key, defaults={"group": "test", "is_on": is_on})
    texts = {"name_en": key, "name_ko": key, "text_en": f"No {key}.", "text_ko": f"No {key}."}
    return RuleVersion.objects.get_or_create(rule=row, number=1, defaults=texts)[0]


def flag(ranking: Ranking, index: int = 1, is_violation: bool = True, key: str = "human") -> Violation:
    completion = ranking.task.completions.get(index=index)
    return Violation.objects.create(
        rule_version=rule(key),
        completion=completion,
        ranking=ranking,
        annotator=ranking.annotator,
        is_violation=is_violation,
        is_simulated=ranking.is_simulated,
    )


def plenty(person: User, train: int = 20, held_out: int = 4) -> list[Ranking]:
    sides = ["train"] * train + ["held_out"] * held_out
    return [rank(person, number, side) for number, side in enumerate(sides)]
