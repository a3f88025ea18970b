"""Builds the OpenAPI 3.1 document from the endpoints' descriptions (operations.py) and their schemas."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.urls import URLPattern, get_resolver
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.description.operations import COMMON_STATUSES, MEANINGS, Operation, Query, operation_of
from api.middleware import OPEN

VERSION = "1"
ROOT = "/v1"
NAMESPACE = "v1"
REFERENCE = "#/components/schemas/{model}"
CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")
Json = dict[str, Any]

ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The parameter that is wrong."},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
EVENT: Json = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "description": "JSON on one line; `[DONE]` at the end."}},
}
RETRY_AFTER = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
REQUEST_ID = {"description": "The server's log knows the request by it.", "schema": {"type": "string"}}


@dataclass(frozen=True)
class DescribedOperation:
    """A method of an address with its description."""

    path: str
    method: str
    name: str
    scope: str
    operation: Operation

    @property
    def names(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def statuses(self) -> list[int]:
        statuses = {200, *COMMON_STATUSES, *self.operation.fails}
        has_body = self.operation.request is not None or self.operation.form is not None
        statuses |= {400, 413} if has_body else {400} if self.operation.query else set()
        return sorted(statuses)


def described() -> list[DescribedOperation]:
    """Every operation, in the order of the addresses. Fails on an endpoint without a description."""
    return list(_described())


def _described() -> Iterator[DescribedOperation]:
    for pattern in _patterns():
        views = getattr(pattern.callback, "methods", {})
        if getattr(pattern.callback, "scope", OPEN) == OPEN:
            continue
        path = "/" + CONVERTER.sub(r"{\1}", str(pattern.pattern))
        for method in METHODS:
            if view := views.get(method):
                operation = operation_of(view)
                assert operation is not None, f"{method} {path} has no description: api.description.operations"
                yield DescribedOperation(path, method, pattern.name or "", pattern.callback.scope, operation)  # type: ignore[attr-defined]


def _patterns() -> list[URLPattern]:
    for resolver in get_resolver().url_patterns:
        for entry in getattr(resolver, "url_patterns", ()):
            if getattr(entry, "namespace", None) == NAMESPACE:
                return list(entry.url_patterns)
    raise AssertionError("the site has no /v1")


@cache
def document() -> Json:
    """Cached for the life of the process; callers must not change it."""
    every = described()
    models = {model for each in every for model in _models_of(each.operation)}
    ordered = sorted(models, key=lambda model: f"{model.__module__}.{model.__qualname__}")
    places, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=REFERENCE)
    references = {model: places[model, "validation"] for model in ordered}
    paths: dict[str, Json] = {}
    for each in every:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chamsae",
            "version": VERSION,
            "description": "The models of this site for programs, in the words of OpenAI's API: its clients of 2023 "
            "and of today work against this address.",
        },
        "servers": [{"url": ROOT}],
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.operation.tag for each in every)],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
            "schemas": {**schemas.get("$defs", {}), "Error": ERROR},
        },
    }


def _models_of(operation: Operation) -> list[type[BaseModel]]:
    return [part for part in (operation.request, operation.answer) if isinstance(part, type)]


def _operation(each: DescribedOperation, references: dict[type[BaseModel], Json]) -> Json:
    operation = each.operation
    shown: Json = {
        "operationId": f"{each.method.lower()}_{each.name}",
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*(_in_path(each, name) for name in each.names), *map(_in_query, operation.query)],
        "responses": {str(status): _response(each, status, references) for status in each.statuses},
    }
    if operation.description:
        shown["description"] = operation.description
    if operation.is_legacy:
        shown["deprecated"] = True
    if operation.request is not None:
        media: Json = {"schema": references[operation.request]}
        if operation.request_example is not None:
            media["example"] = operation.request_example
        shown["requestBody"] = {"required": True, "content": {"application/json": media}}
    elif operation.form is not None:
        shown["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": dict(operation.form)}},
        }
    return shown


def _in_path(each: DescribedOperation, name: str) -> Json:
    parameter: Json = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    parameter["description"] = each.operation.names.get(name, "")
    if name in each.operation.name_examples:
        parameter["example"] = each.operation.name_examples[name]
    return parameter


def _in_query(query: Query) -> Json:
    parameter = {"name": query.name, "in": "query", "required": query.required, "schema": dict(query.schema)}
    parameter["description"] = query.description
    if query.example is not None:
        parameter["example"] = query.example
    return parameter


def _response(each: DescribedOperation, status: int, references: dict[type[BaseModel], Json]) -> Json:
    if status != 200:
        headers = {"x-request-id": REQUEST_ID} | ({"Retry-After": RETRY_AFTER} if status in (429, 503) else {})
        content = {"application/json": {"schema": {"$ref": REFERENCE.format(model="Error")}}}
        return {"description": MEANINGS[status], "headers": headers, "content": content}
    operation = each.operation
    content = {kind: _media(operation, kind, references) for kind in operation.produces}
    return {"description": operation.summary, "headers": {"x-request-id": REQUEST_ID}, "content": content}


def _media(operation: Operation, kind: str, references: dict[type[BaseModel], Json]) -> Json:
    if kind == "text/event-stream":
        return {"schema": EVENT}
    if kind != "application/json":
        return {"schema": {"type": "string"}}
    answer = operation.answer or {"type": "object"}
    schema = references[answer] if isinstance(answer, type) else dict(answer)
    return {"schema": schema} | ({"example": operation.example} if operation.example is not None else {})
