"""What the page of a ranking task shows: the replies, and what the annotator has entered of them."""

import re
from collections.abc import Sequence
from typing import Any

from django.db.models import prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from accounts.models import User
from feedback import guidelines, rules
from feedback.forms import SkipForm
from feedback.judgements import asked as asked_about
from feedback.judgements import care, reading_time, task_queue
from feedback.judgements.strength import STEPS
from feedback.masking.labels import masked_words
from feedback.models import Assignment, Ranking, RankingTask, RuleVersion, Violation
from feedback.prompts import as_answered

LETTERS = "ABCDEFGHIJKLMNOP"
FLAG = re.compile(r"([0-9]{1,18}):([0-9]{1,18})")
REPLY = "\0"
OPTION = '<option value="{}:{}" data-says="{}">{}</option>'
FRAGMENT = "X-Fragment"
"""A request with this header is answered with the task alone, without the page around it."""


def show(request: HttpRequest, page: dict[str, Any], *, status: int = 200) -> HttpResponse:
    name = "feedback/rank_fragment.html" if FRAGMENT in request.headers else "feedback/rank.html"
    return render(request, name, page, status=status)


def of_assignment(own: Assignment, annotator: User) -> dict[str, Any]:
    last = task_queue.last_correctable(annotator)
    return _page(own.task, own.shown_order, own.draft, annotator) | {"last_ranking": last}


def of_ranking(made: Ranking, annotator: User, draft: dict[str, Any] | None = None) -> dict[str, Any]:
    """The task as it was answered, or with what was entered instead, for a correction."""
    order = made.shown_order or [int(pk) for pk in made.ranks]
    return _page(made.task, order, draft or _as_draft(made), annotator) | {"correcting": made}


def _page(task: RankingTask, order: list[int], draft: dict[str, Any], annotator: User) -> dict[str, Any]:
    versions = rules.current()
    asked = [version for version in versions if version.rule_id == asked_about.rule_of(task)]
    prefetch_related_objects([task], "completions")
    turns = as_answered(task)
    groups = rules.grouped(versions)
    cards = _cards(task, order, draft, asked, {version.pk: version for version in versions})
    options = _rule_options(groups, asked)
    for card in cards:
        card["rule_options"] = mark_safe(options.replace(REPLY, str(card["id"])))  # noqa: S308  escaped there
    return {
        "task": task,
        "draft": draft,
        "turns": [{"role": turn["role"], "text": turn["content"]} for turn in turns],
        "cards": cards,
        "is_single": len(cards) == 1,
        "masked": masked_words(task.prompt.masked),
        "steps": _steps(draft, len(cards)),
        "overall": [*Ranking.Overall.choices],
        "groups": groups,
        "asked": asked,
        "is_sensitive": asked_about.group_of(task) in rules.HARMFUL_GROUPS,
        "refusals": _refusals(task, draft),
        "decides": hasattr(task, "blind_pair"),
        **_told(task, annotator),
        "progress": task_queue.progress(annotator),
        "skip_form": SkipForm(),
        "least_seconds": reading_time.least_seconds(
            [*(turn["content"] for turn in turns), *(card["text"] for card in cards)]
        ),
    }


def _refusals(task: RankingTask, draft: dict[str, Any]) -> list[tuple[str, Any, bool]]:
    """(value, label, whether it is chosen); nothing where it is not asked."""
    if not asked_about.asks_for_refusal(task):
        return []
    return [(value, label, draft.get("refusal") == value) for value, label in Ranking.Refusal.choices]


def _told(task: RankingTask, annotator: User) -> dict[str, Any]:
    """What the page tells the annotator beside the task: the guidelines, once that they changed, and of a break."""
    in_force = guidelines.current(task.project)
    return {
        "guidelines": in_force,
        "has_new_guidelines": guidelines.is_news(annotator, in_force.number),
        "minutes_without_break": care.is_break_due(annotator),
    }


def _steps(draft: dict[str, Any], replies: int) -> list[dict[str, Any]]:
    """One choice for each place but the last: how much better it is than the next."""
    chosen = draft.get("strength", {})
    return [
        {
            "place": place,
            "choices": [
                (str(step), word, str(chosen.get(str(place), "0")) == str(step)) for step, word in STEPS.items()
            ],
        }
        for place in range(1, replies)
    ]


def _rule_options(groups: Sequence[tuple[str, Sequence[RuleVersion]]], asked: Sequence[RuleVersion]) -> str:
    """HTML of the rules to choose from but those that are asked about, with REPLY for the id of a reply: it is the
    same for each reply of a page, and so made once."""
    rows = (
        (name, format_html_join("", OPTION, ((REPLY, v.pk, v.text, v.name) for v in of_group if v not in asked)))
        for name, of_group in groups
    )
    return format_html_join("", '<optgroup label="{}">{}</optgroup>', rows)


def _cards(
    task: RankingTask,
    order: list[int],
    draft: dict[str, Any],
    asked: list[RuleVersion],
    versions: dict[int, RuleVersion],
) -> list[dict[str, Any]]:
    """The replies in the order of the page, without any sign of which is which."""
    by_id = {completion.pk: completion for completion in task.completions.all()}
    places = draft.get("places", {})
    matches = [FLAG.fullmatch(flag) for flag in draft.get("flags", [])]
    flags = [(int(match[1]), versions.get(int(match[2]))) for match in matches if match]
    return [
        {
            "id": pk,
            "letter": letter,
            "text": by_id[pk].text,
            "is_cut": by_id[pk].finish_reason == "length",
            "places": range(1, len(by_id) + 1),
            "place": str(places.get(str(pk), "")),
            "flags": [version for completion, version in flags if completion == pk and version is not None],
            "grades": [(version, _grades(draft.get("grades", {}), pk, version)) for version in asked],
        }
        for letter, pk in zip(LETTERS, order, strict=False)
        if pk in by_id
    ]


def _grades(given: dict[str, Any], completion: int, version: RuleVersion) -> list[tuple[int, Any, bool]]:
    chosen = str(given.get(f"{completion}-{version.pk}", ""))
    return [(value, label, str(value) == chosen) for value, label in Violation.Grade.choices]


def _as_draft(made: Ranking) -> dict[str, Any]:
    answers = list(made.violations.filter(completion__isnull=False))
    graded = [answer for answer in answers if answer.grade is not None]
    return {
        "places": made.ranks,
        "strength": {str(place): step for place, step in enumerate(made.strength, start=1)},
        "flags": [f"{a.completion_id}:{a.rule_version_id}" for a in answers if a.is_violation and a.grade is None],
        "grades": {f"{a.completion_id}-{a.rule_version_id}": a.grade for a in graded},
        "overall": made.overall,
        "refusal": made.refusal,
        "comment": made.comment,
    }
