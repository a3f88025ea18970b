"""What the pages of assistants and of the site's choices accept."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from accounts.roles import Role
from chat import assistants, policies
from chat.engines.engine import MAX_SEED, MAX_STOP_CHARS, MAX_STOPS
from chat.models import Assistant, Policy, SiteChoices


@dataclass(frozen=True)
class Example:
    """A row of the form: what a person says, and how the assistant answers."""

    user: str = ""
    assistant: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.user or self.assistant)


class PolicyField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    def label_from_instance(self, obj: Policy) -> str:
        return obj.label or f"{obj.name} · v{obj.version}"


class LinesField(forms.CharField):
    """Strings, one a line."""

    widget = forms.Textarea(attrs={"rows": 2})

    def clean(self, value: Any) -> Any:
        lines = [line for line in plain(super().clean(value)).split("\n") if line]
        if len(lines) > MAX_STOPS:
            raise forms.ValidationError(_("At most %(number)d of them.") % {"number": MAX_STOPS})
        if any(len(line) > MAX_STOP_CHARS for line in lines):
            raise forms.ValidationError(_("At most %(number)d characters each.") % {"number": MAX_STOP_CHARS})
        return lines

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value


class AssistantForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    policy = PolicyField(
        queryset=Policy.objects.none(),
        required=False,
        label=gettext_lazy("Model"),
        empty_label=gettext_lazy("Whichever is live"),
        help_text=gettext_lazy("A named version stays the same while the live one goes on learning."),
    )
    temperature = forms.FloatField(
        required=False,
        min_value=0,
        max_value=2,
        label=gettext_lazy("Temperature"),
        help_text=gettext_lazy(
            "How much chance decides. 0 takes the most probable word each time; 1 draws words as often as the model "
            "finds them probable; above 1 the improbable ones gain."
        ),
    )
    top_p = forms.FloatField(
        required=False,
        min_value=0.01,
        max_value=1,
        label="Top-p",
        help_text=gettext_lazy(
            "Draws from the most probable words alone, as many as make up this share of the probability. "
            "1 leaves none out; 0.9 cuts the tail off, where nonsense lives."
        ),
    )
    max_completion_tokens = forms.IntegerField(
        required=False,
        min_value=1,
        label=gettext_lazy("Longest reply, in tokens"),
        help_text=gettext_lazy(
            "A token is about three quarters of an English word, and often less than a Korean syllable block. "
            "What is kept for the reply is not there for the history."
        ),
    )
    seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SEED,
        label=gettext_lazy("Seed"),
        help_text=gettext_lazy(
            "Where the chance begins. With a number, the same words before it lead to the same reply, also when you "
            "ask for another one; empty, each reply is drawn anew."
        ),
    )
    stop = LinesField(
        required=False,
        strip=False,
        label=gettext_lazy("Stop strings"),
        help_text=gettext_lazy("One a line. The reply ends before the first of them that it would write."),
    )
    top_k = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=1_000_000,
        label="Top-k",
        help_text=gettext_lazy("Draws from so many of the most probable words alone; 0 leaves none out."),
    )
    presence_penalty = forms.FloatField(
        required=False,
        min_value=-2,
        max_value=2,
        label=gettext_lazy("Presence penalty"),
        help_text=gettext_lazy(
            "Above 0, words that stand in the reply already become less probable, so that it comes to other things; "
            "below 0, more probable."
        ),
    )
    frequency_penalty = forms.FloatField(
        required=False,
        min_value=-2,
        max_value=2,
        label=gettext_lazy("Frequency penalty"),
        help_text=gettext_lazy("The same for each time that a word stands there: against endless repetition."),
    )
    SAMPLING = (
        "temperature",
        "top_p",
        "top_k",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "stop",
    )
    WITH_DEFAULT = ("temperature", "top_p", "top_k", "max_completion_tokens", "presence_penalty", "frequency_penalty")

    class Meta:
        model = Assistant
        fields = ("name", "description", "system_prompt", "policy", "is_shared")
        labels = {"is_shared": gettext_lazy("For everybody on this site")}
        help_texts = {
            "description": gettext_lazy("One line for the list, so that one knows what it is good for."),
            "system_prompt": gettext_lazy(
                "What the model is told before every conversation: who it is to be, how it is to answer."
            ),
            "is_shared": gettext_lazy(
                "Everybody can talk with it and read its instructions. Changes go into the audit log."
            ),
        }
        widgets = {"system_prompt": forms.Textarea(attrs={"rows": 6})}

    def __init__(self, person: User, data: QueryDict | None = None, *, instance: Assistant) -> None:
        super().__init__(data, instance=instance, initial=dict(instance.parameters))
        self.label_suffix = ""
        self.posted = data
        models = self.fields["policy"]
        assert isinstance(models, PolicyField)
        models.queryset = assistants.named_policies(person)
        self.fields["max_completion_tokens"].widget.attrs["max"] = settings.CHAT_CONTEXT_TOKENS
        for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
            self.fields[name].widget.attrs["step"] = "any"
        defaults = assistants.default_parameters()
        for name in self.WITH_DEFAULT:
            self.fields[name].widget.attrs["placeholder"] = str(getattr(defaults, name))
        if not person.has_role(Role.ADMIN):
            del self.fields["is_shared"]

    @property
    def examples(self) -> list[Example]:
        """As they were sent, else as they are stored."""
        if self.posted is None:
            return [Example(**example) for example in self.instance.examples]
        asked, answered = (self.posted.getlist(f"example_{side}") for side in ("user", "assistant"))
        sent = zip(asked, answered, strict=False)
        return [Example(plain(user).strip(), plain(assistant).strip()) for user, assistant in sent]

    @property
    def names_retired(self) -> bool:
        """The stored version is gone, and another one has to be chosen."""
        return self.instance.policy is not None and self.instance.policy.retired_at is not None

    @property
    def sampling(self) -> list[forms.BoundField]:
        return [self[name] for name in self.SAMPLING]

    def clean_system_prompt(self) -> str:
        return self._short(plain(self.cleaned_data["system_prompt"]))

    def clean_max_completion_tokens(self) -> int | None:
        wanted: int | None = self.cleaned_data["max_completion_tokens"]
        if wanted is not None and wanted > settings.CHAT_CONTEXT_TOKENS:
            limit = settings.CHAT_CONTEXT_TOKENS
            raise forms.ValidationError(_("At most %(number)d, the whole context.") % {"number": limit})
        return wanted

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        policy = cleaned.get("policy")
        if policy and cleaned.get("is_shared") and not policies.for_everybody().filter(pk=policy.pk).exists():
            self.add_error("policy", _("An assistant for everybody can only use a model that everybody may use."))
        for number, example in enumerate(self.examples, start=1):
            if example.is_empty:
                continue
            if not (example.user and example.assistant):
                self.add_error(
                    None, _("Example %(number)d lacks one side. Fill it in or remove it.") % {"number": number}
                )
            for text in (example.user, example.assistant):
                try:
                    self._short(text)
                except forms.ValidationError as error:
                    self.add_error(None, _("Example %(number)d: ") % {"number": number} + error.messages[0])
        if len([example for example in self.examples if not example.is_empty]) > assistants.MAX_EXAMPLES:
            self.add_error(None, _("At most %(number)d examples.") % {"number": assistants.MAX_EXAMPLES})
        return cleaned

    def content(self) -> dict[str, Any]:
        """For assistants.save; sampling that is left empty stays the site's."""
        given = {name: self.cleaned_data[name] for name in self.SAMPLING}
        fields = {name: self.cleaned_data[name] for name in self.Meta.fields if name in self.fields}
        return {
            **fields,
            "examples": [
                {"user": example.user, "assistant": example.assistant}
                for example in self.examples
                if not example.is_empty
            ],
            "parameters": {name: value for name, value in given.items() if value not in (None, "", [])},
        }

    def _short(self, text: str) -> str:
        limit = settings.CHAT_MAX_MESSAGE_CHARS
        if "\0" in text:
            raise forms.ValidationError(_("There are characters in it that are not text."))
        if len(text) > limit:
            raise forms.ValidationError(
                ngettext(
                    "At most %(number)d character; these are %(length)d.",
                    "At most %(number)d characters; these are %(length)d.",
                    limit,
                )
                % {"number": limit, "length": len(text)}
            )
        return text


class ChoicesForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    side_by_side_percent = forms.IntegerField(
        min_value=0,
        max_value=100,
        label=gettext_lazy("Turns with two replies, in percent"),
        help_text=gettext_lazy(
            "That share of turns shows two replies without names, side by side, and asks which is better; 0: none. "
            "Each person can switch it off for themselves."
        ),
    )
    may_train_default = forms.TypedChoiceField(
        required=False,
        choices=(),
        coerce=lambda value: {"yes": True, "no": False}[value],
        empty_value=None,
        widget=forms.RadioSelect,
        label=gettext_lazy("New conversations may be used for training"),
        help_text=gettext_lazy(
            "What the switch of a new conversation says at first. Each person can change it per conversation, "
            "at any time."
        ),
    )

    class Meta:
        model = SiteChoices
        fields = ("side_by_side_percent", "may_train_default")

    def __init__(self, data: QueryDict | None = None, *, instance: SiteChoices) -> None:
        stored = {True: "yes", False: "no", None: ""}[instance.may_train_default]
        super().__init__(data, instance=instance, initial={"may_train_default": stored})
        self.label_suffix = ""
        default = _("yes") if settings.CHAT_CONSENT_DEFAULT else _("no")
        field = self.fields["may_train_default"]
        assert isinstance(field, forms.TypedChoiceField)
        field.choices = [
            ("yes", _("Yes, until the person says no")),
            ("no", _("No, until the person says yes")),
            ("", _("As the environment says: %(default)s") % {"default": default}),
        ]


def plain(text: str) -> str:
    """With the line breaks that models know."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
