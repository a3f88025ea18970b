"""What a snapshot says is what training sees."""

import json
from pathlib import Path

import pytest

from rlhf.training.snapshot.files import BadSnapshot, PlainReply, RankingRow, SnapshotFiles, last_user_text, thaw
from tests.rlhf.training.planted import seal, write_snapshot

PROMPT = (("user", "hi"),)


def ranking(*ranks: int, weight: float = 1.0) -> RankingRow:
    return RankingRow(tuple(PlainReply(PROMPT, str(i), True) for i in range(len(ranks))), ranks, "train", weight)


def test_a_ranking_of_four_has_six_pairs_of_one_sixth() -> None:
    found = ranking(2, 1, 4, 3)
    assert sorted(found.pairs) == [(0, 2), (0, 3), (1, 0), (1, 2), (1, 3), (3, 2)]
    assert found.pair_weight == pytest.approx(1 / 6)
    assert ranking(1, 2, weight=0.5).pair_weight == 0.5


def test_ties_carry_no_pair_but_do_not_raise_the_weight_of_the_others() -> None:
    found = ranking(1, 2, 2, 3)
    assert sorted(found.pairs) == [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]
    assert found.pair_weight == pytest.approx(1 / 6)
    assert ranking(1, 1).pairs == []


def test_two_replies_of_one_text_carry_no_pair() -> None:
    replies = tuple(PlainReply(PROMPT, text, True) for text in ("a", "b", "a"))
    assert sorted(RankingRow(replies, (1, 2, 3), "train").pairs) == [(0, 1), (1, 2)]


def test_a_snapshot_is_read_with_its_splits(tmp_path: Path) -> None:
    snapshot = SnapshotFiles.load(write_snapshot(tmp_path / "s", rankings=6, held_out=2))
    assert [r.split for r in snapshot.rankings].count("held_out") == 2
    assert len(snapshot.violations) == 8 * 4 * 2
    assert len(snapshot.prompts_of("train")) == 6
    assert set(snapshot.rules) == {"no-feelings", "no-numbers"}
    assert snapshot.simulated
    row = json.loads((tmp_path / "s" / "rankings.jsonl").read_text().splitlines()[0])
    assert thaw(snapshot.rankings[0].replies[0].prompt) == row["prompt"]
    assert [r.finished for r in snapshot.rankings[0].replies] == [
        c["finish_reason"] == "stop" for c in row["completions"]
    ]


def test_trl_s_preference_format_alone_is_enough(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s", rankings=1, held_out=0)
    (folder / "rankings.jsonl").unlink()
    row = {
        "prompt": [{"role": "user", "content": "hi"}],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
    }
    (folder / "preferences.jsonl").write_text(json.dumps(row))
    seal(folder)
    (found,) = SnapshotFiles.load(folder).rankings
    assert [reply.text for reply in found.replies] == ["good", "bad"]
    assert found.pairs == [(0, 1)]


@pytest.mark.parametrize("damage", ["changed", "absent", "no manifest", "not json", "ranks"])
def test_a_damaged_snapshot_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    folder = write_snapshot(tmp_path / "s", rankings=2, held_out=0)
    path = folder / "rankings.jsonl"
    if damage == "changed":
        path.write_text(path.read_text() + " ")
    elif damage == "absent":
        path.unlink()
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "not json":
        path.write_text("{")
        seal(folder)
    else:
        row = json.loads(path.read_text().splitlines()[0])
        path.write_text(json.dumps(row | {"ranks": [1]}))
        seal(folder)
    with pytest.raises(BadSnapshot):
        SnapshotFiles.load(folder)


def test_the_annotators_prompt_is_the_last_user_message() -> None:
    assert last_user_text((("user", "one"), ("assistant", "two"), ("user", "three"))) == "three"


def test_margins_and_thumbs_are_read(tmp_path: Path) -> None:
    prompt = [{"role": "user", "content": "hi"}]
    completions = [{"text": text, "finish_reason": "stop"} for text in "abc"]
    ranking = {"prompt": prompt, "completions": completions, "ranks": [2, 1, 3], "split": "train"}
    (tmp_path / "rankings.jsonl").write_text(json.dumps(ranking | {"margins": [[1, 2, 0.75]], "shown": [2, 1, 0]}))
    thumb = {"prompt": prompt, "completion": [{"role": "assistant", "content": "hello"}], "label": False}
    (tmp_path / "unpaired.jsonl").write_text(json.dumps(thumb | {"split": "held_out", "weight": 0.25}))
    seal(tmp_path)
    found = SnapshotFiles.load(tmp_path)
    (read,) = found.rankings
    assert dict(zip(read.pairs, read.pair_margins, strict=True)) == {(1, 0): 0.0, (0, 2): 0.0, (1, 2): 0.75}
    assert read.shown == (2, 1, 0)
    (row,) = found.thumbs
    assert (row.reply.text, row.is_up, row.split, row.weight) == ("hello", False, "held_out", 0.25)


def test_a_preference_pair_s_margin_is_read(tmp_path: Path) -> None:
    sides = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    row = {"prompt": [{"role": "user", "content": "hi"}], **sides, "weight": 0.5, "margin": 1.5}
    (tmp_path / "preferences.jsonl").write_text(json.dumps(row))
    seal(tmp_path)
    (read,) = SnapshotFiles.load(tmp_path).rankings
    assert (read.pairs, read.pair_margins, read.pair_weight) == ([(0, 1)], [1.5], 0.5)
