from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FineTuningConfig(AppConfig):
    name = "fine_tuning"
    label = "tuning"  # the prefix of its tables
    verbose_name = _("Own models")
