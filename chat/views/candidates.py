"""Shows the completions that a reply was chosen among: to the conversation's owner, and to moderators."""

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.requests import person
from accounts.roles import Role
from chat import guards
from chat.models import Candidate, Choice


@require_safe
def candidates(request: HttpRequest, reply_id: int) -> HttpResponse:
    """404 for a reply of somebody else's, as for one that does not exist. Moderators alone read what was left out."""
    reader = person(request)
    is_moderator = reader.has_role(Role.MODERATOR)
    own = Q(reply__message__conversation__owner=reader, reply__message__hidden_at=None)
    # A temporary conversation is nobody's but its owner's, unless it was reported, which has a page of its own.
    others = Q(reply__message__conversation__expires_at=None) if is_moderator else Q(pk=None)
    kept = Choice.objects.filter(own | others, reply__message__conversation__deleted_at=None)
    choice = get_object_or_404(kept.select_related("reply"), reply=reply_id)
    context = {
        "choice": choice,
        "rows": [_shown(row, is_moderator) for row in choice.candidates.all()],
        "is_moderator": is_moderator,
    }
    return render(request, "chat/candidates.html", context)


def _shown(row: Candidate, is_moderator: bool) -> dict[str, object]:
    is_kept_back = bool(row.left_out_by) and not is_moderator
    return {
        "candidate": row,
        "text": "" if is_kept_back else row.choice.reply.prefix + row.text,
        "is_kept_back": is_kept_back,
        "left_out_by": guards.name_of(row.left_out_by) if row.left_out_by else "",
        "violations": [
            {"name": guards.name_of(rule), "probability": p, "limit": row.choice.thresholds.get(rule)}
            for rule, p in sorted(row.violations.items())
        ],
    }
