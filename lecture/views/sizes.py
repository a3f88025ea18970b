"""The page of sizes: the lecture's tables computed, and a sentence in tokens."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from chat.errors import ChatError
from lecture import choosing, sizes, token_view

ENGLISH = "A Transformer is the RNN with attention from which the RNN was left out."
KOREAN = "Transformer 는 RNN + Attention 모델에서 RNN을 빼버린 모델"


@require_GET
def sizes_page(request: HttpRequest) -> HttpResponse:
    lesson, _lessons = choosing.chosen(request)
    texts = [request.GET.get(name, text)[: token_view.LONGEST] for name, text in (("a", ENGLISH), ("b", KOREAN))]
    context: dict[str, object] = {
        "lesson": lesson,
        "models": sizes.models(),
        "widths": sizes.widths(),
        "sources": [(source, source.epochs(sizes.GPT3_BILLIONS)) for source in sizes.SOURCES],
        "weights_sum": sizes.weights_sum(),
        "billions": sizes.GPT3_BILLIONS,
        "gigaflops": sizes.operations_a_second() / 1e9,
        "texts": texts,
        "longest": token_view.LONGEST,
    }
    try:
        context["views"] = [token_view.view(text) for text in texts]
    except ChatError as error:
        context["trouble"] = error.message
    return render(request, "lecture/sizes.html", context)
