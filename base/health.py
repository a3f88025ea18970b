"""Health checks: whether the process is alive (healthz) and ready for requests (readyz)."""

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when each check of settings.READY_CHECKS returns "", else 503 with what is wrong."""
    problems = {path.rsplit(".", 1)[-1]: import_string(path)() for path in settings.READY_CHECKS}
    ready = not any(problems.values())
    return JsonResponse({"ready": ready, "checks": problems}, status=200 if ready else 503)


def database() -> str:
    """What is wrong with the database; empty if nothing is."""
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return f"no answer: {type(error).__name__}"
    return "migrations are pending: run manage.py migrate" if pending else ""
