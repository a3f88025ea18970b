from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TuningConfig(AppConfig):
    name = "fine_tuning"
    label = "tuning"  # that of the tables, which keep their names
    verbose_name = _("Own models")
