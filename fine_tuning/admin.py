"""Read-only pages of files and jobs in Django's admin, without the content that people wrote."""

from django.contrib import admin

from base.admin import ReadOnlyAdmin
from fine_tuning.models import DataFile, FineTune


@admin.register(DataFile)
class DataFileAdmin(ReadOnlyAdmin):
    list_display = ("id", "owner", "purpose", "form", "lines", "bytes", "created_at")
    list_filter = ("purpose", "form")
    search_fields = ("=id", "owner__username")
    fields = ("id", "owner", "purpose", "state", "form", "lines", "bytes", "sha256", "created_at", "expires_at")


@admin.register(FineTune)
class FineTuneAdmin(ReadOnlyAdmin):
    list_display = ("id", "owner", "state", "model", "method", "scope", "tokens", "created_at", "finished_at")
    list_filter = ("state", "method", "scope")
    search_fields = ("=id", "owner__username", "fine_tuned_model")
    exclude = ("training_file", "validation_file", "result", "metadata")
