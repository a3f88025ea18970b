"""Forms of the pages of ranking, reporting, rules and moderation."""

import json
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from feedback import rules
from feedback.errors import BadFlags
from feedback.judgements.rankings import BadRanking, parse_integer
from feedback.judgements.task_queue import Judgement
from feedback.models import BlockedPhrase, Prompt, Report, RuleVersion, Skip

PLACE = "place-"
DRAFT_MAX_BYTES = 20_000
DRAFT_KEYS = {"places", "flags", "comment"}


def read_judgement(data: QueryDict, prompt: Prompt) -> Judgement:
    """The judgement in a posted form: `place-<completion>` fields, `flag` values `<completion>:<rule version>`.
    Raises BadFlags; the places are checked on submit."""
    places = [(name[len(PLACE) :], place) for name in data for place in data.getlist(name) if name.startswith(PLACE)]
    try:
        pairs = [flag.split(":") for flag in data.getlist("flag")]
        flags = [(parse_integer(completion), parse_integer(version)) for completion, version in pairs]
        asked = [parse_integer(version) for version in data.getlist("asked")]
    except (BadRanking, ValueError):
        raise BadFlags from None
    asked_here = RuleVersion.objects.filter(pk__in=asked, rule=prompt.elicits_id).values_list("pk", flat=True)
    return Judgement(places, flags, list(asked_here), data.get("comment", "")[:2000])


class DraftForm(forms.Form):
    """A draft in the body of a request: {"places": {...}, "flags": [...], "comment": ...}, of limited size."""

    def __init__(self, body: bytes) -> None:
        super().__init__({})
        self.body = body

    def clean(self) -> dict[str, Any]:
        if len(self.body) > DRAFT_MAX_BYTES:
            raise forms.ValidationError(_("The draft is too long."), code="too_long")
        try:
            draft = json.loads(self.body)
        except (ValueError, RecursionError):
            raise forms.ValidationError(_("The draft cannot be read."), code="not_json") from None
        if not _is_draft(draft):
            raise forms.ValidationError(_("The draft cannot be read."), code="not_a_draft")
        return dict(draft)


def _is_draft(draft: Any) -> bool:
    if not isinstance(draft, dict) or not set(draft) <= DRAFT_KEYS:
        return False
    places, flags = draft.get("places", {}), draft.get("flags", [])
    return (
        isinstance(places, dict)
        and all(isinstance(place, str | int) for place in places.values())
        and isinstance(flags, list)
        and all(isinstance(flag, str) for flag in flags)
        and isinstance(draft.get("comment", ""), str)
    )


class SkipForm(forms.Form):
    reason = forms.ChoiceField(choices=Skip.Reason.choices, label=gettext_lazy("Reason"))


class ReportForm(forms.Form):
    rule = forms.ChoiceField(label=gettext_lazy("Which rule does it break?"), required=False)
    comment = forms.CharField(
        label=gettext_lazy("What is wrong with it?"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.versions = {version.rule.key: version for version in rules.current()}
        grouped = rules.grouped(list(self.versions.values()))
        field = self.fields["rule"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            ("", _("None of these, or I am not sure")),
            *((group, [(version.rule.key, version.name) for version in versions]) for group, versions in grouped),
        ]

    def version(self) -> RuleVersion | None:
        return self.versions.get(self.cleaned_data["rule"])


# --- rules ----------------------------------------------------------------------------------------


class ExamplesField(forms.CharField):
    """One example per line, as `English | Korean`."""

    widget = forms.Textarea(attrs={"rows": 3})

    def clean(self, value: Any) -> Any:
        lines = [line for line in super().clean(value).splitlines() if line.strip()]
        examples = []
        for number, line in enumerate(lines, start=1):
            english, bar, korean = line.partition("|")
            if not (bar and english.strip() and korean.strip()):
                raise forms.ValidationError(_("Line %(number)d: write “English | Korean”.") % {"number": number})
            examples.append({"en": english.strip(), "ko": korean.strip()})
        return examples

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return "\n".join(f"{example['en']} | {example['ko']}" for example in value)
        return value


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    allowed_examples = ExamplesField(
        label=gettext_lazy("Allowed examples"),
        required=False,
        help_text=gettext_lazy("One per line: English | Korean"),
    )
    violating_examples = ExamplesField(
        label=gettext_lazy("Violating examples"),
        required=False,
        help_text=gettext_lazy("One per line: English | Korean"),
    )
    reason = forms.CharField(label=gettext_lazy("Reason for the change"), max_length=500)
    based_on = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = RuleVersion
        fields = ("name_en", "name_ko", "text_en", "text_ko", "allowed_examples", "violating_examples")
        labels = {
            "name_en": gettext_lazy("Name in English"),
            "name_ko": gettext_lazy("Name in Korean"),
            "text_en": gettext_lazy("Text in English"),
            "text_ko": gettext_lazy("Text in Korean"),
        }
        widgets = {"text_en": forms.Textarea(attrs={"rows": 3}), "text_ko": forms.Textarea(attrs={"rows": 3})}


class PhraseForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = BlockedPhrase
        fields = ("phrase", "in_messages", "in_replies")
        labels = {
            "phrase": gettext_lazy("Word or phrase"),
            "in_messages": gettext_lazy("In messages: the message is not sent"),
            "in_replies": gettext_lazy("In replies: the reply ends before the sentence"),
        }
        help_texts = {
            "phrase": gettext_lazy(
                "Matches whole words, in upper or lower case. Korean, Chinese and Japanese phrases also "
                "match inside longer words."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not (cleaned.get("in_messages") or cleaned.get("in_replies")):
            raise forms.ValidationError(_("Choose where to look for the phrase: messages, replies or both."))
        return cleaned


PHRASE_REFUSALS = {
    "empty": gettext_lazy("A phrase needs at least one letter or digit."),
    "known": gettext_lazy("The rule already has this phrase."),
    "too_many": gettext_lazy("This rule has the maximum number of phrases. Remove one first."),
}


# --- moderation -----------------------------------------------------------------------------------


class QueueFilter(forms.Form):
    state = forms.ChoiceField(choices=Report.State.choices, label=gettext_lazy("State"), required=False)
    kind = forms.ChoiceField(
        choices=[
            ("", gettext_lazy("all")),
            ("message", gettext_lazy("chat replies")),
            ("completion", gettext_lazy("ranked replies")),
        ],
        label=gettext_lazy("Kind"),
        required=False,
    )
    rule = forms.ChoiceField(label=gettext_lazy("Rule"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["rule"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("all"))] + [(v.rule.key, v.name) for v in rules.current(only_on=False)]

    def clean_state(self) -> str:
        return self.cleaned_data["state"] or Report.State.OPEN


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Recorded in the audit log, which moderators and admins can read."),
    )


class SuspendForm(ReasonForm):
    until = forms.DateField(
        label=gettext_lazy("Suspended until the end of"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].initial = timezone.localdate() + timedelta(days=7)

    def clean_until(self) -> datetime:
        day = self.cleaned_data["until"]
        if day < timezone.localdate():
            raise forms.ValidationError(_("A suspension must end in the future."))
        return timezone.make_aware(datetime.combine(day, time.max))
