"""Replies of an evaluation report that a person may read: those to seed prompts and to their own prompts."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q

from accounts.models import User
from accounts.roles import Role
from feedback.models import Prompt
from feedback.rules import HARMFUL_GROUPS

EXAMPLES = 2
Sample = Mapping[str, Any]


def readable(report: Mapping[str, Any], reader: User) -> list[Sample]:
    """All for a moderator. For others those whose whole prompt is one of the site's seed prompts, or was made from a
    conversation of theirs. A sample stored without its prompt's hash is nobody's."""
    if reader.has_role(Role.MODERATOR):
        return every(report)
    own = Q(source=Prompt.Source.CONVERSATION, message__conversation__owner=reader)
    return _with_prompt_in(every(report), Q(source=Prompt.Source.SEED) | own)


def every(report: Mapping[str, Any]) -> list[Sample]:
    """The worst first, with `why` each is among them, then those drawn at random."""
    worst = _rows_of(report, "worst")
    listed = {row.get("prompt_sha256") for row in worst}
    return [*worst, *(row for row in _rows_of(report, "samples") if row.get("prompt_sha256") not in listed)]


def of_the_site(report: Mapping[str, Any]) -> list[Sample]:
    """What anybody may read, in the same order."""
    return _with_prompt_in(every(report), Q(source=Prompt.Source.SEED))


def examples(report: Mapping[str, Any]) -> list[Sample]:
    """The first two to seed prompts whose replies differ, without prompts that tempt a model to do harm.

    The order of samples is drawn at random by the evaluation, so nobody chose them for how well they look.
    """
    harmless = Q(elicits=None) | ~Q(elicits__group__in=HARMFUL_GROUPS)
    found = _with_prompt_in(_rows_of(report, "samples"), Q(source=Prompt.Source.SEED) & harmless)
    return [sample for sample in found if sample.get("before") != sample.get("after")][:EXAMPLES]


def _rows_of(report: Mapping[str, Any], name: str) -> list[Sample]:
    rows = report.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _with_prompt_in(samples: list[Sample], prompts: Q) -> list[Sample]:
    hashes = [sample["prompt_sha256"] for sample in samples if sample.get("prompt_sha256")]
    known = set(Prompt.objects.filter(prompts, sha256__in=hashes).values_list("sha256", flat=True))
    return [sample for sample in samples if sample.get("prompt_sha256") in known]
