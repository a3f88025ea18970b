"""The API page's content, from the OpenAPI document: addresses by subject, parameters, examples, statuses."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from api.description.openapi import DescribedOperation, described, document
from api.description.operations import MEANINGS

KEY = "$OPENAI_API_KEY"
Json = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    name: str
    place: str
    """`path`, `query` or `body`."""
    kind: str
    description: SafeString
    is_required: bool
    usually: str
    """The default as JSON; empty where there is none."""


@dataclass(frozen=True)
class Address:
    anchor: str
    method: str
    path: str
    summary: str
    description: SafeString
    is_legacy: bool
    parameters: list[Parameter]
    statuses: list[str]
    curl: str
    answer: str


@dataclass(frozen=True)
class Subject:
    name: str
    anchor: str
    addresses: list[Address]


def subjects(root: str) -> list[Subject]:
    """`root`: where programs reach the API, as in `http://127.0.0.1:8000/v1`."""
    found: dict[str, list[Address]] = {}
    for each in described():
        found.setdefault(each.operation.tag, []).append(_address(each, root))
    return [Subject(gettext(tag), f"subject-{number}", rows) for number, (tag, rows) in enumerate(found.items())]


def meanings() -> list[tuple[str, SafeString]]:
    return [(_status_line(status), _html(meaning)) for status, meaning in MEANINGS.items()]


def _html(text: str) -> SafeString:
    """Translated, with text in backticks as code."""
    pieces = gettext(text).split("`") if text else []
    tags = ("<span>{}</span>", "<code>{}</code>")
    shown = [(tags[place % 2], piece) for place, piece in enumerate(pieces)]
    return mark_safe("".join(format_html(tag, piece) for tag, piece in shown))  # noqa: S308  each piece is escaped


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _address(each: DescribedOperation, root: str) -> Address:
    operation, shown = each.operation, document()["paths"][each.path][each.method.lower()]
    return Address(
        anchor=shown["operationId"],
        method=each.method,
        path=f"/v1{each.path}",
        summary=gettext(operation.summary),
        description=_html(operation.description),
        is_legacy=operation.is_legacy,
        parameters=list(_parameters(shown)),
        statuses=[_status_line(status) for status in each.statuses],
        curl=_curl(each, root),
        answer=json.dumps(operation.example, indent=2, ensure_ascii=False) if operation.example is not None else "",
    )


def _parameters(shown: Json) -> Iterator[Parameter]:
    for each in shown["parameters"]:
        yield _parameter(each["name"], each["in"], each["schema"], each["required"], each.get("description", ""))
    for media in shown.get("requestBody", {}).get("content", {}).values():
        schema = _resolved(media["schema"])
        for name, part in schema.get("properties", {}).items():
            yield _parameter(name, "body", part, name in schema.get("required", ()), part.get("description", ""))


def _parameter(name: str, place: str, schema: Json, is_required: bool, description: str) -> Parameter:
    usual = schema.get("default")
    usually = "" if usual is None or is_required else json.dumps(usual, ensure_ascii=False)
    return Parameter(name, place, _kind_of(schema), _html(description), is_required, usually)


def _kind_of(schema: Json) -> str:
    """In a few words, as in `number 0–2`."""
    schema = _resolved(schema)
    if several := schema.get("anyOf"):
        words = [_kind_of(each) for each in several if each.get("type") != "null"]
        return " | ".join(dict.fromkeys(words))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    kind: Any = schema.get("type", "any")
    if kind == "array":
        return f"[{_kind_of(schema.get('items', {}))}]"
    if isinstance(kind, list):
        kind = " | ".join(each for each in kind if each != "null")
    return f"{kind}{_range(schema)}"


def _range(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None or most is None or abs(most) > 1_000_000:
        return ""
    return f" {least:g}–{most:g}"


def _resolved(schema: Json) -> Json:
    place = schema.get("$ref")
    found: Json = document()["components"]["schemas"][place.rsplit("/", 1)[1]] if place else schema
    return found


def _curl(each: DescribedOperation, root: str) -> str:
    path = each.path
    for name in each.names:
        path = path.replace(f"{{{name}}}", each.operation.name_examples.get(name, name.upper()))
    lines = [f"curl {root}{path}"] if each.method == "GET" else [f"curl -X {each.method} {root}{path}"]
    lines.append(f'-H "Authorization: Bearer {KEY}"')
    operation = each.operation
    if operation.request is not None:
        body = json.dumps(operation.request_example or {}, ensure_ascii=False)
        lines += ['-H "Content-Type: application/json"', f"-d '{body}'"]
    elif operation.form is not None:
        lines += [
            _form_field(name, part)
            for name, part in operation.form.get("properties", {}).items()
            if _is_required(operation.form, name)
        ]
    return " \\\n  ".join(lines)


def _is_required(form: Any, name: str) -> bool:
    return name in form.get("required", ())


def _form_field(name: str, part: Json) -> str:
    if part.get("format") == "binary":
        return f"-F {name}=@guide.jsonl"
    values = part.get("enum") or [part.get("example", part.get("default", "..."))]
    return f"-F {name}={values[0]}"
