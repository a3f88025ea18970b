"""An edit makes a version; what was judged stays bound to what the judge read."""

import pytest
from django.utils import translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.audit import broken_links
from accounts.models import AuditEntry
from feedback import rules
from feedback.models import Rule, Violation
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
    assert broken_links() == []


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


def test_an_example_without_its_other_language_is_named_by_line(seeds, admin, signed_in):
    client = signed_in(admin)
    page = client.get("/rules/no-body/")
    data = {name: page.context["form"][name].value() for name in page.context["form"].fields}
    response = client.post("/rules/no-body/", {**data, "reason": "x", "violating_examples": "a | b\nonly English"})
    assert response.status_code == 400
    assert "Line 2" in response.content.decode()


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
