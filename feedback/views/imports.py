"""Pages of imports: a file of judgements from elsewhere is stored, with a report of what is left out."""

import tempfile
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.models import User
from accounts.requests import person
from base.requests import filters_of
from feedback.forms import ImportForm
from feedback.imports import left_out
from feedback.imports.errors import JudgementImportRefused
from feedback.imports.importing import import_file
from feedback.models import Import, Project

IMPORTS_A_PAGE = 25


@require_http_methods(["GET", "POST"])
def imports(request: HttpRequest) -> HttpResponse:
    form = ImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            made = _stored(values["file"], values["format"], values["project"], person(request))
        except JudgementImportRefused as error:
            form.add_error("file", str(error))
        else:
            return redirect("import_report", made.pk)
    rows = Import.objects.select_related("project", "created_by")
    page = Paginator(rows, IMPORTS_A_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "filters": filters_of(request), "limit_mb": settings.FEEDBACK_IMPORT_MB}
    return render(request, "feedback/imports.html", context, status=400 if form.errors else 200)


@require_GET
def import_report(request: HttpRequest, pk: int) -> HttpResponse:
    made = get_object_or_404(Import.objects.select_related("project", "created_by"), pk=pk)
    context = {"made": made, "reasons": left_out.counted(made), "lines": left_out.listed(made)}
    return render(request, "feedback/import_report.html", context)


def _stored(upload: "UploadedFile[bytes]", format_key: str, project: Project, by: User) -> Import:
    """Raises JudgementImportRefused."""
    with tempfile.NamedTemporaryFile(prefix="chamsae-import-") as file:
        for block in upload.chunks():
            file.write(block)
        file.flush()
        name = upload.name or _("file")
        return import_file(
            Path(file.name), format_key, project, name=name, by=by, limit_mb=settings.FEEDBACK_IMPORT_MB
        )
