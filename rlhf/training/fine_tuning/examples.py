"""Rows as token ids, each token with whether it is what the model is to say.

A prompt and its completion are encoded each by itself, because that is how they meet when the model is used. The end
token stands after every completion, or the model would not know where to stop. Turns go through the chat template as
they do in a chat; control tokens in the data stay text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from base.trimming import DoesNotFit
from rlhf.training.fine_tuning.rows import Row, Turns
from rlhf.training.tokens import ChatTokenizer, Message


@dataclass(frozen=True)
class Example:
    """A row of tokens; `answer` is true of those that the model is to say, `weights` what each counts in the loss."""

    ids: tuple[int, ...]
    answer: tuple[bool, ...]
    weights: tuple[float, ...]
    start: int = 0
    """Tokens at the start that stand for the start of a document, not for anything in the row."""

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Those of the row, which are what is billed."""
        return self.length - self.start


def supervised(row: Row, tokenizer: ChatTokenizer, *, prompt_weight: float, limit: int) -> list[Example]:
    """What a row teaches: one example, or one for each answer where the template renders no turn like before."""
    if isinstance(row.prompt, str) or not row.learns_turns:
        weight = prompt_weight if isinstance(row.prompt, str) else 0.0
        return [answering(row.prompt, row.completion, tokenizer, prompt_weight=weight, limit=limit)]
    return list(_conversation(row, row.prompt, tokenizer, limit))


def answering(
    prompt: str | Turns, completion: str, tokenizer: ChatTokenizer, *, prompt_weight: float = 0.0, limit: int
) -> Example:
    """One prompt and what is to be said to it. What is too long loses the prompt's start, then the answer's end."""
    answer = tokenizer.completion_ids(completion, finished=True, limit=limit - 1)
    context = prompt_ids(prompt, tokenizer, limit=max(1, limit - len(answer)))
    start = len(tokenizer.start_ids(prompt)) if isinstance(prompt, str) else 0
    return _example([(context, False, prompt_weight), (answer, True, 1.0)], start)


def prompt_ids(prompt: str | Turns, tokenizer: ChatTokenizer, *, limit: int | None = None) -> list[int]:
    """What the model sees before it answers.

    Turns are cut as those of a chat are. Rows of which even what must stay is too long are refused before, where the
    policy's tokenizer can count them; one that was only guessed at loses its start, as a raw text does.
    """
    if isinstance(prompt, str):
        return tokenizer.continuation_ids(prompt, limit=limit)
    try:
        return tokenizer.prompt_ids(_messages(prompt), limit=limit)
    except DoesNotFit as error:
        return tokenizer.prompt_ids(_messages(prompt))[-error.room :]


def _messages(turns: Turns) -> list[Message]:
    return [{"role": role, "content": content} for role, content in turns]


def _conversation(row: Row, prompt: Turns, tokenizer: ChatTokenizer, limit: int) -> Iterator[Example]:
    """All answers of a conversation in one example, as long as what was said is rendered alike turn after turn."""
    turns: Turns = (*prompt, ("assistant", row.completion))
    parts: list[Part] = []
    said: list[int] = []
    for index, (role, content) in enumerate(turns):
        if role != "assistant" or index == 0:
            continue
        context = prompt_ids(turns[:index], tokenizer)
        answer = tokenizer.completion_ids(content, finished=True, limit=limit - 1)
        if context[: len(said)] != said or len(context) + len(answer) > limit:
            if _teaches(parts):
                yield _example(parts)
            parts, said = [], []
            context = prompt_ids(turns[:index], tokenizer, limit=max(1, limit - len(answer)))
        learnt = index not in row.unlearnt
        parts += [(context[len(said) :], False, 0.0), (answer, learnt, float(learnt))]
        said = [*context, *answer]
    if _teaches(parts):
        yield _example(parts)


Part = tuple[list[int], bool, float]
"""(ids, whether they are to be said, their weight)"""


def _teaches(parts: Sequence[Part]) -> bool:
    return any(learnt for _, learnt, _ in parts)


def _example(parts: Sequence[Part], start: int = 0) -> Example:
    """The first token of all is predicted by nothing and counts nothing."""
    ids = tuple(token for part, _, _ in parts for token in part)
    answer = tuple(learnt for part, learnt, _ in parts for _ in part)
    weights = tuple(weight for part, _, weight in parts for _ in part)
    return Example(ids, (False, *answer[1:]), (0.0, *weights[1:]), start)
