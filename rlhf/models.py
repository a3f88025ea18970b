"""Snapshots, runs and their metrics, evaluations, the gate's decisions and promotions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models import Policy
from rlhf import labels


class Snapshot(models.Model):
    """Feedback frozen for a run: files in TRL's formats under RUNS_DIR, with a hash over their content."""

    sha256 = models.CharField(max_length=64, unique=True)
    """The same rows give the same files, so freezing twice without new feedback finds this row again."""
    directory = models.CharField(max_length=300)
    """Relative to settings.RUNS_DIR; its files are listed in rlhf.snapshots."""
    rankings = models.PositiveIntegerField(default=0)
    comparisons = models.PositiveIntegerField(default=0)
    """Preference pairs without ties."""
    flags = models.PositiveIntegerField(default=0)
    prompts = models.PositiveIntegerField(default=0)
    simulated = models.PositiveIntegerField(default=0)
    """Rankings among them that simulated annotators made."""
    imported = models.PositiveIntegerField(default=0)
    """Rankings among them that people made elsewhere."""
    simulated_only = models.BooleanField(default=False)
    """Whether simulated annotators made every judgement in it."""
    until = models.DateTimeField()
    """Judgements made before this moment are in."""
    ranking_ids = models.JSONField(default=list)
    comparison_ids = models.JSONField(default=list)
    """Choices between two replies in the chat; `rankings` counts them, too."""
    annotators = models.JSONField(default=dict)
    """{pseudonym of a person: lines by them}, so that a ban finds the runs that used them; empty before 2026-12."""
    held_out = models.PositiveIntegerField(default=0)
    """Preference pairs on held-out prompts, among `comparisons`; none of imported ones, which qualify no judge."""
    left_out = models.PositiveIntegerField(default=0)
    """Held-out lines that are not in it, since what it trains on is too near to them (rlhf.snapshots.leaks)."""
    rankings_left_out = models.JSONField(default=list)
    comparisons_left_out = models.JSONField(default=list)
    """Ids of the judgements among them."""
    erased_at = models.DateTimeField(null=True, blank=True)
    """When its files were removed, because somebody whose words were in them asked to be forgotten."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")

    @property
    def path(self) -> Path:
        return Path(settings.RUNS_DIR) / self.directory

    @property
    def is_simulated(self) -> bool:
        return self.simulated > 0

    @property
    def withdrawn(self) -> int:
        """Conversations in it to whose use consent was withdrawn, after something had been trained on it."""
        return self.sources.exclude(withdrawn_at=None).count()


class Source(models.Model):
    """Records that judgements on a conversation went into a snapshot, so that a withdrawal of consent finds them."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="sources")
    conversation = models.ForeignKey("chat.Conversation", on_delete=models.CASCADE, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    """When its owner withdrew consent, after something had been trained on the snapshot."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["snapshot", "conversation"], name="one_source_a_conversation")]


class Run(models.Model):
    """One training execution. This row, not the message queue, is authoritative."""

    class Kind(models.TextChoices):
        CYCLE = "cycle", _("cycle")
        REWARD_MODEL = "reward_model", _("reward model")
        POLICY = "policy", _("policy")
        EVALUATION = "evaluation", _("evaluation")
        FINE_TUNE = "fine_tune", _("fine-tune")
        LECTURE = "lecture", _("lecture")

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        CANCELLING = "cancelling", _("cancelling")
        WAITING = "waiting", _("waiting for people")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    WORKING = (State.QUEUED, State.RUNNING, State.CANCELLING)
    """States in which it needs a worker, or has one."""
    LIVE = (*WORKING, State.WAITING)
    """In the last it waits for people's comparisons, without a worker and for as long as they take."""
    MAKERS = (Kind.POLICY, Kind.FINE_TUNE)
    """Kinds of runs that make the policy they name; an evaluation judges it."""

    kind = models.CharField(max_length=20, choices=Kind)
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED, db_index=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="stages")
    """The cycle that this run is a stage of."""
    stage = models.CharField(max_length=20, blank=True)
    """Its place in the cycle: reward_model, judge, policy or evaluation."""
    algorithm = models.CharField(max_length=10, blank=True)
    """Of a cycle or a policy run, one of rlhf.labels.ALGORITHMS."""
    config = models.JSONField(default=dict)
    """Hyperparameters: a dataclass of rlhf.training as JSON."""
    snapshot = models.ForeignKey(Snapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    base_policy = models.ForeignKey("chat.Policy", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reward_model = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    """The run that made the reward model which a policy run or an evaluation uses."""
    policy = models.ForeignKey("chat.Policy", null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    """What a policy run made, or what an evaluation judges."""
    comparison_round = models.OneToOneField(
        "feedback.ComparisonRound", null=True, blank=True, on_delete=models.PROTECT, related_name="run"
    )
    """The comparisons by people that a cycle asked for, once it has evaluated its candidate."""
    directory = models.CharField(max_length=300, blank=True)
    """Relative to settings.RUNS_DIR."""
    progress = models.JSONField(default=dict)
    """{"stage", "step", "steps", "seconds_left"} and the latest metrics."""
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    """None: started by the schedule."""
    owner = models.CharField(max_length=100, blank=True)
    """The supervisor that has the lease."""
    lease_until = models.DateTimeField(null=True, blank=True)
    """While running: when another supervisor may take over. While queued: when it is sent to the worker again."""
    attempt = models.PositiveSmallIntegerField(default=0)
    pid = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        constraints = [
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(kind="cycle", state__in=["queued", "running", "cancelling", "waiting"]),
                name="one_live_cycle",
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(kind="fine_tune", state__in=["queued", "running", "cancelling"]),
                name="one_live_fine_tune",
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(kind="lecture", state__in=["queued", "running", "cancelling"]),
                name="one_live_lecture",
            ),
            models.UniqueConstraint(
                fields=["parent", "stage"], condition=Q(parent__isnull=False), name="one_run_a_stage"
            ),
        ]

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE

    @property
    def algorithm_name(self) -> str | Promise:
        return labels.ALGORITHMS.get(self.algorithm, self.algorithm.upper())

    @property
    def is_cycle(self) -> bool:
        return self.kind == self.Kind.CYCLE

    @property
    def is_waiting(self) -> bool:
        return self.state == self.State.WAITING

    @property
    def is_resumable(self) -> bool:
        """Of the site's own runs; a fine-tune is resumed by its owner, as a job."""
        return self.kind != self.Kind.FINE_TUNE and self.state in (self.State.FAILED, self.State.CANCELLED)

    @property
    def is_simulated(self) -> bool:
        return self.snapshot is not None and self.snapshot.is_simulated

    @property
    def path(self) -> Path:
        return Path(settings.RUNS_DIR) / (self.directory or f"run-{self.pk}")

    @property
    def reward_model_path(self) -> Path:
        """Where a run of that kind writes its reward model."""
        return self.path / "reward_model"


class Metric(models.Model):
    """One line of a run's metrics, under TRL's names (`objective/kl`, `val/ratio`, ...)."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    step = models.PositiveIntegerField()
    values = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["run", "step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_metric_a_step")]


class JudgeUsed(NamedTuple):
    kind: str
    """gold, reward_model, or nothing where it is not known."""
    name: str


class Evaluation(models.Model):
    """A report on a policy against a baseline on the same held-out prompts, with its controls."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="evaluation")
    policy = models.ForeignKey("chat.Policy", on_delete=models.CASCADE, related_name="evaluations")
    baseline = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="+")
    judge = models.CharField(max_length=200)
    """Who judged, as text: `gold:<function>`, `held-out reward model`, or `people`."""
    report = models.JSONField()
    number = models.PositiveIntegerField(null=True, unique=True)
    """Its place among the evaluations on which the gate decided; None before it did, or before levels were kept."""
    level = models.FloatField(null=True)
    """How likely a candidate that is no better may pass here (rlhf.release.error_budget)."""
    created_at = models.DateTimeField(default=timezone.now)

    @property
    def is_blind(self) -> bool:
        """Whether people compare its replies right now: until they have, nobody may read which side wrote which."""
        cycle = self.run.parent
        asked = cycle.comparison_round if cycle is not None else None
        return asked is not None and asked.closed_at is None

    def newest_decision(self) -> "Decision | None":
        return self.decisions.order_by("-pk").first()

    def judge_used(self) -> "JudgeUsed":
        """From the report; of a report stored before version 0.2, from its run's configuration."""
        if "judge_kind" in self.report:
            return JudgeUsed(self.report["judge_kind"], self.report["judge_name"])
        asked = self.run.config.get("judge") or {}
        return JudgeUsed(asked.get("kind", ""), asked.get("preference", self.judge))


class Decision(models.Model):
    """The gate's decision on an evaluation: passed or refused, with each reason."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="decisions")
    passed = models.BooleanField()
    reasons = models.JSONField(default=list)
    """Every condition as rlhf.release.checks.reason.Reason has it. Before version 0.3 of a refusal only what failed,
    without `holds`, estimate and interval."""
    thresholds = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    def holding(self, reason: Mapping[str, Any]) -> bool:
        """Whether the condition holds; of one stored without that, all of a pass do and none of a refusal."""
        return bool(reason.get("holds", self.passed))

    def decisive(self) -> list[dict[str, Any]]:
        """Of a refusal what failed, of a pass all that was checked."""
        return [reason for reason in self.reasons if self.passed or not self.holding(reason)]


class Promotion(models.Model):
    """A policy made live: by the gate, by an admin's force, by a rollback, or as the first base."""

    class Kind(models.TextChoices):
        BASE = "base", _("base")
        GATE = "gate", _("gate passed")
        FORCED = "forced", _("forced")
        ROLLBACK = "rollback", _("rollback")

    policy = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="promotions")
    previous = models.ForeignKey("chat.Policy", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    decision = models.ForeignKey(Decision, null=True, blank=True, on_delete=models.PROTECT, related_name="promotions")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def announcement(self) -> str:
        """The message to whoever made the promotion."""
        return gettext("%(policy)s answers from the next reply on.") % {"policy": self.policy.name}


class Canary(models.Model):
    """A candidate that the gate passed answers a share of the chats, until people's choices there decide on it.

    While it runs, a chat.ShareOfChats row of its policy says so to the chat (transitions: rlhf.release.canary_rows).
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        PROMOTED = "promoted", _("promoted")
        WITHDRAWN = "withdrawn", _("withdrawn")
        STOPPED = "stopped", _("stopped by an admin")

    class Why(models.TextChoices):
        BETTER = "better", _("people prefer its replies")
        WORSE = "worse", _("people prefer the replies of the live policy")
        FLAGS = "flags", _("its replies are flagged more often than those of the live policy")
        ENGINE = "engine", _("its engine failed again and again")
        UNDECIDED = "undecided", _("the time was up, and people's choices had not decided")
        LIVE_CHANGED = "live_changed", _("another policy became live")
        REFUSED = "refused", _("the gate refused it meanwhile")
        UNFIT = "unfit", _("its weights are gone or damaged")
        STOPPED = "stopped", _("an admin ended it")
        BY_HAND = "by_hand", _("an admin made it live")

    policy = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="canaries")
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="canaries")
    """The pass that it rests on: of this policy, against the policy that is live as long as it runs."""
    percent = models.PositiveSmallIntegerField()
    limits = models.JSONField(default=dict)
    """{"level", "people", "days", "hours", "pairs_percent", "undecided"} (settings.CANARY) as it began."""
    counts_simulated = models.BooleanField(default=False)
    """Whether choices that programs made count: only where programs made all judgements that it was trained on."""
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING, db_index=True)
    why = models.CharField(max_length=20, choices=Why, blank=True)
    figures = models.JSONField(default=dict)
    """Of rlhf.release.canary_figures, as they were last looked at."""
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    """None: by the cycle that made its policy."""
    started_at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("canary")
        verbose_name_plural = _("canaries")
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state="running"), name="one_running_canary"),
        ]

    @property
    def is_running(self) -> bool:
        return self.state == self.State.RUNNING

    @property
    def baseline(self) -> Policy:
        """The policy that answers the other chats."""
        return self.decision.evaluation.baseline
