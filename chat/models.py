"""Database models of the chat: conversations, messages, replies, policies, engines, assistants, tickets."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Policy(models.Model):
    """A model that can answer: a directory loadable by `from_pretrained`, with a manifest of hashes.

    Training creates policies, and promotion alone changes `is_live`.
    """

    name = models.SlugField(_("name"), max_length=80, unique=True)
    """As in `smollm2-135m-instruct` for a base policy and `policy-3` for one that a run made."""
    version = models.PositiveIntegerField(_("version"), unique=True)
    directory = models.CharField(_("directory"), max_length=300)
    """Relative to settings.MODELS_DIR."""
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    source = models.CharField(_("source"), max_length=300, blank=True)
    """Where the weights came from: the spelling given to `fetch_model`, or `run:<id>`."""
    base = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="descendants")
    """The policy that training started from; None for a base policy."""
    is_live = models.BooleanField(_("live"), default=False)
    is_scripted = models.BooleanField(default=False)
    """Answers canned text; for tests and load."""
    made_from_simulated = models.BooleanField(_("trained on simulated judgements"), default=False)
    is_on_trial = models.BooleanField(_("in trial"), default=False)
    """Answers beside the live policy where two replies stand side by side; an admin's choice."""
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    """Who made it from data of their own; None: it is everybody's. Others see it only through `group`, or as admins
    (chat.policies.visible_to)."""
    group = models.ForeignKey("auth.Group", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    """Its members may use it, too."""
    label = models.CharField(_("label"), max_length=120, blank=True)
    """The name that its maker gave it, as in `davinci:ft-personal-2026-11-24-06-37-36`; empty: its name."""
    languages = models.JSONField(_("languages"), default=list, blank=True)
    """Codes of those that it speaks, as in ["en", "ko"], from its card, its base or an admin; empty: nobody knows."""
    retired_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        ordering = ["-version"]
        verbose_name = _("policy")
        verbose_name_plural = _("policies")
        constraints = [
            models.UniqueConstraint(fields=["is_live"], condition=Q(is_live=True), name="one_live_policy"),
            models.UniqueConstraint(fields=["is_on_trial"], condition=Q(is_on_trial=True), name="one_trial"),
        ]

    def __str__(self) -> str:
        return self.name


class EngineProcess(models.Model):
    """An engine that the talker started or found; other processes reach it by this row."""

    class State(models.TextChoices):
        STARTING = "starting", _("starting")
        READY = "ready", _("ready")
        DRAINING = "draining", _("draining")
        DEAD = "dead", _("dead")

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="engines")
    state = models.CharField(max_length=10, choices=State, default=State.STARTING)
    url = models.CharField(max_length=300, blank=True)
    """Base URL that ends in `/v1`. Its key is derived (chat.engines.loading), never stored."""
    is_default = models.BooleanField(default=False)
    """Whether replies that name no policy go to it."""
    pid = models.PositiveIntegerField(null=True)
    host = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ready_at = models.DateTimeField(null=True)
    """When it first answered; None if it never did."""
    heartbeat_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["policy", "state"])]
        verbose_name = _("engine process")
        verbose_name_plural = _("engine processes")


class ModelServer(models.Model):
    """A server of settings.CHAT_ENGINE_URLS, as the talker last saw it."""

    class State(models.TextChoices):
        UP = "up", _("responds")
        DOWN = "down", _("does not respond")

    url = models.CharField(max_length=300, unique=True)
    state = models.CharField(max_length=10, choices=State)
    listed = models.JSONField(default=list)
    """Names of the models that it holds."""
    refusals = models.JSONField(default=dict)
    """Names of policies that it does not take, each with the reason (chat.engines.servers.troubles)."""
    streams = models.PositiveIntegerField(default=0)
    """Completions that it is writing for the talker."""
    error = models.TextField(blank=True)
    """Why it is down (chat.engines.servers.troubles)."""
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["url"]
        verbose_name = _("model server")
        verbose_name_plural = _("model servers")

    def __str__(self) -> str:
        return self.url


