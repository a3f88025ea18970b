"""The pool of loaded engines, one for each wanted policy: starts, probes, restarts, swaps and unloads them.

Wanted are the live policy, those that queued replies and tickets name, and the one on trial. At most
settings.CHAT_ENGINES are loaded at once: a policy that nobody waits for gives its place to one that somebody does,
and is unloaded after a while anyway. Only the live policy never waits for a place. Replies under way go on.

Other processes find the engines by their rows of EngineProcess. Runs in the talker, in its event loop.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from base.database_thread import DatabaseThread
from chat import policies
from chat.engines.engine import Engine
from chat.engines.loading import HEARTBEAT_LIMIT, engine_for, key_of
from chat.errors import BadPolicy, ChatError, EngineDown, PolicyUnavailable
from chat.models import EngineProcess, Policy, ShareOfChats
from chat.queue import line, replies, tickets

logger = logging.getLogger(__name__)
State = EngineProcess.State

STEP_S = 0.2
PROBE_EVERY_S = 2.0
PROBE_TIMEOUT_S = 3.0
SILENT_LIMIT_S = 8.0
"""An engine that answers no probe for this long is killed; with its restart that takes less than 30 s."""
MUTE_LIMIT_S = 22.0
"""So is one that answers probes while it writes nothing for any of its streaming replies."""
UNLOAD_AFTER_S = 300.0
"""How long a policy that nobody waits for stays loaded."""
HEARTBEAT_EVERY_S = 3.0
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before the next start after one, two, ... failures in a row."""


@dataclass(eq=False)
class LoadedEngine:
    """An engine with its row, and how many completions it is generating."""

    policy: Policy
    row: int
    made: Engine | None = None
    """By its start: which engine it is may have to be asked of the shared state."""
    state: EngineProcess.State = State.STARTING
    users: int = 0
    starting: asyncio.Task[None] | None = None
    probing: asyncio.Task[None] | None = None
    answered_at: float = 0.0
    probed_at: float = 0.0
    wanted_at: float = field(default_factory=time.monotonic)
    begun: int = 0
    """Replies of which it has sent the first piece and not the last."""
    wrote_at: float = 0.0

    @property
    def engine(self) -> Engine:
        """Of one that has started."""
        assert self.made is not None
        return self.made

    @contextlib.contextmanager
    def writing(self) -> Iterator[Callable[[], None]]:
        """Context of a reply's stream; gives a function to be called at each piece."""
        has_begun = False

        def note() -> None:
            nonlocal has_begun
            self.wrote_at = time.monotonic()
            self.begun += not has_begun
            has_begun = True

        try:
            yield note
        finally:
            self.begun -= has_begun


@dataclass
class Failures:
    count: int = 0
    not_before: float = 0.0

    def add(self) -> None:
        pause_s = BACK_OFF_S[min(self.count, len(BACK_OFF_S) - 1)]
        self.count += 1
        self.not_before = time.monotonic() + pause_s


@dataclass(frozen=True)
class WantedPolicies:
    live: Policy | None = None
    named: tuple[Policy, ...] = ()
    """Named by what is queued, the one that has been waited for longest first."""
    on_trial: Policy | None = None
    shared: Policy | None = None
    """Answers a share of the chats."""

    @property
    def tried(self) -> tuple[Policy, ...]:
        return tuple(policy for policy in (self.shared, self.on_trial) if policy is not None)

    def __contains__(self, policy: Policy) -> bool:
        return policy in (self.live, *self.tried, *self.named)


