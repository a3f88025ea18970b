"""Models of feedback: rules, prompts and completions to judge, judgements, and reports."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _


def _is_korean() -> bool:
    return (get_language() or "").startswith("ko")


class Rule(models.Model):
    """A written constraint, by its key; its wording is in its versions."""

    key = models.SlugField(_("key"), max_length=60, unique=True)
    group = models.SlugField(_("group"), max_length=40)
    position = models.PositiveSmallIntegerField(default=0)
    is_on = models.BooleanField(_("switched on"), default=True)

    class Meta:
        ordering = ["position", "id"]
        verbose_name = _("rule")
        verbose_name_plural = _("rules")

    def __str__(self) -> str:
        return self.key


class RuleVersion(models.Model):
    """One wording of a rule, never changed: an edit adds a version."""

    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    name_en = models.CharField(max_length=80)
    name_ko = models.CharField(max_length=80)
    text_en = models.TextField()
    text_ko = models.TextField()
    allowed_examples = models.JSONField(default=list)
    """[{"en": ..., "ko": ...}], carve-outs included."""
    violating_examples = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["rule", "-number"]
        constraints = [models.UniqueConstraint(fields=["rule", "number"], name="one_rule_version_a_number")]
        verbose_name = _("rule version")
        verbose_name_plural = _("rule versions")

    def __str__(self) -> str:
        return f"{self.rule.key} v{self.number}"

    @property
    def name(self) -> str:
        """In the reader's language."""
        return self.name_ko if _is_korean() else self.name_en

    @property
    def text(self) -> str:
        return self.text_ko if _is_korean() else self.text_en

    @property
    def allowed(self) -> list[str]:
        return [example["ko" if _is_korean() else "en"] for example in self.allowed_examples]

    @property
    def violating(self) -> list[str]:
        return [example["ko" if _is_korean() else "en"] for example in self.violating_examples]


