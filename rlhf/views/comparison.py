"""The page on which two runs are laid over each other, for whoever may see both."""

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.requests import person
from rlhf import visibility
from rlhf.charts import run_comparison
from rlhf.charts.curve_options import CurveOptions
from rlhf.charts.run_comparison import Stages
from rlhf.models import Run

CHOICES = 50
DIGITS = 18
"""An id with as many is none that a database can hold."""


@require_safe
def compare_page(request: HttpRequest) -> HttpResponse:
    """`a` and `b`: ids of runs; without both, the page asks for them."""
    seen = visibility.runs_for(person(request)).select_related("snapshot", "base_policy", "policy")
    chosen = {name: _run(seen, request.GET.get(name, "")) for name in ("a", "b")}
    newest = list(seen.filter(parent=None).exclude(kind=Run.Kind.FINE_TUNE)[:CHOICES])
    others = [run for run in chosen.values() if run is not None and run not in newest]
    context: dict[str, object] = {**chosen, "choices": [*newest, *dict.fromkeys(others)]}
    if chosen["a"] is not None and chosen["b"] is not None:
        one, other = Stages.of(chosen["a"]), Stages.of(chosen["b"])
        options = CurveOptions.read(request.GET, "a", "b")
        context |= {
            "curve_options": options,
            "differences": run_comparison.differences(one, other),
            "figures": run_comparison.figures(one, other),
            "groups": run_comparison.curves(one, other, options),
        }
    return render(request, "rlhf/comparison.html", context)


def _run(seen: QuerySet[Run], given: str) -> Run | None:
    """None where none was asked for. Http404 where what was asked for is not there, or not for this reader."""
    if not given:
        return None
    is_number = given.isascii() and given.isdigit() and len(given) < DIGITS
    found = seen.filter(pk=int(given)).first() if is_number else None
    if found is None:
        raise Http404
    return found
