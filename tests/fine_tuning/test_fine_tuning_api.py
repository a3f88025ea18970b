"""Both APIs of fine-tuning over HTTP: shapes, pages, refusals with their fields, the stream of events to its end."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from accounts import keys
from api.schemas.fine_tuning import Job, JobCheckpoint, JobEvent, LegacyJob
from chat import policies
from fine_tuning.jobs import lifecycle
from fine_tuning.models import FineTune
from metering.models import Price
from rlhf.models import Run
from tests.fine_tuning.model_configs import TINY
from tests.fine_tuning.training_files import jsonl, pairs
from tests.fine_tuning.worker import drive
from tests.rlhf.policy_directories import write_policy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "base")]


@pytest.fixture(autouse=True)
def _names(db):
    """The rows of the first migrations are gone after the first test that empties the tables."""
    from api.models import Alias

    for name in ("davinci", "curie"):
        Price.objects.update_or_create(model=name, defaults={"training": 30_000})
        Alias.objects.get_or_create(name=name)


@pytest.fixture
def file(api):
    return api.upload(pairs()).json()["id"]


def error_of(response, status):
    assert response.status_code == status, response.content
    return response.json()["error"]


def create(api, file, **fields):
    response = api.post("fine_tuning/jobs", {"model": "davinci", "training_file": file, **fields})
    assert response.status_code == 200, response.content
    return response.json()


# --- today's ------------------------------------------------------------------------------------------------------


def test_a_job_from_its_order_to_its_model(api, file, no_worker):
    given = {"n_epochs": 2, "batch_size": "auto"}
    job = create(api, file, seed=11, suffix="My Island!", metadata={"a": "b"},
                 method={"type": "supervised", "supervised": {"hyperparameters": given}})  # fmt: skip
    assert (job["status"], job["fine_tuned_model"], job["result_files"], job["seed"]) == ("queued", None, [], 11)
    assert Job.model_validate(job, strict=True)
    drive(no_worker)
    job = api.get(f"fine_tuning/jobs/{job['id']}").json()
    assert job["status"] == "succeeded"
    assert job["fine_tuned_model"].startswith("ft:davinci:personal:my-island:")
    assert job["hyperparameters"] == {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 1.0}
    assert job["trained_tokens"] > 0
    assert job["error"] is None
    results = api.get(f"files/{job['result_files'][0]}/content")
    assert b"".join(results.streaming_content).startswith(b"step,elapsed_tokens,elapsed_examples,training_loss")
    points = api.get(f"fine_tuning/jobs/{job['id']}/checkpoints").json()["data"]
    assert [JobCheckpoint.model_validate(one).fine_tuned_model_checkpoint for one in points] == [
        job["fine_tuned_model"]
    ]


def test_events_page_newest_first_and_end(api, file, no_worker):
    job = create(api, file, hyperparameters={"n_epochs": 2})
    drive(no_worker)
    seen, after = [], ""
    for _ in range(20):
        page = api.get(f"fine_tuning/jobs/{job['id']}/events?limit=4{after}").json()
        seen += page["data"]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    newest, *_ = [JobEvent.model_validate(one) for one in seen]
    assert newest.message == "Fine-tune succeeded"
    assert len({one["id"] for one in seen}) == len(seen) == FineTune.objects.get().events.count()
    metrics = [one for one in seen if one["type"] == "metrics"]
    assert [one["data"]["step"] for one in metrics] == list(range(10, 0, -1))
    assert api.get(f"fine_tuning/jobs/{job['id']}/events?after=nobody").json()["error"]["param"] == "after"


def test_the_client_of_2023_that_asks_without_a_cursor_is_told_all_at_once(api, file, no_worker):
    job = create(api, file, hyperparameters={"n_epochs": 4})
    drive(no_worker)
    old = {"user-agent": "OpenAI/v1 PythonBindings/0.27.10"}
    page = api.get(f"fine_tuning/jobs/{job['id']}/events", headers=old).json()
    assert (len(page["data"]), page["has_more"]) == (FineTune.objects.get().events.count(), False)
    assert api.get(f"fine_tuning/jobs/{job['id']}/events").json()["has_more"] is True


def test_the_list_pages_and_filters_by_metadata(api, file, no_worker, theirs):
    made = [create(api, file, metadata={"n": str(n % 2)})["id"] for n in range(5)]
    page = api.get("fine_tuning/jobs?limit=2").json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (made[:2:-1], True)
    page = api.get(f"fine_tuning/jobs?limit=9&after={page['last_id']}").json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (made[2::-1], False)
    assert [one["id"] for one in api.get("fine_tuning/jobs?metadata[n]=1").json()["data"]] == [made[3], made[1]]
    assert theirs.get("fine_tuning/jobs").json()["data"] == []
    assert error_of(theirs.get(f"fine_tuning/jobs/{made[0]}"), 404)["type"] == "invalid_request_error"


def test_cancel_pause_and_resume(api, file, no_worker):
    job = create(api, file)["id"]
    paused = api.client.post(f"/v1/fine_tuning/jobs/{job}/pause").json()
    assert (paused["status"], paused["is_paused"]) == ("queued", True)
    assert api.client.post(f"/v1/fine_tuning/jobs/{job}/resume").json()["is_paused"] is False
    assert api.client.post(f"/v1/fine_tuning/jobs/{job}/cancel").json()["status"] == "cancelled"
    for verb in ("cancel", "pause", "resume"):
        assert error_of(api.client.post(f"/v1/fine_tuning/jobs/{job}/{verb}"), 400)["code"] == "invalid_state"


def test_who_resumes_too_soon_is_told_when_to_ask_again(api, file, no_worker):
    job = create(api, file)["id"]
    Run.objects.update(state=Run.State.RUNNING)  # a trainer has it, and needs a moment for its checkpoint
    assert api.client.post(f"/v1/fine_tuning/jobs/{job}/pause").json()["is_paused"] is True
    response = api.client.post(f"/v1/fine_tuning/jobs/{job}/resume")
    assert error_of(response, 409)["code"] == "still_stopping"
    assert response["Retry-After"] == "5"
    Run.objects.update(state=Run.State.CANCELLED)
    assert api.client.post(f"/v1/fine_tuning/jobs/{job}/resume").json()["is_paused"] is False


OTHER_GRADER = {"type": "string_check", "name": "x", "input": "a", "reference": "b", "operation": "eq"}


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "no-such"}, 404, "model"),
        ({"training_file": "file-none"}, 400, "training_file"),
        ({"training_file": 3}, 400, "training_file"),
        ({"validation_file": "file-none"}, 400, "validation_file"),
        ({"hyperparameters": {"n_epochs": 0}}, 400, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 1.5}}, 400, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"speed": 1}}, 400, "hyperparameters.speed"),
        ({"method": {"type": "magic"}}, 400, "method.type"),
        ({"method": {"type": "dpo"}}, 400, "training_file"),
        ({"method": {"type": "reinforcement", "reinforcement": {"grader": OTHER_GRADER}}}, 400, "grader"),
        ({"method": {"type": "reinforcement"}}, 400, "method"),
        ({"seed": -1}, 400, "seed"),
        ({"scope": "soul"}, 400, "scope"),
        ({"integrations": [{"type": "wandb"}]}, 400, "integrations"),
        ({"metadata": {"a": 1}}, 400, "metadata.a"),
        ({"what": 1}, 400, "what"),
    ],
)
def test_what_is_wrong_is_named(api, file, fields, status, param):
    body = {"model": "davinci", "training_file": file, **fields}
    assert error_of(api.post("fine_tuning/jobs", body), status)["param"] == param
    assert not FineTune.objects.exists()


def test_weights_that_cannot_be_trained_are_no_scope(api, file, base):
    write_policy(policies.directory(base), config={**TINY, "model_type": "qwen3"})
    told = error_of(api.post("fine_tuning/jobs", {"model": "base", "training_file": file, "scope": "blocks"}), 400)
    assert (told["param"], told["code"]) == ("scope", "scope_not_possible")


def test_the_grader_that_a_job_tells_may_be_sent_back(api, file, no_worker, base):
    judge = Run.objects.create(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy=base)
    (judge.path / "reward_model").mkdir(parents=True)
    told = create(api, file, method={"type": "reinforcement"})["method"]
    assert "reward model" in told["reinforcement"]["grader"]["name"]
    again = create(api, file, method={**told, "reinforcement": {"grader": told["reinforcement"]["grader"]}})
    assert again["method"] == told


def test_somebody_else_s_file_is_no_file(api, theirs):
    stolen = theirs.upload(pairs()).json()["id"]
    body = {"model": "davinci", "training_file": stolen}
    assert error_of(api.post("fine_tuning/jobs", body), 400)["param"] == "training_file"


def test_lines_that_teach_nothing_are_named(api):
    file = api.upload(jsonl({"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": ""})).json()["id"]
    error = error_of(api.post("fine_tuning/jobs", {"model": "davinci", "training_file": file}), 400)
    assert error["param"] == "training_file"
    assert "line 2" in error["message"]


def test_a_client_that_asks_again_gets_the_same_job(api, file, no_worker):
    body = {"model": "davinci", "training_file": file}
    first = api.post("fine_tuning/jobs", body).json()["id"]
    again = {"x-stainless-retry-count": "1"}
    assert api.post("fine_tuning/jobs", body, headers=again).json()["id"] == first
    assert api.post("fine_tuning/jobs", body, headers={"x-stainless-retry-count": "0"}).json()["id"] != first


def test_a_spent_budget_is_told_as_openai_tells_it(api, file, person):
    from metering.models import Budget

    Budget.objects.create(user=person, limit=0, period="total")
    response = api.post("fine_tuning/jobs", {"model": "davinci", "training_file": file})
    error = error_of(response, 429)
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert int(response["Retry-After"]) > 0


# --- of 2023 ------------------------------------------------------------------------------------------------------


def legacy(api, file, **fields):
    response = api.post("fine-tunes", {"training_file": file, "model": "davinci", **fields})
    assert response.status_code == 200, response.content
    return response.json()


def test_a_job_of_2023(api, file, no_worker):
    job = legacy(api, file, n_epochs=2, suffix="X y")
    assert LegacyJob.model_validate(job, strict=True)
    assert (job["status"], job["hyperparams"]["n_epochs"], job["training_files"][0]["id"]) == ("pending", 2, file)
    assert job["events"][0]["message"] == f"Created fine-tune: {job['id']}"
    drive(no_worker)
    told = api.get(f"fine-tunes/{job['id']}").json()
    assert told["status"] == "succeeded"
    assert told["fine_tuned_model"].startswith("davinci:ft-personal:x-y-2")
    assert told["result_files"][0]["purpose"] == "fine-tune-results"
    assert [one["id"] for one in api.get("fine-tunes").json()["data"]] == [job["id"]]
    assert "events" not in api.get("fine-tunes").json()["data"][0]
    assert api.get(f"fine_tuning/jobs/{job['id']}").json()["id"] == job["id"].replace("ft-", "ftjob-", 1)


def test_its_default_model_is_curie(api, file, no_worker):
    response = api.post("fine-tunes", {"training_file": file})
    assert response.json()["model"] == "curie"


def test_it_is_cancelled_and_deleted(api, file, no_worker):
    job = legacy(api, file)["id"]
    assert error_of(api.delete(f"fine-tunes/{job}"), 400)["code"] == "invalid_state"
    assert api.client.post(f"/v1/fine-tunes/{job}/cancel").json()["status"] == "cancelled"
    assert api.delete(f"fine-tunes/{job}").json() == {"id": job, "object": "fine-tune", "deleted": True}
    assert api.get(f"fine-tunes/{job}").status_code == 404


def test_all_events_at_once(api, file, no_worker):
    job = legacy(api, file, n_epochs=1)["id"]
    drive(no_worker)
    told = api.get(f"fine-tunes/{job}/events").json()
    assert [one["message"] for one in told["data"]][-1] == "Fine-tune succeeded"
    assert {one["object"] for one in told["data"]} == {"fine-tune-event"}
    assert error_of(api.get(f"fine-tunes/{job}/events?stream=maybe"), 400)["param"] == "stream"


async def test_the_stream_replays_follows_and_ends_when_the_job_is_over(api, file, no_worker, monkeypatch, person):
    monkeypatch.setattr("api.views.legacy_fine_tunes.POLL_S", 0.02)
    job = await sync_to_async(legacy)(api, file, n_epochs=2)
    _, secret = await sync_to_async(keys.make)(person, "stream")
    response = await streamed(job, secret)
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    frames = aiter(response.streaming_content)
    async with asyncio.timeout(60):
        first = [await anext(frames) for _ in range(3)]
    assert [message_of(frame) for frame in first][-1] == "Fine-tune enqueued. Queue number: 0"
    waiting = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0.1)
    assert not waiting.done(), "the stream is open while the job is not over"
    await sync_to_async(drive)(no_worker)
    assert await sync_to_async(how_it_ended)() == (FineTune.State.SUCCEEDED, Run.State.SUCCEEDED, "")
    async with asyncio.timeout(60):
        rest = [await waiting, *[frame async for frame in frames]]
    assert [message_of(frame) for frame in rest[:-1]] == [
        "Fine-tune started",
        "Completed epoch 1/2",
        "Completed epoch 2/2",
        *(one.message for one in await last_two(job)),
        "Fine-tune succeeded",
    ]
    assert rest[-1] == b"data: [DONE]\n\n"


def how_it_ended():
    """Of the only job: its state, that of its run, and the run's error."""
    job = FineTune.objects.select_related("run").get()
    return job.state, job.run and job.run.state, job.run and job.run.error


