"""Read-only page of lessons in Django's admin."""

from django.contrib import admin

from base.admin import ReadOnlyAdmin
from lecture.models import Lesson


@admin.register(Lesson)
class LessonAdmin(ReadOnlyAdmin):
    list_display = ("id", "owner", "source", "run", "created_at")
    search_fields = ("=id", "owner__username")
    fields = ("id", "owner", "source", "run", "taught_by", "created_at")
