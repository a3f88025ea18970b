"""Where a judgement of a snapshot comes from: who wrote the replies, who judged, under what guidelines, how long."""

from typing import Any

from accounts.models import User
from chat.models import Message
from feedback.imports.writing import POLICY
from feedback.judgements.asked import probe_of
from feedback.models import (
    Comparison,
    Completion,
    CompletionThumb,
    Project,
    Prompt,
    Ranking,
    RankingTask,
    TaskAnswer,
    Thumb,
    Violation,
)
from feedback.prompts import language_of
from feedback.pseudonyms import own_pseudonym

Columns = dict[str, Any]
PROBER, JUDGE = "prober", "judge"

TASK = ("policy", "project", "prompt__message", "blind_pair__round__candidate", "blind_pair__round__baseline")
"""What is read of a task, beside its completions."""
JUDGED = ("annotator__imported", "imported")
"""What is read of a judgement."""


def pseudonym(person: User) -> str:
    """Distinguishes annotators without naming them; of those who judged elsewhere, their pseudonym there."""
    if person.is_imported:
        return person.imported.key
    return own_pseudonym(person.pk)


def policies(task: RankingTask, completions: list[Completion]) -> list[str]:
    """The name of who wrote each completion."""
    pair = getattr(task, "blind_pair", None)
    if pair is not None:
        sides = (pair.round.baseline.name, pair.round.candidate.name)
        return [sides[one.pk == pair.candidate_id] for one in completions]
    own = task.policy.name if task.policy is not None else ""
    return [str(one.parameters.get(POLICY, own)) for one in completions]


def of_ranking(row: Ranking | TaskAnswer) -> Columns:
    return {
        "project": row.task.project.key,
        **_of_prompt(row.task.prompt),
        **_of_judgement(row),
        "seconds": row.seconds,
        "guidelines_version": row.guidelines_version,
    }


def of_comparison(row: Comparison, asked: str) -> Columns:
    """`asked`: the last turn of the user."""
    sides = (row.pair.left, row.pair.right)
    return {
        "project": Project.SITE,
        **_of_chat(asked),
        "policies": [side.policy.name if side.policy is not None else "" for side in sides],
        "seconds": row.seconds,
        "guidelines_version": 0,
        "imported_from": "",
    }


def of_flag(row: Violation, asked: str) -> Columns:
    """`asked`: the last turn of the user."""
    if row.completion is None:
        return {"project": Project.SITE, **_of_chat(asked), "policy": _policy_of(row.message), **_of_judgement(row)}
    task = row.completion.task
    (policy,) = policies(task, [row.completion])
    told = {"project": task.project.key, **_of_prompt(task.prompt), "policy": policy, **_of_judgement(row)}
    return told | _of_probe(row, task)


def _of_probe(row: Violation, task: RankingTask) -> Columns:
    """Of a flag on a probe's reply: whether whoever probed says so, or whoever judged it without being told."""
    probe = probe_of(task)
    if probe is None:
        return {}
    return {"probe": PROBER if row.annotator_id == probe.prober_id else JUDGE}


def of_thumb(row: Thumb, asked: str) -> Columns:
    return {
        "project": Project.SITE,
        **_of_chat(asked),
        "policy": _policy_of(row.message),
        "guidelines_version": 0,
        "reasons": row.reasons,
        "annotator": pseudonym(row.person),
        "simulated": row.person.is_simulated,
        "imported_from": "",
    }


def of_completion_thumb(row: CompletionThumb) -> Columns:
    task = row.completion.task
    (policy,) = policies(task, [row.completion])
    return {
        "project": task.project.key,
        **_of_prompt(task.prompt),
        "policy": policy,
        "reasons": [],
        "annotator": pseudonym(row.annotator),
        "simulated": row.is_simulated,
        **_of_judgement(row),
    }


def _policy_of(message: Message | None) -> str:
    reply = message.reply_or_none if message is not None else None
    return reply.policy.name if reply is not None and reply.policy is not None else ""


def _of_prompt(prompt: Prompt) -> Columns:
    return {"language": prompt.language, "consent": CONSENT[prompt.source]}


def _of_chat(asked: str) -> Columns:
    return {"language": language_of(asked), "consent": "given"}


CONSENT: dict[str, str] = {
    Prompt.Source.SEED: "not_needed",
    Prompt.Source.CONVERSATION: "given",
    Prompt.Source.IMPORTED: "imported",
    Prompt.Source.PROJECT: "project",
}
"""By what the prompt may train: it is nobody's, its writer agreed, it came with the licence of an imported file, or
whoever made a project brought it for that."""


def _of_judgement(row: Ranking | TaskAnswer | Violation | CompletionThumb) -> Columns:
    made = (row.ranking or row.answer) if isinstance(row, Violation) else None
    guidelines = made.guidelines_version if made is not None else 0
    return {
        "guidelines_version": guidelines,
        "imported_from": row.imported.format if row.imported is not None else "",
    }
