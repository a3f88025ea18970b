"""The page from which moderators download judgements as a data set."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from accounts import audit
from accounts.models import User
from accounts.requests import person
from feedback.models import Project, site_project
from rlhf.exports import writing
from rlhf.exports.errors import ExportRefused
from rlhf.forms import ExportForm


@require_http_methods(["GET", "POST"])
def export_judgements(request: HttpRequest) -> HttpResponse | FileResponse:
    form = ExportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return _download(form.cleaned_data, person(request))
        except ExportRefused as error:
            form.add_error("kind", str(error))
    return render(request, "rlhf/export.html", {"form": form}, status=400 if form.errors else 200)


def _download(values: dict[str, Any], by: User) -> FileResponse:
    """A zip of the card and the data, streamed from a file that goes with the answer. Raises ExportRefused."""
    project: Project | None = values["project"]
    wanted = writing.ExportRequest(
        values["format"], values["kind"], project.key if project is not None else None, values["licence"]
    )
    with ExitStack() as opened:
        packed = opened.enter_context(tempfile.TemporaryFile())
        _pack(wanted, project, by, packed)
        opened.pop_all()  # from here on the response closes it
    packed.seek(0)
    return FileResponse(packed, as_attachment=True, filename=f"{wanted.name}.zip", content_type="application/zip")


def _pack(wanted: writing.ExportRequest, project: Project | None, by: User, packed: IO[bytes]) -> None:
    """Raises ExportRefused."""
    with tempfile.TemporaryDirectory() as name, transaction.atomic():
        folder = Path(name) / "data"
        written = writing.write_folder(folder, wanted)
        writing.pack(folder, packed)
        after = {"format": wanted.format_key, "as": wanted.kind, "all_projects": project is None}
        target = project or Project.objects.get(pk=site_project())
        audit.record(by, "exports.make", target, after={**after, "rows": written.counts["rows"]})
