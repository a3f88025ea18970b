"""Links by which people join a project: signed, for a time and a number of people, and revocable."""

from datetime import datetime

from django.core import signing
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from accounts.audit import record
from accounts.models import User
from feedback.models import Project, ProjectInvitation
from feedback.projects import people
from feedback.projects.errors import LinkInvalid, NotForTheSite

SALT = "feedback.projects.invitations"
MAX_USES = 1000


@transaction.atomic
def invite(
    project: Project, role: str, languages: list[str], expires_at: datetime, max_uses: int, *, by: User | None
) -> ProjectInvitation:
    """A link never gives more than a role in its project. Raises NotForTheSite: whose annotators admins choose."""
    if project.is_site:
        raise NotForTheSite
    made = ProjectInvitation.objects.create(
        project=project, role=role, languages=languages, expires_at=expires_at, max_uses=max_uses, created_by=by
    )
    told = {"role": role, "languages": languages, "expires": expires_at.isoformat(), "people": max_uses}
    record(by, "project.invite", project, after={"invitation": made.pk, **told})
    return made


def path_of(invitation: ProjectInvitation) -> str:
    return reverse("join_project", args=[signing.Signer(salt=SALT).sign(str(invitation.pk))])


def found(token: str) -> ProjectInvitation:
    """Raises LinkInvalid, whatever the reason: who holds a forged link learns nothing."""
    try:
        key = int(signing.Signer(salt=SALT).unsign(token))
    except (signing.BadSignature, ValueError):
        raise LinkInvalid from None
    row = ProjectInvitation.objects.select_related("project").filter(pk=key).first()
    if row is None or not row.is_valid or row.project.state != Project.State.OPEN:
        raise LinkInvalid
    return row


@transaction.atomic
def accept(token: str, person: User) -> Project:
    """Makes the person a member; who is one stays as they are, and uses nothing up. Raises LinkInvalid."""
    row = found(token)
    counted = ProjectInvitation.objects.filter(
        pk=row.pk, uses__lt=F("max_uses"), revoked_at=None, expires_at__gt=timezone.now()
    )
    if not counted.update(uses=F("uses") + 1):
        raise LinkInvalid
    if not people.join(row.project, person, row):
        ProjectInvitation.objects.filter(pk=row.pk).update(uses=F("uses") - 1)
    return row.project


@transaction.atomic
def revoke(project: Project, invitation_id: int, *, by: User | None) -> bool:
    """False if there is none that is not revoked yet. Who came by it stays."""
    rows = ProjectInvitation.objects.filter(project=project, pk=invitation_id, revoked_at=None)
    if not rows.update(revoked_at=timezone.now()):
        return False
    record(by, "project.revoke", project, after={"invitation": invitation_id})
    return True
