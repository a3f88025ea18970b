"""Personal data of accounts: what a person may export, and how the account is anonymised when it is erased."""

import secrets
from collections.abc import Collection
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts.models import User
from accounts.personal import Row, Table


def _with_roles(row: Row, person: User) -> Row:
    return row | {"roles": sorted(role.value for role in person.roles())}


EXPORT = (
    Table("accounts.User", "pk", frozenset({"password"}), _with_roles),
    Table("admin.LogEntry", "user"),
    Table("accounts.ApiKey", "owner", frozenset({"sha256"})),
    Table("accounts.Notice", "person"),
    Table("accounts.Consent", "person"),
)
EXCLUDED = {
    "accounts.User_groups": "the roles stand in accounts.User",
    "accounts.User_user_permissions": "the site gives permissions by roles alone",
    "accounts.ConsentText": "the site's own words, whoever wrote them",
    "accounts.AuditEntry": "the site's own record of privileged acts; it names others, and everybody's acts hang "
    "together in it",
}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Accounts store nothing about conversations."""


def forget_person(person: User) -> None:
    """Removes everything that identifies the person.

    The row stays: audit entries and judgements refer to it, and the hashes of the audit log contain its id.
    """
    end_sessions(person)
    person.api_keys.all().delete()
    person.notices.all().delete()
    person.consents.all().delete()
    LogEntry.objects.filter(user=person).delete()
    about = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(User), object_id=str(person.pk))
    person.groups.clear()
    person.user_permissions.clear()
    person.username = f"gone-{secrets.token_hex(6)}"
    about.update(object_repr=person.username)
    person.set_unusable_password()
    person.first_name = person.last_name = person.email = person.language = person.suspended_reason = ""
    person.theme, person.judging_languages = "", []
    person.is_active = person.is_staff = person.is_superuser = False
    person.last_login = person.deletion_due_at = person.toured_at = None
    person.notice_choices, person.consent_answered = {}, 0
    person.date_joined = person.erased_at = timezone.now()
    person.save()


def end_sessions(person: User) -> None:
    """Signs the person out everywhere."""
    sessions = [
        session.pk
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator(chunk_size=500)
        if session.get_decoded().get(SESSION_KEY) == str(person.pk)
    ]
    Session.objects.filter(pk__in=sessions).delete()
