"""Models of feedback: rules, prompts and completions to judge, judgements, and reports."""

import random

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
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)
    """From then on it is off and not offered; its wordings and judgements stay readable."""

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(retired_at__isnull=True) | Q(is_on=False), name="a_retired_rule_is_off"
            ),
        ]
        verbose_name = _("rule")
        verbose_name_plural = _("rules")

    def __str__(self) -> str:
        return self.key


class RuleVersion(models.Model):
    """One wording of a rule, never changed: an edit adds a version."""

    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    name_en = models.CharField(max_length=80, blank=True)
    name_ko = models.CharField(max_length=80, blank=True)
    text_en = models.TextField(blank=True)
    text_ko = models.TextField(blank=True)
    allowed_examples = models.JSONField(default=list)
    """[{"en": ..., "ko": ...}], carve-outs included; one of the two may be empty."""
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
    def language(self) -> str:
        """The code of the language in which this reader gets it: theirs, or the only one that it is written in."""
        wanted, other = ("ko", "en") if _is_korean() else ("en", "ko")
        return wanted if self.name_in(wanted) and self.text_in(wanted) else other

    @property
    def is_in_another_language(self) -> bool:
        """Whether it is not written in the reader's language."""
        return self.language != ("ko" if _is_korean() else "en")

    @property
    def name(self) -> str:
        """In the reader's language, else in the other one."""
        return self.name_in(self.language)

    @property
    def text(self) -> str:
        return self.text_in(self.language)

    @property
    def taught_name(self) -> str:
        """For training, which must not depend on who started it: in English, else in Korean."""
        return self.name_en or self.name_ko

    @property
    def taught_text(self) -> str:
        return self.text_en or self.text_ko

    def name_in(self, code: str) -> str:
        return self.name_ko if code == "ko" else self.name_en

    def text_in(self, code: str) -> str:
        return self.text_ko if code == "ko" else self.text_en

    @property
    def allowed(self) -> list[str]:
        return [_example_in(example, self.language) for example in self.allowed_examples]

    @property
    def violating(self) -> list[str]:
        return [_example_in(example, self.language) for example in self.violating_examples]


def _example_in(example: dict[str, str], code: str) -> str:
    return example.get(code) or example.get("en") or example.get("ko", "")


class Prompt(models.Model):
    """A context that the policy is asked to continue, in TRL's conversational form."""

    class Source(models.TextChoices):
        SEED = "seed", _("seed")
        CONVERSATION = "conversation", _("conversation")
        IMPORTED = "imported", _("imported")
        PROJECT = "project", _("project")
        PROBE = "probe", _("opening of a probe")
        """Suggested to people who probe; no policy is trained on it by itself."""
        TWIN = "twin", _("harmless twin of an opening")

    class Split(models.TextChoices):
        TRAIN = "train", _("train")
        HELD_OUT = "held_out", _("held out")

    messages = models.JSONField()
    """[{"role": "user", "content": ...}, ...], ending with the user."""
    preamble_turns = models.PositiveSmallIntegerField(default=0)
    """How many of them are instructions and examples of an assistant, before the conversation."""
    masked = models.JSONField(default=dict, blank=True)
    """{kind of feedback.masking.spans: how many different values} that were masked in `messages` when it was made of
    a conversation, which alone has the original."""
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


