"""Orders the teaching of a text's models, for admins."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.requests import person
from lecture import teaching
from lecture.errors import NoSuchText
from rlhf import tasks
from rlhf.errors import RlhfError


@require_POST
def teach(request: HttpRequest) -> HttpResponse:
    """The site's text, or a file of the admin's own; never a path or a package that somebody types here."""
    source = request.POST.get("source") or settings.LECTURE_CORPUS
    try:
        if source != settings.LECTURE_CORPUS and not source.startswith(teaching.DATA):
            raise NoSuchText(source)
        families = request.POST.getlist("family") or teaching.COUNTING
        run = teaching.start(person(request), source, families, minutes=_minutes(request.POST.get("minutes", "")))
    except RlhfError as error:
        messages.error(request, str(error))
        return redirect("lecture")
    tasks.enqueue(run.pk)
    messages.success(request, _("The models of this text are being taught. The page of the run shows how far it is."))
    return redirect("run", run.pk)


def _minutes(text: str) -> int:
    """As asked for within bounds; the usual ones where it is no number."""
    return min(max(1, int(text[:9])), teaching.MOST_MINUTES) if text.isdecimal() else teaching.MINUTES