class SiteChoices(models.Model):
    """Settings that an admin chooses on a page, not in the environment; one row, changed by chat.site_choices."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    side_by_side_percent = models.PositiveSmallIntegerField(_("turns with two replies, in percent"), default=0)
    may_train_default = models.BooleanField(_("new conversations may be used for training"), null=True, default=None)
    """None: as set in the environment (CHAMSAE_CONSENT_DEFAULT)."""
    titles_by_model = models.BooleanField(_("the model writes titles"), default=False)
    system_prompt = models.TextField(_("instructions to the model"), null=True, blank=True, default=None)  # noqa: DJ001
    """None: as set in the environment (CHAMSAE_SYSTEM_PROMPT). Empty: none, and the model's own template decides."""
    best_of = models.PositiveSmallIntegerField(_("completions of which the best is shown"), default=1)
    """1: none is chosen, and a reply is shown while it is written."""
    rule_thresholds = models.JSONField(_("limits of the rule model"), default=dict, blank=True)
    """{key of a rule: P(violation) above which a reply is not shown}; a rule that is absent is not guarded."""

    class Meta:
        verbose_name = _("site settings")
        verbose_name_plural = _("site settings")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="one_row_of_choices"),
            models.CheckConstraint(condition=Q(best_of__gte=1, best_of__lte=8), name="best_of_one_to_eight"),
            models.CheckConstraint(condition=Q(side_by_side_percent__lte=100), name="at_most_all_turns_side_by_side"),
        ]


class ShareOfChats(models.Model):
    """A policy that answers a share of the conversations that may train, in place of the live one.

    One row while a policy is tried so, else none. Whoever decides on it (rlhf) writes and removes the row; a turn
    reads it (chat.conversations.shares).
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    policy = models.OneToOneField(Policy, on_delete=models.PROTECT, related_name="share")
    percent = models.PositiveSmallIntegerField(_("conversations, in percent"))
    pairs_percent = models.PositiveSmallIntegerField(default=0)
    """Turns there that get two replies, in percent; at least as many as elsewhere."""
    salt = models.CharField(max_length=32)
    """New for each policy, so that the share falls on other conversations each time."""

    class Meta:
        verbose_name = _("share of the chats")
        verbose_name_plural = _("shares of the chats")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="one_share_of_chats"),
            models.CheckConstraint(condition=Q(percent__lte=100), name="at_most_all_chats"),
        ]


def default_consent() -> bool:
    """An admin's choice, or else the environment's."""
    chosen = SiteChoices.objects.values_list("may_train_default", flat=True).first()
    return bool(settings.CHAT_CONSENT_DEFAULT) if chosen is None else chosen


class Assistant(models.Model):
    """Instructions, examples and sampling parameters for a policy; a person's own, or shared by an admin."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="assistants")
    name = models.CharField(_("name"), max_length=60)
    description = models.CharField(_("description"), max_length=200, blank=True)
    system_prompt = models.TextField(_("instructions"), blank=True)
    examples = models.JSONField(_("examples"), default=list)
    """[{"user": ..., "assistant": ...}]: turns before every conversation (in-context learning)."""
    parameters = models.JSONField(_("sampling"), default=dict)
    """Those of chat.engines.engine.Parameters that differ from the site's."""
    policy = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    """None: whichever is live."""
    is_shared = models.BooleanField(_("for everybody"), default=False)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("assistant")
        verbose_name_plural = _("assistants")

    def __str__(self) -> str:
        return self.name


class PersonalInstructions(models.Model):
    """What a person wants the model to know about them, and how to answer them (chat.instructions)."""

    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="instructions"
    )
    about = models.TextField(_("about you"), blank=True)
    manner = models.TextField(_("how to answer you"), blank=True)
    is_on = models.BooleanField(_("in new conversations"), default=True)

    class Meta:
        verbose_name = _("personal instructions")
        verbose_name_plural = _("personal instructions")


