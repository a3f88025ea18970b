from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RlhfConfig(AppConfig):
    name = "rlhf"
    verbose_name = _("Training")
