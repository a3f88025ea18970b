"""Every moderation verb says what it will do."""

import pytest

from feedback.moderation import consequences, review_queue


@pytest.mark.parametrize("verb", consequences.VERBS)
def test_every_verb_says_what_it_will_do(reply, completion, verb):
    for kind, text in (("message", reply), ("completion", completion)):
        lines = consequences.lines(verb, review_queue.item(kind, text))
        assert lines
        assert all(line.endswith(".") for line in lines)
