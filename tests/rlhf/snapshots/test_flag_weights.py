"""Flags weigh as rankings do: nobody has more than twice an equal share, over all rules and within each."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import shares
from rlhf.snapshots import freezing, rows
from tests.rlhf import feedback_rows


def flags(person, count, rule="human", is_simulated=False):
    version = SimpleNamespace(rule=SimpleNamespace(key=rule))
    return [SimpleNamespace(annotator_id=person, rule_version=version, is_simulated=is_simulated)] * count


def test_a_thousand_flags_of_one_person_weigh_less_than_fifty_each_of_ten():
    weight = rows._flag_weights(flags(0, 1000) + [flag for person in range(1, 11) for flag in flags(person, 50)])
    busy, others = 1000 * weight[0, "human"], sum(50 * weight[person, "human"] for person in range(1, 11))
    assert others == 500
    assert busy == pytest.approx(2 / 11 * (busy + others), rel=1e-4)


def test_nobody_decides_alone_what_one_rule_means():
    """A tenth of all flags, but most of those of one rule."""
    others = [flag for person in range(1, 10) for flag in flags(person, 50) + flags(person, 1, rule="body")]
    weight = rows._flag_weights(flags(0, 45, rule="body") + others)
    assert 45 * weight[0, "body"] == pytest.approx(2 / 10 * (45 * weight[0, "body"] + 9), rel=1e-4)
    assert weight[1, "human"] == weight[1, "body"] == 1


def test_whoever_is_alone_with_a_rule_does_not_make_it_most_of_what_is_learned():
    others = [flag for person in range(1, 10) for flag in flags(person, 50)]
    weight = rows._flag_weights(flags(0, 1000, rule="body") + others)
    assert 1000 * weight[0, "body"] == pytest.approx(2 / 10 * (1000 * weight[0, "body"] + 450), rel=1e-4)


@given(
    st.dictionaries(st.tuples(st.integers(1, 6), st.sampled_from(["a", "b"])), st.integers(1, 400), min_size=1),
)
def test_no_share_of_a_rule_is_above_the_limit(counts):
    given_flags = [flag for (person, rule), count in counts.items() for flag in flags(person, count, rule)]
    weight = rows._flag_weights(given_flags)
    for rule in ("a", "b"):
        of_rule = {person: count for (person, key), count in counts.items() if key == rule}
        within = shares.weights(of_rule)
        assert all(0 < weight[person, rule] <= within[person] <= 1 for person in of_rule)


@pytest.mark.django_db
def test_the_weight_stands_on_each_line_and_programs_are_not_capped(home, settings):
    settings.RLHF_MINIMUM_RANKINGS = 1
    busy, robot = feedback_rows.annotator("busy"), feedback_rows.annotator("robot", is_simulated=True)
    for person, count in ((busy, 12), (robot, 12), *((feedback_rows.annotator(name), 1) for name in "abc")):
        for number in range(count):
            feedback_rows.flag(feedback_rows.rank(person, number))
    made = freezing.freeze()
    lines = [json.loads(line) for line in (made.path / "violations.jsonl").read_text().splitlines()]
    assert {line["weight"] for line in lines if line["simulated"]} == {1.0}
    weights = [line["weight"] for line in lines if not line["simulated"]]
    assert sum(weights[:12]) == pytest.approx((sum(weights[:12]) + 3) * 2 / 4, rel=1e-4)
    assert weights[12:] == [1.0, 1.0, 1.0]
