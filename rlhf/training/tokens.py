"""Conversations as token ids: the policy's own tokenizer, with the control tokens of people's text made harmless."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import jinja2
from transformers import AutoTokenizer

from base import system_turns
from base.trimming import trim
from rlhf.training.model.ends import end_ids

Message = dict[str, str]


@dataclass
class NoPadding(Exception):
    """The tokenizer has no special token that can fill rows without being taken for an end."""

    directory: Path

    def __str__(self) -> str:
        return f"{self.directory}: no special token besides the end token, so rows cannot be padded"


@dataclass
class NoEnd(Exception):
    """Neither the tokenizer nor the configuration names a token that ends a reply."""

    directory: Path

    def __str__(self) -> str:
        return f"{self.directory}: no token ends a reply (eos_token_id), so no reply could end"


class ChatTokenizer:
    """What training needs of a tokenizer. `end_id` is the end that the chat template writes after a reply, one of
    `end_ids`, after each of which a reply is over; `padding_id` is none of them: a masked end is never learnt."""

    thinks: ClassVar[bool] = False
    """Whether templates that can switch reasoning off leave it on; one value for a process, set at its start."""

    def __init__(self, tokenizer: Any, directory: Path) -> None:
        self.tokenizer = tokenizer
        self.end_ids = _end_ids(tokenizer, directory)
        self.end_id = self._end_of_turn()
        self.padding_id = _padding_id(tokenizer, self.end_ids, self._render([_QUESTION]), directory)

    @classmethod
    def load(cls, directory: Path) -> "ChatTokenizer":
        """Read the tokenizer of a policy directory; code in the directory is never run."""
        tokenizer = AutoTokenizer.from_pretrained(str(directory), trust_remote_code=False, local_files_only=True)
        return cls(tokenizer, directory)

    def prompt_ids(self, messages: Sequence[Message], *, limit: int | None = None) -> list[int]:
        """The rendered prompt; past `limit` it is cut as a served one is. Raises DoesNotFit."""
        if limit is None:
            return self._render(list(messages))
        return trim(messages, self._render, len, room=limit).encoded

    def completion_ids(self, text: str, *, finished: bool, limit: int | None = None) -> list[int]:
        """The reply, with the end token if and only if the model ended it itself."""
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        ids = cast(list[int], encoded["input_ids"])
        if limit is not None and len(ids) > limit:
            return ids[:limit]
        return [*ids, self.end_id] if finished else ids

    def text_ids(self, text: str) -> list[int]:
        """Plain text, as for perplexity."""
        return self.completion_ids(text, finished=False)

    def continuation_ids(self, text: str, *, limit: int | None = None) -> list[int]:
        """Raw text that is to be continued, without a template; past `limit` its start goes."""
        start, ids = self.start_ids(text), self.text_ids(text)
        return [*start, *(ids if limit is None else ids[max(0, len(ids) - limit + len(start)) :])]

    def start_ids(self, text: str) -> list[int]:
        """Before raw text: the start of a document, where the tokenizer itself puts one or there is no text."""
        own = cast(list[int], self.tokenizer("")["input_ids"])[:1]
        begin = self.tokenizer.bos_token_id
        if own and own[0] == begin:
            return own
        return [] if text else [self.end_id if begin is None else int(begin)]

    def decode(self, ids: Sequence[int]) -> str:
        return cast(str, self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @functools.cached_property
    def takes_system_turn(self) -> bool:
        def render(messages: list[Message]) -> str:
            return cast(str, self._template(messages, tokenize=False))

        return system_turns.are_rendered(render, (jinja2.TemplateError, TypeError, ValueError))

    def _render(self, messages: Sequence[Message]) -> list[int]:
        if messages and messages[0]["role"] == "system" and not self.takes_system_turn:
            messages = system_turns.folded(messages)
        return cast(list[int], self._template(messages, return_dict=False, sanitize_control_tokens=True))

    def _template(self, messages: Sequence[Mapping[str, str]], **options: Any) -> Any:
        return self.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, enable_thinking=self.thinks, **options
        )

    def _end_of_turn(self) -> int:
        """The first end that the template writes after a reply; the tokenizer's own where it writes none."""
        asked = self._render([_QUESTION])
        try:
            said = self.tokenizer.apply_chat_template([_QUESTION, _ANSWER], return_dict=False)
        except (jinja2.TemplateError, TypeError, ValueError):
            said = []
        common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(asked, said, strict=False)))
        after = [index for index in said[common:] if index in self.end_ids]
        own = self.tokenizer.eos_token_id
        return int(after[0]) if after else int(min(self.end_ids) if own is None else own)


_QUESTION, _ANSWER = {"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}


def _end_ids(tokenizer: Any, directory: Path) -> frozenset[int]:
    """Of the tokenizer and of the configuration, which may name different ones."""
    own = tokenizer.eos_token_id
    ids = frozenset([*end_ids(directory), *([] if own is None else [int(own)])])
    if not ids:
        raise NoEnd(directory)
    return ids


def _padding_id(tokenizer: Any, end_ids: frozenset[int], in_prompts: Sequence[int], directory: Path) -> int:
    wanted = [tokenizer.pad_token_id, tokenizer.unk_token_id, *sorted(tokenizer.all_special_ids)]
    wanted += sorted(tokenizer.added_tokens_decoder)
    candidates = [index for index in wanted if index is not None and index not in end_ids]
    for index in [*(i for i in candidates if i not in in_prompts), *candidates]:
        return int(index)
    raise NoPadding(directory)
