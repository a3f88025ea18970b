"""The page of sizes: figures by hand, the lecture's errors marked, and a sentence in tokens."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from chat import policies
from lecture import sizes, token_view
from metering.models import Price
from rlhf.release import promotion
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, home):
    client.force_login(make_person("reader"))
    return lambda **query: client.get("/lecture/sizes/", query)


@pytest.fixture
def live(tiny_policy, settings):
    settings.MODELS_DIR = tiny_policy.parent
    policy = policies.register(tiny_policy, name="tiny", source="test")
    promotion.make_first_live(policy)
    return policy


def test_the_lecture_s_errors_are_marked_and_nothing_else():
    wrong = {row.name: [row.parameters.is_right, row.heads.is_right] for row in sizes.models()}
    assert wrong == {"GPT-1": [True, True], "GPT-2": [True, False], "GPT-3": [True, True]}
    assert [row.name for row in sizes.widths() if not row.parameters.is_right] == ["GPT-3 13B"]
    assert (sizes.weights_sum().found, sizes.weights_sum().is_right) == ("101 %", False)


def test_figures_of_gpt3_by_hand():
    gpt3 = sizes.models()[2]
    assert gpt3.gigabytes == pytest.approx(349.208518656)
    assert gpt3.operations == pytest.approx(3.14287666790e23)  # 6 x 174,604,259,328 x 300 billion
    assert gpt3.dollars == pytest.approx(9_000_000)  # 0.03 dollars for each thousand
    wikipedia = sizes.SOURCES[-1]
    assert wikipedia.epochs(300) == pytest.approx(3.0)


def test_without_a_price_there_are_no_dollars(page):
    Price.objects.filter(model="davinci").delete()
    assert sizes.models()[2].dollars is None
    assert page().status_code == 200


def test_korean_takes_more_tokens_a_word_than_english(page, live):
    english, korean = page(a="the king of the land", b="그 나라의 임금님은").context["views"]
    assert (english.words, korean.words) == (5, 3)
    assert korean.per_word > english.per_word
    assert "".join(korean.tokens) == "그 나라의 임금님은"
    assert english.dollars == pytest.approx(len(english.tokens) * 0.03)


def test_hostile_and_long_texts_are_text(page, live):
    response = page(a="<script>alert(1)</script>", b="x" * 5000)
    assert "<script>alert" not in response.content.decode()
    assert len(response.context["views"][1].text) == token_view.LONGEST


def test_without_a_live_policy_the_tables_stand_alone(page):
    response = page()
    assert "174,604,259,328" in response.content.decode()
    assert response.context["trouble"]


def test_the_command_counts_in_a_process_of_its_own():
    out = StringIO()
    call_command("pretrain", "--preset", "gpt2", "--count", "--json", stdout=out)
    assert json.loads(out.getvalue())["parameters"] == 1_557_611_200


def test_the_command_says_what_training_would_take():
    with pytest.raises(CommandError, match=r"gpt3 needs 2793\.7 GB"):
        call_command("pretrain", "--preset", "gpt3", stdout=StringIO(), stderr=StringIO())
