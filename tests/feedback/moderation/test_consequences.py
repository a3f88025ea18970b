"""Every moderation verb says what it will do."""

import pytest

from feedback.moderation import consequences, reported_texts


@pytest.mark.parametrize("verb", consequences.VERBS)
def test_every_verb_says_what_it_will_do(reply, completion, verb):
    for text in (reply, completion):
        lines = consequences.lines(verb, reported_texts.item(text))
        assert lines
        assert all(line.endswith(".") for line in lines)
