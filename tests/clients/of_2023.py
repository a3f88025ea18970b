"""What a program of 2023 does, run in an environment with `openai` 0.27; each function is a program."""

import sys

import openai

HI = [{"role": "user", "content": "Hi"}]


def chat():
    answer = openai.ChatCompletion.create(model="gpt-3.5-turbo", messages=HI)
    assert answer["model"] == "gpt-3.5-turbo"
    assert answer["choices"][0]["message"]["content"]
    text, reasons = "", []
    for chunk in openai.ChatCompletion.create(model="gpt-3.5-turbo", messages=HI, stream=True):
        text += chunk["choices"][0]["delta"].get("content", "")
        reasons.append(chunk["choices"][0]["finish_reason"])
    assert text == answer["choices"][0]["message"]["content"]
    assert reasons[-1] == "stop"


def completions():
    answer = openai.Completion.create(
        model="text-davinci-003",
        prompt=["a", "b"],
        n=2,
        best_of=2,
        max_tokens=3,
        logprobs=1,
        temperature=0,
        stop=["z"],
    )
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    echoed = openai.Completion.create(model="davinci", prompt="Once", echo=True, max_tokens=0)
    assert echoed["choices"][0]["text"] == "Once"
    old = openai.Completion.create(engine="davinci", prompt="Once", max_tokens=2)
    assert old["choices"][0]["finish_reason"] == "length"
    parts = list(openai.Completion.create(model="davinci", prompt="Once", max_tokens=3, stream=True))
    whole = openai.Completion.create(model="davinci", prompt="Once", max_tokens=3)
    assert "".join(part["choices"][0]["text"] for part in parts) == whole["choices"][0]["text"]


def models():
    names = [model["id"] for model in openai.Model.list()["data"]]
    assert {"live", "davinci"} <= set(names)
    assert openai.Model.retrieve("davinci")["id"] == "davinci"
    assert openai.Engine.retrieve("davinci")["ready"] is True
    assert {engine["id"] for engine in openai.Engine.list()["data"]} == set(names)


def errors():
    ask = openai.Completion.create
    raised(openai.error.InvalidRequestError, 400, lambda: ask(model="live", n=2, best_of=1), "best_of")
    raised(openai.error.InvalidRequestError, 404, lambda: ask(model="no-such", prompt="x"), "model")
    raised(openai.error.PermissionError, 403, lambda: openai.Model.delete("scripted"))
    raised(openai.error.AuthenticationError, 401, lambda: openai.Model.list(api_key="sk-wrong"))
    raised(openai.error.ServiceUnavailableError, 503, lambda: ask(model="broken", prompt="x"))
    raised(openai.error.APIError, 413, lambda: ask(model="live", prompt="x" * 3_000_000))


def limited():
    try:
        openai.Model.list()
    except openai.error.RateLimitError as error:
        assert int(error.headers["Retry-After"]) >= 1
    else:
        raise AssertionError("not limited")


def raised(kind, status, act, param=None):
    try:
        act()
    except kind as error:
        assert error.http_status == status, error
        assert param is None or error.param == param, error.param
    else:
        raise AssertionError(f"nothing was raised instead of {kind.__name__}")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
