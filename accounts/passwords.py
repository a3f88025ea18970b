"""A password validator that refuses the published demo password."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _


class NotTheDemoPassword:
    def validate(self, password: str, user: object = None) -> None:
        if password == settings.DEMO_PASSWORD:
            raise ValidationError(_("This is the published demo password. Choose another one."), code="demo_password")

    def get_help_text(self) -> str:
        return _("Your password can't be the published demo password.")
