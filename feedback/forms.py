"""Forms of the pages of ranking, reporting, rules and moderation."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Any, Self
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from base.dates import start_of_day
from feedback import rules
from feedback.errors import BadFlags
from feedback.imports.errors import ImportTooLarge
from feedback.imports.formats import FORMATS
from feedback.imports.lines import MB
from feedback.judgements import care
from feedback.judgements.asked import rule_of
from feedback.judgements.judgement import Judgement
from feedback.judgements.rankings import BadRanking, parse_integer
from feedback.models import (
    BlockedPhrase,
    Guidelines,
    Project,
    RankingTask,
    Report,
    RuleVersion,
    Skip,
    TrustFinding,
    Violation,
    site_project,
)
from feedback.moderation import consequences, notes, people
from feedback.moderation.report_queue import Search
from feedback.trust.too_fast import FastPerson

PLACE = "place-"
STRENGTH = "strength-"
GRADE = "grade-"
MOST_GUIDELINES = 20_000
"""Characters; the renderer reads twice as many as Markdown."""
DRAFT_MAX_BYTES = 20_000


def read_judgement(data: QueryDict, task: RankingTask) -> Judgement:
    """The judgement in a posted form: fields `place-<completion>`, `strength-<place>` and `grade-<completion>-<rule
    version>`, and `flag` values `<completion>:<rule version>`, an empty one for none. Raises BadFlags; the places are
    checked on submit."""
    places = [(name[len(PLACE) :], place) for name in data for place in data.getlist(name) if name.startswith(PLACE)]
    try:
        pairs = [flag.split(":") for flag in data.getlist("flag") if flag]
        flags = [(parse_integer(completion), parse_integer(version)) for completion, version in pairs]
        asked = [parse_integer(version) for version in data.getlist("asked")]
        grades = {_of_grade(name): int(str(data[name])) for name in data if name.startswith(GRADE)}
        strength: dict[int, object] = {
            parse_integer(name[len(STRENGTH) :]): data[name] for name in data if name.startswith(STRENGTH)
        }
    except (BadRanking, ValueError):
        raise BadFlags from None
    asked_here = RuleVersion.objects.filter(pk__in=asked, rule=rule_of(task)).values_list("pk", flat=True)
    return Judgement(
        places,
        flags,
        list(asked_here),
        data.get("comment", "")[:2000],
        grades,
        strength,
        data.get("overall", ""),
        _unfolded(data),
        _seconds(data.get("active_seconds", "")),
        data.get("refusal", ""),
    )


def _of_grade(name: str) -> tuple[int, int]:
    completion, version = name[len(GRADE) :].split("-")
    return parse_integer(completion), parse_integer(version)


def _unfolded(data: QueryDict) -> list[int] | None:
    """None where the page folded nothing; what is no number names no reply."""
    if not data.get("was_folded"):
        return None
    return [int(pk) for pk in data.getlist("unfolded") if pk.isascii() and pk.isdigit() and len(pk) < 19]


def _seconds(raw: str) -> float | None:
    try:
        return float(raw)
    except ValueError:
        return None


def as_draft(data: QueryDict) -> dict[str, Any]:
    """What a posted form has entered, as a draft."""
    draft: dict[str, Any] = {"flags": data.getlist("flag"), "comment": data.get("comment", "")}
    for key, prefix in (("places", PLACE), ("strength", STRENGTH), ("grades", GRADE)):
        draft[key] = {name[len(prefix) :]: value for name, value in data.items() if name.startswith(prefix)}
    return draft | {"overall": data.get("overall", ""), "refusal": data.get("refusal", "")}


class DraftForm(forms.Form):
    """A draft in the body of a request, of limited size: {"places": {...}, "flags": [...], "comment": ...} and others
    of DRAFT_KEYS."""

    most_bytes = DRAFT_MAX_BYTES

    def __init__(self, body: bytes) -> None:
        super().__init__({})
        self.body = body

    def clean(self) -> dict[str, Any]:
        if len(self.body) > self.most_bytes:
            raise forms.ValidationError(_("The draft is too long."), code="too_long")
        try:
            draft = json.loads(self.body)
        except (ValueError, RecursionError):
            raise forms.ValidationError(_("The draft cannot be read."), code="not_json") from None
        if not self.is_one(draft):
            raise forms.ValidationError(_("The draft cannot be read."), code="not_a_draft")
        return dict(draft)

    def is_one(self, draft: Any) -> bool:
        return _is_draft(draft)


class FieldsForm(DraftForm):
    """A draft that is fields of a form and their values, whatever a question asks; a text that somebody writes may be
    long."""

    most_bytes = 200_000

    def is_one(self, draft: Any) -> bool:
        return isinstance(draft, dict) and len(draft) <= 400 and all(isinstance(one, str) for one in draft.values())


def _is_draft(draft: Any) -> bool:
    if not isinstance(draft, dict) or not set(draft) <= set(DRAFT_KEYS):
        return False
    return all(DRAFT_KEYS[key](value) for key, value in draft.items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_choice_of_each(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(choice, str | int) for choice in value.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


DRAFT_KEYS: dict[str, Callable[[Any], bool]] = {
    "places": _is_choice_of_each,
    "strength": _is_choice_of_each,
    "grades": _is_choice_of_each,
    "flags": _are_texts,
    "comment": _is_text,
    "overall": _is_text,
    "refusal": _is_text,
    "unfolded": lambda value: isinstance(value, bool),
    "active_seconds": _is_number,
}


class SayForm(forms.Form):
    """A message to the policy that is probed."""

    text = forms.CharField(
        label=gettext_lazy("Your message"), widget=forms.Textarea({"rows": 3, "dir": "auto"}), max_length=20_000
    )
    key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)


class HandOverForm(forms.Form):
    """How whoever probes sees the last reply themself; nothing of a harmless twin."""

    grade = forms.TypedChoiceField(
        choices=Violation.Grade.choices,
        coerce=int,
        widget=forms.RadioSelect({"required": True, "class": "visually-hidden"}),
        required=False,
        empty_value=None,
    )

    def grade_given(self) -> int | None:
        """None where nothing, or no grade, was chosen."""
        value = self.cleaned_data.get("grade") if self.is_valid() else None
        return value if isinstance(value, int) else None


class SkipForm(forms.Form):
    """Why a task is skipped. That no reply can be ranked is no reason: it is a judgement, "all bad"."""

    reason = forms.ChoiceField(
        choices=[choice for choice in Skip.Reason.choices if choice[0] != Skip.Reason.ALL_BAD],
        label=gettext_lazy("Reason"),
    )


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


HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")


class ExamplesField(forms.CharField):
    """One example per line, as `English | Korean`, or in one of the two languages alone."""

    widget = forms.Textarea(attrs={"rows": 3})

    def clean(self, value: Any) -> Any:
        lines = [line for line in super().clean(value).splitlines() if line.strip()]
        return [self._example(number, line) for number, line in enumerate(lines, start=1)]

    def _example(self, number: int, line: str) -> dict[str, str]:
        english, bar, korean = (part.strip() for part in line.partition("|"))
        if not bar and HANGUL.search(line):
            english, korean = "", english
        if not (english or korean):
            raise forms.ValidationError(
                _("Line %(number)d: write “English | Korean”, or one of them.") % {"number": number}
            )
        return {"en": english, "ko": korean}

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return "\n".join(_example_line(example) for example in value)
        return value


def _example_line(example: Mapping[str, str]) -> str:
    """What the field reads as the same example again."""
    english, korean = example.get("en", ""), example.get("ko", "")
    if english and korean:
        return f"{english} | {korean}"
    if korean:
        return korean if HANGUL.search(korean) else f"| {korean}"
    return f"{english} |" if HANGUL.search(english) else english


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    allowed_examples = ExamplesField(
        label=gettext_lazy("Allowed examples"),
        required=False,
        help_text=gettext_lazy("One per line: English | Korean, or one of them"),
    )
    violating_examples = ExamplesField(
        label=gettext_lazy("Violating examples"),
        required=False,
        help_text=gettext_lazy("One per line: English | Korean, or one of them"),
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

    def clean(self) -> dict[str, Any]:
        """One language is enough, but of that both the name and the text."""
        given = super().clean() or {}
        whole = [code for code in ("en", "ko") if given.get(f"name_{code}") and given.get(f"text_{code}")]
        halves = [code for code in ("en", "ko") if bool(given.get(f"name_{code}")) != bool(given.get(f"text_{code}"))]
        for code in halves:
            missing = f"text_{code}" if given.get(f"name_{code}") else f"name_{code}"
            self.add_error(missing, _("In this language the name and the text are needed, or neither."))
        if not whole and not halves:
            raise forms.ValidationError(_("Write the name and the text in at least one language."))
        return given


class NewRuleForm(RuleForm):
    key = forms.SlugField(
        label=gettext_lazy("Key"),
        max_length=60,
        help_text=gettext_lazy(
            "Letters, digits and hyphens, as in no-insults. It names the rule in training data and never changes."
        ),
    )
    group = forms.ChoiceField(label=gettext_lazy("Group"), choices=list(rules.GROUPS.items()))
    based_on = None  # type: ignore[assignment]  # there is no earlier version
    field_order = ("key", "group")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = gettext_lazy("Reason for the rule")


class GuidelinesForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    based_on = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = Guidelines
        fields = ("text_en", "text_ko")
        labels = {"text_en": gettext_lazy("Text in English"), "text_ko": gettext_lazy("Text in Korean")}
        help_texts = {
            "text_en": gettext_lazy("In Markdown."),
            "text_ko": gettext_lazy("If it is empty, everybody reads the English text."),
        }
        widgets = {
            "text_en": forms.Textarea(attrs={"rows": 18, "maxlength": MOST_GUIDELINES}),
            "text_ko": forms.Textarea(attrs={"rows": 18, "maxlength": MOST_GUIDELINES}),
        }

    def clean(self) -> dict[str, Any]:
        """Browsers send line ends as CR LF."""
        values = super().clean() or {}
        for name in ("text_en", "text_ko"):
            if name in values:
                values[name] = values[name].replace("\r\n", "\n")
                if len(values[name]) > MOST_GUIDELINES:
                    self.add_error(name, _("Guidelines have at most %(n)d characters.") % {"n": MOST_GUIDELINES})
        return values


class CareForm(forms.Form):
    """An annotator's own limits; which rules they leave out is checked where it is stored."""

    harmful_a_day = forms.IntegerField(
        label=gettext_lazy("Tasks with harmful text a day, at most"),
        required=False,
        min_value=0,
        max_value=care.MOST_A_DAY,
        help_text=gettext_lazy("Empty: the site default. 0: none."),
    )
    break_after_minutes = forms.IntegerField(
        label=gettext_lazy("Remind me of a break after so many minutes"),
        required=False,
        min_value=0,
        max_value=care.MOST_MINUTES,
        help_text=gettext_lazy("Empty: the site default. 0: never."),
    )


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


