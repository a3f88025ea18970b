"""Policies of tests: installs them in the models directory, and swaps the live one."""

import shutil

from django.conf import settings
from django.db import transaction

from chat import policies
from chat.models import Policy


def install(tiny_policy, name, is_live=False):
    """The tiny policy as a registered one of the models directory."""
    target = settings.MODELS_DIR / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(tiny_policy, target)
    policy = policies.register(target, name=name, source="test")
    Policy.objects.filter(pk=policy.pk).update(is_live=is_live)
    policy.refresh_from_db()
    return policy


def swap(old, new):
    """Makes the new policy live in the place of the old one."""
    with transaction.atomic():
        Policy.objects.filter(pk=old.pk).update(is_live=False)
        Policy.objects.filter(pk=new.pk).update(is_live=True)
