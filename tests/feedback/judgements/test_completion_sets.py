"""Sets of completions: doubles merged, one of some cut short, and a temperature at which they differ."""

import random

import pytest

from chat.completions.bulk import Completed
from feedback.judgements import completion_sets


def completed(text):
    return Completed(text, "stop", 5, 7)


@pytest.mark.parametrize("share", [0, 0.1, 1])
def test_a_share_of_tasks_has_one_reply_cut_short(share):
    whole = Completed("one two three four five six seven", "length", 5, 7)
    sets = completion_sets.with_short_replies([[whole] * 4 for _ in range(50)], share, random.Random(1))
    cut = [[reply for reply in replies if isinstance(reply, completion_sets.CutCompletion)] for replies in sets]
    assert sum(map(bool, cut)) == share * 50
    assert all(len(of_set) <= 1 for of_set in cut)
    shortened = [reply for of_set in cut for reply in of_set]
    for reply in shortened:
        assert reply.finish_reason == "stop"
        assert whole.text.startswith(reply.text)
        assert len(reply.text.split()) <= completion_sets.MAX_WORDS_OF_A_CUT
    if share == 1:
        assert {len(reply.text.split()) for reply in shortened} == {0, 1, 2, 3, 4}


def test_the_first_of_each_text_stays_in_its_place():
    replies = [completed(text) for text in ("b", "a", "b \n", "", "a", "c d", "c  d")]
    assert [reply.text for reply in completion_sets.without_doubles(replies)] == ["b", "a", "", "c d"]


def test_a_site_whose_chat_is_greedy_samples_its_tasks_all_the_same(settings):
    settings.CHAT_TEMPERATURE = 0.0
    assert completion_sets.parameters().temperature > 0
    settings.CHAT_TEMPERATURE = 1.2
    assert completion_sets.parameters().temperature == 1.2