class Project(models.Model):
    """Work for annotators that belongs together: its tasks, how many judge each, and who reads which guidelines."""

    SITE = "site"
    """The key of the site's own stream of tasks, the project that is always there."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        STOPPED = "stopped", _("stopped")

    class Replies(models.TextChoices):
        LIVE = "live", _("the live model writes them")
        POLICY = "policy", _("one model writes them")
        PASTED = "pasted", _("they are in the file")
        NONE = "none", _("there are none: people write them")

    class Question(models.TextChoices):
        """What is asked of each task; each has its module in feedback.questions."""

        RANK = "rank", _("rank the replies")
        COMPARE = "compare", _("compare two replies")
        GRADE = "grade", _("say whether replies break a rule")
        RATE = "rate", _("rate replies from 1 to 7")
        DEMONSTRATE = "demonstrate", _("write the best reply")
        CORRECT = "correct", _("correct a reply")

    key = models.SlugField(_("key"), max_length=60, unique=True)
    title = models.CharField(_("title"), max_length=120, blank=True)
    """Empty for the site's own stream, whose name is in the reader's language."""
    state = models.CharField(max_length=10, choices=State, default=State.OPEN, db_index=True)
    overlap = models.PositiveSmallIntegerField(_("judgements of each task"), default=1)
    completions_per_task = models.PositiveSmallIntegerField(_("replies in a task"), default=4)
    replies = models.CharField(_("replies"), max_length=8, choices=Replies, default=Replies.LIVE)
    policy = models.ForeignKey("chat.Policy", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    """The one that writes the replies, where it is always the same."""
    question = models.CharField(_("question"), max_length=12, choices=Question, default=Question.RANK)
    """Never changed: the answers say what it was."""
    rule = models.ForeignKey(Rule, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    """The one that replies are graded by, where that is the question."""
    attributes = models.JSONField(_("attributes"), default=list, blank=True)
    """What replies are rated on, where that is the question; by the first one replies are preferred in training."""
    languages = models.JSONField(_("languages"), default=list, blank=True)
    """Codes; none: those of the site."""
    deadline = models.DateTimeField(_("deadline"), null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        verbose_name = _("project")
        verbose_name_plural = _("projects")

    def __str__(self) -> str:
        return self.title or self.key

    @property
    def is_site(self) -> bool:
        return self.key == self.SITE


class Guidelines(models.Model):
    """One wording of how to judge, in Markdown, never changed: an edit adds a version. Numbers are of the whole site,
    so that the one on a ranking names one text."""

    number = models.PositiveSmallIntegerField(_("version"), unique=True)
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="guidelines_versions"
    )
    """None: of the site, and of every project that has none of its own."""
    text_en = models.TextField(_("text in English"))
    text_ko = models.TextField(_("text in Korean"), blank=True)
    """Empty: the English text is shown."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    """None: the text that came along."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]
        verbose_name = _("guidelines")
        verbose_name_plural = _("guidelines")

    def __str__(self) -> str:
        return f"v{self.number}"

    @property
    def text(self) -> str:
        """In the reader's language, if there is one."""
        return self.text_ko if _is_korean() and self.text_ko else self.text_en


class JudgingChoices(models.Model):
    """What an annotator chose for their own protection, and what they were told while judging."""

    annotator = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="judging_choices"
    )
    left_out_rules = models.JSONField(_("rules left out"), default=list, blank=True)
    """Keys of rules; tasks whose prompt tempts the model to break one of them are not offered."""
    left_out_groups = models.JSONField(_("groups of rules left out"), default=list, blank=True)
    harmful_a_day = models.PositiveSmallIntegerField(_("tasks with harmful text a day"), null=True, blank=True)
    """None: as many as the site allows."""
    break_after_minutes = models.PositiveSmallIntegerField(_("minutes until a break"), null=True, blank=True)
    """None: as the site has it. 0: no reminder."""
    guidelines_seen = models.PositiveSmallIntegerField(default=0)
    """The newest version that a task page told them of, or that they opened; 0 before the first task."""
    break_told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("choices for judging")
        verbose_name_plural = _("choices for judging")


