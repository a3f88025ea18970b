"""Forms of the training pages: start a cycle, give the reason of a rollback or a forced promotion."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from chat.models import Policy
from feedback import rules
from feedback.forms import ProjectField
from feedback.models import Project, Rule
from feedback.probing import ordering
from rlhf.labels import ALGORITHMS, EXPORTS, JUDGES

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


class RulesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    def label_from_instance(self, obj: Any) -> str:
        version = rules.newest_of(obj)
        return version.name if version is not None else str(obj)


class ProbeOrderForm(forms.Form):
    """Which policies are to be probed against which rules."""

    policies = forms.ModelMultipleChoiceField(
        Policy.objects.none(), label=_("Policies"), widget=forms.CheckboxSelectMultiple
    )
    rules = RulesField(Rule.objects.none(), label=_("Rules"), widget=forms.CheckboxSelectMultiple)
    count = forms.IntegerField(
        label=_("Probes of each policy against each rule"), min_value=1, max_value=ordering.MOST_AT_ONCE, initial=5
    )
    project = ProjectField(Project.objects.all(), label=_("For the people of"), empty_label=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policies, offered = self.fields["policies"], self.fields["rules"]
        assert isinstance(policies, forms.ModelMultipleChoiceField)
        assert isinstance(offered, forms.ModelMultipleChoiceField)
        policies.queryset = ordering.policies()
        offered.queryset = ordering.rules()

    def order(self) -> ordering.ProbeOrder:
        told = self.cleaned_data
        return ordering.ProbeOrder(list(told["policies"]), list(told["rules"]), told["count"], told["project"])


class AuditReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"), max_length=500, help_text=_("Recorded in the audit log."), widget=forms.TextInput
    )


class ForceForm(AuditReasonForm):
    understood = forms.BooleanField(
        label=_("The gate rejected this policy or never evaluated it. I take responsibility.")
    )


class ExportForm(forms.Form):
    format = forms.ChoiceField(label=_("Format"), choices=list(EXPORTS.items()))
    kind = forms.ChoiceField(label=_("Kind of file"), choices=[("jsonl", "JSONL"), ("parquet", "Parquet")])
    project = ProjectField(
        label=_("Project"), queryset=Project.objects.all(), required=False, empty_label=_("all projects")
    )
    licence = forms.CharField(
        label=_("Licence"),
        max_length=40,
        initial=lambda: settings.RLHF_EXPORT_LICENCE,
        help_text=_("On the card of the data set, by an identifier of the Hub such as cc-by-4.0."),
    )
