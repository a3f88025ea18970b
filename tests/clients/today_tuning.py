"""Own data and fine-tune jobs as a program of today makes them; each function is a program."""

import io
import json
import sys
import time

import openai
from openai import OpenAI

client = OpenAI(_strict_response_validation=True, max_retries=0)


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def chats(count=12):
    return lines(
        {
            "messages": [
                {"role": "user", "content": f"What is {n}?"},
                {"role": "assistant", "content": f"It is {n}."},
            ]
        }
        for n in range(count)
    )


def upload(content, name="data.jsonl"):
    return client.files.create(purpose="fine-tune", file=(name, io.BytesIO(content)))


def files():
    made = [upload(chats(n), f"{n}.jsonl").id for n in (3, 4, 5, 6, 7)]
    listed = list(client.files.list(limit=2))
    assert [file.id for file in listed if file.id in made] == made[::-1], "over three pages"
    file = client.files.retrieve(made[0])
    assert (file.filename, file.status, file.bytes) == ("3.jsonl", "processed", len(chats(3)))
    assert client.files.content(made[0]).read() == chats(3)
    expiring = client.files.create(
        purpose="fine-tune",
        file=("e.jsonl", io.BytesIO(chats())),
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert expiring.expires_at == expiring.created_at + 3600
    for name in [*made, expiring.id]:
        assert client.files.delete(name).deleted


def over(job):
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.5)
        job = client.fine_tuning.jobs.retrieve(job.id)
    return job


def jobs():
    file = upload(chats())
    job = client.fine_tuning.jobs.create(
        model="gpt-3.5-turbo",
        training_file=file.id,
        suffix="numbers",
        seed=11,
        metadata={"of": "today"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}},
    )
    waiting = client.fine_tuning.jobs.create(model="davinci", training_file=file.id, hyperparameters={"n_epochs": 1})
    assert client.fine_tuning.jobs.pause(waiting.id).status == "queued"
    assert client.fine_tuning.jobs.resume(waiting.id).status == "queued"
    assert client.fine_tuning.jobs.cancel(waiting.id).status == "cancelled"
    job = over(job)
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model.startswith("ft:gpt-3.5-turbo:personal:numbers:")
    assert job.trained_tokens > 0
    assert (job.seed, job.metadata) == (11, {"of": "today"})
    assert client.files.content(job.result_files[0]).read().startswith(b"step,elapsed_tokens")
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=3))
    assert events[0].message == "Fine-tune succeeded"
    assert events[-1].message.startswith("Created fine-tune: ftjob-")
    assert len({event.id for event in events}) == len(events) > 9
    points = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [point.fine_tuned_model_checkpoint for point in points] == [job.fine_tuned_model]
    known = [one.id for one in client.fine_tuning.jobs.list(limit=1)]
    assert {job.id, waiting.id} <= set(known)
    assert [one.id for one in client.fine_tuning.jobs.list(metadata={"of": "today"})] == [job.id]
    answer = client.chat.completions.create(
        model=job.fine_tuned_model, messages=[{"role": "user", "content": "What is 3?"}], max_tokens=8, temperature=0
    )
    assert answer.model == job.fine_tuned_model
    assert client.models.retrieve(job.fine_tuned_model).id == job.fine_tuned_model
    assert client.models.delete(job.fine_tuned_model).deleted
    raised(openai.NotFoundError, lambda: client.models.retrieve(job.fine_tuned_model))


def preferences():
    file = upload(
        lines(
            {
                "input": {"messages": [{"role": "user", "content": f"What is {n}?"}]},
                "preferred_output": [{"role": "assistant", "content": f"It is {n}."}],
                "non_preferred_output": [{"role": "assistant", "content": "No."}],
            }
            for n in range(12)
        )
    )
    job = over(
        client.fine_tuning.jobs.create(
            model="davinci",
            training_file=file.id,
            method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1, "beta": 0.2}}},
        )
    )
    assert job.status == "succeeded", job.error
    assert job.method.type == "dpo"


def errors():
    bad = raised(openai.BadRequestError, lambda: upload(b'{"completion": "a"}\n?\n'))
    assert bad.param == "file"
    assert "line 2" in str(bad)
    raised(openai.NotFoundError, lambda: client.files.retrieve("file-none"))
    raised(openai.NotFoundError, lambda: client.fine_tuning.jobs.retrieve("ftjob-none"))
    unknown = raised(
        openai.NotFoundError,
        lambda: client.fine_tuning.jobs.create(model="no-such", training_file=upload(chats()).id),
    )
    assert unknown.code == "model_not_found"
    wrong = raised(openai.BadRequestError, lambda: client.fine_tuning.jobs.create(model="davinci", training_file="x"))
    assert wrong.param == "training_file"
    cursor = raised(openai.BadRequestError, lambda: list(client.files.list(after="file-none")))
    assert cursor.param == "after"


def raised(kind, act):
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
