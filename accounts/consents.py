"""Consent to others reading one's texts: giving and withdrawing it, and whose is in force."""

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import consent_texts, personal
from accounts.models import Consent, User


class OtherWords(Exception):
    """The words that the person agreed to are no longer in force; they have to read the new ones."""

    code = "other_words"


def in_force() -> QuerySet[Consent]:
    """Those that count: not withdrawn, and to words about which nobody has to be asked again."""
    return Consent.objects.filter(ended_at=None, version__gte=consent_texts.required_in_query())


def of(person: User) -> Consent | None:
    """The person's, where it counts."""
    return in_force().filter(person=person).first()


def given_by(lookup: str) -> Q:
    """Rows whose person, found by the lookup, has given it. Programs that talk need none."""
    return Q(**{f"{lookup}__in": in_force().values("person")}) | Q(**{f"{lookup}__is_simulated": True})


def versions() -> dict[int, int]:
    """Of the words to which each person agreed, by their id."""
    return dict(in_force().values_list("person_id", "version"))


def is_to_be_asked(person: User) -> bool:
    """Whether they have not answered, with yes or no, since people are asked about these words."""
    return person.consent_answered < consent_texts.required()


def give(person: User, version: int) -> Consent:
    """To the words of that version, which have to be those in force. Idempotent. Raises OtherWords."""
    if version != consent_texts.current().number:
        raise OtherWords
    with transaction.atomic():
        _answered(person, version)
        open_ones = Consent.objects.select_for_update().filter(person=person, ended_at=None)
        known = open_ones.filter(version=version).first()
        if known is not None:
            return known
        open_ones.update(ended_at=timezone.now())
        return Consent.objects.create(person=person, version=version)


def decline(person: User) -> None:
    """They were asked and do not agree for now; an older consent, if there is one, stays as it is."""
    with transaction.atomic():
        _answered(person, consent_texts.current().number)


def withdraw(person: User) -> None:
    """At once, for all conversations; each app takes the texts out of what it made of them (accounts.personal)."""
    with transaction.atomic():
        _answered(person, consent_texts.current().number)
        Consent.objects.filter(person=person, ended_at=None).update(ended_at=timezone.now())
        personal.withdraw_texts(person)


def _answered(person: User, version: int) -> None:
    """Locks the person's row, so that two answers at once leave one consent."""
    User.objects.select_for_update().get(pk=person.pk)
    person.consent_answered = version
    person.save(update_fields=["consent_answered"])
