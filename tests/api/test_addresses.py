"""What every address has in common: JSON for whatever goes wrong, methods, the description of all of them."""

import json
import re

import jsonschema_rs
import pytest
from django.db import OperationalError
from django.urls import reverse
from django.utils import translation
from django.utils.module_loading import import_string

from api.description import openapi, page
from api.description.operations import MEANINGS
from tests.api.program import in_database

pytestmark = pytest.mark.django_db(transaction=True)
HI = [{"role": "user", "content": "Hi"}]


async def test_an_address_that_is_not_there_is_json_whatever_it_looks_like(program):
    odd = ("%2Fhome%2Fme%2Fguide.jsonl", "a/b/c", "models/a%0Ab", "chat/completions/")
    for path in ("nothing", "models/", "", *odd):
        response = await program.get(path)
        assert response.status_code == 404, path
        assert response["Content-Type"] == "application/json"
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert response["x-request-id"]


def test_no_middleware_keeps_a_thread_while_a_request_waits(settings):
    assert [path for path in settings.MIDDLEWARE if not getattr(import_string(path), "async_capable", False)] == []


async def test_what_goes_wrong_before_a_view_is_json_too(program, monkeypatch):
    stranger = await program.http.get("/v1/models", headers={**program.headers, "host": "elsewhere.example"})
    assert (stranger.status_code, stranger.json()["error"]["type"]) == (400, "invalid_request_error")

    def away(secret):
        raise OperationalError("the database is away")

    monkeypatch.setattr("accounts.keys.find", away)
    failed = await program.get("models")
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "server_error")


async def test_a_method_that_is_not_known_is_named(program):
    response = await program.get("completions")
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert response.json()["error"]["code"] == "method_not_allowed"


async def test_no_cookie_and_no_token_of_a_form_is_asked_for(program, answering):
    program.http.handler.enforce_csrf_checks = True
    assert (await program.post("completions", model="live", prompt="x")).status_code == 200


def test_the_document_is_open_and_valid(client):
    response = client.get("/v1/openapi.json")
    assert response.status_code == 200
    document = response.json()
    assert document["openapi"].startswith("3.1")
    assert document == json.loads(json.dumps(openapi.document()))
    ids = [method["operationId"] for path in document["paths"].values() for method in path.values()]
    assert len(ids) == len(set(ids))


def test_every_address_of_the_api_stands_in_the_document():
    open_ones = {"openapi", "root", "missing"}
    told = {each.name for each in openapi.described()}
    assert told == {pattern.name for pattern in openapi._patterns()} - open_ones
    for each in openapi.described():
        assert set(each.statuses) <= {200, *MEANINGS}, each
        assert set(each.operation.names) == set(each.names), f"{each.path}: its names in the path"
        assert each.operation.summary


def test_what_is_ignored_is_told_and_what_is_refused_is_not():
    document = openapi.document()
    body = document["paths"]["/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    fields = document["components"]["schemas"][body["schema"]["$ref"].rsplit("/", 1)[1]]["properties"]
    assert "user" in fields
    assert "tools" not in fields
    assert {"messages", "temperature", "stop", "stream_options"} <= set(fields)


def validator(path, method):
    document = openapi.document()
    schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": document["components"]})


async def test_answers_are_as_the_document_says(program, answering):
    chat = await program.told("chat/completions", model="live", messages=HI, n=2, logprobs=True, top_logprobs=2)
    validator("/chat/completions", "post").validate(chat)
    plain = await program.told("completions", model="live", prompt="x", logprobs=2, echo=False)
    validator("/completions", "post").validate(plain)
    validator("/models", "get").validate((await program.get("models")).json())
    validator("/engines/{model}", "get").validate((await program.get("engines/live")).json())
    with pytest.raises(jsonschema_rs.ValidationError):
        validator("/completions", "post").validate(chat)


def test_the_page_shows_every_address_to_everybody(client):
    text = client.get(reverse("api_page")).content.decode()
    for each in openapi.described():
        assert f"/v1{each.path}" in text
        assert f'id="{each.method.lower()}_{each.name}"' in text
    assert "temperature" in text
    folds = re.findall(r'<details class="subject"( open)?>', text)
    assert folds == [" open", *[""] * (len(folds) - 1)], "the page is short until one looks for something"
    assert len(folds) > 3


async def test_the_examples_of_the_document_work(program, answering):
    for each in await in_database(openapi.described)():
        if each.operation.tag != "Completions":
            continue
        path = each.path.strip("/").replace("{model}", "live")
        await program.told(path, **each.operation.request_example)


def test_the_page_speaks_korean_wherever_it_speaks_of_addresses():
    with translation.override("ko"):
        shown = [address for subject in page.subjects("http://x/v1") for address in subject.addresses]
        words = [address.summary for address in shown] + [address.description for address in shown]
        words += [parameter.description for address in shown for parameter in address.parameters]
        words += [meaning for _, meaning in page.meanings()]
    plain = {re.sub("<code>.*?</code>|<[^>]+>", "", text).strip() for text in words}
    in_english = {text for text in plain if text and not re.search("[가-힣]", text)}
    assert {text for text in in_english if not text.startswith("Any of ")} == set()
