"""Ordering, carrying out and cancelling a lesson; who may, and what becomes of it when its owner leaves."""

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from accounts.personal import NotYet
from accounts.roles import Role
from fine_tuning.data import uploads
from lecture import fsck, run_kind, taught, teaching
from lecture.errors import LessonUnderWay, NoSuchText, NothingToTeach
from lecture.models import Lesson
from lecture.personal_data import forget_person
from rlhf.models import Run
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from tests.lecture.small_texts import ENGLISH, carry_out
from tests.people import make_person

pytestmark = pytest.mark.django_db
COMMAND = ("teach_lecture", "--families", "counting")


def test_the_command_teaches_with_the_real_trainer_and_has_nothing_to_do_again(home, settings, tmp_path):
    settings.RLHF_TRAINER = [sys.executable, "-m", "rlhf.training"]
    (tmp_path / "text.txt").write_text(ENGLISH)
    for _ in range(2):
        out, err = StringIO(), StringIO()
        call_command(*COMMAND, "--corpus", str(tmp_path / "text.txt"), "--json", stdout=out, stderr=err)
        assert json.loads(out.getvalue())["counting"]["models"]["kneser-ney 3"]["perplexity"] > 1
    assert "taught" in err.getvalue()
    assert Run.objects.get().kind == Run.Kind.LECTURE
    assert list(fsck.taught_models_are_there()) == []


def test_a_failed_run_says_why(home, db):
    with pytest.raises(CommandError, match="the text is empty"):
        call_command("teach_lecture", "--corpus", "nowhere", stdout=StringIO(), stderr=StringIO())


def test_unknown_models_are_named(home, db):
    with pytest.raises(CommandError, match="astrology"):
        call_command("teach_lecture", "--families", "astrology", stdout=StringIO(), stderr=StringIO())


def test_one_run_at_a_time(home):
    first = teaching.start(None, "a")
    with pytest.raises(LessonUnderWay) as caught:
        teaching.start(None, "b")
    assert caught.value.run_id == first.pk
    assert not Lesson.objects.filter(source="b").exists()


def test_a_cancelled_run_can_be_resumed(home, no_worker):
    run = teaching.start(None, "a")
    assert cycle.cancel(run, actor=None)
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    assert run.is_resumable
    cycle.resume(run, actor=None)
    cycle.drive(run.pk, Supervisor())
    run.refresh_from_db()
    assert run.error == "bad_corpus: the text is empty"


def test_what_was_taught_is_not_taught_again(teach):
    lesson = teach(ENGLISH)
    with pytest.raises(NothingToTeach):
        teaching.start(None, lesson.source, teaching.COUNTING)


def test_a_later_run_reads_the_corpus_that_is_there(teach):
    lesson = teach(ENGLISH)
    del lesson.taught_by["counting"]
    lesson.save()
    run = teaching.start(None, lesson.source)
    assert run_kind.child_config(run, 1)["corpus"] == str(taught.directory(lesson, "corpus"))


# --- who may ------------------------------------------------------------------------------------------------------


def upload(person, text=ENGLISH):
    return uploads.store(person, "own.txt", [text.replace("\n\n", "\t.\n").encode()])


def test_an_admin_orders_on_the_page(client, home, no_worker, django_capture_on_commit_callbacks):
    admin = make_person("admin", Role.ADMIN)
    client.force_login(admin)
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post("/lecture/teach/")
    run = Run.objects.get()
    assert response["Location"] == f"/training/runs/{run.pk}/"
    assert no_worker == [run.pk]
    assert AuditEntry.objects.filter(verb="run.start", actor=admin).exists()


@pytest.mark.parametrize("source", ["/etc/passwd", "pypi:other", "data:file-nobody"])
def test_nobody_types_a_path_or_a_package_into_the_page(client, home, no_worker, source):
    client.force_login(make_person("admin", Role.ADMIN))
    client.post("/lecture/teach/", {"source": source})
    assert not Run.objects.exists()


def test_a_text_of_one_s_own_is_read_by_its_owner_alone(home):
    owner, other = make_person("owner"), make_person("other")
    file = upload(owner)
    with pytest.raises(NoSuchText):
        teaching.start(other, f"data:{file.id}")
    run = teaching.start(owner, f"data:{file.id}")
    assert run_kind.child_config(run, 1)["source"] == str(file.path)
    assert taught.for_reader(owner).count() == 1
    assert taught.for_reader(other).count() == 0


def test_who_leaves_takes_the_models_of_their_text_along(home, django_capture_on_commit_callbacks):
    owner = make_person("owner")
    file = upload(owner)
    run = teaching.start(owner, f"data:{file.id}", teaching.COUNTING)
    with pytest.raises(NotYet):
        forget_person(owner)
    carry_out(run, file.path)
    assert (taught.output_of(run) / "counting").is_dir()
    with django_capture_on_commit_callbacks(execute=True):
        forget_person(owner)
    assert not Lesson.objects.exists()
    assert list(taught.output_of(run).iterdir()) == []


# --- fsck ---------------------------------------------------------------------------------------------------------


def test_fsck_finds_a_changed_and_a_missing_file(teach):
    lesson = teach(ENGLISH)
    assert list(fsck.taught_models_are_there()) == []
    Path(taught.directory(lesson, "counting") / taught.COUNTS).write_bytes(b"changed")
    assert "differs from the manifest" in next(iter(fsck.taught_models_are_there()))
    lesson.taught_by["corpus"] = 10_000
    lesson.save()
    assert any("does not exist" in text for text in fsck.taught_models_are_there())


# --- floors -------------------------------------------------------------------------------------------------------


def test_a_missed_floor_ends_the_command_with_1(teach):
    lesson = teach(ENGLISH)
    models = lesson.figures["counting"]["models"]
    models["kneser-ney 3"]["perplexity"] = 47.1
    lesson.save()
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command(*COMMAND, "--corpus", lesson.source, "--floors", "--json", stdout=out, stderr=StringIO())
    assert caught.value.returncode == 1
    assert json.loads(out.getvalue())["missed"] == ["perplexity of kneser-ney 3"]
    models["kneser-ney 3"]["perplexity"] = 47.0
    lesson.save()
    call_command(*COMMAND, "--corpus", lesson.source, "--floors", "--json", stdout=StringIO(), stderr=StringIO())
