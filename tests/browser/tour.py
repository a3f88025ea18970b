"""Every page that a person can open, with its address on a furnished site: what pictures and accessibility walk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, get_resolver, reverse

from accounts.permissions import roles_for
from accounts.roles import Role
from tests.site import Site

NOT_PAGES = {
    "healthz": "a word for a load balancer",
    "readyz": "JSON",
    "conversation_list": "a part of the chat's page",
    "training_under_way": "a part of the training page",
    "run_part": "a part of a run's page",
    "run_metrics": "JSON",
}
"""Routes that answer a GET with something else than a whole page, each with what it is."""
ADDRESSES = "from tests.browser.tour import tell_addresses; tell_addresses()"


@dataclass(frozen=True)
class Stop:
    name: str
    path: str
    account: str
    """The least account that may see it; empty for somebody who is not signed in."""


def routes() -> dict[str, URLPattern]:
    """Our own routes by name; the admin's pages are Django's."""
    found = {}
    for entry in get_resolver().url_patterns:
        if "admin" not in str(entry.pattern):
            found |= {route.name: route for route in getattr(entry, "url_patterns", [entry])}
    return found


def account_for(name: str) -> str:
    roles = roles_for(name)
    least = next(role for role in (*Role,) if role in roles)
    return "" if least is Role.ANONYMOUS else least.value


def stops(site: Site) -> list[Stop]:
    """Grouped by account, so that one signing-in serves many."""
    told = json.loads(site.manage("shell", "--verbosity", "0", "-c", ADDRESSES))
    return sorted([*plain(), *(Stop(name, path, account_for(name)) for name, path in told.items())], key=account_of)


def account_of(stop: Stop) -> str:
    return stop.account


def plain() -> Iterator[Stop]:
    """Pages without a variable in their address, and the pages of what goes wrong."""
    for name, route in routes().items():
        if name not in NOT_PAGES and not route.pattern.converters:
            yield Stop(name, reverse(name), account_for(name))
    yield Stop("home-signed-in", "/", "chatter")
    yield Stop("not-found", "/no/such/page/", "")
    yield Stop("forbidden", "/audit-log/", "chatter")
    yield Stop("admin", "/admin/", "admin")


def arguments() -> dict[str, tuple[object, ...]]:
    """For each route with a variable in its address, the row to look at; asked inside the site."""
    from chat.models import Conversation, Message
    from feedback.models import Report
    from rlhf.models import Evaluation, Run

    rainbows = Conversation.objects.filter(title="Rainbows").latest("created_at")
    reply = Message.objects.filter(conversation=rainbows, role=Message.Role.ASSISTANT).latest("id")
    return {
        "conversation": (rainbows.pk,),
        "report_message": (reply.pk,),
        "edit_rule": ("not-human",),
        "moderation_item": ("message", Report.objects.latest("id").message_id),
        "run": (Run.objects.get(stage="policy").pk,),
        "policy": ("policy-2",),
        "evaluation": (Evaluation.objects.latest("id").pk,),
    }


def tell_addresses() -> None:
    print(json.dumps({name: reverse(name, args=args) for name, args in arguments().items()}))  # noqa: T201
