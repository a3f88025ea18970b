"""A shared state that does not respond for a while: nothing wrong is concluded from it, and nothing stays behind."""

import errno
import hashlib
import json
import math

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts.personal import NotYet
from base import fsck as all_checks
from base import host_tidying, shared_state
from base.state_errors import StateAway
from chat import policies
from chat.choosing.source import ScorerAddress
from chat.engines.embedded import engine_for
from chat.errors import BadPolicy, PolicyAway, ScorerDown
from chat.models import Policy
from feedback.models import ComparisonRound
from fine_tuning import fine_tuned_models
from fine_tuning import fsck as fine_tuning_fsck
from fine_tuning import personal_data as training_files
from fine_tuning.data import uploads
from fine_tuning.jobs import job_directory
from fine_tuning.models import FineTune
from rlhf import fsck, lineage, personal_data
from rlhf.models import Evaluation, Run, Snapshot
from rlhf.release import promotion
from rlhf.release.decision import tensors_finite
from rlhf.release.stored_rows import stored_rows
from rlhf.runs import comparing
from rlhf.runs.fetching import _present
from rlhf.serving.source import RewardModels
from rlhf.snapshots import freezing
from tests.base.shared_hosts import AWAY, in_a_folder, on_host
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import write_policy

pytestmark = pytest.mark.django_db


@pytest.fixture
def bucket(tmp_path):
    return tmp_path / "bucket"


@pytest.fixture
def on_a(tmp_path, bucket):
    """The host that has everything."""
    return lambda: on_host(tmp_path / "a", in_a_folder(bucket))


@pytest.fixture
def on_b(tmp_path, bucket):
    """A host without copies."""
    return lambda: on_host(tmp_path / "b", in_a_folder(bucket))


@pytest.fixture
def away_on_a(tmp_path):
    return lambda: on_host(tmp_path / "a", AWAY)


@pytest.fixture
def away_on_b(tmp_path):
    return lambda: on_host(tmp_path / "b", AWAY)


@pytest.fixture
def chain(tmp_path, on_a):
    """Of a policy, and of one whose adapter changes its weights."""
    with on_a():
        wren = policies.register(write_policy(tmp_path / "a/models/wren"), name="wren", source="test")
        folder = write_policy(tmp_path / "a/models/heron", mark="heron", adapter_over="wren")
        return wren, policies.register(folder, name="heron", source="test", base=wren)


def objects(bucket):
    return [path for path in bucket.rglob("*") if path.is_file()]


def reward_model(policy):
    run = Run.objects.create(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy=policy)
    run.reward_model_path.mkdir(parents=True)
    (run.reward_model_path / "config.json").write_text("{}")
    shared_state.publish(run.reward_model_path)
    return run


def frozen_snapshot():
    feedback_rows.plenty(feedback_rows.annotator("ann"))
    with override_settings(RLHF_MINIMUM_RANKINGS=1):
        return freezing.freeze()


# --- what is not known is not taken for something else --------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        policies.fetched,
        policies.words,
        policies.has_files,
        policies.has_weights,
        policies.configuration,
        policies.served,
        policies.adapter,
        engine_for,
        lineage.adapter_root,
        tensors_finite,
        lambda policy: lineage.adapter_roots([policy]),
        lambda policy: policies.holds(policy, "policy.gguf"),
        lambda policy: _present(policy.source),
    ],
)
def test_nothing_is_concluded_about_a_policy(chain, away_on_b, asked):
    for policy in chain[1:]:
        with away_on_b(), pytest.raises(PolicyAway, match="doesn't respond"):
            asked(policy)


