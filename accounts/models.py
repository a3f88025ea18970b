"""Models of accounts: users, their API keys, their notices, and the audit log."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import audit_labels, notice_texts
from accounts.roles import ABOVE, GROUPS, PROJECT_ANNOTATORS, Role


class User(AbstractUser):
    language = models.CharField(
        _("language"), max_length=8, blank=True, choices=[("en", "English"), ("ko", "한국어")]
    )
    is_simulated = models.BooleanField(_("simulated"), default=False)
    is_imported = models.BooleanField(_("imported"), default=False)
    """Stands for somebody who judged elsewhere (feedback.imports), and cannot sign in."""
    """A program that judges; its judgements are labelled simulated on every page and in every report."""
    suspended_until = models.DateTimeField(_("suspended until"), null=True, blank=True)
    suspended_reason = models.CharField(_("reason of the suspension"), max_length=500, blank=True)

    sees_side_by_side = models.BooleanField(_("sometimes show two replies side by side"), default=True)
    notice_choices = models.JSONField(_("notices"), default=dict, blank=True)
    """{kind of notice: whether the person gets it}, where that differs from accounts.notices."""
    toured_at = models.DateTimeField(_("tour finished"), null=True, blank=True, editable=False)
    """When the person put away the three cards that a first visit begins with."""
    theme = models.CharField(
        _("appearance"), max_length=5, blank=True, choices=[("light", _("light")), ("dark", _("dark"))]
    )
    """Empty: as the device has it."""
    judging_languages = models.JSONField(_("languages to judge in"), default=list, blank=True)
    """Codes of those in which an annotator gets tasks; empty: the page's language and English."""
    consent_answered = models.PositiveIntegerField(default=0, editable=False)
    """The version of the consent's words (ConsentText) that the person last answered, with yes or no; 0: none."""
    deletion_due_at = models.DateTimeField(_("to be deleted at"), null=True, blank=True)
    """When a closed account will be erased; until then the person may reopen it."""
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True, editable=False)
    """When the person was erased. The row stays under a made-up name: judgements and audit entries refer to it."""

    is_new = False
    """Whether the last save made the row; a password that comes with it is no change of one."""

    def save(self, *args: Any, **kwargs: Any) -> None:
        """In one transaction with the audit entry of a new password (accounts.passwords.ChangesAreRecorded)."""
        self.is_new = self._state.adding
        with transaction.atomic():
            super().save(*args, **kwargs)

    @property
    def is_suspended(self) -> bool:
        return self.suspended_until is not None and self.suspended_until > timezone.now()

    @property
    def is_in_good_standing(self) -> bool:
        """Neither suspended nor closed nor about to be deleted: keys and shared links work only while this holds."""
        return self.is_active and not self.is_suspended and self.deletion_due_at is None

    def roles(self) -> frozenset[Role]:
        """Every role of the person, those below their groups included; none while suspended or inactive."""
        if not self.is_active or self.is_suspended:
            return frozenset()
        if self.is_superuser:
            return ABOVE[Role.ADMIN]
        names = set(self.groups.values_list("name", flat=True))
        of_groups = [ABOVE[role] for role in GROUPS if role.value in names]
        if PROJECT_ANNOTATORS in names:
            of_groups.append(ABOVE[Role.ANNOTATOR])
        return frozenset().union(ABOVE[Role.CHATTER], *of_groups)

    def has_role(self, role: Role) -> bool:
        return role in self.roles()


