"""The roles of people: whoever is signed in is a chatter, the other roles are Django groups of these names."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    ANONYMOUS = "anonymous", _("not signed in")
    CHATTER = "chatter", _("chat user")
    ANNOTATOR = "annotator", _("annotator")
    MODERATOR = "moderator", _("moderator")
    ADMIN = "admin", _("admin")


PROJECT_ANNOTATORS = "project annotator"
"""The group of people who may open the annotators' pages as members of projects, and get tasks of these alone."""
GROUPS = (Role.ANNOTATOR, Role.MODERATOR, Role.ADMIN)
ABOVE = {
    Role.ANONYMOUS: frozenset({Role.ANONYMOUS}),
    Role.CHATTER: frozenset({Role.CHATTER}),
    Role.ANNOTATOR: frozenset({Role.CHATTER, Role.ANNOTATOR}),
    Role.MODERATOR: frozenset({Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR}),
    Role.ADMIN: frozenset({Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR, Role.ADMIN}),
}
"""Each role includes those below it: a moderator may annotate, an admin may do everything."""
