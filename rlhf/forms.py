"""Forms of the training pages: start a cycle, give the reason of a rollback or a forced promotion."""

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from rlhf.labels import ALGORITHMS, JUDGES

MOST_COMPARISONS = 1000


class StartForm(forms.Form):
    algorithm = forms.ChoiceField(label=_("Algorithm"), choices=list(ALGORITHMS.items()))
    judge = forms.ChoiceField(label=_("Who judges"), choices=list(JUDGES.items()), required=False)
    comparisons = forms.IntegerField(
        label=_("Comparisons by people"),
        min_value=0,
        max_value=MOST_COMPARISONS,
        required=False,
        initial=lambda: settings.RLHF_CYCLE_COMPARISONS,
        help_text=_("The gate decides once people have compared so many pairs of replies blindly; 0: none."),
    )


class CanaryForm(forms.Form):
    percent = forms.IntegerField(
        label=_("Share of the chats, in percent"),
        min_value=1,
        max_value=100,
        initial=lambda: settings.CANARY["percent"] or 10,
    )


class AuditReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"), max_length=500, help_text=_("Recorded in the audit log."), widget=forms.TextInput
    )


class ForceForm(AuditReasonForm):
    understood = forms.BooleanField(
        label=_("The gate rejected this policy or never evaluated it. I take responsibility.")
    )
