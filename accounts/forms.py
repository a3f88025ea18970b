"""Forms of sign-in and sign-up, and the filters of the audit log and of notices."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, UserCreationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, QueryDict
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import audit_labels
from accounts.models import AuditEntry, ConsentText, Notice, User
from accounts.throttle import Attempts


class SignInForm(AuthenticationForm):
    """Sign-in that counts failures and says when the next try is possible."""

    retry_after_s = 0

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": _("Wrong username or password. Check capitals and try again."),
        "inactive": _("This account is closed. Contact an admin of this site."),
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.label_suffix = ""
        self.fields["username"].label = _("Username")
        if self.is_bound and self.data.get("username"):
            self.fields["username"].widget.attrs.pop("autofocus", None)
            self.fields["password"].widget.attrs["autofocus"] = True  # it is what has to be typed again

    def clean(self) -> dict[str, Any]:
        attempts = Attempts(self.cleaned_data.get("username", ""), self.address)
        self.retry_after_s = attempts.retry_after_s()
        if self.retry_after_s:
            raise ValidationError(too_many_attempts(self.retry_after_s), code="throttled")
        try:
            cleaned = super().clean()
        except ValidationError as error:
            attempts.add_failure()
            raise self.suspension() or error from None
        attempts.forget()
        return cleaned

    def suspension(self) -> ValidationError | None:
        """The error that tells a suspended person why; only somebody who knows the password gets it."""
        user = User.objects.filter(username=self.cleaned_data.get("username", "")).first()
        if user is None or not user.is_suspended or not user.check_password(self.cleaned_data.get("password", "")):
            return None
        until = date_format(localtime(user.suspended_until), "DATETIME_FORMAT")
        words = gettext("This account is suspended until %(until)s. Reason: %(reason)s")
        return ValidationError(words % {"until": until, "reason": user.suspended_reason or "-"}, code="suspended")

    @property
    def address(self) -> str:
        # The address that the server saw: X-Forwarded-For is whatever the sender writes.
        return str(self.request.META.get("REMOTE_ADDR", "")) if self.request else ""


def too_many_attempts(retry_after_s: int) -> str:
    minutes = -(-retry_after_s // 60)
    return ngettext(
        "Too many failed sign-ins for this username. Try again in %(minutes)d minute.",
        "Too many failed sign-ins for this username. Try again in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}


def too_many_sign_ups(retry_after_s: int) -> str:
    minutes = -(-retry_after_s // 60)
    return ngettext(
        "Too many accounts were created from your network. Try again in %(minutes)d minute.",
        "Too many accounts were created from your network. Try again in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}


class _WeakPasswordAtItsField:
    """Reports a weak password where it was typed first, and not at the field that repeats it."""

    def validate_password_for_user(self, user: User, *repeated: str) -> None:
        first = repeated[0].replace("2", "1") if repeated else "password1"
        super().validate_password_for_user(user, first)  # type: ignore[misc]  # of Django's form beside it


class NewPasswordForm(_WeakPasswordAtItsField, PasswordChangeForm):
    pass


class SignUpForm(_WeakPasswordAtItsField, UserCreationForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = User
        fields = ("username",)
        labels = {"username": _("Username")}
        help_texts = {"username": _("Only moderators can see it. Letters, digits and @ . + - _")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.fields["password1"].help_text = _("At least 10 characters. Not only digits, and not a common password.")


class AuditFilter(forms.Form):
    """Which entries of the audit log to show; nothing chosen shows all."""

    verb = forms.ChoiceField(label=_("Action"), required=False)
    actor = forms.CharField(label=_("User"), required=False, max_length=150)
    target = forms.CharField(label=_("Target"), required=False, max_length=120)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        verbs = AuditEntry.objects.order_by("verb").values_list("verb", flat=True).distinct()
        choices = [("", gettext("all")), *((verb, audit_labels.name_of(verb)) for verb in verbs)]
        self.fields["verb"] = forms.ChoiceField(label=_("Action"), required=False, choices=choices)

    def lookups(self) -> dict[str, Any]:
        """The chosen filters as the keyword arguments of a queryset's filter."""
        fields = {
            "verb": "verb",
            "actor": "actor__username__icontains",
            "target": "target__icontains",
            "since": "at__date__gte",
            "until": "at__date__lte",
        }
        chosen = self.cleaned_data if self.is_valid() else {}
        return {lookup: chosen[name] for name, lookup in fields.items() if chosen.get(name)}


class NoticeFilter(forms.Form):
    """Which of their notices a person sees; nothing chosen shows all."""

    kind = forms.ChoiceField(label=_("Kind"), required=False)
    unread = forms.BooleanField(label=_("Unread only"), required=False)

    def __init__(self, kinds: Sequence[Notice.Kind], data: QueryDict | None) -> None:
        super().__init__(data, label_suffix="")
        self.fields["kind"] = forms.ChoiceField(
            label=_("Kind"),
            required=False,
            choices=[("", gettext("all")), *((kind.value, kind.label) for kind in kinds)],
        )

    def lookups(self) -> dict[str, Any]:
        """The chosen filters as the keyword arguments of a queryset's filter."""
        chosen = self.cleaned_data if self.is_valid() else {}
        kind = {"kind": chosen["kind"]} if chosen.get("kind") else {}
        return {**kind, **({"read_at": None} if chosen.get("unread") else {})}


MOST_CONSENT_CHARS = 10_000


class ConsentTextForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    based_on = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = ConsentText
        fields = ("text_en", "text_ko", "asks_again")
        labels = {
            "text_en": _("Text in English"),
            "text_ko": _("Text in Korean"),
            "asks_again": _("Ask everybody again"),
        }
        help_texts = {
            "text_en": _("In Markdown. Say who reads the texts, what they are used for, and how to withdraw."),
            "asks_again": _("Leave this on unless the new words say the same as before, as after a typo."),
        }
        widgets = {
            "text_en": forms.Textarea(attrs={"rows": 14, "maxlength": MOST_CONSENT_CHARS}),
            "text_ko": forms.Textarea(attrs={"rows": 14, "maxlength": MOST_CONSENT_CHARS}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"asks_again": True, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        """Browsers send line ends as CR LF."""
        values = super().clean() or {}
        for name in ("text_en", "text_ko"):
            if name in values:
                values[name] = values[name].replace("\r\n", "\n")
                if len(values[name]) > MOST_CONSENT_CHARS:
                    said = gettext("It may have at most %(n)d characters.")
                    self.add_error(name, said % {"n": MOST_CONSENT_CHARS})
        return values
