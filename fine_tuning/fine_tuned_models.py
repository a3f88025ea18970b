"""Fine-tuned models: where they are stored, their lineage, sharing one with a group, and retiring one."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import User
from base import shared_state
from chat import policies
from chat.models import Policy
from fine_tuning.errors import TuningError
from fine_tuning.models import FineTune
from rlhf.lineage import adapter_roots
from rlhf.models import Run


class CannotRetire(TuningError):
    code = "model_in_use"
    param = "model"
    status = 403

    def __init__(self, model: str, reason: str) -> None:
        self.model, self.reason = model, reason
        super().__init__(_("%(model)s can't be deleted: %(reason)s.") % {"model": model, "reason": reason})


def directory_of(run: Run) -> Path:
    """Where a run's model is written."""
    return Path(settings.MODELS_DIR) / f"run-{run.pk}"


def retire(policy: Policy, *, actor: User | None = None) -> None:
    """Removes the weights; the row stays, since replies refer to it. Idempotent. Raises CannotRetire."""
    with transaction.atomic():
        policy = Policy.objects.select_for_update().get(pk=policy.pk)
        if policy.retired_at is not None:
            return
        name = policy.label or policy.name
        if policy.is_live:
            raise CannotRetire(name, _("an admin made it live, so it answers everybody"))
        if FineTune.objects.filter(base_policy=policy).exclude(state__in=FineTune.OVER).exists():
            raise CannotRetire(name, _("an unfinished job is training another model from it"))
        if Run.objects.filter(base_policy=policy, state__in=Run.LIVE).exists():
            raise CannotRetire(name, _("the site is training with it"))
        others = Policy.objects.filter(retired_at=None, is_scripted=False).exclude(pk=policy.pk)
        if policy.pk in adapter_roots(others):
            raise CannotRetire(name, _("another policy is an adapter on its weights"))
        policy.retired_at, policy.is_on_trial = timezone.now(), False
        policy.save(update_fields=["retired_at", "is_on_trial"])
        audit.record(actor, "policy.retire", policy, after={"name": policy.name})
        transaction.on_commit(partial(shared_state.remove, policies.directory(policy)), robust=True)


def remove_strays() -> None:
    """Removes the models of jobs that are gone and never had a policy, from this host and from the shared state: jobs
    went on another host, or while it was away."""
    gone = Run.objects.filter(kind=Run.Kind.FINE_TUNE, fine_tune=None, policy=None).exclude(state__in=Run.LIVE)
    left = unregistered(gone)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    for path in shared_state.stored_in(Path(settings.MODELS_DIR)) if left else ():
        if path in left:
            shared_state.remove(path)


def unregistered(runs: QuerySet[Run]) -> set[Path]:
    """Directories of the models of these runs that no row of a policy names: their training broke off in the end."""
    known = set(Policy.objects.values_list("directory", flat=True))
    return {path for path in map(directory_of, runs) if path.name not in known}


def share(job: FineTune, group: Group | None) -> None:
    """The group's members may use the model, too; None: only its owner may."""
    with transaction.atomic():
        FineTune.objects.filter(pk=job.pk).update(group=group)
        if job.policy_id is not None:
            Policy.objects.filter(pk=job.policy_id).update(group=group)
    job.group = group


def groups_of(person: User) -> Iterator[Group]:
    """The groups that the person may share with: those that they are in."""
    yield from person.groups.order_by("name")


def lineage(policy: Policy) -> list[Policy]:
    """From the first base model to this policy."""
    chain = [policy]
    while chain[0].base is not None:
        chain.insert(0, chain[0].base)
    return chain
