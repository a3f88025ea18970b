"""Pages of the consent: a person gives or withdraws it; admins change its words."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import consent_texts, consents
from accounts.forms import ConsentTextForm
from accounts.models import Consent, ConsentText
from accounts.requests import person
from base.requests import wants_json


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def consent(request: HttpRequest) -> HttpResponse:
    """A POST of `answer`: yes (with the `version` that was read), no (not now), or withdraw."""
    if request.method == "POST":
        return _answered(request)
    return _page(request)


def words_of(text: ConsentText) -> str:
    """In the language of the page."""
    return text.text_ko if (get_language() or "").startswith("ko") else text.text_en


def _words_of(given: Consent) -> str:
    text = consent_texts.numbered(given.version)
    return words_of(text) if text is not None else ""


def _page(request: HttpRequest, status: int = 200) -> HttpResponse:
    owner, text = person(request), consent_texts.current()
    context = {
        "text": text,
        "words": words_of(text),
        "given": consents.of(owner),
        "history": [(one, _words_of(one)) for one in owner.consents.all()],
        "next": _next(request),
    }
    return render(request, "accounts/consent.html", context, status=status)


def _answered(request: HttpRequest) -> HttpResponse:
    owner, answer = person(request), request.POST.get("answer", "")
    said = ""
    if answer == "yes":
        version = request.POST.get("version", "")
        try:
            consents.give(owner, int(version) if version.isdecimal() and len(version) < 10 else 0)
        except consents.OtherWords:
            return _other_words(request)
        said = _("You agreed. In each conversation you choose whether it may be used.")
    elif answer == "withdraw":
        consents.withdraw(owner)
        said = _("You withdrew your consent. Training is switched off in each of your conversations.")
    elif answer == "no":
        consents.decline(owner)
    else:
        return _page(request, 400)
    if wants_json(request):
        return JsonResponse({"is_given": consents.of(owner) is not None})
    if said:
        messages.success(request, said)
    return redirect(_next(request) or "consent")


def _other_words(request: HttpRequest) -> HttpResponse:
    problem = _("The words have changed since you opened the page. Read the new ones, then decide.")
    if wants_json(request):
        return JsonResponse({"error": {"code": consents.OtherWords.code, "message": problem}}, status=409)
    messages.error(request, problem)
    return _page(request, 409)


def _next(request: HttpRequest) -> str:
    """Where the person came from; only on this site."""
    asked = request.POST.get("next") or request.GET.get("next", "")
    return asked if url_has_allowed_host_and_scheme(asked, allowed_hosts=None) else ""


@require_http_methods(["GET", "HEAD", "POST"])
def edit_consent(request: HttpRequest) -> HttpResponse:
    """`preview` shows the texts as people would read them; without it they are stored."""
    in_force = consent_texts.current()
    form = ConsentTextForm(request.POST or None, instance=in_force, initial={"based_on": in_force.number})
    is_valid = request.method == "POST" and form.is_valid()
    if is_valid and "preview" not in request.POST and (made := _stored(request, form)):
        messages.success(request, _("Version %(number)d is in force.") % {"number": made.number})
        return redirect("edit_consent")
    context: dict[str, Any] = {
        "form": form,
        "preview": form.cleaned_data if is_valid and not form.errors else None,
        "versions": consent_texts.history(),
        "agreed": consents.in_force().count(),
    }
    return render(request, "accounts/edit_consent.html", context, status=400 if form.errors else 200)


def _stored(request: HttpRequest, form: ConsentTextForm) -> ConsentText | None:
    """None where somebody else was quicker; then the form says so and keeps what was written."""
    values = form.cleaned_data
    try:
        return consent_texts.edit(
            values["text_en"],
            values["text_ko"],
            actor=person(request),
            based_on=values["based_on"],
            asks_again=values["asks_again"],
        )
    except consent_texts.StaleConsentText as error:
        said = _("Somebody else stored version %(number)d in the meantime. Compare it, below, and save again.")
        form.add_error(None, said % {"number": error.newest})
        again = request.POST.copy()
        again["based_on"] = str(error.newest)
        form.data = again
        return None
