"""A moderator's decision about a finding: whether the person's judgements count."""

from django.db import transaction
from django.utils import timezone

from accounts.audit import record
from accounts.models import User
from feedback.errors import ReasonNeeded
from feedback.models import TrustFinding
from feedback.trust import assessment
from feedback.trust.errors import AlreadyDecided, OwnFinding

State = TrustFinding.State
VERBS = {State.DISCOUNTED.value: "trust.discount", State.CLEARED.value: "trust.clear"}


@transaction.atomic
def decide(finding: TrustFinding, *, state: str, actor: User, reason: str) -> TrustFinding:
    """Decides, or decides otherwise than before; the weight follows at once.

    Raises ReasonNeeded, OwnFinding, AlreadyDecided.
    """
    locked = TrustFinding.objects.select_for_update().get(pk=finding.pk)
    if not reason.strip():
        raise ReasonNeeded
    if locked.person_id == actor.pk:
        raise OwnFinding
    if locked.state == state:
        raise AlreadyDecided
    before = locked.state
    locked.state, locked.decided_by, locked.decided_at, locked.reason = state, actor, timezone.now(), reason
    locked.save(update_fields=["state", "decided_by", "decided_at", "reason"])
    after = {"state": state, "person": locked.person_id, "kind": locked.kind}
    record(actor, VERBS[state], locked, reason=reason, before={"state": before}, after=after)
    assessment.reweigh(locked.person_id)
    return locked
