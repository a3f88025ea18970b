"""Continuous batching: completions join and leave the batch between steps; each step generates a token of each.

A prompt is prefilled in parts, between steps, into a KV cache of its own, which is then joined to the cache of all,
padded on the left. Several completions of one prompt share its prefill. Knows no Django and no HTTP.
"""

import inspect
import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, DynamicCache

PREFILL_TOKENS = 512
"""Of a prompt between two steps: more makes others wait, fewer makes the prefill slower."""
CONTEXT_OF_TEXT = 4
"""Tokens before a token that its text may depend on."""
LONGEST_CHARACTER = 4
"""Bytes, and so tokens, of a character; more tokens that make none never will."""


@dataclass(frozen=True)
class PromptJob:
    """A request for completions of one prompt, in the terms of /v1/completions."""

    ids: list[int]
    n: int
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    presence_penalty: float
    frequency_penalty: float
    seed: int | None
    stop: tuple[str, ...]
    logprobs: int | None


@dataclass(frozen=True)
class CompletionUpdate:
    """New text of one completion, or its end."""

    index: int
    text: str = ""
    finish_reason: str = ""
    tokens: tuple[dict[str, Any], ...] = ()
    completion_tokens: int = 0
    error: str = ""


@dataclass(eq=False)
class BatchRow:
    """A completion that is being generated."""

    job: PromptJob
    index: int
    send: Callable[[CompletionUpdate], None]
    generator: torch.Generator
    text: "Text"
    ids: list[int] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    is_cancelled: bool = False
    is_over: bool = False

    @property
    def length(self) -> int:
        """Tokens in the cache: all but the newest."""
        return len(self.job.ids) + len(self.ids) - 1


class Text:
    """Turns tokens into text that can be sent: no broken character, and no possible beginning of a stop string."""

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int], stops: tuple[str, ...]) -> None:
        self.tokenizer, self.stops, self.buffer = tokenizer, stops, ""
        self.shown = [self._whole_end(before)]
        """The newest tokens whose text is known, by what was shown at once: the text of the next ones may depend on
        them, and bytes without the first ones of their character would be another text."""
        self.new: list[int] = []

    def add(self, number: int) -> tuple[str, bool]:
        """What can be sent now, and whether a stop string was found."""
        self.new.append(number)
        self.buffer += self._decoded(is_last=False)
        ends = [at for stop in self.stops if (at := self.buffer.find(stop)) >= 0]
        if ends:
            return self.buffer[: min(ends)], True
        shown = len(self.buffer) - max((_overlap(self.buffer, stop) for stop in self.stops), default=0)
        text, self.buffer = self.buffer[:shown], self.buffer[shown:]
        return text, False

    def rest(self) -> str:
        """The buffered text, when no further token comes; an incomplete character is dropped."""
        return self.buffer + self._decoded(is_last=True).rstrip("\ufffd")

    def _decoded(self, *, is_last: bool) -> str:
        context = list(itertools.chain(*self.shown))
        before = self.tokenizer.decode(context, skip_special_tokens=True)
        text: str = self.tokenizer.decode(context + self.new, skip_special_tokens=True)[len(before) :]
        if text.endswith("\ufffd") and len(self.new) < LONGEST_CHARACTER and not is_last:
            return ""
        self.shown, self.new = [*self.shown, self.new], []
        while sum(map(len, self.shown[1:])) >= CONTEXT_OF_TEXT:
            del self.shown[0]
        return text

    def _whole_end(self, ids: Sequence[int]) -> list[int]:
        """The last few tokens, from the beginning of a character on."""
        ends = [list(ids[-count:]) for count in range(CONTEXT_OF_TEXT, CONTEXT_OF_TEXT + LONGEST_CHARACTER)]
        whole = (end for end in ends if not self.tokenizer.decode(end).startswith("\ufffd"))
        return next(whole, ends[0])


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of the text that begin the stop string."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


