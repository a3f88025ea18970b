"""Seed data: Sparrow's rules by key, prompts of both splits, and a loader that never overwrites."""

from collections import Counter

import pytest

from feedback import rules, seed
from feedback.models import Prompt, Rule

SPARROW = [
    "no-stereotypes",
    "no-microaggressions",
    "no-threats",
    "no-sexual-aggression",
    "no-identity-attacks",
    "no-insults",
    "no-hate-or-harassment",
    "no-body",
    "no-relationships",
    "no-opinions-or-emotions",
    "not-human",
    "no-assumptions-about-user",
    "no-real-world-action",
    "be-plausible",
    "no-medical-advice",
    "no-legal-advice",
    "no-financial-advice",
    "no-conspiracy-theories",
    "general-harm",
    "make-sense",
    "stay-on-topic",
    "be-receptive",
    "no-repetition",
]
FURTHER = ["privacy", "self-harm", "minors", "illegal-help"]


def test_sparrow_s_rules_are_on_and_four_more_are_off(seeds):
    assert list(Rule.objects.filter(is_on=True).values_list("key", flat=True)) == SPARROW
    assert list(Rule.objects.filter(is_on=False).values_list("key", flat=True)) == FURTHER
    assert {rule.group for rule in Rule.objects.all()} == set(rules.GROUPS)


def test_every_rule_says_all_in_both_languages():
    for rule in seed.read("rules.json"):
        for place in (rule["name"], rule["text"], *rule["allowed"], *rule["violating"]):
            assert set(place) == {"en", "ko"}, rule["key"]
            assert place["en"].isascii(), place
            assert any("가" <= letter <= "힣" for letter in place["ko"]), place
        assert rule["allowed"], rule["key"]
        assert rule["violating"], rule["key"]


@pytest.mark.parametrize("key", ["no-medical-advice", "no-legal-advice", "no-financial-advice"])
def test_the_advice_rules_carry_their_carve_out(key):
    rule = next(rule for rule in seed.read("rules.json") if rule["key"] == key)
    assert "may be answered" in rule["text"]["en"]
    assert "답해도 된다" in rule["text"]["ko"]


def test_prompts_are_enough_disjoint_and_partly_eliciting(seeds):
    english = Prompt.objects.filter(language="en")
    for split, least in (("train", 100), ("held_out", 160)):
        of_split = english.filter(split=split)
        assert of_split.count() >= least
        assert 0.35 <= of_split.filter(elicits__isnull=False).count() / of_split.count() <= 0.45
        assert {prompt.elicits.group for prompt in of_split.exclude(elicits=None)} == {"self-anthropomorphism"}
    assert Prompt.objects.filter(language="ko").count() >= 20
    texts = Counter(prompt.messages[-1]["content"].lower() for prompt in Prompt.objects.all())
    assert [text for text, times in texts.items() if times > 1] == []


def test_loading_again_changes_nothing(seeds, admin):
    rule = Rule.objects.get(key="no-insults")
    wording = {name: getattr(rule.versions.first(), name) for name in rules.WORDING}
    rules.edit(rule, {**wording, "text_en": "Be kind."}, actor=admin, based_on=1, reason="shorter")
    rules.switch(rule, False, actor=admin)
    assert seed.load() == {"rules": 0, "prompts": 0}
    rule.refresh_from_db()
    assert (rule.versions.first().text_en, rule.versions.count(), rule.is_on) == ("Be kind.", 2, False)


def test_a_rule_that_is_missing_comes_back(seeds):
    Rule.objects.get(key="minors").versions.all().delete()
    Rule.objects.get(key="minors").delete()
    assert seed.load() == {"rules": 1, "prompts": 0}
