from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LectureConfig(AppConfig):
    name = "lecture"
    verbose_name = _("Lecture")