def test_what_cannot_be_written_here_says_nothing_about_the_policy(chain, on_b, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with on_b(), pytest.raises(PolicyAway, match="no space left"):
        policies.fetched(chain[0])


def test_what_is_missing_or_damaged_is_still_told_as_that(chain, on_b, bucket):
    for weights in (bucket / "content/models").rglob("model.safetensors"):
        weights.write_bytes(b"")
    with on_b(), pytest.raises(BadPolicy) as caught:
        policies.fetched(chain[0])
    assert not isinstance(caught.value, PolicyAway)


def test_rows_of_an_evaluation_are_not_told_as_gone(chain, away_on_b):
    run = Run.objects.create(kind=Run.Kind.EVALUATION, policy=chain[1], base_policy=chain[0])
    report = {"replies": {"file": "replies.jsonl", "sha256": hashlib.sha256(b"").hexdigest()}}
    evaluation = Evaluation.objects.create(run=run, policy=chain[1], baseline=chain[0], judge="test", report=report)
    with away_on_b(), pytest.raises(StateAway):
        stored_rows(evaluation, "replies")


def test_a_reward_model_that_cannot_be_brought_is_no_reward_model_that_is_not_there(chain, on_a, away_on_b):
    with on_a():
        reward_model(chain[1])
        assert isinstance(RewardModels().bring(chain[1]), ScorerAddress)
    with away_on_b(), pytest.raises(ScorerDown, match="doesn't respond"):
        RewardModels().bring(chain[1])


def test_a_host_with_copies_asks_nothing(chain, on_a, away_on_a):
    with on_a():
        reward_model(chain[1])
    with away_on_a():
        assert policies.words(chain[1]) == policies.fetched(chain[1])
        assert lineage.adapter_root(chain[1]) == chain[0]
        assert lineage.adapter_root(chain[0]) == chain[0]
        assert policies.served(chain[0]) is None
        assert RewardModels().bring(chain[1]) is not None


# --- nothing that removes fails, and tidying removes the rest ------------------------------------------------------


def tidied_later(monkeypatch, on_host_a):
    """What was just published may be about to get its row, so tidying leaves it for an hour."""
    with monkeypatch.context() as patched, on_host_a():
        patched.setattr(shared_state, "stored_for_s", lambda path: math.inf)
        assert host_tidying.tidy() == {}


def test_a_retired_policy_leaves_the_storage_once_it_answers(
    chain, on_a, away_on_a, bucket, monkeypatch, django_capture_on_commit_callbacks
):
    Policy.objects.filter(pk=chain[1].pk).update(owner=feedback_rows.annotator("mina"))
    with away_on_a(), django_capture_on_commit_callbacks(execute=True):
        fine_tuned_models.retire(Policy.objects.get(pk=chain[1].pk))
    assert len([path for path in objects(bucket) if "heron" in str(path)]) > 1
    tidied_later(monkeypatch, on_a)
    assert [path for path in objects(bucket) if "heron" in str(path)] == []
    assert [path for path in objects(bucket) if "wren" in str(path)] != []
    with on_a():
        assert list(fsck.shared_state_is_complete()) == []


def test_a_retired_policy_leaves_every_host_with_its_parts(chain, on_b, tmp_path):
    with on_b():
        assert policies.words(chain[1]).is_relative_to(tmp_path / "b/parts")
    Policy.objects.filter(pk=chain[1].pk).update(retired_at=timezone.now())
    with on_b():
        host_tidying.tidy()
    assert list((tmp_path / "b/parts").iterdir()) == []


def test_a_policy_that_is_fetched_anew_stays(chain, on_a, away_on_a, bucket):
    Policy.objects.filter(pk=chain[0].pk).update(retired_at=timezone.now())
    there = objects(bucket)
    with on_a():
        shared_state.publish(policies.directory(chain[0]), again=True)
        host_tidying.tidy()
    assert objects(bucket) == there


def test_no_version_is_retired_whose_weights_may_be_in_use(chain, on_b, away_on_b, settings):
    settings.RLHF_KEEP_VERSIONS = 0
    promoted = Policy.objects.create(name="robin", version=3, base=chain[1], directory="robin")
    with away_on_b():
        promotion.retire_old(promoted, None)
    assert not Policy.objects.exclude(retired_at=None).exists()
    with on_b():
        promotion.retire_old(promoted, None)
    assert list(Policy.objects.exclude(retired_at=None)) == [chain[1]]


def test_who_leaves_is_erased_once_it_is_known_what_others_use(chain, away_on_b):
    person = feedback_rows.annotator("mina")
    Policy.objects.filter(pk=chain[0].pk).update(owner=person)
    with away_on_b(), pytest.raises(NotYet):
        training_files.forget_person(person)
    assert Policy.objects.get(pk=chain[0].pk).retired_at is None
    Policy.objects.update(owner=None)
    with away_on_b():
        training_files.forget_person(person)  # without a model of theirs there is nothing to know


def test_words_leave_the_storage_once_it_answers(
    chain, on_a, away_on_a, bucket, monkeypatch, django_capture_on_commit_callbacks
):
    with on_a():
        frozen = frozen_snapshot()
        kept = freezing.freeze()
        run = Run.objects.create(kind=Run.Kind.EVALUATION, snapshot=frozen)
        run.path.mkdir(parents=True)
        (run.path / comparing.PAIRS).write_text("words")
        shared_state.hand_over(run.path / comparing.PAIRS)
        result = run.path / "result.json"
        result.write_text("{torn")
    assert kept == frozen
    with away_on_a(), django_capture_on_commit_callbacks(execute=True) as callbacks:
        Snapshot.objects.update(erased_at=timezone.now())
        paths = [frozen.path], [result], {"words"}, [run.path / comparing.PAIRS]
        personal_data._remove_files(*paths)
    assert callbacks == []
    assert not result.exists()
    assert any("pairs" in path.name for path in objects(bucket))
    tidied_later(monkeypatch, on_a)
    assert [path for path in objects(bucket) if "runs" in path.parts] == []


def test_a_snapshot_in_use_stays_and_one_without_a_row_goes(on_a, bucket, monkeypatch, tmp_path):
    with on_a():
        frozen = frozen_snapshot()
        stray = tmp_path / "a/runs/snapshots/0123"
        stray.mkdir()
        (stray / "rankings.jsonl").write_text("words")
        shared_state.publish(stray)
    tidied_later(monkeypatch, on_a)
    with on_a():
        assert not shared_state.exists(stray)
        assert freezing.problems(frozen) == []
        assert shared_state.published(frozen.path) is not None


def test_pairs_that_are_rows_by_now_are_removed(chain, on_a, away_on_a, bucket):
    with on_a():
        deadline = timezone.now()
        asked = ComparisonRound.objects.create(
            candidate=chain[1], baseline=chain[0], deadline=deadline, most_of_one=1
        )
        cycle = Run.objects.create(kind=Run.Kind.CYCLE, comparison_round=asked, state=Run.State.SUCCEEDED)
        other = Run.objects.create(kind=Run.Kind.CYCLE)
        for parent in (cycle, other):
            run = Run.objects.create(kind=Run.Kind.EVALUATION, parent=parent, stage="evaluation")
            run.path.mkdir(parents=True)
            (run.path / comparing.PAIRS).write_text("words")
            shared_state.hand_over(run.path / comparing.PAIRS)
        host_tidying.tidy()
        left = [run.pk for run in Run.objects.exclude(parent=None) if shared_state.exists(run.path / comparing.PAIRS)]
    assert left == [Run.objects.get(parent=other).pk]  # of which nobody was asked anything yet


def test_one_broken_list_keeps_nobody_s_words(chain, on_a, bucket):
    job = FineTune.objects.create(
        owner=feedback_rows.annotator("mina"), model="wren", base_policy=chain[0], finished_at=timezone.now(),
        state=FineTune.State.SUCCEEDED, training_file={},
    )  # fmt: skip
    asked = ComparisonRound.objects.create(
        candidate=chain[1], baseline=chain[0], deadline=timezone.now(), most_of_one=1
    )
    cycle = Run.objects.create(kind=Run.Kind.CYCLE, comparison_round=asked, state=Run.State.SUCCEEDED)
    runs = [Run.objects.create(kind=Run.Kind.EVALUATION, parent=cycle, stage=stage) for stage in ("first", "second")]
    with on_a():
        for path in (*(run.path / comparing.PAIRS for run in runs), job_directory.path_of(job) / "data.jsonl"):
            path.parent.mkdir(parents=True)
            path.write_text("words")
            shared_state.hand_over(path)
        for index in (bucket / "index/runs").rglob("*.json"):
            index.write_text("{")
        assert len(list(fine_tuning_fsck.lines_leave_the_shared_state())) == 1
        assert host_tidying.tidy() == {}
    assert [path for path in objects(bucket) if "runs" in path.parts] == []


@pytest.mark.parametrize("state", [FineTune.State.SUCCEEDED, FineTune.State.FAILED, None])
def test_lines_of_a_job_that_is_over_are_removed(chain, on_a, away_on_a, bucket, monkeypatch, state):
    job = FineTune.objects.create(
        owner=feedback_rows.annotator("mina"), model="wren", base_policy=chain[0], finished_at=timezone.now(),
        state=state or FineTune.State.SUCCEEDED, training_file={},
    )  # fmt: skip
    with on_a():
        folder = job_directory.path_of(job)
        folder.mkdir(parents=True)
        for name in ("training", "data.jsonl", "log.txt"):
            (folder / name).write_text("words")
            shared_state.publish(folder / name)
    with away_on_a():
        if state is None:
            job_directory.remove(job)
            job.delete()
        elif state == FineTune.State.SUCCEEDED:
            job_directory.tidy(job)
    with monkeypatch.context() as patched, on_a():
        patched.setattr(shared_state, "stored_for_s", lambda path: math.inf)
        told = {text.split()[0].rpartition("/")[2] for text in fine_tuning_fsck.lines_leave_the_shared_state()}
    tidied_later(monkeypatch, on_a)
    with on_a():
        assert list(fine_tuning_fsck.lines_leave_the_shared_state()) == []
        left = {name for name in ("training", "data.jsonl", "log.txt") if shared_state.published(folder / name)}
    assert (
        left
        == {
            FineTune.State.SUCCEEDED: {"log.txt"},
            FineTune.State.FAILED: {"training", "data.jsonl", "log.txt"},  # it may be resumed
            None: set(),
        }[state]
    )
    assert told == {"training", "data.jsonl", "log.txt"} - left


def test_a_model_of_a_job_that_is_gone_is_removed(chain, on_a, bucket, tmp_path):
    run = Run.objects.create(kind=Run.Kind.FINE_TUNE, state=Run.State.FAILED)
    with on_a():
        shared_state.publish(write_policy(fine_tuned_models.directory_of(run)))
        kept = Run.objects.create(kind=Run.Kind.FINE_TUNE, state=Run.State.FAILED)
        policies.register(write_policy(fine_tuned_models.directory_of(kept)), name="ft", source=f"run:{kept.pk}")
        host_tidying.tidy()
        assert not shared_state.exists(fine_tuned_models.directory_of(run))
        assert fine_tuned_models.directory_of(kept).is_dir()
        assert shared_state.is_stored(fine_tuned_models.directory_of(kept))
        assert shared_state.exists(policies.directory(chain[0]))


def test_a_damaged_upload_is_left_out_of_an_export(on_a, on_b, bucket):
    person = feedback_rows.annotator("mina")
    with on_a():
        for name in ("a.jsonl", "b.jsonl"):
            line = json.dumps({"prompt": name, "completion": "b"}) + "\n"
            uploads.store(person, name, [line.encode()])
    (damaged, _whole) = person.data_files.order_by("created_at", "id")
    for content in (bucket / f"content/uploads/{damaged.id}").rglob("file-*"):
        content.write_text("")
    with on_b():
        told = [fields["content"] for _name, fields in training_files.files(person)]
    assert told[0] is None
    assert "b.jsonl" in told[1]


def test_an_upload_is_deleted_while_the_storage_is_away(
    on_a, away_on_a, bucket, monkeypatch, django_capture_on_commit_callbacks
):
    with on_a():
        line = json.dumps({"prompt": "a", "completion": "b"}) + "\n"
        file = uploads.store(feedback_rows.annotator("mina"), "lines.jsonl", [line.encode()])
    with away_on_a(), django_capture_on_commit_callbacks(execute=True):
        uploads.remove(file)
    assert objects(bucket) != []
    tidied_later(monkeypatch, on_a)
    assert objects(bucket) == []


# --- fsck ----------------------------------------------------------------------------------------------------------


def test_fsck_brings_nothing_to_the_host_that_asks(chain, on_b, tmp_path):
    Policy.objects.filter(pk=chain[0].pk).update(is_live=True)
    with on_b():
        before = sorted(tmp_path.joinpath("b").rglob("*"))
        assert list(fsck.one_policy_is_live()) == []
        assert list(fsck.shared_state_is_complete()) == []
        assert sorted(tmp_path.joinpath("b").rglob("*")) == before


def test_fsck_tells_what_is_wrong_with_a_snapshot_in_the_storage(on_a, bucket):
    with on_a():
        frozen = frozen_snapshot()
        assert list(fsck.shared_state_is_complete()) == []
        rankings = frozen.path / "rankings.jsonl"
        whole = rankings.read_bytes()
        rankings.write_bytes(whole + b" ")
        shared_state.publish(frozen.path)
        rankings.write_bytes(whole)
        assert freezing.problems(frozen) == []
        assert list(fsck.shared_state_is_complete()) == [f"snapshot {frozen.pk}{fsck.OTHER_MANIFEST}"]
        shared_state.publish(frozen.path)
        (stored,) = (bucket / "content").rglob("rankings.jsonl")
        stored.write_bytes(whole.swapcase())  # as long as before
        (told,) = fsck.shared_state_is_complete()
        assert "rankings.jsonl" in told
        stored.unlink()
        (told,) = fsck.shared_state_is_complete()
        assert "rankings.jsonl" in told
        next((bucket / "index").rglob("*.json")).write_text("{")
        (told,) = fsck.shared_state_is_complete()
        assert "can't be used" in told
        shared_state.remove(frozen.path)
        assert list(fsck.shared_state_is_complete()) == [f"snapshot {frozen.pk}{fsck.NOT_STORED}"]


def test_fsck_goes_on_after_a_policy_outside_the_folder(chain, on_a, bucket):
    Policy.objects.filter(pk=chain[1].pk).update(directory="../heron")
    for content in (bucket / "content/models/wren").rglob("config.json"):
        content.unlink()
    with on_a():
        told = list(fsck.shared_state_is_complete())
    assert [text.split(":")[0] for text in told] == ["heron", "models/wren"]


def test_fsck_passes_over_a_draft_that_gets_its_name_meanwhile(on_a, tmp_path):
    with on_a():
        (tmp_path / "a/models/tmp-gone").symlink_to("nowhere")  # listed, and not there when it is looked at
        assert list(fsck.nothing_is_left_over()) == []


def test_fsck_says_what_it_could_not_look_at(chain, away_on_b):
    with away_on_b():
        (told,) = all_checks.told_by(fsck.shared_state_is_complete)
    assert told.startswith("shared state is complete: not checked to the end: The shared state doesn't respond")
