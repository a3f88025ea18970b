"""Makes an account from the sign-up form and signs it in, so many from one address and no more."""

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest
from django.utils import translation

from accounts.context import theme_of
from accounts.forms import SignUpForm
from accounts.models import User
from accounts.throttle import SignUps


class TooManySignUps(Exception):
    """From this address, for now."""

    code = "too_many_sign_ups"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


def sign_up(request: HttpRequest, form: SignUpForm) -> User:
    """With the language and appearance of the page. `form` is valid. Raises TooManySignUps."""
    # The address that the server saw: X-Forwarded-For is whatever the sender writes.
    made = SignUps(str(request.META.get("REMOTE_ADDR", "")))
    if wait_s := made.retry_after_s():
        raise TooManySignUps(wait_s)
    user: User = form.save(commit=False)
    user.language, user.theme = translation.get_language() or "", theme_of(request)
    user.save()
    made.add()
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    return user
