"""The page of the next word: one prompt, and a column for each model."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import User
from accounts.requests import person
from chat.errors import ChatError
from lecture import choosing, live_policy, network_columns, next_word, taught
from lecture.errors import TextUnreadable
from lecture.next_word import TextPrompt

LONGEST = 500
"""Characters of a prompt."""


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    lesson, lessons = choosing.chosen(request)
    text = _asked(request)
    context: dict[str, object] = {"lesson": lesson, "lessons": lessons, "longest": LONGEST, "text": text}
    context |= choosing.teaching_context(person(request), lesson)
    if lesson is None or not lesson.is_ready:
        return render(request, "lecture/next_word.html", context)
    try:
        material = taught.material(lesson)
        text = text if text is not None else _example(material.facts["tokens_are"])
        prompt = TextPrompt(text, material.vocabulary)
        context |= {"text": text, "prompt": prompt, "columns": next_word.columns(lesson, prompt)}
        context["networks"] = network_columns.network_columns(lesson, prompt)
    except TextUnreadable as error:
        context["trouble"] = str(error)
    return render(request, "lecture/next_word.html", context)


def _asked(request: HttpRequest) -> str | None:
    """The prompt of the address; None where it names none."""
    given = request.GET.get("text")
    return None if given is None else given[-LONGEST:].replace("\r\n", "\n")


def _example(tokens_are: str) -> str:
    return "And the king of" if tokens_are == "words" else "우리는"


@require_GET
async def live_part(request: HttpRequest) -> HttpResponse:
    """The live policy's column, which is fetched behind the others: its weights may have to be loaded first."""
    reader: User = await sync_to_async(person)(request)
    context: dict[str, object]
    try:
        context = {"column": await live_policy.column(reader, _asked(request) or "")}
    except ChatError as error:
        context = {"trouble": error.message}
    context["lesson"] = request.GET.get("lesson", "")
    return await sync_to_async(render)(request, "lecture/live_column.html", context)
