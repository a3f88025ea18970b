"""Networks on the lecture's pages: their columns, the gap that BERT fills, and who won."""

import math

import numpy as np
import pytest

from lecture import figures, network_columns, taught, teaching
from lecture.models import Lesson
from lecture.next_word import TextPrompt
from tests.lecture.small_texts import ENGLISH
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def lesson(teach):
    return teach(ENGLISH, families=teaching.FAMILIES)


def test_each_network_has_a_column_of_what_it_computes(client, lesson):
    client.force_login(make_person("reader"))
    response = client.get("/lecture/", {"text": "The king of"})
    columns = {column.family: column for column in response.context["networks"]}
    assert list(columns) == ["rnn", "lstm", "gpt", "bert"]
    vocabulary = taught.material(lesson).vocabulary
    ids = vocabulary.encode("The king of")
    for family in ("rnn", "lstm", "gpt"):
        answer = taught.network(lesson, family).answer(ids)
        best = float(np.exp(answer.logprobs[-1].max()))
        assert columns[family].guesses[0].probability == pytest.approx(best)
        told = sum(float(answer.logprobs[place, ids[place]]) for place in range(3))
        assert columns[family].log10 == pytest.approx(told / math.log(10))
    assert [word for word, _ in columns["rnn"].strip] == ["the", "king", "of"]
    assert sum(share for _, share in columns["gpt"].looks) <= 1


def test_bert_fills_the_gap_from_both_sides_and_the_others_read_what_is_before(lesson):
    vocabulary = taught.material(lesson).vocabulary
    prompt = TextPrompt("The king ___ the house", vocabulary)
    assert prompt.ids == vocabulary.encode("The king")
    bert = network_columns.network_columns(lesson, prompt)[-1]
    network = taught.network(lesson, "bert")
    answer = network.answer([*vocabulary.encode("The king"), network.mask, *vocabulary.encode("the house")])
    assert bert.guesses[0].probability == pytest.approx(float(np.exp(answer.logprobs[2, : network.mask].max())))
    assert bert.log10 is None
    assert bert.guesses[0].prompt.startswith("The king")


@pytest.mark.parametrize("text", ["", "___", "word " * 200, "a ___ " + "b " * 200])
def test_any_prompt_has_an_answer_of_every_network(lesson, text):
    prompt = TextPrompt(text, taught.material(lesson).vocabulary)
    assert len(network_columns.network_columns(lesson, prompt)) == 4


def of(**perplexities):
    models = {name.replace("_", "-"): {"perplexity": value} for name, value in perplexities.items()}
    return Lesson(figures={"all": {"models": models}})


@pytest.mark.parametrize(("lstm", "wins"), [(40.0, False), (38.0, True)])
def test_who_won_is_told_by_the_figures(lstm, wins):
    found = figures.verdict(of(kneser=39.0, lstm=lstm, unigram=300.0))
    assert (found.counting.name, found.network.name, found.network_wins) == ("kneser", "lstm", wins)


def test_without_a_network_nobody_has_won():
    assert figures.verdict(of(kneser=39.0)).network is None
    assert figures.verdict(of(kneser=None)) is None


def test_the_page_of_all_models_shows_their_figures(client, lesson):
    client.force_login(make_person("reader"))
    page = client.get("/lecture/comparison/").content.decode()
    for name in ("kneser-ney 3", "lstm", "gpt", "∞"):
        assert name in page
    assert "BERT fills" in page
