"""The pages of imports: admins alone upload, and read what was stored and left out."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import AuditEntry
from accounts.roles import Role
from feedback.models import Import, Ranking, site_project
from tests.feedback.imports.imported_files import preference
from tests.people import make_person

pytestmark = pytest.mark.django_db


def upload(client, rows, key="trl-preference", name="rows.jsonl"):
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    data = {"format": key, "project": site_project(), "file": SimpleUploadedFile(name, content)}
    return client.post("/imports/", data)


@pytest.fixture
def admin(client):
    client.force_login(make_person("admin", Role.ADMIN))
    return client


@pytest.mark.parametrize("role", [Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR])
def test_nobody_else_imports(client, role):
    client.force_login(make_person("p", role))
    assert client.get("/imports/").status_code == 403
    assert upload(client, [preference(1)]).status_code == 403
    assert not Import.objects.exists()


def test_an_upload_ends_on_its_report(admin):
    answer = upload(admin, [preference(1), {"prompt": 3}], name="<b>x</b>.jsonl")
    made = Import.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/imports/{made.pk}/")
    page = admin.get(answer["Location"]).content.decode()
    assert "&lt;b&gt;" in made.name or "<b>x" not in page
    assert "A field is missing" in page
    assert "<code>prompt</code>" in page
    assert made.sha256 in page
    entry = AuditEntry.objects.get(verb="imports.store")
    assert (entry.actor.username, entry.after["project"]) == ("admin", "site")
    assert admin.get("/imports/").content.decode().count(f"/imports/{made.pk}/") == 1


@pytest.mark.parametrize("rows", [[], [{"a": 1}]])
def test_a_file_without_judgements_is_refused_with_the_reason(admin, rows):
    answer = upload(admin, rows)
    assert answer.status_code == 400
    assert not Import.objects.exists()
    assert "error" in answer.content.decode()


def test_a_file_that_is_too_large_is_refused(admin, settings):
    settings.FEEDBACK_IMPORT_MB = 1
    answer = upload(admin, [preference(1, annotator="x" * 1_100_000)])
    assert answer.status_code == 400
    assert "larger than 1 MB" in answer.content.decode()


def test_the_same_file_again_says_when_it_came(admin):
    upload(admin, [preference(1)])
    answer = upload(admin, [preference(1)])
    assert answer.status_code == 400
    assert "This file was imported on" in answer.content.decode()
    assert Ranking.objects.count() == 1


def test_the_list_asks_as_many_queries_for_many_imports(admin, django_assert_max_num_queries):
    for number in range(6):
        upload(admin, [preference(number)], name=f"{number}.jsonl")
    with django_assert_max_num_queries(14):
        assert admin.get("/imports/").status_code == 200
