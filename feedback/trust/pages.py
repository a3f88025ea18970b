"""What the pages of trust show: people, findings in words, and tasks that could have a known answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from feedback.models import AnnotatorTrust, RankingTask, Rule, TrustFinding
from feedback.trust.figures import PersonFigures, RuleFigures

Kind = TrustFinding.Kind
SOURCES: Mapping[str, str | Promise] = {
    Kind.POSITION: gettext_lazy(
        "Chance alone would do this over 30 judgements to less than one person in a thousand."
    ),
    Kind.SECONDS: gettext_lazy("A median below three seconds is that of somebody who clicks at random."),
    Kind.SPEED: gettext_lazy(
        "Four times the reading speed of adults (238 words per minute: Brysbaert 2019). A Korean character counts as "
        "two and a half letters."
    ),
    Kind.LENGTH: gettext_lazy("Others chose the longest reply of the same tasks much less often."),
    Kind.FLAGGING: gettext_lazy("Others flagged far less of the same replies, or nobody else has judged them."),
    Kind.ACCURACY: gettext_lazy("Estimated from what others say of the same replies (Dawid and Skene 1979)."),
    Kind.GOLD: gettext_lazy("The floor of this site (CHAMSAE_GOLD_FLOOR)."),
    Kind.COPYING: gettext_lazy(
        "The threshold is the agreement to expect of people who answer alone and are right as often as these."
    ),
}


@dataclass(frozen=True)
class PersonRow:
    person: User
    weight: float
    reason: str
    figures: PersonFigures
    open_findings: int = 0


@dataclass(frozen=True)
class RuleRow:
    name: str
    figures: RuleFigures


@dataclass(frozen=True)
class FindingRow:
    finding: TrustFinding
    figure: str
    threshold: str
    source: str | Promise
    others: Sequence[User]


def people() -> QuerySet[AnnotatorTrust]:
    """Those who weigh least first."""
    waiting = Count("person__trust_findings", filter=Q(person__trust_findings__state=TrustFinding.State.OPEN))
    return AnnotatorTrust.objects.select_related("person").annotate(waiting=waiting).order_by("weight", "person_id")


def person_row(trust: AnnotatorTrust) -> PersonRow:
    count = getattr(trust, "waiting", 0)
    return PersonRow(trust.person, trust.weight, trust.get_reason_display(), PersonFigures.of(trust.figures), count)


def row_of(person: User) -> PersonRow:
    """Of anybody, whether they were assessed or not."""
    trust = AnnotatorTrust.objects.filter(person=person).select_related("person").first()
    return person_row(trust or AnnotatorTrust(person=person))


def rule_rows(figures: PersonFigures) -> list[RuleRow]:
    rules = Rule.objects.filter(key__in=figures.rules).prefetch_related("versions")
    return [RuleRow(rule.versions.all()[0].name, figures.rules[rule.key]) for rule in rules]


def finding_rows(findings: QuerySet[TrustFinding]) -> list[FindingRow]:
    rows = list(findings.select_related("person", "decided_by"))
    others = User.objects.in_bulk({pk for row in rows for pk in row.others})
    return [
        FindingRow(
            finding=row,
            figure=_in_words(row.kind, row.figure),
            threshold=_in_words(row.kind, row.threshold),
            source=SOURCES[row.kind],
            others=[others[pk] for pk in row.others if pk in others],
        )
        for row in rows
    ]


def _in_words(kind: str, figure: float) -> str:
    if kind == Kind.SECONDS:
        return _("%(n)s s") % {"n": number_format(figure, 1)}
    if kind == Kind.SPEED:
        return _("%(n)s characters per second") % {"n": number_format(figure, 0)}
    return f"{number_format(100 * figure, 0)} %"


def candidates() -> QuerySet[RankingTask]:
    """Tasks that most people have judged, without a known answer yet."""
    judged = Count("rankings", filter=Q(rankings__withdrawn_at=None))
    tasks = RankingTask.objects.filter(gold=None, blind_pair=None, probe=None).select_related("prompt", "project")
    return tasks.annotate(judged=judged).filter(judged__gt=0).order_by("-judged", "-id")
