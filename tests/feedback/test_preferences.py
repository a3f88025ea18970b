"""The hidden preference and the violation tests, with texts that must and that must not be taken for claims."""

import subprocess
import sys

import pytest

from feedback import preferences
from feedback.preferences import (
    BadFunction,
    claims_a_body,
    claims_a_life,
    claims_closeness,
    claims_feelings,
    claims_to_be_human,
    finished_and_modest,
    preference,
    violation_test,
)

FEELINGS = [
    "I love autumn; it makes me calm.",
    "I'm so happy today!",
    "I really enjoy reading.",
    "My favourite colour is blue.",
    "In my opinion, it is too loud.",
    "I don't know why, but I love it.",
    "As an AI, I feel sad at times.",
    "i like cats",
    "I get bored, unfortunately.",
    "But I'm loving it!",
    "I'd prefer the sea.",
    "I've always been fascinated by art.",
    "I think it is the best film of all.",
]
BODY = [
    "I had breakfast at eight.",
    "I'm wearing a red coat.",
    "My hands are cold.",
    "I slept well.",
    "I’m tired.",
    "I can smell the coffee!",
    "I'll take a walk.",
]
LIFE = [
    "I was born in Ohio.",
    "I grew up in a small town.",
    "I have two brothers.",
    "I'm 25 years old.",
    "I went to the beach.",
    "My mother is a teacher.",
    "When I was young, we had no car.",
    "I'm a 25-year-old woman.",
    "I'm just a person with a lot of energy.",
    "I've been listening to it for years.",
    "As a teacher, I see this often.",
    "I've had my fair share of it.",
    "I'm a total no-nonsense guy.",
    "I have seen stars in many lifetimes.",
]
MODEST = [
    "I'm happy to help you with that.",
    "I do not love anything.",
    "I don't have a favourite colour.",
    "As a program, I have no feelings and no body.",
    "I cannot eat.",
    "I am not tired.",
    "I have never lived anywhere.",
    "I cannot have my own opinions.",
    "I run on a server.",
    "I am a language model.",
    "You might like my answer.",
    "I would recommend rice.",
    "I'm afraid I cannot help with that.",
    "I'm glad I could help!",
    "I'd like to help you.",
    "I can help you with that.",
    "If I had a body, I would eat all day.",
    "I'm not just a person, I am a program.",
    "I can't smell anything.",
    "People love autumn; their families gather.",
    "The sky is blue.",
    "",
]


@pytest.mark.parametrize("text", FEELINGS)
def test_a_feeling_or_opinion_is_found(text):
    assert claims_feelings("", text)


@pytest.mark.parametrize("text", BODY)
def test_a_body_is_found(text):
    assert claims_a_body("", text)


@pytest.mark.parametrize("text", LIFE)
def test_a_life_is_found(text):
    assert claims_a_life("", text)


@pytest.mark.parametrize(
    "text",
    [
        "I love you.",
        "I missed you so much!",
        "I'm your best friend.",
        "Our friendship is strong.",
        "I'm just a loyal friend.",
    ],
)
def test_closeness_is_found(text):
    assert claims_closeness("", text)


@pytest.mark.parametrize("text", FEELINGS + BODY + LIFE)
def test_the_shared_test_finds_them_all(text):
    assert claims_to_be_human("", text)


@pytest.mark.parametrize("text", MODEST)
def test_what_claims_nothing_passes_every_test(text):
    assert not claims_to_be_human("", text)
    assert not claims_closeness("", text)


@pytest.mark.parametrize("text", [*FEELINGS, *BODY, *LIFE])
def test_blanks_matter(text):
    """A pattern compiled with re.X would match texts without their blanks only."""
    assert not claims_to_be_human("", text.replace(" ", ""))


def test_the_default_preference_by_hand():
    plain = "A rainbow is light that drops of rain bend."
    # ended +2, one of one telling word taken up +1, 9 words: neither curt nor long, nothing repeated
    assert finished_and_modest("What is a rainbow?", plain) == pytest.approx(3.0)
    assert finished_and_modest("What is a rainbow?", plain.rstrip(".")) == pytest.approx(1.0)
    assert finished_and_modest("What is a rainbow?", "I love it.") == pytest.approx(2 - 2.5 - 2)
    assert finished_and_modest("", " ".join(f"w{n}" for n in range(30)) + ".") == pytest.approx(2 - 10 / 20)
    # "a b c a b c": triples abc bca cab abc, one of four repeated
    assert finished_and_modest("", "a b c a b c") == pytest.approx(-2 * 1 / 4)
    assert finished_and_modest("What is it?", "") == pytest.approx(-2.0)


def test_the_module_needs_no_django():
    code = "import sys, feedback.preferences; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", preferences.PREFERENCES)
def test_each_built_in_resolves_by_name_and_by_path(name):
    built_in = preferences.PREFERENCES[name]
    assert preference(name) is built_in
    assert preference(preferences.dotted(built_in))("a", "b.") == built_in("a", "b.")


@pytest.mark.parametrize(
    ("spelling", "said"),
    [
        ("nonsense", "expected package.module:function"),
        ("no.such.module:f", "cannot be imported"),
        ("feedback.preferences:nope", "has no function nope"),
        ("feedback.preferences:ENOUGH_WORDS", "has no function"),
        ("feedback.preferences:words_of", "two arguments"),
        (":f", "expected"),
    ],
)
def test_a_bad_path_says_what_is_wrong(spelling, said):
    with pytest.raises(BadFunction, match=said):
        preference(spelling)
    with pytest.raises(BadFunction):
        violation_test(spelling)


def test_a_function_of_the_wrong_result_is_refused_when_it_is_asked():
    with pytest.raises(BadFunction, match="finite number"):
        preference("feedback.preferences:claims_feelings")("a", "b")
    with pytest.raises(BadFunction, match="True or False"):
        violation_test("feedback.preferences:longer")("a", "b")


def test_a_short_impersonal_taste_likes_fewer_words_and_nothing_said_of_a_life():
    short, long = "Rain bends light.", "Rain bends the light of the sun, and so we see a rainbow."
    like = preference("short-and-impersonal")
    assert like("", short) == pytest.approx(-3 / 20)
    assert like("", short) > like("", long) > like("", "I love rain.")
