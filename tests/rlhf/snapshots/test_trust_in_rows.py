"""A person's weight reaches the lines that train, and is capped; a ban marks the runs that used them."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.roles import Role
from feedback.models import AnnotatorTrust, TrustFinding
from feedback.trust.weights import NO_TRUST, Weights
from rlhf import discounted, lineage
from rlhf.models import Run
from rlhf.snapshots import freezing, provenance, rows, shares
from tests.feedback.conversation_rows import talk
from tests.people import make_person
from tests.rlhf import feedback_rows


def judgements(counts):
    return [SimpleNamespace(annotator_id=who, is_simulated=False) for who, n in counts.items() for _ in range(n)]


people = st.dictionaries(st.integers(1, 8), st.integers(1, 300), min_size=1)
trusted = st.dictionaries(st.integers(1, 8), st.floats(0, 1))


@given(people, trusted)
def test_nobody_has_more_than_the_limit_of_what_is_left_whoever_is_trusted_how_much(counts, trust):
    weight = rows._weights(judgements(counts), Weights(trust, {}))
    mass = {who: weight[who] * n for who, n in counts.items()}
    limit = shares.share_limit(sum(n * trust.get(who, 1.0) > 0 for who, n in counts.items()))
    total = sum(mass.values())
    assert all(0 <= weight[who] <= trust.get(who, 1.0) + 1e-6 for who in counts)
    assert all(part <= limit * total + 1e-4 * (1 + total) for part in mass.values())


def test_without_trust_rows_weigh_as_before():
    counts = {1: 100, 2: 3, 3: 3}
    assert rows._weights(judgements(counts)) == rows._weights(judgements(counts), NO_TRUST) == shares.weights(counts)


def test_a_flag_weighs_by_its_rule_too():
    version = SimpleNamespace(rule=SimpleNamespace(key="human"))
    flags = [SimpleNamespace(annotator_id=who, rule_version=version, is_simulated=False) for who in (1, 2, 3, 4)]
    weight = rows._flag_weights(flags, Weights({1: 0.5}, {(1, "human"): 0.4, (2, "body"): 0.1}))
    assert weight == {(1, "human"): 0.2, (2, "human"): 1.0, (3, "human"): 1.0, (4, "human"): 1.0}


@pytest.fixture
def discount(monkeypatch):
    """Stores a weight, as an assessment would."""
    monkeypatch.setattr(freezing.assessment, "assess", lambda: None)

    def store(person, weight, reason="accuracy"):
        AnnotatorTrust.objects.create(person=person, weight=weight, reason=reason)

    return store


def lines(snapshot, name):
    return [json.loads(line) for line in (snapshot.path / name).read_text().splitlines()]


@pytest.mark.django_db
def test_weights_reach_rankings_flags_and_preferences_and_weightless_rows_are_left_out(home, discount):
    good, half, bad = (feedback_rows.annotator(name) for name in ("good", "half", "bad"))
    for number, who in enumerate((good, half, bad) * 2):
        feedback_rows.flag(feedback_rows.rank(who, number))
    discount(half, 0.5)
    discount(bad, 0.0)
    made = freezing.freeze()
    for name in ("rankings.jsonl", "violations.jsonl"):
        by_person = {line["annotator"]: line["weight"] for line in lines(made, name)}
        assert by_person == {provenance.pseudonym(good): 1.0, provenance.pseudonym(half): 0.5}
    weights = sorted({line["weight"] for line in lines(made, "preferences.jsonl")})
    assert weights[1] == pytest.approx(2 * weights[0])
    assert sorted(made.rankings_left_out) == sorted(bad.rankings.values_list("pk", flat=True))
    assert freezing.fresh_rankings() == 6


@pytest.mark.django_db
def test_simulated_judgements_keep_their_weight(home, discount):
    robot = feedback_rows.annotator("robot", is_simulated=True)
    feedback_rows.rank(robot, 1)
    discount(robot, 0.0)
    assert [line["weight"] for line in lines(freezing.freeze(), "rankings.jsonl")] == [1.0]


@pytest.mark.django_db
def test_thumbs_weigh_as_much(home, discount):
    half = make_person("half")
    feedback_rows.rank(feedback_rows.annotator("ann"), 1)
    reply = talk(half, "Hello", "Good morning", policy=feedback_rows.any_policy())[1]
    reply.thumbs.create(person=half, is_up=True)
    discount(half, 0.5)
    assert [line["weight"] for line in lines(freezing.freeze(), "unpaired.jsonl")] == [0.5]


@pytest.mark.django_db
def test_a_fresh_site_with_two_annotators_trains_as_before(home):
    for who in (feedback_rows.annotator("a"), feedback_rows.annotator("b")):
        feedback_rows.plenty(who)
    assert {line["weight"] for line in lines(freezing.freeze(), "rankings.jsonl")} == {1.0}
    assert set(AnnotatorTrust.objects.values_list("weight", "reason")) == {(1.0, "unknown")}
    assert not TrustFinding.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("names_people", [True, False])
def test_a_ban_leaves_rows_out_and_marks_the_runs_that_used_them(home, client, names_people):
    bad, good = feedback_rows.annotator("bad"), feedback_rows.annotator("good")
    for number in range(3):
        feedback_rows.rank(bad, number)
    feedback_rows.rank(good, 9)
    made = freezing.freeze()
    assert made.annotators == {provenance.pseudonym(bad): 3, provenance.pseudonym(good): 1}
    if not names_people:  # as snapshots were before
        made.annotators = {}
        made.save()
    run = Run.objects.create(kind=Run.Kind.CYCLE, state=Run.State.SUCCEEDED, snapshot=made)
    client.force_login(make_person("mod", Role.MODERATOR))
    assert "no longer count" not in client.get(f"/training/runs/{run.pk}/").content.decode()
    bad.suspended_until = timezone.now() + timedelta(days=7)
    bad.save()
    assert discounted.in_snapshot(made) == discounted.Discounted(people=1, lines=3)
    page = client.get(f"/training/runs/{run.pk}/").content.decode()
    assert "rows of 1 person whose judgements no longer count (3 rows)" in page
    after = freezing.freeze()
    assert after.sha256 != made.sha256
    assert discounted.in_snapshot(after) == discounted.Discounted()


@pytest.mark.django_db
def test_a_person_sees_which_snapshots_used_their_judgements(home, client):
    ann = make_person("ann", Role.ANNOTATOR)
    feedback_rows.rank(ann, 1)
    made = freezing.freeze()
    assert [use.snapshot for use in lineage.uses_of_judgements(ann)] == [made]
    client.force_login(ann)
    assert "Your judgements are in 1 snapshot." in client.get("/rank/mine/uses/").content.decode()
    client.force_login(make_person("bo", Role.ANNOTATOR))
    assert "None of your judgements is in a snapshot yet." in client.get("/rank/mine/uses/").content.decode()
