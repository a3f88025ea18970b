"""Conversations and policies in Django's admin: to look at, not to change, for the site has verbs for that."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from chat.models import Conversation, EngineProcess, Policy, Reply


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Policy)
class PolicyAdmin(ReadOnly):
    list_display = ("name", "version", "is_live", "made_from_simulated", "base", "source", "created_at")
    list_filter = ("is_live", "made_from_simulated")
    search_fields = ("name", "source")


@admin.register(EngineProcess)
class EngineProcessAdmin(ReadOnly):
    list_display = ("policy", "state", "url", "pid", "started_at", "heartbeat_at", "error")
    list_filter = ("state",)


@admin.register(Conversation)
class ConversationAdmin(ReadOnly):
    """Without titles and texts: what people write is read only where it was reported, on the moderators' pages."""

    list_display = ("id", "owner", "may_train", "created_at", "updated_at", "deleted_at")
    list_filter = ("may_train",)
    search_fields = ("=id", "owner__username")
    fields = ("id", "owner", "may_train", "created_at", "updated_at", "deleted_at")


@admin.register(Reply)
class ReplyAdmin(ReadOnly):
    list_display = ("id", "state", "policy", "error", "prompt_tokens", "completion_tokens", "queued_at", "ended_at")
    list_filter = ("state", "policy", "error")
    exclude = ("message",)
