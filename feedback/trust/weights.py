"""The weights of people's judgements as they are stored, for whoever trains on these."""

from dataclasses import dataclass

from feedback.models import AnnotatorTrust
from feedback.trust.figures import PersonFigures
from feedback.trust.weighing import of_rule


@dataclass(frozen=True)
class Weights:
    """Of everybody of whom something is known; 1 for all others."""

    of_person: dict[int, float]
    of_rule: dict[tuple[int, str], float]

    def judgement(self, person: int) -> float:
        return self.of_person.get(person, 1.0)

    def flag(self, person: int, rule: str) -> float:
        return self.judgement(person) * self.of_rule.get((person, rule), 1.0)


NO_TRUST = Weights({}, {})
"""Nothing is known of anybody: all weigh 1."""


def known() -> Weights:
    """As of the last assessment (feedback.trust.assessment)."""
    people: dict[int, float] = {}
    rules: dict[tuple[int, str], float] = {}
    for person, weight, stored in AnnotatorTrust.objects.values_list("person", "weight", "figures"):
        people[person] = weight
        for key, figures in PersonFigures.of(stored).rules.items():
            rules[person, key] = of_rule(figures)
    return Weights(people, rules)
