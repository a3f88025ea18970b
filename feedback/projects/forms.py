"""Forms of the pages of projects; each gives what the functions of feedback.projects take."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chat.models import Policy
from feedback.models import Project, ProjectMember, Prompt, Rule
from feedback.projects import asks, people, prompt_files
from feedback.projects.errors import BadLanguages, LinesRefused, QuestionRefused
from feedback.projects.invitations import MAX_USES
from feedback.projects.languages import read_codes
from feedback.projects.people import PersonLine
from feedback.projects.prompt_files import MAX_REPLIES, Bounds, PromptLine
from feedback.projects.setting_up import MAX_OVERLAP, ProjectPlan
from feedback.questions.rate import USUAL

AT_MOMENT = "%Y-%m-%dT%H:%M"


class LanguagesField(forms.CharField):
    """Codes as a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=300, **kwargs)

    def clean(self, value: Any) -> Any:
        try:
            return read_codes(super().clean(value))
        except BadLanguages as error:
            raise forms.ValidationError(str(error)) from None

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class _Plain(forms.Form):
    """Labels without a colon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def refuse(self, name: str, error: LinesRefused) -> None:
        """Each line that is wrong, at the field."""
        self.add_error(name, [forms.ValidationError(line) for line in error.shown])


class SettingsForm(_Plain):
    """What of a project can be changed later."""

    title = forms.CharField(label=gettext_lazy("Title"), max_length=120)
    overlap = forms.IntegerField(
        label=gettext_lazy("Judgements of each task"),
        min_value=1,
        max_value=MAX_OVERLAP,
        initial=1,
        help_text=gettext_lazy("By so many different people. Of tasks that somebody has begun it stays as it is."),
    )
    completions_per_task = forms.IntegerField(
        label=gettext_lazy("Replies in a task, where a model writes them"),
        min_value=1,
        max_value=MAX_REPLIES,
        initial=4,
        help_text=gettext_lazy("Of a comparison always 2, of a reply to correct 1."),
    )
    languages = LanguagesField(
        label=gettext_lazy("Languages"),
        help_text=gettext_lazy("Codes with commas between them, such as: en, ko. Empty: any."),
    )
    deadline = forms.DateTimeField(
        label=gettext_lazy("Deadline"),
        required=False,
        input_formats=[AT_MOMENT],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=AT_MOMENT),
        help_text=gettext_lazy("After it no task is given out. The nearest deadline comes first."),
    )


class SiteForm(SettingsForm):
    """Of the site's own stream, whose other settings are in its environment."""

    field_order = ("overlap",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields = {"overlap": self.fields["overlap"]}


class PromptsForm(_Plain):
    """A file or pasted text, read as `lines`."""

    file = forms.FileField(
        label=gettext_lazy("File of prompts"),
        required=False,
        help_text=gettext_lazy(
            "JSONL or CSV, UTF-8. CSV has the columns prompt, system, language, tags, side, and reply_1, reply_2 … "
            "JSONL has prompt, or messages for several turns, and replies as a list."
        ),
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.ndjson,.csv,.txt"}),
    )
    text = forms.CharField(
        label=gettext_lazy("Or paste prompts"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=gettext_lazy("One per line, or lines of JSON."),
    )
    side = forms.ChoiceField(
        label=gettext_lazy("Prompts that do not say which side they are for"),
        required=False,
        choices=[
            ("", gettext_lazy("by the site's share of held-out prompts")),
            (Prompt.Split.TRAIN, gettext_lazy("are trained on")),
            (Prompt.Split.HELD_OUT, gettext_lazy("are held out: they measure what was learned")),
        ],
        help_text=gettext_lazy("One that nearly repeats another prompt of the site stands on that prompt's side."),
    )
    lines: list[PromptLine]

    def read_prompts(self, *, replies: Bounds, languages: list[str]) -> None:
        """Into `lines`; what is wrong stands at its field."""
        given: UploadedFile[Any] | None = self.cleaned_data.get("file")
        name = "file" if given is not None else "text"
        only = languages[0] if len(languages) == 1 else ""
        try:
            text = _content(given) if given is not None else self.cleaned_data.get("text", "")
            kind = prompt_files.format_of(str(given.name) if given is not None else "", text)
            found = prompt_files.read(text, kind, replies=replies, language=only)
        except LinesRefused as error:
            self.refuse(name, error)
            return
        self.lines = prompt_files.with_side(found, self.cleaned_data.get("side", ""))


def _content(given: "UploadedFile[Any]") -> str:
    """Raises PromptFileRefused before a file that is too large is read."""
    prompt_files.check_size(given.size or 0)
    return prompt_files.decoded(given.read())


class RuleField(forms.ModelChoiceField):  # type: ignore[type-arg]  # it has none at run time
    """A rule by its name in the reader's language."""

    def label_from_instance(self, obj: Any) -> str:
        newest = max(obj.versions.all(), key=lambda version: version.number, default=None)
        return str(newest.name if newest is not None else obj.key)


class NewProjectForm(PromptsForm, SettingsForm):
    key = forms.SlugField(
        label=gettext_lazy("Key"),
        max_length=60,
        help_text=gettext_lazy("For addresses and commands: small letters, digits and hyphens."),
    )
    replies = forms.ChoiceField(
        label=gettext_lazy("Where replies come from"),
        choices=[choice for choice in Project.Replies.choices if choice[0] != Project.Replies.NONE],
        help_text=gettext_lazy("If people are to write the best reply, there are none."),
    )
    question = forms.ChoiceField(
        label=gettext_lazy("What is asked"), required=False, choices=Project.Question.choices
    )
    rule = RuleField(
        Rule.objects.filter(retired_at=None).prefetch_related("versions"),
        label=gettext_lazy("Which rule"),
        required=False,
        empty_label=gettext_lazy("none"),
        help_text=gettext_lazy("If replies are graded by a rule."),
    )
    attributes = forms.CharField(
        label=gettext_lazy("Attributes"),
        required=False,
        max_length=400,
        initial=", ".join(USUAL),
        help_text=gettext_lazy(
            "If replies are rated: what on, with commas between. In training, the reply that is rated higher on the "
            "first one is preferred."
        ),
    )
    policy = forms.ModelChoiceField(
        Policy.objects.filter(retired_at=None).order_by("pk"),
        label=gettext_lazy("Which model"),
        required=False,
        empty_label=gettext_lazy("the live one"),
        help_text=gettext_lazy("If one model writes the replies."),
    )
    people = forms.CharField(
        label=gettext_lazy("People"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy(
            "One per line: username, role (annotator or lead), languages. For example: kim,annotator,ko en"
        ),
    )
    field_order = (
        "title",
        "key",
        "question",
        "rule",
        "attributes",
        "replies",
        "policy",
        "completions_per_task",
        "file",
        "text",
        "side",
        "overlap",
        "languages",
        "deadline",
        "people",
    )
    members: list[PersonLine]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("replies") == Project.Replies.POLICY and cleaned.get("policy") is None:
            self.add_error("policy", _("Choose the model that writes the replies."))
        self._fit_question(cleaned)
        bounds = asks.replies_in_file(cleaned["question"], cleaned.get("replies", ""))
        self.read_prompts(replies=bounds, languages=cleaned.get("languages") or [])
        try:
            self.members = people.read(cleaned.get("people", ""))
        except LinesRefused as error:
            self.refuse("people", error)
        return cleaned

    def _fit_question(self, cleaned: dict[str, Any]) -> None:
        """What follows from the question, and what it does not need."""
        question = cleaned["question"] = cleaned.get("question") or Project.Question.RANK
        cleaned["replies"] = asks.replies_from(question, cleaned.get("replies", ""))
        cleaned["completions_per_task"] = asks.completions_for(question, cleaned.get("completions_per_task") or 0)
        cleaned["rule"] = cleaned.get("rule") if question == Project.Question.GRADE else None
        named = cleaned.get("attributes", "") if question == Project.Question.RATE else ""
        cleaned["attributes"] = asks.read_attributes(named)
        try:
            asks.check(
                question,
                cleaned["replies"],
                cleaned["completions_per_task"],
                cleaned["rule"],
                cleaned["attributes"],
            )
        except QuestionRefused as error:
            self.add_error(error.about, str(error))

    def plan(self) -> ProjectPlan:
        given = self.cleaned_data
        names = (
            *("key", "title", "replies", "completions_per_task", "overlap", "languages", "deadline"),
            *("question", "rule", "attributes"),
        )
        policy = given["policy"] if given["replies"] == Project.Replies.POLICY else None
        return ProjectPlan(
            **{name: given[name] for name in names}, policy=policy, prompts=self.lines, people=self.members
        )


class PeopleForm(_Plain):
    """Read as `lines`."""

    names = forms.CharField(
        label=gettext_lazy("Add people, or change what they are"),
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy(
            "One per line: username, role (annotator or lead), languages. For example: kim,annotator,ko en"
        ),
    )
    lines: list[PersonLine]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        try:
            self.lines = people.read(cleaned.get("names", ""))
        except LinesRefused as error:
            self.refuse("names", error)
        return cleaned


class InvitationForm(_Plain):
    role = forms.ChoiceField(label=gettext_lazy("They become"), choices=ProjectMember.Role.choices)
    languages = LanguagesField(
        label=gettext_lazy("Languages"), help_text=gettext_lazy("Empty: those of their own settings.")
    )
    days = forms.IntegerField(label=gettext_lazy("Valid for days"), min_value=1, max_value=365, initial=14)
    max_uses = forms.IntegerField(
        label=gettext_lazy("For people at most"), min_value=1, max_value=MAX_USES, initial=20
    )

    def expires_at(self) -> Any:
        return timezone.now() + timedelta(days=self.cleaned_data["days"])


class CloneForm(_Plain):
    title = forms.CharField(label=gettext_lazy("Title"), max_length=120)
    key = forms.SlugField(label=gettext_lazy("Key"), max_length=60)
    with_people = forms.BooleanField(label=gettext_lazy("With its people"), required=False)
