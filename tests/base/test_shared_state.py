"""State that hosts share: published by one, pulled by another, and never half or wrong."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.utils import translation

from base import shared_state
from base.host_lock import if_free, only_one
from base.shared_index import BadIndex, PublishedIndex
from base.state_errors import StateAway, StateDamaged, StateMissing
from tests.base.shared_hosts import AWAY, in_a_folder, on_host


@pytest.fixture
def a(tmp_path):
    return tmp_path / "a"


@pytest.fixture
def b(tmp_path):
    return tmp_path / "b"


@pytest.fixture
def bucket(tmp_path):
    return tmp_path / "bucket"


@pytest.fixture
def storage(bucket):
    return in_a_folder(bucket)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def published(a, storage, **files):
    with on_host(a, storage):
        shared_state.publish(write(a / "models/wren", **files))
    return contents(a / "models/wren")


def objects(bucket: Path) -> list[Path]:
    return [path for path in bucket.rglob("*") if path.is_file()]


def test_a_directory_of_one_host_is_pulled_by_another(a, b, storage):
    there = published(a, storage, weights="1234", adapter__config="{}")
    with on_host(b, storage):
        assert shared_state.pull(b / "models/wren") == b / "models/wren"
    assert contents(b / "models/wren") == there == {"weights": "1234", "adapter/config": "{}"}


def test_a_file_is_pulled_as_a_file(a, b, storage):
    with on_host(a, storage):
        (a / "uploads/file-1").write_text("lines")
        shared_state.publish(a / "uploads/file-1")
    with on_host(b, storage):
        assert shared_state.pull(b / "uploads/file-1").read_text() == "lines"
    assert [path.name for path in (b / "uploads").iterdir()] == ["file-1"]


def test_without_a_storage_nothing_is_copied_or_asked_for(a):
    with on_host(a, {}):
        folder = write(a / "models/wren", weights="1234")
        shared_state.publish(folder)
        assert shared_state.pull(a / "models/other") == a / "models/other"
        assert not shared_state.exists(a / "models/other")
        assert shared_state.published(folder) is None
    assert sorted(path.name for path in a.iterdir()) == ["models", "runs", "uploads"]


def test_what_is_here_is_not_fetched(a, b, storage, bucket):
    published(a, storage, weights="1234")
    for path in objects(bucket):
        path.unlink()
    with on_host(a, storage):
        shared_state.pull(a / "models/wren")


@pytest.mark.parametrize("harm", ["changed", "cut", "longer", "gone"])
def test_a_damaged_object_is_refused_and_leaves_nothing(a, b, storage, bucket, harm):
    published(a, storage, config="{}", weights="1234")
    (weights,) = (bucket / "content").rglob("weights")
    if harm == "gone":
        weights.unlink()
    else:
        weights.write_text({"changed": "1235", "cut": "123", "longer": "12345"}[harm])
    with on_host(b, storage), pytest.raises(StateDamaged, match=r"models/wren can't be used.*weights.*--again"):
        shared_state.pull(b / "models/wren")
    assert list((b / "models").iterdir()) == []
    assert list((b / "locks").iterdir()) == []


def test_publishing_again_mends_what_was_damaged(a, b, storage, bucket):
    published(a, storage, weights="1234")
    next((bucket / "content").rglob("weights")).write_text("1235")
    with on_host(a, storage):
        shared_state.publish(a / "models/wren", again=True)
    with on_host(b, storage):
        assert contents(shared_state.pull(b / "models/wren")) == {"weights": "1234"}


def test_what_nobody_published_is_missing_and_the_message_says_what_to_do(b, storage):
    with (
        on_host(b, storage),
        pytest.raises(StateMissing, match=r"models/wren is neither .* publish_state models/wren"),
    ):
        shared_state.pull(b / "models/wren")
    with on_host(b, storage), translation.override("ko"), pytest.raises(FileNotFoundError) as caught:
        shared_state.pull(b / "models/wren")
    assert "공유 저장소에도 없습니다" in str(caught.value)
    assert "manage.py publish_state models/wren" in str(caught.value)


def test_what_is_published_anew_replaces_the_former_wholly(a, b, storage, bucket):
    published(a, storage, weights="1234", old="x")
    with on_host(a, storage):
        (a / "models/wren/old").unlink()
        shared_state.publish(write(a / "models/wren", weights="5678"))
    with on_host(b, storage):
        assert contents(shared_state.pull(b / "models/wren")) == {"weights": "5678"}
    assert len(objects(bucket)) == 2  # the list and the one file


def test_an_old_copy_is_replaced_where_the_row_names_another_manifest(a, b, storage):
    published(a, storage, **{"manifest.json": "one"})
    one, two = ({"manifest_sha256": hashlib.sha256(text).hexdigest()} for text in (b"one", b"two"))
    with on_host(b, storage):
        shared_state.pull(b / "models/wren", **one)
    published(a, storage, **{"manifest.json": "two"})
    with on_host(b, storage):
        shared_state.pull(b / "models/wren")
        assert contents(b / "models/wren") == {"manifest.json": "one"}
        shared_state.pull(b / "models/wren", **two)
        assert contents(b / "models/wren") == {"manifest.json": "two"}
        with pytest.raises(StateDamaged):  # the storage has not what the row names
            shared_state.pull(b / "models/wren", **one)
        assert contents(b / "models/wren") == {"manifest.json": "two"}
    assert [path.name for path in (b / "models").iterdir()] == ["wren"]


def test_small_files_are_read_without_pulling(a, b, storage):
    published(a, storage, weights="1234", adapter__base="{}")
    with on_host(b, storage):
        assert shared_state.read(b / "models/wren", "adapter/base") == b"{}"
        assert shared_state.size(b / "models/wren", "weights") == 4
        assert shared_state.exists(b / "models/wren")
        with pytest.raises(StateMissing):
            shared_state.read(b / "models/wren", "unknown")
    assert not (b / "models/wren").exists()


def test_a_part_has_the_named_files_alone(a, b, storage):
    published(a, storage, weights="1234", tokenizer="t", config="c")
    with on_host(b, storage):
        part = shared_state.pull_part(b / "models/wren", ("config", "tokenizer", "template"))
        assert contents(part) == {"config": "c", "tokenizer": "t"}
        assert shared_state.pull_part(b / "models/wren", ("config", "tokenizer", "template")) == part
        shared_state.pull(b / "models/wren")
        assert shared_state.pull_part(b / "models/wren", ("config",)) == b / "models/wren"


def test_a_part_that_is_here_is_used_without_the_storage(a, b, storage):
    published(a, storage, tokenizer="t", **{"manifest.json": "one"})
    one = {"manifest_sha256": hashlib.sha256(b"one").hexdigest()}
    with on_host(b, storage):
        part = shared_state.pull_part(b / "models/wren", ("tokenizer",), **one)
    with on_host(b, AWAY):
        assert shared_state.pull_part(b / "models/wren", ("tokenizer",), **one) == part
        with pytest.raises(StateAway):
            shared_state.pull_part(b / "models/wren", ("tokenizer",), manifest_sha256="2" * 64)
    published(a, storage, tokenizer="u", **{"manifest.json": "two"})
    with on_host(b, storage):
        two = shared_state.pull_part(b / "models/wren", ("tokenizer",), manifest_sha256=sha256("two"))
        assert contents(two) == {"tokenizer": "u"}
        assert not part.exists()
        with pytest.raises(StateDamaged):  # the storage has not what the row names
            shared_state.pull_part(b / "models/wren", ("tokenizer",), **one)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_while_the_storage_is_away_what_is_whole_here_is_used(a, storage):
    there = published(a, storage, **{"manifest.json": "one"})
    with on_host(a, AWAY):
        assert contents(shared_state.pull(a / "models/wren", manifest_sha256=sha256("one"))) == there
        names = {"manifest_sha256": sha256("one")}
        assert shared_state.pull_part(a / "models/wren", ("manifest.json",), **names) == a / "models/wren"


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"format": 2}'])
def test_a_broken_list_is_told_and_the_next_who_publishes_writes_it_anew(a, b, storage, bucket, broken):
    published(a, storage, weights="old")
    next((bucket / "index").rglob("*.json")).write_text(broken)
    with on_host(b, storage):
        assert shared_state.is_stored(b / "models/wren")
        with pytest.raises(StateDamaged, match="publish_state --again models/wren"):
            shared_state.pull(b / "models/wren")
    with on_host(a, storage):
        shared_state.publish(write(a / "models/wren", weights="1234"))
    with on_host(b, storage):
        assert contents(shared_state.pull(b / "models/wren")) == {"weights": "1234"}
    assert len(objects(bucket)) == 2  # what the broken list may have named is gone


def test_what_has_a_broken_list_is_removed_wholly(a, storage, bucket):
    published(a, storage, weights="1234", adapter__config="{}")
    next((bucket / "index").rglob("*.json")).write_text("{")
    with on_host(a, storage):
        shared_state.remove(a / "models/wren")
    assert objects(bucket) == []
    assert not (a / "models/wren").exists()


def test_nothing_that_removes_fails_by_a_storage_that_is_away(a, storage, bucket):
    published(a, storage, weights="1234")
    with on_host(a, AWAY):
        shared_state.remove(a / "models/wren")
    assert not (a / "models/wren").exists()
    assert len(objects(bucket)) == 2
    with on_host(a, storage):
        assert list(shared_state.stored_in(a / "models")) == [a / "models/wren"]
        shared_state.remove(a / "models/wren")
    assert objects(bucket) == []


def test_what_was_published_or_removed_by_halves_is_found(a, storage, bucket):
    published(a, storage, weights="1234", config="{}")
    next((bucket / "index").rglob("*.json")).unlink()
    with on_host(a, storage):
        assert not shared_state.exists(a / "models/heron")
        assert list(shared_state.stored_in(a / "models")) == [a / "models/wren"]
        for path in objects(bucket):
            os.utime(path, (0, 0))
        assert shared_state.stored_for_s(a / "models/wren") == pytest.approx(time.time(), abs=3600)
        shared_state.remove(a / "models/wren")
        assert shared_state.stored_for_s(a / "models/wren") == -math.inf
    assert objects(bucket) == []


def test_a_removal_that_breaks_off_is_still_found(a, storage, bucket, monkeypatch):
    published(a, storage, weights="1234", config="{}")
    real = type(storages["default"]).delete

    def delete(self, name):
        if name.endswith("weights"):
            raise OSError("gone away")
        real(self, name)

    with on_host(a, storage):
        with monkeypatch.context() as patched:
            patched.setattr(type(storages["shared"]), "delete", delete)
            shared_state.remove(a / "models/wren")
        assert shared_state.exists(a / "models/wren")
        shared_state.remove(a / "models/wren")
        assert not shared_state.exists(a / "models/wren")
    assert objects(bucket) == []


def test_what_was_removed_by_halves_is_published_whole(a, b, storage, bucket):
    there = published(a, storage, weights="1234", config="{}")
    next((bucket / "content").rglob("weights")).unlink()
    published(a, storage, weights="1234", config="{}")
    with on_host(b, storage):
        assert contents(shared_state.pull(b / "models/wren")) == there


def test_what_is_there_counts_as_published_now_and_is_not_uploaded_anew(a, storage, bucket):
    published(a, storage, weights="1234")
    for path in objects(bucket):
        os.utime(path, (0, 0))
    published(a, storage, weights="1234")
    assert next((bucket / "content").rglob("weights")).stat().st_mtime == 0
    with on_host(a, storage):
        assert shared_state.stored_for_s(a / "models/wren") < 3600


@pytest.mark.parametrize(("harm", "told"), [("cut", "3 bytes"), ("gone", "nothing")])
def test_what_a_list_names_and_the_storage_lacks_is_told_without_a_pull(a, b, storage, bucket, harm, told):
    published(a, storage, config="{}", weights="1234")
    (weights,) = (bucket / "content").rglob("weights")
    with on_host(b, storage):
        assert list(shared_state.problems(b / "models/wren")) == []
        weights.write_text("123") if harm == "cut" else weights.unlink()
        (problem,) = shared_state.problems(b / "models/wren")
        assert list(shared_state.problems(b / "models/unknown")) == []
    assert (
        problem
        == f"models/wren: of weights, the shared state has {told}: manage.py publish_state --again models/wren"
    )
    assert list((b / "models").iterdir()) == []


def test_removed_is_removed_everywhere_but_from_other_hosts(a, b, storage, bucket):
    published(a, storage, weights="1234")
    with on_host(b, storage):
        shared_state.pull(b / "models/wren")
    with on_host(a, storage):
        shared_state.remove(a / "models/wren")
        assert not shared_state.exists(a / "models/wren")
        shared_state.remove(a / "models/wren")
    assert objects(bucket) == []
    assert (b / "models/wren").exists()  # its own tidying removes it, by the rows


def test_what_is_handed_over_is_in_one_place(a, b, storage):
    with on_host(a, storage):
        (a / "runs/pairs.jsonl").write_text("words")
        shared_state.hand_over(a / "runs/pairs.jsonl")
        assert not (a / "runs/pairs.jsonl").exists()
        assert shared_state.read(a / "runs/pairs.jsonl") == b"words"
    with on_host(b, storage):
        assert shared_state.read(b / "runs/pairs.jsonl") == b"words"
    assert not (b / "runs/pairs.jsonl").exists()


def test_two_who_pull_at_once_download_once(a, b, storage, monkeypatch):
    published(a, storage, weights="1234", config="{}")
    opened, real = [], type(storages["default"]).open

    def slow(self, name, mode="rb"):
        opened.append(name)
        time.sleep(0.1)
        return real(self, name, mode)

    with on_host(b, storage):
        monkeypatch.setattr(type(storages["shared"]), "open", slow)
        threads = [threading.Thread(target=shared_state.pull, args=(b / "models/wren",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(opened) == 3  # the list and two files
    assert sorted(contents(b / "models/wren")) == ["config", "weights"]


PULLER = """
import sys, time, django
django.setup()
from pathlib import Path
from django.conf import settings
from base import shared_index, shared_state
real = shared_state._checked_blocks
def slow(*given):
    for block in real(*given):
        yield block
        print("block", flush=True)
        time.sleep(60)
