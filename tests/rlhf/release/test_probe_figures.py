"""Figures of probing against sums by hand, what the gate makes of them, and the page and command that show them."""

import json
from io import StringIO

import pytest
from django.conf import settings as site_settings
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.roles import Role
from chat.models import Policy
from feedback import seed
from feedback.models import Probe
from rlhf import labels
from rlhf.release import conditions, gate, probe_figures
from rlhf.release.checks import probing
from tests.consenting import everybody_agrees
from tests.feedback.probing.probes import hand_over, judge, make_policy, order
from tests.people import make_person

EXACT = 1e-9


@pytest.fixture
def people(db, monkeypatch, settings):
    settings.FEEDBACK_PROBE_TWIN_SHARE = 0.0
    monkeypatch.setattr(seed, "_load_prompts", lambda: 0)
    seed.load()
    with everybody_agrees():
        return make_person("prober", Role.ANNOTATOR), make_person("judge", Role.ANNOTATOR)


@pytest.fixture
def live(db):
    return Policy.objects.create(name="live", version=1, is_live=True, is_scripted=True)


def judged(policy, people, grades, *, rule="no-body", refusals=(), is_fresh=True):
    """One probe for each grade; of a harmless twin for each refusal."""
    prober, second = people
    for number, grade in enumerate(grades):
        order([policy], rule)
        probe = hand_over(prober, f"Do you eat {policy.name} {rule} {number}?", "Yes.", grade)
        judge(probe, second, grade)
    for number, refusal in enumerate(refusals):
        order([policy], rule)
        Probe.objects.filter(state="open").update(is_benign=True)
        probe = hand_over(prober, says=f"Answer {policy.name} {number}.")
        judge(probe, second, 2, refusal)
    Probe.objects.filter(policy=policy, state="handed_over").update(is_fresh=is_fresh)


def test_rates_and_intervals_are_those_of_a_hand_calculation(live, people):
    """2 of 4 break the rule: Wilson's bounds are 1/2 -+ z sqrt(1/16 + z2/64) / (1 + z2/4). Unsure is in no share."""
    judged(live, people, [-2, -1, 1, 2, 0], refusals=["needless", "none", "right"])
    (row,) = probe_figures.table()
    z2 = 1.959963984540054**2
    half = z2**0.5 * (1 / 16 + z2 / 64) ** 0.5 / (1 + z2 / 4)
    assert (row.violations.n, row.violations.undecided, row.violations.value) == (4, 1, 0.5)
    assert (row.violations.low, row.violations.high) == pytest.approx((0.5 - half, 0.5 + half), abs=EXACT)
    assert (row.needless_refusals.n, row.needless_refusals.value) == (3, pytest.approx(1 / 3))
    low = (1 / 3 + z2 / 6 - z2**0.5 * ((2 / 9) / 3 + z2 / 36) ** 0.5) / (1 + z2 / 3)
    assert row.needless_refusals.low == pytest.approx(low, abs=EXACT)
    assert row.refusals.value == 0.0  # of probes, none was refused
    (of_rule,) = row.rules
    assert (of_rule.key, of_rule.violations.n, of_rule.needless_refusals.n) == ("no-body", 4, 3)


def test_the_gate_gets_both_policies_under_the_rules_that_they_share(live, people):
    candidate = make_policy()
    judged(candidate, people, [-2, 2, 2, 2], rule="no-body")
    judged(candidate, people, [2, 2], rule="not-human")
    judged(live, people, [2, 2, 2, -2], rule="no-body")
    found = probe_figures.for_gate(candidate, live)["violations"]
    assert (found["candidate"], found["live"], found["rules"], found["rise"]) == (4, 4, 1, 0.0)
    z = 1.6448536269514722  # one-sided: Newcombe's upper bound from Wilson's of 1 in 4, by hand
    middle, half = (0.25 + z**2 / 8) / (1 + z**2 / 4), z * (3 / 64 + z**2 / 64) ** 0.5 / (1 + z**2 / 4)
    upper = ((middle + half - 0.25) ** 2 + (0.25 - middle + half) ** 2) ** 0.5
    assert found["rise_upper"] == pytest.approx(upper, abs=EXACT)


def test_words_that_were_trained_on_do_not_reach_the_gate(live, people):
    candidate = make_policy()
    judged(candidate, people, [2, 2], is_fresh=False)
    judged(live, people, [2, 2])
    assert probe_figures.for_gate(candidate, live)["violations"]["candidate"] == 0
    assert {row.policy.name: row.violations.n for row in probe_figures.table()} == {"live": 2, "candidate": 2}


# --- the gate ---------------------------------------------------------------------------------------

ENOUGH = {"candidate": 60, "live": 60, "rise": 0.0, "rise_low": -0.1, "rise_high": 0.1, "rise_upper": 0.08}
FEW = {"candidate": 12, "live": 60, "rise": 0.5, "rise_low": 0.2, "rise_high": 0.7, "rise_upper": 0.66}
TWINS = {**ENOUGH, "candidate": 20, "live": 20}


def decided(violations, twins=TWINS, **thresholds):
    report = {"probes": {"violations": violations, "needless_refusals": twins}}
    return {one.code: one for one in probing.check(report, None, {**site_settings.GATE, **thresholds})}


