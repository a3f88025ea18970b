"""Compares the base, the base with few-shot examples and the fine-tuned model on the same held-out rows.

All three answer greedily and are measured alike, so that a person sees which pays off: few-shot costs tokens in every
prompt, fine-tuning costs once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rlhf.training.fine_tuning.examples import Example, answering, prompt_ids
from rlhf.training.fine_tuning.held_out import MOST, pick
from rlhf.training.fine_tuning.measuring import BATCH_TOKENS, PaddedBatch, by_length, score_batch
from rlhf.training.fine_tuning.rows import DataRow, Turns
from rlhf.training.fine_tuning.scopes import base_hidden
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.sampler import sample
from rlhf.training.tokens import ChatTokenizer

SAMPLES = 12
SHOT_TOKENS = 512
"""Of the examples together: nobody would pay for a prompt of thousands of tokens at every question."""
PROMPTS_AT_ONCE = 16
LONGEST_ANSWER = 128


@dataclass(frozen=True)
class HeldOutQuestion:
    """A held-out row, with the prompt as one of the models gets it."""

    prompt: str | Turns
    wanted: str
    unwanted: str | None
    """Of a preference: the rejected answer."""


@dataclass(frozen=True)
class ModelResult:
    """One model's figures and answers."""

    loss: float
    exact_match: float
    answers: list[str]
    leads: list[float]
    """Of each preference: by how many nats a token the wanted answer is more probable than the other. By the token,
    for a longer text is always the less probable one."""

    def as_json(self) -> dict[str, float]:
        figures = {"loss": self.loss, "perplexity": math.exp(min(self.loss, 700.0)), "exact_match": self.exact_match}
        if self.leads:
            figures["preferred"] = sum(lead > 0 for lead in self.leads) / len(self.leads)
            figures["lead_nats"] = sum(self.leads) / len(self.leads)
        return figures


