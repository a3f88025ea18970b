"""Accounts of each role for tests, and their browsers."""

from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from accounts.roles import GROUPS, Role


def make_person(name, role=Role.CHATTER):
    user = User.objects.create_user(name, password="a long enough password")
    if role in GROUPS:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return user


def signed_in(user):
    """A browser of theirs, in English."""
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client