class Prompt(models.Model):
    """A context that the policy is asked to continue, in TRL's conversational form."""

    class Source(models.TextChoices):
        SEED = "seed", _("seed")
        CONVERSATION = "conversation", _("conversation")

    class Split(models.TextChoices):
        TRAIN = "train", _("train")
        HELD_OUT = "held_out", _("held out")

    messages = models.JSONField()
    """[{"role": "user", "content": ...}, ...], ending with the user."""
    preamble_turns = models.PositiveSmallIntegerField(default=0)
    """How many of them are instructions and examples of an assistant, before the conversation."""
    sha256 = models.CharField(max_length=64, unique=True)
    source = models.CharField(max_length=12, choices=Source, default=Source.SEED)
    split = models.CharField(max_length=10, choices=Split, default=Split.TRAIN, db_index=True)
    """That of its conversation (feedback.splits), and never changed: what was trained on cannot be held out later."""
    elicits = models.ForeignKey(Rule, null=True, blank=True, on_delete=models.SET_NULL, related_name="prompts")
    """The rule that this prompt tempts a model to break, if any."""
    language = models.CharField(max_length=8, default="en")
    message = models.ForeignKey("chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    """The user message that it was made from, if any."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("prompt")
        verbose_name_plural = _("prompts")


class PromptGroup(models.Model):
    """Conversations and prompts that stand on one side of the split together (feedback.splits)."""

    split = models.CharField(max_length=10, choices=Prompt.Split)
    """Never changed."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("group of prompts")
        verbose_name_plural = _("groups of prompts")


class Opening(models.Model):
    """How a conversation or a prompt begins, by which its near-duplicates find their group."""

    group = models.ForeignKey(PromptGroup, on_delete=models.CASCADE, related_name="openings")
    message = models.OneToOneField("chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    """The user's first message of a conversation, or of a branch of it."""
    prompt = models.OneToOneField(Prompt, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    """A prompt that no conversation gave."""
    key = models.CharField(max_length=64, db_index=True)
    """sha256 of the normalised text."""

    class Meta:
        verbose_name = _("opening")
        verbose_name_plural = _("openings")
        constraints = [
            models.CheckConstraint(
                condition=Q(message__isnull=False, prompt__isnull=True)
                | Q(message__isnull=True, prompt__isnull=False),
                name="opening_of_one_text",
            ),
        ]


class OpeningBand(models.Model):
    """One of the hashes that near-duplicates of an opening probably share (feedback.near_duplicates)."""

    opening = models.ForeignKey(Opening, on_delete=models.CASCADE, related_name="bands")
    value = models.BigIntegerField(db_index=True)

    class Meta:
        verbose_name = _("band of an opening")
        verbose_name_plural = _("bands of openings")


class RankingTask(models.Model):
    """A prompt with K completions of one policy, to be ranked by one annotator."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        LEASED = "leased", _("assigned")
        DONE = "done", _("done")
        WITHDRAWN = "withdrawn", _("withdrawn")

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    policy = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN, db_index=True)
    leased_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    lease_until = models.DateTimeField(null=True, blank=True)
    leased_at = models.DateTimeField(null=True, blank=True)
    shown_order = models.JSONField(default=list)
    """Completion ids in the order shown to the annotator, drawn anew at each lease."""
    draft = models.JSONField(default=dict)
    """The annotator's unfinished input; survives a reload."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("ranking task")
        verbose_name_plural = _("ranking tasks")
        constraints = [
            models.UniqueConstraint(fields=["leased_to"], condition=Q(state="leased"), name="one_lease_an_annotator"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class ComparisonRound(models.Model):
    """Blind comparisons of a candidate with the live policy, which annotators are offered before other tasks."""

    class Closed(models.TextChoices):
        COMPLETE = "complete", _("all were judged")
        DEADLINE = "deadline", _("the time was up")
        DECIDED = "decided", _("an admin did not wait for the rest")
        VOID = "void", _("the live policy changed meanwhile")
        CANCELLED = "cancelled", _("the cycle was cancelled")

    candidate = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="+")
    baseline = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="+")
    deadline = models.DateTimeField()
    most_of_one = models.PositiveIntegerField()
    """As many pairs one person may judge; programs may judge all."""
    closed_at = models.DateTimeField(null=True, blank=True)
    """From then on no pair of it is offered."""
    closed_because = models.CharField(max_length=10, choices=Closed, blank=True)
    reminded_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("round of comparisons")
        verbose_name_plural = _("rounds of comparisons")


class BlindPair(models.Model):
    """A task of two replies, with what nobody may see before it is judged: which of them the candidate wrote."""

    round = models.ForeignKey(ComparisonRound, on_delete=models.CASCADE, related_name="pairs")
    task = models.OneToOneField(RankingTask, on_delete=models.CASCADE, related_name="blind_pair")
    candidate = models.ForeignKey("Completion", on_delete=models.CASCADE, related_name="+")
    """The candidate's reply; the other one is the live policy's."""
    prompt_number = models.PositiveIntegerField()
    """Place of the prompt in the evaluation that sampled both."""
    draw = models.PositiveSmallIntegerField()
    predicted = models.FloatField()
    """What the evaluation's judge said of the pair: 1 where it prefers the candidate's reply, 0, or 1/2 for a tie."""

    class Meta:
        ordering = ["id"]
        verbose_name = _("blind pair")
        verbose_name_plural = _("blind pairs")


class TaskRefill(models.Model):
    """The one row by which one process at a time makes ranking tasks (feedback.judgements.refill_lease)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    owner = models.CharField(max_length=150, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    done = models.PositiveSmallIntegerField(default=0)
    """Completions of the next task that are finished."""
    wanted = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("making of ranking tasks")
        verbose_name_plural = _("making of ranking tasks")


class Skip(models.Model):
    """An annotator skipped a task; it is not offered to them again."""

    class Reason(models.TextChoices):
        UNCLEAR = "unclear", _("I do not understand the question")
        ALL_BAD = "all_bad", _("none of the replies can be ranked")
        UPSETTING = "upsetting", _("I would rather not read this")
        LANGUAGE = "language", _("I do not speak the language")
        OTHER = "other", _("another reason")

    THAT_RETIRE = 2
    """A task that this many people skipped is no longer offered."""

    task = models.ForeignKey(RankingTask, on_delete=models.CASCADE, related_name="skips")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(_("reason"), max_length=12, choices=Reason)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "annotator"], name="one_skip_a_task_and_annotator")]
        verbose_name = _("skip")
        verbose_name_plural = _("skips")


class Completion(models.Model):
    """A completion that the policy wrote for the prompt of a task."""

    task = models.ForeignKey(RankingTask, on_delete=models.CASCADE, related_name="completions")
    index = models.PositiveSmallIntegerField()
    text = models.TextField()
    finish_reason = models.CharField(max_length=20, blank=True)
    parameters = models.JSONField(default=dict)
    """Sampling parameters; with "cut": true if the text was shortened on purpose (feedback.judgements.task_stock),
    with the site's own instructions as "system_prompt" (feedback.prompts), and as "left_out" with how many others of
    the task were cut at the longest length and are not offered."""
    never_train = models.BooleanField(_("exclude from training"), default=False)
    hidden_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["task", "index"]
        constraints = [models.UniqueConstraint(fields=["task", "index"], name="one_completion_an_index")]
        verbose_name = _("ranked reply")
        verbose_name_plural = _("ranked replies")


class UnjudgedSet(models.Model):
    """The completions of one prompt of a simulation that has not come to its end; removed when they are judged."""

    simulation = models.CharField(max_length=64)
    """Hash of all that the completions depend on (feedback.simulated.collecting)."""
    number = models.PositiveIntegerField()
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="+")
    completions = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["simulation", "number"], name="one_set_a_number")]
        verbose_name = _("unjudged set of completions")
        verbose_name_plural = _("unjudged sets of completions")


class Ranking(models.Model):
    """One annotator's order over the completions of a task, with ties."""

    task = models.ForeignKey(RankingTask, on_delete=models.PROTECT, related_name="rankings")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="rankings")
    ranks = models.JSONField()
    """{"<completion id>": rank}, 1 is best, equal ranks are ties; every completion of the task exactly once."""
    shown_order = models.JSONField(default=list)
    """Completion ids as they stood on the page, first to last."""
    seconds = models.FloatField(default=0)
    comment = models.TextField(blank=True)
    guidelines_version = models.PositiveSmallIntegerField(default=0)
    """The version of the guidelines that was in force; 0 for a program."""
    is_simulated = models.BooleanField(default=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "annotator"], name="one_ranking_a_task_and_annotator")]
        verbose_name = _("ranking")
        verbose_name_plural = _("rankings")


