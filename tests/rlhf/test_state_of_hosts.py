"""What the site makes on one host is had by another: policies, snapshots, uploads, and what is removed."""

import hashlib
import os
import shutil
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from base import host_tidying, shared_state
from chat import policies
from chat.engines.embedded import engine_for
from chat.engines.llamacpp import GGUF, LlamaCppEngine
from chat.engines.transformers import TransformersEngine
from chat.errors import BadPolicy, ScorerDown
from chat.models import Policy
from feedback.judgements import anonymity
from fine_tuning.data import uploads
from fine_tuning.models import DataFile
from rlhf import fsck, lineage
from rlhf.errors import CannotPromote
from rlhf.models import Run
from rlhf.personal_data import _remove_files
from rlhf.release import promotion
from rlhf.serving.source import RewardModels
from rlhf.snapshots import freezing
from tests.base.shared_hosts import in_a_folder, on_host
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import spoil_last_weight, write_policy

pytestmark = pytest.mark.django_db


class Hosts:
    def __init__(self, folder):
        self.a, self.b, self.bucket = folder / "a", folder / "b", folder / "bucket"
        self.storage = in_a_folder(self.bucket)

    def on_a(self):
        return on_host(self.a, self.storage)

    def on_b(self):
        return on_host(self.b, self.storage)


@pytest.fixture
def hosts(tmp_path):
    return Hosts(tmp_path)


def registered(hosts, name="wren", **more):
    with hosts.on_a():
        path = write_policy(hosts.a / "models" / name, mark=name, **more)
        base = Policy.objects.filter(name="wren").first()
        return policies.register(path, name=name, source="test", base=base)


def test_a_policy_is_brought_and_held_against_its_row(hosts):
    policy = registered(hosts)
    with hosts.on_b():
        assert policies.verify(policies.fetched(policy)) == policy.manifest_sha256
    assert sorted(path.name for path in (hosts.b / "models").iterdir()) == ["wren"]


@pytest.mark.parametrize("has_file", [True, False])
def test_a_host_without_a_copy_chooses_the_engine_by_what_is_shared(hosts, has_file):
    policy = registered(hosts, more={GGUF: b"GGUF"} if has_file else {})
    with hosts.on_a():
        made = type(engine_for(policy))
    assert made is (LlamaCppEngine if has_file else TransformersEngine)
    with hosts.on_b():
        assert type(engine_for(policy)) is made
        assert not (hosts.b / "models" / "wren").exists()


def test_another_policy_under_the_same_name_in_the_storage_is_refused(hosts):
    policy = registered(hosts)
    with hosts.on_a():
        spoil_last_weight(hosts.a / "models/wren", b"\x80\x40")
        shared_state.publish(hosts.a / "models/wren")
        told = list(fsck.shared_state_is_complete())
    assert told == ["wren: the shared state has another manifest than the one that was registered"]
    with hosts.on_b(), pytest.raises(BadPolicy, match=r"manifest.json is missing or is not what was published"):
        policies.fetched(policy)
    with hosts.on_b(), pytest.raises(CannotPromote, match=r"publish_state --again models/wren"):
        promotion.check_directory(policy)
    assert list((hosts.b / "models").iterdir()) == []


def test_a_policy_that_is_promoted_elsewhere_is_brought_and_read_whole(hosts):
    registered(hosts)
    bad = registered(hosts, "nan", weights=b"\x80\x3f" * 7 + b"\xc0\x7f")
    with hosts.on_b():
        promotion.check_directory(Policy.objects.get(name="wren"))
        with pytest.raises(CannotPromote, match="not finite"):
            promotion.check_directory(bad)


def test_pages_read_a_policy_that_is_not_here(hosts):
    registered(hosts)
    heron = registered(hosts, "heron", adapter_over="wren")
    with hosts.on_b():
        adapter = policies.adapter(heron)
        assert adapter is not None
        assert (adapter.base, adapter.rank, adapter.layers) == ("wren", 16, [2, 3])
        assert adapter.size_bytes == (hosts.a / "models/heron/adapter/adapter_model.safetensors").stat().st_size
        assert lineage.adapter_root(heron).name == "wren"
        assert policies.has_weights(heron)
        assert anonymity._configured(heron) == ["llama"]
        assert (policies.words(heron) / "config.json").is_file()
        assert not (policies.words(heron) / "model.safetensors").exists()
    assert list((hosts.b / "models").iterdir()) == []


def test_fsck_tells_what_only_one_host_has(hosts):
    registered(hosts)
    shutil.rmtree(hosts.bucket)
    with hosts.on_a():
        assert list(fsck.shared_state_is_complete()) == ["wren is not in the shared state: manage.py publish_state"]
        call_command("publish_state", verbosity=0)
        assert list(fsck.shared_state_is_complete()) == []
    with on_host(hosts.a, {}):
        assert list(fsck.shared_state_is_complete()) == []
        with pytest.raises(CommandError, match="CHAMSAE_SHARED_STATE is empty"):
            call_command("publish_state", verbosity=0)


def test_a_retired_policy_leaves_the_storage_at_once_and_other_hosts_by_its_row(hosts):
    policy = registered(hosts)
    with hosts.on_b():
        policies.fetched(policy)
    with hosts.on_a():
        shared_state.remove(policies.directory(policy))
    assert [path for path in hosts.bucket.rglob("*") if path.is_file()] == []
    with hosts.on_b():
        host_tidying.tidy()
        assert policies.directory(policy).exists()
        Policy.objects.filter(pk=policy.pk).update(retired_at=timezone.now())
        assert list(fsck.shared_state_is_complete()) == []
        host_tidying.tidy()
        assert not policies.directory(policy).exists()


