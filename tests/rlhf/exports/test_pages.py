"""The page of export: who may download, what comes, and that it is recorded."""

import io
import json
import zipfile

import pytest

from accounts.models import AuditEntry
from accounts.roles import Role
from feedback.models import Project
from tests.people import make_person
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db
WANTED = {"format": "rankings", "kind": "jsonl", "project": "", "licence": "mit"}


@pytest.fixture
def visit(client, home):
    def open_page(role, data=None):
        client.force_login(make_person(f"a-{role}", role))
        return client.get("/training/export/") if data is None else client.post("/training/export/", data)

    return open_page


@pytest.mark.parametrize("role", [Role.CHATTER, Role.ANNOTATOR])
def test_annotators_and_chatters_download_nothing(visit, client, role):
    assert visit(role).status_code == 403
    assert client.post("/training/export/", WANTED).status_code == 403
    assert not AuditEntry.objects.filter(verb="exports.make").exists()


@pytest.mark.parametrize("role", [Role.MODERATOR, Role.ADMIN])
def test_moderators_and_admins_download_a_data_set_and_it_is_recorded(visit, role):
    feedback_rows.rank(feedback_rows.annotator("ann"), 1)
    answer = visit(role, WANTED)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert "chamsae-rankings.zip" in answer["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert sorted(archive.namelist()) == ["README.md", "train.jsonl"]
        (row,) = archive.read("train.jsonl").splitlines()
        assert b'license: "mit"' in archive.read("README.md")
    assert len(json.loads(row)["completions"]) == 4
    entry = AuditEntry.objects.get(verb="exports.make")
    assert (entry.actor.username, entry.after["rows"]) == (f"a-{role}", 1)


def test_one_project_can_be_chosen(visit):
    other = Project.objects.create(key="other", title="The other one")
    answer = visit(Role.MODERATOR, {**WANTED, "project": other.pk})
    assert b"".join(answer.streaming_content), "read to its end, which closes the file behind it"
    assert "chamsae-other-rankings.zip" in answer["Content-Disposition"]
    assert AuditEntry.objects.get(verb="exports.make").target == f"feedback.project:{other.pk}"


@pytest.mark.parametrize("bad", [{"format": "x"}, {"kind": "csv"}, {"project": "77"}])
def test_a_form_that_cannot_be_is_refused(visit, bad):
    assert visit(Role.MODERATOR, {**WANTED, **bad}).status_code == 400
    assert not AuditEntry.objects.filter(verb="exports.make").exists()