class Conversation(models.Model):
    class TitledBy(models.TextChoices):
        """Where its title comes from. The model is asked once, while it is the first message's."""

        FIRST_MESSAGE = "message", _("first message")
        FIRST_MESSAGE_FOR_GOOD = "settled", _("first message, for good")
        MODEL = "model", _("model")
        PERSON = "person", _("person")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(_("title"), max_length=120, blank=True)
    titled_by = models.CharField(max_length=8, choices=TitledBy, default=TitledBy.FIRST_MESSAGE)
    may_train = models.BooleanField(_("may be used for training"), default=default_consent)
    assistant = models.ForeignKey(
        Assistant, null=True, blank=True, on_delete=models.SET_NULL, related_name="conversations"
    )
    policy = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    """The model that its owner chose; None: the assistant's, or whichever is live."""
    uses_instructions = models.BooleanField(default=True)
    """Whether its owner's own instructions stand before it."""
    tip = models.ForeignKey("Message", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    """The end of the open path; None: the newest message."""
    pinned_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    """When a temporary one is removed for good (chat.conversations.temporary); None of all others."""

    class Meta:
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["owner", "-updated_at"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(may_train=False), name="a_temporary_one_never_trains"
            ),
        ]
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")

    @property
    def is_temporary(self) -> bool:
        return self.expires_at is not None

    @property
    def is_imported(self) -> bool:
        """Whether it was read from a file: then nothing of it trains, whatever its owner says."""
        return self.messages.filter(imported__isnull=False).exists()


class Message(models.Model):
    """One turn in the tree of a conversation. An assistant's message is filled by its Reply."""

    class Role(models.TextChoices):
        SYSTEM = "system", _("system")
        USER = "user", _("user")
        ASSISTANT = "assistant", _("assistant")

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    role = models.CharField(max_length=10, choices=Role)
    text = models.TextField(blank=True)
    key = models.CharField(max_length=64, blank=True)
    """The client's idempotency key: a message that is sent twice is stored once."""
    hidden_at = models.DateTimeField(_("hidden"), null=True, blank=True)
    """Hidden by a moderator: only moderators see it until it is restored."""
    never_train = models.BooleanField(_("exclude from training"), default=False)
    imported = models.JSONField(null=True, blank=True, default=None)
    """Of a message that was imported: the fields of its reply in the file. It has no Reply."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "key"], condition=~Q(key=""), name="one_message_a_key"),
        ]
        verbose_name = _("message")
        verbose_name_plural = _("messages")

    @property
    def reply_or_none(self) -> "Reply | None":
        """None of a person's message, and of one that was imported."""
        reply: Reply | None = getattr(self, "reply", None)
        return reply

    @property
    def pair_or_none(self) -> "Pair | None":
        """The two replies that stand side by side below a person's message."""
        pair: Pair | None = getattr(self, "pair", None)
        return pair


class Reply(models.Model):
    """The generation of one assistant message, with states of its own (transitions: chat.queue.replies)."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        STREAMING = "streaming", _("streaming")
        COMPLETE = "complete", _("complete")
        STOPPED = "stopped", _("stopped")
        INTERRUPTED = "interrupted", _("interrupted")
        BLOCKED = "blocked", _("blocked")
        FAILED = "failed", _("failed")

    LIVE = (State.QUEUED, State.STREAMING)

    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="reply")
    policy = models.ForeignKey(Policy, null=True, on_delete=models.PROTECT, related_name="replies")
    """Set when the reply starts, or when it is queued if a policy is named, and never changed: every judgement is
    traceable to the weights that it is of."""
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED, db_index=True)
    stop_requested = models.BooleanField(default=False)
    parameters = models.JSONField(default=dict)
    """Of chat.engines.engine.Parameters."""
    preamble = models.JSONField(default=list)
    """[{"role", "content"}]: the assistant's instructions and examples as they were when the reply was queued.
    With it, `instructions` and `trimmed`, the prompt that the policy saw can always be restored."""
    instructions = models.TextField(blank=True)
    """The person's own, as the policy read them (chat.prompts.preamble); apart, since only they may see them."""
    prefix = models.TextField(blank=True)
    """Text that the reply had to begin with; its first chunk."""
    trimmed = models.PositiveIntegerField(default=0)
    """Messages, oldest first, that did not fit into the context and were left out of the prompt."""
    blocked_by = models.CharField(max_length=120, blank=True)
    """The rule or guard that ended a blocked reply, by its key."""
    finish_reason = models.CharField(max_length=20, blank=True)
    """`stop` (the model ended) or `length`, from the engine."""
    error = models.CharField(max_length=40, blank=True)
    """Code of chat.errors; empty unless interrupted or failed."""
    owner = models.CharField(max_length=100, blank=True)
    """The talker that has the lease."""
    lease_until = models.DateTimeField(null=True, blank=True, db_index=True)
    last_seq = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("reply")
        verbose_name_plural = _("replies")

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE


