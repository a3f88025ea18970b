"""Admin pages of accounts, of notices and of the audit log."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts import audit_checks, sockets
from accounts.audit import pseudonym, record
from accounts.models import AuditEntry, Notice, User
from base.admin import ReadOnlyAdmin

WATCHED = ("username", "language", "is_active", "is_staff", "is_superuser", "suspended_until", "suspended_reason")


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = (
        "username",
        "is_active",
        "suspended_until",
        "is_simulated",
        "is_imported",
        "date_joined",
        "last_login",
    )
    list_filter = ("groups", "is_active", "is_simulated", "is_imported", "is_superuser")
    search_fields = ("username",)
    readonly_fields = ("last_login", "date_joined", "is_simulated", "is_imported")
    fieldsets = (
        (None, {"fields": ("username", "password", "language")}),
        (_("Roles"), {"fields": ("is_active", "groups", "is_staff", "is_superuser")}),
        (_("Suspension"), {"fields": ("suspended_until", "suspended_reason")}),
        (_("Important dates"), {"fields": ("last_login", "date_joined", "is_simulated", "is_imported")}),
    )

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        before = User.objects.filter(pk=obj.pk).values(*WATCHED).first() or {}
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            after = {name: getattr(obj, name) for name in WATCHED}
            record(_actor(request), _verb_of(change), obj, before=_as_json(before), after=_as_json(after))
        if obj.is_suspended or not obj.is_active:
            transaction.on_commit(lambda: sockets.close(obj))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        user = form.instance
        before = sorted(user.groups.values_list("name", flat=True))
        super().save_related(request, form, formsets, change)
        after = sorted(user.groups.values_list("name", flat=True))
        if before != after:
            with transaction.atomic():
                record(_actor(request), "user.roles", user, before={"groups": before}, after={"groups": after})

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Records that an admin took a password away; of a new one the validators are told (accounts.passwords)."""
        with transaction.atomic():
            had_one = self._has_password(request, id)
            response = super().user_change_password(request, id, form_url)
            if had_one and not self._has_password(request, id):
                record(_actor(request), "user.password", User.objects.get(pk=unquote(id)), after={"usable": False})
        return response

    def _has_password(self, request: HttpRequest, key: str) -> bool:
        user = self.get_object(request, unquote(key))
        return user is not None and user.has_usable_password()

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False  # what a person judged must stay traceable: accounts are closed, not deleted


def _verb_of(change: bool) -> str:
    return "user.change" if change else "user.create"


def _actor(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Values for the audit log. User names become pseudonyms: the log is never rewritten, people may be erased."""
    logged = {name: value if isinstance(value, bool | None) else str(value) for name, value in values.items()}
    if "username" in logged:
        logged["username"] = pseudonym(str(logged["username"]))
    return logged


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(ReadOnlyAdmin):
    """Roles are known by their names (accounts.roles): to rename one would make its people another's, or nobody's."""

    list_display = ("name",)
    fields = ("name",)


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """Without their parameters: what a person called a model of their own is theirs."""

    list_display = ("created_at", "person", "kind", "read_at")
    list_filter = ("kind",)
    search_fields = ("person__username",)
    fields = ("created_at", "person", "kind", "about", "link", "read_at")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Entries are added by the actions that they record, never by hand."""

    list_display = ("sequence", "at", "actor", "verb", "target", "reason")
    list_filter = ("verb",)
    search_fields = ("target", "reason", "actor__username")
    date_hierarchy = "at"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        for fault in audit_checks.verify_newest(audit_checks.last_whole_check()).faults:
            messages.error(request, str(fault))
        return super().changelist_view(request, extra_context)
