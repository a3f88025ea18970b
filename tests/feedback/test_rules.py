"""An edit makes a version; what was judged stays bound to what the judge read."""

import pytest
from django.utils import translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry
from feedback import rules
from feedback.models import Rule, Violation
from tests.accounts.audit_faults import faults
from tests.feedback.ranking_tasks import make_task

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def wording_of(version, **changes):
    return {**{name: getattr(version, name) for name in rules.WORDING}, **changes}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.none(), TEXTS), max_size=6))
def test_a_judgement_never_changes_its_wording(seeds, admin, annotator, policy, edits):
    """None stands for a judgement, a text for an edit to it."""
    rule = Rule.objects.get(key="no-insults")
    bound = {}
    for edit in edits:
        newest = rule.versions.first()
        if edit is None:
            completion = make_task(policy).completions.first()
            made = Violation.objects.create(rule_version=newest, completion=completion, annotator=annotator)
            bound[made.pk] = (newest.number, newest.text_en)
        else:
            before = rule.versions.count()
            rules.edit(rule, wording_of(newest, text_en=edit), actor=admin, based_on=newest.number, reason="so")
            assert rule.versions.count() == before + (edit != newest.text_en)
    for pk, (number, text) in bound.items():
        version = Violation.objects.get(pk=pk).rule_version
        assert (version.number, version.text_en) == (number, text)
    numbers = sorted(rule.versions.values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    assert faults() == []


def test_an_edit_on_an_old_version_is_refused(seeds, admin):
    rule = Rule.objects.get(key="no-insults")
    newest = rule.versions.first()
    rules.edit(rule, wording_of(newest, text_en="One."), actor=admin, based_on=1, reason="a")
    with pytest.raises(rules.StaleEdit):
        rules.edit(rule, wording_of(newest, text_en="Other."), actor=admin, based_on=1, reason="b")
    assert AuditEntry.objects.filter(verb="rule.edit").count() == 1


def test_the_form_edits_and_shows_the_history(seeds, admin, signed_in):
    client = signed_in(admin)
    page = client.get("/rules/no-body/")
    data = {name: page.context["form"][name].value() for name in page.context["form"].fields}
    data |= {"text_en": "It has no body.", "reason": "clearer", "allowed_examples": "Yes | 네\n\nAye | 예"}
    assert client.post("/rules/no-body/", data).status_code == 302
    version = Rule.objects.get(key="no-body").versions.first()
    assert (version.number, version.text_en, version.created_by) == (2, "It has no body.", admin)
    assert version.allowed_examples == [{"en": "Yes", "ko": "네"}, {"en": "Aye", "ko": "예"}]
    shown = client.get("/rules/no-body/").content.decode()
    assert "It has no body." in shown
    assert "Version 1" in shown
    assert AuditEntry.objects.get(verb="rule.edit").reason == "clearer"
    stale = client.post("/rules/no-body/", {**data, "text_en": "Again."})
    assert stale.status_code == 400
    assert "in the meantime" in stale.content.decode()


def sent(page, **changes):
    """The form of a page as a browser would send it, with changes."""
    return {name: page.context["form"][name].value() or "" for name in page.context["form"].fields} | changes


def test_an_example_may_be_in_one_language_and_an_empty_one_is_named_by_line(seeds, admin, signed_in):
    client = signed_in(admin)
    data = sent(client.get("/rules/no-body/"), reason="x")
    examples = "a | b\nonly English\n한국어만\n| 둘째\nsecond |"
    assert client.post("/rules/no-body/", {**data, "violating_examples": examples}).status_code == 302
    version = Rule.objects.get(key="no-body").versions.first()
    pairs = [("a", "b"), ("only English", ""), ("", "한국어만"), ("", "둘째"), ("second", "")]
    assert [(one["en"], one["ko"]) for one in version.violating_examples] == pairs
    assert version.violating == ["a", "only English", "한국어만", "둘째", "second"]
    page = client.get("/rules/no-body/")
    again = sent(page, reason="the same")
    assert client.post("/rules/no-body/", again).status_code == 302
    assert Rule.objects.get(key="no-body").versions.first() == version
    refused = client.post("/rules/no-body/", {**data, "violating_examples": "a | b\n |"})
    assert refused.status_code == 400
    assert "Line 2" in refused.content.decode()


@pytest.mark.parametrize(("language", "other"), [("en", "ko"), ("ko", "en")])
def test_a_wording_in_one_language_is_enough_and_its_readers_are_told(seeds, admin, signed_in, language, other):
    client = signed_in(admin)
    written = {f"name_{language}": "N!", f"text_{language}": "T!", f"name_{other}": "", f"text_{other}": ""}
    data = sent(client.get("/rules/no-body/"), reason="one is enough", allowed_examples="", violating_examples="")
    assert client.post("/rules/no-body/", data | written).status_code == 302
    version = Rule.objects.get(key="no-body").versions.first()
    for reader in (language, other):
        with translation.override(reader):
            assert (version.name, version.text, version.language) == ("N!", "T!", language)
            assert version.is_in_another_language == (reader == other)
    assert (version.taught_name, version.taught_text) == ("N!", "T!")
    shown = client.get("/rules/", headers={"accept-language": "en"}).content.decode()
    assert ("only in Korean" in shown) == (language == "ko")


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"text_ko": ""}, "text_ko"), ({"name_en": ""}, "name_en"), (dict.fromkeys(("name_en", "text_en"), ""), None)],
)
def test_half_a_language_is_none(seeds, admin, signed_in, changes, field):
    client = signed_in(admin)
    answer = client.post("/rules/no-body/", sent(client.get("/rules/no-body/"), reason="x", **changes))
    assert answer.status_code == (400 if field else 302)
    assert Rule.objects.get(key="no-body").versions.count() == (1 if field else 2)
    if field:
        assert field in answer.context["form"].errors


def test_a_switch_is_recorded_and_keeps_judgements(seeds, admin, signed_in):
    signed_in(admin).post("/rules/no-body/switch/", {"is_on": "0"})
    assert not Rule.objects.get(key="no-body").is_on
    assert "no-body" not in [version.rule.key for version in rules.current()]
    assert AuditEntry.objects.get(verb="rule.switch").after == {"is_on": False}
    signed_in(admin).post("/rules/no-body/switch/", {"is_on": "0"})
    assert AuditEntry.objects.filter(verb="rule.switch").count() == 1


def test_names_and_texts_follow_the_reader_s_language(seeds):
    version = Rule.objects.get(key="no-insults").versions.first()
    assert version.name == "No insults"
    with translation.override("ko"):
        assert version.name == "모욕 금지"
        assert "바보" in version.violating[0]


def test_everybody_reads_the_rules_in_force_and_only_an_admin_finds_the_others_and_the_buttons(
    seeds, person, admin, signed_in
):
    off = Rule.objects.get(key="no-body")
    rules.switch(off, False, actor=admin)
    name = off.versions.first().name_en
    page = signed_in(person("chatter")).get("/rules/", headers={"accept-language": "en"}).content.decode()
    assert Rule.objects.get(key="no-insults").versions.first().text_en in page
    assert name not in page
    assert "/switch/" not in page
    assert "/rules/no-insults/" not in page
    shown = signed_in(admin).get("/rules/", headers={"accept-language": "en"}).content.decode()
    assert name in shown
    assert "/rules/no-insults/switch/" in shown