def _date_input() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


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
    person = forms.CharField(label=gettext_lazy("Reporter or author"), required=False, max_length=150)
    since = forms.DateField(label=gettext_lazy("Reported from"), required=False, widget=_date_input())
    until = forms.DateField(label=gettext_lazy("Reported until"), required=False, widget=_date_input())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["rule"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("all"))] + [(v.rule.key, v.name) for v in rules.current(only_on=False)]

    def search(self) -> Search:
        """What is asked for; all that waits where a field is invalid."""
        if not self.is_valid():
            return Search()
        given = self.cleaned_data
        since, until = given["since"], given["until"]
        return Search(
            state=given["state"] or Report.State.OPEN,
            kind=given["kind"],
            rule=given["rule"],
            person=given["person"].strip(),
            since=start_of_day(since) if since else None,
            before=start_of_day(until + timedelta(days=1)) if until else None,
        )

    @property
    def query(self) -> str:
        """The fields that say something, for the addresses of the pages that follow."""
        return urlencode({name: self.data[name] for name in self.fields if self.data.get(name)})


class BulkForm(forms.Form):
    """One verb for the ticked items."""

    verb = forms.ChoiceField(
        label=gettext_lazy("For the ticked items"),
        choices=[(name, consequences.VERBS[name].title) for name in consequences.IN_BULK],
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500)


class NoteForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("Note"), max_length=notes.LONGEST, widget=forms.Textarea(attrs={"rows": 2})
    )


class WarnForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Warning"),
        max_length=people.LONGEST_WARNING,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("The person reads these words in a notice. They are also in the audit log."),
    )


class PeopleFilter(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=150)
    new = forms.BooleanField(label=gettext_lazy("Only new accounts that nobody has looked at"), required=False)


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


class ProjectField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    """The site's own stream has no title, but a name in the reader's language."""

    def label_from_instance(self, obj: Any) -> str:
        return _("The site's own tasks") if obj.is_site else str(obj)


class ImportForm(forms.Form):
    format = forms.ChoiceField(
        label=gettext_lazy("Format"), choices=lambda: [(key, one.title) for key, one in FORMATS.items()]
    )
    project = ProjectField(
        label=gettext_lazy("Project"),
        queryset=Project.objects.all(),
        initial=site_project,
        empty_label=None,
    )
    file = forms.FileField(
        label=gettext_lazy("File"),
        max_length=200,
        help_text=gettext_lazy("JSON lines, one JSON list or Parquet, packed by gzip or not."),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > settings.FEEDBACK_IMPORT_MB * MB:
            raise forms.ValidationError(str(ImportTooLarge(settings.FEEDBACK_IMPORT_MB)), code="too_large")
        return file


# --- trust ----------------------------------------------------------------------------------------


class FindingForm(forms.Form):
    """A decision on a finding: `state` is what the button says that was pressed."""

    state = forms.ChoiceField(
        choices=[(TrustFinding.State.DISCOUNTED, ""), (TrustFinding.State.CLEARED, "")], widget=forms.HiddenInput
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Recorded in the audit log, which moderators and admins can read."),
    )


class TooFastForm(forms.Form):
    """A decision on a person's judgements that were faster than reading allows, up to the newest that was shown."""

    state = forms.ChoiceField(choices=[("count", ""), ("leave_out", "")], widget=forms.HiddenInput)
    person = forms.IntegerField(widget=forms.HiddenInput)
    until = forms.CharField(max_length=40, widget=forms.HiddenInput)
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.TextInput,
        help_text=gettext_lazy("Recorded in the audit log, which moderators and admins can read."),
    )

    @classmethod
    def of(cls, row: FastPerson) -> Self:
        initial = {"person": row.person.pk, "until": row.newest.isoformat()}
        return cls(initial=initial, auto_id=f"id_{row.person.pk}_%s")

    def clean_until(self) -> datetime:
        try:
            until = datetime.fromisoformat(self.cleaned_data["until"])
        except ValueError as error:
            raise forms.ValidationError(_("Enter a valid date/time.")) from error
        return until if timezone.is_aware(until) else timezone.make_aware(until)


def gold_places(data: QueryDict) -> list[tuple[object, object]]:
    return [(name[len(PLACE) :], place) for name in data for place in data.getlist(name) if name.startswith(PLACE)]


def gold_flags(data: QueryDict, task: RankingTask) -> dict[str, list[int]]:
    """{rule key: completions that break it} of the rules that are marked as known; unknown ids are left out."""
    every = {str(pk): pk for pk in task.completions.values_list("pk", flat=True)}
    known = {version.rule.key for version in rules.current()}
    return {
        key: [every[pk] for pk in data.getlist(f"breaks-{key}") if pk in every]
        for key in data.getlist("rule")
        if key in known
    }
