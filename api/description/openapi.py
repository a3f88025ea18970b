"""The OpenAPI 3.1 document, built from the endpoints' own descriptions (operations.py) and their models."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.urls import URLPattern, get_resolver
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.description.operations import MEANINGS, UNASKED, Operation, Query, operation_of
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
class Described:
    """A method of an address with what it tells of itself."""

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
        told = {200, *UNASKED, *self.operation.fails}
        takes = self.operation.request is not None or self.operation.form is not None
        told |= {400, 413} if takes else {400} if self.operation.query else set()
        return sorted(told)


def described() -> list[Described]:
    """Every operation, in the order of the addresses. Fails on an endpoint that tells nothing of itself."""
    return list(_described())


def _described() -> Iterator[Described]:
    for pattern in _patterns():
        views = getattr(pattern.callback, "methods", {})
        if getattr(pattern.callback, "scope", OPEN) == OPEN:
            continue
        path = "/" + CONVERTER.sub(r"{\1}", str(pattern.pattern))
        for method in METHODS:
            if view := views.get(method):
                told = operation_of(view)
                assert told is not None, f"{method} {path} has no description: api.description.operations"
                yield Described(path, method, pattern.name or "", pattern.callback.scope, told)  # type: ignore[attr-defined]


def _patterns() -> list[URLPattern]:
    for resolver in get_resolver().url_patterns:
        for entry in getattr(resolver, "url_patterns", ()):
            if getattr(entry, "namespace", None) == NAMESPACE:
                return list(entry.url_patterns)
    raise AssertionError("the site has no /v1")


@cache
def document() -> Json:
    """The same as long as the process lives; nobody may change it."""
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


def _models_of(told: Operation) -> list[type[BaseModel]]:
    return [part for part in (told.request, told.answer) if isinstance(part, type)]


def _operation(each: Described, references: dict[type[BaseModel], Json]) -> Json:
    told = each.operation
    shown: Json = {
        "operationId": f"{each.method.lower()}_{each.name}",
        "summary": told.summary,
        "tags": [told.tag],
        "parameters": [*(_in_path(each, name) for name in each.names), *map(_in_query, told.query)],
        "responses": {str(status): _response(each, status, references) for status in each.statuses},
    }
    if told.description:
        shown["description"] = told.description
    if told.is_legacy:
        shown["deprecated"] = True
    if told.request is not None:
        media: Json = {"schema": references[told.request]}
        if told.request_example is not None:
            media["example"] = told.request_example
        shown["requestBody"] = {"required": True, "content": {"application/json": media}}
    elif told.form is not None:
        shown["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": dict(told.form)}}}
    return shown


def _in_path(each: Described, name: str) -> Json:
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


def _response(each: Described, status: int, references: dict[type[BaseModel], Json]) -> Json:
    if status != 200:
        headers = {"x-request-id": REQUEST_ID} | ({"Retry-After": RETRY_AFTER} if status in (429, 503) else {})
        content = {"application/json": {"schema": {"$ref": REFERENCE.format(model="Error")}}}
        return {"description": MEANINGS[status], "headers": headers, "content": content}
    told = each.operation
    content = {kind: _media(told, kind, references) for kind in told.produces}
    return {"description": told.summary, "headers": {"x-request-id": REQUEST_ID}, "content": content}


def _media(told: Operation, kind: str, references: dict[type[BaseModel], Json]) -> Json:
    if kind == "text/event-stream":
        return {"schema": EVENT}
    if kind != "application/json":
        return {"schema": {"type": "string"}}
    schema = references[told.answer] if isinstance(told.answer, type) else dict(told.answer or {"type": "object"})
    return {"schema": schema} | ({"example": told.example} if told.example is not None else {})
