"""Table of aliases: other names for models."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Alias(models.Model):
    """Another name of a model, so that a script written for `davinci` or `gpt-3.5-turbo` runs as it is."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    policy = models.ForeignKey("chat.Policy", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    """None: the live policy."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        verbose_name = _("alias")
        verbose_name_plural = _("aliases")

    def __str__(self) -> str:
        return self.name
