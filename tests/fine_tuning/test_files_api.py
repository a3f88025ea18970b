"""`/v1/files`: what is kept is what was sent, lists page, and what attacks gets a clear answer and leaves nothing."""

import gzip
import hashlib
import io
import json
import zipfile

import pytest
from django.test import RequestFactory
from django.utils import timezone

from api.views.files import upload
from fine_tuning import fsck
from fine_tuning.data import files
from fine_tuning.models import DataFile
from tests.fine_tuning.program import BOUNDARY, multipart
from tests.fine_tuning.training_files import jsonl, pairs

pytestmark = pytest.mark.django_db


def refused(response, status, param="file"):
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    return error["message"]


def test_what_is_given_back_is_what_was_sent(api):
    content = pairs(3).encode()
    told = api.upload(content).json()
    assert {name: told[name] for name in ("object", "bytes", "filename", "purpose", "status")} == {
        "object": "file",
        "bytes": len(content),
        "filename": "guide.jsonl",
        "purpose": "fine-tune",
        "status": "processed",
    }
    assert api.get(f"files/{told['id']}").json() == told
    response = api.get(f"files/{told['id']}/content")
    assert b"".join(response.streaming_content) == content
    assert DataFile.objects.get().sha256 == hashlib.sha256(content).hexdigest()
    assert list(fsck.files_have_rows()) == []


def test_a_file_is_its_owner_s_alone(api, theirs):
    name = api.upload(pairs()).json()["id"]
    for response in (
        theirs.get(f"files/{name}"),
        theirs.get(f"files/{name}/content"),
        theirs.delete(f"files/{name}"),
    ):
        refused(response, 404, "id")
    assert theirs.get("files").json()["data"] == []


def test_deleted_is_gone(api, left_behind, django_capture_on_commit_callbacks):
    name = api.upload(pairs()).json()["id"]
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"files/{name}").json() == {"id": name, "object": "file", "deleted": True}
    assert left_behind() == []
    refused(api.get(f"files/{name}"), 404, "id")


@pytest.mark.parametrize("path", ["guide.jsonl", "dir%2Fmy+data.jsonl", "%2Fhome%2Fmina%2Fguide.jsonl", "a%00b"])
def test_what_is_no_file_gets_json(api, path):
    """The command line of 2023 asks for the path that it was given before it uploads it."""
    refused(api.get(f"files/{path}"), 404, "id")


def test_the_list_pages_by_cursor_and_sorts_both_ways(api):
    made = [api.upload(pairs(n), f"{n}.jsonl").json()["id"] for n in range(1, 6)]
    first = api.get("files?limit=2").json()
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (made[:2:-1], True)
    rest = api.get(f"files?limit=3&after={first['last_id']}").json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (made[2::-1], False)
    assert [one["id"] for one in api.get("files?order=asc").json()["data"]] == made
    assert api.get("files?purpose=fine-tune-results").json()["data"] == []
    assert api.get("files?after=file-none").json()["error"]["param"] == "after"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(bytes(10 * 2**20), mtime=0), "unpack"),
        (b"[" * 100_000, "deep"),
        (b'{"prompt": "\xff\xfe", "completion": "b"}\n', "UTF-8"),
        (b'{"prompt": "a", "completion": NaN}\n', "NaN"),
        (b'{"prompt": "a", "completion": "b"}\n{"prompt": "a", "compl', "seems to end early"),
        (b"", "no line"),
        (b"\x00" * 1000, "JSON"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_and_nothing_is_left(api, left_behind, content, said):
    assert said in refused(api.upload(content), 400)
    assert left_behind() == []
    assert not DataFile.objects.exists()


def test_bad_lines_are_told_by_their_numbers(api):
    message = refused(api.upload('{"completion": "a"}\n' * 3 + "?\n" + '{"completion": "a"}\n' + "!\n"), 400)
    assert "line 4" in message
    assert "line 6" in message
    assert "line 5" not in message


def sheet(entries):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_sheet_that_unpacks_to_gigabytes_is_refused_by_what_it_declares(api, settings, left_behind):
    settings.UPLOAD_MB = 1
    bomb = sheet({"xl/worksheets/sheet1.xml": bytes(20 * 2**20)})
    assert len(bomb) < 2**20
    assert "unpack" in refused(api.upload(bomb, "a.xlsx"), 400)
    assert left_behind() == []


ENTITIES = b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">'.encode() for n in range(9)
) + b"]>"  # fmt: skip


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", sheet({"a": b"b"}), b"no archive"])
def test_a_sheet_that_is_none(api, content, left_behind):
    refused(api.upload(content, "a.xlsx"), 400)
    assert left_behind() == []


def test_a_sheet_whose_xml_grows_without_end(api, left_behind):
    from openpyxl import Workbook

    book, file = Workbook(), io.BytesIO()
    book.active.append(["prompt", "completion"])
    book.save(file)
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    entries[name] = ENTITIES + b"<worksheet>&j;</worksheet>"
    refused(api.upload(sheet(entries), "a.xlsx"), 400)
    assert left_behind() == []