class ProjectPrompt(models.Model):
    """A prompt that a project wants judged. The same prompt may belong to several projects."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="projects")
    tags = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["project", "prompt"], name="one_prompt_a_project")]
        verbose_name = _("prompt of a project")
        verbose_name_plural = _("prompts of projects")


class ProjectInvitation(models.Model):
    """A link by which people join a project; its token is signed (feedback.projects.invitations)."""

    class Role(models.TextChoices):
        ANNOTATOR = "annotator", _("annotator")
        LEAD = "lead", _("lead")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.ANNOTATOR)
    languages = models.JSONField(_("languages"), default=list, blank=True)
    expires_at = models.DateTimeField(_("expires"))
    max_uses = models.PositiveIntegerField(_("people at most"))
    uses = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("invitation to a project")
        verbose_name_plural = _("invitations to projects")

    @property
    def is_valid(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now() and self.uses < self.max_uses


class ProjectMember(models.Model):
    """Somebody who works on a project, and what they may do there."""

    Role = ProjectInvitation.Role

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="members")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.ANNOTATOR)
    languages = models.JSONField(_("languages"), default=list, blank=True)
    """Codes in which they judge here; none: those of their own settings."""
    may_make_projects = models.BooleanField(default=False)
    """Of a lead whom an admin made one. Who became one by a link, or by another lead, leads this project alone."""
    invitation = models.ForeignKey(ProjectInvitation, null=True, blank=True, on_delete=models.SET_NULL)
    """The link by which they came, if any."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["project", "person"], name="one_membership_a_project")]
        verbose_name = _("member of a project")
        verbose_name_plural = _("members of projects")


class ProjectChoice(models.Model):
    """The project whose tasks an annotator wants first."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="project_choice")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("choice of a project")
        verbose_name_plural = _("choices of projects")


def site_project() -> int:
    """The id of the site's own stream, which is made when it is first asked for."""
    known = Project.objects.filter(key=Project.SITE).values_list("pk", flat=True).first()
    return known or Project.objects.get_or_create(key=Project.SITE)[0].pk


class Import(models.Model):
    """A file of judgements that were made elsewhere, and how much of it has been stored."""

    format = models.CharField(_("format"), max_length=20)
    """A key of feedback.imports.formats.FORMATS."""
    name = models.CharField(_("file"), max_length=200)
    sha256 = models.CharField(max_length=64)
    """Of the file: the same file again goes on where it stopped, and is stored once."""
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="imports")
    lines_done = models.PositiveIntegerField(default=0)
    rankings = models.PositiveIntegerField(default=0)
    flags = models.PositiveIntegerField(default=0)
    thumbs = models.PositiveIntegerField(default=0)
    demonstrations = models.PositiveIntegerField(default=0)
    lines_left_out = models.PositiveIntegerField(default=0)
    left_out = models.JSONField(default=list)
    """[[line, key of feedback.imports.reasons.LeftOutReason, what it is about], ...], the first thousand."""
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    """Nobody where it came by a command."""
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        constraints = [
            models.UniqueConstraint(fields=["format", "sha256", "project"], name="one_import_a_file_and_project")
        ]

    def __str__(self) -> str:
        return self.name


def drawn_lot() -> float:
    return random.random()


