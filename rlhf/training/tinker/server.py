"""One server that speaks the Tinker protocol (SkyRL's), by its REST API: requests, and their results when there.

Each request is answered with an id, under which its result is asked for. Nothing is sent twice that would be done
twice: what the server was sent as the connection broke ends the run, which resumes from its checkpoint.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from rlhf.training.tinker import wire
from rlhf.training.tinker.wire import LearntSequence, TinkerCompletion

WAIT_S, CONNECT_S = 90.0, 5.0
"""A server holds a request for a result so long (SkyRL: 45 s) before it says that there is none yet."""
HEARTBEAT_S = 20.0
"""A session that is silent for minutes is over for the server, and its models are gone."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
PROTOBUF = "application/x-protobuf"


@dataclass
class TinkerAway(Exception):
    """It does not answer; the run can be resumed from its checkpoint."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"{self.url} does not answer ({self.reason}). Start it, then resume this run"


@dataclass
class TinkerRefused(Exception):
    """It answers, but does not do what it is asked for."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"{self.url} does not train this run: {self.reason}"


class TinkerServer:
    """Asked by one thread. `poll` is called while a result is waited for, and may raise to stop."""

    def __init__(
        self, url: str, key: str = "", *, poll: Callable[[], None] = lambda: None, patience_s: float = 600.0
    ) -> None:
        """`url`: without `/api/v1`."""
        self.url, self._poll, self._patience_s = url.rstrip("/"), poll, patience_s
        headers = {"X-API-Key": key} if key else {}
        limits = httpx.Timeout(WAIT_S, connect=CONNECT_S)
        self._client = httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=limits)
        self._session, self._beaten_at, self._numbers = "", 0.0, 0

    def close(self) -> None:
        self._client.close()

    def bases(self) -> list[str]:
        """The names of the models that it trains."""
        found = self._get("get_server_capabilities").json()
        return [str(one["model_name"]) for one in found["supported_models"]]

    def create(self, base: str, rank: int, seed: int) -> str:
        """A fresh adapter over every projection; the id of its model."""
        asked: dict[str, Any] = {"tags": ["chamsae"], "sdk_version": "0.25.0", "type": "create_session"}
        self._session = str(self._post("create_session", asked)["session_id"])
        self._numbers = 0
        lora = {"rank": rank, "seed": seed, "train_attn": True, "train_mlp": True, "train_unembed": False}
        asked = {"session_id": self._session, "model_seq_id": 0, "base_model": base, "lora_config": lora}
        answer = self._post("create_model", asked)
        self._result(answer)
        return str(answer["model_id"])

    def load(self, model: str, path: str) -> None:
        """Weights and optimiser of a checkpoint into a fresh model."""
        self._done("load_weights", {"model_id": model, "path": path, "optimizer": True})

    def save(self, model: str, name: str) -> str:
        """Weights and optimiser, to go on from; the checkpoint's path on the server."""
        self._done("save_weights", {"model_id": model, "path": name})
        return f"tinker://{model}/weights/{name}"

    def publish(self, model: str, name: str) -> str:
        """Weights to sample from; their path on the server."""
        self._done("save_weights_for_sampler", {"model_id": model, "path": name})
        return f"tinker://{model}/sampler_weights/{name}"

    def sample(
        self, path: str, prompts: Sequence[Sequence[int]], *, n: int, tokens: int, ends: Sequence[int], seed: int
    ) -> list[list[TinkerCompletion]]:
        """n completions of each prompt at a temperature of 1, with their log-probs."""
        asked = []
        for place, prompt in enumerate(prompts):
            how = {"max_tokens": tokens, "seed": (seed + place * n) % 2**30, "stop": list(ends), "temperature": 1.0}
            what = {"num_samples": n, "prompt": _encoded(prompt), "sampling_params": how, "model_path": path}
            asked.append(self._post("asample", what))
        return [self._samples(one) for one in asked]

    def learn(
        self, model: str, loss: str, examples: Sequence[LearntSequence], rate: float, *, batch: int = 64
    ) -> None:
        """One step of Adam on the mean over all examples."""
        for start in range(0, len(examples), batch):
            self._numbers += 1
            body = wire.forward_backward(model, self._numbers, loss, examples[start : start + batch])
            headers = {"Content-Type": PROTOBUF}
            self._result(self._send("forward_backward", content=body, headers=headers).json())
        self._done("optim_step", {"model_id": model, "adam_params": {"learning_rate": rate, "eps": 1e-8}})

    def archive(self, path: str) -> bytes:
        """A gzipped tar of the adapter in PEFT's form."""
        model, _, name = path.removeprefix("tinker://").partition("/sampler_weights/")
        return self._get(f"training_runs/{model}/checkpoints/{name}/archive").content

    def _done(self, what: str, asked: Mapping[str, Any]) -> None:
        self._result(self._post(what, asked))

    def _samples(self, answer: Mapping[str, Any]) -> list[TinkerCompletion]:
        try:
            return wire.samples(self._result(answer).content)
        except wire.BadMessage as error:
            raise TinkerRefused(self.url, f"its completions can't be read: {error}") from error

    def _result(self, answer: Mapping[str, Any]) -> httpx.Response:
        asked = {"request_id": str(answer["request_id"])}
        while True:
            self._beat()
            found = self._again(lambda: self._client.post("retrieve_future", json=asked), is_repeatable=True)
            if found.status_code != 408:
                return self._taken(found)

    def _beat(self) -> None:
        self._poll()
        if time.monotonic() - self._beaten_at > HEARTBEAT_S:
            self._post("session_heartbeat", {"session_id": self._session, "type": "session_heartbeat"})
            self._beaten_at = time.monotonic()

    def _get(self, path: str) -> httpx.Response:
        get = lambda: self._client.get(path, follow_redirects=True)  # noqa: E731
        return self._taken(self._again(get, is_repeatable=True))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._send(path, json=body).json()
        return answer

    def _send(self, path: str, **what: Any) -> httpx.Response:
        return self._taken(self._again(lambda: self._client.post(path, **what), is_repeatable=False))

    def _taken(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code != 200:
            raise TinkerRefused(self.url, f"HTTP {answer.status_code}: {answer.text[:300]}")
        return answer

    def _again(self, send: Callable[[], httpx.Response], *, is_repeatable: bool) -> httpx.Response:
        """Until the patience is over. A server that was not reached has done nothing."""
        passing: type[httpx.TransportError] = httpx.TransportError if is_repeatable else httpx.ConnectError
        until, pause_s = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        while True:
            try:
                return send()
            except httpx.TransportError as error:
                if not isinstance(error, passing) or time.monotonic() + pause_s > until:
                    raise TinkerAway(self.url, str(error) or type(error).__name__) from error
            self._wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._poll()
            time.sleep(0.2)


def _encoded(prompt: Sequence[int]) -> dict[str, Any]:
    return {"chunks": [{"type": "encoded_text", "tokens": list(prompt)}]}
