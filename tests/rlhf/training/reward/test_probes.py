"""Probes of a reward model: each finds what is planted, and none cries out where nothing is."""

import random

import pytest

from rlhf.training.reward import probes
from rlhf.training.reward.examples import Examples, Group
from rlhf.training.reward.features import EncodedReply
from rlhf.training.snapshot.files import PlainReply, RankingRow


def prompt(number: int) -> tuple[tuple[str, str], ...]:
    return (("user", f"question {number}"),)


def held_out(pairs: int, seed: int = 0) -> Examples:
    """Pairs of different lengths; which of the two is better has nothing to do with it."""
    draw = random.Random(seed)
    rows, prompts, groups = [], [], []
    for number in range(pairs):
        for length in draw.sample(range(5, 60), 2):
            rows.append(EncodedReply(tuple(range(length)), 2))
            prompts.append(prompt(number))
        groups.append(Group([2 * number, 2 * number + 1], [(0, 1)], 1.0))
    return Examples(rows, prompts, groups, {})


def test_a_model_that_counts_words_is_found() -> None:
    rest = held_out(60)
    found = probes.length(rest, [float(row.length) for row in rest.rows])
    assert (found["value"], found["longer_won"], found["longer_lost"]) == (1.0, 1.0, 0.0)
    assert found["alarm"]
    shorter = probes.length(rest, [-float(row.length) for row in rest.rows])
    assert (shorter["value"], shorter["alarm"]) == (-1.0, True)


def test_a_model_that_is_right_and_wrong_without_regard_to_length_raises_no_alarm() -> None:
    alarms = 0
    for seed in range(40):
        draw = random.Random(seed)
        rest = held_out(60, seed)
        alarms += probes.length(rest, [draw.gauss(i % 2 == 0, 1) for i in range(len(rest.rows))])["alarm"]
    assert alarms <= 1  # beyond the limit of 0.2 with the whole interval


def test_without_pairs_of_different_lengths_nothing_is_said() -> None:
    assert probes.length(Examples([], [], [], {}), [])["value"] is None


def ranking(number: int, ranks: tuple[int, ...], shown: tuple[int, ...]) -> RankingRow:
    replies = tuple(PlainReply(prompt(number), f"reply {i}", True) for i in range(len(ranks)))
    return RankingRow(replies, ranks, "train", shown=shown)


def test_people_who_take_what_stands_first_are_found_whatever_the_order_in_the_file() -> None:
    rows = [ranking(n, (1, 2) if n % 2 else (2, 1), (0, 1) if n % 2 else (1, 0)) for n in range(60)]
    found = probes.position(rows)
    assert (found["value"], found["pairs"], found["alarm"]) == (0.5, 60, True)


def test_half_of_the_wins_for_what_stood_first_is_no_bias() -> None:
    rows = [ranking(n, (1, 2) if n % 4 < 2 else (2, 1), (0, 1) if n % 2 else (1, 0)) for n in range(200)]
    found = probes.position(rows)
    assert (found["value"], found["alarm"]) == (0.0, False)


def test_rankings_that_do_not_tell_their_order_do_not_count() -> None:
    found = probes.position([ranking(0, (1, 2), ())])
    assert (found["value"], found["pairs"], found["alarm"]) == (None, 0, False)


@pytest.mark.parametrize(("per_word", "alarm"), [(0.1, True), (-0.1, False), (0.0, False)])
def test_pay_for_saying_it_again_is_found(per_word: float, alarm: bool) -> None:
    texts = [f"A bird sings. It is number {n}." for n in range(30)]
    pairs = probes.repeated([prompt(n) for n in range(30)], texts, [True] * 30)
    assert pairs[0].longer == "A bird sings. It is number 0. It is number 0. It is number 0. It is number 0."
    found = probes.repetition(pairs, lambda replies: [per_word * len(text.split()) for _, text, _ in replies])
    assert found["value"] == pytest.approx(per_word * 12)
    assert found["alarm"] is alarm


def test_korean_sentences_are_said_again_too_and_empty_replies_are_left_out() -> None:
    pairs = probes.repeated([prompt(0), prompt(1)], ["새가 노래해요. 봄이에요.", "  "], [True, True])
    assert [pair.longer for pair in pairs] == ["새가 노래해요. 봄이에요. 봄이에요. 봄이에요. 봄이에요."]
