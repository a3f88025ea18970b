"""Turns a fine-tuning request of either API into an order, and an order into one job, even if it is sent twice."""

import secrets
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from accounts.models import User
from api.endpoints import key_of, person_of
from api.errors import bad
from api.model_names import resolve
from chat import policies
from fine_tuning import model_names
from fine_tuning.data import files
from fine_tuning.jobs import lifecycle
from fine_tuning.jobs.lifecycle import Order
from fine_tuning.models import DataFile, FineTune

RETRIES = "x-stainless-retry-count"
"""Header in which today's client sends how often it has retried."""


def order_of(
    request: HttpRequest,
    *,
    model: str,
    training_file: str,
    validation_file: str | None,
    suffix: str | None,
    hyperparameters: Mapping[str, Any],
    seed: int | None = None,
    **fields: Any,
) -> Order:
    """Raises ApiError."""
    person = person_of(request)
    return Order(
        person=person,
        key=key_of(request),
        model=model,
        policy=resolve(person, model).policy or policies.live(),
        training=_file_of(person, training_file, "training_file"),
        validation=_file_of(person, validation_file, "validation_file") if validation_file else None,
        suffix=model_names.suffix_of(suffix or ""),
        hyperparameters=hyperparameters,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        **fields,
    )


def _file_of(person: User, file_id: str, param: str) -> DataFile:
    found = None if "\0" in file_id else files.of(person).filter(pk=file_id).first()
    if found is None:
        raise bad(f"{param}: there is no file {file_id[:100]!r}", param, "invalid_file")
    if found.purpose != DataFile.Purpose.FINE_TUNE:
        raise bad(f"{param}: {found.id} is no file to learn from", param, "invalid_file")
    return found


def job_for(request: HttpRequest, order: Order) -> FineTune:
    """A new job, or, where a client retries, the job of its first attempt. Raises TuningError."""
    is_retry = request.headers.get(RETRIES, "0") not in ("", "0")
    known = lifecycle.repeated(order) if is_retry else None
    return known if known is not None else lifecycle.create(order)
