"""Any order of sends, claims, chunks, stops, blocks, resumes, deaths and swaps keeps the promises of a reply's life.

The machine drives the functions that talkers, sockets and reapers call, on the database; what it believes it writes
down itself and compares.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from chat import fsck
from chat.conversations.turns import take_turn
from chat.errors import BadPolicy
from chat.models import Chunk, Conversation, EngineProcess, Message, Policy, Reply, Ticket
from chat.queue import claims, reaping, replies, tickets
from chat.queue.replies import Ending, NewChunk
from chat.queue.tickets import Used
from chat.websocket.tail import ChunkNews, EndNews, Follower, StateNews, Tail, look
from metering.models import Usage

PAST = timezone.now() - timedelta(days=1)
BEGUN = "It began "
PROMISES = (
    fsck.replies_end,
    fsck.tickets_end,
    fsck.text_is_its_chunks,
    fsck.trees_are_whole,
    fsck.errors_say_something,
    fsck.usage_is_written_down,
)


@dataclass
class Writer:
    """A talker as the database sees it."""

    owner: str
    writing: dict[int, int] = field(default_factory=dict)
    """Reply -> last seq."""
    unsent: list[NewChunk] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)


@dataclass
class Reader:
    """A socket that may leave and come back with what it has."""

    reply: int
    texts: list[str] = field(default_factory=list)
    seq: int = 0
    done: EndNews | None = None
    follower: Follower | None = None

    def hear(self, news):
        assert self.done is None, "something after the end"
        if isinstance(news, ChunkNews):
            assert news.first == self.seq + 1, "a gap or a repeat"
            self.texts.append(news.text)
            self.seq = news.seq
        elif isinstance(news, EndNews):
            self.done = news
        else:
            assert isinstance(news, StateNews)


class LifeOfReplies(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        for model in (Ticket, Usage, Reply, Message, Conversation, EngineProcess, Policy):
            model.objects.all().delete()
        cache.clear()
        self.user, _ = User.objects.get_or_create(username="alice")
        self.live = Policy.objects.create(name="p1", version=1, is_live=True, is_scripted=True)
        self.other = Policy.objects.create(name="other", version=1000, is_scripted=True)
        self.policies = {}
        """Of replies that name one or that were claimed."""
        self.named = set()
        self.claimed = set()
        self.ended = {}
        self.writers = [Writer("first"), Writer("second")]
        self.readers = []
        self.tail = Tail()
        self.cursor = -1
        self.count = 0
        self.tickets = {}
        """{ticket: what its program noted last}, for those that are not ended."""
        self.bills = {}

    @initialize(texts=st.lists(st.text("ab", min_size=1), max_size=3))
    def begin_somewhere(self, texts):
        """Two replies, one of them under way."""
        self.send()
        self.claim(0, 1)
        for text in texts:
            self.write(0, text, True)
        self.relay()
        self.send()

    # --- people -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.count < 6)
    @rule()
    def send(self):
        self.count += 1
        room = Conversation.objects.create(owner=self.user)
        _, reply = take_turn(room, "Hi", "key", None)
        self.readers.append(Reader(reply.pk))
        self.resume(len(self.readers) - 1)

    @precondition(lambda self: self.count < 6)
    @rule(named=st.booleans(), prefix=st.sampled_from(["", BEGUN]))
    def ask_for_another(self, named, prefix):
        """A reply beside one that there is: from a policy of its own, or from a given beginning."""
        self.count += 1
        question = Message.objects.filter(role="user").order_by("pk").last()
        reply = replies.queue(question, {}, prefix=prefix, policy=self.other if named else None)
        if named:
            self.named.add(reply.pk)
            self.policies[reply.pk] = self.other.pk
        self.readers.append(Reader(reply.pk))
        self.resume(len(self.readers) - 1)

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 11))
    def resume(self, number):
        """A socket opens, or opens again, with what its page has."""
        reader = self.readers[number % len(self.readers)]
        if reader.done is None:
            reader.follower = Follower(reader.reply, reader.seq, reader.hear)

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 11))
    def open_a_second_tab(self, number):
        if len(self.readers) < 12:
            self.readers.append(Reader(self.readers[number % len(self.readers)].reply))
            self.resume(len(self.readers) - 1)

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 11))
    def leave(self, number):
        self.readers[number % len(self.readers)].follower = None

    @rule()
    def relay(self):
        """One look of the web process."""
        watching = [reader for reader in self.readers if reader.follower and reader.done is None]
        behind = {}
        for reader in watching:
            if reader.follower.is_new:
                behind[reader.reply] = min(behind.get(reader.reply, 10**9), reader.follower.seq)
        asked = self.tail._to_ask([reader.follower for reader in watching])
        found = look({reader.reply: ["en"] for reader in watching}, asked, behind, self.cursor if watching else -1)
        self.cursor = found.cursor
        for reader in watching:
            reader.follower.is_new = not self.tail._send_news(reader.follower, found, reader.reply in asked)

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 11))
    def stop(self, number):
        """A person stops a reply at what this page has shown."""
        reader = self.readers[number % len(self.readers)]
        if replies.stop(reader.reply, reader.seq):
            assert Message.objects.get(reply=reader.reply).text == "".join(reader.texts)

    @precondition(lambda self: self.readers)
    @rule(number=st.integers(0, 11))
    def delete_the_conversation(self, number):
        """The page asks for a stop by the flag alone."""
        reply = self.readers[number % len(self.readers)].reply
        Reply.objects.filter(pk=reply, state__in=Reply.LIVE).update(stop_requested=True)

    # --- programs -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.tickets) < 5)
    @rule(named=st.booleans(), slots=st.integers(1, 3))
    def ask_from_outside(self, named, slots):
        ticket = tickets.queue(uuid4(), self.user.pk, None, self.other if named else None, slots)
        self.tickets[ticket.pk] = Used()
        if named:
            self.named.add(ticket.pk)

    @precondition(lambda self: self.tickets)
    @rule(number=st.integers(0, 9), tokens=st.integers(0, 9))
    def read_on(self, number, tokens):
        pk = list(self.tickets)[number % len(self.tickets)]
        used = Used(7, tokens) if pk in self.claimed else Used()
        if tickets.renew({pk: used}):
            self.over(pk)
        else:
            self.tickets[pk] = used

    @precondition(lambda self: self.tickets)
    @rule(number=st.integers(0, 9), tokens=st.integers(0, 9), again=st.booleans())
    def leave_with_the_answer(self, number, tokens, again):
        pk = list(self.tickets)[number % len(self.tickets)]
        used = Used(7, tokens) if pk in self.claimed else Used()
        if tickets.end(pk, used):
            self.tickets[pk] = used
        if again:
            assert not tickets.end(pk, Used(99, 99))
        self.over(pk)

    @precondition(lambda self: self.tickets)
    @rule(number=st.integers(0, 9))
    def kill_a_program(self, number):
        """Nobody renews its lease any more; whoever looks next ends it."""
        pk = list(self.tickets)[number % len(self.tickets)]
        Ticket.objects.filter(pk=pk).update(lease_until=PAST)
        reaping.reap()
        self.over(pk)

    def over(self, pk):
        assert Ticket.objects.get(pk=pk).state == "ended"
        used = self.tickets.pop(pk)
        if pk in self.claimed:
            self.bills[f"ticket:{pk}"] = (used.prompt_tokens, used.completion_tokens)

    # --- talkers ------------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, 1), limit=st.integers(1, 3))
    def claim(self, number, limit):
        self.take(number, limit, claims.claim(self.writers[number].owner, self.live, None, limit), self.live)

    @rule(number=st.integers(0, 1), limit=st.integers(1, 3))
    def claim_for_the_named_policy(self, number, limit):
        claimed = claims.claim(self.writers[number].owner, self.other, None, limit, unnamed=False)
        asked = {row.pk for row in (*claimed.replies, *claimed.tickets)}
        assert asked <= self.named, "nobody asked for this policy"
        self.take(number, limit, claimed, self.other)

    def take(self, number, limit, claimed, policy):
        assert len(claimed.replies) + sum(ticket.slots for ticket in claimed.tickets) <= limit, (
            "more than there is room"
        )
        for ticket in claimed.tickets:
            assert ticket.pk not in self.claimed, "granted twice"
            assert (ticket.policy, ticket.owner) == (policy, self.writers[number].owner)
            self.claimed.add(ticket.pk)
        for reply in claimed.replies:
            assert reply.pk not in self.claimed, "claimed twice"
            assert self.policies.setdefault(reply.pk, policy.pk) == policy.pk, "another policy was named"
            self.claimed.add(reply.pk)
            self.writers[number].writing[reply.pk] = int(bool(reply.prefix))

    @rule()
    def fail_to_load_the_named_policy(self):
        replies.refuse(self.other, BadPolicy())
        tickets.refuse(self.other, BadPolicy())
        for model in (Reply, Ticket):
            assert not model.objects.filter(state="queued", policy=self.other).exists()

    @rule(number=st.integers(0, 1), text=st.text("ab ✓가\n", min_size=1), at_once=st.booleans())
    def write(self, number, text, at_once):
        writer = self.writers[number]
        for reply in writer.writing:
            writer.writing[reply] += 1
            writer.unsent.append(NewChunk(reply, writer.writing[reply], text))
        if at_once:
            self.flush(number, False)

    @rule(number=st.integers(0, 1), again=st.booleans())
    def flush(self, number, again):
        """The database confirms, or the confirmation is lost and the same is sent again."""
        writer = self.writers[number]
        for _ in range(1 + again):
            gone = replies.write(writer.owner, writer.unsent)
            for ending in writer.endings:
                replies.end(writer.owner, ending)
        for pk in gone | {ending.reply for ending in writer.endings}:
            writer.writing.pop(pk, None)
        writer.unsent, writer.endings = [], []

    @rule(number=st.integers(0, 1), state=st.sampled_from(["complete", "interrupted", "failed"]))
    def end(self, number, state):
        """The engine is through with the oldest reply, or went away."""
        writer = self.writers[number]
        for reply in list(writer.writing)[:1]:
            del writer.writing[reply]
            error = "" if state == "complete" else "engine_down"
            writer.endings.append(Ending(reply, Reply.State(state), error=error, completion_tokens=3))
            self.flush(number, False)

    @rule(number=st.integers(0, 1), passed=st.integers(0, 5), again=st.booleans())
    def block(self, number, passed, again):
        """A guard lets the oldest reply pass up to some chunk, and takes back the rest."""
        writer = self.writers[number]
        for reply in list(writer.writing)[:1]:
            keep = min(passed, writer.writing.pop(reply))
            writer.endings.append(Ending(reply, Reply.State.BLOCKED, blocked_by="no-cats", keep=keep))
            self.flush(number, again)
            assert Reply.objects.get(pk=reply).last_seq <= max(keep, 0) or reply in self.ended

    @rule(number=st.integers(0, 1))
    def look_for_stops(self, number):
        writer = self.writers[number]
        for pk in replies.lost_or_stopped(writer.owner, list(writer.writing)):
            writer.writing.pop(pk)

    @rule(number=st.integers(0, 1))
    def pause_a_talker(self, number):
        """Its lease runs out, but it does not know, and may write on later."""
        Reply.objects.filter(owner=self.writers[number].owner, state="streaming").update(lease_until=PAST)

    @rule(number=st.integers(0, 1))
    def kill_a_talker(self, number):
        self.pause_a_talker(number)
        self.writers[number] = Writer(f"{self.writers[number].owner}'")

    @rule()
    def reap(self):
        reaping.reap()

    @rule()
    def promote(self):
        Policy.objects.update(is_live=False)
        version = self.live.version + 1
        self.live = Policy.objects.create(name=f"p{version}", version=version, is_live=True, is_scripted=True)

    # --- promises -----------------------------------------------------------------------------------------------

    @invariant()
    def everything_holds(self):
        rows = defaultdict(list)
        for chunk in Chunk.objects.order_by("reply_id", "seq"):
            rows[chunk.reply_id].append(chunk)
        for reply in Reply.objects.select_related("message"):
            chunks = rows[reply.pk]
            assert [chunk.seq for chunk in chunks] == list(range(1, len(chunks) + 1))
            text = "".join(chunk.text for chunk in chunks)
            assert reply.policy_id == self.policies.get(reply.pk)
            if reply.is_live:
                assert reply.message.text == ""
                assert (reply.state == "queued") == (reply.pk not in self.claimed)
                assert text.startswith(reply.prefix)
                continue
            assert (reply.message.text, reply.last_seq, reply.lease_until) == (text, len(chunks), None)
            assert reply.ended_at is not None
            ending = (reply.state, text, reply.ended_at)
            assert self.ended.setdefault(reply.pk, ending) == ending, "changed after its end"
        for reader in self.readers:
            if reader.done:
                assert reader.done.text == self.ended[reader.reply][1]
                if reader.done.state == "blocked":  # what did not pass is taken back
                    assert "".join(reader.texts).startswith(reader.done.text)
                elif reader.done.state != "stopped":  # another page may have stopped at less than this one shows
                    assert reader.done.text == "".join(reader.texts)

    def teardown(self):
        """Everything dies at once; what is left of the site ends every reply, and every page learns of it."""
        for number in (0, 1):
            self.kill_a_talker(number)
        Reply.objects.filter(state="queued").update(queued_at=PAST)
        reaping.reap()
        while self.tickets:
            self.kill_a_program(0)
        bills = Usage.objects.filter(kind="api").values_list("ref", "prompt_tokens", "completion_tokens")
        assert {ref: (prompt, completion) for ref, prompt, completion in bills} == self.bills
        assert not Reply.objects.filter(state__in=Reply.LIVE).exists()
        assert [problem for promise in PROMISES for problem in promise()] == []
        for number in range(len(self.readers)):
            self.resume(number)
        self.relay()
        self.everything_holds()
        assert all(reader.done for reader in self.readers)


@pytest.mark.django_db(transaction=True)
def test_any_order_of_events_keeps_the_promises(settings_of_the_site, monkeypatch):
    # As with hundreds of readers: their states are read in turn.
    monkeypatch.setattr("chat.websocket.tail.STATES_A_LOOK", 2)
    run_state_machine_as_test(
        LifeOfReplies,
        settings=settings(
            max_examples=45,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # each step asks a database: to shrink a failure takes minutes
        ),
    )


@pytest.fixture
def settings_of_the_site(settings):
    settings.CHAT_MESSAGES_PER_MINUTE = settings.CHAT_REPLIES_PER_USER = settings.API_CONCURRENCY = 1000
