"""Real vLLM servers with the real base, started and ended by a bench, and random adapters to put on them."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.site import free_port

STARTS_WITHIN_S = 600.0
MAX_RANK = 16
SPREAD = 0.05
"""Of the random half of an adapter that training would have moved away from zero: enough to change what is said."""


def absence(python: str) -> str:
    """Why there is no vLLM to run; empty where there is one."""
    done = subprocess.run([python, "-c", "import vllm; print(vllm.__version__)"], capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or ["?"])[-1]
    return f"{python} has no vLLM that starts ({last}); make a virtual environment for it and name its python"


@dataclass
class Vllm:
    """One server, in a process group of its own, since it has children."""

    python: str
    base: Path
    name: str
    log: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()
    """Beside its own."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self.port = self.port or free_port()
        environment = {
            **os.environ,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else all of them are bound to the same core
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [
            *("nice", "-n", "15", self.python, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(self.base), "--served-model-name", self.name, "--dtype", "bfloat16"),
            *("--enable-lora", "--max-lora-rank", str(MAX_RANK), "--max-loras", "3", "--max-cpu-loras", "8"),
            *(
                "--max-model-len",
                "2048",
                "--max-num-seqs",
                "64",
                "--enforce-eager",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
            ),
            *self.options,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def until_healthy(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self.is_healthy():
            assert self.process is not None
            assert self.process.poll() is None, f"vLLM ended:\n{self.log.read_text()[-4000:]}"
            assert time.monotonic() < deadline, f"vLLM did not start:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.5)

    def is_healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False).status_code == 200
        return False

    def names(self) -> list[str]:
        rows = httpx.get(f"{self.url}/models", trust_env=False).json()["data"]
        return [str(row["id"]) for row in rows]

    def loads(self) -> list[str]:
        """Names of the adapters that it loaded, in order, as its log has them."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if "Loaded new LoRA" in line]
        return [line.split("name '")[1].split("'")[0] for line in lines]

    def kill(self) -> None:
        """At once, with its children."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def serving(python: str, base: Path, name: str, home: Path, count: int) -> Iterator[list[Vllm]]:
    servers = [Vllm(python, base, name, home / f"vllm-{number}.log") for number in range(1, count + 1)]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.until_healthy()
        yield servers
    finally:
        for server in servers:
            server.kill()


def write_adapter(base: Path, folder: Path, seed: int) -> None:
    """In PEFT's form, as training writes it, but random."""
    import torch

    from rlhf.training.model.adapter import Adapter
    from rlhf.training.model.transformer import Transformer

    adapter = Adapter.create(Transformer.load(base), rank=MAX_RANK, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for tensor in adapter.parameters():
        if not tensor.any():  # the half that is zero before training
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * SPREAD)
    adapter.save(folder, base=base.name)


def greedy(base: Path, adapter: Path | None, prompt: str, tokens: int) -> str:
    """What transformers and PEFT say, in the dtype of the servers."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).eval()
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    turns = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return str(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
