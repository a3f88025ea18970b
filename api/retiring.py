"""The end of a person's own model: it answers nobody any more, and its weights go. Its row stays."""

from functools import partial

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.models import User
from api.errors import bad
from chat import policies
from chat.models import Policy
from rlhf.models import Run
from rlhf.promotion import remove_directory


def retire(policy: Policy, *, actor: User) -> None:
    """Raises ApiError while the site cannot do without it."""
    with transaction.atomic():
        locked = Policy.objects.select_for_update().get(pk=policy.pk)
        reads = Run.objects.filter(Q(base_policy=locked) | Q(policy=locked), state__in=Run.LIVE)
        if locked.is_live or locked.is_on_trial or reads.exists():
            raise bad("This model is live, on trial, or being trained from: it can't be deleted now.", "model")
        if Policy.objects.filter(pk=locked.pk, retired_at=None).update(retired_at=timezone.now()):
            audit.record(actor, "policy.retire", locked, before={"label": locked.label or locked.name})
            if locked.directory:
                transaction.on_commit(partial(remove_directory, policies.directory(locked)))
