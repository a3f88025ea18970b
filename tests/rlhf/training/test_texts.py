"""Figures of a reply's text, by hand."""

import pytest

from rlhf.training import texts


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("A star is hot. It shines.", "A star is hot."),
        ('He said "no!" Then left.', 'He said "no!"'),
        ("Pi is 3.14 or so. Yes", "Pi is 3.14 or so."),
        ("no end", "no end"),
        ("", ""),
        ("  What?\nWell.", "  What?"),
        ("Wait... what?", "Wait..."),
    ],
)
def test_the_first_sentence(text: str, first: str) -> None:
    assert texts.first_sentence(text) == first


def test_repetition_is_the_share_of_triples_seen_before() -> None:
    assert texts.repetition("a b c a b c") == pytest.approx(1 / 4)  # abc bca cab abc
    assert texts.repetition("a b") == 0.0


def test_distinct_2_counts_over_all_replies() -> None:
    assert texts.distinct_2(["a b c", "a b"]) == pytest.approx(2 / 3)
    assert texts.distinct_2([]) == 0.0


def test_a_reply_of_marks_alone_is_empty() -> None:
    assert texts.is_empty(" ... !")
    assert not texts.is_empty("참새")


SENTENCES = [
    "A star is hot.",
    "I agree.",
    "That's right!",
    "Yes, it is.",
    "No, I do not have a body.",
    "Stars are balls of hot gas that",  # cut by the length limit
    'He said "wait for me."',
    "Here:\n- The first step is to wash the rice.",
    "Pi is 3.14 or so.",
    "**Wash the rice.**",
    "La lune est belle.",
    "Это очень красиво.",
    "오늘은 날씨가 좋아요.",
    "오늘은 날씨가 좋아요",
    "네, 맞습니다.",
    "저는 몸이 없습니다.",
    "무엇을 도와드릴까요?",
    "별은 아주 뜨거운 가스로 이루어진 커다란",  # cut
    "안녕하세요! 저는 참새입니다.",
    "我觉得今天天气很好。",
    "今日はとても暑いですね。",
]
NONE = [
    "",
    "   \n",
    "...!",
    "👍👍👍 😀",
    "Toothpick",
    "Toothpick.",
    "No, no.",
    "Yes.",
    "No no no no no.",
    "Boil an egg:",
    "Ingredients:\n- apples\n- pears\n- sugar",
    "Red, green, blue.",
    "Elle fermaille!",
    "42",
    "Paris, France.",
    "네.",
    "아니요.",
    "네, 아니요.",
    "서울.",
    "사과, 배, 포도.",
    "안녕하세요!",
    "감사합니다.",
    "하하하 하하하 하하하",
    "좋아요 좋아요 좋아요.",
    "是的。",
]


@pytest.mark.parametrize("text", SENTENCES)
def test_what_is_a_sentence(text: str) -> None:
    assert texts.has_sentence(text)


@pytest.mark.parametrize("text", NONE)
def test_what_is_none(text: str) -> None:
    assert not texts.has_sentence(text)


def test_a_sentence_anywhere_in_the_text_counts() -> None:
    assert texts.has_sentence("Toothpick\n\nYou use it after a meal.\n👍")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello, 세계 and more", "LATIN"),
        ("참새는 bird 입니다", "HANGUL"),
        ("漢字とカナ", "CJK"),
        ("Привет", "CYRILLIC"),
        ("123 👍 !", None),
        ("", None),
    ],
)
def test_the_script_of_most_letters(text: str, script: str | None) -> None:
    assert texts.script_of(text) == script


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("What is fog?", False),
        ("what is FOG", False),
        ("What is fog? What is fog?", False),
        ("What is fog? Fog is a cloud on the ground.", True),
        ("Fog is what you see.", True),
        ("안개는 땅에 깔린 구름입니다.", True),
        ("Tell me, what is fog?", True),  # not word for word: the limits of distance are for that
    ],
)
def test_an_echo_of_the_prompt_says_nothing(text: str, says: bool) -> None:
    assert texts.says_something(text, "Hello! What is fog?") is says


def test_a_korean_echo_says_nothing() -> None:
    assert not texts.says_something("안개가 무엇인지 알려 주세요.", "안개가 무엇인지 알려 주세요.")