def test_a_copy_that_came_after_its_policy_was_retired_leaves_the_host_within_hours(hosts):
    policy = registered(hosts)
    retired_at = timezone.now() - timedelta(hours=3)
    Policy.objects.filter(pk=policy.pk).update(retired_at=retired_at)
    with hosts.on_b():
        copy = shared_state.pull(policies.directory(policy))
        host_tidying.tidy()
        assert copy.exists()  # it may be about to get its row back
        os.utime(copy, (retired_at.timestamp() + 60,) * 2)
        host_tidying.tidy()
        assert not copy.exists()


def test_a_snapshot_of_one_host_is_the_same_on_another(hosts, settings):
    settings.RLHF_MINIMUM_RANKINGS = 1
    feedback_rows.plenty(feedback_rows.annotator("ann"))
    with hosts.on_a():
        frozen = freezing.freeze()
    with hosts.on_b():
        assert freezing.problems(frozen) == []
        assert not frozen.path.exists()
        assert freezing.freeze(frozen.until) == frozen
        files = shared_state.pull(frozen.path)
        assert freezing.problems(frozen) == []
        (changed,) = list(files.glob("*.json*"))[:1]
        changed.write_bytes(changed.read_bytes() + b" ")
        assert freezing.problems(frozen) != []


def test_an_erased_snapshot_leaves_no_file_on_any_host(hosts, settings):
    settings.RLHF_MINIMUM_RANKINGS = 1
    feedback_rows.plenty(feedback_rows.annotator("ann"))
    with hosts.on_a():
        frozen = freezing.freeze()
    with hosts.on_b():
        shared_state.pull(frozen.path)
    frozen.erased_at = timezone.now()
    frozen.save()
    with hosts.on_a():
        assert freezing.problems(frozen) != []
        _remove_files([frozen.path], [], [], [])
        assert freezing.problems(frozen) == []
    with hosts.on_b():
        assert freezing.problems(frozen) != []
        quoting = Run.objects.create(kind=Run.Kind.EVALUATION, state=Run.State.SUCCEEDED, snapshot=frozen)
        other = Run.objects.create(kind=Run.Kind.EVALUATION, state=Run.State.SUCCEEDED)
        for run in (quoting, other):
            run.path.mkdir()
            (run.path / "result.json").write_text('{"samples": [{"prompt": "words"}]}')
        host_tidying.tidy()
        assert freezing.problems(frozen) == []
        assert not (quoting.path / "result.json").exists()
        assert (other.path / "result.json").exists()


def test_the_scorer_gets_a_reward_model_that_another_host_trained(hosts):
    policy = registered(hosts)
    with hosts.on_a():
        run = Run.objects.create(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy=policy)
        run.reward_model_path.mkdir(parents=True)
        (run.reward_model_path / "config.json").write_text("{}")
        assert list(fsck.shared_state_is_complete()) != []
        shared_state.publish(run.reward_model_path)
        assert list(fsck.shared_state_is_complete()) == []
    with hosts.on_b():
        asked = RewardModels().scorer_for(policy)
        assert asked is not None
        assert not run.path.exists()
        brought = RewardModels().bring(policy)
        assert brought is not None
        assert brought.directory == str(run.reward_model_path)
        assert (run.reward_model_path / "config.json").is_file()
        assert brought.policies == (str(hosts.b / "models/wren"),)


def test_without_its_files_a_reward_model_scores_nothing(hosts):
    policy = registered(hosts)
    with hosts.on_a():
        run = Run.objects.create(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy=policy)
        run.reward_model_path.mkdir(parents=True)
        (run.reward_model_path / "config.json").write_text("{}")
        shared_state.publish(run.reward_model_path)
    next((hosts.bucket / "content/runs").rglob("config.json")).write_text("[]")
    with hosts.on_b(), pytest.raises(ScorerDown, match="can't be used"):
        RewardModels().bring(policy)


def test_an_upload_is_read_and_deleted_on_another_host(hosts, django_capture_on_commit_callbacks):
    person = feedback_rows.annotator("ann")
    content = b'{"prompt": "a", "completion": "b"}\n'
    with hosts.on_a():
        file = uploads.store(person, "lines.jsonl", [content])
    with hosts.on_b():
        assert hashlib.sha256(file.fetched().read_bytes()).hexdigest() == file.sha256
        with django_capture_on_commit_callbacks(execute=True):
            uploads.remove(DataFile.objects.get(pk=file.pk))
    assert [path for path in hosts.bucket.rglob("*") if path.is_file()] == []
    with hosts.on_a():
        uploads.remove_strays(older_than_s=-1)
        assert list((hosts.a / "uploads").iterdir()) == []


def test_bytes_that_stayed_in_the_storage_without_a_row_are_removed(hosts):
    person = feedback_rows.annotator("ann")
    with hosts.on_a():
        kept = uploads.store(person, "lines.jsonl", [b'{"prompt": "a", "completion": "b"}\n'])
        stray = hosts.a / "uploads/file-stray"
        stray.write_bytes(b"x")
        shared_state.publish(stray)
        uploads.remove_strays()
        assert shared_state.exists(stray)  # its row may be about to come
        uploads.remove_strays(older_than_s=-1)
        assert not shared_state.exists(stray)
        assert kept.fetched().is_file()


def test_a_policy_that_was_retired_while_the_storage_was_away_is_told(hosts):
    policy = registered(hosts)
    Policy.objects.filter(pk=policy.pk).update(retired_at=timezone.now())
    with hosts.on_a():
        assert list(fsck.shared_state_is_complete()) == ["wren was retired, but the shared state has it"]
