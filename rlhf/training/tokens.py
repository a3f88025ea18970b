"""Conversations as token ids: the policy's own tokenizer, with the control tokens of people's text made harmless."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import AutoTokenizer

from base.trimming import trim

Message = dict[str, str]


@dataclass
class NoPadding(Exception):
    """The tokenizer has no special token that can fill rows without being taken for an end."""

    directory: Path

    def __str__(self) -> str:
        return f"{self.directory}: no special token besides the end token, so rows cannot be padded"


class ChatTokenizer:
    """What training needs of a tokenizer. `padding_id` is never `end_id`: a masked end is never learnt."""

    def __init__(self, tokenizer: Any, directory: Path) -> None:
        self.tokenizer = tokenizer
        self.end_id = int(tokenizer.eos_token_id)
        self.padding_id = _padding_id(tokenizer, directory)

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

    def _render(self, messages: list[Message]) -> list[int]:
        ids = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False, sanitize_control_tokens=True
        )
        return cast(list[int], ids)


def _padding_id(tokenizer: Any, directory: Path) -> int:
    end = tokenizer.eos_token_id
    in_prompts = set(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": "x"}], add_generation_prompt=True, return_dict=False
        )
    )
    wanted = [tokenizer.pad_token_id, tokenizer.unk_token_id, *sorted(tokenizer.all_special_ids)]
    wanted += sorted(tokenizer.added_tokens_decoder)
    candidates = [index for index in wanted if index is not None and index != end]
    for index in [*(i for i in candidates if i not in in_prompts), *candidates]:
        return int(index)
    raise NoPadding(directory)
