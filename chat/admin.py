"""Read-only admin pages of conversations, replies, policies and engines; changes go by the site's own pages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from base.admin import ReadOnlyAdmin
from chat.models import Conversation, EngineProcess, ModelServer, Policy, Reply


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin):
    list_display = ("name", "version", "is_live", "made_from_simulated", "base", "source", "created_at")
    list_filter = ("is_live", "made_from_simulated")
    search_fields = ("name", "source")


@admin.register(EngineProcess)
class EngineProcessAdmin(ReadOnlyAdmin):
    list_display = ("policy", "state", "url", "pid", "started_at", "heartbeat_at", "error")
    list_filter = ("state",)


@admin.register(ModelServer)
class ModelServerAdmin(ReadOnlyAdmin):
    list_display = ("url", "state", "streams", "seen_at", "error")


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    """Without titles and texts: what people write is read only where it was reported, on the moderators' pages."""

    list_display = ("id", "owner", "may_train", "created_at", "updated_at", "deleted_at")
    list_filter = ("may_train",)
    search_fields = ("=id", "owner__username")
    fields = ("id", "owner", "may_train", "created_at", "updated_at", "deleted_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        """Without temporary ones, which are in no list."""
        return super().get_queryset(request).filter(expires_at=None)


@admin.register(Reply)
class ReplyAdmin(ReadOnlyAdmin):
    list_display = ("id", "state", "policy", "error", "prompt_tokens", "completion_tokens", "queued_at", "ended_at")
    list_filter = ("state", "policy", "error")
    exclude = ("message", "instructions")
