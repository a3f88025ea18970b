"""Whatever a storage fails with is told as away, and only what is not there as not there."""

import pytest
from django.core.files.base import ContentFile

from base import shared_state, shared_storage
from base.state_errors import StateAway, StateError
from tests.base.shared_hosts import AWAY, AwayStorage, in_a_folder, on_host

ASKED = {
    "read": lambda: shared_storage.read("index/models/wren.json"),
    "save": lambda: shared_storage.save("index/models/wren.json", ContentFile(b"{}")),
    "delete": lambda: shared_storage.delete("index/models/wren.json"),
    "size": lambda: shared_storage.size("index/models/wren.json"),
    "saved_at": lambda: shared_storage.saved_at("index/models/wren.json"),
    "listed": lambda: shared_storage.listed("index/models"),
}


def of_folders():
    return [OSError("stale file handle"), PermissionError("not yours"), ConnectionResetError(), TimeoutError()]


def of_s3():
    boto3 = pytest.importorskip("boto3.exceptions", reason="boto3 is not installed (the extra s3)")
    from botocore import exceptions as botocore
    from s3transfer import exceptions as transfers

    refused = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    return [
        boto3.S3UploadFailedError("broken pipe"),
        boto3.RetriesExceededError("read timeout"),
        transfers.RetriesExceededError("read timeout"),
        transfers.S3DownloadFailedError("size"),
        botocore.ClientError(refused, "HeadObject"),
        botocore.EndpointConnectionError(endpoint_url="http://minio:9000"),
        botocore.NoCredentialsError(),
        botocore.ReadTimeoutError(endpoint_url="http://minio:9000"),
    ]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("errors", [of_folders, of_s3])
def test_every_failure_is_away(tmp_path, monkeypatch, asked, errors):
    for error in errors():
        monkeypatch.setattr(AwayStorage, "error", error)
        with on_host(tmp_path, AWAY), pytest.raises(StateAway) as caught:
            ASKED[asked]()
        assert caught.value.__cause__ is error


def test_what_fails_while_it_is_read_is_away_too(tmp_path, monkeypatch):
    class Torn:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def read(self, size):
            raise AwayStorage.error

    monkeypatch.setattr(AwayStorage, "open", lambda *given: Torn())
    with on_host(tmp_path, AWAY), pytest.raises(StateAway):
        shared_state.pull(tmp_path / "models/wren")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("asked", ["read", "size", "saved_at"])
def test_what_is_not_there_is_not_away(tmp_path, asked):
    with on_host(tmp_path, in_a_folder(tmp_path / "bucket")), pytest.raises(FileNotFoundError) as caught:
        ASKED[asked]()
    assert not isinstance(caught.value, StateError)


def test_where_nothing_is_nothing_is_listed_or_deleted(tmp_path):
    with on_host(tmp_path, in_a_folder(tmp_path / "bucket")):
        ASKED["delete"]()
        assert ASKED["listed"]() == ([], [])
