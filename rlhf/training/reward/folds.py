"""Divides judgements into folds by prompt group and by person: a model judges what is new to it, by people new to it.

The model of a fold (p, a) learns from the prompt groups outside of p and the people outside of a (cross-fitting:
Chernozhukov et al., arXiv:1608.00060, section 3; the people are a second way of dividing). It then judges what those
of a said about the prompts of p.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MORE_FOLDS_BELOW = ((200, 4), (1000, 3))
"""(prompt groups, folds): of little data each model keeps three quarters; of much, half is enough and quicker."""
LEAST_FOLDS = 2


class Fold(NamedTuple):
    prompts: int
    people: int

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"fold-{self.prompts}-{self.people}"


@dataclass(frozen=True)
class Folds:
    groups: Mapping[str, int]
    """Prompt group -> the fold that it belongs to."""
    people: Mapping[str, int]
    prompt_folds: int
    annotator_folds: int
    """1 where one person ranked everything: then no model is of other people than that one."""

    @classmethod
    def divide(
        cls,
        ranked: Iterable[tuple[str, str]],
        flagged: Iterable[tuple[str, str]] = (),
        *,
        prompt_folds: int = 0,
        annotator_folds: int = 2,
    ) -> "Folds":
        """(group, person) of each ranking and of each rule label. `prompt_folds` 0: by how many groups there are.

        Rankings are divided first, so that no fold learns from labels alone while there are rankings for it.
        """
        rankings, labels = list(ranked), list(flagged)
        first, rest = (rankings, labels) if rankings else (labels, [])
        groups, other_groups = Counter(group for group, _ in first), Counter(group for group, _ in rest)
        people, other_people = Counter(person for _, person in first), Counter(person for _, person in rest)
        of_prompts = max(1, min(prompt_folds or _folds_for(len(groups)), len(groups)))
        of_people = max(1, min(annotator_folds, len(people)))
        return cls(
            _balanced(groups, other_groups, of_prompts),
            _balanced(people, other_people, of_people),
            of_prompts,
            of_people,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Folds":
        return cls(values["groups"], values["people"], values["prompt_folds"], values["annotator_folds"])

    def as_json(self) -> dict[str, Any]:
        return {
            "groups": dict(self.groups),
            "people": dict(self.people),
            "prompt_folds": self.prompt_folds,
            "annotator_folds": self.annotator_folds,
        }

    @property
    def cells(self) -> list[Fold]:
        return [Fold(p, a) for p in range(self.prompt_folds) for a in range(self.annotator_folds)]

    def prompt_fold(self, group: str) -> int:
        """Of a group without judgements, which no model saw, any one, and always the same."""
        known = self.groups.get(group)
        return (
            known
            if known is not None
            else int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % self.prompt_folds
        )

    def learns(self, fold: Fold, group: str, person: str) -> bool:
        """Whether the model of the fold learns from what this person said about a prompt of this group."""
        knows_nobody = self.annotator_folds == 1 or self.people[person] != fold.people
        return self.groups[group] != fold.prompts and knows_nobody

    def judges(self, fold: Fold, group: str, person: str) -> bool:
        return self.groups[group] == fold.prompts and self.people[person] == fold.people


def _folds_for(groups: int) -> int:
    return next((folds for below, folds in MORE_FOLDS_BELOW if groups < below), LEAST_FOLDS)


def _balanced(counts: Mapping[str, int], others: Mapping[str, int], folds: int) -> dict[str, int]:
    """Each in the fold that has least so far, the largest first; those that only `others` counts, after them."""
    found: dict[str, int] = {}
    for part in (counts, {name: count for name, count in others.items() if name not in counts}):
        load = [0] * folds
        for name in sorted(part, key=lambda name: (-part[name], name)):
            found[name] = load.index(min(load))
            load[found[name]] += part[name]
    return found
