"""Forms of assistants, of personal instructions and of the site's choices."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from accounts.roles import Role
from chat import assistants, instructions, policies
from chat.choosing.limit_fields import key_of_limit, limit_fields
from chat.engines.engine import MAX_SEED, MAX_STOP_CHARS, MAX_STOPS
from chat.models import Assistant, PersonalInstructions, Policy, SiteChoices

LONGEST_SYSTEM_PROMPT = 1500
"""Characters, as of each of a person's own instructions."""


@dataclass(frozen=True)
class ExampleExchange:
    """An example of the form: what a person says, and how the assistant answers."""

    user: str = ""
    assistant: str = ""
    problem: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.user or self.assistant)


class AssistantPolicyField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    def label_from_instance(self, obj: Policy) -> str:
        return obj.label or f"{obj.name} · v{obj.version}"


class LinesField(forms.CharField):
    """A list of strings, one on each line."""

    widget = forms.Textarea(attrs={"rows": 2})

    def clean(self, value: Any) -> Any:
        lines = [line for line in plain(super().clean(value)).split("\n") if line]
        if len(lines) > MAX_STOPS:
            raise forms.ValidationError(_("At most %(number)d.") % {"number": MAX_STOPS})
        if any(len(line) > MAX_STOP_CHARS for line in lines):
            raise forms.ValidationError(_("At most %(number)d characters each.") % {"number": MAX_STOP_CHARS})
        return lines

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value


class AssistantForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    policy = AssistantPolicyField(
        queryset=Policy.objects.none(),
        required=False,
        label=gettext_lazy("Model"),
        empty_label=gettext_lazy("The live model"),
        help_text=gettext_lazy("A fixed version stays the same while the live model keeps learning."),
    )
    temperature = forms.FloatField(
        required=False,
        min_value=0,
        max_value=2,
        label=gettext_lazy("Temperature"),
        help_text=gettext_lazy(
            "How random the words are. 0 always takes the most probable word; 1 samples words by "
            "their probabilities; above 1, improbable words become more likely."
        ),
    )
    top_p = forms.FloatField(
        required=False,
        min_value=0.01,
        max_value=1,
        label="Top-p",
        help_text=gettext_lazy(
            "Samples only from the most probable words that together reach this share of the "
            "probability. 1 includes all words; 0.9 leaves out the least probable ones."
        ),
    )
    max_completion_tokens = forms.IntegerField(
        required=False,
        min_value=1,
        label=gettext_lazy("Maximum reply length, in tokens"),
        help_text=gettext_lazy(
            "A token is about three quarters of an English word, and often less than one Korean "
            "syllable. Room reserved for the reply is not available for earlier messages."
        ),
    )
    seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SEED,
        label=gettext_lazy("Seed"),
        help_text=gettext_lazy(
            "Starting point of the random numbers. With a number, the same text before it gives the "
            "same reply, even if you ask for another one. If empty, each reply is sampled anew."
        ),
    )
    stop = LinesField(
        required=False,
        strip=False,
        label=gettext_lazy("Stop sequences"),
        help_text=gettext_lazy("One per line. The reply ends before the first of these that it would write."),
    )
    top_k = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=1_000_000,
        label="Top-k",
        help_text=gettext_lazy("Samples only from this many of the most probable words; 0 means no limit."),
    )
    presence_penalty = forms.FloatField(
        required=False,
        min_value=-2,
        max_value=2,
        label=gettext_lazy("Presence penalty"),
        help_text=gettext_lazy(
            "Above 0, words already in the reply become less probable, so that it moves on to other "
            "topics; below 0, more probable."
        ),
    )
    frequency_penalty = forms.FloatField(
        required=False,
        min_value=-2,
        max_value=2,
        label=gettext_lazy("Frequency penalty"),
        help_text=gettext_lazy(
            "The same, multiplied by how often the word has appeared: prevents endless repetition."
        ),
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
            "description": gettext_lazy("One line for the list that says what it is for."),
            "system_prompt": gettext_lazy(
                "What the model is told before every conversation: its role and how it should answer."
            ),
            "is_shared": gettext_lazy(
                "Everybody can chat with it and read its instructions. Changes are recorded in the audit log."
            ),
        }
        widgets = {"system_prompt": forms.Textarea(attrs={"rows": 6})}

    def __init__(self, person: User, data: QueryDict | None = None, *, instance: Assistant) -> None:
        super().__init__(data, instance=instance, initial=dict(instance.parameters))
        self.label_suffix = ""
        self.posted = data
        self.problems: dict[int, str] = {}
        """Of the examples, by their number."""
        models = self.fields["policy"]
        assert isinstance(models, AssistantPolicyField)
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
    def examples(self) -> list[ExampleExchange]:
        """As posted, else as stored."""
        if self.posted is None:
            return [ExampleExchange(**example) for example in self.instance.examples]
        asked, answered = (self.posted.getlist(f"example_{side}") for side in ("user", "assistant"))
        sent = zip(asked, answered, strict=False)
        return [
            ExampleExchange(plain(user).strip(), plain(assistant).strip(), self.problems.get(number, ""))
            for number, (user, assistant) in enumerate(sent, start=1)
        ]

    @property
    def names_retired(self) -> bool:
        """Whether the stored version is retired, so that another one has to be chosen."""
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
            self.add_error("policy", _("An assistant for everybody can only use a model that everybody can use."))
        for number, example in enumerate(self.examples, start=1):
            if example.is_empty:
                continue
            if not (example.user and example.assistant):
                words = _("One side of example %(number)d is empty. Fill it in or remove the example.")
                self._refuse(number, words % {"number": number})
            for text in (example.user, example.assistant):
                try:
                    self._short(text)
                except forms.ValidationError as error:
                    self._refuse(number, _("Example %(number)d: ") % {"number": number} + error.messages[0])
        if len([example for example in self.examples if not example.is_empty]) > assistants.MAX_EXAMPLES:
            self.add_error(None, _("At most %(number)d examples.") % {"number": assistants.MAX_EXAMPLES})
        return cleaned

    def _refuse(self, number: int, words: str) -> None:
        """Says it at the top, and at the example."""
        self.problems.setdefault(number, words)
        self.add_error(None, words)

    @property
    def first_problem(self) -> int:
        """The number of the first example with a problem; 0: none."""
        return min(self.problems, default=0)

    @property
    def sets_sampling(self) -> bool:
        """Whether a sampling parameter is given, or given wrongly."""
        return any(field.value() not in (None, "", []) or field.errors for field in self.sampling)

    def content(self) -> dict[str, Any]:
        """For assistants.save; sampling parameters that are empty stay the site's."""
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
            raise forms.ValidationError(_("It contains characters that are not text."))
        if len(text) > limit:
            raise forms.ValidationError(
                ngettext(
                    "At most %(number)d character; this has %(length)d.",
                    "At most %(number)d characters; this has %(length)d.",
                    limit,
                )
                % {"number": limit, "length": len(text)}
            )
        return text


class InstructionsForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    about = forms.CharField(
        required=False,
        max_length=instructions.LONGEST,
        label=gettext_lazy("What should the model know about you?"),
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    manner = forms.CharField(
        required=False,
        max_length=instructions.LONGEST,
        label=gettext_lazy("How should it answer you?"),
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    is_on = forms.BooleanField(
        required=False,
        label=gettext_lazy("Use them in new conversations"),
        help_text=gettext_lazy("You can switch them on and off in each conversation, below the message box."),
    )

    class Meta:
        model = PersonalInstructions
        fields = ("about", "manner", "is_on")

    def __init__(self, data: QueryDict | None = None, *, instance: PersonalInstructions) -> None:
        super().__init__(data, instance=instance)
        self.label_suffix = ""

    def clean_about(self) -> str:
        return plain(self.cleaned_data["about"])

    def clean_manner(self) -> str:
        return plain(self.cleaned_data["manner"])


class ChoicesForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    side_by_side_percent = forms.IntegerField(
        min_value=0,
        max_value=100,
        label=gettext_lazy("Turns with two replies, in percent"),
        help_text=gettext_lazy(
            "This share of turns shows two replies side by side, without names, and asks which one "
            "is better; 0: none. Each person can switch this off for themselves."
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
            "The initial setting of a new conversation. Each person can change it per conversation, at any time."
        ),
    )

    titles_by_model = forms.BooleanField(
        required=False,
        label=gettext_lazy("The model writes titles of new conversations"),
        help_text=gettext_lazy(
            "After the first reply, while nobody waits. Titles that are poor are not used; small models write many."
        ),
    )
    system_prompt = forms.CharField(
        required=False,
        max_length=LONGEST_SYSTEM_PROMPT,
        widget=forms.Textarea(attrs={"rows": 3}),
        label=gettext_lazy("Instructions to the model"),
        help_text=gettext_lazy(
            "The model reads them before every conversation without instructions of an assistant, before requests of "
            "programs that give none, and before the replies that are ranked, trained on and judged. Empty: none. A "
            "slow machine keeps up with short answers only: ask for longer ones together with a greater "
            "CHAMSAE_MAX_COMPLETION_TOKENS."
        ),
    )

    best_of = forms.TypedChoiceField(
        coerce=int,
        choices=[(n, str(n)) for n in range(1, 9)],
        label=gettext_lazy("Completions of which the best is shown"),
        help_text=gettext_lazy(
            "1: a reply is shown while it is written. With more, the model writes so many, and the one is shown that "
            "people would prefer most by the reward model and that breaks no rule (Sparrow, arXiv:2209.14375). It "
            "appears at once, not word by word, and takes about as many places of the engine. Two replies side by "
            "side, ranking tasks and the API are not chosen."
        ),
    )

    class Meta:
        model = SiteChoices
        fields = ("side_by_side_percent", "may_train_default", "titles_by_model", "system_prompt", "best_of")

    def __init__(self, data: QueryDict | None = None, *, instance: SiteChoices) -> None:
        stored = {True: "yes", False: "no", None: ""}[instance.may_train_default]
        prompt = settings.CHAT_SYSTEM_PROMPT if instance.system_prompt is None else instance.system_prompt
        super().__init__(data, instance=instance, initial={"may_train_default": stored, "system_prompt": prompt})
        self.label_suffix = ""
        default = _("yes") if settings.CHAT_CONSENT_DEFAULT else _("no")
        field = self.fields["may_train_default"]
        assert isinstance(field, forms.TypedChoiceField)
        field.choices = [
            ("yes", _("On unless the person opts out")),
            ("no", _("Off unless the person opts in")),
            ("", _("Server default (%(default)s)") % {"default": default}),
        ]
        self._limits = limit_fields(instance.rule_thresholds)
        self.fields.update(self._limits)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        chosen = {name: values.get(name) for name in self._limits}
        values["rule_thresholds"] = {key_of_limit(name): limit for name, limit in chosen.items() if limit is not None}
        return values

    def clean_system_prompt(self) -> str | None:
        """None where it is the server's, so that it follows that."""
        written = plain(self.cleaned_data["system_prompt"])
        return None if written == settings.CHAT_SYSTEM_PROMPT else written


def plain(text: str) -> str:
    """The text with line feeds alone as line breaks."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
