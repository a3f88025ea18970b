"""Every page that a person can open, with its address on a furnished site: what pictures and accessibility walk."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from django.urls import URLPattern, get_resolver, reverse

from accounts.permissions import roles_for
from accounts.roles import Role
from tests.browser.chromium import Visitor
from tests.site import Site

NOT_PAGES = {
    "healthz": "a word for a load balancer",
    "readyz": "JSON",
    "bell": "a part of every page",
    "conversation_list": "a part of the chat's page",
    "training_under_way": "a part of the training page",
    "training_needs": "JSON",
    "lecture_live": "a part of the page of the next word",
    "run_part": "a part of a run's page",
    "run_metrics": "JSON",
    "conversation_path": "a part of a conversation's page",
    "conversation_export": "a file",
    "my_data": "a file",
    "data_content": "a file",
    "download_model": "a file",
    "model_estimate": "a part of the page of a new model",
    "own_model_part": "a part of a model's page",
    "usage_rows": "a file",
    "evaluation_html": "a file",
    "evaluation_json": "a file",
    "evaluation_recompute": "a file",
    "inside_of": "JSON",
    "probe_turns": "a part of a probe's page",
    "manifest": "JSON",
    "moderation_next": "leads to an item",
}
"""Routes that answer a GET with something else than a whole page, each with what it is."""
TWICE = ("training", "runs", "run", "policies", "policy", "evaluation", "rules", "prices")
"""Pages that everybody may read, on which an admin finds more."""
BY_ADMINS = ("new_project", "disagreements")
"""Pages that are there for an annotator only once an admin made them a lead."""
OPENED = {
    "conversation": {"inside": "article.assistant [data-look] >> nth=-1", "menu": ".item summary >> nth=0"},
    "conversation-states": {"why": "article.assistant [data-thumb=down] >> nth=-2"},
}
"""What opens within a page: a name for it, and what is clicked."""
DRAWER = "[popovertarget=conversations]:not([popovertargetaction])"
"""What shows the list of conversations where the screen is too narrow for both."""
ADDRESSES = "from tests.browser.tour import tell_addresses; tell_addresses()"


@dataclass(frozen=True)
class Stop:
    name: str
    path: str
    account: str
    """The least account that may see it; empty for somebody who is not signed in."""
    opens: str = ""
    """What is clicked first."""


def routes() -> dict[str, URLPattern]:
    """Our own routes by name; the admin's pages are Django's, and addresses of the API are no pages."""
    found = {}
    for entry in get_resolver().url_patterns:
        if "admin" not in str(entry.pattern):
            inner = getattr(entry, "url_patterns", [entry])
            found |= {route.name: route for route in inner if isinstance(route, URLPattern)}
    return found


def account_for(name: str) -> str:
    if name in BY_ADMINS:
        return "admin"
    roles = roles_for(name)
    least = next(role for role in (*Role,) if role in roles)
    return "" if least is Role.ANONYMOUS else least.value


def stops(site: Site) -> list[Stop]:
    """Grouped by account, so that one signing-in serves many."""
    told = json.loads(site.manage("shell", "--verbosity", "0", "-c", ADDRESSES))
    pages = [Stop(name, path, account_for(name.partition("-")[0])) for name, path in told.items()]
    opened = [
        replace(page, name=f"{page.name}-{name}", opens=click)
        for page in pages
        for name, click in OPENED.get(page.name, {}).items()
    ]
    every = [*plain(), *pages, *opened]
    as_admin = [replace(stop, name=f"{stop.name}-admin", account="admin") for stop in every if stop.name in TWICE]
    return sorted([*every, *as_admin], key=account_of)


def enter(visitor: Visitor, stop: Stop) -> bool:
    """Opens the page as it is to be seen; False where the address only takes what is sent to it."""
    if visitor.context.request.get(visitor.site.url + stop.path).status == 405:
        return False
    visitor.go(stop.path)
    if stop.opens:
        opener, drawer = visitor.page.locator(stop.opens), visitor.page.locator(DRAWER)
        if not opener.is_visible() and drawer.is_visible():  # the list of a phone
            drawer.click()
        opener.click()
    return True


def account_of(stop: Stop) -> str:
    return stop.account


def plain() -> Iterator[Stop]:
    """Pages without a variable in their address, and the pages of what goes wrong."""
    for name, route in routes().items():
        if name not in NOT_PAGES and not route.pattern.converters:
            yield Stop(name, reverse(name), account_for(name))
    yield Stop("home-signed-in", "/", "chatter")
    yield Stop("home-archive", "/?archive", "chatter")
    yield Stop("home-search", "/?q=rainbow", "chatter")
    yield Stop("home-temporary", "/?temporary", "chatter")
    yield Stop("not-found", "/no/such/page/", "")
    yield Stop("forbidden", "/audit-log/", "chatter")
    yield Stop("admin", "/admin/", "admin")


def addresses() -> dict[str, str]:
    """Asked inside the site, where the rows are."""
    found = {name: reverse(name.partition("-")[0], args=arguments()) for name, arguments in ROWS.items()}
    queried = {name: f"{reverse(name.partition('-')[0])}?{query()}" for name, query in QUERIES.items()}
    return found | queried


def talk(title: str) -> object:
    from chat.models import Conversation

    return Conversation.objects.get(owner__username="chatter", title=title).pk


def newest_link() -> str:
    """The token of an invitation."""
    from feedback.models import ProjectInvitation
    from feedback.projects.invitations import path_of

    return path_of(ProjectInvitation.objects.latest("pk")).rstrip("/").rpartition("/")[2]


def reply() -> int:
    from chat.models import Message

    return Message.objects.filter(conversation=talk("Rainbows"), role=Message.Role.ASSISTANT).latest("id").pk


def blocked() -> object:
    from chat.models import Reply

    return Reply.objects.filter(state=Reply.State.BLOCKED).values_list("message", flat=True).latest("pk")


def newest(app: str, model: str, field: str = "pk", **wanted: object) -> object:
    from django.apps import apps

    return apps.get_model(app, model)._default_manager.filter(**wanted).values_list(field, flat=True).latest("pk")


ROWS: dict[str, Callable[[], tuple[object, ...]]] = {
    "conversation": lambda: (talk("Rainbows"),),
    "conversation-states": lambda: (talk("States"),),
    "conversation-pair": lambda: (talk("Which one?"),),
    "conversation_share": lambda: (talk("Rainbows"),),
    "conversation_uses": lambda: (talk("Rainbows"),),
    "shared": lambda: (newest("chat", "SharedLink", "token"),),
    "assistant": lambda: (newest("chat", "Assistant", name="Poet"),),
    "assistant-shared": lambda: (newest("chat", "Assistant", is_shared=True),),
    "report_message": lambda: (reply(),),
    "lineage": lambda: (reply(),),
    "candidates": lambda: (newest("chat", "Choice", "reply"),),
    "project": lambda: ("course",),
    "webhook": lambda: (newest("feedback", "Webhook"),),
    "project-site": lambda: ("site",),
    "too_fast_judgements": lambda: ("diving",),
    "disagreements": lambda: ("about-rate",),
    "correct_answer": lambda: (newest("feedback", "TaskAnswer", annotator__username="annotator"),),
    "join_project": lambda: (newest_link(),),
    "correct_ranking": lambda: (newest("feedback", "Ranking", annotator__username="annotator"),),
    "edit_rule": lambda: ("no-insults",),
    "moderation_item": lambda: ("message", newest("feedback", "Report", "message")),
    "moderate": lambda: ("message", newest("feedback", "Report", "message"), "hide"),
    "moderation_item-blocked": lambda: ("message", blocked()),
    "moderated_person": lambda: (newest("accounts", "User", username="chatter"),),
    "moderate_person": lambda: (newest("accounts", "User", username="chatter"), "warn"),
    "withdraw_warning": lambda: (
        newest("accounts", "User", username="chatter"),
        newest("feedback", "GivenWarning", withdrawn_at=None),
    ),
    "retire_rule": lambda: ("no-insults",),
    "edit_rule-retired": lambda: ("no-repetition",),
    "undo_moderation": lambda: (newest("accounts", "AuditEntry", verb="text.keep_out"),),
    "trust_person": lambda: (newest("accounts", "User", username="annotator"),),
    "trust_person-found": lambda: (newest("feedback", "TrustFinding", "person", state="open"),),
    "trust_person-cleared": lambda: (newest("feedback", "TrustFinding", "person", state="cleared"),),
    "set_gold": lambda: (newest("feedback", "Ranking", "task", annotator__username="annotator", task__gold=None),),
    "set_gold-known": lambda: (newest("feedback", "GoldAnswer", "task"),),
    "probe": lambda: (newest("feedback", "Probe", prober__username="annotator", state="talking"),),
    "revoke_key": lambda: (newest("accounts", "ApiKey", owner__username="chatter"),),
    "run": lambda: (newest("rlhf", "Run", stage="policy", state="succeeded"),),
    "run-cycle": lambda: (newest("rlhf", "Run", kind="cycle", state="succeeded"),),
    "policy": lambda: ("policy-2",),
    "data_file": lambda: (newest("tuning", "DataFile", filename="island.jsonl"),),
    "prepare_file": lambda: (newest("tuning", "DataFile", filename="island.jsonl"),),
    "own_model": lambda: (newest("tuning", "FineTune", state="succeeded"),),
    "own_model-paused": lambda: (newest("tuning", "FineTune", state="paused"),),
    "evaluation": lambda: (newest("rlhf", "Evaluation"),),
    "promotion": lambda: (newest("rlhf", "Promotion", kind="gate"),),
    "import_report": lambda: (newest("feedback", "Import"),),
}
"""Pages with a variable in their address, each with the row to look at. After a hyphen: another row of a route."""

QUERIES: dict[str, Callable[[], str]] = {
    "leaderboard-korean": lambda: "language=ko",
    "leaderboard-programs": lambda: "judges=programs",
    "moderated_people-new": lambda: "new=on",
    "compare_runs-two": lambda: "a={}&b={}".format(
        newest("rlhf", "Run", kind="cycle", state="succeeded"), newest("rlhf", "Run", kind="cycle", state="failed")
    ),
}
"""Pages that show rows named in their query."""


def tell_addresses() -> None:
    print(json.dumps(addresses()))  # noqa: T201
