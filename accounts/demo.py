"""Demo accounts, one per role, made only where the site is a demo."""

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import GROUPS, Role


@dataclass(frozen=True)
class DemoAccount:
    role: Role
    may: Promise

    @property
    def name(self) -> str:
        return self.role.value


ACCOUNTS = (
    DemoAccount(Role.CHATTER, _("chats")),
    DemoAccount(Role.ANNOTATOR, _("also ranks replies and flags violations")),
    DemoAccount(Role.MODERATOR, _("also handles reports")),
    DemoAccount(Role.ADMIN, _("can do everything: rules, training, promotion")),
)
"""One per role; the user name is the role's value."""


class DemoRefused(ImproperlyConfigured):
    """Accounts with a published password were asked for on a site that is not a demo."""

    code = "demo_refused"

    def __init__(self) -> None:
        super().__init__("Demo accounts have a published password: they are created only with CHAMSAE_DEBUG=1.")


@transaction.atomic
def create_accounts() -> list[User]:
    """Makes the accounts and groups that are missing; leaves those that are there as they are."""
    if not settings.DEMO:
        raise DemoRefused
    groups = {role: Group.objects.get_or_create(name=role.value)[0] for role in GROUPS}
    return [_create_account(account.role, groups) for account in ACCOUNTS]


def _create_account(role: Role, groups: dict[Role, Group]) -> User:
    user, is_new = User.objects.get_or_create(username=role.value)
    if is_new:
        user.set_password(settings.DEMO_PASSWORD)
        user.is_staff = user.is_superuser = role is Role.ADMIN
        user.save()
    if role in groups:
        user.groups.add(groups[role])
    return user