@dataclass(eq=False)
class Prefill:
    """The prefill of a prompt, for one or several rows."""

    rows: list[BatchRow]
    cache: Any
    read: int = 0


class Batch:
    """Used by one thread. `add` adds rows, each call of `work` generates their next token."""

    def __init__(self, directory: Path, slots: int) -> None:
        is_cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if is_cuda else "cpu")
        self.slots = slots
        self.model = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype="auto" if is_cuda else torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        self.model.to(self.device).eval()
        self.vocabulary: int = self.model.get_input_embeddings().num_embeddings
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.ends = _ends(self.model)
        newer = "cache" in inspect.signature(self.model.forward).parameters
        self.cache_name = "cache" if newer else "past_key_values"
        self.waiting: deque[list[BatchRow]] = deque()
        self.prefill: Prefill | None = None
        self.rows: list[BatchRow] = []
        self.cache: Any = None

    def add(self, job: PromptJob, send: Callable[[CompletionUpdate], None]) -> list[BatchRow]:
        rows = []
        for index in range(job.n):
            generator = torch.Generator(self.device)
            if job.seed is None:
                generator.seed()
            else:
                generator.manual_seed(job.seed + index)
            rows.append(BatchRow(job, index, send, generator, Text(self.tokenizer, job.ids, job.stop)))
        self.waiting.append(rows)
        return rows

    @property
    def is_idle(self) -> bool:
        return not (self.rows or self.prefill or self.waiting)

    @torch.inference_mode()
    def work(self) -> None:
        """Continues a prefill, then generates one token of every row. An error ends all rows."""
        try:
            self._prefill()
            self._step()
            self._drop()
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")
            raise

    # --- prompts ------------------------------------------------------------------------------------------------

    def _prefill(self) -> None:
        if self.prefill is None:
            while self.waiting and all(row.is_cancelled for row in self.waiting[0]):
                self.waiting.popleft()
            if not self.waiting or len(self.rows) + len(self.waiting[0]) > self.slots:
                return
            self.prefill = Prefill(self.waiting.popleft(), DynamicCache())
        prefill = self.prefill
        if all(row.is_cancelled for row in prefill.rows):
            self.prefill = None
            return
        ids = prefill.rows[0].job.ids
        part = ids[prefill.read : prefill.read + PREFILL_TOKENS]
        logits = self.model(
            torch.tensor([part], device=self.device),
            **{self.cache_name: prefill.cache},
            position_ids=torch.arange(prefill.read, prefill.read + len(part), device=self.device).unsqueeze(0),
            use_cache=True,
            logits_to_keep=1,
        ).logits[0, -1]
        prefill.read += len(part)
        if prefill.read == len(ids):
            self.prefill = None
            self._join(prefill)
            for row in prefill.rows:
                self._choose(row, logits.float())

    def _join(self, prefill: Prefill) -> None:
        count = len(prefill.rows)
        if count > 1:
            prefill.cache.batch_repeat_interleave(count)
        self.cache = prefill.cache if self.cache is None else _joined(self.cache, prefill.cache)
        self.rows += prefill.rows

    # --- steps --------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Generates one token of every row; the cache has all of their tokens but the newest."""
        self._drop()
        if not self.rows:
            return
        width = self.cache.get_seq_length() + 1
        lengths = torch.tensor([row.length for row in self.rows], device=self.device)
        places = torch.arange(width, device=self.device)
        logits = self.model(
            torch.tensor([[row.ids[-1]] for row in self.rows], device=self.device),
            **{self.cache_name: self.cache},
            attention_mask=(places >= width - 1 - lengths.unsqueeze(1)).long(),
            position_ids=lengths.unsqueeze(1),
            use_cache=True,
        ).logits[:, -1]
        for row, of_row in zip(self.rows, logits.float(), strict=True):
            self._choose(row, of_row)

    def _choose(self, row: BatchRow, logits: torch.Tensor) -> None:
        job = row.job
        number = _sample(logits, row)
        tokens = (self._logprobs(number, logits, job.logprobs),) if job.logprobs is not None else ()
        row.ids.append(number)
        row.counts[number] += 1
        if number in self.ends:
            return self._end(row, row.text.rest(), "stop")
        text, is_stopped = row.text.add(number)
        if is_stopped:
            return self._end(row, text, "stop", tokens)
        if len(row.ids) >= job.max_tokens:
            return self._end(row, text + row.text.rest(), "length", tokens)
        if text or tokens:
            row.send(CompletionUpdate(row.index, text, tokens=tokens))

    def _end(self, row: BatchRow, text: str, reason: str, tokens: tuple[dict[str, Any], ...] = ()) -> None:
        row.is_over = True
        row.send(CompletionUpdate(row.index, text, reason, tokens, completion_tokens=len(row.ids)))

    def _logprobs(self, number: int, logits: torch.Tensor, top: int) -> dict[str, Any]:
        logprobs = torch.log_softmax(logits, -1)
        best = logprobs.topk(top) if top else None
        others = zip(best.indices.tolist(), best.values.tolist(), strict=True) if best else ()
        return {
            **self._entry(number, logprobs[number].item()),
            "top_logprobs": [self._entry(other, logprob) for other, logprob in others],
        }

    def _entry(self, number: int, logprob: float) -> dict[str, Any]:
        text = self.tokenizer.decode([number], skip_special_tokens=False)
        return {"id": number, "token": text, "logprob": logprob}

    # --- ends ---------------------------------------------------------------------------------------------------

    def _drop(self) -> None:
        """Removes finished and cancelled rows from the batch, and padding that is not needed any more."""
        remaining = [index for index, row in enumerate(self.rows) if not (row.is_over or row.is_cancelled)]
        if len(remaining) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in remaining]
        if not remaining:
            self.cache = None
            return
        self.cache.batch_select_indices(torch.tensor(remaining, device=self.device))
        width = max(row.length for row in self.rows)
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[:, :, -width:], layer.values[:, :, -width:]

    def _fail(self, error: str) -> None:
        rows = self.rows + (self.prefill.rows if self.prefill else [])
        self.rows, self.prefill, self.cache = [], None, None
        for row in rows:
            row.send(CompletionUpdate(row.index, error=error))


