"""The words of the consent: the version in force, editing by an admin, history."""

from pathlib import Path

from django.db import transaction
from django.db.models import Max, Subquery
from django.db.models.functions import Coalesce

from accounts import audit
from accounts.models import ConsentText, User

SHIPPED = Path(__file__).parent / "shipped"
FIRST = 1
"""The number of the text that comes along, which is stored when it is first edited."""


class StaleConsentText(Exception):
    """Somebody else changed it in the meantime; `newest` is the number that is in force."""

    code = "stale_consent_text"

    def __init__(self, newest: int) -> None:
        self.newest = newest
        super().__init__(f"version {newest} is in force")


def current() -> ConsentText:
    """The newest version; the text that came along (not stored) if nobody has edited it."""
    return ConsentText.objects.first() or _shipped()


def required() -> int:
    """The oldest version that a consent may have been given to: the newest about which people are asked again."""
    newest: int | None = ConsentText.objects.filter(asks_again=True).aggregate(newest=Max("number"))["newest"]
    return newest or FIRST


def required_in_query() -> Coalesce:
    """The same as a part of a query, which costs none of its own."""
    newest = ConsentText.objects.filter(asks_again=True).order_by("-number").values("number")[:1]
    return Coalesce(Subquery(newest), FIRST)


def numbered(number: int) -> ConsentText | None:
    if number == FIRST and not ConsentText.objects.exists():
        return _shipped()
    return ConsentText.objects.filter(number=number).first()


def history() -> list[ConsentText]:
    """All versions, newest first; the text that came along if nobody edited it."""
    return list(ConsentText.objects.select_related("created_by")) or [_shipped()]


@transaction.atomic
def edit(text_en: str, text_ko: str, *, actor: User, based_on: int, asks_again: bool = True) -> ConsentText:
    """Adds a version, unless nothing changed. With `asks_again`, consents to older ones no longer count.

    Raises StaleConsentText when version `based_on` is no longer in force.
    """
    if not ConsentText.objects.exists():
        ConsentText.objects.bulk_create([_shipped()], ignore_conflicts=True)
    before = ConsentText.objects.select_for_update().order_by("-number")[0]
    if before.number != based_on:
        raise StaleConsentText(before.number)
    if (before.text_en, before.text_ko) == (text_en, text_ko):
        return before
    made = ConsentText.objects.create(
        number=before.number + 1, text_en=text_en, text_ko=text_ko, asks_again=asks_again, created_by=actor
    )
    audit.record(actor, "consent.edit", made, before=_logged(before), after=_logged(made))
    return made


def _logged(text: ConsentText) -> dict[str, object]:
    return {
        "version": text.number,
        "text_en": text.text_en,
        "text_ko": text.text_ko,
        "asks_again": text.asks_again,
    }


def _shipped() -> ConsentText:
    english, korean = ((SHIPPED / f"consent.{code}.md").read_text(encoding="utf-8").strip() for code in ("en", "ko"))
    return ConsentText(number=FIRST, text_en=english, text_ko=korean)
