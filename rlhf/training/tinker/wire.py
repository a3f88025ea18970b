"""The protocol's messages that are no JSON: protobuf's wire format, by hand, for the few that a training needs.

Field numbers are those of `tinker_public.proto` in the package tinker 0.25 (Apache 2.0). The encoding is
https://protobuf.dev/programming-guides/encoding: a key (number * 8 + type), then a varint (type 0), eight bytes (1),
a length and as many bytes (2), or four bytes (5).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
FLOAT32, INT64 = 1, 2


class BadMessage(Exception):
    """Bytes that are none of the protocol's messages."""


@dataclass(frozen=True)
class LearntSequence:
    """One sequence to learn from: T tokens that are read, and of each the token that follows it."""

    tokens: Sequence[int]
    targets: Sequence[int]
    weights: Sequence[float]
    """1 for the tokens of the completion, 0 for those of the prompt."""
    log_probs: Sequence[float]
    """Of the targets as they were drawn."""
    advantages: Sequence[float]


@dataclass(frozen=True)
class TinkerCompletion:
    """The end token included, where there is one."""

    ids: list[int]
    log_probs: list[float]


def forward_backward(model: str, number: int, loss: str, examples: Sequence[LearntSequence]) -> bytes:
    """The body of a forward_backward request. `number`: counts a model's requests, from 1."""
    head = _text(1, model) + _number(2, number) + _text(4, loss)
    return head + b"".join(_field(3, _datum(example)) for example in examples)


def samples(message: bytes) -> list[TinkerCompletion]:
    """Of a SampleResponse. Raises BadMessage."""
    return [_sampled(value) for number, value in fields(message) if number == 1 and isinstance(value, bytes)]


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The number and the value of each field. Raises BadMessage."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _size(message, at, kind)
        if at + size > len(message):
            raise BadMessage("a field is longer than its message")
        yield key >> 3, message[at : at + size]
        at += size


def _size(message: bytes, at: int, kind: int) -> tuple[int, int]:
    """Bytes of a value that is no varint, and where they begin."""
    if kind == BYTES:
        return _varint(message, at)
    if kind not in (EIGHT, FOUR):
        raise BadMessage(f"no such type of a field: {kind}")
    return (8 if kind == EIGHT else 4), at


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number and where the next field begins."""
    found = 0
    for place in range(10):
        if at + place >= len(message):
            raise BadMessage("it ends within a number")
        byte = message[at + place]
        found |= (byte & 127) << (7 * place)
        if byte < 128:
            return found, at + place + 1
    raise BadMessage("a number of more than ten bytes")


def _written(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes((*made, number))


def _field(number: int, value: bytes) -> bytes:
    return _written(number << 3 | BYTES) + _written(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _number(number: int, value: int) -> bytes:
    return _written(number << 3 | VARINT) + _written(value)


def _datum(example: LearntSequence) -> bytes:
    tokens = np.asarray(example.tokens, dtype="<i4").tobytes()
    read = _field(1, _field(1, _field(1, tokens)))  # a chunk of encoded text
    inputs: Mapping[str, bytes] = {
        "target_tokens": _tensor(np.asarray(example.targets, dtype="<i8"), INT64),
        "weights": _tensor(np.asarray(example.weights, dtype="<f4"), FLOAT32),
        "logprobs": _tensor(np.asarray(example.log_probs, dtype="<f4"), FLOAT32),
        "advantages": _tensor(np.asarray(example.advantages, dtype="<f4"), FLOAT32),
    }
    return read + b"".join(_field(2, _text(1, name) + _field(2, value)) for name, value in inputs.items())


def _tensor(values: np.ndarray, kind: int) -> bytes:
    return _field(1, values.tobytes()) + _number(3, kind) + _field(4, _written(len(values)))


def _sampled(message: bytes) -> TinkerCompletion:
    parts = {number: value for number, value in fields(message) if isinstance(value, bytes)}
    if 3 not in parts:
        raise BadMessage("a completion without log-probs")
    try:
        ids = np.frombuffer(parts.get(2, b""), dtype="<i4").tolist()
        return TinkerCompletion(ids, np.frombuffer(parts[3], dtype="<f4").tolist())
    except ValueError as error:
        raise BadMessage(str(error)) from error
