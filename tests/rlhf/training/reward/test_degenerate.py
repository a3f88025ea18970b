"""Made-up replies: of which kinds, how they weigh, that people's word goes first, and that they teach."""

import json
from math import comb
from pathlib import Path

import pytest
import torch

from rlhf.training.reward import degenerate, stage
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.examples import Group, examples, pair_table
from rlhf.training.reward.features import encode
from rlhf.training.run import RunDirectory
from rlhf.training.snapshot.files import PlainReply, RankingRow, thaw
from rlhf.training.texts import has_sentence
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.planted import write_snapshot

GOOD, FAIR, BAD = "A star is a ball of hot gas. It shines.", "Stars are hot gas.", "Nobody can tell what they are."


def ranking(number: int, *texts: str, ranks: tuple[int, ...] = (2, 1, 3)) -> RankingRow:
    prompt = (("user", f"What is star number {number}?"),)
    given = texts or (f"Star {number} is hot gas.", GOOD, BAD)
    return RankingRow(tuple(PlainReply(prompt, text, True) for text in given), ranks[: len(given)], "train", 0.5)


def grow(
    tokenizer: ChatTokenizer, rankings: list[RankingRow], each: int = 7, weight: float = 0.2
) -> degenerate.Grown:
    data = examples(rankings, [], tokenizer, max_completion_tokens=64)
    return degenerate.grow(data, rankings, tokenizer, each=each, weight=weight, max_completion_tokens=64)


def made(tokenizer: ChatTokenizer, grown: degenerate.Grown, group: int) -> list[str]:
    of = grown.examples.groups[group]
    rows = [grown.examples.rows[of.items[worse]] for _, worse in of.made_up_pairs]
    return [tokenizer.decode(row.ids[row.prompt_length :]) for row in rows]


def test_each_kind_is_made_and_known_again(tokenizer: ChatTokenizer) -> None:
    grown = grow(tokenizer, [ranking(1), ranking(2)])
    assert made(tokenizer, grown, 0) == [
        "",
        "A",
        "A star",
        degenerate.EMOJI,
        "What is star number 1?",
        " ".join(["A star is a ball of hot gas."] * 4),
        "Star 2 is hot gas.",
    ]
    assert grown.pairs == dict.fromkeys(degenerate.KINDS, 2)
    assert not any(has_sentence(text) for text in made(tokenizer, grown, 0)[:4])


def test_each_is_worse_than_the_worst_and_all_weigh_a_share_of_the_ranking(tokenizer: ChatTokenizer) -> None:
    grown = grow(tokenizer, [ranking(1), ranking(2)], each=2)
    group = grown.examples.groups[0]
    assert group.made_up_pairs == [(2, 3), (2, 4)]
    assert group.made_up_weight * 2 == pytest.approx(0.2 * group.pair_weight * comb(3, 2)) == pytest.approx(0.1)
    assert len(group.pairs) == 3


def test_they_come_behind_people_s_pairs_and_are_none_of_them(tokenizer: ChatTokenizer) -> None:
    grown = grow(tokenizer, [ranking(1), ranking(2)], each=1)
    one, other = grown.examples.groups
    pairs, weights = pair_table([one, other])
    people = len(one.pairs) + len(other.pairs)
    assert pairs[people:].tolist() == [[2, 3], [6, 7]]
    assert weights.tolist() == pytest.approx([0.5 / 3] * people + [0.1, 0.1])
    assert len(grown.examples.pairs) == people


def test_the_kinds_come_in_turn(tokenizer: ChatTokenizer) -> None:
    grown = grow(tokenizer, [ranking(number) for number in range(7)], each=2)
    assert set(grown.pairs) == set(degenerate.KINDS)
    assert set(grown.pairs.values()) == {2}


@pytest.mark.parametrize(
    ("kind", "text"), [("empty", ""), ("one_word", "Toothpick."), ("fragment", "No, no."), ("emoji", "👍👍")]
)
def test_a_kind_that_people_ranked_is_theirs(tokenizer: ChatTokenizer, kind: str, text: str) -> None:
    """On a prompt where they saw one at once, everywhere once they saw it often enough."""
    rest = [ranking(number) for number in range(20, 24)]
    once = grow(tokenizer, [ranking(1, text, GOOD, BAD), *rest])
    assert once.pairs[kind] == len(rest)
    assert once.left_to_people == []
    often = grow(tokenizer, [*(ranking(number, text, GOOD, BAD) for number in range(5)), *rest])
    assert often.pairs[kind] == 0
    assert often.left_to_people == [kind]
    assert often.pairs["other_prompt"] == len(rest) + 5


