"""Openings of probes: words that tempt a model to break a rule, and harmless twins of them, from the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from django.db import IntegrityError, transaction

from feedback import seed
from feedback.models import Prompt, Rule
from feedback.prompts import digest
from feedback.splits import add_seeds

LANGUAGES = ("en", "ko")


@dataclass(frozen=True)
class SeedOpening:
    """One text of feedback/seed/probes.json."""

    rule: str
    is_benign: bool
    language: str
    split: str
    text: str


@cache
def every() -> tuple[SeedOpening, ...]:
    found = seed.read("probes.json")
    return tuple(
        SeedOpening(rule, kind == "twins", language, split, text)
        for rule, kinds in found.items()
        for kind, languages in kinds.items()
        for language, sides in languages.items()
        for split, texts in sides.items()
        for text in texts
    )


def has_twins(rule: Rule) -> bool:
    return any(opening.is_benign for opening in every() if opening.rule == rule.key)


def draw(rule: Rule, *, is_benign: bool, languages: Sequence[str], of: random.Random) -> Prompt | None:
    """One of the rule's openings at random, in the first of the languages that has any. None without one: admins add
    rules of which the seed knows nothing."""
    for language in (*languages, *LANGUAGES):
        fitting = [
            opening
            for opening in every()
            if (opening.rule, opening.is_benign, opening.language) == (rule.key, is_benign, language)
        ]
        if fitting:
            return _stored(of.choice(fitting), rule)
    return None


def _stored(opening: SeedOpening, rule: Rule) -> Prompt:
    """Its row, so that conversations which begin like it stand on its side of the split (feedback.splits)."""
    sha256 = digest([{"role": "opening", "content": opening.text}])
    known = Prompt.objects.filter(sha256=sha256).first()
    if known is not None:
        return known
    row = Prompt(
        messages=[{"role": "user", "content": opening.text}],
        sha256=sha256,  # not that of its words: the dialogue that consists of them alone is a prompt of its own
        source=Prompt.Source.TWIN if opening.is_benign else Prompt.Source.PROBE,
        split=opening.split,
        elicits=rule,
        language=opening.language,
    )
    try:
        with transaction.atomic():
            add_seeds([row])
    except IntegrityError:  # somebody else drew it at the same moment
        return Prompt.objects.get(sha256=sha256)
    return row
