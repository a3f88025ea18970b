"""Shared state in an S3, spoken to over HTTP: moto's server stands in for it."""

import math
import socket

import pytest

from base import shared_state
from base.state_errors import StateAway, StateDamaged, StateMissing
from config import services
from tests.base.shared_hosts import on_host

pytest.importorskip("storages", reason="django-storages is not installed (the extra s3)")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed (the extra s3)")
moto_server = pytest.importorskip("moto.server", reason="moto is not installed (the extra dev)")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server():
    running = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server, monkeypatch, request):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    made = boto3.resource("s3", endpoint_url=server).Bucket("sparrows")
    made.create()
    made.objects.delete()
    return made


@pytest.fixture
def storage(bucket, server):
    return services.shared_state("s3://sparrows/site", server)


def publish(home, storage, **files):
    with on_host(home, storage):
        for name, content in files.items():
            path = home / "models/wren" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        shared_state.publish(home / "models/wren")


def keys(bucket):
    return sorted(one.key for one in bucket.objects.all())


def test_a_directory_goes_through_the_bucket_with_its_list_last(tmp_path, storage, bucket):
    weights = bytes(range(256)) * 80_000  # 20 MB: several parts, and more than stays in memory
    publish(tmp_path / "a", storage, weights=weights, config=b"{}")
    with on_host(tmp_path / "b", storage):
        pulled = shared_state.pull(tmp_path / "b/models/wren")
        assert (pulled / "weights").read_bytes() == weights
        assert (pulled / "config").read_bytes() == b"{}"
    found = {one.key: one.last_modified for one in bucket.objects.all()}
    assert all(key.startswith("site/") for key in found)
    assert len(found) == 3
    assert found["site/index/models/wren.json"] == max(found.values())


def test_a_damaged_object_is_refused(tmp_path, storage, bucket):
    publish(tmp_path / "a", storage, weights=b"1234")
    (key,) = (key for key in keys(bucket) if key.endswith("/weights"))
    bucket.Object(key).put(Body=b"1235")
    with on_host(tmp_path / "b", storage):
        with pytest.raises(StateDamaged, match="weights"):
            shared_state.pull(tmp_path / "b/models/wren")
        bucket.Object(key).delete()
        with pytest.raises(StateDamaged, match="weights"):
            shared_state.pull(tmp_path / "b/models/wren")
        assert list((tmp_path / "b/models").iterdir()) == []


def test_what_is_not_there_is_missing_and_what_is_removed_is_gone(tmp_path, storage, bucket):
    publish(tmp_path / "a", storage, weights=b"1234")
    with on_host(tmp_path / "a", storage):
        shared_state.remove(tmp_path / "a/models/wren")
        assert not shared_state.exists(tmp_path / "a/models/wren")
        with pytest.raises(StateMissing):
            shared_state.pull(tmp_path / "a/models/wren")
    assert keys(bucket) == []


def test_what_was_stored_by_halves_is_found_and_removed(tmp_path, storage, bucket):
    publish(tmp_path / "a", storage, weights=b"1234", config=b"{}")
    publish(tmp_path / "a", storage, **{"adapter/config": b"{}"})
    bucket.Object("site/index/models/wren.json").delete()
    with on_host(tmp_path / "b", storage):
        assert list(shared_state.stored_in(tmp_path / "b/models")) == [tmp_path / "b/models/wren"]
        assert -60 < shared_state.stored_for_s(tmp_path / "b/models/wren") < 3600
        shared_state.remove(tmp_path / "b/models/wren")
        assert list(shared_state.stored_in(tmp_path / "b/models")) == []
        assert shared_state.stored_for_s(tmp_path / "b/models/wren") == -math.inf
    assert keys(bucket) == []


def test_published_anew_overwrites(tmp_path, storage, bucket):
    publish(tmp_path / "a", storage, weights=b"1234")
    publish(tmp_path / "a", storage, weights=b"5678")
    with on_host(tmp_path / "b", storage):
        assert shared_state.read(tmp_path / "b/models/wren", "weights") == b"5678"
    assert len(keys(bucket)) == 2


def test_a_storage_that_does_not_answer_or_lets_nobody_in_says_so(tmp_path, bucket, server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for storage in (
        services.shared_state("s3://sparrows", f"http://127.0.0.1:{port}"),
        services.shared_state("s3://no-such-bucket", server),
    ):
        with pytest.raises(StateAway, match="The shared state doesn't respond"):
            publish(tmp_path / "a", storage, weights=b"1234")