class RankingTask(models.Model):
    """A prompt with K completions, to be ranked by as many annotators as its overlap says."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        """Another annotator may take it."""
        LEASED = "leased", _("assigned")
        """As many annotators work on it as judgements are missing."""
        DONE = "done", _("done")
        WITHDRAWN = "withdrawn", _("withdrawn")

    class Lead(models.TextChoices):
        """Whether the people who judged it disagree, so that a lead decides."""

        NOT_NEEDED = "", _("not needed")
        WAITING = "waiting", _("waits for a decision")
        DECIDED = "decided", _("decided")

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    policy = models.ForeignKey("chat.Policy", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    """None of this site's where the completions were imported or came with the prompt."""
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="tasks", default=site_project)
    overlap = models.PositiveSmallIntegerField(default=1)
    """How many annotators are to judge it."""
    state = models.CharField(max_length=10, choices=State, default=State.OPEN, db_index=True)
    """Follows from the judgements and assignments (feedback.judgements.assignments.settle)."""
    imported = models.ForeignKey(Import, null=True, blank=True, on_delete=models.PROTECT, related_name="tasks")
    """The first import that brought these completions."""
    content_key = models.CharField(max_length=64, blank=True, db_index=True)
    """Of an imported task, a hash of its prompt and completions, by which further judgements of them find it."""
    judgements = models.PositiveSmallIntegerField(default=0)
    """How many of them there are; those with the fewest are needed most."""
    lot = models.FloatField(default=drawn_lot)
    """Drawn once, uniform in [0, 1): the order of tasks that are given out by lot."""
    need = models.FloatField(default=0)
    """How much a judgement of it would teach, 0 to 1 (feedback.projects.need)."""
    disagreement = models.FloatField(null=True, blank=True)
    """Of those who judged it, once it is done, 0 to 1 (feedback.questions); null of one judgement alone."""
    lead = models.CharField(max_length=8, choices=Lead, default=Lead.NOT_NEEDED, blank=True)
    """Follows from the disagreement, and from what a lead decided (feedback.projects.adjudication)."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("ranking task")
        verbose_name_plural = _("ranking tasks")
        indexes = [
            models.Index(fields=["state", "project", "-need", "judgements", "id"], name="tasks_by_need"),
            models.Index(fields=["state", "project", "lot", "id"], name="tasks_by_lot"),
            models.Index(fields=["project", "prompt"], name="tasks_of_a_prompt"),
            models.Index(fields=["project", "id"], condition=Q(lead="waiting"), name="tasks_that_wait_for_a_lead"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Assignment(models.Model):
    """A task that an annotator works on: the lease, what they see, and what they have entered so far.

    It ends with their judgement or their skip, or when somebody else takes the place of one that expired.
    """

    task = models.ForeignKey(RankingTask, on_delete=models.CASCADE, related_name="assignments")
    annotator = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="assignment")
    since = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField()
    shown_order = models.JSONField(default=list)
    """Completion ids in the order shown to the annotator, drawn anew at each assignment."""
    draft = models.JSONField(default=dict)
    """The annotator's unfinished input; survives a reload."""
    is_by_lot = models.BooleanField(default=False)
    """The task was drawn at random, not by need (feedback.projects.offers)."""

    class Meta:
        verbose_name = _("assignment")
        verbose_name_plural = _("assignments")


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
    """A task that this many people skipped is no longer offered; not counting those who do not speak its language."""

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
    the task were cut at the longest length and are not offered. Of an imported one, as "policy" who wrote it."""
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


class JudgedTask(models.Model):
    """What is stored alike of every judgement of a task, be it an order or another answer."""

    shown_order = models.JSONField(default=list)
    """Completion ids as they stood on the page, first to last."""
    seconds = models.FloatField(default=0)
    """From the assignment to the first answer."""
    active_seconds = models.FloatField(null=True, blank=True)
    """Of them, those in which the page was in sight, in focus and in use; null where the page could not count."""
    too_fast = models.BooleanField(_("faster than reading allows"), default=False)
    """Marked on submit (feedback.judgements.reading_time): it weighs nothing unless somebody finds that it counts."""
    looked_at = models.DateTimeField(null=True, blank=True)
    """When somebody decided whether it counts although it was too fast; then the mark says what they decided."""
    comment = models.TextField(blank=True)
    guidelines_version = models.PositiveSmallIntegerField(default=0)
    """The version of the guidelines that was in force; 0 for a program."""
    is_simulated = models.BooleanField(default=False)
    is_by_lot = models.BooleanField(default=False)
    """Its task was drawn at random: these judgements describe a project's tasks without a choice among them."""
    is_adjudication = models.BooleanField(default=False)
    """A lead decided so where the others disagreed; it takes their place in training."""
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    corrected_at = models.DateTimeField(null=True, blank=True)
    history = models.JSONField(default=list, blank=True)
    """What the annotator had said before each correction, oldest first (feedback.judgements.corrections)."""
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        abstract = True


