"""Forms of the training pages: start a cycle, give the reason of a rollback or a forced promotion."""

from django import forms
from django.utils.translation import gettext_lazy as _

from rlhf.labels import ALGORITHMS


class StartForm(forms.Form):
    algorithm = forms.ChoiceField(label=_("Algorithm"), choices=list(ALGORITHMS.items()))


class AuditReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"), max_length=500, help_text=_("Recorded in the audit log."), widget=forms.TextInput
    )


class ForceForm(AuditReasonForm):
    understood = forms.BooleanField(
        label=_("The gate rejected this policy or never evaluated it. I take responsibility.")
    )
