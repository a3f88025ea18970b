"""Downloads of an evaluation's report: as HTML, as JSON, and the script that recomputes its figures."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from accounts.requests import person
from rlhf import visibility
from rlhf.release import report_file, samples


@require_safe
def html(request: HttpRequest, pk: int) -> HttpResponse:
    return _file(request, pk, "html")


@require_safe
def as_json(request: HttpRequest, pk: int) -> HttpResponse:
    return _file(request, pk, "json")


@require_safe
def recompute(request: HttpRequest) -> HttpResponse:
    script = report_file.RECOMPUTE
    return _download(script.read_text(), "text/x-python; charset=utf-8", script.name)


def _file(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    reader = person(request)
    rows = visibility.evaluations_for(reader).select_related(
        "policy", "baseline", "run__snapshot", "run__parent", "run__reward_model"
    )
    evaluation = get_object_or_404(rows, pk=pk)
    text = report_file.render(evaluation, kind, samples.readable(evaluation.report, reader))
    return _download(text, report_file.KINDS[kind], report_file.name_of(evaluation, kind))


def _download(text: str, content_type: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type=content_type, headers=headers)
