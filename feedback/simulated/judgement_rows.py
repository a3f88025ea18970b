"""What a simulated annotator says of a task's completions, as rows that are not saved yet."""

import random
from collections.abc import Iterator, Mapping, Sequence

from accounts.models import User
from feedback.models import Ranking, RankingTask, RuleVersion, Violation
from feedback.simulated.cases import Case


def ranking_of(
    task: RankingTask, case: Case, completions: Sequence[int], annotator: User, rng: random.Random
) -> Ranking:
    """`completions`: ids in the order of their index."""
    return Ranking(
        task=task,
        annotator=annotator,
        ranks={str(pk): rank for pk, rank in zip(completions, case.ranks, strict=True)},
        shown_order=rng.sample(completions, len(completions)),
        is_simulated=True,
    )


def flags_of(
    ranking: Ranking, case: Case, completions: Sequence[int], versions: Mapping[str, RuleVersion]
) -> Iterator[Violation]:
    """One for each rule and completion, whether it breaks the rule or not."""
    for key, labels in case.flags.items():
        for pk, label in zip(completions, labels, strict=True):
            yield Violation(
                rule_version=versions[key],
                completion_id=pk,
                ranking=ranking,
                annotator=ranking.annotator,
                is_violation=label,
                is_simulated=True,
            )
