"""The base, the base with examples in its prompt, and the tuned model on the same held-out rows.

All three answer greedily and are measured by the same rule, so that a person sees which is worth it: few-shot costs
tokens in every prompt, fine-tuning costs once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rlhf.training.fine_tuning.examples import Example, answering, prompt_ids
from rlhf.training.fine_tuning.held_out import MOST, pick
from rlhf.training.fine_tuning.measuring import BATCH_TOKENS, Padded, by_length, read
from rlhf.training.fine_tuning.rows import Row, Turns
from rlhf.training.fine_tuning.scopes import base_hidden
from rlhf.training.model.sampler import sample
from rlhf.training.model.transformer import Transformer
from rlhf.training.tokens import ChatTokenizer

SAMPLES = 12
SHOT_TOKENS = 512
"""Of the examples together: a prompt of thousands of tokens is not what anybody pays for at every question."""
AT_ONCE = 16
LONGEST_ANSWER = 128


@dataclass(frozen=True)
class Asked:
    """A held-out row as one side sees it."""

    prompt: str | Turns
    wanted: str
    unwanted: str | None
    """Of a preference: the answer that the other is to be preferred to."""


@dataclass(frozen=True)
class Side:
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
    base: Transformer,
    tuned: Transformer,
    tokenizer: ChatTokenizer,
    learnt: Sequence[Row],
    held_out: Sequence[Row],
    *,
    shots: int,
    limit: int,
    seed: int,
    poll: Callable[[], None],
) -> dict[str, Any]:
    """Figures and samples of the three sides; `limit` tokens a prompt and its answer."""
    rows = pick(held_out, MOST, seed)
    examples = _shots_of(learnt, tokenizer, shots, limit=min(SHOT_TOKENS, limit // 2), seed=seed)
    plain = [Asked(row.prompt, row.completion, row.rejected) for row in rows]
    shown = [replace(asked, prompt=_with_shots(examples, asked.prompt)) for asked in plain]
    sides = {
        "base": _side(base, tokenizer, plain, limit, poll),
        "few_shot": _side(base, tokenizer, shown, limit, poll),
        "fine_tuned": _side(tuned, tokenizer, plain, limit, poll),
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


def _side(
    transformer: Transformer, tokenizer: ChatTokenizer, asked: Sequence[Asked], limit: int, poll: Callable[[], None]
) -> Side:
    """Mean surprise at a wanted token, the share of rows answered to the letter, and whom a preference is won by."""
    answers = [
        _first_answer(text, row.wanted)
        for text, row in zip(_generate(transformer, tokenizer, asked, limit, poll), asked, strict=True)
    ]
    right = sum(text == row.wanted.strip() for text, row in zip(answers, asked, strict=True))
    wanted = [answering(row.prompt, row.wanted, tokenizer, limit=limit) for row in asked]
    others = [(index, row.prompt, row.unwanted) for index, row in enumerate(asked) if row.unwanted is not None]
    unwanted = [answering(prompt, text, tokenizer, limit=limit) for _, prompt, text in others]
    logs = _log_probs(transformer, [*wanted, *unwanted], tokenizer.padding_id, poll)
    sizes = [sum(example.answer) for example in (*wanted, *unwanted)]
    each = [log / size for log, size in zip(logs, sizes, strict=True)]
    leads = [each[index] - other for (index, _, _), other in zip(others, each[len(wanted) :], strict=True)]
    loss = -math.fsum(logs[: len(wanted)]) / sum(sizes[: len(wanted)])
    return Side(loss, right / len(asked), answers, leads)


@torch.no_grad()
def _log_probs(
    transformer: Transformer, examples: Sequence[Example], padding_id: int, poll: Callable[[], None]
) -> list[float]:
    """log p of each answer, nats, the end token included."""
    logs = [0.0] * len(examples)
    for chosen in by_length(examples, BATCH_TOKENS):
        poll()
        batch = Padded([examples[index] for index in chosen], padding_id, transformer.device)
        found = read(base_hidden(transformer, batch.ids, batch.lengths), transformer.head, batch)
        for index, log in zip(chosen, found.per_row(found.log_probs, len(chosen)).tolist(), strict=True):
            logs[index] = log
    return logs


def _generate(
    transformer: Transformer, tokenizer: ChatTokenizer, asked: Sequence[Asked], limit: int, poll: Callable[[], None]
) -> list[str]:
    """The greedy answer to each prompt, a little longer than the longest that is wanted."""
    longest = max(len(tokenizer.completion_ids(row.wanted, finished=True)) for row in asked)
    tokens = min(longest + 8, LONGEST_ANSWER)
    prompts = [prompt_ids(row.prompt, tokenizer, limit=max(1, limit - tokens)) for row in asked]
    texts: list[str] = []
    for start in range(0, len(prompts), AT_ONCE):
        poll()
        rollout = sample(
            transformer,
            prompts[start : start + AT_ONCE],
            max_tokens=tokens,
            temperature=0.0,
            seed=0,
            batch_rows=AT_ONCE,
            keep_states=False,
        )
        texts += [tokenizer.decode(ids) for ids in rollout.completions()]
    return texts


def _first_answer(text: str, wanted: str) -> str:
    """What counts of a generated text: its first line where one line is wanted, since a base model goes on."""
    text = text.strip()
    return text if "\n" in wanted.strip() else text.partition("\n")[0].rstrip()


def _shots_of(rows: Sequence[Row], tokenizer: ChatTokenizer, most: int, *, limit: int, seed: int) -> list[Row]:
    """Learnt rows to show in a prompt: the same for all questions, by the seed, as many as fit."""
    chosen: list[Row] = []
    for row in pick(list(dict.fromkeys(rows)), most, seed):
        tokens = len(prompt_ids(_with_shots([*chosen, row], ""), tokenizer))
        if tokens <= limit:
            chosen.append(row)
    return chosen


def _with_shots(shots: Sequence[Row], prompt: str | Turns) -> str | Turns:
    """The prompt after the examples: as text one below the other, as turns before the first turn of the prompt."""
    if all(isinstance(row.prompt, str) for row in shots) and isinstance(prompt, str):
        return "".join(_shown_text(row) for row in shots) + prompt
    turns = (("user", prompt),) if isinstance(prompt, str) else prompt
    system = turns[:1] if turns and turns[0][0] == "system" else ()
    return (*system, *(turn for row in shots for turn in _shot_turns(row)), *turns[len(system) :])


def _tokens_added(plain: Sequence[Asked], shown: Sequence[Asked], tokenizer: ChatTokenizer) -> int:
    """What the examples cost at each question."""
    plain_ids, shown_ids = (sum(len(prompt_ids(row.prompt, tokenizer)) for row in rows) for rows in (plain, shown))
    return round((shown_ids - plain_ids) / len(plain))


def _shown_text(row: Row) -> str:
    text = f"{row.prompt}{row.completion}"
    return text if text.endswith("\n") else f"{text}\n"


def _shot_turns(row: Row) -> Turns:
    """An example without its system message: the question's own stands at the start."""
    turns = (("user", row.prompt),) if isinstance(row.prompt, str) else row.prompt
    return (*(turn for turn in turns if turn[0] != "system"), ("assistant", row.completion))


def shown_prompt(prompt: str | Turns) -> str:
    """What a person reads of it."""
    return (
        prompt if isinstance(prompt, str) else next((text for role, text in reversed(prompt) if role == "user"), "")
    )