class ConsentText(models.Model):
    """The words by which people agree that others read their texts, in Markdown, never changed: an edit adds a
    version."""

    number = models.PositiveIntegerField(_("version"), unique=True)
    text_en = models.TextField(_("text in English"))
    text_ko = models.TextField(_("text in Korean"))
    asks_again = models.BooleanField(_("ask everybody again"), default=True)
    """Whether consents to older versions stop to count. Not where the words say the same as before."""
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    """None: the text that came along."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]
        verbose_name = _("words of the consent")
        verbose_name_plural = _("words of the consent")

    def __str__(self) -> str:
        return f"v{self.number}"


class Consent(models.Model):
    """That a person agreed to others reading their texts: to which words, from when, until when."""

    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="consents")
    version = models.PositiveIntegerField(_("version"))
    """The number of the ConsentText."""
    given_at = models.DateTimeField(_("given"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    """When it was withdrawn, or replaced by consent to newer words."""

    class Meta:
        ordering = ["-id"]
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        constraints = [
            models.UniqueConstraint(
                fields=["person"], condition=Q(ended_at__isnull=True), name="one_consent_in_force"
            ),
        ]


class AuditEntry(models.Model):
    """One privileged action. Rows are only ever added; each has the seal of the one before (accounts.audit_seals)."""

    sequence = models.PositiveBigIntegerField(_("number"), unique=True)
    """1, 2, 3, ...: without a gap, so that a missing entry shows."""
    at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)
    actor = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("user"))
    """None: the system itself, for example a scheduled cycle."""
    verb = models.CharField(_("action"), max_length=60, db_index=True)
    """For example `policy.promote`, `text.hide`, `user.suspend`."""
    target = models.CharField(_("target"), max_length=120, db_index=True)
    """For example `chat.message:12`."""
    reason = models.TextField(_("reason"), blank=True)
    before = models.JSONField(_("before"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    undoes = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="undone_by")
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-sequence"]
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")

    @property
    def act(self) -> str:
        return audit_labels.name_of(self.verb)

    @property
    def target_name(self) -> str:
        return audit_labels.target_name(self.target)


class AuditCheck(models.Model):
    """How far the audit log was sound when the whole of it was last verified: one row (accounts.audit_checks)."""

    at = models.DateTimeField()
    sequence = models.PositiveBigIntegerField()
    seal = models.CharField(max_length=64, blank=True)
    """Of the last entry then."""
    faults = models.JSONField(default=list)
    """[kind, number of the entry] of each."""
    signature = models.CharField(max_length=64)


class ApiKey(models.Model):
    """Lets a program use the API for its owner. Only the hash of the secret is stored (accounts.keys)."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys", verbose_name=_("owner"))
    name = models.CharField(_("name"), max_length=60)
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    """Of the secret: 40 random characters need no salt and no slow hash."""
    shown = models.CharField(max_length=16, editable=False)
    """The secret's first and last characters, by which its owner recognises it."""
    scopes = models.JSONField(_("permissions"), default=list)
    """From accounts.keys.SCOPES; empty: all but `admin`, which has to be named."""
    requests_per_minute = models.PositiveIntegerField(_("requests per minute"), null=True, blank=True)
    """None: the site's limit (settings.API_REQUESTS_PER_MINUTE). 0: every request is refused, to test a client."""
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """Something that happened and concerns one person; made by accounts.notices in the transaction of the act."""

    class Kind(models.TextChoices):
        POLICY_PROMOTED = "policy_promoted", _("A new version of the model answers")
        POLICY_ROLLED_BACK = "policy_rolled_back", _("A previous version of the model answers again")
        JOB_SUCCEEDED = "job_succeeded", _("A fine-tune of yours is ready")
        JOB_FAILED = "job_failed", _("A fine-tune of yours failed")
        REPORT_DECIDED = "report_decided", _("A moderator decided on a reply that you reported or flagged")
        WARNED = "warned", _("A moderator warned you")
        TASKS_WAIT = "tasks_wait", _("There are replies to rank (at most once per day)")
        GATE_REFUSED = "gate_refused", _("The gate refused a policy")
        CYCLE_HELD_UP = "cycle_held_up", _("A training is due and can't start")
        WEBHOOK_DISABLED = "webhook_disabled", _("A webhook was switched off after failures")

    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notices", verbose_name=_("user"))
    kind = models.CharField(_("kind"), max_length=30, choices=Kind)
    about = models.CharField(max_length=120)
    """The act, as in `promotion:12`: a person gets one notice of it, however often it is sent."""
    parameters = models.JSONField(_("parameters"), default=dict)
    """Plain values for accounts.notice_texts: the text is made when it is read, in the reader's language."""
    link = models.CharField(_("link"), max_length=300, blank=True)
    """A path on this site."""
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [
            models.UniqueConstraint(fields=["person", "kind", "about"], name="one_notice_of_an_act"),
        ]
        indexes = [
            models.Index(fields=["person"], condition=Q(read_at=None), name="unread_notices"),
            models.Index(fields=["created_at"], name="notices_by_age"),
        ]

    @property
    def text(self) -> str:
        return notice_texts.text_of(self.kind, self.parameters)
