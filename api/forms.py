"""Forms of the page of aliases."""

from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from api.model_names import LIVE
from api.models import Alias
from chat import policies
from chat.models import Policy

NAME = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._:/-]*\Z", gettext_lazy("Only letters, digits and . _ : / - are allowed.")
)


class AliasPolicyField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    def label_from_instance(self, obj: Policy) -> str:
        return f"{obj.label or obj.name} · v{obj.version}"


class AliasForm(forms.Form):
    """Changes the model of an existing alias; its fields stand in a row of the table."""

    policy = AliasPolicyField(
        queryset=Policy.objects.none(),
        required=False,
        label=gettext_lazy("Model"),
        empty_label=gettext_lazy("The live model"),
    )

    def __init__(self, person: User, data: Any = None, *, alias: Alias | None = None) -> None:
        row = f"alias-{alias.pk}" if alias else "new-alias"
        super().__init__(data, initial={"policy": alias.policy_id if alias else None}, auto_id=f"{row}-%s")
        self.label_suffix = ""
        self.alias, self.row = alias, row
        choices = self.fields["policy"]
        assert isinstance(choices, AliasPolicyField)
        choices.queryset = policies.visible_to(person)
        if alias is not None:  # the input of a row stands in a cell, outside of its form
            choices.widget.attrs |= {"form": row, "aria-label": f"{alias.name}: {choices.label}"}


class NewAliasForm(AliasForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=80,
        validators=[NAME],
        help_text=gettext_lazy("The model name that programs send, for example gpt-3.5-turbo."),
    )
    field_order = ("name", "policy")

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name == LIVE or Policy.objects.filter(name=name).exists():
            raise forms.ValidationError(_("A model already has this name. Choose another one."), code="taken")
        return name
