"""Pages that export a conversation as a file and import one."""

import json
import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import storage
from accounts.requests import person
from chat.conversations import exporting, importing
from chat.models import Conversation
from chat.views.requests import own_conversation

KINDS = {"json": "application/json", "md": "text/markdown; charset=utf-8"}


@never_cache
@require_safe
def export(request: HttpRequest, conversation_id: uuid.UUID, kind: str) -> HttpResponse:
    shown = own_conversation(request, conversation_id)
    if kind not in KINDS:
        raise Http404
    text = (
        json.dumps(exporting.as_json(shown), ensure_ascii=False, indent=1)
        if kind == "json"
        else exporting.as_markdown(shown)
    )
    name = f"{_file_name(shown)}.{kind}"
    disposition = content_disposition_header(True, name) or "attachment"
    return HttpResponse(text, content_type=KINDS[kind], headers={"Content-Disposition": disposition})


@require_http_methods(["GET", "HEAD", "POST"])
def import_file(request: HttpRequest) -> HttpResponse:
    """Imports a file and opens the conversation, or lists the file's problems with their places."""
    if request.method != "POST":
        return _form(request)
    file = request.FILES.get("file")
    if file is None:
        return _form(request, [importing.ImportProblem("", _("No file was chosen."))], 400)
    if (file.size or 0) > importing.MAX_BYTES:
        size = {"size": importing.MAX_BYTES // 2**20}
        return _form(request, [importing.ImportProblem("", _("the file is larger than %(size)d MB") % size)], 413)
    try:
        imported = importing.read(file.read())
    except importing.ImportRefused as refused:
        return _form(request, refused.problems, 400)
    try:
        made = importing.create(person(request), imported)
    except storage.QuotaSpent as error:
        text = _("your files and imports would take more than %(size)d MB: delete some first")
        return _form(request, [importing.ImportProblem("", text % {"size": error.megabytes})], 413)
    return redirect("conversation", made.pk)


def _form(
    request: HttpRequest, problems: list[importing.ImportProblem] | None = None, status: int = 200
) -> HttpResponse:
    context = {"problems": problems or [], "megabytes": importing.MAX_BYTES // 2**20}
    return render(request, "chat/import.html", context, status=status)


def _file_name(conversation: Conversation) -> str:
    """The title without characters that file systems refuse."""
    allowed = "".join(c if c.isalnum() or c in " -_." else " " for c in conversation.title)
    return " ".join(allowed.split())[:80].strip(". ") or "conversation"
