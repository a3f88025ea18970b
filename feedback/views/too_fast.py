"""The page on which a lead or an admin looks at judgements that were faster than reading allows."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.requests import person
from feedback.errors import Refusal
from feedback.forms import TooFastForm
from feedback.models import Project
from feedback.trust import too_fast
from feedback.views.projects import led


@require_safe
def too_fast_judgements(request: HttpRequest, key: str) -> HttpResponse:
    return _page(request, led(request, key))


@require_POST
def decide_too_fast(request: HttpRequest, key: str) -> HttpResponse:
    of, form = led(request, key), TooFastForm(request.POST)
    if not form.is_valid():
        return _page(request, of, form, 400)
    given = form.cleaned_data
    judge = get_object_or_404(User, pk=given["person"])
    try:
        decided = too_fast.decide(
            of,
            judge,
            until=given["until"],
            counts=given["state"] == "count",
            actor=person(request),
            reason=given["reason"],
        )
    except Refusal as error:
        form.add_error(None, str(error))
        return _page(request, of, form, 409)
    said = ngettext(
        "Decided on %(n)d judgement. The next snapshot follows it.",
        "Decided on %(n)d judgements. The next snapshot follows it.",
        decided,
    )
    messages.success(request, said % {"n": decided})
    return redirect("too_fast_judgements", key)


def _page(request: HttpRequest, of: Project, failed: TooFastForm | None = None, status: int = 200) -> HttpResponse:
    """`failed`: the form that was refused, which stands at its person again."""
    of_failed = failed.data.get("person") if failed is not None else None
    rows = [
        (row, failed if failed is not None and str(row.person.pk) == of_failed else TooFastForm.of(row))
        for row in too_fast.people(of)
    ]
    is_lost = failed is not None and all(form is not failed for _row, form in rows)
    page = {"project": of, "rows": rows, "lost": failed if is_lost else None}
    return render(request, "feedback/projects/too_fast.html", page, status=status)
