"""The page of an invitation link: who is signed in joins the project, who is not makes an account or signs in."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts import signing_up
from accounts.forms import SignUpForm, too_many_sign_ups
from accounts.models import User
from feedback.models import ProjectInvitation
from feedback.projects import invitations
from feedback.projects.errors import LinkInvalid


@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
def join_project(request: HttpRequest, token: str) -> HttpResponse:
    try:
        invitation = invitations.found(token)
        if request.method != "POST":
            return _page(request, invitation, None if request.user.is_authenticated else SignUpForm())
        return _join(request, token, invitation)
    except LinkInvalid as error:
        return render(request, "feedback/projects/bad_link.html", {"error": error}, status=404)


def _join(request: HttpRequest, token: str, invitation: ProjectInvitation) -> HttpResponse:
    """A new account and its membership are made together, or neither. An invitation opens a closed sign-up."""
    if isinstance(request.user, User):
        return redirect("project", invitations.accept(token, request.user).key)
    form = SignUpForm(request.POST)
    if not form.is_valid():
        return _page(request, invitation, form, status=400)
    try:
        with transaction.atomic():
            made = signing_up.sign_up(request, form)
            joined = invitations.accept(token, made)
    except signing_up.TooManySignUps as error:
        form.add_error(None, too_many_sign_ups(error.retry_after_s))
        response = _page(request, invitation, form, status=429)
        response["Retry-After"] = str(error.retry_after_s)
        return response
    return redirect("project", joined.key)


def _page(
    request: HttpRequest, invitation: ProjectInvitation, form: SignUpForm | None, status: int = 200
) -> HttpResponse:
    return render(request, "feedback/projects/join.html", {"invitation": invitation, "form": form}, status=status)
