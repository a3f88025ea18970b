"""Pages of shared links: the owner creates and revokes them, anybody with one can read it."""

import uuid

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.requests import person
from chat.conversations import sharing
from chat.conversations.open_path import shown_message
from chat.models import Conversation, SharedLink
from chat.views.requests import kept_conversation


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def share(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """The links of a conversation; a POST creates one."""
    shown = kept_conversation(request, conversation_id)
    if request.method != "POST":
        return _links(request, shown)
    try:
        made = sharing.share(shown)
    except sharing.NothingToShare:
        return _links(request, shown, problem=_("There are no messages to share yet. Write one first."), status=409)
    return _links(request, shown, made=made.pk, status=201)


@require_POST
def revoke(request: HttpRequest, link_id: int) -> HttpResponse:
    link = get_object_or_404(sharing.links_of(person(request)), pk=link_id)
    sharing.revoke(link)
    if _is_part(request):
        return _links(request, link.conversation)
    messages.success(request, _("The link was revoked. It no longer shows anything to anybody."))
    if request.POST.get("back") == "shared_links":
        return redirect("shared_links")
    return redirect("conversation_share", link.conversation_id)


@require_safe
def shared_links(request: HttpRequest) -> HttpResponse:
    """Every working link of the person."""
    mine = _with_addresses(request, sharing.links_of(person(request)))
    return render(request, "chat/shared_links.html", {"links": mine})


@never_cache
@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """The page for anybody with the link. A revoked link answers like one that never existed."""
    link = sharing.opened_by(token)
    if link is None:
        raise Http404
    turns = [shown_message(message) for message in sharing.shared_path(link)]
    response = render(request, "chat/shared.html", {"link": link, "turns": turns})
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response["Referrer-Policy"] = "no-referrer"  # the address is a secret
    return response


def _links(
    request: HttpRequest, shown: Conversation, *, made: int | None = None, problem: str = "", status: int = 200
) -> HttpResponse:
    """The links of a conversation, as a page or as a fragment for a dialog."""
    context = {
        "conversation": shown,
        "links": _with_addresses(request, sharing.active_links(shown)),
        "made": made,
        "problem": problem,
    }
    template = "chat/share_links.html" if _is_part(request) else "chat/share.html"
    return render(request, template, context, status=status)


def _with_addresses(request: HttpRequest, active: QuerySet[SharedLink]) -> list[tuple[SharedLink, str]]:
    """Each with its absolute address."""
    return [(link, request.build_absolute_uri(reverse("shared", args=[link.token]))) for link in active]


def _is_part(request: HttpRequest) -> bool:
    return "part" in request.GET
