"""Held-out lines that belong together have one group, and only those."""

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from feedback.near_duplicates import sketch
from rlhf.snapshots import freezing
from rlhf.snapshots.groups import group_keys
from rlhf.snapshots.leaks import Origin
from rlhf.training.snapshot.files import SnapshotFiles, digest, freeze
from tests.rlhf import feedback_rows
from tests.rlhf.snapshots.snapshot_lines import lines

TURNS = ("What is a rainbow?", "what is a  RAINBOW", "How do bees make honey?", "Thanks!", "thanks", "Who are you?")
CONVERSATIONS = [uuid.UUID(int=number) for number in range(3)]
origins = st.lists(
    st.builds(
        Origin,
        st.sampled_from(["held_out", "held_out", "train"]),
        st.sampled_from([None, *CONVERSATIONS]),
        st.lists(st.sampled_from(TURNS), max_size=3).map(tuple),
    ),
    max_size=7,
)


def are_bound(one, other):
    """Directly: by a conversation, a beginning, or all that was said."""
    return (
        (one.conversation is not None and one.conversation == other.conversation)
        or sketch(one.opening).is_near(sketch(other.opening))
        or sketch(one.whole).is_near(sketch(other.whole))
    )


@given(origins)
def test_a_group_is_what_hangs_together(found):
    keys = group_keys(found)
    held_out = sorted({one for one in found if one.split == "held_out"}, key=repr)
    assert set(keys) == set(held_out)
    if not held_out:
        return
    parts = connected_components(np.array([[are_bound(one, other) for other in held_out] for one in held_out]))[1]
    for one, part in zip(held_out, parts, strict=True):
        for other, its in zip(held_out, parts, strict=True):
            assert (keys[one] == keys[other]) == (part == its)


def test_the_order_of_the_lines_changes_no_key():
    found = [Origin("held_out", None, (text,)) for text in TURNS]
    assert group_keys(found) == group_keys(found[::-1])


@pytest.mark.django_db
def test_a_snapshot_tells_group_and_annotator_of_what_is_held_out(ann):
    feedback_rows.plenty(ann, 3, 0)
    other = feedback_rows.annotator("bob")
    for number in range(2):  # nearly one prompt
        feedback_rows.flag(feedback_rows.rank(other, number, "held_out"))
    made = freezing.freeze()
    read = SnapshotFiles.load(made.path)
    trained, held_out = ([row for row in read.rankings if row.split == split] for split in ("train", "held_out"))
    assert {row.group for row in held_out} == {row.group for row in read.prompts_of("held_out")}
    assert {row.group for row in held_out} == {row.group for row in read.violations}
    assert len({row.group for row in held_out}) == 1
    assert len({row.group for row in trained}) == 3
    assert len({row.annotator for row in read.rankings}) == 2
    assert trained[0].group == digest(freeze(lines(made, "rankings.jsonl")[0]["prompt"]))
