"""The first half of a probe: an annotator takes one, talks with its policy, starts over, or gives it back."""

import random
from datetime import datetime, timedelta
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from accounts import consents
from accounts.models import User
from chat.conversations.open_path import ShownMessage, open_branch
from chat.conversations.turns import take_turn
from chat.models import Conversation, Message
from feedback import rules
from feedback.judgements import care
from feedback.judgements.languages import languages_of
from feedback.models import Probe, Project, ProjectMember, Rule
from feedback.probing import openings
from feedback.probing.errors import NotAgreed, NothingToProbe, NotYourProbe, TooManyTurns
from feedback.projects import access

LEASE = timedelta(hours=2)
"""After the last word; then somebody else may take the probe."""
MOST_TURNS = 10
"""Of the annotator."""
LOOKED_AT = 20

State = Probe.State


def may_probe(person: User) -> bool:
    """Whether they agreed that others read their texts: without that nobody could judge the dialogue."""
    return person.is_simulated or consents.of(person) is not None


def under_way(person: User) -> Probe | None:
    """The probe that the person has taken."""
    rows = Probe.objects.filter(prober=person, state=State.TALKING)
    return rows.select_related("rule", "conversation", "opening", "policy").first()


def waiting(person: User, now: datetime | None = None) -> QuerySet[Probe]:
    """Probes that the person may take: of their projects, and against rules that they did not leave out."""
    now = now or timezone.now()
    left_lying = Q(state=State.TALKING, lease_until__lt=now)
    return Probe.objects.filter(
        Q(state=State.OPEN) | left_lying,
        _of_projects(person, now),
        care.bearable_probes(person, now),
        policy__retired_at=None,
        rule__is_on=True,
    )


def _of_projects(person: User, now: datetime) -> Q:
    joined = Q(project__in=ProjectMember.objects.filter(person=person).values("project"))
    if access.is_annotator_of_the_site(person):
        joined |= Q(project__key=Project.SITE)
    in_time = Q(project__deadline=None) | Q(project__deadline__gt=now)
    return joined & in_time & Q(project__state=Project.State.OPEN)


def take(person: User, *, not_against: Rule | None = None) -> Probe:
    """A probe by lot, so that nobody knows which policy it is of; the one that the person has, if any.

    `not_against`: a rule that comes last. Raises NothingToProbe; NotAgreed where nobody else may read their texts.
    """
    own = under_way(person)
    if own is not None:
        return own
    if not may_probe(person):
        raise NotAgreed
    now = timezone.now()
    ids = list(waiting(person, now).order_by("?").values_list("pk", "rule"))
    last = not_against.pk if not_against is not None else None
    for pk, _rule in sorted(ids, key=lambda row: row[1] == last)[:LOOKED_AT]:
        try:
            if _taken(pk, person, now):
                return Probe.objects.get(pk=pk)
        except IntegrityError:  # another tab of the same person was quicker
            return Probe.objects.get(prober=person, state=State.TALKING)
    raise NothingToProbe


@transaction.atomic
def _taken(pk: int, person: User, now: datetime) -> bool:
    """False if somebody else was quicker."""
    former = Probe.objects.select_for_update().get(pk=pk)
    if not waiting(person, now).filter(pk=pk).exists():
        return False
    _set_aside(former.conversation)
    former.prober, former.state = person, State.TALKING
    former.taken_at = now
    _begin(former)
    return True


def _begin(probe: Probe) -> None:
    """With an empty conversation and an opening of its own."""
    person = probe.prober
    if person is None:
        raise NotYourProbe
    languages = [code for code in openings.LANGUAGES if code in languages_of(person)]
    drawn = openings.draw(probe.rule, is_benign=probe.is_benign, languages=languages, of=random.SystemRandom())
    probe.opening = drawn
    probe.conversation = Conversation.objects.create(
        owner=person,
        title=_title(probe, person),
        titled_by=Conversation.TitledBy.PERSON,
        may_train=True,
        policy=probe.policy,
        uses_instructions=False,
        archived_at=timezone.now(),
    )
    probe.lease_until = timezone.now() + LEASE
    probe.save()


def _title(probe: Probe, person: User) -> str:
    """In the list of archived conversations, where it is found again."""
    with override(person.language or None):
        version = rules.newest_of(probe.rule)
        return (_("Probe: %(rule)s") % {"rule": version.name if version is not None else probe.rule.key})[:120]


def _set_aside(conversation: Conversation | None) -> None:
    """What was tried and given up trains nothing: nobody judged it."""
    if conversation is not None:
        Conversation.objects.filter(pk=conversation.pk).update(may_train=False)


def own(pk: int, person: User) -> Probe:
    """Raises NotYourProbe."""
    rows = Probe.objects.filter(pk=pk, prober=person, state=State.TALKING, conversation__isnull=False)
    found = rows.select_related("rule", "conversation", "opening", "policy").first()
    if found is None:
        raise NotYourProbe
    return found


def transcript(probe: Probe) -> list[ShownMessage]:
    return open_branch(probe.conversation) if probe.conversation is not None else []


def say(pk: int, person: User, text: str, key: str = "") -> None:
    """Sends a message to the probed policy; the same key again sends nothing. Raises NotYourProbe, TooManyTurns, and
    a ChatError."""
    probe = own(pk, person)
    if probe.conversation is None:
        raise NotYourProbe
    said = Message.objects.filter(conversation=probe.conversation, role=Message.Role.USER)
    if said.exclude(key=key or None).count() >= MOST_TURNS:
        raise TooManyTurns
    shown = transcript(probe)
    take_turn(probe.conversation, text, key or uuid4().hex, shown[-1].message.pk if shown else None)
    Probe.objects.filter(pk=probe.pk, state=State.TALKING).update(lease_until=timezone.now() + LEASE)


@transaction.atomic
def start_over(pk: int, person: User) -> Probe:
    """The same probe with an empty dialogue. Raises NotYourProbe."""
    Probe.objects.select_for_update().filter(pk=pk).first()
    probe = own(pk, person)
    _set_aside(probe.conversation)
    _begin(probe)
    return probe


@transaction.atomic
def give_back(pk: int, person: User) -> Probe:
    """For others to take. Raises NotYourProbe."""
    Probe.objects.select_for_update().filter(pk=pk).first()
    probe = own(pk, person)
    _set_aside(probe.conversation)
    probe.state, probe.prober, probe.conversation = State.OPEN, None, None
    probe.opening = probe.lease_until = probe.taken_at = None
    probe.save()
    return probe


def forget_prober(person: User) -> None:
    """Of somebody whose account is erased: what they had under way is for others to take."""
    for probe in Probe.objects.filter(prober=person, state=State.TALKING):
        _reopen(probe)


def _reopen(probe: Probe) -> None:
    Probe.objects.filter(pk=probe.pk).update(
        state=State.OPEN, prober=None, conversation=None, opening=None, lease_until=None, taken_at=None
    )