class Violation(models.Model):
    """Whether a text breaks a rule, as an annotator saw it: a completion (in a ranking) or a message of the chat."""

    rule_version = models.ForeignKey(RuleVersion, on_delete=models.PROTECT, related_name="violations")
    completion = models.ForeignKey(
        Completion, null=True, blank=True, on_delete=models.CASCADE, related_name="violations"
    )
    message = models.ForeignKey(
        "chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="violations"
    )
    ranking = models.ForeignKey(Ranking, null=True, blank=True, on_delete=models.CASCADE, related_name="violations")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="violations")
    is_violation = models.BooleanField(default=True)
    """False: the annotator saw no violation. Without a row, nobody was asked."""
    is_simulated = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(completion__isnull=False, message__isnull=True)
                | Q(completion__isnull=True, message__isnull=False),
                name="violation_of_one_text",
            ),
            models.UniqueConstraint(
                fields=["annotator", "rule_version", "completion"],
                condition=Q(completion__isnull=False),
                name="one_violation_a_completion_rule_and_annotator",
            ),
            models.UniqueConstraint(
                fields=["annotator", "rule_version", "message"],
                condition=Q(message__isnull=False),
                name="one_violation_a_message_rule_and_annotator",
            ),
        ]
        verbose_name = _("rule violation flag")
        verbose_name_plural = _("rule violation flags")


