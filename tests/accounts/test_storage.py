"""One quota for a person's files and imports together."""

import json
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import storage
from chat.conversations import exporting, importing
from chat.models import Conversation
from fine_tuning.data import excel, uploads
from fine_tuning.errors import NoRoom
from fine_tuning.models import DataFile
from tests.people import make_person

pytestmark = pytest.mark.django_db
MB = 2**20


@pytest.fixture
def sora():
    return make_person("sora")


def conversation_of(chars):
    moment = "2026-01-31T12:00:00+00:00"
    line = {"id": 1, "parent": None, "role": "user", "created_at": moment, "text": "가" * chars}
    head = {"format": exporting.FORMAT, "version": exporting.VERSION, "title": "t", "created_at": moment, "tip": 1}
    return json.dumps(head | {"messages": [line]}).encode()


def test_files_and_imports_are_counted_together_in_bytes(sora, settings):
    settings.QUOTA_MB = 1
    DataFile.objects.create(owner=sora, filename="a.jsonl", bytes=MB // 2)
    importing.create(sora, importing.read(conversation_of(100_000)))
    assert storage.bytes_left(sora) == MB - MB // 2 - 300_000
    assert storage.bytes_left(make_person("nari")) == MB


def test_an_import_beyond_the_quota_is_refused_and_stores_nothing(sora, settings):
    settings.QUOTA_MB = 1
    DataFile.objects.create(owner=sora, filename="a.jsonl", bytes=MB - 1000)
    client = Client(headers={"accept-language": "en"})
    client.force_login(sora)
    file = SimpleUploadedFile("talk.json", conversation_of(1000))
    response = client.post("/conversations/import/", {"file": file})
    assert response.status_code == 413
    assert "more than 1 MB" in response.content.decode()
    assert not Conversation.objects.exists()


def test_a_file_beyond_what_imports_left_is_refused(sora, settings):
    settings.QUOTA_MB = 1
    importing.create(sora, importing.read(conversation_of(200_000)))
    with pytest.raises(NoRoom):
        uploads.store(sora, "a.jsonl", [b"x" * (MB // 2)])


def test_a_small_sheet_that_unpacks_to_very_much_is_refused(tmp_path):
    path = tmp_path / "sheet.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "<row><c/></row>" * 1_400_000)
    assert path.stat().st_size < 100_000
    ((_number, problem),) = excel.rows(path)
    assert problem.code == "packed"