class Chunk(models.Model):
    """A piece of a reply's text. A reply's sequence numbers are 1, 2, 3, ... without a gap."""

    reply = models.ForeignKey(
        Reply, on_delete=models.CASCADE, related_name="chunks", db_index=False, db_constraint=False
    )
    """Looked up by the index of the constraint below. No foreign key constraint, which would check thousands of
    chunks a second: their writer has locked the reply (chat.queue.replies.write), and fsck checks it."""
    seq = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        ordering = ["reply_id", "seq"]
        constraints = [models.UniqueConstraint(fields=["reply", "seq"], name="one_chunk_a_seq")]


class Choice(models.Model):
    """How a reply was chosen among several completions, or checked by the rule model, before it was shown."""

    class Outcome(models.TextChoices):
        OPEN = "open", _("choosing")
        CHOSEN = "chosen", _("chosen")
        UNSCORED = "unscored", _("not chosen: the scorer failed")
        BLOCKED = "blocked", _("all blocked")
        FAILED = "failed", _("not sampled")

    reply = models.OneToOneField(Reply, on_delete=models.CASCADE, related_name="choice")
    best_of = models.PositiveSmallIntegerField()
    """Completions that were asked for; judgements on a reply with more than one are not of a plain sample of its
    policy."""
    seed = models.PositiveBigIntegerField(null=True, blank=True)
    """Of the first completion; the k-th after it has it plus k."""
    thresholds = models.JSONField(default=dict, blank=True)
    """As they were: {key of a rule: P(violation) above which a completion is left out}."""
    scorer = models.CharField(max_length=120, blank=True)
    """Which reward model scored them; empty where none was there."""
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.OPEN)
    """It stays open where the reader stopped the reply first."""
    error = models.CharField(max_length=300, blank=True)
    """Why the scorer failed, for admins."""
    sampling_ms = models.PositiveIntegerField(null=True, blank=True)
    """Until the last completion had ended."""
    scoring_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("choice among completions")
        verbose_name_plural = _("choices among completions")

    @property
    def was_made(self) -> bool:
        """Whether one of several completions was shown."""
        return self.best_of > 1 and self.outcome in (self.Outcome.CHOSEN, self.Outcome.UNSCORED)

    @property
    def took_ms(self) -> int:
        return (self.sampling_ms or 0) + (self.scoring_ms or 0)


