"""Near-duplicates: what differs in writing alone or by a few letters; short questions of one form are none."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import seed
from feedback.near_duplicates import BANDS, Index, normalised, sketch

SAME = [
    ("What is a rainbow?", "what is a rainbow"),
    ("What is a rainbow?", "  WHAT  is a\nrainbow!!"),
    ("What is a rainbow?", "Ｗｈａｔ is a rainbow？"),  # full width
    ("What is the capital of Korea?", "Tell me: what is the capital of Korea?"),
    ("How do I keep cut flowers fresh for a week?", "How do I keep the cut flowers fresh for a week"),
    ("무지개는 왜 생기나요?", "무지개는  왜 생기나요"),
    ("물을 아끼는 방법을 하나 알려 주세요.", "물을 아끼는 방법을 하나 알려주세요"),
    ("자전거를 처음 배울 때 주의할 점은 무엇인가요?", "자전거를 처음 배울때 주의할 점은 무엇일까요"),
]
DIFFERENT = [
    ("What is the capital of Korea?", "What is the capital of France?"),
    ("What is a rainbow?", "What is a thunderstorm?"),
    ("무지개는 왜 생기나요?", "지진은 왜 생기나요?"),
    ("건강한 간식을 하나 추천해 주세요.", "재미있는 책을 하나 추천해 주세요."),
    ("?", "!"),
    ("🌈", "🐦"),
    ("2 + 2", "2 × 2"),
    ("", "a"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_near_duplicates_are_found(one, other):
    assert sketch(one).is_near(sketch(other))
    assert Index([sketch(one)]).has_near(sketch(other))
    assert set(sketch(one).bands) & set(sketch(other).bands)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_questions_are_not(one, other):
    assert not sketch(one).is_near(sketch(other))
    assert not Index([sketch(one)]).has_near(sketch(other))


def test_no_seed_prompt_repeats_one_of_the_other_side():
    prompts = seed.read("prompts.json")
    trained = [text for texts in prompts["train"].values() for text in texts] + prompts["ko"]["train"]
    held_out = [text for texts in prompts["held_out"].values() for text in texts] + prompts["ko"]["held_out"]
    index = Index(map(sketch, trained))
    assert [text for text in held_out if index.has_near(sketch(text))] == []


def test_the_share_of_common_bands_follows_the_overlap():
    """A band of r rows is shared with probability J**r (Leskovec et al., Mining of Massive Datasets, 3.4)."""
    chance = random.Random(3)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(60)]
    for changed in (2, 6, 12):
        expected, found = [], []
        for _ in range(40):
            one = chance.sample(words, 40)
            other = ["".join(chance.choices("0123456789", k=7)) if n < changed else w for n, w in enumerate(one)]
            chance.shuffle(one)
            left, right = (
                sketch(" ".join(one)),
                sketch(" ".join(w for w in one if w in other) + " ".join(other[:changed])),
            )
            overlap = len(left.shingles & right.shingles) / len(left.shingles | right.shingles)
            expected.append(overlap**5)
            found.append(len(set(left.bands) & set(right.bands)) / BANDS)
        assert sum(found) / 40 == pytest.approx(sum(expected) / 40, abs=0.06)


@given(st.text(max_size=60))
def test_any_text_is_its_own_near_duplicate_in_any_case_and_with_marks_around_it(text):
    assert sketch(text).is_near(sketch(text))
    if normalised(text) != text.strip():
        return
    assert sketch(text).key == sketch(f" {text} ").key
    if any(letter.isalnum() for letter in text):
        assert sketch(text).key == sketch(f"...{text}?!").key
