"""The scorer's process with a real reward model, held to the same scores in this process."""

import asyncio
import os
import signal

import pytest
import torch

from chat.choosing.client import ScorerProcess, Written
from chat.choosing.source import ScorerAddress
from chat.errors import ScorerDown
from rlhf.training.reward import model as reward_model
from rlhf.training.reward import stage
from rlhf.training.reward.features import encode
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.planted import write_snapshot
from tests.rlhf.training.reward.run_directories import run_directory

PROMPT = [{"role": "user", "content": "What is a star?"}]
REPLIES = ["A star is a ball of hot gas.", "I feel happy today, said the bird.", ""]


@pytest.fixture(scope="module")
def trained(tiny_policy, tmp_path_factory):
    """(directory of an ensemble of two, what its run found)."""
    folder = tmp_path_factory.mktemp("rm")
    snapshot = write_snapshot(folder / "snapshot")
    quick = {"adapted_layers": 2, "rank": 4, "epochs": 1, "ensemble": 2, "learning_rate": 3e-3}
    directory = run_directory(folder / "run", tiny_policy, snapshot, hyperparameters=quick)
    result = stage.run(directory)
    torch.set_flush_denormal(False)
    return directory.directory("output"), result


def expected(directory, base):
    """(log odds, P(violation) of each rule) of each reply, computed here."""
    model, tokenizer = reward_model.load(directory, base=base), ChatTokenizer.load(base)
    rows = [encode(tokenizer, PROMPT, text, finished=bool(text), max_completion_tokens=999) for text in REPLIES]
    found = model.judge_rows(rows, tokenizer.padding_id)
    unit = sum(float(member.scale.score_sd) for member in model.members) / len(model.members)
    return [float(score) * unit for score in found.scores], found.violations.tolist(), model.judged


async def test_it_scores_as_the_reward_model_does_and_starts_again_after_a_kill(trained, tiny_policy, settings):
    settings.CHAT_ENGINE_THREADS = 1
    directory, _ = trained
    scores, violations, judged = expected(directory, tiny_policy)
    address = ScorerAddress("run-1", "rlhf.serving.scorer", str(directory), (str(tiny_policy),))
    written = [Written(text, bool(text)) for text in REPLIES]
    process = ScorerProcess()
    try:
        await process.load(address)
        found = await process.score(address, PROMPT, written)
        assert [one.score for one in found] == pytest.approx(scores, abs=1e-4)
        assert [tuple(one.violations) for one in found] == [judged] * 3
        assert [list(one.violations.values()) for one in found] == [
            pytest.approx(row, abs=1e-4) for row in violations
        ]
        with pytest.raises(ScorerDown, match="No such file"):
            await process.score(ScorerAddress("gone", address.module, str(directory / "gone")), PROMPT, written)
        os.kill(process.pid, signal.SIGSTOP)
        asked = asyncio.create_task(process.score(address, PROMPT, written))
        await asyncio.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(ScorerDown):
            await asyncio.wait_for(asked, 10)
    finally:
        await process.close()


def test_limits_of_rules_are_measured_on_the_held_out_labels(trained):
    _, result = trained
    for rule, measured in result["rule_limits"].items():
        counted = result["rule_auc"][rule]
        assert (measured["violating"], measured["following"]) == (counted["positives"], counted["negatives"])
        for kind in ("recall", "false_alarms"):
            shares = [shares[kind] for shares in measured["limits"].values() if shares[kind] is not None]
            assert shares == sorted(shares, reverse=True)  # a higher limit never leaves out more
    assert set(result["rule_limits"]) == set(result["judged_rules"])
