"""The page of the next word: what whoever is signed in reads there, of which texts, and in which language."""

import re

import pytest

from chat.errors import NoLivePolicy
from lecture import live_policy, taught
from lecture.models import Lesson
from tests.lecture.small_texts import ENGLISH, HOSTILE, KOREAN
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(client, home):
    person = make_person("reader")
    client.force_login(person)
    return person


def text_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_without_a_lesson_the_page_says_who_can_teach(client, reader):
    page = text_of(client.get("/lecture/"))
    assert "No models have been taught on a text yet." in page
    assert "An admin can teach them" in page


def test_each_model_has_a_column_with_its_words_and_why(client, reader, teach):
    teach(ENGLISH)
    response = client.get("/lecture/", {"text": "The king of"})
    columns = response.context["columns"]
    assert [str(column.title) for column in columns] == [
        *("Unigram", "2-gram", "3-gram", "Kneser-Ney, n = 3", "Kneser-Ney, n = 5")
    ]
    trigram = columns[2]
    assert [guess.word for guess in trigram.guesses] == ["the"]
    assert trigram.guesses[0].probability == 1
    assert trigram.counted == [("the", trigram.context_count)]
    assert trigram.context == "king of"
    smoothed = columns[4]
    assert smoothed.guesses[0].word == "the"
    assert [link.context for link in smoothed.chain] == ["the king of", "king of", "of", ""]
    rest = smoothed.chain[-1].weight * smoothed.chain[-1].step.left
    assert sum(link.part for link in smoothed.chain) == pytest.approx(smoothed.guesses[0].probability, abs=rest)


def test_a_clicked_word_goes_on(client, reader, teach):
    teach(ENGLISH)
    page = client.get("/lecture/", {"text": "The king of"}).content.decode()
    goes_on = re.search(r'href="([^"]+)"[^>]*>the</a>', page)[1].replace("&amp;", "&")
    assert client.get(goes_on).context["prompt"].text == "The king of the"


def test_counting_calls_a_sentence_impossible_and_names_the_word(client, reader, teach):
    teach(ENGLISH)
    bigram = client.get("/lecture/", {"text": "king lord"}).context["columns"][1].sentence
    assert (bigram.log10, bigram.impossible, bigram.before) == (None, "lord", "king")
    assert client.get("/lecture/", {"text": "king lord"}).context["columns"][3].sentence.log10 < 0


def test_a_word_that_the_text_does_not_have_is_named(client, reader, teach):
    teach(ENGLISH)
    response = client.get("/lecture/", {"text": "The zebra of"})
    assert response.context["prompt"].unknown == ["zebra"]
    assert "zebra" in text_of(response)


@pytest.mark.parametrize("text", ["", " ", "\n", "?" * 3000, "<unk>", "\x00", "참새"])
def test_any_prompt_has_an_answer(client, reader, teach, text):
    teach(ENGLISH)
    assert client.get("/lecture/", {"text": text}).status_code == 200


def test_a_korean_text_goes_through_in_korean(client, reader, teach):
    lesson = teach(KOREAN)
    client.cookies["django_language"] = "ko"
    response = client.get("/lecture/", {"text": "참새 3마리가 방앗간을"}, headers={"accept-language": "ko"})
    smoothed = response.context["columns"][4]
    assert taught.material(lesson).facts["tokens_are"] == "byte_pairs"
    assert smoothed.guesses[0].prompt.startswith("참새 3마리가 방앗간을 그")
    assert "다음 단어" in response.content.decode()


def test_hostile_words_are_text(client, reader, teach):
    teach(HOSTILE)
    page = client.get("/lecture/", {"text": "<script>alert(1)</script> “><"}).content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;" in page


def test_the_text_of_another_person_is_nobody_else_s(client, reader, teach):
    owner = make_person("owner")
    Lesson.objects.create(owner=owner, source="data:file-1", title="secret", taught_by={"counting": 1, "corpus": 1})
    lesson = Lesson.objects.get(title="secret")
    response = client.get("/lecture/", {"lesson": lesson.pk})
    assert response.context["lesson"] is None
    assert "secret" not in response.content.decode()


def test_files_that_are_gone_are_an_error_that_says_what_to_do(client, reader, teach):
    lesson = teach(ENGLISH)
    for path in taught.directory(lesson, "counting").iterdir():
        path.unlink()
    taught._counts.cache_clear()
    assert "Teach them again" in text_of(client.get("/lecture/"))


def test_without_a_live_policy_its_column_says_so(client, reader, monkeypatch):
    async def nobody(person, text):
        raise NoLivePolicy

    monkeypatch.setattr(live_policy, "column", nobody)
    response = client.get("/lecture/live/", {"text": "a"})
    assert response.status_code == 200
    assert str(NoLivePolicy.message) in text_of(response)