@dataclass
class EnginePool:
    database: DatabaseThread
    current: LoadedEngine | None = None
    """Serves replies that name no policy; None while no engine is ready."""
    wanted: WantedPolicies = WantedPolicies()
    engines: list[LoadedEngine] = field(default_factory=list)
    failures: dict[int, Failures] = field(default_factory=dict)
    stopping: set[asyncio.Task[None]] = field(default_factory=set)
    heartbeat_sent_at: float = 0.0

    async def run(self) -> None:
        await self.database(_mark_abandoned_rows_dead)
        while True:
            try:
                await self.step()
            except (OperationalError, InterfaceError) as error:
                logger.warning("the database is away: %s", error)
            await asyncio.sleep(STEP_S)

    async def step(self) -> None:
        """Checks every engine once. Nothing in it waits for an engine."""
        self.wanted = await self.database(_wanted_policies)
        await self._want_live(self.wanted.live)
        for policy in self.wanted.named:
            await self._want_beside(policy)
        for policy in self.wanted.tried:
            await self._want_beside(policy)
        for loaded in list(self.engines):
            await self._check(loaded)
        if len(self.engines) > settings.CHAT_ENGINES:
            # The live policy took a place beyond the limit while all others were busy or starting.
            await self._make_room()
        if time.monotonic() - self.heartbeat_sent_at > HEARTBEAT_EVERY_S:
            self.heartbeat_sent_at = time.monotonic()
            await self.database(_store_heartbeat, [loaded.row for loaded in self.engines if self._is_alive(loaded)])

    def ready(self) -> list[LoadedEngine]:
        """Engines that take new replies, the live policy's first."""
        taking = [loaded for loaded in self.engines if loaded.state == State.READY and loaded.engine.is_running()]
        return sorted(taking, key=lambda loaded: loaded is not self.current)

    async def close(self) -> None:
        """Stops every engine and marks its row dead."""
        self.current = None
        for loaded in list(self.engines):
            await self._end(loaded, "")
        if self.stopping:
            await asyncio.wait(self.stopping)

    async def _want_live(self, policy: Policy | None) -> None:
        if policy is None:
            return
        loaded = self._of(policy)
        if loaded is None:
            if self._may_start(policy):
                if len(self.engines) >= settings.CHAT_ENGINES:
                    await self._make_room()
                await self._begin(policy)
        elif loaded.state in (State.READY, State.DRAINING) and loaded is not self.current:
            await self._switch_to(loaded)

    async def _want_beside(self, policy: Policy) -> None:
        """A policy beside the live one waits for a free place, and for the pause after a failed start to end."""
        loaded = self._of(policy)
        if loaded is None:
            if self._may_start(policy) and (
                len(self.engines) < settings.CHAT_ENGINES or await self._make_room(policy)
            ):
                await self._begin(policy)
            return
        loaded.wanted_at = time.monotonic()
        if loaded.state == State.DRAINING:
            loaded.state = State.READY
            await self.database(_set_state, loaded.row, State.READY)

    async def _make_room(self, wanted: Policy | None = None) -> bool:
        """Unloads the one that nobody has waited for longest. One that is tried makes room for a named one only."""
        spared = {self.wanted.live, *self.wanted.named}
        if wanted is None or wanted not in self.wanted.named:
            spared.update(self.wanted.tried)
        idle = [
            loaded
            for loaded in self.engines
            if loaded is not self.current
            and loaded.state in (State.READY, State.DRAINING)
            and loaded.users == 0
            and loaded.policy not in spared
        ]
        if not idle:
            return False
        await self._end(min(idle, key=lambda loaded: loaded.wanted_at), "")
        return True

    def _of(self, policy: Policy) -> LoadedEngine | None:
        return next((loaded for loaded in self.engines if loaded.policy.pk == policy.pk), None)

    def _may_start(self, policy: Policy) -> bool:
        """False during the pause after a failed start."""
        return time.monotonic() >= self.failures.setdefault(policy.pk, Failures()).not_before

    async def _begin(self, policy: Policy) -> None:
        row = await self.database(_create_row, policy)
        loaded = LoadedEngine(policy, row)
        self.engines.append(loaded)
        loaded.starting = asyncio.create_task(self._start(loaded))

    async def _start(self, loaded: LoadedEngine) -> None:
        try:
            loaded.made = await asyncio.to_thread(engine_for, loaded.policy)
            if loaded.engine.is_embedded:
                # A tampered or half-written directory is never served.
                await asyncio.to_thread(_verify, loaded.policy)
            await loaded.engine.start(key_of(loaded.row))
        except ChatError as error:
            logger.error("engine for %s did not start: %s", loaded.policy.name, error)
            await self._give_up(loaded, f"{error.code}: {error}", error)
            return
        loaded.answered_at = loaded.probed_at = time.monotonic()
        loaded.state = State.READY
        await self.database(_set_ready, loaded.row, loaded.engine.url, loaded.engine.pid)
        logger.info("engine for %s is ready", loaded.policy.name)

    async def _switch_to(self, loaded: LoadedEngine) -> None:
        """Sends new replies to `loaded`; the former engine drains unless its policy is wanted by name."""
        former, self.current = self.current, loaded
        loaded.state = State.READY
        if former is not None and former in self.engines and former.policy not in self.wanted:
            former.state = State.DRAINING
        await self.database(_make_default, loaded.row, (former.row, former.state) if former else None)

    async def _check(self, loaded: LoadedEngine) -> None:
        if loaded.state == State.STARTING:
            await self._check_start(loaded)
        elif loaded.state == State.DRAINING and loaded.users == 0:
            await self._end(loaded, "")
        elif not loaded.engine.is_running():
            await self._lose(loaded, "its process ended")
        elif time.monotonic() - loaded.answered_at > SILENT_LIMIT_S:
            await self._lose(loaded, "it answered no probe")
        elif loaded.engine.is_embedded and loaded.begun and time.monotonic() - loaded.wrote_at > MUTE_LIMIT_S:
            await self._lose(loaded, "none of its replies went on")
        elif self._is_idle(loaded):
            await self._end(loaded, "")
        elif time.monotonic() - loaded.probed_at > PROBE_EVERY_S:
            loaded.probed_at = time.monotonic()
            if loaded.probing is None or loaded.probing.done():
                loaded.probing = asyncio.create_task(self._probe(loaded))

    def _is_idle(self, loaded: LoadedEngine) -> bool:
        if loaded is self.current or loaded.users or loaded.policy in self.wanted:
            return False
        return time.monotonic() - loaded.wanted_at > UNLOAD_AFTER_S

    async def _give_up(self, loaded: LoadedEngine, words: str, error: ChatError) -> None:
        """After a failed start: the live policy is tried again; for any other one, what is queued for it fails."""
        self.failures.setdefault(loaded.policy.pk, Failures()).add()
        await self._end(loaded, words)
        if loaded.policy != self.wanted.live:
            reason = error if isinstance(error, BadPolicy) else PolicyUnavailable(str(error))
            await self.database(replies.refuse, loaded.policy, reason)
            await self.database(tickets.refuse, loaded.policy, reason)

    async def _check_start(self, loaded: LoadedEngine) -> None:
        """A start that ended in an unforeseen error has failed. Raises ImportError where the settings name no engine,
        by which no start ever succeeds."""
        task = loaded.starting
        if task is not None and task.done() and loaded in self.engines and (error := task.exception()) is not None:
            if loaded.made is None and isinstance(error, ImportError):
                await self._end(loaded, f"CHAMSAE_ENGINE: {error}")
                raise error
            logger.error("engine for %s did not start", loaded.policy.name, exc_info=error)
            await self._give_up(loaded, repr(error), PolicyUnavailable(repr(error)))

    async def _probe(self, loaded: LoadedEngine) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                if await loaded.engine.is_healthy():
                    loaded.answered_at = time.monotonic()
                    self.failures.pop(loaded.policy.pk, None)

    async def _lose(self, loaded: LoadedEngine, reason: str) -> None:
        logger.error("engine for %s is lost: %s", loaded.policy.name, reason)
        self.failures.setdefault(loaded.policy.pk, Failures()).add()
        await self._end(loaded, f"{EngineDown.code}: {reason}")

    async def _end(self, loaded: LoadedEngine, error: str) -> None:
        """Stops the engine; the streams of its replies raise EngineDown."""
        if self.current is loaded:
            self.current = None
        if loaded in self.engines:
            self.engines.remove(loaded)
        this = asyncio.current_task()
        for task in (loaded.starting, loaded.probing):
            if task is not None and task is not this:
                task.cancel()
                await asyncio.wait([task])
        loaded.state = State.DEAD
        stopping = asyncio.create_task(_stop(loaded))
        self.stopping.add(stopping)
        stopping.add_done_callback(self.stopping.discard)
        await self.database(_set_state, loaded.row, State.DEAD, error)

    def _is_alive(self, loaded: LoadedEngine) -> bool:
        return loaded.state == State.STARTING or time.monotonic() - loaded.answered_at < SILENT_LIMIT_S


