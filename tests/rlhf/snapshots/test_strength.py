"""How much better and all good or bad, on their way from a ranking to the rows that train."""

import pytest

from rlhf.snapshots import freezing
from rlhf.training.snapshot.files import SnapshotFiles
from tests.rlhf import feedback_rows
from tests.rlhf.snapshots.snapshot_lines import lines

pytestmark = pytest.mark.django_db


def test_how_much_better_is_the_margin_of_each_pair_and_reaches_the_reward_model(ann):
    feedback_rows.rank(ann, 1, ranks=(1, 3, 3, 2), strength=[1, 3])
    made = freezing.freeze()
    by_texts = {
        (line["chosen"][0]["content"], line["rejected"][0]["content"]): line["margin"]
        for line in lines(made, "preferences.jsonl")
    }
    light, heart, it_is, rain = feedback_rows.TEXTS
    third = 1 / 3
    assert by_texts == {
        (light, rain): third,
        (light, heart): 1,
        (light, it_is): 1,
        (rain, heart): 1,
        (rain, it_is): 1,
    }
    (row,) = SnapshotFiles.load(made.path).rankings
    assert dict(zip(row.pairs, row.pair_margins, strict=True)) == {
        (0, 1): 1,
        (0, 2): 1,
        (0, 3): third,
        (3, 1): 1,
        (3, 2): 1,
    }


def test_margins_stay_with_their_replies_where_a_cut_one_is_left_out(ann):
    ranking = feedback_rows.rank(ann, 1, ranks=(2, 1, 3, 4), strength=[3, 0, 1])
    ranking.task.completions.filter(index=0).update(finish_reason="length")
    made = freezing.freeze()
    (line,) = lines(made, "rankings.jsonl")
    assert (line["ranks"], line["margins"]) == ([1, 3, 4], [[0, 1, 1.0], [0, 2, 1.0], [1, 2, 1 / 3]])


def test_all_bad_is_a_negative_label_of_each_reply_though_no_pair_is(ann):
    feedback_rows.rank(ann, 1, ranks=(1, 1, 1, 1), overall="bad")
    feedback_rows.rank(ann, 2, ranks=(1, 2), overall="good")
    feedback_rows.rank(ann, 3)
    made = freezing.freeze()
    found = [
        (line["completion"][0]["content"], line["label"], line["weight"]) for line in lines(made, "unpaired.jsonl")
    ]
    bad, good = (
        [(text, False, 0.25) for text in feedback_rows.TEXTS],
        [(text, True, 0.5) for text in feedback_rows.TEXTS[:2]],
    )
    assert found == bad + good
    assert [thumb.is_up for thumb in SnapshotFiles.load(made.path).thumbs] == [False] * 4 + [True] * 2
