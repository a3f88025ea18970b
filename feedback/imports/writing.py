"""Stores imported judgements: prompts on their side of the split, completions once, each judgement once."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.models import User
from feedback import splits
from feedback.imports import annotators
from feedback.imports.judgements import (
    ImportedDemonstration,
    ImportedFlag,
    ImportedRanking,
    ImportedReply,
    ImportedThumb,
    Judgement,
)
from feedback.imports.reasons import LeftOut, LeftOutReason
from feedback.models import (
    Completion,
    CompletionThumb,
    Import,
    Prompt,
    Ranking,
    RankingTask,
    RuleVersion,
    TaskAnswer,
    Violation,
)
from feedback.prompts import digest, language_of

Numbered = tuple[int, Judgement]
"""(line, what was read from it)"""
POLICY = "policy"
"""Among the parameters of an imported completion: who wrote it, as the source says."""


@dataclass
class Stored:
    rankings: int = 0
    flags: int = 0
    thumbs: int = 0
    demonstrations: int = 0
    left_out: list[LeftOut] = field(default_factory=list)


def store(batch: Sequence[Numbered], source: Import) -> Stored:
    """In the caller's transaction, with as many queries for a batch of any kind."""
    stored = Stored()
    kept = list(_with_known_rules(batch, stored))
    prompts = _prompts([one for _line, one, _version in kept])
    tasks = _tasks([(one, prompts[digest(one.prompt)]) for _line, one, _version in kept], source)
    people = annotators.accounts({one.said.annotator for _line, one, _version in kept}, source.format)
    judged = [
        _Judged(line, one, version, *tasks[_content_key(one)], people[one.said.annotator])
        for line, one, version in kept
    ]
    _store_rankings([one for one in judged if isinstance(one.judgement, ImportedRanking)], source, stored)
    _store_flags([one for one in judged if isinstance(one.judgement, ImportedFlag)], source, stored)
    _store_thumbs([one for one in judged if isinstance(one.judgement, ImportedThumb)], source, stored)
    _store_demonstrations([one for one in judged if isinstance(one.judgement, ImportedDemonstration)], source, stored)
    _decide([one for one in judged if one.judgement.said.is_adjudication])
    return stored


@dataclass(frozen=True)
class _Judged:
    line: int
    judgement: Judgement
    version: RuleVersion | None
    task: RankingTask
    completions: list[int]
    person: User


def _with_known_rules(
    batch: Sequence[Numbered], stored: Stored
) -> Iterable[tuple[int, Judgement, RuleVersion | None]]:
    """Without the flags of rules that this site does not have, or has never worded so."""
    versions = _versions({one.rule for _line, one in batch if isinstance(one, ImportedFlag)})
    for line, one in batch:
        if not isinstance(one, ImportedFlag):
            yield line, one, None
            continue
        of_rule = versions.get(one.rule, [])
        worded = [version for version in of_rule if one.rule_text in ("", version.text_en, version.text_ko)]
        if worded:
            yield line, one, worded[0]
        else:
            reason = LeftOutReason.OTHER_WORDING if of_rule else LeftOutReason.UNKNOWN_RULE
            stored.left_out.append(LeftOut(line, reason, one.rule))


def _versions(keys: set[str]) -> dict[str, list[RuleVersion]]:
    """Of each rule, the newest first."""
    found: dict[str, list[RuleVersion]] = {}
    rows = RuleVersion.objects.filter(rule__key__in=keys).select_related("rule").order_by("-number")
    for version in rows if keys else ():
        found.setdefault(version.rule.key, []).append(version)
    return found


def _prompts(judgements: Iterable[Judgement]) -> dict[str, Prompt]:
    """By digest. One that this site has already stays as it is, on the side where it stands."""
    wanted = {digest(one.prompt): one for one in judgements}
    known = {row.sha256: row for row in Prompt.objects.filter(sha256__in=wanted)}
    new = [_prompt(key, one) for key, one in wanted.items() if key not in known]
    splits.add_imported(new)
    return known | {row.sha256: row for row in new}


def _prompt(key: str, judgement: Judgement) -> Prompt:
    turns = judgement.prompt
    return Prompt(
        messages=turns,
        preamble_turns=int(turns[0]["role"] == "system"),
        sha256=key,
        source=Prompt.Source.IMPORTED,
        split=judgement.said.split,
        language=judgement.said.language or language_of(turns[-1]["content"]),
    )


def _replies(judgement: Judgement) -> list[ImportedReply]:
    if isinstance(judgement, ImportedRanking):
        return judgement.replies
    if isinstance(judgement, ImportedDemonstration):
        return [judgement.original] if judgement.original is not None else []
    return [judgement.reply]


