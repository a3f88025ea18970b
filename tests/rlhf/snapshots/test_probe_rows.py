"""What a snapshot holds of probes: both flags on the reply, with who gave them, and no ranking."""

import json

import pytest

from accounts.roles import Role
from chat.models import Policy
from feedback import seed
from rlhf.snapshots import freezing
from rlhf.snapshots.provenance import own_pseudonym
from tests.consenting import agree
from tests.feedback.probing.probes import hand_over, judge, order
from tests.people import make_person
from tests.rlhf.snapshots.snapshot_lines import lines


@pytest.mark.django_db
def test_both_grades_of_a_probe_s_reply_train_with_where_they_come_from(home, settings, monkeypatch):
    settings.FEEDBACK_PROBE_TWIN_SHARE, settings.RLHF_MINIMUM_RANKINGS = 0.0, 0
    monkeypatch.setattr(seed, "_load_prompts", lambda: 0)
    seed.load()
    policy = Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    prober, second = make_person("prober", Role.ANNOTATOR), make_person("second", Role.ANNOTATOR)
    agree(prober)
    order([policy])
    judge(hand_over(prober, grade=1), second, -1)
    made = freezing.freeze()
    flags = [
        (line["annotator"], line["probe"], line["label"], line["policy"], line["rule"], line["project"])
        for line in lines(made, "violations.jsonl")
    ]
    of_both = ("scripted", "no-body", "site")
    assert flags == [
        (own_pseudonym(prober.pk), "prober", 0, *of_both),
        (own_pseudonym(second.pk), "judge", 1, *of_both),
    ]
    assert made.rankings == 0
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["counts"]["rankings"]["left_out"] == {"one_reply_alone": 1}
