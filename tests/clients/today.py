"""What a program of today does, run in an environment with today's `openai`; each function is a program."""

import io
import os
import sys
import time

import openai
from openai import OpenAI

client = OpenAI(_strict_response_validation=True, max_retries=0)
HI = [{"role": "user", "content": "Hi"}]


def models():
    listed = [model.id for model in client.models.list()]
    assert {"live", "scripted", "davinci", "gpt-3.5-turbo"} <= set(listed), listed
    for name in listed:
        assert client.models.retrieve(name).id == name


def chat():
    answer = client.chat.completions.create(model="live", messages=HI)
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")
    again = client.chat.completions.create(model="gpt-3.5-turbo", messages=HI)
    assert again.model == "gpt-3.5-turbo"
    assert again.choices[0].message.content == choice.message.content


def chat_with_every_parameter():
    answer = client.chat.completions.create(
        model="live",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "me"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Go on."},
        ],
        n=2,
        temperature=0.5,
        top_p=0.9,
        seed=1,
        stop=["zzz", "yyy"],
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        max_completion_tokens=5,
        logprobs=True,
        top_logprobs=3,
        user="me",
        store=False,
        metadata={"a": "b"},
        response_format={"type": "text"},
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.finish_reason for choice in answer.choices} == {"length"}
    for choice in answer.choices:
        content = choice.logprobs.content
        assert "".join(entry.token for entry in content) == choice.message.content
        assert bytes(b for entry in content for b in entry.bytes).decode() == choice.message.content
        assert all(len(entry.top_logprobs) == 3 for entry in content)


def chat_stream():
    whole = client.chat.completions.create(model="live", messages=HI)
    text, reasons, usage = "", [], []
    with client.chat.completions.create(
        model="live", messages=HI, stream=True, stream_options={"include_usage": True}
    ) as stream:
        for chunk in stream:
            usage += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasons += [choice.finish_reason] if choice.finish_reason else []
    assert text == whole.choices[0].message.content
    assert reasons == ["stop"]
    assert usage == [whole.usage]


def chat_stream_helper():
    with client.chat.completions.stream(model="live", messages=HI) as stream:
        kinds = {event.type for event in stream}
        assert "content.delta" in kinds, kinds
        assert stream.get_final_completion().choices[0].message.content


def completions():
    answer = client.completions.create(
        model="davinci",
        prompt=["Once", "Twice"],
        n=2,
        best_of=3,
        max_tokens=4,
        temperature=0,
        top_p=1,
        seed=3,
        logprobs=2,
        stop=["zzz"],
        presence_penalty=0,
        frequency_penalty=0,
        user="me",
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage.completion_tokens == 2 * 3 * 4
    for choice in answer.choices:
        told = choice.logprobs
        assert len({len(told.tokens), len(told.token_logprobs), len(told.top_logprobs), len(told.text_offset)}) == 1
    echoed = client.completions.create(model="davinci", prompt="Once upon", echo=True, max_tokens=2)
    assert echoed.choices[0].text.startswith("Once upon ")


def completions_stream():
    loose = OpenAI(max_retries=0)  # OpenAI's own types refuse the nulls that OpenAI sends
    whole = loose.completions.create(model="live", prompt="Once", max_tokens=8)
    chunks = list(
        loose.completions.create(
            model="live", prompt="Once", max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage


def pages():
    made = [client.files.create(purpose="fine-tune", file=(f"page-{k}.jsonl", one_line(k))).id for k in range(5)]
    try:
        asked = []
        pages = client.files.list(limit=2, order="asc", purpose="fine-tune").iter_pages()
        for page in pages:
            asked.append([file.id for file in page.data])
        found = [name for page in asked for name in page]
        assert [name for name in found if name in made] == made, (found, made)
        assert len(found) == len(set(found))
        assert len([page for page in asked if page]) >= 3, asked
        assert client.files.content(made[0]).read() == one_line(0).getvalue()
    finally:
        for name in made:
            assert client.files.delete(name).deleted


def one_line(number):
    return io.BytesIO(b'{"prompt": "What is %d ->", "completion": " It is %d.\\n"}\n' % (number, number))


def errors():
    raised(openai.BadRequestError, 400, lambda: ask(temperature=3), param="temperature")
    raised(openai.NotFoundError, 404, lambda: ask(model="no-such"), param="model", code="model_not_found")
    raised(openai.PermissionDeniedError, 403, lambda: client.models.delete("scripted"))
    stranger = client.with_options(api_key="sk-wrong")
    raised(openai.AuthenticationError, 401, lambda: stranger.models.list(), code="invalid_api_key")
    raised(openai.NotFoundError, 404, lambda: client.get("/nothing", cast_to=object))
    big = "x" * 3_000_000
    raised(openai.APIStatusError, 413, lambda: ask(messages=[{"role": "user", "content": big}]))
    raised(openai.InternalServerError, 503, lambda: ask(model="broken"))
    raised(openai.InternalServerError, 503, lambda: list(ask(model="broken", stream=True)))
    admins_only = "/organization/costs?start_time=0"
    raised(openai.PermissionDeniedError, 403, lambda: client.get(admins_only, cast_to=object))


def limited():
    """With a key that is always answered 429: retried as often as the client was told to, then raised."""
    raised(openai.RateLimitError, 429, lambda: client.models.list(), code="rate_limit_exceeded")
    asked = []
    watching = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: asked.append(request.url)]})
    begun = time.monotonic()
    patient = OpenAI(max_retries=1, http_client=watching, timeout=60)
    raised(openai.RateLimitError, 429, patient.models.list)
    assert len(asked) == 2
    assert time.monotonic() - begun >= 1, "the client did not wait as Retry-After told it"


def ask(**given):
    return client.chat.completions.create(**{"model": "live", "messages": HI, **given})


def raised(kind, status, act, **told):
    try:
        act()
    except kind as error:
        assert error.status_code == status, error
        assert error.response.headers["x-request-id"]
        for name, value in told.items():
            assert getattr(error, name) == value, (name, error.body)
    else:
        raise AssertionError(f"nothing was raised instead of {kind.__name__}")


def leaves():
    """Reads a little of a stream and goes away."""
    stream = client.chat.completions.create(model="slow", messages=HI, stream=True, timeout=60)
    for number, _ in enumerate(stream):
        if number == 3:
            break
    stream.close()
    print(time.time())


def version():
    assert int(openai.__version__.split(".")[0]) >= 2
    assert os.environ["OPENAI_BASE_URL"]


if __name__ == "__main__":
    globals()[sys.argv[1]]()
