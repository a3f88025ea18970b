"""Models of metering: prices, usage and budgets.

Money is counted in whole numbers: prices in micro-dollars per 1,000 tokens, costs in nano-dollars. Tokens times a
price is a cost without any rounding, so a bill recomputed from its rows agrees to the last digit on every database.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Price(models.Model):
    """The price of 1,000 tokens of a model, in micro-dollars (0.002 dollars are 2000)."""

    model = models.CharField(_("model"), max_length=120, unique=True)
    """A policy's name, an alias, or `*` for every model that has no price of its own."""
    training = models.PositiveBigIntegerField(_("training"), default=0)
    prompt = models.PositiveBigIntegerField(_("prompt"), default=0)
    completion = models.PositiveBigIntegerField(_("completion"), default=0)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["model"]
        verbose_name = _("price")
        verbose_name_plural = _("prices")

    def __str__(self) -> str:
        return self.model


class Usage(models.Model):
    """One completion or training, with the prices that applied. Rows are only ever added (metering.ledger)."""

    class Kind(models.TextChoices):
        CHAT = "chat", _("chat")
        API = "api", _("API")
        TRAINING = "training", _("training")

    ref = models.CharField(max_length=80, unique=True)
    """What was metered, for example `reply:12`; unique, so that nothing is billed twice."""
    at = models.DateTimeField(default=timezone.now, db_index=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    key = models.ForeignKey("accounts.ApiKey", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    model = models.CharField(max_length=120)
    """The name of the policy that was used."""
    requests = models.PositiveIntegerField(default=1)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    trained_tokens = models.PositiveBigIntegerField(default=0)
    priced_as = models.CharField(max_length=120, blank=True)
    """The name of the price that applied; empty if none did."""
    prompt_price = models.PositiveBigIntegerField(default=0)
    completion_price = models.PositiveBigIntegerField(default=0)
    training_price = models.PositiveBigIntegerField(default=0)
    """Micro-dollars per 1,000 tokens."""
    cost = models.PositiveBigIntegerField(default=0)
    """Nano-dollars."""

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["user", "at"]), models.Index(fields=["key", "at"])]
        verbose_name = _("usage")
        verbose_name_plural = _("usage")


class Budget(models.Model):
    """The most that a person, or one of their keys, may spend in a period; past it, what costs money is refused."""

    class Period(models.TextChoices):
        DAY = "day", _("day")
        MONTH = "month", _("month")
        TOTAL = "total", _("total")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    key = models.ForeignKey(
        "accounts.ApiKey", null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    period = models.CharField(_("period"), max_length=10, choices=Period, default=Period.MONTH)
    limit = models.PositiveBigIntegerField(_("limit"))
    """Nano-dollars."""

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints = [
            models.CheckConstraint(condition=Q(user=None) ^ Q(key=None), name="a_budget_of_a_user_or_a_key"),
            models.UniqueConstraint(fields=["user", "period"], condition=Q(key=None), name="one_budget_a_user"),
            models.UniqueConstraint(fields=["key", "period"], condition=Q(user=None), name="one_budget_a_key"),
        ]
