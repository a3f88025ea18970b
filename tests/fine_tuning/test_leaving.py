"""Who leaves takes files, jobs and models along; what a group uses stays and is nobody else's."""

import io
import json
import zipfile

import pytest
from django.contrib.auth.models import Group

from accounts import takeout
from accounts.personal import NotYet
from chat.models import Policy
from fine_tuning import fsck, personal_data
from fine_tuning.data import uploads
from fine_tuning.jobs import job_directory, lifecycle
from fine_tuning.jobs.lifecycle import Order
from fine_tuning.models import DataFile, FineTune
from rlhf.models import Run
from tests.fine_tuning.training_files import pairs
from tests.fine_tuning.worker import drive

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


@pytest.fixture
def made(person, base, no_worker):
    def make(group=None, *, finish=True):
        file = uploads.store(person, "a.jsonl", [pairs(20).encode()])
        order = Order(person=person, model="base", policy=base, training=file, hyperparameters={"n_epochs": 1})
        job = lifecycle.create(order)
        FineTune.objects.filter(pk=job.pk).update(group=group)
        if finish:
            drive(no_worker)
        return FineTune.objects.select_related("policy", "run").get(pk=job.pk)

    return make


def test_nothing_is_left(person, made, left_behind, settings):
    job = made()
    personal_data.forget_person(person)
    assert not FineTune.objects.exists()
    assert not DataFile.objects.exists()
    assert left_behind() == []
    assert not job_directory.path_of(job).exists()
    assert not (settings.MODELS_DIR / job.policy.directory).exists()
    assert Policy.objects.get(pk=job.policy.pk).retired_at is not None
    assert Run.objects.get(pk=job.run.pk).result == {}
    assert list(fsck.files_have_rows()) == []


def test_weights_that_never_became_a_model_go_too(person, made, settings):
    job = made()
    folder = settings.MODELS_DIR / job.policy.directory
    Policy.objects.filter(pk=job.policy.pk).update(directory="elsewhere")
    FineTune.objects.filter(pk=job.pk).update(policy=None)
    personal_data.forget_person(person)
    assert not folder.exists()


def test_what_a_group_uses_stays_and_is_nobody_else_s(person, made, stranger, settings):
    from chat import policies

    group = Group.objects.create(name="islanders")
    kept = made(group).policy
    personal_data.forget_person(person)
    kept.refresh_from_db()
    assert (kept.retired_at, kept.group) == (None, group)
    assert (settings.MODELS_DIR / kept.directory).exists()
    assert kept not in policies.visible_to(stranger)


def test_files_are_taken_along(person, made):
    made()
    target = io.BytesIO()
    takeout.write(person, target)
    with zipfile.ZipFile(target) as archive:
        names = [name for name in archive.namelist() if name.startswith("data/")]
        found = {told["filename"]: told["content"] for told in (json.loads(archive.read(name)) for name in names)}
    assert found["a.jsonl"] == pairs(20)
    assert found["step_metrics.csv"].startswith("step,")


def test_a_job_under_way_is_cancelled_and_waited_for(person, made, no_worker):
    job = made(finish=False)
    Run.objects.filter(pk=job.run.pk).update(state=Run.State.RUNNING, owner="somebody")
    with pytest.raises(NotYet):
        personal_data.forget_person(person)
    Run.objects.filter(pk=job.run.pk).update(state=Run.State.CANCELLED, owner="")
    personal_data.forget_person(person)
    assert not FineTune.objects.exists()
