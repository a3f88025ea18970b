"""The page of a reward model's run: what it is worth, and its alarms in plain words of both languages."""

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import translation

from rlhf import reward_facts
from rlhf.models import Run
from tests.rlhf import feedback_rows

AUC = {"value": 0.9123, "low": 0.85, "high": 0.95, "positives": 20, "negatives": 31}
RESULT = {
    "accuracy": 0.724,
    "accuracy_low": 0.66,
    "accuracy_high": 0.78,
    "pairs": 120,
    "rule_auc": {"no-feelings": AUC},
    "held_out_rule": {"rule": "no-numbers", "text": AUC, "no_text": {**AUC, "value": 0.55}},
    "trained_thumbs": 7,
    "probes": {
        "length": {
            "value": 0.4,
            "low": 0.25,
            "high": 0.5,
            "limit": 0.2,
            "alarm": True,
            "longer_won": 0.9,
            "longer_lost": 0.5,
        },
        "position": {"value": 0.01, "low": -0.03, "high": 0.05, "limit": 0.05, "alarm": False, "pairs": 400},
        "repetition": {
            "value": 0.31,
            "low": 0.1,
            "high": 0.5,
            "limit": 0.0,
            "alarm": True,
            "replies": 90,
            "times": 3,
        },
    },
}


def run(result: object) -> SimpleNamespace:
    return SimpleNamespace(kind=Run.Kind.REWARD_MODEL, result=result)


def test_an_alarm_says_what_is_wrong_with_its_figures() -> None:
    length, repetition = reward_facts.alarms(run(RESULT))
    assert "prefers long replies" in length
    assert "90.0 %" in length
    assert "50.0 %" in length
    assert "3 times more scores 0.31 standard deviations higher" in repetition


@pytest.mark.parametrize(
    ("probe", "changes", "words"),
    [
        ("length", {"value": -0.4, "low": -0.5, "high": -0.3}, "prefers short replies"),
        ("position", {"value": 0.2, "alarm": True}, "stood first won 70.0 %"),
    ],
)
def test_each_way_of_a_bias_has_its_words(probe: str, changes: dict, words: str) -> None:
    probes = RESULT["probes"] | {probe: RESULT["probes"][probe] | changes}
    assert any(words in alarm for alarm in reward_facts.alarms(run(RESULT | {"probes": probes})))


@pytest.mark.parametrize(
    "result", [{}, None, {"pairs": 3, "accuracy": None, "probes": {"length": {}}}, {"rule_auc": 1}]
)
def test_a_result_of_an_earlier_version_or_without_figures_is_shown_as_far_as_it_goes(result: object) -> None:
    assert reward_facts.alarms(run(result)) == []


def test_what_could_not_be_measured_is_a_dash() -> None:
    nothing = {"value": None, "low": None, "high": None, "limit": 0.2, "alarm": False}
    (fact,) = reward_facts.facts(run({"probes": {"length": nothing}}))
    assert (fact.value, fact.interval) == ("–", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "words"), [("en", "What the reward model is worth"), ("ko", "보상 모델의 값어치")]
)
def test_the_run_s_page_shows_figures_and_alarms(client, language: str, words: str) -> None:
    reader = feedback_rows.annotator("reader")
    reader.groups.add(Group.objects.get_or_create(name="moderator")[0])
    client.force_login(reader)
    made = Run.objects.create(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, result=RESULT)
    page = client.get(reverse("run", args=[made.pk]), headers={"accept-language": language}).content.decode()
    assert words in page
    assert page.count('class="badge bad"') == 2
    assert "0.912" in page
    with translation.override(language):
        for alarm in reward_facts.alarms(made):
            assert alarm in page