class Candidate(models.Model):
    """One of the completions that a reply was chosen among."""

    class Reason(models.TextChoices):
        BEST = "best", _("the best by score and rules")
        ONLY = "only", _("the only one")
        FIRST = "first", _("the first, since the scorer failed")
        LOWER = "lower", _("another one was better")
        UNSCORED = "unscored", _("not compared, since the scorer failed")
        RULE = "rule", _("left out: above the limit of a rule")
        GUARD = "guard", _("left out: blocked by a guard")
        UNFINISHED = "unfinished", _("not finished")

    choice = models.ForeignKey(Choice, on_delete=models.CASCADE, related_name="candidates")
    number = models.PositiveSmallIntegerField()
    """From 0."""
    text = models.TextField(blank=True)
    """After what the reply had to begin with."""
    finish_reason = models.CharField(max_length=20, blank=True)
    completion_tokens = models.PositiveIntegerField(default=0)
    score = models.FloatField(null=True, blank=True)
    """Of the reward model: a difference of two is the log odds that people prefer the one."""
    violations = models.JSONField(default=dict, blank=True)
    """{key of a rule: P(violation)}"""
    rank_score = models.FloatField(null=True, blank=True)
    """By which it was chosen (chat.choosing.combination), 0 to 1."""
    is_chosen = models.BooleanField(default=False)
    reason = models.CharField(max_length=10, choices=Reason)
    left_out_by = models.CharField(max_length=120, blank=True)
    """The rule or guard, by its key."""

    class Meta:
        ordering = ["choice", "number"]
        verbose_name = _("candidate")
        verbose_name_plural = _("candidates")
        constraints = [
            models.UniqueConstraint(fields=["choice", "number"], name="one_candidate_a_number"),
            models.UniqueConstraint(fields=["choice"], condition=Q(is_chosen=True), name="one_chosen_candidate"),
        ]


class Pair(models.Model):
    """Two replies to one message, side by side; their policies are shown after the choice."""

    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="pair")
    """The person's message that both answer."""
    left = models.OneToOneField(Reply, on_delete=models.CASCADE, related_name="+")
    right = models.OneToOneField(Reply, on_delete=models.CASCADE, related_name="+")
    """Which reply is on which side was drawn at random."""
    revealed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)


class TokenView(models.Model):
    """The probabilities of a reply's tokens, computed on request."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    reply = models.OneToOneField(Reply, on_delete=models.CASCADE, related_name="token_view")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED, db_index=True)
    tokens = models.JSONField(default=list)
    """[{"id", "text", "logprob", "top": [{"id", "text", "logprob"}, ...]}] at temperature 1, natural logarithms."""
    is_of_other_prompt = models.BooleanField(default=False)
    """The prompt is no longer the one that the policy saw, as when a moderator has hidden a message."""
    error = models.CharField(max_length=40, blank=True)
    """Code of chat.errors."""
    requested_at = models.DateTimeField(default=timezone.now)


class SharedLink(models.Model):
    """A read-only link to one path of a conversation, for anybody who has it, until it is revoked."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="shared_links")
    tip = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+")
    """The last message that it shows."""
    token = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]


class Ticket(models.Model):
    """The place of a program's request in the queue that it shares with replies (chat.queue.tickets). It has no text:
    once it is granted, the process that took the request reads the completion from the engine itself."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        GRANTED = "granted", _("granted")
        ENDED = "ended", _("ended")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.ForeignKey("accounts.ApiKey", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    policy = models.ForeignKey(Policy, null=True, on_delete=models.PROTECT, related_name="+")
    """Set when it is granted, or when it is queued if the request names a model."""
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED, db_index=True)
    slots = models.PositiveSmallIntegerField(default=1)
    """Completions that are generated together for it."""
    is_batch = models.BooleanField(default=False)
    """Of a request for many completions, which gives way to people (chat.queue.people)."""
    owner = models.CharField(max_length=100, blank=True)
    """The talker on whose engine it was granted."""
    engine = models.ForeignKey(EngineProcess, null=True, on_delete=models.SET_NULL, related_name="+")
    error = models.CharField(max_length=40, blank=True)
    """Code of chat.errors, where the talker ended it."""
    lease_until = models.DateTimeField(db_index=True)
    """Renewed by the process that took the request while somebody waits for it."""
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    queued_at = models.DateTimeField(default=timezone.now)
    granted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state", "queued_at"])]
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")


class Scoring(models.Model):
    """A program's request for the log-probabilities of a text's tokens; deleted once they were read."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="+")
    ids = models.JSONField()
    """Token ids; all but the first are scored."""
    top = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED, db_index=True)
    tokens = models.JSONField(default=list)
    error = models.CharField(max_length=40, blank=True)
    requested_at = models.DateTimeField(default=timezone.now)
