"""Makes the engine of a policy from the class in the settings, or attaches to one that runs already."""

import socket
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from chat.engines.engine import Engine
from chat.engines.scripted import ScriptedEngine
from chat.models import EngineProcess, Policy

HEARTBEAT_LIMIT = timedelta(seconds=15)
"""An engine's row with an older heartbeat belongs to a talker that is gone."""
LOOPBACK = "http://127."
"""An engine at such an address answers its own host alone."""


def engine_for(policy: Policy) -> Engine:
    """An engine that is not started yet. Raises PolicyAway; not in an event loop (chat.engines.embedded)."""
    if policy.is_scripted:
        return ScriptedEngine(policy)
    engine = import_string(settings.CHAT_ENGINE)(policy)
    assert isinstance(engine, Engine), settings.CHAT_ENGINE
    return engine


def uses_servers() -> bool:
    """Whether replies come from servers elsewhere. Raises ImportError."""
    kind = import_string(settings.CHAT_ENGINE)  # a class, or a function that chooses among embedded engines
    return bool(settings.CHAT_ENGINE_URLS) and not getattr(kind, "is_embedded", True)


def title_of(policy: Policy) -> str:
    """The name of its engine, for pages. Raises ImportError, PolicyAway."""
    kind = type(engine_for(policy))
    return kind.title or kind.__name__


def attached(policy: Policy, process: int | None = None) -> Engine | None:
    """A running engine for the policy that this host can reach; None if one has to be started. Raises PolicyAway.

    `process`: the row of the engine process that it has to be.
    """
    engine = engine_for(policy)
    if not engine.is_embedded:
        return engine
    running = EngineProcess.objects.filter(
        policy=policy,
        state__in=(EngineProcess.State.READY, EngineProcess.State.DRAINING),
        heartbeat_at__gt=timezone.now() - HEARTBEAT_LIMIT,
    ).filter(Q(host=socket.gethostname()) | ~Q(url__startswith=LOOPBACK))
    if process is not None:
        running = running.filter(pk=process)
    row = running.order_by("-id").first()
    if row is None:
        return None
    engine.attach(row.url, key_of(row.pk))
    return engine


def key_of(engine_process_id: int) -> str:
    """The key of an embedded engine: derived from the site's secret and the engine's row, stored nowhere."""
    return salted_hmac("chat.engines", str(engine_process_id), algorithm="sha256").hexdigest()