def _joined(first: Any, second: Any) -> Any:
    """Joins two caches, the shorter one padded on the left."""
    width = max(first.get_seq_length(), second.get_seq_length())

    def padded(states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))

    return DynamicCache(
        [
            (
                torch.cat([padded(one.keys), padded(other.keys)]),
                torch.cat([padded(one.values), padded(other.values)]),
            )
            for one, other in zip(first.layers, second.layers, strict=True)
        ]
    )


def _sample(logits: torch.Tensor, row: BatchRow) -> int:
    """Penalties (by this completion's tokens), temperature, top_k, top_p, in this order."""
    job = row.job
    if job.presence_penalty or job.frequency_penalty:
        logits = logits.clone()
        for number, count in row.counts.items():
            logits[number] -= job.presence_penalty + job.frequency_penalty * count
    if job.temperature == 0:
        return int(logits.argmax())
    logits = logits / job.temperature
    if 0 < job.top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(job.top_k).values[-1], -torch.inf)
    probabilities = torch.softmax(logits, -1)
    if job.top_p < 1:
        ranked, order = probabilities.sort(descending=True)
        outside = order[ranked.cumsum(0) - ranked >= job.top_p]  # the most probable one always stays
        probabilities[outside] = 0
    return int(torch.multinomial(probabilities, 1, generator=row.generator))


def _ends(model: Any) -> frozenset[int]:
    """Ids after which a completion is over."""
    found: set[int] = set()
    for config in (model.generation_config, model.config):
        ends = getattr(config, "eos_token_id", None)
        found |= set(ends if isinstance(ends, list) else [] if ends is None else [ends])
    return frozenset(found)
