"""Renders messages as the token ids of a prompt, without torch; user text never becomes a control token.

Works as `apply_chat_template(..., sanitize_control_tokens=True)` of transformers (5.20 and later): control tokens
in the messages are marked before the template is rendered, the rendered text is split at the marks, and marked pieces
are encoded as plain text. A property test holds the ids against transformers itself.
"""

import functools
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
from django.conf import settings
from tokenizers import Tokenizer

from base import system_turns
from chat.errors import BadPolicy, TurnsRefused

MARK_START, MARK_END = "\U000f0000", "\U000f0001"
"""Private-use characters; removed from what people write, so that nobody can forge a mark."""
TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class Turn(TypedDict):
    """A message as the model sees it."""

    role: str
    content: str


ROLES = ("system", "user", "assistant")


class Forbidden(jinja2.TemplateError):
    """Raised by a template that refuses the messages (`raise_exception`), with its reason."""


TEMPLATE_ERRORS = (jinja2.TemplateError, TypeError, ArithmeticError, ValueError, LookupError, AttributeError)


class Renderer:
    """The tokenizer and the chat template of one policy directory."""

    def __init__(self, directory: Path) -> None:
        try:
            self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
            self.special_tokens = _special_tokens(directory / "tokenizer_config.json")
            self.start = _start_of_document(self.tokenizer, directory / "tokenizer_config.json", self.special_tokens)
            """Ids with which a document begins by the tokenizer's convention; often none."""
            self.tokenizer.post_processor = None  # it would remove the spaces from the offsets of tokens
            self.template = (directory / "chat_template.jinja").read_text(encoding="utf-8")
            self._compiled = _compile_template(self.template)
        except Exception as error:  # `tokenizers` raises bare Exception
            raise BadPolicy(f"{directory}: {error}") from error
        self.added_tokens: dict[str, int] = {
            token.content: number for number, token in self.tokenizer.get_added_tokens_decoder().items()
        }
        self.control_tokens = {number: token for token, number in self._control_tokens().items()}
        self._control = _pattern(tuple(self.control_tokens.values()))
        self._marks = re.compile(
            f"{MARK_START}({_pattern(tuple(self.added_tokens)).pattern}){MARK_END}|[{MARK_START}{MARK_END}]"
        )

    def ids(self, messages: Sequence[Turn]) -> list[int]:
        """Token ids of the conversation with the header of the reply to come. Raises TurnsRefused, BadPolicy."""
        turns = self.as_taken(messages)
        marked = [{"role": turn["role"], "content": self._mark(turn["content"])} for turn in turns]
        try:
            text = self._rendered(marked)
        except Forbidden as error:
            raise TurnsRefused(str(error)) from error
        except TEMPLATE_ERRORS as error:
            if self._is_sound:
                raise TurnsRefused(str(error)) from error
            raise BadPolicy(f"the chat template failed: {error}") from error
        pieces = self._marks.split(text)
        return self._encode(pieces[0]) + self._encode_pieces(pieces[1:], is_marked=True)

    def as_taken(self, messages: Sequence[Turn]) -> list[Turn]:
        """The messages as the template takes them: where it knows no instructions, they lead the first question."""
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
        if turns and turns[0]["role"] == "system" and not self.takes_system_turn:
            turns = system_turns.folded(turns)
        return [Turn(role=turn["role"], content=turn["content"]) for turn in turns]

    @property
    def thinking(self) -> bool | None:
        """Whether the template is to begin with reasoning; None where it is not asked."""
        return settings.CHAT_THINKING == "on" if "enable_thinking" in self.template else None

    def _rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        return self._compiled.render(
            messages=messages,
            add_generation_prompt=True,
            enable_thinking=settings.CHAT_THINKING == "on",
            **self.special_tokens,
        )

    @functools.cached_property
    def _is_sound(self) -> bool:
        """Whether the template renders a plain message, so that a failure is due to the messages."""
        try:
            self._rendered([{"role": "user", "content": "a"}])
        except TEMPLATE_ERRORS:
            return False
        return True

    @functools.cached_property
    def takes_system_turn(self) -> bool:
        """Whether the template shows instructions; where it does not, they lead the first question."""
        return system_turns.are_rendered(self._rendered, TEMPLATE_ERRORS)

    def continuation(self, text: str) -> list[int]:
        """Token ids of text that continues the prompt, without any control token."""
        return self._encode_pieces(self._marks.split(self._mark(text)), is_marked=False)

    def document(self, text: str) -> list[tuple[int, str]]:
        """The ids of a text with nothing before it, each as in `spelled`; those that begin a document add no text.

        An empty text is only the beginning of a document, if the tokenizer has a token for it.
        """
        start = self.start or ([] if text else self._opening())
        return [(number, "") for number in start] + self.spelled(text, is_first=True)

    def _opening(self) -> list[int]:
        """The beginning of a document where the tokenizer's convention has none."""
        names = [self.special_tokens.get(name, "") for name in ("bos_token", "eos_token")]
        return [self.added_tokens[name] for name in names if name in self.added_tokens][:1]

    def spelled(self, text: str, *, is_first: bool = False) -> list[tuple[int, str]]:
        """The ids of `continuation`, each with what it adds to the text; joined, that is the text.

        A character of several tokens is added by the last of them. `is_first`: nothing stands before the text.
        """
        spelled: list[tuple[int, str]] = []
        for index, piece in enumerate(self._marks.split(self._mark(text))):
            if index % 2:
                ids = _encode_after_newline(self._encode_as_text, piece, self._encode("\n"))
                spelled += [(number, "") for number in ids[:-1]] + [(number, piece) for number in ids[-1:]]
            elif piece:
                spelled += self._spelled_piece(piece, is_first=is_first and index == 0)
        return spelled

    def _spelled_piece(self, piece: str, *, is_first: bool) -> list[tuple[int, str]]:
        newline, shift = self._encode("\n"), 1
        encoding = self.tokenizer.encode("\n" + piece, add_special_tokens=False)
        if is_first or encoding.ids[: len(newline)] != newline:
            newline, shift = [], 0
            encoding = self.tokenizer.encode(piece, add_special_tokens=False)
        spans = [(start - shift, end - shift) for start, end in encoding.offsets[len(newline) :]]
        cuts = [min(end, after) for (_, end), (after, _) in itertools.pairwise(spans)] + [len(piece)]
        texts = [piece[start:end] for start, end in itertools.pairwise([0, *cuts])]
        return list(zip(encoding.ids[len(newline) :], texts, strict=True))

    def added_by(self, number: int, before: Sequence[int]) -> str:
        """What a token would add to the text after those `before`; empty where it would be no whole character."""
        context = list(before[-8:])
        whole = self.tokenizer.decode([*context, number], skip_special_tokens=False)
        begun = self.tokenizer.decode(context, skip_special_tokens=False).rstrip("\ufffd")
        added: str = whole[len(begun) :] if whole.startswith(begun) else ""
        return "" if added.endswith("\ufffd") else added

    def _encode_pieces(self, pieces: Sequence[str], *, is_marked: bool) -> list[int]:
        """Every other piece is marked; `is_marked`: whether the first one is."""
        newline, ids = self._encode("\n"), []
        for index, piece in enumerate(pieces):
            if piece:
                encode = self._encode_as_text if (index % 2 == 0) == is_marked else self._encode
                ids += _encode_after_newline(encode, piece, newline)
        return ids

    def _control_tokens(self) -> dict[str, int]:
        """Special tokens, and added tokens that the template itself writes, with their ids."""
        literals = _literal_text(self.template)
        return {
            token.content: number
            for number, token in self.tokenizer.get_added_tokens_decoder().items()
            if token.special or (token.content in literals and not token.content.isspace())
        }

    def _mark(self, text: str) -> str:
        text = self._folded(text.replace(MARK_START, "").replace(MARK_END, ""))
        return self._control.sub(f"{MARK_START}\\g<0>{MARK_END}", text)

    def _folded(self, text: str) -> str:
        """The text, normalised if the tokenizer's normalisation makes control tokens of it (`＜s＞` to `<s>`).

        transformers' own sanitising misses those.
        """
        if self.tokenizer.normalizer is None:
            return text
        normal: str = self.tokenizer.normalizer.normalize_str(text)
        same = self._control.findall(normal) == self._control.findall(text)
        return text if same else normal.replace(MARK_START, "").replace(MARK_END, "")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _encode_as_text(self, text: str) -> list[int]:
        """Encodes by the tokenizer's pipeline without its added tokens."""
        tokenizer, token = self.tokenizer, self.added_tokens.get(text.removeprefix("\n"))
        if tokenizer.normalizer is not None:
            text = tokenizer.normalizer.normalize_str(text)
        splits = [text]
        if tokenizer.pre_tokenizer is not None:
            splits = [split for split, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        ids: list[int] = [part.id for split in splits for part in tokenizer.model.tokenize(split)]
        if token in ids:
            raise BadPolicy(f"{text!r} can't be told from a control token: the tokenizer makes it from plain text")
        return ids


@functools.lru_cache(maxsize=8)
def renderer(directory: Path) -> Renderer | None:
    """The directory's cached renderer; None if it has no tokenizer. A policy directory never changes."""
    return Renderer(directory) if (directory / "tokenizer.json").is_file() else None


def _compile_template(source: str) -> jinja2.Template:
    """Compiles it in Jinja's sandbox, with the options and functions that transformers gives to chat templates."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)


class _GenerationBlock(jinja2.ext.Extension):
    """`{% generation %}` marks the assistant's part for training; a prompt only needs its content."""

    tags = {"generation"}

    def parse(self, parser: Any) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: str) -> None:
    raise Forbidden(message)