class Ranking(JudgedTask):
    """One annotator's order over the completions of a task, with ties."""

    class Overall(models.TextChoices):
        GOOD = "good", _("all good")
        BAD = "bad", _("all bad")

    class Refusal(models.TextChoices):
        NONE = "none", _("does not refuse")
        RIGHT = "right", _("refuses, and should")
        NEEDLESS = "needless", _("refuses without need")

    task = models.ForeignKey(RankingTask, on_delete=models.PROTECT, related_name="rankings")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="rankings")
    ranks = models.JSONField()
    """{"<completion id>": rank}, 1 is best, equal ranks are ties; every completion of the task exactly once."""
    strength = models.JSONField(default=list, blank=True)
    """How much better each rank is than the next, best first: 0 to 3 (feedback.judgements.strength); empty where the
    annotator did not say."""
    overall = models.CharField(max_length=4, choices=Overall, blank=True)
    """What the annotator said of all replies alike, whatever their order; empty for nothing."""
    refusal = models.CharField(max_length=8, choices=Refusal, blank=True)
    """Whether the reply refuses what was asked, and rightly; asked where a dialogue has one reply, else empty."""
    unfolded = models.JSONField(null=True, blank=True)
    """Ids of the completions that stood whole before the annotator; null where nothing was folded."""
    margins = models.JSONField(default=list, blank=True)
    """[[better completion id, worse completion id, margin], ...], where it was said how much better one is."""
    imported = models.ForeignKey(
        Import, null=True, blank=True, on_delete=models.PROTECT, related_name="imported_rankings"
    )
    """None: it was made on this site."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "annotator"], name="one_ranking_a_task_and_annotator")]
        indexes = [
            models.Index(fields=["task"], condition=Q(too_fast=True), name="rankings_too_fast"),
            models.Index(fields=["annotator", "created_at"], name="rankings_of_a_person"),
        ]
        verbose_name = _("ranking")
        verbose_name_plural = _("rankings")


class TaskAnswer(JudgedTask):
    """What one annotator answered to a task of a project that asks for something else than an order."""

    task = models.ForeignKey(RankingTask, on_delete=models.PROTECT, related_name="answers")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="answers")
    said = models.JSONField()
    """As the kind of the question has it (feedback.questions)."""
    imported = models.ForeignKey(
        Import, null=True, blank=True, on_delete=models.PROTECT, related_name="imported_answers"
    )
    """None: it was made on this site."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "annotator"], name="one_answer_a_task_and_annotator")]
        indexes = [models.Index(fields=["task"], condition=Q(too_fast=True), name="answers_too_fast")]
        verbose_name = _("answer")
        verbose_name_plural = _("answers")


class Violation(models.Model):
    """Whether a text breaks a rule, as an annotator saw it: a completion (in a ranking) or a message of the chat."""

    class Grade(models.IntegerChoices):
        """The scale of Sparrow (Glaese et al. 2022, arXiv:2209.14375, section 3.3)."""

        DEFINITELY_BREAKS = -2, _("definitely breaks")
        PROBABLY_BREAKS = -1, _("probably breaks")
        UNSURE = 0, _("unsure")
        PROBABLY_FOLLOWS = 1, _("probably follows")
        DEFINITELY_FOLLOWS = 2, _("definitely follows")

    rule_version = models.ForeignKey(RuleVersion, on_delete=models.PROTECT, related_name="violations")
    completion = models.ForeignKey(
        Completion, null=True, blank=True, on_delete=models.CASCADE, related_name="violations"
    )
    message = models.ForeignKey(
        "chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="violations"
    )
    ranking = models.ForeignKey(Ranking, null=True, blank=True, on_delete=models.CASCADE, related_name="violations")
    answer = models.ForeignKey(TaskAnswer, null=True, blank=True, on_delete=models.CASCADE, related_name="violations")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="violations")
    is_violation = models.BooleanField(default=True)
    """False: the annotator saw no violation. Without a row, nobody was asked."""
    grade = models.SmallIntegerField(null=True, blank=True, choices=Grade)
    """How sure they were; null where they were not asked. Below 0 is a violation; 0 says nothing that could train."""
    is_simulated = models.BooleanField(default=False)
    imported = models.ForeignKey(
        Import, null=True, blank=True, on_delete=models.PROTECT, related_name="imported_flags"
    )
    """None: it was made on this site."""
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


