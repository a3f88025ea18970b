"""The pages of a project's question: a task of it, its draft, and one's own answers, corrected or withdrawn."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from accounts.requests import person
from feedback import guidelines
from feedback.errors import NotYourTask, TaskError, TooLate
from feedback.forms import FieldsForm, SkipForm
from feedback.judgements import care, reading_time, task_queue
from feedback.judgements.rankings import BadRanking
from feedback.models import Assignment, TaskAnswer
from feedback.prompts import as_answered
from feedback.questions import answering
from feedback.questions.kind import AskedTask, BadAnswer, Fields, asked
from feedback.rules import HARMFUL_GROUPS


def show(request: HttpRequest, own: Assignment) -> HttpResponse:
    """The task that somebody has before them, with their draft."""
    page = _page_of_assignment(own, answering.fields_of(own), person(request))
    return render(request, "feedback/questions/task.html", page)


def _page_of_assignment(own: Assignment, given: Fields, annotator: User) -> dict[str, Any]:
    in_force = guidelines.current(own.task.project)
    return {
        **_page(asked(own.task, own.shown_order), given, annotator),
        "has_new_guidelines": guidelines.is_news(annotator, in_force.number),
        "minutes_without_break": care.is_break_due(annotator),
        "skip_form": SkipForm(),
    }


def _page(of: AskedTask, given: Fields, annotator: User) -> dict[str, Any]:
    kind = answering.kind_of(of.task)
    turns = [{"role": turn["role"], "text": turn["content"]} for turn in as_answered(of.task)]
    texts = [*(turn["text"] for turn in turns), *(reply.text for reply in of.replies)]
    rules = [rule for rule in (of.task.prompt.elicits, of.task.project.rule) if rule is not None]
    return {
        "task": of.task,
        "kind": kind,
        "turns": turns,
        "form": kind.page(given, of),
        "comment": given.get("comment", ""),
        "is_sensitive": any(rule.group in HARMFUL_GROUPS for rule in rules),
        "guidelines": guidelines.current(of.task.project),
        "counts": answering.counts(annotator),
        "active_seconds": _counted(given),
        "least_seconds": reading_time.least_seconds(texts),
    }


def _counted(given: Fields) -> float:
    """Active seconds of an earlier visit."""
    try:
        return max(0.0, float(given.get(answering.SECONDS) or 0))
    except ValueError:
        return 0.0


@require_POST
def answer_task(request: HttpRequest, task_id: int) -> HttpResponse:
    given = _fields(request)
    try:
        answering.submit(task_id, person(request), given)
    except (BadAnswer, BadRanking) as error:
        return _refused(request, task_id, given, error)
    except TaskError as error:
        return render(request, "feedback/conflict.html", {"error": error}, status=409)
    return redirect("rank")


def _fields(request: HttpRequest) -> dict[str, str]:
    return {name: str(value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"}


def _refused(request: HttpRequest, task_id: int, given: Fields, error: Exception) -> HttpResponse:
    """The page again, with what was entered and why it was refused."""
    rows = task_queue.assigned(task_id, person(request))
    own = rows.select_related("task__prompt__elicits", "task__policy", "task__project__rule").first()
    if own is None:
        return render(request, "feedback/conflict.html", {"error": NotYourTask()}, status=409)
    page = {**_page_of_assignment(own, given, person(request)), "error": error}
    return render(request, "feedback/questions/task.html", page, status=400)


@require_POST
def save_answer_draft(request: HttpRequest, task_id: int) -> HttpResponse:
    form = FieldsForm(request.body)
    if not form.is_valid():
        return JsonResponse({"ok": False, "errors": form.errors.get_json_data()}, status=400)
    try:
        answering.save_draft(task_id, person(request), form.cleaned_data)
    except TaskError as error:
        return JsonResponse({"ok": False, "code": error.code, "message": str(error)}, status=409)
    return HttpResponse(status=204)


# --- one's own answers ------------------------------------------------------------------------------


@require_GET
def my_answers(request: HttpRequest) -> HttpResponse:
    page = Paginator(answering.own_answers(person(request)), 20).get_page(request.GET.get("page"))
    return render(
        request, "feedback/questions/my_answers.html", {"page": page, "rows": [_row(made) for made in page]}
    )


def _row(made: TaskAnswer) -> Mapping[str, Any]:
    kind = answering.kind_of(made.task)
    return {
        "answer": made,
        "kind": kind,
        "told": kind.told(made.said, asked(made.task, made.shown_order)),
        "may_correct": answering.may_correct(made),
    }


@require_http_methods(["GET", "POST"])
def correct_answer(request: HttpRequest, answer_id: int) -> HttpResponse:
    """The task as it was answered, and what its answer becomes."""
    rows = TaskAnswer.objects.select_related("task__prompt__elicits", "task__policy", "task__project__rule")
    made = get_object_or_404(rows, pk=answer_id, annotator=person(request), is_adjudication=False)
    of = asked(made.task, made.shown_order)
    if request.method == "POST":
        return _corrected(request, made, of)
    if not answering.may_correct(made):
        messages.error(request, str(TooLate()))
        return redirect("my_answers")
    fields = {**answering.kind_of(made.task).fields(made.said, of), "comment": made.comment}
    return _correction(request, made, of, fields)


def _correction(
    request: HttpRequest, made: TaskAnswer, of: AskedTask, given: Fields, **error: Exception
) -> HttpResponse:
    page = {**_page(of, given, person(request)), "correcting": made, **error}
    return render(request, "feedback/questions/task.html", page, status=400 if error else 200)


def _corrected(request: HttpRequest, made: TaskAnswer, of: AskedTask) -> HttpResponse:
    given = _fields(request)
    try:
        answering.correct(made.pk, person(request), given)
    except (BadAnswer, BadRanking) as error:
        return _correction(request, made, of, given, error=error)
    except TaskError as error:
        return render(request, "feedback/conflict.html", {"error": error}, status=409)
    messages.success(request, _("Corrected. What you said before is no longer used."))
    return redirect("my_answers")


@require_POST
def withdraw_answer(request: HttpRequest, answer_id: int) -> HttpResponse:
    try:
        answering.withdraw(answer_id, person(request))
    except TaskAnswer.DoesNotExist:
        raise Http404 from None
    except TooLate as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The answer was withdrawn. It will not be used for training."))
    return redirect("my_answers")