def compare(
    base: Decoder,
    tuned: Decoder,
    tokenizer: ChatTokenizer,
    trained_on: Sequence[DataRow],
    held_out: Sequence[DataRow],
    *,
    shots: int,
    limit: int,
    seed: int,
    poll: Callable[[], None],
) -> dict[str, Any]:
    """Figures and samples of the three models; at most `limit` tokens of a prompt and its answer."""
    rows = pick(held_out, MOST, seed)
    examples = _choose_shots(trained_on, tokenizer, shots, limit=min(SHOT_TOKENS, limit // 2), seed=seed)
    plain = [HeldOutQuestion(row.prompt, row.completion, row.rejected) for row in rows]
    shown = [replace(question, prompt=_with_shots(examples, question.prompt)) for question in plain]
    sides = {
        "base": _run_model(base, tokenizer, plain, limit, poll),
        "few_shot": _run_model(base, tokenizer, shown, limit, poll),
        "fine_tuned": _run_model(tuned, tokenizer, plain, limit, poll),
    }
    samples = [
        {"prompt": shown_prompt(row.prompt), "wanted": row.completion.strip()}
        | {name: found.answers[index] for name, found in sides.items()}
        for index, row in enumerate(rows[:SAMPLES])
    ]
    return {
        "held_out": len(rows),
        "shots": len(examples),
        "shot_tokens": _tokens_added(plain, shown, tokenizer),
        **{name: found.as_json() for name, found in sides.items()},
        "samples": samples,
    }


def _run_model(
    transformer: Decoder,
    tokenizer: ChatTokenizer,
    questions: Sequence[HeldOutQuestion],
    limit: int,
    poll: Callable[[], None],
) -> ModelResult:
    """Mean loss at a wanted token, the share of exact answers, and by how much each preferred answer leads."""
    answers = [
        _first_answer(text, row.wanted)
        for text, row in zip(_generate(transformer, tokenizer, questions, limit, poll), questions, strict=True)
    ]
    right = sum(text == row.wanted.strip() for text, row in zip(answers, questions, strict=True))
    wanted = [answering(row.prompt, row.wanted, tokenizer, limit=limit) for row in questions]
    others = [(index, row.prompt, row.unwanted) for index, row in enumerate(questions) if row.unwanted is not None]
    unwanted = [answering(prompt, text, tokenizer, limit=limit) for _, prompt, text in others]
    logs = _log_probs(transformer, [*wanted, *unwanted], tokenizer.padding_id, poll)
    sizes = [sum(example.answer) for example in (*wanted, *unwanted)]
    each = [log / size for log, size in zip(logs, sizes, strict=True)]
    leads = [each[index] - other for (index, _, _), other in zip(others, each[len(wanted) :], strict=True)]
    loss = -math.fsum(logs[: len(wanted)]) / sum(sizes[: len(wanted)])
    return ModelResult(loss, right / len(questions), answers, leads)


@torch.no_grad()
def _log_probs(
    transformer: Decoder, examples: Sequence[Example], padding_id: int, poll: Callable[[], None]
) -> list[float]:
    """log p of each answer, nats, the end token included."""
    logs = [0.0] * len(examples)
    for chosen in by_length(examples, BATCH_TOKENS):
        poll()
        batch = PaddedBatch([examples[index] for index in chosen], padding_id, transformer.device)
        found = score_batch(base_hidden(transformer, batch.ids, batch.lengths), transformer.head, batch)
        for index, log in zip(chosen, found.per_row(found.log_probs, len(chosen)).tolist(), strict=True):
            logs[index] = log
    return logs


def _generate(
    transformer: Decoder,
    tokenizer: ChatTokenizer,
    questions: Sequence[HeldOutQuestion],
    limit: int,
    poll: Callable[[], None],
) -> list[str]:
    """The greedy answer to each prompt, a little longer than the longest wanted one."""
    longest = max(len(tokenizer.completion_ids(row.wanted, finished=True)) for row in questions)
    tokens = min(longest + 8, LONGEST_ANSWER)
    prompts = [prompt_ids(row.prompt, tokenizer, limit=max(1, limit - tokens)) for row in questions]
    texts: list[str] = []
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        poll()
        rollout = sample(
            transformer,
            prompts[start : start + PROMPTS_AT_ONCE],
            max_tokens=tokens,
            temperature=0.0,
            seed=0,
            batch_rows=PROMPTS_AT_ONCE,
            keep_states=False,
        )
        texts += [tokenizer.decode(ids) for ids in rollout.completions()]
    return texts


def _first_answer(text: str, wanted: str) -> str:
    """The part of a generated text to compare: its first line where one line is wanted; a base model goes on."""
    text = text.strip()
    return text if "\n" in wanted.strip() else text.partition("\n")[0].rstrip()


def _choose_shots(
    rows: Sequence[DataRow], tokenizer: ChatTokenizer, most: int, *, limit: int, seed: int
) -> list[DataRow]:
    """Training rows as examples in the prompt: the same for all questions, by the seed, as many as fit."""
    chosen: list[DataRow] = []
    for row in pick(list(dict.fromkeys(rows)), most, seed):
        tokens = len(prompt_ids(_with_shots([*chosen, row], ""), tokenizer))
        if tokens <= limit:
            chosen.append(row)
    return chosen


def _with_shots(shots: Sequence[DataRow], prompt: str | Turns) -> str | Turns:
    """The examples, then the prompt: as text one below the other, as turns before the prompt's first turn."""
    if all(isinstance(row.prompt, str) for row in shots) and isinstance(prompt, str):
        return "".join(_shown_text(row) for row in shots) + prompt
    turns = (("user", prompt),) if isinstance(prompt, str) else prompt
    system = turns[:1] if turns and turns[0][0] == "system" else ()
    return (*system, *(turn for row in shots for turn in _shot_turns(row)), *turns[len(system) :])


def _tokens_added(
    plain: Sequence[HeldOutQuestion], shown: Sequence[HeldOutQuestion], tokenizer: ChatTokenizer
) -> int:
    """Tokens that the examples add to each question."""
    plain_ids, shown_ids = (sum(len(prompt_ids(row.prompt, tokenizer)) for row in rows) for rows in (plain, shown))
    return round((shown_ids - plain_ids) / len(plain))


def _shown_text(row: DataRow) -> str:
    text = f"{row.prompt}{row.completion}"
    return text if text.endswith("\n") else f"{text}\n"


def _shot_turns(row: DataRow) -> Turns:
    """An example without its system message: the question keeps its own."""
    turns = (("user", row.prompt),) if isinstance(row.prompt, str) else row.prompt
    return (*(turn for turn in turns if turn[0] != "system"), ("assistant", row.completion))


def shown_prompt(prompt: str | Turns) -> str:
    """The part of a prompt to show to people: its text, or the last turn of the user."""
    return (
        prompt if isinstance(prompt, str) else next((text for role, text in reversed(prompt) if role == "user"), "")
    )