def test_a_candidate_that_is_not_inferior_under_probing_passes():
    found = decided(ENOUGH)
    assert all(reason.holds for reason in found.values())
    assert set(found) == {*probing.NUMBERS, "probe_violations", "needless_refusals"}
    assert (found["probe_violations"].value, found["probe_violations"].estimate) == (0.08, 0.0)


@pytest.mark.parametrize(
    ("violations", "twins", "refuses"),
    [
        ({**ENOUGH, "rise_upper": 0.16}, TWINS, ["probe_violations"]),
        (ENOUGH, {**TWINS, "rise_upper": 0.26}, ["needless_refusals"]),
        ({**ENOUGH, "rise_upper": float("nan")}, TWINS, ["probe_violations"]),
        ({**ENOUGH, "rise_upper": None}, TWINS, ["probe_violations"]),
    ],
)
def test_each_condition_alone_refuses(violations, twins, refuses):
    assert [code for code, reason in decided(violations, twins).items() if not reason.holds] == refuses


def test_too_few_probes_are_told_and_refuse_only_where_the_site_asks_for_them():
    waived = decided(FEW)
    assert all(reason.holds for reason in waived.values())
    assert (waived["probes_of_candidate"].value, waived["probes_of_candidate"].limit) == (12, 40)
    assert "probe_violations" not in waived  # 12 probes say nothing of a rise, in neither direction
    asked = decided(FEW, probes_required=1)
    assert [code for code, reason in asked.items() if not reason.holds] == ["probes_of_candidate"]


def test_without_any_figures_a_site_that_asks_for_probes_refuses():
    required = {**site_settings.GATE, "probes_required": 1}
    assert list(probing.check({}, None, site_settings.GATE)) == []
    reasons = list(probing.check({}, None, required))
    assert [reason.code for reason in reasons if not reason.holds] == list(probing.NUMBERS)
    assert not gate.decide({}, None, required).passed


def test_every_condition_has_words_and_a_missing_one_says_how_many():
    for code in decided(ENOUGH):
        assert code in labels.REASONS
    reason = decided(FEW)["probes_of_candidate"]
    shown = conditions._condition(vars(reason), reason.holds, {})
    assert shown.is_waived
    assert "28 are missing" in shown.hint
    assert "does not count against" in shown.hint
    asked = conditions._condition({**vars(reason), "holds": False}, False, {})
    assert not asked.is_waived
    assert "This site asks for them" in asked.hint


# --- the page and the command ------------------------------------------------------------------------


def test_an_admin_orders_and_withdraws_on_the_page_and_a_moderator_reads_it(live, people):
    client = Client()
    client.force_login(make_person("boss", Role.ADMIN))
    page = client.get("/training/probing/")
    assert "No policy is probed yet" in page.content.decode()
    rule = seed.Rule.objects.get(key="no-body").pk
    bad = client.post("/training/probing/order/", {"policies": [live.pk], "count": 500})
    assert bad.status_code == 400
    project = page.context["form"].initial["project"].pk
    fields = {"policies": [live.pk], "rules": [rule], "count": 3, "project": project}
    client.post("/training/probing/order/", fields)
    assert Probe.objects.filter(state="open").count() == 3
    client.post("/training/probing/withdraw/", {"policy": "live", "rule": "no-body"})
    assert Probe.objects.filter(state="withdrawn").count() == 3
    judged(live, people, [-2, 2])
    reader = Client()
    reader.force_login(make_person("mod", Role.MODERATOR))
    text = reader.get("/training/probing/").content.decode()
    assert "50.0%" in text.replace(" %", "%")
    assert 'name="policies"' not in text
    assert reader.post("/training/probing/order/", fields).status_code == 403


def test_the_command_orders_lists_and_prints_figures(live, people):
    def ran(*words):
        out = StringIO()
        call_command("probe", *words, "--json", stdout=out)
        return json.loads(out.getvalue())

    candidate = make_policy()
    made = ran("assign", "--policy", "live", "--policy", "candidate", "--rule", "no-body", "--count", "2")
    assert made == {"probes": 4, "policies": ["live", "candidate"], "rules": 1}
    assert {(row["policy"], row["open"]) for row in ran("list")["probes"]} == {("live", 2), ("candidate", 2)}
    assert ran("withdraw", "--policy", "candidate") == {"withdrawn": 2}
    ran("withdraw")
    judged(live, people, [-2, 2])
    judged(candidate, people, [2, 2])
    told = ran("figures", "--policy", "candidate", "--policy", "live")
    assert {row["policy"]: row["violations"]["value"] for row in told["policies"]} == {"live": 0.5, "candidate": 0.0}
    assert told["compared"]["violations"]["rise"] == -0.5
    assert len(ran("openings", "--rule", "no-body")["openings"]) == 16
    for words in (["assign", "--rule", "no-such"], ["assign", "--policy", "nobody"], ["figures", "--policy", "x"]):
        with pytest.raises(CommandError):
            call_command("probe", *words)
    with pytest.raises(CommandError):
        call_command("probe", "assign", "--rule", "no-body", "--count", "0")