async def _stop(loaded: LoadedEngine) -> None:
    """A silent server elsewhere may still be generating, so only our own process is stopped at once."""
    if loaded.made is None:
        return
    while loaded.users and not loaded.engine.is_embedded:
        await asyncio.sleep(STEP_S)
    await loaded.engine.stop()


# --- rows -----------------------------------------------------------------------------------------------------


def _wanted_policies() -> WantedPolicies:
    named = [] if line.is_empty() else line.entries(Q(policy__isnull=False))
    order = list(dict.fromkeys(entry.lane for entry in named if entry.lane is not None))
    share = ShareOfChats.objects.values_list("policy", flat=True).first()
    wanted = Policy.objects.filter(Q(is_live=True) | Q(is_on_trial=True) | Q(pk__in=[*order, share]))
    found = {policy.pk: policy for policy in wanted}
    live = next((policy for policy in found.values() if policy.is_live), None)
    on_trial = next((policy for policy in found.values() if policy.is_on_trial and not policy.is_live), None)
    shared = found.get(share or 0)
    return WantedPolicies(
        live,
        tuple(found[pk] for pk in order if found[pk] != live),
        on_trial,
        shared if shared is not None and shared != live and shared.retired_at is None else None,
    )


def _verify(policy: Policy) -> None:
    manifest = policies.verify(policies.fetched(policy))
    if policy.manifest_sha256 and manifest != policy.manifest_sha256:
        raise BadPolicy(f"{policy.name}: its manifest is not the one that was registered")