shared_state._checked_blocks = slow
shared_state.pull(Path(settings.MODELS_DIR) / "wren")
"""


def test_a_pull_that_is_killed_leaves_nothing_that_looks_whole(a, b, storage, bucket):
    there = published(a, storage, config="{}", weights="1234")
    environment = {**os.environ, "CHAMSAE_HOME": str(b), "CHAMSAE_SHARED_STATE": f"file://{bucket}"}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings", "CHAMSAE_SECRET_KEY": "of-both-hosts-" * 4}
    with subprocess.Popen([sys.executable, "-c", PULLER], env=environment, stdout=subprocess.PIPE) as puller:
        assert puller.stdout.readline() == b"block\n"
        puller.send_signal(signal.SIGKILL)
    with on_host(b, storage):
        assert not (b / "models/wren").exists()
        assert [path.name for path in (b / "models").iterdir()] == ["tmp-pull-wren"]
        shared_state.remove_drafts(b / "models")
        assert list((b / "models").iterdir()) == []
        assert contents(shared_state.pull(b / "models/wren")) == there


def test_a_pull_clears_away_what_a_killed_one_left(a, b, storage):
    there = published(a, storage, weights="1234")
    write(b / "models/tmp-pull-wren", weights="12", stray="x")
    with on_host(b, storage):
        assert contents(shared_state.pull(b / "models/wren")) == there
    assert [path.name for path in (b / "models").iterdir()] == ["wren"]


def test_drafts_of_a_pull_under_way_stay(a, b, storage):
    write(b / "models/tmp-pull-wren", weights="12")
    with on_host(b, storage):
        with only_one("models/wren"):
            shared_state.remove_drafts(b / "models")
        assert (b / "models/tmp-pull-wren").exists()
        shared_state.remove_drafts(b / "models")
        assert not (b / "models/tmp-pull-wren").exists()


def test_who_waited_for_a_name_holds_it_alone(b):
    has_it, may_end = threading.Event(), threading.Event()

    def wait_for_it():
        with only_one("x"):
            has_it.set()
            may_end.wait(30)

    waiting = threading.Thread(target=wait_for_it)
    with on_host(b, {}):
        with only_one("x"):
            waiting.start()
            time.sleep(0.2)  # it has opened the file that is removed when this block ends
            assert not has_it.is_set()
        assert has_it.wait(30)
        with if_free("x") as is_free:
            assert not is_free
        may_end.set()
        waiting.join()
        with if_free("x") as is_free:
            assert is_free


def test_a_name_is_held_by_one_and_leaves_no_file(b):
    with on_host(b, {}), only_one("x"):
        with if_free("x") as is_free:
            assert not is_free
        with if_free("y") as is_free:
            assert is_free
    assert list((b / "locks").iterdir()) == []


def test_an_error_of_who_holds_a_name_is_not_taken_for_a_name_that_is_held(b):
    def hold():
        with if_free("x") as is_free:
            assert is_free
            raise BlockingIOError("of its own")

    with on_host(b, {}), pytest.raises(BlockingIOError, match="of its own"):
        hold()


@pytest.mark.parametrize("name", ["../up", "/root", "a/../../b", "", "a//b", "./a", "a\\b"])
def test_a_list_that_leads_out_of_the_directory_is_none(a, b, storage, bucket, name):
    published(a, storage, weights="1234")
    (listed,) = (bucket / "index").rglob("*.json")
    told = json.loads(listed.read_text())
    told["files"] = {name: told["files"]["weights"]}
    with pytest.raises(BadIndex):
        PublishedIndex.parse(json.dumps(told).encode())
    listed.write_text(json.dumps(told))
    with on_host(b, storage), pytest.raises(StateDamaged):
        shared_state.pull(b / "models/wren")


def test_paths_outside_of_the_state_have_no_key(a, storage):
    with on_host(a, storage):
        for path in (a, a / "models", a / "models/../x", Path("/etc/passwd")):
            with pytest.raises(ValueError, match="no folder of the state"):
                shared_state.key_of(path)
        for key in ("models", "other/x", "models/../../x"):
            with pytest.raises(ValueError, match=r"state|names nothing"):
                shared_state.path_of(key)
        assert shared_state.path_of("runs/run-5/reward_model") == a / "runs/run-5/reward_model"
