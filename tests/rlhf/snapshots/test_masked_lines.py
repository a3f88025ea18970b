"""What people wrote in chats is masked in every file of a snapshot."""

import pytest

from feedback.models import Comparison, Thumb, Violation
from rlhf.snapshots import freezing
from tests.feedback.conversation_rows import make_pair
from tests.people import make_person
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db
ADDRESS = "sarah@example.org"


def test_no_file_has_what_is_masked(settings, tmp_path):
    settings.RUNS_DIR, settings.RLHF_MINIMUM_RANKINGS = tmp_path / "runs", 1
    settings.FEEDBACK_HELD_OUT_SHARE = 0.0
    writer = make_person("writer")
    ann = feedback_rows.annotator("ann")
    feedback_rows.rank(ann, 1)
    texts = (f"Write to {ADDRESS}.", "Light.")
    pair = make_pair(writer, texts, asks=f"I am {ADDRESS}, what now?", may_train=True)
    Comparison.objects.create(pair=pair, annotator=writer, choice="left", split="train")
    Thumb.objects.create(message=pair.left.message, person=writer, is_up=True)
    Violation.objects.create(rule_version=feedback_rows.rule(), message=pair.left.message, annotator=ann)
    made = freezing.freeze()
    written = {path.name: path.read_text() for path in made.path.iterdir()}
    assert ADDRESS not in "".join(written.values())
    for name in ("rankings.jsonl", "preferences.jsonl", "violations.jsonl", "unpaired.jsonl"):
        assert "I am <EMAIL_1>, what now?" in written[name]
        assert "Write to <EMAIL_1>." in written[name]
