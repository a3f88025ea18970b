"""Password validators: one refuses the published demo password, one records changes in the audit log."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.acting import acting_person
from accounts.audit import record
from accounts.models import User


class NotTheDemoPassword:
    def validate(self, password: str, user: object = None) -> None:
        if password == settings.DEMO_PASSWORD:
            raise ValidationError(_("This is the published demo password. Choose another one."), code="demo_password")

    def get_help_text(self) -> str:
        return _("Your password can't be the published demo password.")


class ChangesAreRecorded:
    """Django tells validators of each password that was stored, whichever page, form or command set it."""

    def validate(self, password: str, user: object = None) -> None:
        """Any password is right here."""

    def get_help_text(self) -> str:
        return _("The site records when a password is changed, and never the password.")

    def password_changed(self, password: str, user: object = None) -> None:
        if isinstance(user, User) and not user.is_new:
            record(acting_person(), "user.password", user)