async def streamed(job, secret):
    path = f"/v1/fine-tunes/{job['id']}/events?stream=true"
    return await AsyncClient().get(path, headers={"authorization": f"Bearer {secret}"})


def message_of(frame):
    assert frame.startswith(b"data: {")
    assert frame.endswith(b"}\n\n")
    assert frame.count(b"\n") == 2
    return json.loads(frame[6:])["message"]


@sync_to_async
def last_two(job):
    return list(FineTune.objects.get().events.filter(kind="message").order_by("-seq")[1:3])[::-1]


async def test_a_stream_that_is_silent_for_long_says_something(api, file, no_worker, monkeypatch, person):
    monkeypatch.setattr("api.views.legacy_fine_tunes.POLL_S", 0.01)
    monkeypatch.setattr("api.views.legacy_fine_tunes.SILENT_S", 0.05)
    job = await sync_to_async(legacy)(api, file)
    _, secret = await sync_to_async(keys.make)(person, "stream")
    response = await streamed(job, secret)
    frames = aiter(response.streaming_content)
    told = [message_of(await anext(frames)) for _ in range(4)]
    assert told[-1] == "Still waiting. Queue number: 0"
    await sync_to_async(lifecycle.cancel)(await sync_to_async(FineTune.objects.get)())
    assert [frame async for frame in frames][-1] == b"data: [DONE]\n\n"