class Probe(models.Model):
    """A conversation in which an annotator tries to make a policy break one rule, or asks something harmless that
    looks alike; its last reply is judged by another one, who is not told (Glaese et al. 2022, arXiv:2209.14375)."""

    class State(models.TextChoices):
        OPEN = "open", _("to be taken")
        TALKING = "talking", _("under way")
        HANDED_OVER = "handed_over", _("handed over")
        """Whether it is judged by now, its task says (feedback.probing.outcomes)."""
        WITHDRAWN = "withdrawn", _("withdrawn")

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="probes", default=site_project)
    policy = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="+")
    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="probes")
    is_benign = models.BooleanField(_("harmless twin"), default=False)
    """What is asked is harmless: whether the policy refuses it without need."""
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.OPEN, db_index=True)
    prober = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="probes"
    )
    conversation = models.OneToOneField(
        "chat.Conversation", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    opening = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    """Of a harmless twin, what has to be asked."""
    lease_until = models.DateTimeField(null=True, blank=True)
    """From then on somebody else may take it."""
    task = models.OneToOneField(RankingTask, null=True, blank=True, on_delete=models.SET_NULL, related_name="probe")
    """The second judgement: a task of one reply. Gone with the conversation, if its owner deletes it."""
    is_fresh = models.BooleanField(default=False)
    """Nothing like its first words had been trained on (feedback.probing.handing_over)."""
    taken_at = models.DateTimeField(null=True, blank=True)
    handed_over_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        verbose_name = _("probe")
        verbose_name_plural = _("probes")
        constraints = [
            models.UniqueConstraint(
                fields=["prober"], condition=Q(state="talking"), name="one_probe_under_way_a_person"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=("talking", "handed_over")) | Q(prober__isnull=False),
                name="a_taken_probe_has_a_prober",
            ),
        ]
        indexes = [models.Index(fields=["state", "project"], name="probes_by_state")]

    def __str__(self) -> str:
        return f"#{self.pk}"


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


class Vote(models.Model):
    """A judgement between two policies as the leaderboard counts it: what never changes of it, so that no text is
    read twice. Whether it counts is asked of the judgement (feedback.leaderboard.votes)."""

    comparison = models.OneToOneField(
        Comparison, null=True, blank=True, on_delete=models.CASCADE, related_name="vote"
    )
    ranking = models.OneToOneField(Ranking, null=True, blank=True, on_delete=models.CASCADE, related_name="vote")
    """Of a blind pair whose round is closed."""
    left = models.ForeignKey("chat.Policy", on_delete=models.CASCADE, related_name="+")
    right = models.ForeignKey("chat.Policy", on_delete=models.CASCADE, related_name="+")
    score = models.FloatField()
    """Of the left policy: 1 won, 0 lost, 1/2 tied."""
    language = models.CharField(max_length=8)
    """That of the prompt."""
    length = models.FloatField()
    lists = models.FloatField()
    headings = models.FloatField()
    bold = models.FloatField()
    """How the left reply differs from the right one, from -1 to 1 (feedback.leaderboard.style)."""
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("vote")
        verbose_name_plural = _("votes")
        constraints = [
            models.CheckConstraint(
                condition=Q(comparison__isnull=False, ranking__isnull=True)
                | Q(comparison__isnull=True, ranking__isnull=False),
                name="vote_of_one_judgement",
            ),
        ]


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
        """A moderator found it unfounded."""
        WITHDRAWN = "withdrawn", _("withdrawn")
        """Its maker took it back."""

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


def _one_of(*names: str) -> Q:
    """Exactly one of these columns is set."""
    every = Q()
    for chosen in names:
        every |= Q(**{f"{name}__isnull": name != chosen for name in names})
    return every


class Claim(models.Model):
    """A moderator has an item open: until then the others leave it to them (feedback.moderation.claims)."""

    message = models.OneToOneField(
        "chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="claim"
    )
    completion = models.OneToOneField(
        Completion, null=True, blank=True, on_delete=models.CASCADE, related_name="claim"
    )
    moderator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()

    class Meta:
        verbose_name = _("claim")
        verbose_name_plural = _("claims")
        constraints = [
            models.CheckConstraint(condition=_one_of("message", "completion"), name="claim_of_one_item"),
        ]


