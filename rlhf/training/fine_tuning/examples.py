"""Encodes rows as token ids, each token with whether it is a target and its weight in the loss.

Prompt and completion are tokenized separately, as they are when the model is used. The end token follows every
completion, or the model would not know where to stop. Turns go through the chat template as in a chat; control
tokens in the data stay text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from base.trimming import DoesNotFit
from rlhf.training.fine_tuning.rows import DataRow, Turns
from rlhf.training.tokens import ChatTokenizer, Message


@dataclass(frozen=True)
class Example:
    """A row of tokens; `answer` is true of the target tokens, `weights` is the weight of each in the loss."""

    ids: tuple[int, ...]
    answer: tuple[bool, ...]
    weights: tuple[float, ...]
    start: int = 0
    """How many tokens at the start mark the start of a document and are not part of the row."""

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Those of the row, which are billed."""
        return self.length - self.start


def supervised(row: DataRow, tokenizer: ChatTokenizer, *, prompt_weight: float, limit: int) -> list[Example]:
    """The examples of a row: one, or one for each answer where the template renders earlier turns differently."""
    if isinstance(row.prompt, str) or not row.learns_turns:
        weight = prompt_weight if isinstance(row.prompt, str) else 0.0
        return [answering(row.prompt, row.completion, tokenizer, prompt_weight=weight, limit=limit)]
    return list(_conversation(row, row.prompt, tokenizer, limit))


def answering(
    prompt: str | Turns, completion: str, tokenizer: ChatTokenizer, *, prompt_weight: float = 0.0, limit: int
) -> Example:
    """One prompt and its wanted answer. Past `limit` the prompt loses its start, then the answer its end."""
    answer = tokenizer.completion_ids(completion, finished=True, limit=limit - 1)
    context = prompt_ids(prompt, tokenizer, limit=max(1, limit - len(answer)))
    start = len(tokenizer.start_ids(prompt)) if isinstance(prompt, str) else 0
    return _example([(context, False, prompt_weight), (answer, True, 1.0)], start)


def replying(prompt: Sequence[int], reply: Sequence[int], weight: float = 1.0) -> Example:
    """A reply as it was written, token for token: without an end token where it was cut."""
    return _example([(list(prompt), False, 0.0), (list(reply), True, weight)])


def prompt_ids(prompt: str | Turns, tokenizer: ChatTokenizer, *, limit: int | None = None) -> list[int]:
    """The prompt as ids, raw text or through the chat template.

    Turns are cut as those of a chat are. Rows of which even what must stay is too long are refused before, where the
    policy's tokenizer can count them; where their length was only estimated, they lose their start, as raw text does.
    """
    if isinstance(prompt, str):
        return tokenizer.continuation_ids(prompt, limit=limit)
    try:
        return tokenizer.prompt_ids(_messages(prompt), limit=limit)
    except DoesNotFit as error:
        return tokenizer.prompt_ids(_messages(prompt))[-error.room :]


def _messages(turns: Turns) -> list[Message]:
    return [{"role": role, "content": content} for role, content in turns]


def _conversation(row: DataRow, prompt: Turns, tokenizer: ChatTokenizer, limit: int) -> Iterator[Example]:
    """All answers of a conversation in one example, as long as earlier turns are rendered the same each time."""
    turns: Turns = (*prompt, ("assistant", row.completion))
    parts: list[Part] = []
    so_far: list[int] = []
    for index, (role, content) in enumerate(turns):
        if role != "assistant" or index == 0:
            continue
        context = prompt_ids(turns[:index], tokenizer)
        answer = tokenizer.completion_ids(content, finished=True, limit=limit - 1)
        if context[: len(so_far)] != so_far or len(context) + len(answer) > limit:
            if _teaches(parts):
                yield _example(parts)
            parts, so_far = [], []
            context = prompt_ids(turns[:index], tokenizer, limit=max(1, limit - len(answer)))
        learnt = index not in row.unlearnt
        parts += [(context[len(so_far) :], False, 0.0), (answer, learnt, float(learnt))]
        so_far = [*context, *answer]
    if _teaches(parts):
        yield _example(parts)


Part = tuple[list[int], bool, float]
"""(ids, whether they are targets, their weight)"""


def _teaches(parts: Sequence[Part]) -> bool:
    return any(learnt for _, learnt, _ in parts)


def _example(parts: Sequence[Part], start: int = 0) -> Example:
    """The first token of all is not predicted, so it never counts."""
    ids = tuple(token for part, _, _ in parts for token in part)
    answer = tuple(learnt for part, learnt, _ in parts for _ in part)
    weights = tuple(weight for part, _, weight in parts for _ in part)
    return Example(ids, (False, *answer[1:]), (0.0, *weights[1:]), start)
