"""Which policies and runs a person sees on the training pages: moderators all, others nothing of other people's."""

from django.db.models import Q, QuerySet

from accounts.models import User
from accounts.roles import Role
from chat.models import Policy
from chat.policies import EVERYBODYS
from rlhf.models import Evaluation, Run


def policies_for(reader: User) -> QuerySet[Policy]:
    """Of other people's models those alone that answered everybody at some time, and those of the reader's groups."""
    if reader.has_role(Role.MODERATOR):
        return Policy.objects.all()
    answered = Q(is_live=True) | Q(pk__in=Policy.objects.exclude(promotions=None).values("pk"))
    theirs = Q(owner=reader) | Q(group__in=reader.groups.values("pk"))
    return Policy.objects.filter(EVERYBODYS | answered | theirs)


def runs_for(reader: User) -> QuerySet[Run]:
    """Without fine-tunes, which their owners follow as jobs on pages of their own."""
    if reader.has_role(Role.MODERATOR):
        return Run.objects.all()
    seen = policies_for(reader).values("pk")
    return Run.objects.exclude(kind=Run.Kind.FINE_TUNE).filter(Q(policy=None) | Q(policy__in=seen))


def evaluations_for(reader: User) -> QuerySet[Evaluation]:
    seen = policies_for(reader).values("pk")
    return Evaluation.objects.filter(policy__in=seen, baseline__in=seen)
