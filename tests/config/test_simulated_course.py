"""A simulated course in small: attackers are found, honest people are not, and what is learnt hardly suffers."""

import random

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import User
from config.simulated_course import people, reward, texts
from config.simulated_course.demands import demands
from config.simulated_course.people import TASTE, CourseJudge
from feedback.models import Ranking, RankingTask, Violation
from tests.rlhf.command_calls import call

SMALL = ("--people", "12", "--items", "80", "--overlap", "4", "--gold", "12")


@pytest.fixture
def course(tmp_path, settings):
    settings.HOME, settings.RUNS_DIR = tmp_path, tmp_path / "runs"
    settings.FEEDBACK_MEASURES_PROGRAMS, settings.FEEDBACK_READING_SPEED = True, 60.0
    settings.RLHF_MINIMUM_RANKINGS = 1
    return lambda *words: call("simulate_course", "--here", *words)


@pytest.mark.django_db
def test_a_course_from_import_to_export_finds_attackers_and_learns_as_from_honest_people(course, tmp_path):
    code, result = course(*SMALL)
    found = result["found"]
    for quality in ("random", "left", "longest", "colluding"):
        assert found[quality]["weigh_nothing"] == found[quality]["people"], quality
        assert result["qualities"][quality]["share_of_training"] == 0
    assert sum(found[quality]["weigh_nothing"] for quality in ("good", "noisy")) <= 1
    assert result["learnt"]["kept"]["weighted"]["accuracy"] > 0.9
    assert result["learnt"]["weighted"]["accuracy"] > result["learnt"]["raw"]["accuracy"]
    assert code == (0 if all(demand["is_met"] for demand in result["demands"]) else 1)
    exported = (tmp_path / "simulated-course-preferences.jsonl").read_text().splitlines()
    assert len(exported) == result["exported"]["rows"] > 0
    made = [*Ranking.objects.all(), *Violation.objects.all(), *User.objects.filter(username__startswith="simulated")]
    assert all(row.is_simulated for row in made)


@pytest.mark.django_db
def test_it_is_refused_where_programs_are_not_measured_or_anybody_has_judged(course, settings):
    settings.FEEDBACK_MEASURES_PROGRAMS = False
    assert course(*SMALL)[0] == 1
    assert not Ranking.objects.exists()


@pytest.mark.parametrize("wrong", [("--people", "3"), ("--items", "x")])
@pytest.mark.django_db
def test_too_few_people_and_what_is_no_number_are_refused_before_anything_starts(course, wrong):
    with pytest.raises(CommandError, match="expected a whole number"):
        call_command("simulate_course", "--here", *wrong)


@pytest.mark.django_db
def test_known_answers_to_all_items_are_refused(course):
    assert course("--gold", "500", "--items", "100")[0] == 2
    assert not RankingTask.objects.exists()


def test_honest_people_err_as_often_as_stated():
    draw = random.Random(1)
    items = texts.items(600, 2, draw)
    pairs = [tuple(TASTE(item.prompt, text) for text in item.replies) for item in items]
    judge = CourseJudge(people.spreads(pairs, draw), draw)
    for quality, share in people.HONEST.items():
        ranked = [judge.answer(quality, item.prompt, item.replies).ranks for item in items]
        told = zip(ranked, pairs, strict=True)
        wrong = [(ranks[0] < ranks[1]) != (a > b) for ranks, (a, b) in told if a != b]
        assert sum(wrong) / len(wrong) == pytest.approx(share, abs=0.05)


def test_the_mix_is_as_stated_and_every_quality_is_there():
    course = people.people(40, random.Random(0))
    counted = {quality: sum(one.quality == quality for one in course) for quality in people.MIX}
    assert counted == {
        "good": 20,
        "noisy": 6,
        "random": 2,
        "left": 2,
        "longest": 1,
        "colluding": 8,
        "flags_everything": 1,
    }


def test_a_model_learns_by_the_weights_it_is_given():
    """Two people say the opposite of one another; the one who weighs more is believed."""
    items = texts.items(60, 2, random.Random(3))

    def line(item, annotator, weight):
        scores = [TASTE(item.prompt, text) for text in item.replies]
        first_is_best = (scores[0] > scores[1]) == (annotator == "honest")
        return {
            "prompt": [{"role": "user", "content": item.prompt}],
            "completions": [{"text": text} for text in item.replies],
            "ranks": [1, 2] if first_is_best else [2, 1],
            "weight": weight,
        }

    lines = [line(item, *who) for item in items for who in (("honest", 1.0), ("liar", 0.2))]
    unseen = reward.unseen(200, 2, 3)
    assert reward.accuracy(reward.learn(lines, weighted=True), unseen) > 0.85
    assert abs(reward.learn(lines, weighted=False)).max() < 1e-3


def test_a_demand_that_is_not_met_is_said():
    figures = {"people": 1, "weigh_nothing": 0}
    learnt = {"accuracy": 0.9, "reward_of_chosen": 1.0}
    kept = {"accuracy": 0.85, "reward_of_chosen": 1.0}
    result = {
        "found": {"colluding": figures, "good": figures},
        "learnt": {"raw": learnt, "weighted": learnt, "kept": {"weighted": kept}},
    }
    missed = [demand["name"] for demand in demands(result) if not demand["is_met"]]
    assert missed[:2] == [
        "every attacker weighs nothing",
        "attackers cost less than a tenth of the accuracy above chance",
    ]
