"""The page on which a lead decides where the judges of a task disagree."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts.requests import person
from feedback import guidelines
from feedback.judgements.rankings import BadRanking
from feedback.models import Project, RankingTask
from feedback.projects import access, adjudication
from feedback.projects.errors import NotToBeDecided
from feedback.prompts import as_answered
from feedback.questions.kind import BadAnswer, Fields, asked
from feedback.questions.kinds import KINDS


@require_safe
def disagreements(request: HttpRequest, key: str) -> HttpResponse:
    """The widest one that this lead may decide."""
    of = _led(request, key)
    task = adjudication.for_lead(of, person(request)).first()
    if task is None:
        counts = adjudication.counts(of)
        page: dict[str, Any] = {"project": of, "counts": counts}
        return render(request, "feedback/projects/no_disagreement.html", {**page, **_last(of, request)})
    return render(request, "feedback/projects/disagreement.html", {**_page(of, task, {}), **_last(of, request)})


def _last(of: Project, request: HttpRequest) -> dict[str, Any]:
    return {"last": adjudication.last_decided(of, person(request))}


def _page(of: Project, task: RankingTask, given: Fields) -> dict[str, Any]:
    before = asked(task)
    kind = KINDS[of.question]
    return {
        "project": of,
        "task": task,
        "kind": kind,
        "turns": [{"role": turn["role"], "text": turn["content"]} for turn in as_answered(task)],
        "replies": before.lettered(),
        "judgements": adjudication.judgements(before),
        "form": kind.page(given, before),
        "adopt": given.get("adopt", ""),
        "reason": given.get("reason", ""),
        "counts": adjudication.counts(of),
        "guidelines": guidelines.current(of),
    }


@require_POST
def decide_task(request: HttpRequest, key: str, task_id: int) -> HttpResponse:
    of = _led(request, key)
    given = {name: str(value) for name, value in request.POST.items()}
    try:
        adjudication.decide(task_id, of, person(request), given)
    except (BadAnswer, BadRanking) as error:
        task = adjudication.for_lead(of, person(request)).get(pk=task_id)
        page = {**_page(of, task, given), "error": error}
        return render(request, "feedback/projects/disagreement.html", page, status=400)
    except NotToBeDecided as error:
        messages.error(request, str(error))
        return redirect("disagreements", key)
    left = adjudication.for_lead(of, person(request)).count()
    said = ngettext("Decided. %(n)d disagreement is left.", "Decided. %(n)d disagreements are left.", left)
    messages.success(request, said % {"n": left})
    return redirect("disagreements", key)


@require_POST
def decide_again(request: HttpRequest, key: str) -> HttpResponse:
    """Takes back the lead's own last decision in the project."""
    of = _led(request, key)
    last = adjudication.last_decided(of, person(request))
    try:
        if last is None:
            raise NotToBeDecided
        adjudication.take_back(last, of, person(request))
        messages.success(request, _("Withdrawn. It waits for a decision again."))
    except NotToBeDecided as error:
        messages.error(request, str(error))
    return redirect("disagreements", key)


def _led(request: HttpRequest, key: str) -> Project:
    found = access.visible_to(person(request)).filter(key=key).select_related("rule").first()
    if found is None or not access.may_lead(person(request), found):
        raise Http404
    return found