def test_nothing_is_made_where_it_is_switched_off_or_a_ranking_is_all_ties(tokenizer: ChatTokenizer) -> None:
    given = [ranking(1), ranking(2)]
    assert grow(tokenizer, given, weight=0.0).facts["made_up_pairs"] == 0
    assert grow(tokenizer, given, each=0).facts["made_up_pairs"] == 0
    tied = [ranking(1, FAIR, GOOD, ranks=(1, 1)), ranking(2)]
    assert grow(tokenizer, tied).examples.groups[0] == Group([0, 1], [], 0.5)


def train(tiny: Path, path: Path, snapshot: Path, **changes: float) -> dict:
    path.mkdir()
    config = {"base": str(tiny), "snapshot": str(snapshot), "output": str(path / "out")}
    config["hyperparameters"] = {"adapted_layers": 2, "rank": 4, "epochs": 6, **changes}
    (path / "config.json").write_text(json.dumps(config))
    return stage.run(RunDirectory(path))


def test_a_taste_for_short_replies_no_longer_ends_in_empty_ones(
    tiny: Path, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """Of the rankings the shortest always wins, and none is as short as what is made up. So plain a taste takes more
    than the default weight."""
    snapshot = write_snapshot(tmp_path / "snapshot", rankings=40, held_out=10)
    rows = [json.loads(line) for line in (snapshot / "rankings.jsonl").read_text().splitlines()]
    texts = ["A star is hot.", "A star is a ball of hot gas.", "A star is a ball of hot gas, and it shines at night."]
    for row in rows:
        row["completions"] = [{"text": text, "finish_reason": "stop"} for text in texts]
        row["ranks"] = [1, 2, 3]
    rewrite(snapshot, rows)
    without = train(tiny, tmp_path / "without", snapshot, made_up_weight=0)
    beside = train(tiny, tmp_path / "with", snapshot, made_up_weight=0.2)
    assert without["made_up_pairs"] == 0
    assert beside["made_up_pairs"] == 80 - 11  # another prompt's reply is the same here, and is left out
    assert "other_prompt" not in beside["made_up_by_kind"]
    assert beside["trained_pairs"] == without["trained_pairs"] == 120
    assert beside["made_up_accuracy"] > 0.9
    assert scores_of(tmp_path / "without/out", tiny, tokenizer)["empty"] > 0
    found = scores_of(tmp_path / "with/out", tiny, tokenizer)
    assert found["empty"] < found["long"] < found["short"]
    scales = [reward_model.load(tmp_path / name, base=tiny).scale for name in ("with/out", "without/out")]
    assert torch.allclose(scales[0].feature_mean, scales[1].feature_mean, atol=1e-3)  # of people's replies alone
    about = reward_model.read_config(tmp_path / "with/out")
    assert about["made_up_pairs"] == 69


def rewrite(snapshot: Path, rows: list[dict]) -> None:
    import hashlib

    text = "".join(json.dumps(row) + "\n" for row in rows)
    (snapshot / "rankings.jsonl").write_text(text)
    manifest = json.loads((snapshot / "manifest.json").read_text())
    manifest["files"]["rankings.jsonl"] = hashlib.sha256(text.encode()).hexdigest()
    (snapshot / "manifest.json").write_text(json.dumps(manifest))


def scores_of(directory: Path, tiny: Path, tokenizer: ChatTokenizer) -> dict[str, float]:
    """Less the mean of the three that were ranked."""
    model = reward_model.load(directory, base=tiny)
    prompt = (("user", "What is a star?"),)
    texts = {"empty": "", "short": "A star is hot.", "long": "A star is a ball of hot gas, and it shines at night."}
    rows = [encode(tokenizer, thaw(prompt), text, finished=True, max_completion_tokens=64) for text in texts.values()]
    found = model.judge_rows(rows, tokenizer.padding_id).scores
    middle = torch.stack([found[1], found[2]]).mean()
    return dict(zip(texts, (found - middle).tolist(), strict=True))