def _special_tokens(path: Path) -> dict[str, str]:
    config = json.loads(path.read_text(encoding="utf-8"))
    values = {name: config.get(name) for name in TOKEN_NAMES}
    return {name: value["content"] if isinstance(value, dict) else value for name, value in values.items() if value}


def _start_of_document(tokenizer: Tokenizer, path: Path, special_tokens: dict[str, str]) -> list[int]:
    """The ids that the tokenizer puts before a text by itself, as transformers reads its files."""
    adds_bos = json.loads(path.read_text(encoding="utf-8")).get("add_bos_token")
    if isinstance(adds_bos, bool):
        number = tokenizer.token_to_id(special_tokens.get("bos_token", "")) if adds_bos else None
        return [] if number is None else [number]
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    whole: list[int] = tokenizer.encode("a", add_special_tokens=True).ids
    starts = (n for n in range(len(whole) - len(plain) + 1) if whole[n : n + len(plain)] == plain)
    return whole[: next(starts, 0)]


def _literal_text(template: str) -> str:
    """What the template itself may write: its plain text and its string constants."""
    tree = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols]
    ).parse(template)
    literals = {node.data for node in tree.find_all(jinja2.nodes.TemplateData)}
    literals |= {node.value for node in tree.find_all(jinja2.nodes.Const) if isinstance(node.value, str)}
    return "\0".join(literals)


def _pattern(tokens: Sequence[str]) -> re.Pattern[str]:
    """Any of the tokens, a longer one before those that it contains."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _encode_after_newline(encode: Callable[[str], list[int]], piece: str, newline: list[int]) -> list[int]:
    """Some tokenizers put a space before a string: encodes it after a newline, and removes the newline's ids."""
    ids = encode("\n" + piece)
    return ids[len(newline) :] if ids[: len(newline)] == newline else encode(piece)
