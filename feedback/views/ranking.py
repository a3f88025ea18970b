"""The annotator's pages: rank the next task, skip it, and see or withdraw earlier rankings."""

import re
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from accounts.models import User
from accounts.requests import person
from feedback import rules
from feedback.errors import BadFlags, NotYourTask, TaskError, TooLate
from feedback.forms import DraftForm, SkipForm, read_judgement
from feedback.judgements import languages, task_queue
from feedback.judgements.rankings import BadRanking
from feedback.judgements.stock_state import stock_state
from feedback.models import Completion, Ranking, RankingTask
from feedback.prompts import as_answered

LETTERS = "ABCDEFGHIJKLMNOP"
FLAG = re.compile(r"([0-9]{1,18}):([0-9]{1,18})")


@require_safe
def rank(request: HttpRequest) -> HttpResponse:
    task = task_queue.next_task(person(request))
    if task is None:
        return render(request, "feedback/nothing_to_rank.html", _nothing_for(person(request)))
    return render(request, "feedback/rank.html", _task_page(task, person(request)))


@require_POST
def submit_ranking(request: HttpRequest, task_id: int) -> HttpResponse:
    task = RankingTask.objects.select_related("prompt__elicits").filter(pk=task_id).first()
    if task is None:
        raise Http404
    try:
        task_queue.submit(task_id, person(request), read_judgement(request.POST, task.prompt))
    except (BadRanking, BadFlags) as error:
        return _refused(request, task, error)
    except TaskError as error:
        return render(request, "feedback/conflict.html", {"error": error}, status=409)
    return redirect("rank")


def _refused(request: HttpRequest, task: RankingTask, error: Exception) -> HttpResponse:
    """The page again, with the annotator's input and the error."""
    leased = task_queue.leased(task.pk, person(request)).select_related("prompt__elicits", "policy").first()
    if leased is None:
        return render(request, "feedback/conflict.html", {"error": NotYourTask()}, status=409)
    leased.draft = {
        "places": {name[6:]: place for name, place in request.POST.items() if name.startswith("place-")},
        "flags": request.POST.getlist("flag"),
        "comment": request.POST.get("comment", ""),
    }
    page = {**_task_page(leased, person(request)), "error": error}
    return render(request, "feedback/rank.html", page, status=400)


@require_POST
def save_draft(request: HttpRequest, task_id: int) -> HttpResponse:
    form = DraftForm(request.body)
    if not form.is_valid():
        return JsonResponse({"ok": False, "errors": form.errors.get_json_data()}, status=400)
    try:
        task_queue.save_draft(task_id, person(request), form.cleaned_data)
    except TaskError as error:
        return JsonResponse({"ok": False, "code": error.code, "message": str(error)}, status=409)
    return HttpResponse(status=204)


@require_POST
def skip_task(request: HttpRequest, task_id: int) -> HttpResponse:
    form = SkipForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose why you are skipping it."))
        return redirect("rank")
    try:
        task_queue.skip(task_id, person(request), form.cleaned_data["reason"])
    except TaskError as error:
        return render(request, "feedback/conflict.html", {"error": error}, status=409)
    messages.success(request, _("Skipped. Somebody else can rank it."))
    return redirect("rank")


@require_POST
def choose_languages(request: HttpRequest) -> HttpResponse:
    """`language`, as often as the person has one to judge in; none follows the language of the page."""
    languages.choose(person(request), request.POST.getlist("language"))
    messages.success(request, _("Your choice was saved."))
    return redirect("account")


@require_GET
def my_rankings(request: HttpRequest) -> HttpResponse:
    page = Paginator(task_queue.own_rankings(person(request)), 20).get_page(request.GET.get("page"))
    rows = [
        {"ranking": made, "places": _places_of(made), "may_withdraw": task_queue.may_withdraw(made)} for made in page
    ]
    return render(request, "feedback/my_rankings.html", {"page": page, "rows": rows, "filters": ""})


@require_POST
def withdraw_ranking(request: HttpRequest, ranking_id: int) -> HttpResponse:
    try:
        task_queue.withdraw(ranking_id, person(request))
    except Ranking.DoesNotExist:
        raise Http404 from None
    except TooLate as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The ranking was withdrawn. It will not be used for training."))
    return redirect("my_rankings")


@require_GET
def guidelines(request: HttpRequest) -> HttpResponse:
    grouped = rules.grouped(rules.current())
    return render(request, "feedback/guidelines.html", {"groups": grouped, "version": task_queue.GUIDELINES_VERSION})


# --- template contexts --------------------------------------------------------------------------


def _task_page(task: RankingTask, annotator: User) -> dict[str, Any]:
    versions = rules.current()
    return {
        "task": task,
        "turns": [{"role": turn["role"], "text": turn["content"]} for turn in as_answered(task)],
        "cards": _cards(task),
        "groups": rules.grouped(versions),
        "asked": [version for version in versions if version.rule_id == task.prompt.elicits_id],
        "is_sensitive": task.prompt.elicits is not None and task.prompt.elicits.group in rules.HARMFUL_GROUPS,
        "decides": hasattr(task, "blind_pair"),
        "progress": task_queue.progress(annotator),
        "skip_form": SkipForm(),
        "last_ranking": task_queue.last_withdrawable(annotator),
    }


def _cards(task: RankingTask) -> list[dict[str, Any]]:
    """The replies in the random order of this lease, without any sign of which is which."""
    by_id = {completion.pk: completion for completion in Completion.objects.filter(task=task)}
    places = task.draft.get("places", {})
    matches = [FLAG.fullmatch(flag) for flag in task.draft.get("flags", [])]
    flags = [(int(match[1]), int(match[2])) for match in matches if match]
    return [
        {
            "id": pk,
            "letter": letter,
            "text": by_id[pk].text,
            "is_cut": by_id[pk].finish_reason == "length",
            "places": range(1, len(by_id) + 1),
            "place": str(places.get(str(pk), "")),
            "flags": [version for completion, version in flags if completion == pk],
        }
        for letter, pk in zip(LETTERS, task.shown_order, strict=False)
        if pk in by_id
    ]


def _places_of(made: Ranking) -> list[dict[str, Any]]:
    """The completions of a ranking, best first."""
    flagged: dict[int | None, list[str]] = {}
    for violation in made.violations.all():
        if violation.is_violation:
            flagged.setdefault(violation.completion_id, []).append(violation.rule_version.name)
    places = [
        {"rank": made.ranks[str(reply.pk)], "text": reply.text, "flags": flagged.get(reply.pk, [])}
        for reply in made.task.completions.all()
    ]
    return sorted(places, key=lambda place: place["rank"])


def _nothing_for(annotator: User) -> dict[str, Any]:
    """Why there is no task for them."""
    return {
        "stock": stock_state(),
        "progress": task_queue.progress(annotator),
        "own_languages": languages.named(languages.languages_of(annotator)),
        "other_languages": languages.named(languages.only_others(annotator)),
    }
