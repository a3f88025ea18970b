"""Samples a rollout on servers: the adapter on them, the prompts completed there, and the trunk states made here."""

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.hyperparameters import require
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import PAD, Rollout, join
from rlhf.training.model.scoring import completion_mask, score_completions
from rlhf.training.rollouts.completions import PromptRequest, ServerCompletion
from rlhf.training.rollouts.mismatch import AnotherModelSampled, Mismatch
from rlhf.training.rollouts.servers import RolloutServers, ServersConfig
from rlhf.training.rollouts.source import RolloutSampling
from rlhf.training.run import RunDirectory

KEY_VARIABLE = "CHAMSAE_ROLLOUT_KEY"
POLL_S = 0.2
UNTEMPERED = (
    "they give log-probs from before the temperature; start vLLM with --logprobs-mode processed_logprobs, "
    "or train at a temperature of 1"
)
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class ServerSampler:
    """A `RolloutSource`. Each adapter has a name of its own on the servers, made of its weights: none is ever loaded
    in the place of another, and one that a resumed run trains again is known as the same or as another."""

    def __init__(self, transformer: Decoder, config: ServersConfig, key: str, *, batch_rows: int) -> None:
        """`batch_rows`: completions whose trunk states are made together."""
        self.config = config
        self._transformer, self._batch_rows = transformer, batch_rows
        self._servers = RolloutServers(config, key)
        self._is_examined = False
        self._name = ""
        """Of the adapter that was written last."""

    def roll_out(
        self,
        prompts: Sequence[Sequence[int]],
        adapter: Adapter,
        sampling: RolloutSampling,
        *,
        seed: int,
        poll: Callable[[], None],
    ) -> Rollout:
        """Raises RolloutServersAway, RolloutRefused, AnotherModelSampled."""
        rollout = self._with_states(prompts, self._ask(prompts, adapter, sampling, seed, poll))
        self._examine_once(rollout, adapter, sampling.temperature)
        return rollout

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        adapter: Adapter,
        sampling: RolloutSampling,
        *,
        seed: int,
        poll: Callable[[], None],
    ) -> list[list[ServerCompletion]]:
        """The same without trunk states, for somebody who scores by another pass. Raises as `roll_out`."""
        completions = self._ask(prompts, adapter, sampling, seed, poll)
        if not self._is_examined:
            self._examine_once(self._with_states(prompts, completions), adapter, sampling.temperature)
        return completions

    def judge(self, mismatch: Mismatch) -> None:
        """Raises AnotherModelSampled."""
        mismatch.refuse_another_model()

    def close(self) -> None:
        """Takes this run's adapters off the servers and away; they could no longer be told from a dead run's."""
        asyncio.run(self._servers.take_off())
        shutil.rmtree(self.config.folder, ignore_errors=True)

    def _ask(
        self,
        prompts: Sequence[Sequence[int]],
        adapter: Adapter,
        sampling: RolloutSampling,
        seed: int,
        poll: Callable[[], None],
    ) -> list[list[ServerCompletion]]:
        name = self._written(adapter)
        apart = sampling.completions_per_prompt  # a server counts a prompt's seed on for each of its completions
        requests = [self._request(prompt, sampling, seed + place * apart) for place, prompt in enumerate(prompts)]
        path = str(PurePosixPath(self.config.seen_at) / name)
        return asyncio.run(_polled(self._servers.complete(name, path, requests), poll))

    def _written(self, adapter: Adapter) -> str:
        """The name of the adapter, whose folder stands alone then."""
        name = f"{self.config.prefix}{adapter.digest()[:16]}"
        folder = Path(self.config.folder)
        target = folder / name
        if name != self._name:
            _remove(target)  # a process that was killed may have left a part of it
            draft = folder / f"tmp-{name}"
            _remove(draft)
            adapter.save(draft, base=self.config.base)
            os.replace(draft, target)
            self._name = name
        for other in folder.iterdir():
            if other != target:
                _remove(other)
        return name

    def _request(self, prompt: Sequence[int], sampling: RolloutSampling, seed: int) -> PromptRequest:
        ends, vocabulary = self._transformer.config.eos, len(self._transformer.embedding)
        return PromptRequest(prompt, sampling, ends, vocabulary, seed % 2**62)

    def _with_states(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[ServerCompletion]]
    ) -> Rollout:
        at_once = max(1, self._batch_rows // len(completions[0]))
        starts = range(0, len(prompts), at_once)
        parts = ((prompts[at : at + at_once], completions[at : at + at_once]) for at in starts)
        return join([rollout_of(self._transformer, asked, made) for asked, made in parts])

    def _examine_once(self, rollout: Rollout, adapter: Adapter, temperature: float) -> None:
        """Before anything is learnt from these servers. Raises AnotherModelSampled."""
        if not self._is_examined:
            self._examine(rollout, adapter, temperature)
            self._is_examined = True

    def _examine(self, rollout: Rollout, adapter: Adapter, temperature: float) -> None:
        found = self._mismatch(rollout, adapter, temperature)
        log.info("the servers are %.3g nats a token from the scorer", found.kl)
        plain = self._mismatch(rollout, adapter, 1.0) if temperature != 1 else found
        if not plain.is_of_another_model and plain.nats < found.nats / 2:
            raise AnotherModelSampled(found.kl, UNTEMPERED)
        found.refuse_another_model()

    def _mismatch(self, rollout: Rollout, adapter: Adapter, temperature: float) -> Mismatch:
        batches = list(torch.split(torch.arange(len(rollout)), self._batch_rows))
        scored = score_completions(self._transformer, rollout, adapter, batches, temperature=temperature)
        return Mismatch.of(scored.log_probs, rollout.completion_log_probs(), completion_mask(rollout))


@contextmanager
def of_run(directory: RunDirectory, transformer: Decoder, *, batch_rows: int) -> Iterator[ServerSampler | None]:
    """None where the run's process samples itself. The servers' key is taken from the environment, where no process
    that this one starts finds it then. Raises BadHyperparameter."""
    key = os.environ.pop(KEY_VARIABLE, "")
    if not directory.config.get("rollouts"):
        yield None
        return
    require(processes.count() == 1, "rollouts", "servers", "they sample for a training of one process")
    sampler = ServerSampler(transformer, ServersConfig.read(directory["rollouts"]), key, batch_rows=batch_rows)
    try:
        yield sampler
    finally:
        sampler.close()


async def _polled(work: Coroutine[Any, Any, Result], poll: Callable[[], None]) -> Result:
    """The result of the work, which is given up where `poll` raises."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            poll()
            await asyncio.wait([task], timeout=POLL_S)
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


def _remove(path: Path) -> None:
    """As far as it can be; what stays is no adapter of the moment."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def rollout_of(
    transformer: Decoder, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[ServerCompletion]]
) -> Rollout:
    """Completions that were made elsewhere, as many of each prompt, with the trunk states made here."""
    device, ends = transformer.device, transformer.config.eos
    rows = [(list(prompt), one) for prompt, made in zip(prompts, completions, strict=True) for one in made]
    ids = _padded([prompt + one.ids for prompt, one in rows], PAD).to(device)
    index = torch.arange(len(prompts), device=device).repeat_interleave(len(completions[0]))
    lengths = torch.tensor([len(prompt) + len(one.ids) for prompt, one in rows], device=device)
    inside = torch.arange(ids.shape[1], device=device) < lengths[:, None]
    return Rollout(
        ids=ids,
        prompt_lengths=torch.tensor([len(prompt) for prompt, _ in rows], device=device),
        lengths=lengths,
        ended=torch.tensor([one.ids[-1] in ends for _, one in rows], device=device),
        states=transformer.run_trunk(ids).masked_fill(~inside[..., None], 0.0),
        prompt_index=index,
        log_probs=_padded([[0.0] * len(prompt) + one.log_probs for prompt, one in rows], 0.0).to(device),
    )


def _padded(rows: Sequence[Sequence[float]], value: float) -> Tensor:
    """[N, longest], filled on the right; of the type of the rows' numbers."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
