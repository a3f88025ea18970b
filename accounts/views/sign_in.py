"""Pages of sign-in, sign-up, sign-out, change of password, and the choices of language and appearance."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import demo, signing_up, sockets
from accounts.context import THEME_COOKIE, THEMES
from accounts.forms import NewPasswordForm, SignInForm, SignUpForm, too_many_sign_ups
from accounts.middleware import LANGUAGE_COOKIE

YEAR_S = 365 * 24 * 3600


class SignIn(LoginView):
    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if settings.DEMO:
            context |= {"demo_accounts": demo.ACCOUNTS, "demo_password": settings.DEMO_PASSWORD}
        return context

    def form_valid(self, form: SignInForm) -> HttpResponse:  # type: ignore[override]
        response = super().form_valid(form)
        person = form.get_user()
        response = _with_language(response, person.language)
        return _with_cookie(response, THEME_COOKIE, person.theme) if person.theme else response

    def form_invalid(self, form: SignInForm) -> HttpResponse:  # type: ignore[override]
        response = super().form_invalid(form)
        if form.retry_after_s:
            response.status_code = 429
            response["Retry-After"] = str(form.retry_after_s)
        return response


@never_cache
@sensitive_post_parameters("password1", "password2")
def sign_up(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("home")
    if not settings.SIGN_UP_OPEN:
        return render(request, "accounts/sign_up_closed.html", status=403)
    form = SignUpForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            signing_up.sign_up(request, form)
        except signing_up.TooManySignUps as error:
            return _too_many(request, form, error.retry_after_s)
        return redirect("home")
    return render(request, "accounts/sign_up.html", {"form": form})


def _too_many(request: HttpRequest, form: SignUpForm, wait_s: int) -> HttpResponse:
    form.add_error(None, too_many_sign_ups(wait_s))
    response = render(request, "accounts/sign_up.html", {"form": form}, status=429)
    response["Retry-After"] = str(wait_s)
    return response


@never_cache
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    user = request.user
    logout(request)
    if user.is_authenticated:
        sockets.close(user)
        messages.success(request, _("You have signed out."))
    return redirect("sign_in")


class PasswordChange(PasswordChangeView):
    form_class = NewPasswordForm
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
        messages.success(self.request, _("Your password was changed. Your other devices have been signed out."))
        return response


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Stores the language in a cookie, and with the account so that it applies on other devices."""
    chosen = request.POST.get("language", "")
    address = _address_after(request)
    if chosen not in dict(settings.LANGUAGES):
        return redirect(address)
    if request.user.is_authenticated:
        request.user.language = chosen
        request.user.save(update_fields=["language"])
    return _with_language(redirect(address), chosen)


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """`theme`: light, dark, or empty for whatever the device has. In a cookie, and with the account."""
    chosen = request.POST.get("theme", "")
    response = redirect(_address_after(request))
    if chosen not in ("", *THEMES):
        return response
    if request.user.is_authenticated:
        request.user.theme = chosen
        request.user.save(update_fields=["theme"])
    return _with_cookie(response, THEME_COOKIE, chosen)


def _address_after(request: HttpRequest) -> str:
    """The page from which a form was sent (`next`), if it is one of this site."""
    address = request.POST.get("next", "")
    return address if url_has_allowed_host_and_scheme(address, {request.get_host()}, request.is_secure()) else "/"


def _with_language(response: HttpResponse, language: str) -> HttpResponse:
    return _with_cookie(response, LANGUAGE_COOKIE, language) if language else response


def _with_cookie(response: HttpResponse, name: str, value: str) -> HttpResponse:
    """Sets the cookie; an empty value removes it."""
    if value:
        response.set_cookie(
            name, value, max_age=YEAR_S, samesite="Lax", httponly=True, secure=settings.SESSION_COOKIE_SECURE
        )
    else:
        response.delete_cookie(name, samesite="Lax")
    return response
