"""A server that behaves as SkyRL 0.4's towards its clients, with a tiny model that it samples from and trains.

The loss is written out here anew, so that what a client sends must mean what the protocol says.
"""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.logprobs import token_log_probs
from rlhf.training.model.sampler import sample
from rlhf.training.model.transformer import Transformer
from rlhf.training.tinker import wire


@dataclass
class FakeTinker:
    """What it has, and how it misbehaves on request."""

    base: str
    model: Decoder
    key: str = ""
    refuses: str = ""
    """Requests of this path get status 500."""
    url: str = ""
    adapters: dict[str, Adapter] = field(default_factory=dict)
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    saved: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    results: dict[str, bytes | dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def create(self, rank: int, seed: int) -> str:
        name = f"model_{len(self.adapters)}"
        adapter = Adapter.create(self.model, rank=rank, alpha=32.0, seed=seed)
        self.adapters[name] = adapter
        for parameter in adapter.parameters():
            parameter.requires_grad_(True)
        self.optimisers[name] = torch.optim.Adam(adapter.parameters(), lr=1.0, betas=(0.9, 0.95))
        return name

    def sample(self, asked: dict[str, Any]) -> bytes:
        fresh = Adapter.create(self.model, rank=self._rank(), alpha=32.0)
        fresh.copy_from(self.saved[asked["model_path"]])
        how = asked["sampling_params"]
        rollout = sample(
            self.model,
            [asked["prompt"]["chunks"][0]["tokens"]],
            completions_per_prompt=asked["num_samples"],
            max_tokens=how["max_tokens"],
            temperature=how["temperature"],
            seed=how["seed"],
            adapter=fresh,
            batch_rows=64,
            keep_log_probs=True,
        )
        mask = rollout.completion_mask()
        parts = []
        for ids, probs, one in zip(rollout.ids, rollout.log_probs.detach(), mask, strict=True):
            tokens, drawn = ids[one].numpy().astype("<i4"), probs[one].numpy().astype("<f4")
            parts.append(_bytes(2, tokens.tobytes()) + _bytes(3, drawn.tobytes()))
        return b"".join(_bytes(1, part) for part in parts)

    def learn(self, body: bytes) -> None:
        """The mean over the sequences of the mean over their weighted tokens of -advantage * p(now) / p(drawn)."""
        parts = list(wire.fields(body))
        model = next(value for number, value in parts if number == 1)
        assert isinstance(model, bytes)
        assert (4, b"importance_sampling") in parts
        examples = [_inputs(value) for number, value in parts if number == 3 and isinstance(value, bytes)]
        total = torch.zeros(())
        for one in examples:
            ids = torch.tensor(np.array([one["tokens"]]), dtype=torch.int64)
            hidden = self.model.run_top(
                self.model.run_trunk(ids), self.adapters[model.decode()], lengths=torch.tensor([ids.shape[1]])
            )
            targets = torch.tensor(one["target_tokens"])
            now = token_log_probs(hidden[0], self.model.head, targets, temperature=1.0, entropy=False).log_probs
            ratio = torch.exp(now - torch.tensor(one["logprobs"]))
            weights = torch.tensor(one["weights"])
            total = total - (weights * ratio * torch.tensor(one["advantages"])).sum() / weights.sum()
        (total / len(examples)).backward()

    def archive(self, path: str) -> bytes:
        made = Adapter.create(self.model, rank=self._rank(), alpha=32.0)
        made.copy_from(self.saved[path])
        config = {"r": self._rank(), "lora_alpha": 32.0}
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w:gz") as found:
            config_json = json.dumps(config).encode()
            files = {"adapter_model.safetensors": save(made.state()), "adapter_config.json": config_json}
            for name, content in files.items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(content)
                found.addfile(member, io.BytesIO(content))
        return target.getvalue()

    def do(self, path: str, asked: dict[str, Any]) -> dict[str, Any] | bytes:
        model = str(asked.get("model_id", ""))
        if path == "optim_step":
            for group in self.optimisers[model].param_groups:
                group["lr"] = asked["adam_params"]["learning_rate"]
            self.optimisers[model].step()
            self.optimisers[model].zero_grad()
        if path in ("save_weights", "save_weights_for_sampler"):
            kind = "weights" if path == "save_weights" else "sampler_weights"
            weights = [one.detach().clone() for one in self.adapters[model].parameters()]
            self.saved[f"tinker://{model}/{kind}/{asked['path']}"] = weights
        if path == "load_weights":
            self.adapters[model].copy_from(self.saved[asked["path"]])
        return self.sample(asked) if path == "asample" else {}

    def _rank(self) -> int:
        return next(iter(self.adapters.values())).rank


def _bytes(number: int, value: bytes) -> bytes:
    size, made = len(value), bytearray([number << 3 | 2])
    while size > 127:
        made.append(size & 127 | 128)
        size >>= 7
    return bytes((*made, size)) + value


def _only(message: bytes) -> bytes:
    ((_, value),) = wire.fields(message)
    assert isinstance(value, bytes)
    return value


def _inputs(datum: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in wire.fields(datum):
        assert isinstance(value, bytes)
        if number == 1:
            found["tokens"] = np.frombuffer(_only(_only(value)), dtype="<i4")
            continue
        entry = dict(wire.fields(value))
        name, tensor = entry[1], entry[2]
        assert isinstance(name, bytes)
        assert isinstance(tensor, bytes)
        parts = dict(wire.fields(tensor))
        dense = parts[1]
        assert isinstance(dense, bytes)
        found[name.decode()] = np.frombuffer(dense, dtype="<i8" if parts[3] == 2 else "<f4").copy()
    return found


@contextmanager
def serving(folder: Path) -> Iterator[FakeTinker]:
    """One whose base is the policy in `folder`, in a thread."""
    model = Transformer.load(folder, dtype=torch.float32, adapted_layers=_layers(folder))
    fake = FakeTinker(f"/models/{folder.name}", model)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handling", (Handler,), {"fake": fake}))
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _layers(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text())["num_hidden_layers"])


class Handler(BaseHTTPRequestHandler):
    fake: FakeTinker

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        fake, path = self.fake, self.path.removeprefix("/api/v1/")
        if fake.key and self.headers.get("X-API-Key") != fake.key:
            self._say({}, 401)
        elif path == "get_server_capabilities":
            self._say({"supported_models": [{"model_name": fake.base}]})
        elif path.endswith("/archive"):
            _, model, _, name, _ = path.split("/")
            self._say(fake.archive(f"tinker://{model}/sampler_weights/{name}"))

    def do_POST(self) -> None:
        fake, path = self.fake, self.path.removeprefix("/api/v1/")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if path != "retrieve_future":
            fake.asked.append(path)
        if path == fake.refuses:
            return self._say({"detail": "broken"}, 500)
        with fake.lock:
            return self._say(self._answer(path, body))

    def _answer(self, path: str, body: bytes) -> dict[str, Any] | bytes:
        if path == "forward_backward":
            self.fake.learn(body)
            return self._later({})
        asked = json.loads(body)
        if path == "retrieve_future":
            return self.fake.results[asked["request_id"]]
        if path == "create_session":
            return {"session_id": "session_0"}
        if path == "create_model":
            lora = asked["lora_config"]
            return self._later({}) | {"model_id": self.fake.create(lora["rank"], lora["seed"])}
        return self._later(self.fake.do(path, asked))

    def _later(self, result: dict[str, Any] | bytes) -> dict[str, Any]:
        number = str(len(self.fake.results))
        self.fake.results[number] = result
        return {"request_id": number}

    def _say(self, what: dict[str, Any] | bytes, status: int = 200) -> None:
        content = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