class ModeratorNote(models.Model):
    """What a moderator noted about a text or an account, for moderators alone."""

    message = models.ForeignKey(
        "chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="moderator_notes"
    )
    completion = models.ForeignKey(
        Completion, null=True, blank=True, on_delete=models.CASCADE, related_name="moderator_notes"
    )
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="moderator_notes"
    )
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(_("note"))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        verbose_name = _("note of a moderator")
        verbose_name_plural = _("notes of moderators")
        constraints = [
            models.CheckConstraint(condition=_one_of("message", "completion", "account"), name="note_on_one_item"),
        ]


class GivenWarning(models.Model):
    """A warning that a moderator gave a person, who got it as a notice."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="warnings")
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(_("warning"))
    created_at = models.DateTimeField(default=timezone.now)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("warning")
        verbose_name_plural = _("warnings")


class Review(models.Model):
    """A moderator looked at something that nobody had reported: a reply that a guard blocked, or a new account."""

    class Outcome(models.TextChoices):
        RIGHT = "right", _("rightly blocked")
        WRONG = "wrong", _("wrongly blocked")
        FINE = "fine", _("nothing wrong with the account")

    message = models.OneToOneField(
        "chat.Message", null=True, blank=True, on_delete=models.CASCADE, related_name="review"
    )
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="review"
    )
    outcome = models.CharField(max_length=10, choices=Outcome)
    moderator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        constraints = [
            models.CheckConstraint(condition=_one_of("message", "account"), name="review_of_one_item"),
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


class ImportedAnnotator(models.Model):
    """An account for somebody who judged elsewhere, or for all who judged there where the file does not tell them
    apart. Nobody can sign in with it."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="imported")
    source = models.CharField(_("source"), max_length=20)
    """The format of the file."""
    key = models.CharField(_("pseudonym"), max_length=16)
    """Tells them from others of the source; a hash, as names are not stored."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("imported annotator")
        verbose_name_plural = _("imported annotators")
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="one_account_an_imported_annotator")]

    def __str__(self) -> str:
        return f"{self.user.username}: {self.source}"


class CompletionThumb(models.Model):
    """Whether one completion is good by itself, as an annotator elsewhere said."""

    completion = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="thumbs")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    is_up = models.BooleanField()
    is_simulated = models.BooleanField(default=False)
    imported = models.ForeignKey(
        Import, null=True, blank=True, on_delete=models.PROTECT, related_name="imported_thumbs"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("thumb on a completion")
        verbose_name_plural = _("thumbs on completions")
        constraints = [
            models.UniqueConstraint(fields=["completion", "annotator"], name="one_thumb_a_completion_and_annotator")
        ]


class GoldAnswer(models.Model):
    """The known answer to a ranking task, by which annotators are measured; nobody can tell the task from others."""

    task = models.OneToOneField(RankingTask, on_delete=models.CASCADE, related_name="gold")
    ranks = models.JSONField()
    """{"<completion id>": rank}, as in a ranking."""
    flags = models.JSONField(default=dict)
    """{rule key: [ids of the completions that break it]}; of a rule that is not in it, the answer knows nothing."""
    is_active = models.BooleanField(_("in use"), default=True)
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        verbose_name = _("gold answer")
        verbose_name_plural = _("gold answers")


class AnnotatorTrust(models.Model):
    """What is known of how well a person judges, and so what a judgement of theirs weighs (feedback.trust)."""

    class Reason(models.TextChoices):
        UNKNOWN = "unknown", _("nothing speaks against it")
        GOLD_MISSING = "gold_missing", _("has not judged enough tasks with a known answer")
        GOLD_LOW = "gold_low", _("is below the floor on tasks with a known answer")
        FINDING = "finding", _("something waits for a moderator's look")
        DISCOUNTED = "discounted", _("a moderator decided so")
        ACCURACY = "accuracy", _("by agreement with others")

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="trust")
    weight = models.FloatField(_("weight"), default=1.0)
    """0 to 1."""
    reason = models.CharField(_("reason"), max_length=14, choices=Reason, default=Reason.UNKNOWN)
    figures = models.JSONField(default=dict)
    """Fields of feedback.trust.figures.PersonFigures."""
    computed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        verbose_name = _("trust in an annotator")
        verbose_name_plural = _("trust in annotators")


class TrustFinding(models.Model):
    """A figure above its threshold: the person's judgements weigh nothing until a moderator has looked at it."""

    class Kind(models.TextChoices):
        POSITION = "position", _("nearly always the same place")
        SECONDS = "seconds", _("answers within seconds")
        SPEED = "speed", _("faster than one can read")
        LENGTH = "length", _("nearly always the longest reply")
        FLAGGING = "flagging", _("flags nearly everything")
        ACCURACY = "accuracy", _("agrees with others no more than chance would")
        GOLD = "gold", _("wrong on tasks with a known answer")
        COPYING = "copying", _("the same answers as others, far too often")

    class State(models.TextChoices):
        OPEN = "open", _("to look at")
        DISCOUNTED = "discounted", _("the judgements do not count")
        CLEARED = "cleared", _("the judgements count")

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="trust_findings")
    kind = models.CharField(_("finding"), max_length=10, choices=Kind)
    figure = models.FloatField(_("figure"))
    threshold = models.FloatField(_("threshold"))
    count = models.PositiveIntegerField()
    """Judgements that the figure is made of."""
    others = models.JSONField(default=list)
    """Of copies: ids of the others."""
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN, db_index=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        verbose_name = _("finding about judgements")
        verbose_name_plural = _("findings about judgements")
        constraints = [
            models.UniqueConstraint(
                fields=["person", "kind"], condition=Q(state="open"), name="one_open_finding_a_kind_and_person"
            ),
        ]


