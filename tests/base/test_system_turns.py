"""Instructions reach a model whose template knows none, in front of the first question."""

import pytest

from base import system_turns

SYSTEM, ASKED, SAID = ({"role": role, "content": role[0]} for role in ("system", "user", "assistant"))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([SYSTEM, ASKED, SAID, ASKED], [{"role": "user", "content": "s\n\nu"}, SAID, ASKED]),
        ([SYSTEM, SAID, ASKED], [{"role": "user", "content": "s"}, SAID, ASKED]),
        ([SYSTEM], [{"role": "user", "content": "s"}]),
        ([ASKED, SYSTEM], [ASKED, SYSTEM]),
        ([], []),
    ],
)
def test_instructions_lead_the_first_question(turns, expected):
    before = [dict(turn) for turn in turns]
    assert system_turns.folded(turns) == expected
    assert turns == before


def test_a_template_that_refuses_instructions_or_leaves_them_out_shows_none():
    def refuses(messages):
        raise ValueError("System role not supported")

    shown = [
        system_turns.are_rendered(render, (ValueError,))
        for render in (refuses, lambda messages: messages[-1]["content"], lambda messages: str(messages))
    ]
    assert shown == [False, False, True]
