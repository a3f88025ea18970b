"""Page of backups, for admins: which there are, whether each can be read, and how the next one is made."""

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.requests import person
from config import tasks
from config.backup import kept


@require_GET
def backups(request: HttpRequest) -> HttpResponse:
    found = kept.kept()
    late = timezone.now() - timedelta(hours=2 * settings.BACKUP_HOURS)
    is_late = bool(settings.BACKUP_HOURS) and (not found or found[0].made_at < late)
    context = {
        "backups": found,
        "bytes": sum(backup.bytes for backup in found),
        "folder": settings.BACKUP_DIR,
        "hours": settings.BACKUP_HOURS,
        "days": settings.BACKUP_DAYS,
        "has_passphrase": bool(settings.BACKUP_PASSPHRASE),
        "is_late": is_late and bool(settings.BACKUP_PASSPHRASE),
    }
    return render(request, "config/backups.html", context)


@require_POST
def make_backup(request: HttpRequest) -> HttpResponse:
    if settings.BACKUP_PASSPHRASE:
        tasks.make_backup.delay(person(request).pk)
        messages.success(request, _("A backup is being made. It appears here when it is complete."))
    return redirect("backups")


@require_POST
def verify_backup(request: HttpRequest, name: str) -> HttpResponse:
    if all(backup.name != name for backup in kept.kept()):
        raise Http404
    if settings.BACKUP_PASSPHRASE:
        tasks.verify_backup.delay(name)
        messages.success(request, _("The backup is being verified. The result appears here."))
    return redirect("backups")