def _create_row(policy: Policy) -> int:
    return EngineProcess.objects.create(policy=policy, host=socket.gethostname()).pk


def _set_ready(row: int, url: str, pid: int | None) -> None:
    now = timezone.now()
    EngineProcess.objects.filter(pk=row).update(state=State.READY, url=url, pid=pid, ready_at=now, heartbeat_at=now)


def _set_state(row: int, state: EngineProcess.State, error: str = "") -> None:
    values: dict[str, object] = {"is_default": False} if state == State.DEAD else {}
    EngineProcess.objects.filter(pk=row).update(state=state, error=error[:2000], **values)


def _make_default(row: int, former: tuple[int, EngineProcess.State] | None) -> None:
    with transaction.atomic():
        if former is not None:
            EngineProcess.objects.filter(pk=former[0]).update(is_default=False, state=former[1])
        EngineProcess.objects.filter(pk=row).update(is_default=True, state=State.READY)


def _store_heartbeat(rows: list[int]) -> None:
    EngineProcess.objects.filter(pk__in=rows).update(heartbeat_at=timezone.now())


def _mark_abandoned_rows_dead() -> None:
    """Rows that a killed talker left behind; its engines died with it."""
    stale = timezone.now() - HEARTBEAT_LIMIT
    EngineProcess.objects.exclude(state=State.DEAD).filter(heartbeat_at__lt=stale).update(
        state=State.DEAD, is_default=False, error="its talker is gone"
    )