class Thumb(models.Model):
    """One person's thumb, up or down, on a reply in the chat, with their reasons."""

    message = models.ForeignKey("chat.Message", on_delete=models.CASCADE, related_name="thumbs")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="thumbs")
    is_up = models.BooleanField()
    reasons = models.JSONField(default=list)
    """Keys of feedback.judgements.thumbs.REASONS."""
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "person"], name="one_thumb_a_message_and_person")]
        verbose_name = _("thumb")
        verbose_name_plural = _("thumbs")


class Comparison(models.Model):
    """One person's choice between the two replies of a chat.Pair, made before their policies were revealed."""

    class Choice(models.TextChoices):
        LEFT = "left", _("left")
        RIGHT = "right", _("right")
        TIE = "tie", _("tie")
        BOTH_BAD = "both_bad", _("both bad")

    pair = models.OneToOneField("chat.Pair", on_delete=models.CASCADE, related_name="comparison")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="comparisons")
    choice = models.CharField(max_length=10, choices=Choice)
    discounted = models.CharField(max_length=20, blank=True)
    """Why it does not count (`identity`: a reply revealed who wrote it); empty if it does."""
    split = models.CharField(max_length=10, choices=Prompt.Split, default=Prompt.Split.TRAIN, db_index=True)
    """That of the conversation (feedback.splits), and never changed."""
    seconds = models.FloatField(default=0)
    is_simulated = models.BooleanField(default=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("comparison")
        verbose_name_plural = _("comparisons")


class BlockedPhrase(models.Model):
    """A phrase that a guard looks for: a text that contains it breaks the rule and is blocked at once."""

    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="phrases")
    phrase = models.CharField(_("phrase"), max_length=200)
    """Matched without regard to case, as whole words."""
    in_messages = models.BooleanField(_("in messages"), default=True)
    in_replies = models.BooleanField(_("in replies"), default=True)
    is_on = models.BooleanField(_("switched on"), default=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["rule", "phrase"]
        verbose_name = _("blocked phrase")
        verbose_name_plural = _("blocked phrases")
        constraints = [models.UniqueConstraint(fields=["rule", "phrase"], name="one_phrase_a_rule")]


class Report(models.Model):
    """A text for moderators to review: reported by a person, or flagged as breaking a rule."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        DECIDED = "decided", _("decided")
        DISMISSED = "dismissed", _("dismissed")

    message = models.ForeignKey(
        "chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="reports"
    )
    completion = models.ForeignKey(
        Completion, null=True, blank=True, on_delete=models.CASCADE, related_name="reports"
    )
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reports")
    rule_version = models.ForeignKey(RuleVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    comment = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        constraints = [
            models.CheckConstraint(
                condition=Q(completion__isnull=False, message__isnull=True)
                | Q(completion__isnull=True, message__isnull=False),
                name="report_of_one_text",
            ),
        ]


class SimulatedAnnotator(models.Model):
    """The hidden preference of a simulated annotator, stored so that an evaluation finds its gold functions."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="simulated")
    preference = models.CharField(_("preference"), max_length=200)
    """Dotted path, `package.module:function`, of (prompt, completion) -> float."""
    flags = models.JSONField(_("violation tests"), default=dict)
    """{rule key: dotted path of (prompt, completion) -> bool}."""
    noise = models.FloatField(_("noise"))
    """Share of pairwise judgements and of flags that is wrong."""
    held_out_noise = models.FloatField(_("noise on held-out prompts"))
    tie_margin = models.FloatField(_("tie margin"))
    seed = models.BigIntegerField(_("seed"))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("simulated annotator")
        verbose_name_plural = _("simulated annotators")

    def __str__(self) -> str:
        return f"{self.user.username}: {self.preference}"
