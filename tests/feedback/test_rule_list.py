"""Rules are added, put in their place, retired and brought back, each with its audit entry."""

import pytest

from accounts.models import AuditEntry
from chat.errors import Blocked
from feedback import rule_list, rules
from feedback.guards import PhraseGuard
from feedback.models import BlockedPhrase, Rule, Violation
from rlhf.snapshots.rows import Frozen, _rule_lines
from tests.accounts.audit_faults import faults
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import make_task

NEW = {
    "key": "no-spoilers",
    "group": "quality",
    "reason": "films",
    "name_ko": "결말 누설 금지",
    "text_ko": "결말을 말하지 않습니다.",
}


def order(group):
    names = dict(rules.grouped(rules.current(only_on=False)))
    return [version.rule.key for version in names[str(rules.GROUPS[group])]]


def verbs():
    return list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))


def test_an_admin_adds_a_rule_in_one_language_and_it_is_offered(seeds, admin, signed_in, annotator, policy):
    client = signed_in(admin)
    assert client.get("/rules/add/").status_code == 200
    assert client.post("/rules/add/", NEW)["Location"] == "/rules/no-spoilers/"
    rule = Rule.objects.get(key="no-spoilers")
    assert (rule.is_on, rule.group, order("quality")[-1]) == (True, "quality", "no-spoilers")
    assert "no-spoilers" in [version.rule.key for version in rules.current()]
    assert [line for line in _rule_lines() if line["key"] == "no-spoilers"] == [
        {"key": "no-spoilers", "name": NEW["name_ko"], "text": NEW["text_ko"], "group": "quality"}
    ]
    entry = AuditEntry.objects.get(verb="rule.add")
    assert (entry.reason, entry.after["text_ko"]) == ("films", NEW["text_ko"])
    assert faults() == []


@pytest.mark.parametrize(
    "changes",
    [{"key": "no-insults"}, {"key": "add"}, {"key": "한글"}, {"group": "nowhere"}, {"text_ko": ""}, {"reason": ""}],
)
def test_a_rule_that_cannot_be_is_refused_with_the_field(seeds, admin, signed_in, changes):
    before = Rule.objects.count()
    answer = signed_in(admin).post("/rules/add/", NEW | changes)
    assert answer.status_code == 400
    assert set(answer.context["form"].errors) & {*changes}
    assert Rule.objects.count() == before


def test_only_admins_add_and_retire(seeds, moderator, signed_in):
    client = signed_in(moderator)
    assert client.post("/rules/add/", NEW).status_code == 403
    assert client.post("/rules/no-body/retire/", {"reason": "x"}).status_code == 403
    assert Rule.objects.filter(retired_at=None).count() == Rule.objects.count()


def test_a_rule_moves_within_its_group_and_stops_at_its_ends(seeds, admin, signed_in):
    client, before = signed_in(admin), order("safety")
    client.post(f"/rules/{before[1]}/place/", {"step": "up"})
    assert order("safety") == [before[1], before[0], *before[2:]]
    client.post(f"/rules/{before[1]}/place/", {"step": "up"})
    client.post(f"/rules/{before[-1]}/place/", {"step": "down"})
    assert order("safety") == [before[1], before[0], *before[2:]]
    assert verbs() == ["rule.place"]
    client.post(f"/rules/{before[1]}/place/", {"step": "down"})
    assert order("safety") == before
    positions = list(Rule.objects.order_by("position").values_list("position", flat=True))
    assert positions == list(range(1, len(positions) + 1))


def test_a_rule_changes_its_group_and_its_severity_with_it(seeds, admin, signed_in):
    rule = Rule.objects.get(key="no-repetition")
    assert rules.severity(rule) == 1
    signed_in(admin).post("/rules/no-repetition/place/", {"group": "harm-to-people"})
    rule.refresh_from_db()
    assert (rule.group, rules.severity(rule), verbs()) == ("harm-to-people", 2, ["rule.place"])
    with pytest.raises(rule_list.UnknownGroup):
        rule_list.put_into(rule, "nowhere", actor=admin)


def test_a_retired_rule_is_not_offered_does_not_train_and_stays_readable(
    seeds, admin, signed_in, person, annotator, policy
):
    rule = Rule.objects.get(key="no-insults")
    version = rule.versions.first()
    completion = make_task(policy).completions.first()
    Violation.objects.create(rule_version=version, completion=completion, annotator=annotator)
    BlockedPhrase.objects.create(rule=rule, phrase="you fool")
    reply = talk(person("carl"), "Hm", "Hm.", policy=policy)[1]
    with pytest.raises(Blocked):
        PhraseGuard().check_message("You fool!", reply.conversation)
    client = signed_in(admin)
    assert client.post("/rules/no-insults/retire/", {"reason": "merged into another"}).status_code == 302
    PhraseGuard().check_message("You fool!", reply.conversation)
    assert "no-insults" not in [line["key"] for line in _rule_lines()]
    assert "no-insults" not in [other.rule.key for other in rules.current(only_on=False)]
    assert [other.rule.key for other in rules.retired()] == ["no-insults"]
    form = signed_in(person("dora")).get(f"/messages/{reply.pk}/report/")
    assert form.status_code in (200, 404)
    page = signed_in(annotator).get("/rules/", headers={"accept-language": "en"}).content.decode()
    assert version.text_en in page
    assert "1 retired rule" in page
    history = client.get("/rules/no-insults/").content.decode()
    assert version.text_en in history
    assert "Save as a new version" not in history
    assert Violation.objects.filter(rule_version=version).exists()
    assert AuditEntry.objects.get(verb="rule.retire").reason == "merged into another"


def test_a_retired_rule_is_neither_edited_nor_switched_on_until_it_is_brought_back(seeds, admin, signed_in):
    client, rule = signed_in(admin), Rule.objects.get(key="no-body")
    rule_list.retire(rule, actor=admin, reason="x")
    rule_list.retire(rule, actor=admin, reason="twice")
    wording = {name: getattr(rule.versions.first(), name) for name in rules.WORDING}
    with pytest.raises(rules.RuleRetired):
        rules.edit(rule, wording | {"text_en": "Other."}, actor=admin, based_on=1)
    client.post("/rules/no-body/switch/", {"is_on": "1"})
    assert not Rule.objects.get(key="no-body").is_on
    client.post("/rules/no-body/bring-back/")
    client.post("/rules/no-body/switch/", {"is_on": "1"})
    assert Rule.objects.get(key="no-body").is_on
    assert verbs() == ["rule.retire", "rule.bring_back", "rule.switch"]


def test_flags_of_a_retired_rule_leave_the_next_snapshot(seeds, admin, annotator, policy):
    from django.utils import timezone

    rule = Rule.objects.get(key="no-insults")
    completion = make_task(policy).completions.first()
    Violation.objects.create(rule_version=rule.versions.first(), completion=completion, annotator=annotator)
    assert len(Frozen(timezone.now()).violations) == 1
    rule_list.retire(rule, actor=admin, reason="x")
    assert Frozen(timezone.now()).violations == []
