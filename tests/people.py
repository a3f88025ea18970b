"""Accounts of each role, for tests."""

from django.contrib.auth.models import Group

from accounts.models import User
from accounts.roles import GROUPS, Role

PASSWORD = "a long enough password"


def make_person(name, role=Role.CHATTER, **fields):
    user = User.objects.create_user(name, password=PASSWORD, **fields)
    if role in GROUPS:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return user
