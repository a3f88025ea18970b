"""Addresses of the API, without trailing slashes, and of its pages."""

from django.urls import include, path, register_converter
from django.urls.converters import PathConverter

from api.endpoints import endpoint
from api.middleware import OPEN
from api.views import (
    aliases,
    chat,
    completions,
    description,
    files,
    fine_tuning_jobs,
    legacy_fine_tunes,
    missing,
    models,
    organization,
    page,
)


class AnythingConverter(PathConverter):
    """A path that may contain line breaks, too, so that every unknown address is answered in JSON."""

    regex = "(?s:.+)"


register_converter(AnythingConverter, "anything")

v1 = [
    path("models", endpoint(scope="models", GET=models.listing), name="models"),
    path("models/<path:model>", endpoint(scope="models", GET=models.retrieve, DELETE=models.delete), name="model"),
    path("chat/completions", endpoint(scope="completions", POST=chat.chat_completions), name="chat_completions"),
    path("completions", endpoint(scope="completions", POST=completions.completions), name="completions"),
    path("engines", endpoint(scope="models", GET=models.engines), name="engines"),
    path(
        "engines/<path:model>/completions",
        endpoint(scope="completions", POST=completions.engine_completions),
        name="engine_completions",
    ),
    path("engines/<path:model>", endpoint(scope="models", GET=models.engine), name="engine"),
    path(
        "organization/usage/completions", endpoint(scope="admin", GET=organization.usage), name="organization_usage"
    ),
    path("organization/costs", endpoint(scope="admin", GET=organization.costs), name="organization_costs"),
    path("files", endpoint(scope="files", GET=files.listing, POST=files.upload), name="files"),
    path("files/<path:file_id>/content", endpoint(scope="files", GET=files.content), name="file_content"),
    path("files/<path:file_id>", endpoint(scope="files", GET=files.retrieve, DELETE=files.delete), name="file"),
    path(
        "fine_tuning/jobs",
        endpoint(scope="fine_tuning", GET=fine_tuning_jobs.listing, POST=fine_tuning_jobs.create),
        name="fine_tuning_jobs",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>",
        endpoint(scope="fine_tuning", GET=fine_tuning_jobs.retrieve),
        name="fine_tuning_job",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/cancel",
        endpoint(scope="fine_tuning", POST=fine_tuning_jobs.cancel),
        name="cancel_fine_tuning_job",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/pause",
        endpoint(scope="fine_tuning", POST=fine_tuning_jobs.pause),
        name="pause_fine_tuning_job",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/resume",
        endpoint(scope="fine_tuning", POST=fine_tuning_jobs.resume),
        name="resume_fine_tuning_job",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/events",
        endpoint(scope="fine_tuning", GET=fine_tuning_jobs.events),
        name="fine_tuning_events",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/checkpoints",
        endpoint(scope="fine_tuning", GET=fine_tuning_jobs.checkpoints),
        name="fine_tuning_checkpoints",
    ),
    path(
        "fine-tunes",
        endpoint(scope="fine_tuning", GET=legacy_fine_tunes.listing, POST=legacy_fine_tunes.create),
        name="fine_tunes",
    ),
    path(
        "fine-tunes/<str:job_id>/events",
        endpoint(scope="fine_tuning", GET=legacy_fine_tunes.events),
        name="fine_tune_events",
    ),
    path(
        "fine-tunes/<str:job_id>/cancel",
        endpoint(scope="fine_tuning", POST=legacy_fine_tunes.cancel),
        name="cancel_fine_tune",
    ),
    path(
        "fine-tunes/<str:job_id>",
        endpoint(scope="fine_tuning", GET=legacy_fine_tunes.retrieve, DELETE=legacy_fine_tunes.delete),
        name="fine_tune",
    ),
    path("openapi.json", endpoint(scope=OPEN, GET=description.document), name="openapi"),
    path("", missing.missing, name="root"),
    path("<anything:rest>", missing.missing, name="missing"),
]

urlpatterns = [
    path("v1/", include((v1, "v1"))),
    path("api/", page.api_page, name="api_page"),
    path("site/aliases/", aliases.alias_list, name="aliases"),
    path("site/aliases/<int:alias_id>/", aliases.change_alias, name="change_alias"),
    path("site/aliases/<int:alias_id>/remove/", aliases.remove_alias, name="remove_alias"),
]
