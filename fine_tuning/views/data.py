"""Pages of training files: upload, view line by line, prepare, download, delete."""

from itertools import islice

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.requests import person
from chat.errors import BadPolicy, TurnsRefused
from chat.models import Policy
from fine_tuning import base_models
from fine_tuning.data import files, formats, prepared_files, tokens, uploads
from fine_tuning.data.survey import emptiness_text
from fine_tuning.errors import BadFile, TuningError
from fine_tuning.jobs import estimates
from fine_tuning.models import DataFile

LINES = 50
PAGE = 20


@require_http_methods(["GET", "POST"])
def file_list(request: HttpRequest) -> HttpResponse:
    """A POST uploads a file; its problems are listed by line."""
    if request.method != "POST":
        return _file_list(request)
    file = request.FILES.get("file")
    if file is None:
        return _file_list(request, [_("No file was chosen.")], 400)
    try:
        stored = uploads.store(person(request), file.name or "", file.chunks())
    except BadFile as error:
        rest = [_("and %(n)d more lines") % {"n": error.total - len(error.problems)}]
        more = rest if error.total > len(error.problems) else []
        return _file_list(request, [*map(str, error.problems), *more], 400)
    except TuningError as error:
        return _file_list(request, [str(error)], error.status)
    messages.success(
        request, _("“%(name)s” was uploaded. Check its lines before you use it.") % {"name": stored.filename}
    )
    return redirect("data_file", stored.id)


def _file_list(request: HttpRequest, problems: list[str] | None = None, status: int = 200) -> HttpResponse:
    page = Paginator(files.of(person(request)), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "problems": problems or [], "megabytes": uploads.max_bytes() >> 20}
    return render(request, "fine_tuning/files.html", context, status=status)


@require_GET
def file_page(request: HttpRequest, file_id: str) -> HttpResponse:
    """The file's lines, with their tokens for a model."""
    file = _own_file(request, file_id)
    if file.purpose != DataFile.Purpose.FINE_TUNE:
        return redirect("data_content", file.id)
    known = base_models.available_to(person(request))
    model = request.GET.get("model", "")
    model = model if model in known else next(iter(known), "")
    number = _page_number(request, file)
    context = {
        "file": file,
        "model": model,
        "models": known,
        "lines": _lines_of(file, number, known.get(model)),
        "page": Paginator(range(file.lines), LINES).get_page(number),
        "filters": f"model={model}",
        "words": [{**note, "said": emptiness_text(note["code"])} for note in file.problems],
    }
    if model:
        try:
            context["counted"] = estimates.count_tokens(file, known[model])
        except BadPolicy as error:
            context["trouble"] = error.message
    return render(request, "fine_tuning/file.html", context)


def _page_number(request: HttpRequest, file: DataFile) -> int:
    text = request.GET.get("page", "1")
    return min(int(text[:9]), max(1, -(-file.lines // LINES))) if text.isdecimal() and int(text[:9]) else 1


def _lines_of(file: DataFile, number: int, policy: Policy | None) -> list[dict[str, object]]:
    try:
        count = tokens.counter(policy) if policy is not None else None
    except BadPolicy:
        count = None
    found = (line for line in formats.lines(file.fetched(), file.filename) if line.row is not None)
    shown = islice(found, (number - 1) * LINES, number * LINES)
    return [
        {"number": line.number, "row": line.row, "tokens": _tokens_in(count, line.form, line.row)}
        for line in shown
        if line.row is not None
    ]


def _tokens_in(count: tokens.TokenCounter | None, form: str, row: formats.Row) -> int | None:
    """None where it cannot be counted; the line is then listed among the unusable ones."""
    try:
        return count(form, row) if count is not None else None
    except TurnsRefused:
        return None


@require_http_methods(["GET", "POST"])
def prepare(request: HttpRequest, file_id: str) -> HttpResponse:
    """Shows the proposed changes; a POST applies the chosen ones and saves a new file."""
    file = _own_file(request, file_id)
    if file.purpose != DataFile.Purpose.FINE_TUNE:
        raise Http404
    if request.method == "POST":
        return _save_prepared(request, file)
    chosen = request.GET.getlist("change") if "look" in request.GET else None
    prepared = prepared_files.preview(file, chosen)
    context = {
        "file": file,
        "prepared": prepared,
        "chosen": chosen if chosen is not None else [change.code for change in prepared.changes],
        "is_split": prepared_files.should_split(prepared),
        "first": prepared.rows[:3],
    }
    return render(request, "fine_tuning/prepare.html", context)


def _save_prepared(request: HttpRequest, file: DataFile) -> HttpResponse:
    chosen, split = request.POST.getlist("change"), request.POST.get("split") == "on"
    try:
        made = prepared_files.save(person(request), file, chosen, split=split)
    except TuningError as error:
        messages.error(request, str(error))
        return redirect("prepare_file", file.id)
    names = ", ".join(one.filename for one in made)
    messages.success(request, _("Saved as %(names)s. The original file is unchanged.") % {"names": names})
    return redirect("data_file", made[0].id)


@require_GET
def content(request: HttpRequest, file_id: str) -> FileResponse:
    file = _own_file(request, file_id)
    try:
        opened = file.fetched().open("rb")
    except FileNotFoundError as error:
        raise Http404 from error
    response = FileResponse(opened, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, file.filename) or "attachment"
    return response


@require_POST
def delete(request: HttpRequest, file_id: str) -> HttpResponse:
    file = _own_file(request, file_id)
    uploads.remove(file)
    messages.success(request, _("“%(name)s” was deleted.") % {"name": file.filename})
    return redirect("data_files")


def _own_file(request: HttpRequest, file_id: str) -> DataFile:
    return get_object_or_404(files.of(person(request)), pk=file_id)
