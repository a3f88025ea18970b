"""What people's judgements make of replies: pairs, the best ones, good and bad ones."""

import json
from pathlib import Path

import pytest

from rlhf.training.policy import replies
from rlhf.training.policy.replies import JudgedReply, NothingToFit, ReplyEncoder
from rlhf.training.snapshot.files import PlainReply, RankingRow, SnapshotFiles, ViolationRow
from rlhf.training.tokens import ChatTokenizer

PROMPT = (("user", "What is a star?"),)
A, B, C = (PlainReply(PROMPT, text, finished) for text, finished in (("a", True), ("b", False), ("c", True)))


def snapshot(
    folder: Path, *rankings: RankingRow, violations: tuple[ViolationRow, ...] = (), thumbs: tuple[dict, ...] = ()
) -> SnapshotFiles:
    (folder / "unpaired.jsonl").write_text("".join(json.dumps(row) + "\n" for row in thumbs))
    return SnapshotFiles(folder, rankings, violations, (), {}, simulated=False)


def thumb(text: str, up: bool, split: str = "train") -> dict:
    prompt = [{"role": "user", "content": "What is a star?"}]
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": text}], "label": up, "split": split}


def flag(reply: PlainReply, violates: bool, weight: float = 1.0, rule: str = "r") -> ViolationRow:
    return ViolationRow(reply, rule, "text", violates, "train", weight)


@pytest.fixture
def encoder(tokenizer: ChatTokenizer) -> ReplyEncoder:
    return ReplyEncoder(tokenizer, 5)


def test_pairs_are_those_of_the_training_rankings_and_weigh_as_a_ranking_does(
    tmp_path: Path, encoder: ReplyEncoder
) -> None:
    ranked = RankingRow((A, B, C), (2, 1, 2), "train", 0.5)
    held_out = RankingRow((A, C), (1, 2), "held_out")
    examples, weights = replies.pairs(snapshot(tmp_path, ranked, held_out), encoder)
    assert examples == [encoder.example(one) for one in (B, A, B, C)]
    assert weights == pytest.approx([0.5 / 3, 0.5 / 3])


def test_an_end_is_learnt_only_where_the_model_wrote_one(encoder: ReplyEncoder) -> None:
    ended, cut = encoder.example(A), encoder.example(B)
    end = encoder.tokenizer.end_id
    assert (ended.ids[-1], ended.answer[-1]) == (end, True)
    assert (cut.ids[-1], cut.answer[-1]) == (encoder.tokenizer.text_ids("b")[-1], True)
    longer = encoder.example(PlainReply(PROMPT, "a star is a ball of hot gas that shines", True))
    assert sum(longer.answer) == 5
    assert longer.ids[-1] != end


def test_the_best_share_a_ranking_s_weight_and_a_tie_of_all_teaches_nothing(
    tmp_path: Path, encoder: ReplyEncoder
) -> None:
    tied = RankingRow((A, B), (1, 1), "train")
    found = replies.best(snapshot(tmp_path, RankingRow((A, B, C), (1, 2, 1), "train", 0.8), tied), encoder)
    assert found == [encoder.example(A, 0.4), encoder.example(C, 0.4)]
    with pytest.raises(NothingToFit):
        replies.best(snapshot(tmp_path, tied), encoder)


def test_good_and_bad_come_from_ends_of_rankings_thumbs_and_flags(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    ranking = RankingRow((A, B, C), (1, 2, 3), "train")
    thumbs = (thumb("d", True), thumb("e", False), thumb("f", True, "held_out"))
    found = replies.judged(snapshot(tmp_path, ranking, thumbs=thumbs), tokenizer, 100)
    by_text = {one.reply.text: one.is_good for one in found}
    assert by_text == {"a": True, "c": False, "d": True, "e": False}


def test_a_broken_rule_outweighs_a_rank_and_even_votes_leave_a_reply_out(
    tmp_path: Path, tokenizer: ChatTokenizer
) -> None:
    ranking = RankingRow((A, C), (1, 2), "train")
    flags = (flag(A, True), flag(A, True), flag(A, False), flag(C, True, 0.4), flag(C, False, 0.6))
    found = replies.judged(snapshot(tmp_path, ranking, violations=flags, thumbs=(thumb("c", True),)), tokenizer, 100)
    assert found == [JudgedReply(A, is_good=False)]  # C: ranked last, a thumb up, and not found to break a rule


def test_the_sides_weigh_alike() -> None:
    good, bad = JudgedReply(A, is_good=True), JudgedReply(C, is_good=False)
    assert replies.balanced([good, good, good, bad]) == (1.0, 3.0)
    assert replies.balanced([good, bad, bad]) == (2.0, 1.0)
    assert replies.balanced([good]) == (1.0, 1.0)