def test_a_sheet_is_taken(api):
    from openpyxl import Workbook

    book, file = Workbook(), io.BytesIO()
    for row in (["prompt", "completion"], ["Wo?", "Da."], ["Wer?", "Ich."]):
        book.active.append(row)
    book.save(file)
    told = api.upload(file.getvalue(), "a.xlsx")
    assert told.status_code == 200, told.content
    assert (DataFile.objects.get().form, DataFile.objects.get().lines) == ("prompt_completion", 2)


def test_a_sheet_that_claims_a_million_rows_is_read_no_further_than_the_limit(api, settings):
    from openpyxl import Workbook

    settings.UPLOAD_LINES = 5
    book, file = Workbook(), io.BytesIO()
    book.active.append(["prompt", "completion"])
    book.active["XFD1048576"] = "far"
    book.save(file)
    refused(api.upload(file.getvalue(), "a.xlsx"), 400)


def test_what_is_too_large_is_413_and_nothing_is_left(api, settings, left_behind):
    settings.UPLOAD_MB = 1
    response = api.upload('{"completion": "a"}\n' * 60_000)
    assert "larger than 1 MB" in refused(response, 413)
    assert left_behind() == []


def test_one_person_s_files_together_are_bounded(api, settings, left_behind):
    settings.UPLOAD_MB, settings.QUOTA_MB = 1, 5
    line = '{"completion": "' + "a" * 900_000 + '"}\n'
    for _ in range(5):
        assert api.upload(line).status_code == 200
    assert "Delete some first" in refused(api.upload(line), 413)
    assert len(left_behind()) == 5


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a/../b.jsonl", "a\\b.jsonl", "/", "a\x07b"])
def test_a_name_that_leads_elsewhere_is_refused(api, name, left_behind):
    refused(api.upload(pairs(), name), 400)
    assert left_behind() == []


@pytest.mark.parametrize(
    ("name", "kept"), [("dir/guide.jsonl", "guide.jsonl"), ("/home/mina/무지개.jsonl", "무지개.jsonl")]
)
def test_of_a_path_as_it_was_typed_the_last_part_is_kept(api, name, kept):
    """The command line of 2023 sends it so."""
    assert api.upload(pairs(), name).json()["filename"] == kept


def test_a_form_that_is_none(api, left_behind):
    assert api.post("files", {"purpose": "fine-tune"}).status_code == 415
    multipart = "multipart/form-data; boundary=x"
    for body in (b"-", b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=purpose\r\n\r\nfine-tune\r\n--x--"):
        response = api.client.post("/v1/files", body, content_type=multipart)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert api.client.post("/v1/files", b"a", content_type="multipart/form-data").status_code == 400
    assert left_behind() == []


def test_a_body_that_is_packed_is_not_unpacked(api, left_behind):
    body = gzip.compress(b"--x\r\n" + bytes(10 * 2**20))
    response = api.client.post(
        "/v1/files", body, content_type="multipart/form-data; boundary=x", headers={"content-encoding": "gzip"}
    )
    assert response.status_code == 400
    assert left_behind() == []


@pytest.mark.parametrize("purpose", ["assistants", "fine-tune-results", ""])
def test_a_purpose_that_this_site_does_not_know(api, purpose, left_behind):
    refused(api.upload(pairs(), purpose=purpose), 400, "purpose")
    assert left_behind() == []


def test_a_body_in_chunks_has_no_length_and_is_taken_all_the_same(api):
    body = multipart({"purpose": "fine-tune"}, pairs(3), "guide.jsonl")
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    request = RequestFactory().generic("POST", "/v1/files", body, content_type=kind)
    del request.META["CONTENT_LENGTH"]
    request.api_key = api.key
    told = json.loads(upload(request).content)
    assert (told["bytes"], told["status"]) == (len(pairs(3).encode()), "processed")


def test_a_file_may_expire(api, monkeypatch, django_capture_on_commit_callbacks, left_behind):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    told = api.upload(pairs(), **fields).json()
    assert told["expires_at"] - told["created_at"] == 3600
    assert files.remove_expired() == 0
    DataFile.objects.update(expires_at=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        assert files.remove_expired() == 1
    assert left_behind() == []
    for seconds in ("1", "0000036000000000000", "9" * 5000, "soon"):
        odd = {"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}
        refused(api.upload(pairs(), **odd), 400, "expires_after.seconds")


def test_fsck_tells_bytes_without_a_row_and_a_row_without_bytes(api, settings):
    name = api.upload(pairs()).json()["id"]
    (settings.UPLOADS_DIR / "file-stray").write_bytes(b"x")
    assert [text.split()[-1] for text in fsck.files_have_rows()] == ["row"]
    (settings.UPLOADS_DIR / "file-stray").unlink()
    (settings.UPLOADS_DIR / name).write_bytes(jsonl({"completion": "other"}).encode())
    assert "its row says" in next(iter(fsck.files_have_rows()))
    (settings.UPLOADS_DIR / name).unlink()
    assert list(fsck.files_have_rows()) == [f"{name} has a row but no file"]


def test_a_key_without_the_scope_may_not(person):
    from tests.fine_tuning.program import Api

    assert Api(person, scopes=["models"]).get("files").status_code == 403
