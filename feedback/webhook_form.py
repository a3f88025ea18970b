"""The form of a webhook."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from feedback.webhooks.addresses import LONGEST
from feedback.webhooks.events import EVENTS


class WebhookForm(forms.Form):
    """Whether the address may be had is checked where it is stored."""

    name = forms.CharField(label=_("Name"), max_length=60, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    url = forms.CharField(
        label=_("Address"),
        max_length=LONGEST,
        help_text=_("Where a program of yours waits, such as https://example.org/hook."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "url", "spellcheck": "false"}),
    )
    events = forms.MultipleChoiceField(
        label=_("What it is told of"), choices=[*EVENTS.items()], widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
