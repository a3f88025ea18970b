"""The page "Counting or computing": all models that were taught a text in one table, and their curves."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.requests import person
from lecture import choosing, figures


@require_GET
def comparison(request: HttpRequest) -> HttpResponse:
    lesson, lessons = choosing.chosen(request)
    context: dict[str, object] = {"lesson": lesson, "lessons": lessons}
    context |= choosing.teaching_context(person(request), lesson)
    if lesson is not None and lesson.is_ready:
        context |= {
            "rows": figures.rows(lesson),
            "over_text": figures.over_text(lesson),
            "over_seconds": figures.over_seconds(lesson),
            "verdict": figures.verdict(lesson),
            "gaps": figures.gaps(lesson),
        }
    return render(request, "lecture/comparison.html", context)
