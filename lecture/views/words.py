"""The page of words as vectors: a sum of three words, and neighbours, in the live policy's own embedding."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from chat.errors import ChatError
from lecture import word_arithmetic

USUAL = {"a": "king", "b": "man", "c": "woman"}


@require_GET
def words_page(request: HttpRequest) -> HttpResponse:
    words = {name: _word(request, name) for name in USUAL}
    context: dict[str, object] = {"words": words, "longest": word_arithmetic.LONGEST}
    try:
        context["sum"] = word_arithmetic.add_up(**words)
    except ChatError as error:
        context["trouble"] = error.message
    return render(request, "lecture/words.html", context)


def _word(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").strip()[: word_arithmetic.LONGEST] or USUAL[name]