def _content_key(judgement: Judgement) -> str:
    """Equal for judgements of the same completions of the same prompt, in the same order. Of replies to be taught,
    another one for each text: a file may teach several to a prompt."""
    replies = [[one.text, one.policy, one.finish_reason] for one in _replies(judgement)]
    told: list[Any] = [digest(judgement.prompt), replies]
    if isinstance(judgement, ImportedDemonstration):
        told.append(judgement.text)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _tasks(judged: Sequence[tuple[Judgement, Prompt]], source: Import) -> Mapping[str, tuple[RankingTask, list[int]]]:
    """By content, each with the ids of its completions in order."""
    wanted = {_content_key(one): (one, prompt) for one, prompt in judged}
    known = {
        row.content_key: row for row in RankingTask.objects.filter(project=source.project_id, content_key__in=wanted)
    }
    new = {key: one for key, one in wanted.items() if key not in known}
    made = RankingTask.objects.bulk_create(
        RankingTask(
            prompt=prompt,
            project_id=source.project_id,
            state=RankingTask.State.DONE,
            imported=source,
            content_key=key,
        )
        for key, (_one, prompt) in new.items()
    )
    Completion.objects.bulk_create(
        Completion(
            task=task,
            index=index,
            text=reply.text,
            finish_reason=reply.finish_reason,
            parameters={POLICY: reply.policy} if reply.policy else {},
        )
        for task, (one, _prompt) in zip(made, new.values(), strict=True)
        for index, reply in enumerate(_replies(one))
    )
    known |= {row.content_key: row for row in made}
    ids: dict[int, list[int]] = {row.pk: [] for row in known.values()}
    for task, pk in Completion.objects.filter(task__in=ids).order_by("index").values_list("task", "pk"):
        ids[task].append(pk)
    return {key: (row, ids[row.pk]) for key, row in known.items()}


def _new_ones(judged: Sequence[_Judged], there: set[tuple[int, ...]], stored: Stored) -> list[_Judged]:
    """Those whose person has not judged the same here before."""
    found = []
    for one in judged:
        of_task = isinstance(one.judgement, ImportedRanking | ImportedDemonstration)
        what = one.task.pk if of_task else one.completions[0]
        key = (what, one.person.pk, *([one.version.pk] if one.version is not None else []))
        if key in there:
            stored.left_out.append(LeftOut(one.line, LeftOutReason.ALREADY_HERE))
        else:
            there.add(key)
            found.append(one)
    return found


def _store_rankings(judged: Sequence[_Judged], source: Import, stored: Stored) -> None:
    rows = Ranking.objects.filter(task__in=[one.task for one in judged]).values_list("task", "annotator")
    made = [_ranking(one, source) for one in _new_ones(judged, set(rows), stored)]
    stored.rankings += len(Ranking.objects.bulk_create(made))


def _ranking(one: _Judged, source: Import) -> Ranking:
    said, judgement, ids = one.judgement.said, one.judgement, one.completions
    assert isinstance(judgement, ImportedRanking)
    return Ranking(
        task=one.task,
        annotator=one.person,
        ranks={str(pk): rank for pk, rank in zip(ids, judgement.ranks, strict=True)},
        shown_order=[ids[place] for place in judgement.shown],
        seconds=said.seconds,
        guidelines_version=said.guidelines_version,
        margins=[[ids[better], ids[worse], margin] for better, worse, margin in judgement.margins],
        is_simulated=said.is_simulated,
        is_adjudication=said.is_adjudication,
        imported=source,
    )


def _store_demonstrations(judged: Sequence[_Judged], source: Import, stored: Stored) -> None:
    rows = TaskAnswer.objects.filter(task__in=[one.task for one in judged]).values_list("task", "annotator")
    made = [_answer(one, source) for one in _new_ones(judged, set(rows), stored)]
    stored.demonstrations += len(TaskAnswer.objects.bulk_create(made))


def _answer(one: _Judged, source: Import) -> TaskAnswer:
    said, judgement = one.judgement.said, one.judgement
    assert isinstance(judgement, ImportedDemonstration)
    beside = {"source": judgement.source, "policy": judgement.policy}
    told = {name: value for name, value in beside.items() if value}
    return TaskAnswer(
        task=one.task,
        annotator=one.person,
        said={"text": judgement.text, **told, **({"completion": one.completions[0]} if one.completions else {})},
        seconds=said.seconds,
        guidelines_version=said.guidelines_version,
        is_simulated=said.is_simulated,
        is_adjudication=said.is_adjudication,
        imported=source,
    )


def _decide(judged: Sequence[_Judged]) -> None:
    """Where a lead had decided, the decision stands in place of what others said of the same."""
    tasks = [one.task.pk for one in judged if isinstance(one.judgement, ImportedRanking | ImportedDemonstration)]
    if tasks:
        RankingTask.objects.filter(pk__in=tasks).update(lead=RankingTask.Lead.DECIDED)


def _store_flags(judged: Sequence[_Judged], source: Import, stored: Stored) -> None:
    rows = Violation.objects.filter(completion__in=[one.completions[0] for one in judged])
    there: set[tuple[int, ...]] = set(rows.values_list("completion", "annotator", "rule_version"))
    made = [
        Violation(
            rule_version=one.version,
            completion_id=one.completions[0],
            annotator=one.person,
            is_violation=isinstance(one.judgement, ImportedFlag) and one.judgement.is_violation,
            is_simulated=one.judgement.said.is_simulated,
            imported=source,
        )
        for one in _new_ones(judged, there, stored)
    ]
    stored.flags += len(Violation.objects.bulk_create(made))


def _store_thumbs(judged: Sequence[_Judged], source: Import, stored: Stored) -> None:
    rows = CompletionThumb.objects.filter(completion__in=[one.completions[0] for one in judged])
    made = [
        CompletionThumb(
            completion_id=one.completions[0],
            annotator=one.person,
            is_up=isinstance(one.judgement, ImportedThumb) and one.judgement.is_up,
            is_simulated=one.judgement.said.is_simulated,
            imported=source,
        )
        for one in _new_ones(judged, set(rows.values_list("completion", "annotator")), stored)
    ]
    stored.thumbs += len(CompletionThumb.objects.bulk_create(made))
