"""The protocol's messages, against bytes that protobuf wrote from the package tinker 0.25's own descriptors."""

import pytest

from rlhf.training.tinker import wire
from rlhf.training.tinker.wire import BadMessage, LearntSequence, TinkerCompletion

REQUEST = (
    "0a076d6f64656c5f3110ac021a90010a0c0a0a0a080500000006000000121d0a0a616476616e7461676573120f0a08000000000000004018"
    "01220102121b0a086c6f6770726f6273120f0a0800000000000000bf180122010212280a0d7461726765745f746f6b656e7312170a100600"
    "00000000000007000000000000001802220102121a0a0777656967687473120f0a08000000000000803f18012201022213696d706f727461"
    "6e63655f73616d706c696e67"
)
ANSWER = "0a14120809000000020000001a080000c0bf000080be0a0e080112042c0100001a04000000c020c801"


def parts(message: bytes) -> list[tuple[int, object]]:
    """In an order of their own: protobuf's is free, of fields as of a map's entries."""
    return sorted(wire.fields(message), key=repr)


def test_a_request_says_what_protobuf_says() -> None:
    example = LearntSequence([5, 6], [6, 7], [0, 1], [0, -0.5], [0, 2])
    made = wire.forward_backward("model_1", 300, "importance_sampling", [example])
    expected = bytes.fromhex(REQUEST)
    assert [one for one in parts(made) if one[0] != 3] == [one for one in parts(expected) if one[0] != 3]
    (mine,), (theirs,) = ([value for number, value in parts(one) if number == 3] for one in (made, expected))
    assert isinstance(mine, bytes)
    assert isinstance(theirs, bytes)
    assert parts(mine) == parts(theirs)


def test_the_completions_of_an_answer_are_read() -> None:
    assert wire.samples(bytes.fromhex(ANSWER)) == [
        TinkerCompletion([9, 2], [-1.5, -0.25]),
        TinkerCompletion([300], [-2.0]),
    ]


@pytest.mark.parametrize("broken", [ANSWER[:-30], "0a", "0b00", "ff" * 12, "0a05120109" + "1a00", "0a06120409000000"])
def test_what_is_no_message_is_refused(broken: str) -> None:
    with pytest.raises(BadMessage):
        wire.samples(bytes.fromhex(broken))
