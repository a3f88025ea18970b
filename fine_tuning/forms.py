"""Forms of the pages of fine-tuned models."""

from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from chat.errors import BadPolicy
from chat.models import Policy
from fine_tuning import base_models, fine_tuned_models
from fine_tuning.data import files
from fine_tuning.errors import OnlyAdapters
from fine_tuning.jobs import lifecycle, plan
from fine_tuning.models import DataFile, FineTune


class FileField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    def label_from_instance(self, obj: DataFile) -> str:
        return _("%(name)s (%(lines)d lines)") % {"name": obj.filename, "lines": obj.lines}


class JobForm(forms.Form):
    """Only the training file has to be chosen; everything else has a default."""

    model = forms.ChoiceField(
        label=gettext_lazy("Base model"),
        help_text=gettext_lazy("2023 names keep 2023 prices and run the model an admin chose."),
    )
    training = FileField(label=gettext_lazy("Training file"), queryset=DataFile.objects.none())
    validation = FileField(
        label=gettext_lazy("Validation file"),
        queryset=DataFile.objects.none(),
        required=False,
        empty_label=gettext_lazy("a tenth of the lines, held out from training"),
    )
    method = forms.ChoiceField(label=gettext_lazy("Method"), choices=FineTune.Method.choices)
    scope = forms.ChoiceField(
        label=gettext_lazy("Trained part"), choices=FineTune.Scope.choices, widget=forms.RadioSelect
    )
    n_epochs = forms.IntegerField(label=gettext_lazy("Epochs"), required=False, min_value=1, max_value=50)
    batch_size = forms.IntegerField(label=gettext_lazy("Batch size"), required=False, min_value=1, max_value=256)
    learning_rate_multiplier = forms.FloatField(
        label=gettext_lazy("Learning rate multiplier"), required=False, min_value=1e-4, max_value=100
    )
    seed = forms.IntegerField(label=gettext_lazy("Seed"), required=False, min_value=0, max_value=2**31 - 1)
    suffix = forms.CharField(
        label=gettext_lazy("Name"),
        required=False,
        max_length=40,
        help_text=gettext_lazy("It becomes part of the model's name: lower-case letters, digits and hyphens."),
    )
    HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")

    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.known = base_models.available_to(person)
        for name in ("training", "validation"):
            field = self.fields[name]
            assert isinstance(field, FileField)
            field.queryset = files.training_files_of(person)
        choices = self.fields["model"]
        assert isinstance(choices, forms.ChoiceField)
        choices.choices = [(name, _named(name, policy)) for name, policy in self.known.items()]
        for name in self.HYPERPARAMETERS:
            self.fields[name].widget.attrs["placeholder"] = _("based on the data")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in ("training", "validation"):
            file = cleaned.get(name)
            if file is not None and "method" in cleaned and file.form not in lifecycle.FORMS[cleaned["method"]]:
                self.add_error(name, _("This method can't use lines in this format."))
        if "scope" in cleaned and "method" in cleaned and cleaned["scope"] not in plan.SCOPES[cleaned["method"]]:
            self.add_error("scope", _("Reinforcement learning trains LoRA adapters only."))
        elif "scope" in cleaned and "model" in cleaned:
            self._check_scope(self.known[cleaned["model"]], cleaned["scope"])
        return cleaned

    def _check_scope(self, policy: Policy, scope: str) -> None:
        try:
            plan.refuse_scope(policy, scope)
        except OnlyAdapters as error:
            self.add_error("scope", str(error))
        except BadPolicy as error:
            self.add_error("model", str(error.message))

    def policy(self) -> Policy:
        return self.known[self.cleaned_data["model"]]

    def hyperparameters(self) -> dict[str, Any]:
        return {name: self.cleaned_data.get(name) for name in self.HYPERPARAMETERS}


def _named(name: str, policy: Policy) -> str:
    resolved = policy.label or policy.name
    return name if name == resolved else f"{name} → {resolved}"


class GroupField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    """Groups: the roles, and any that an admin has added."""


class ShareForm(forms.Form):
    group = GroupField(
        label=gettext_lazy("Used by"),
        queryset=Group.objects.none(),
        required=False,
        empty_label=gettext_lazy("only you"),
    )

    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        field = self.fields["group"]
        assert isinstance(field, GroupField)
        field.queryset = Group.objects.filter(pk__in=[group.pk for group in fine_tuned_models.groups_of(person)])
