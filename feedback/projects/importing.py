"""Stores the prompts of a file in a project, on their sides of the split, with tasks where the replies came along."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from feedback import splits
from feedback.models import Completion, Project, ProjectPrompt, Prompt, RankingTask
from feedback.projects.errors import LineError, PromptFileRefused
from feedback.projects.prompt_files import PromptLine
from feedback.prompts import digest

PASTED = "pasted"
"""Among the parameters of a completion: it came with its prompt, and no policy of this site wrote it."""


@dataclass(frozen=True)
class Imported:
    prompts: int
    """New in this project."""
    doubles: int
    """Lines whose prompt the project has already."""
    other_side: int
    """Prompts that stand on another side than their line says, since they nearly repeat others (feedback.splits)."""
    held_out: int
    tasks: int


@transaction.atomic
def add_prompts(project: Project, lines: Sequence[PromptLine]) -> Imported:
    """All of the lines or none. Raises PromptFileRefused."""
    _check_languages(project, lines)
    # One import of a project at a time: two of the same file would both find its prompts missing.
    Project.objects.select_for_update().get(pk=project.pk)
    rows = _prompts(lines)
    new = _belonging(project, lines, rows)
    tasks = _tasks(project, lines, rows)
    chosen = {digest(line.messages): rows[digest(line.messages)] for line in lines}.values()
    return Imported(
        prompts=new,
        doubles=len(lines) - new,
        other_side=sum(bool(line.side) and rows[digest(line.messages)].split != line.side for line in lines),
        held_out=sum(row.split == Prompt.Split.HELD_OUT for row in chosen),
        tasks=tasks,
    )


def _check_languages(project: Project, lines: Sequence[PromptLine]) -> None:
    """Raises PromptFileRefused: nobody would be offered a prompt in a language that the project does not have."""
    wrong = [
        LineError(
            line.line, _("Its language is %(code)s, which the project does not have.") % {"code": line.language}
        )
        for line in lines
        if project.languages and line.language not in project.languages
    ]
    if wrong:
        raise PromptFileRefused(wrong)


def _prompts(lines: Sequence[PromptLine]) -> dict[str, Prompt]:
    """By digest. One that this site has already stays as it is, with its side and the consent that it depends on."""
    wanted: dict[str, PromptLine] = {}
    for line in lines:
        wanted.setdefault(digest(line.messages), line)
    keys = list(wanted)
    known: dict[str, Prompt] = {}
    for start in range(0, len(keys), 500):
        known |= {row.sha256: row for row in Prompt.objects.filter(sha256__in=keys[start : start + 500])}
    new = [_prompt(key, line) for key, line in wanted.items() if key not in known]
    splits.add_imported(new)
    return known | {row.sha256: row for row in new}


def _prompt(key: str, line: PromptLine) -> Prompt:
    return Prompt(
        messages=line.messages,
        preamble_turns=int(line.messages[0]["role"] == "system"),
        sha256=key,
        source=Prompt.Source.PROJECT,
        split=line.side,
        language=line.language,
    )


def _belonging(project: Project, lines: Sequence[PromptLine], rows: dict[str, Prompt]) -> int:
    there = set(ProjectPrompt.objects.filter(project=project).values_list("prompt", flat=True))
    new: dict[int, ProjectPrompt] = {}
    for line in lines:
        prompt = rows[digest(line.messages)]
        if prompt.pk not in there:
            new.setdefault(prompt.pk, ProjectPrompt(project=project, prompt=prompt, tags=line.tags))
    ProjectPrompt.objects.bulk_create(new.values())
    return len(new)


def _tasks(project: Project, lines: Sequence[PromptLine], rows: dict[str, Prompt]) -> int:
    """Where the replies came along, one per line: the same prompt with other replies is another task. Where people
    write them, one per prompt. Where a model does, none yet (feedback.judgements.task_stock)."""
    if project.replies == Project.Replies.NONE:
        return _tasks_without_replies(project, rows)
    if project.replies != Project.Replies.PASTED:
        return 0
    tasks = RankingTask.objects.bulk_create(
        RankingTask(prompt=rows[digest(line.messages)], project=project, overlap=project.overlap) for line in lines
    )
    Completion.objects.bulk_create(
        (
            Completion(task=task, index=index, text=text, finish_reason="stop", parameters={PASTED: True})
            for task, line in zip(tasks, lines, strict=True)
            for index, text in enumerate(line.replies)
        ),
        batch_size=500,
    )
    return len(tasks)


def _tasks_without_replies(project: Project, rows: dict[str, Prompt]) -> int:
    there = set(RankingTask.objects.filter(project=project).values_list("prompt", flat=True))
    new = [row for row in rows.values() if row.pk not in there]
    made = RankingTask.objects.bulk_create(
        RankingTask(prompt=row, project=project, overlap=project.overlap) for row in new
    )
    return len(made)
