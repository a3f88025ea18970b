"""Shares in the tail, by hand: what a mean over replies cannot see."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from rlhf.training.evaluation.judged import AnchorReplies, Replies
from rlhf.training.evaluation.players import WINDOW, Draw, DriftFromBase, Player, after_other_prompts, measure_drift
from rlhf.training.evaluation.tail_shares import describe_tails
from rlhf.training.model.sampler import sample
from rlhf.training.model.transformer import Transformer
from rlhf.training.snapshot.files import PlainReply, PromptRow
from rlhf.training.tokens import ChatTokenizer

ANSWER, N = "A star is a ball of hot gas.", 100


def draws(*texts: str) -> list[Draw]:
    return [Draw(PlainReply((("user", "q"),), text, True), 4) for text in texts]


def drift(nats: float, window: float = 2.0, topic: float | None = 0.5) -> DriftFromBase:
    """Of four tokens, `nats` each."""
    return DriftFromBase(0.0, 4 * nats, 4, window, topic)


def replies(after: list[str], after_drift: list[DriftFromBase], own: list[DriftFromBase] | None = None) -> Replies:
    """`after` answers the first of N prompts, each of which the anchor answers with a sentence."""
    rows = [PromptRow((("user", f"What is a star, the {index}th time?"),), "held_out") for index in range(N)]
    said = [draws(text) for text in after] + [draws(ANSWER)] * (N - len(after))
    drifts = after_drift + [drift(1.0)] * (N - len(after_drift))
    mine = own or [drift(1.0 + index / N, 2.0 + index / N, index / N) for index in range(N)]
    return Replies(rows, said, [draws(ANSWER, ANSWER)] * N, [], drifts, mine)


def test_replies_past_the_anchor_s_own_percentile_are_counted_though_the_mean_is_its_own() -> None:
    found = describe_tails(replies([], [drift(5.0)] * 6 + [drift(1.0, window=9.0)] * 2))
    assert found["odd_limit_nats"] == pytest.approx(np.quantile([1 + i / N for i in range(N)], 0.99))
    assert found["odd_share"] == pytest.approx(0.08)
    assert found["odd_share_low"] < 0.08 < found["odd_share_high"]


def test_the_anchor_s_own_replies_are_odd_once_in_a_hundred() -> None:
    own = [drift(1.0 + index / N, 2.0 + index / N) for index in range(N)]
    assert describe_tails(replies([], own, own))["odd_share"] == pytest.approx(0.01)


def test_replies_that_another_prompt_explains_as_well_are_off_the_topic() -> None:
    found = describe_tails(replies([], [drift(1.0, topic=-2.0)] * 5 + [drift(1.0, topic=0.0)]))
    assert found["off_topic_limit_nats"] == pytest.approx(np.quantile([i / N for i in range(N)], 0.01))
    assert found["off_topic_share"] == pytest.approx(0.06)


def test_without_another_prompt_nothing_is_said_of_the_topic() -> None:
    found = describe_tails(replies([], [drift(1.0, topic=None)] * N, [drift(1.0, topic=None)] * N))
    assert (found["off_topic_share"], found["off_topic_limit_nats"]) == (None, None)


@pytest.mark.parametrize("text", ["", "Toothpick", "No, no.", "👍👍👍", "네."])
def test_what_is_no_answer_is_counted_where_the_anchor_writes_a_sentence(text: str) -> None:
    found = describe_tails(replies([text] * 7, []))
    assert found["no_sentence_share"] == pytest.approx(0.07)
    assert found["no_sentence_share_anchor"] == 0.0


@pytest.mark.parametrize(("index", "echoes"), [(0, True), (1, False)])
def test_a_reply_that_is_the_prompt_again_is_no_answer(index: int, echoes: bool) -> None:
    echo = f"What is a star, the {index}th time?"
    found = describe_tails(replies([echo] * 1 + [f"{ANSWER} What is a star, the 1th time?"], []))
    assert found["no_sentence_share"] == pytest.approx(0.01 * echoes)


def test_a_short_answer_is_none_too_many_where_the_anchor_gives_one() -> None:
    given = replies(["42"] * 7, [])
    short = draws("42", "Forty.") if given.base is None else []
    found = describe_tails(replace(given, before=[short] * 7 + given.before[7:]))
    assert found["no_sentence_share"] == 0.0


def test_another_script_than_prompt_and_anchor_is_counted() -> None:
    found = describe_tails(replies(["별은 아주 뜨거운 가스입니다.", "Звезда это газ.", "👍"], []))
    assert found["other_script_share"] == pytest.approx(0.02)
    assert found["no_sentence_share"] == pytest.approx(0.01)


def test_the_anchor_is_the_original_base_where_that_is_another_policy() -> None:
    given = replies([""] * 7, [drift(5.0)] * 6)
    anchor = AnchorReplies([draws("Yes.")] * N, [drift(1.0)] * N, given.base_drift)
    found = describe_tails(replace(given, anchor=anchor))
    assert (found["odd_share"], found["no_sentence_share"]) == (0.0, 0.0)
    base = describe_tails(replace(given, base=[draw for [draw] in [draws("Yes.")] * N]))
    assert (base["odd_share"], base["no_sentence_share"]) == (pytest.approx(0.06), 0.0)


def test_window_and_topic_are_those_of_transformers(tiny: Path, tokenizer: ChatTokenizer) -> None:
    ours = Transformer.load(tiny, adapted_layers=2, dtype=torch.float32)
    theirs = LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    prompts = [(("user", text),) for text in ("What is a star?", "Do you have a body, or a family?")]
    player = Player(ours, tokenizer, 0.7, 24, lambda: None)
    found, (drifts,) = player.sample_with_drift([ours], prompts, 2, seed=4)
    ids = [tokenizer.prompt_ids([{"role": "user", "content": prompt[0][1]}]) for prompt in prompts]
    rollout = sample(ours, ids, completions_per_prompt=2, max_tokens=24, temperature=0.7, seed=4 * 1_000_003)
    first = rollout.select(torch.tensor([0, 2]))
    spans = zip(first.ids, first.prompt_lengths.tolist(), first.lengths.tolist(), strict=True)
    rows = [whole[start:end] for whole, start, end in spans]

    def nats(prompt: list[int], completion: torch.Tensor) -> np.ndarray:
        whole = torch.cat([torch.tensor(prompt), completion])[None]
        logs = theirs(whole).logits[0, :-1].log_softmax(-1).gather(1, whole[0, 1:, None])[:, 0]
        return -logs[len(prompt) - 1 :].detach().numpy()

    for index, (completion, one) in enumerate(zip(rows, drifts, strict=True)):
        own, other = nats(ids[index], completion), nats(ids[1 - index], completion)
        windows = [own[at : at + WINDOW].mean() for at in range(max(1, len(own) - WINDOW + 1))]
        assert one.worst_window_nats == pytest.approx(max(windows), abs=1e-4)
        assert one.topic_nats == pytest.approx((other.sum() - own.sum()) / len(own), abs=1e-4)
    assert [draw.tokens for [draw, _] in found] == [len(completion) for completion in rows]


def test_a_reply_after_another_prompt_keeps_its_own_tokens(tiny: Path) -> None:
    model = Transformer.load(tiny, adapted_layers=2, dtype=torch.float32)
    rollout = sample(model, [[1, 5, 6], [1, 7]], max_tokens=6, temperature=1.0, seed=1)
    moved = after_other_prompts(model, rollout, [[1, 9, 9, 9, 9], [1, 3]])
    assert moved.completions() == rollout.completions()
    assert moved.completion_lengths.tolist() == rollout.completion_lengths.tolist()
    again = after_other_prompts(model, moved, [[1, 5, 6], [1, 7]])
    first, second = (measure_drift(model, one, model, 1.0) for one in (rollout, again))
    assert [one.surprise_nats for one in second] == pytest.approx([one.surprise_nats for one in first], abs=1e-4)
