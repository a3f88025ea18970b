"""The annotator's pages: rank the next task, or skip it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.requests import person
from feedback.errors import BadFlags, NotYourTask, TaskError
from feedback.forms import DraftForm, SkipForm, as_draft, read_judgement
from feedback.judgements import languages, task_queue
from feedback.judgements.rankings import BadRanking
from feedback.judgements.stock_state import stock_state
from feedback.models import Project, RankingTask, Skip
from feedback.views import answering, task_page

SKIPPED = {
    Skip.Reason.LANGUAGE: gettext_lazy(
        "Skipped. Somebody who speaks the language can rank it. You can choose your languages in your account."
    ),
    Skip.Reason.UPSETTING: gettext_lazy("Skipped. A moderator will look at it."),
}


@require_safe
def rank(request: HttpRequest) -> HttpResponse:
    own = task_queue.next_assignment(person(request))
    if own is None:
        return render(request, "feedback/nothing_to_rank.html", _nothing_for(person(request)))
    if own.task.project.question != Project.Question.RANK:
        return answering.show(request, own)
    return task_page.show(request, task_page.of_assignment(own, person(request)))


def _next(request: HttpRequest) -> HttpResponse:
    """After a task is answered or skipped: the next one, at once for a page that takes it in place."""
    return _fragment_of_next(request) if task_page.FRAGMENT in request.headers else redirect("rank")


def _fragment_of_next(request: HttpRequest) -> HttpResponse:
    """The next task without its page; no content where there is none, or one with another question, so that the page
    is loaded anew."""
    own = task_queue.next_assignment(person(request))
    if own is None or own.task.project.question != Project.Question.RANK:
        return HttpResponse(status=204)
    return task_page.show(request, task_page.of_assignment(own, person(request)))


@require_POST
def submit_ranking(request: HttpRequest, task_id: int) -> HttpResponse:
    task = RankingTask.objects.select_related("prompt__elicits", "probe__rule").filter(pk=task_id).first()
    if task is None:
        raise Http404
    try:
        task_queue.submit(task_id, person(request), read_judgement(request.POST, task))
    except (BadRanking, BadFlags) as error:
        return _refused(request, task, error)
    except TaskError as error:
        return render(request, "feedback/conflict.html", {"error": error}, status=409)
    return _next(request)


def _refused(request: HttpRequest, task: RankingTask, error: Exception) -> HttpResponse:
    """The page again, with the annotator's input and the error."""
    own = task_queue.assigned(task.pk, person(request)).select_related(*task_queue.READ_WITH_A_TASK).first()
    if own is None:
        return render(request, "feedback/conflict.html", {"error": NotYourTask()}, status=409)
    own.draft = as_draft(request.POST)
    page = {**task_page.of_assignment(own, person(request)), "error": error}
    return task_page.show(request, page, status=400)


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
    messages.success(request, SKIPPED.get(form.cleaned_data["reason"], _("Skipped. Somebody else can rank it.")))
    return _next(request)


@require_POST
def choose_languages(request: HttpRequest) -> HttpResponse:
    """`language`, as often as the person has one to judge in; none follows the language of the page."""
    languages.choose(person(request), request.POST.getlist("language"))
    messages.success(request, _("Your choice was saved."))
    return redirect("account")


def _nothing_for(annotator: User) -> dict[str, Any]:
    """Why there is no task for them."""
    return {
        "stock": stock_state(),
        "progress": task_queue.progress(annotator),
        "own_languages": languages.named(languages.languages_of(annotator)),
        "other_languages": languages.named(languages.only_others(annotator)),
    }
