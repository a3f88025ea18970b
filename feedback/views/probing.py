"""Pages of whoever probes: take a probe, talk with the model, hand the dialogue over, start over, or give it back."""

from uuid import uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts.requests import person
from chat.errors import ChatError
from feedback import rules
from feedback.forms import HandOverForm, SayForm
from feedback.models import Probe
from feedback.probing import handing_over, outcomes, talking
from feedback.probing.errors import NotYourProbe, ProbeError

OWN_SHOWN = 50
STATES = {
    Probe.State.TALKING.value: gettext_lazy("under way"),
    outcomes.TO_JUDGE: gettext_lazy("waits for its judgement"),
    outcomes.JUDGED: gettext_lazy("judged"),
    outcomes.LOST: gettext_lazy("not judged any more"),
    Probe.State.WITHDRAWN.value: gettext_lazy("withdrawn"),
}


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    prober = person(request)
    rows = list(Probe.objects.filter(prober=prober).select_related("rule", "task").order_by("-pk")[:OWN_SHOWN])
    states = outcomes.states_of(rows)
    page = {
        "under_way": talking.under_way(prober),
        "may_probe": talking.may_probe(prober),
        "waiting": talking.waiting(prober).count(),
        "rows": [(row, _name(row), STATES.get(states[row.pk], states[row.pk])) for row in rows],
    }
    return render(request, "feedback/probing/probing.html", page)


@require_POST
def take(request: HttpRequest) -> HttpResponse:
    try:
        taken = talking.take(person(request))
    except ProbeError as error:
        messages.info(request, str(error))
        return redirect("probing")
    return redirect("probe", taken.pk)


@require_safe
def probe(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        return _page(request, talking.own(pk, person(request)))
    except NotYourProbe as error:
        return _gone(request, error)


@require_safe
def turns(request: HttpRequest, pk: int) -> HttpResponse:
    """The dialogue alone, while a reply is being written."""
    try:
        own = talking.own(pk, person(request))
    except NotYourProbe as error:
        return HttpResponse(str(error), status=409)
    return render(request, "feedback/probing/turns.html", {"probe": own, "turns": talking.transcript(own)})


@require_POST
def say(request: HttpRequest, pk: int) -> HttpResponse:
    form = SayForm(request.POST)
    try:
        own = talking.own(pk, person(request))
        if not form.is_valid():
            return _page(request, own, say_form=form)
        talking.say(pk, person(request), form.cleaned_data["text"], form.cleaned_data["key"])
    except NotYourProbe as error:
        return _gone(request, error)
    except ProbeError as error:
        form.add_error("text", str(error))
    except ChatError as error:
        form.add_error("text", str(error.message))
    return _page(request, own, say_form=form) if form.errors else redirect("probe", pk)


@require_POST
def hand_over(request: HttpRequest, pk: int) -> HttpResponse:
    form = HandOverForm(request.POST)
    try:
        own = talking.own(pk, person(request))
        handing_over.hand_over(pk, person(request), form.grade_given())
    except NotYourProbe as error:
        return _gone(request, error)
    except ProbeError as error:
        return _page(request, own, refused=error, grade=form.grade_given())
    messages.success(request, _("Handed over. Somebody else judges the reply now, without being told of the probe."))
    return redirect("probing")


@require_POST
def start_over(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        talking.start_over(pk, person(request))
    except NotYourProbe as error:
        return _gone(request, error)
    messages.info(request, _("The dialogue begins anew. The former one is not used."))
    return redirect("probe", pk)


@require_POST
def give_back(request: HttpRequest, pk: int) -> HttpResponse:
    """`another`: the person wants one against another rule at once."""
    try:
        given = talking.give_back(pk, person(request))
    except NotYourProbe as error:
        return _gone(request, error)
    if "another" not in request.POST:
        messages.info(request, _("Given back, for somebody else. The dialogue is not used."))
        return redirect("probing")
    try:
        return redirect("probe", talking.take(person(request), not_against=given.rule).pk)
    except ProbeError as error:
        messages.info(request, str(error))
        return redirect("probing")


def _gone(request: HttpRequest, error: NotYourProbe) -> HttpResponse:
    messages.warning(request, str(error))
    return redirect("probing")


def _page(
    request: HttpRequest,
    own: Probe,
    *,
    say_form: SayForm | None = None,
    refused: ProbeError | None = None,
    grade: int | None = None,
) -> HttpResponse:
    shown = talking.transcript(own)
    version = rules.newest_of(own.rule)
    opening = handing_over.asked_of(own)
    begins = {"text": opening} if own.is_benign and not shown else {}
    page = {
        "probe": own,
        "version": version,
        "opening": opening,
        "turns": shown,
        "is_live": bool(shown) and shown[-1].is_live,
        "is_sensitive": own.rule.group in rules.HARMFUL_GROUPS,
        "form": say_form or SayForm(initial={**begins, "key": uuid4().hex}),
        "hand_over_form": HandOverForm(initial={"grade": grade}),
        "error": refused,
    }
    status = 400 if refused is not None or (say_form is not None and say_form.errors) else 200
    return render(request, "feedback/probing/probe.html", page, status=status)


def _name(row: Probe) -> str:
    version = rules.newest_of(row.rule)
    return version.name if version is not None else row.rule.key
