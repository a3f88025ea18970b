"""Pages of trust: people with their figures, findings to decide on, agreement, and tasks with a known answer."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from accounts.requests import person
from feedback import rules
from feedback.errors import Refusal
from feedback.forms import FindingForm, gold_flags, gold_places
from feedback.judgements.rankings import BadRanking
from feedback.models import AgreementFigure, GoldAnswer, RankingTask, TrustFinding
from feedback.prompts import as_answered
from feedback.trust import consensus, decisions, gold, pages

PEOPLE_A_PAGE = 50
CANDIDATES = 20


@require_GET
def trust_page(request: HttpRequest) -> HttpResponse:
    page = Paginator(pages.people(), PEOPLE_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [pages.person_row(trust) for trust in page],
        "findings": pages.finding_rows(TrustFinding.objects.filter(state=TrustFinding.State.OPEN)),
        "agreement": AgreementFigure.objects.select_related("project", "rule").prefetch_related("rule__versions"),
        "gold": gold.active().count(),
        "filters": "",
    }
    return render(request, "feedback/trust.html", context)


@require_GET
def trust_person(request: HttpRequest, pk: int) -> HttpResponse:
    return _person_page(request, get_object_or_404(User, pk=pk), {})


def _person_page(request: HttpRequest, shown: User, forms: dict[int, FindingForm], status: int = 200) -> HttpResponse:
    row = pages.row_of(shown)
    findings = pages.finding_rows(shown.trust_findings.order_by("-id"))
    context = {
        "shown": shown,
        "row": row,
        "rule_rows": pages.rule_rows(row.figures),
        "findings": [(found, forms.get(found.finding.pk) or _form(found.finding)) for found in findings],
    }
    return render(request, "feedback/trust_person.html", context, status=status)


def _form(finding: TrustFinding, data: Any = None) -> FindingForm:
    return FindingForm(data, auto_id=f"id_{finding.pk}_%s")


@require_POST
def decide_finding(request: HttpRequest, pk: int) -> HttpResponse:
    finding = get_object_or_404(TrustFinding.objects.select_related("person"), pk=pk)
    form = _form(finding, request.POST)
    if form.is_valid():
        try:
            decisions.decide(finding, actor=person(request), **form.cleaned_data)
        except Refusal as error:
            form.add_error(None, str(error))
            return _person_page(request, finding.person, {pk: form}, 409)
        messages.success(request, _("Decided. The next snapshot follows it."))
        return redirect("trust_person", finding.person_id)
    return _person_page(request, finding.person, {pk: form}, 400)


# --- tasks with a known answer --------------------------------------------------------------------


@require_GET
def gold_answers(request: HttpRequest) -> HttpResponse:
    answers = gold.active().select_related("task__prompt", "task__project", "set_by")
    page = Paginator(answers, PEOPLE_A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "candidates": pages.candidates()[:CANDIDATES], "filters": ""}
    return render(request, "feedback/gold_answers.html", context)


@require_http_methods(["GET", "POST"])
def set_gold(request: HttpRequest, task_id: int) -> HttpResponse:
    task = get_object_or_404(RankingTask.objects.select_related("prompt", "gold"), pk=task_id)
    if request.method == "GET":
        return _gold_page(request, task, _known_places(task), _known_flags(task))
    places, flags = gold_places(request.POST), gold_flags(request.POST, task)
    try:
        gold.set_answer(task, places, flags, actor=person(request))
    except (BadRanking, Refusal) as error:
        shown = {str(pk): str(place) for pk, place in places}
        return _gold_page(request, task, shown, flags, error)
    messages.success(request, _("The answer is known from now on. Rankings of this task no longer train."))
    return redirect("gold_answers")


@require_POST
def remove_gold(request: HttpRequest, pk: int) -> HttpResponse:
    gold.take_out(get_object_or_404(GoldAnswer, pk=pk), actor=person(request))
    messages.success(request, _("The task is an ordinary one again."))
    return redirect("gold_answers")


def _known_places(task: RankingTask) -> dict[str, str]:
    """The answer as it is, else what those who judged the task say together."""
    answer = getattr(task, "gold", None)
    ranks = answer.ranks if answer is not None else consensus.proposed_ranks(task)
    return {str(pk): str(rank) for pk, rank in ranks.items()}


def _known_flags(task: RankingTask) -> dict[str, list[int]]:
    answer = getattr(task, "gold", None)
    return dict(answer.flags) if answer is not None else {}


def _gold_page(
    request: HttpRequest,
    task: RankingTask,
    places: dict[str, str],
    flags: dict[str, list[int]],
    error: Exception | None = None,
) -> HttpResponse:
    replies = list(task.completions.all())
    context = {
        "task": task,
        "turns": [{"role": turn["role"], "text": turn["content"]} for turn in as_answered(task)],
        "replies": [{"row": reply, "place": places.get(str(reply.pk), "")} for reply in replies],
        "places": [str(place) for place in range(1, len(replies) + 1)],
        "rules": [(version, flags.get(version.rule.key)) for version in rules.current()],
        "flags_known": bool(flags),
        "is_known": getattr(task, "gold", None) is not None,
        "error": error,
    }
    return render(request, "feedback/set_gold.html", context, status=400 if error else 200)
