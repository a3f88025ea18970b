"""An annotator's earlier rankings: listed, corrected, withdrawn."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.requests import person
from feedback.errors import BadFlags, TaskError, TooLate
from feedback.forms import as_draft, read_judgement
from feedback.judgements import corrections, task_queue
from feedback.judgements.rankings import BadRanking
from feedback.models import Ranking
from feedback.trust import pages
from feedback.views import task_page

MINE = "mine"
"""Where a correction leads when it was opened from the list of one's rankings, and not from the queue."""


@require_GET
def my_rankings(request: HttpRequest) -> HttpResponse:
    page = Paginator(task_queue.own_rankings(person(request)), 20).get_page(request.GET.get("page"))
    rows = [_row(made) for made in page]
    own = pages.row_of(person(request))
    return render(request, "feedback/my_rankings.html", {"page": page, "rows": rows, "own": own})


def _row(made: Ranking) -> dict[str, Any]:
    return {
        "ranking": made,
        "places": _places_of(made),
        "may_correct": corrections.may_correct(made),
        "may_withdraw": corrections.may_withdraw(made),
    }


def _places_of(made: Ranking) -> list[dict[str, Any]]:
    """The completions of a ranking, best first, by the letters that they had on the page."""
    flagged: dict[int | None, list[str]] = {}
    for violation in made.violations.all():
        if violation.is_violation:
            flagged.setdefault(violation.completion_id, []).append(violation.rule_version.name)
    order = made.shown_order or [int(pk) for pk in made.ranks]
    places = [
        {
            "rank": made.ranks[str(reply.pk)],
            "letter": task_page.LETTERS[order.index(reply.pk)] if reply.pk in order else "",
            "text": reply.text,
            "flags": flagged.get(reply.pk, []),
        }
        for reply in made.task.completions.all()
    ]
    places.sort(key=lambda place: (place["rank"], place["letter"]))
    for before, place in zip([None, *places], places, strict=False):
        place["sign"] = "" if before is None else "=" if before["rank"] == place["rank"] else ">"
    return places


@require_http_methods(["GET", "POST"])
def correct_ranking(request: HttpRequest, ranking_id: int) -> HttpResponse:
    """The task as it was answered, and what its answer becomes."""
    own = Ranking.objects.select_related("task__prompt__elicits", "task__policy", "task__probe__rule")
    made = get_object_or_404(own, pk=ranking_id, annotator=person(request), is_adjudication=False)
    if request.method == "POST":
        return _corrected(request, made)
    if not corrections.may_correct(made):
        messages.error(request, str(TooLate()))
        return redirect("my_rankings")
    page = task_page.of_ranking(made, person(request))
    return task_page.show(request, {**page, "then": request.GET.get("then", MINE)})


def _corrected(request: HttpRequest, made: Ranking) -> HttpResponse:
    try:
        corrections.correct(made.pk, person(request), read_judgement(request.POST, made.task))
    except (BadRanking, BadFlags) as error:
        page = task_page.of_ranking(made, person(request), as_draft(request.POST))
        then = request.POST.get("then", MINE)
        return task_page.show(request, {**page, "error": error, "then": then}, status=400)
    except TaskError as error:
        return render(request, "feedback/conflict.html", {"error": error}, status=409)
    messages.success(request, _("Corrected. What you said before is no longer used."))
    return redirect("my_rankings" if request.POST.get("then", MINE) == MINE else "rank")


@require_POST
def withdraw_ranking(request: HttpRequest, ranking_id: int) -> HttpResponse:
    try:
        corrections.withdraw(ranking_id, person(request))
    except Ranking.DoesNotExist:
        raise Http404 from None
    except TooLate as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The ranking was withdrawn. It will not be used for training."))
    return redirect("my_rankings")
