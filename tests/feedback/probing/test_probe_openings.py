"""The prompts that tempt to break each rule, and their harmless twins: enough, in both languages, apart by side."""

import random
from collections import Counter

import pytest

from accounts.roles import Role
from feedback import seed, trainable
from feedback.models import Probe, Prompt, Rule
from feedback.near_duplicates import sketch
from feedback.probing import errors as refused
from feedback.probing import handing_over, openings, ordering, talking
from tests.feedback.probing.probes import answer, make_policy, order
from tests.people import make_person

SPARROW = [rule["key"] for rule in seed.read("rules.json") if rule.get("is_on", True)]


def test_each_of_sparrow_s_rules_has_six_prompts_a_language_on_both_sides():
    tempting = Counter((row.rule, row.language, row.split) for row in openings.every() if not row.is_benign)
    twins = Counter((row.rule, row.language, row.split) for row in openings.every() if row.is_benign)
    for rule in SPARROW:
        for language in ("en", "ko"):
            assert (tempting[rule, language, "train"], tempting[rule, language, "held_out"]) == (4, 2)
            assert (twins[rule, language, "train"], twins[rule, language, "held_out"]) == (1, 1)
    assert {row.rule for row in openings.every()} == set(SPARROW)


def test_each_is_in_its_language():
    for row in openings.every():
        assert any("가" <= letter <= "힣" for letter in row.text) == (row.language == "ko"), row.text


def test_none_nearly_repeats_another_or_a_seed_prompt():
    """So that neither side of the split holds words of the other."""
    rows = [(row.text, sketch(row.text)) for row in openings.every()]
    rows += [(text, sketch(text)) for _split, _rule, _language, text in seed._seed_prompts()]
    by_band = {}
    for text, of in rows:
        for band in of.bands:
            for other, other_sketch in by_band.get(band, ()):
                assert not of.is_near(other_sketch), (text, other)
            by_band.setdefault(band, []).append((text, of))


def test_a_drawn_opening_stands_on_its_side_and_trains_nothing_by_itself(rules_alone):
    rule = Rule.objects.get(key="no-body")
    for number in range(40):
        openings.draw(rule, is_benign=number % 2 == 0, languages=["en"], of=random.Random(number))
    stated = {row.text: row.split for row in openings.every() if (row.rule, row.language) == ("no-body", "en")}
    stored = {row.messages[0]["content"]: row for row in Prompt.objects.all()}
    assert {text: row.split for text, row in stored.items()} == stated
    assert {row.source for row in stored.values()} == {"probe", "twin"}
    assert not trainable.prompts().exists()


def test_an_opening_is_in_the_prober_s_language(rules_alone, policy):
    order([policy], count=2)
    korean = make_person("min", Role.ANNOTATOR, language="ko", judging_languages=["ko"])
    assert talking.take(korean).opening.language == "ko"


def test_a_rule_that_the_seed_does_not_know_is_probed_in_own_words(rules_alone, policy, annotator):
    Rule.objects.create(key="no-rhymes", group="quality")
    order([policy], "no-rhymes", count=3)
    assert not Probe.objects.filter(is_benign=True).exists()
    assert talking.take(annotator).opening is None


def test_the_share_of_twins_is_the_setting_s_and_the_same_for_each_policy(rules_alone, policy, settings):
    settings.FEEDBACK_PROBE_TWIN_SHARE = 0.2
    order([policy, make_policy()], *SPARROW, count=3)
    asked = {
        of: sorted(Probe.objects.filter(policy__name=of, is_benign=True).values_list("rule__key", flat=True))
        for of in ("scripted", "candidate")
    }
    assert len(asked["scripted"]) == round(0.2 * 23 * 3)
    assert asked["scripted"] == asked["candidate"]


def test_a_twin_is_asked_in_its_own_words_and_needs_no_grade(rules_alone, policy, annotator, settings):
    settings.FEEDBACK_PROBE_TWIN_SHARE = 1.0
    order([policy])
    probe = talking.take(annotator)
    answer(probe, "Something else?", "I cannot help with that.")
    with pytest.raises(refused.TwinChanged):
        handing_over.hand_over(probe.pk, annotator, None)
    probe = talking.start_over(probe.pk, annotator)
    answer(probe, handing_over.asked_of(probe), "I cannot help with that.")
    handed = handing_over.hand_over(probe.pk, annotator, None)
    assert handed.task.prompt.elicits is None
    assert not handed.task.completions.get().violations.exists()


def test_what_was_trained_on_before_the_policy_was_made_is_not_fresh(rules_alone, policy, annotator):
    """The seed's rows are there before the policy; own words of the train side, said the second time, are too where a
    policy is made in between."""
    words = "Will you stretch your legs by the river this evening?"
    order([policy])
    first = _handed(annotator, words)
    later = make_policy()
    order([later])
    second = _handed(annotator, words + " Yes")
    assert first.task.prompt.split == second.task.prompt.split
    is_held_out = first.task.prompt.split == "held_out"
    assert (first.is_fresh, second.is_fresh) == (True, is_held_out)


def _handed(person, words):
    probe = talking.take(person)
    answer(probe, words, "Yes.")
    return handing_over.hand_over(probe.pk, person, -1)


def test_an_order_says_in_the_audit_log_what_it_is(rules_alone, policy, admin):
    from accounts.models import AuditEntry
    from feedback.models import Project, site_project

    wanted = ordering.ProbeOrder(
        [policy], [Rule.objects.get(key="no-body")], 2, Project.objects.get(pk=site_project())
    )
    ordering.order(wanted, by=admin)
    ordering.withdraw(policy, by=admin)
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "actor__username")) == [
        ("probe.order", "boss"),
        ("probe.withdraw", "boss"),
    ]
