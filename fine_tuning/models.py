"""Tables of training files, fine-tuning jobs and their events."""

import secrets
import string
from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from base import shared_state

ALPHABET = string.ascii_letters + string.digits


def _new_id(prefix: str) -> str:
    """As in `file-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M`."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(24))


def new_file_id() -> str:
    return _new_id("file-")


def new_job_id() -> str:
    return _new_id("ftjob-")


def new_event_id() -> str:
    return _new_id("ftevent-")


class DataFile(models.Model):
    """A training file that somebody uploaded, or the results of a job; its bytes are in UPLOADS_DIR."""

    class Purpose(models.TextChoices):
        FINE_TUNE = "fine-tune", _("training data")
        RESULTS = "fine-tune-results", _("results")

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("uploaded")
        PROCESSED = "processed", _("processed")
        ERROR = "error", _("not usable")

    id = models.CharField(primary_key=True, max_length=40, default=new_file_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="data_files")
    filename = models.CharField(_("file name"), max_length=255)
    """The base name alone, as its owner called it; never a path on this machine."""
    purpose = models.CharField(max_length=20, choices=Purpose, default=Purpose.FINE_TUNE)
    state = models.CharField(max_length=10, choices=State, default=State.UPLOADED)
    form = models.CharField(max_length=20, blank=True)
    """What its lines are (fine_tuning.data.formats): prompt_completion, messages, preference."""
    bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    lines = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)
    """[{"line", "code", "text"}]: the first 50 lines that cannot be used."""
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("data file")
        verbose_name_plural = _("data files")

    def __str__(self) -> str:
        return self.filename

    @property
    def path(self) -> Path:
        return Path(settings.UPLOADS_DIR) / self.id

    def fetched(self) -> Path:
        """The path, with its bytes there, wherever it was uploaded. Raises OSError."""
        return shared_state.pull(self.path)


class FineTune(models.Model):
    """A job that fine-tunes a model on a file: what was ordered. Its Run is authoritative about the training."""

    class State(models.TextChoices):
        VALIDATING = "validating_files", _("validating files")
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    class Method(models.TextChoices):
        SUPERVISED = "supervised", _("supervised")
        DPO = "dpo", _("direct preference optimisation (DPO)")
        REINFORCEMENT = "reinforcement", _("reinforcement learning (PPO)")

    class Scope(models.TextChoices):
        HEAD = "head", _("transfer learning: output layer only")
        BLOCKS = "blocks", _("transfer learning: last blocks only")
        LORA = "lora", _("LoRA")
        FULL = "full", _("fine-tuning: all weights")

    OVER = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    id = models.CharField(primary_key=True, max_length=40, default=new_job_id, editable=False)
    """`ftjob-` and 24 characters; the API of 2023 says `ft-` and the same characters (`legacy_id`)."""
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="fine_tunes")
    key = models.ForeignKey("accounts.ApiKey", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    group = models.ForeignKey("auth.Group", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=20, choices=State, default=State.VALIDATING, db_index=True)
    model = models.CharField(max_length=120)
    """As it was asked for: an alias or a policy's name."""
    base_policy = models.ForeignKey("chat.Policy", on_delete=models.PROTECT, related_name="+")
    method = models.CharField(max_length=20, choices=Method, default=Method.SUPERVISED)
    scope = models.CharField(max_length=10, choices=Scope, default=Scope.LORA)
    hyperparameters = models.JSONField(default=dict)
    """As asked for; `auto` or left out: chosen when the job starts, and stored in `chosen`."""
    chosen = models.JSONField(default=dict)
    suffix = models.CharField(max_length=40, blank=True)
    seed = models.PositiveBigIntegerField(default=0)
    metadata = models.JSONField(null=True, blank=True)
    is_legacy = models.BooleanField(default=False)
    """Made by `/v1/fine-tunes`; decides the name of its model."""
    training_file = models.JSONField(default=dict)
    """The file's object as it was: it may be deleted later."""
    validation_file = models.JSONField(null=True, blank=True)
    result_file = models.ForeignKey(DataFile, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    run = models.OneToOneField("rlhf.Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="fine_tune")
    policy = models.ForeignKey("chat.Policy", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    fine_tuned_model = models.CharField(max_length=120, blank=True)
    """Also `Policy.label`."""
    tokens = models.PositiveBigIntegerField(default=0)
    """Of the training file, counted by the base policy's tokenizer."""
    trained_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    result = models.JSONField(default=dict)
    """Base, few-shot and fine-tuned side by side on held-out lines, checkpoints, parameters trained."""
    error = models.JSONField(null=True, blank=True)
    """{"code", "message", "param"}."""
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("fine-tune")
        verbose_name_plural = _("fine-tunes")

    def __str__(self) -> str:
        return self.id

    @property
    def legacy_id(self) -> str:
        return "ft-" + self.id.removeprefix("ftjob-")

    @property
    def is_over(self) -> bool:
        return self.state in self.OVER


class Event(models.Model):
    """An event of a job, numbered without gaps; recording it again changes nothing."""

    fine_tune = models.ForeignKey(FineTune, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    id_shown = models.CharField(max_length=40, unique=True, default=new_event_id)
    mark = models.CharField(max_length=60)
    """What it is about, as in `epoch:2`: a second event of the same mark is the same event."""
    level = models.CharField(max_length=10, default="info")
    kind = models.CharField(max_length=10, default="message")
    """message or metrics."""
    message = models.CharField(max_length=500)
    data = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["fine_tune", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["fine_tune", "seq"], name="one_event_a_seq"),
            models.UniqueConstraint(fields=["fine_tune", "mark"], name="one_event_a_mark"),
        ]