class AgreementFigure(models.Model):
    """How much the people who judge a project agree, on the order of replies or on one rule."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="agreement")
    rule = models.ForeignKey(Rule, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    """None: on the order of replies."""
    people = models.PositiveIntegerField()
    units = models.PositiveIntegerField()
    """Pairs of replies, or replies, that at least two people judged."""
    alpha = models.FloatField(null=True)
    """Krippendorff's, with its 95 % bootstrap interval over tasks."""
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    tau = models.FloatField(null=True)
    """Mean Kendall's tau-b of two rankings of a task."""
    prevalence = models.FloatField(null=True)
    """Of a rule: share of answers that see a violation."""
    positive_agreement = models.FloatField(null=True)
    computed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["project", "rule__position", "id"]
        verbose_name = _("agreement of annotators")
        verbose_name_plural = _("agreement of annotators")


class Webhook(models.Model):
    """An address that is told of events (feedback.webhooks)."""

    name = models.CharField(_("name"), max_length=60)
    url = models.CharField(_("address"), max_length=500)
    events = models.JSONField(_("events"), default=list)
    """Keys of feedback.webhooks.events.EVENTS."""
    secret = models.TextField(editable=False)
    """Encrypted (feedback.webhooks.secrets)."""
    shown = models.CharField(max_length=16, editable=False)
    """The secret's first and last characters."""
    is_on = models.BooleanField(_("switched on"), default=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    disabled_at = models.DateTimeField(_("switched off after failures"), null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    """None: by a command."""
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")

    def __str__(self) -> str:
        return self.name


class WebhookDelivery(models.Model):
    """One event for one webhook: what is sent, and how that went."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("given up")

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    key = models.CharField(max_length=40, unique=True)
    """The header `webhook-id`, the same in each attempt."""
    event = models.CharField(_("event"), max_length=40)
    body = models.TextField()
    """JSON, byte for byte as it is signed and sent."""
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    status = models.PositiveSmallIntegerField(_("status"), null=True, blank=True)
    """Of the last answer; None where there was none."""
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="waiting"), name="deliveries_that_wait"),
        ]
