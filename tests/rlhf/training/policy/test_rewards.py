"""The same completions earn the same reward in every way that maximises one."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from rlhf.training.model.sampler import sample
from rlhf.training.model.scoring import Scored, completion_mask
from rlhf.training.model.transformer import Transformer
from rlhf.training.policy import score_scale
from rlhf.training.policy.best_of_n import BestOfNConfig, best_of
from rlhf.training.policy.config import RewardedConfig
from rlhf.training.policy.peers_config import PeerConfig
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.loop import PpoLoop, ScoredRollout
from rlhf.training.ppo.shaping import ShapedReward
from rlhf.training.ppo.state import PpoState
from rlhf.training.reward import model as reward_model
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.reward.functions import ChamsaeReward
from rlhf.training.run import RunDirectory
from rlhf.training.texts import has_sentence, words
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.planted import write_snapshot

QUESTIONS = ("What is a star?", "Do you have a body?", "How do you cook rice?")
SEED = 3


@pytest.fixture(scope="module")
def judge(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judge")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=2)
    config = {"base": str(tiny), "snapshot": str(snapshot), "output": str(root / "rm")}
    config["hyperparameters"] = {"adapted_layers": 2, "rank": 2, "epochs": 1}
    (root / "config.json").write_text(json.dumps(config))
    reward_model_stage.run(RunDirectory(root))
    return root / "rm"


@pytest.mark.parametrize("config", [RewardedConfig(), PeerConfig(), BestOfNConfig()])
def test_the_defaults_of_reward_sampling_and_kl_stop_are_those_of_ppo(config: RewardedConfig) -> None:
    ppo, mine = PpoConfig(), config.reward()
    names = ("score_clip", "score_weight", "violation_weight", "missing_eos_penalty", "short_words", "short_penalty")
    names += ("max_tokens", "max_prompt_tokens", "temperature", "calibration_prompts", "completions_per_prompt")
    assert {name: getattr(mine, name) for name in names} == {name: getattr(ppo, name) for name in names}
    assert (config.stop_kl, config.rank, config.alpha) == (ppo.stop_kl, ppo.rank, ppo.alpha)


def test_ppo_trl_and_best_of_n_give_one_reward_to_the_same_completions(
    tiny: Path, judge: Path, tokenizer: ChatTokenizer
) -> None:
    transformer = Transformer.load(tiny, adapted_layers=2)
    model = reward_model.load(judge, transformer, tiny)
    messages = [[{"role": "user", "content": question}] for question in QUESTIONS]
    prompts = [tokenizer.prompt_ids(message) for message in messages]
    config = RewardedConfig(max_tokens=24, calibration_prompts=3, temperature=1.0)

    ppo_config = PpoConfig(max_tokens=24, calibration_prompts=3, temperature=1.0)
    state = PpoState(transformer, len(prompts), ppo_config, SEED)
    loop = PpoLoop(
        transformer,
        prompts,
        model,
        ppo_config,
        state,
        lambda: False,
        lambda ids: len(words(tokenizer.decode(ids))),
        lambda ids: has_sentence(tokenizer.decode(ids)),
    )
    loop.calibrate()

    reward = ChamsaeReward(model, tokenizer, config.reward())
    reward.scale = score_scale.measure(
        transformer, prompts, model, config.reward(), seed=SEED, should_stop=lambda: False
    ).scale
    assert reward.scale == state.scale
    assert reward.scale.spread != 1.0

    rollout = sample(transformer, prompts, completions_per_prompt=4, max_tokens=24, temperature=1.0, seed=11)
    scores, p_violation = model.score(rollout, rollout.states)
    nothing = Scored(torch.zeros(0), torch.zeros(0), torch.zeros(0), None)
    mask = completion_mask(rollout)
    no_groups = torch.zeros(len(rollout), 0)
    by_ppo = loop._shape(ScoredRollout(rollout, scores, p_violation, no_groups, nothing, nothing, mask, mask.float()))
    by_best_of_n = reward.of_rollout(rollout)
    assert torch.equal(by_best_of_n.total, by_ppo.total)

    rows = zip(rollout.ids.tolist(), rollout.prompt_lengths.tolist(), rollout.lengths.tolist(), strict=True)
    ids = [row[start:end] for row, start, end in rows]
    by_trl = reward(
        [messages[index] for index in rollout.prompt_index.tolist()],
        [[{"role": "assistant", "content": tokenizer.decode(found)}] for found in ids],
        completion_ids=ids,
        trainer_state=None,
    )
    # the sampler's states grew token by token, those here come from whole rows: bf16 rounds them otherwise
    assert by_trl == pytest.approx(by_ppo.total.tolist(), abs=0.05)
    assert float(by_ppo.total.std()) > 0.2
    assert 0 < int(rollout.ended.sum()) < len(rollout)


def test_a_completion_may_end_by_any_of_the_ends(tiny: Path, judge: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two-ends"
    shutil.copytree(tiny, folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 5]}))
    model = reward_model.load(judge, Transformer.load(tiny, adapted_layers=2), tiny)
    reward = ChamsaeReward(model, ChatTokenizer.load(folder), PpoConfig(missing_eos_penalty=100.0))
    ids = [[9, 10, 2], [9, 10, 5], [9, 10, 11]]
    found = reward([QUESTIONS[0]] * 3, ["A star."] * 3, completion_ids=ids)
    assert [value < -50 for value in found] == [False, False, True]


def test_the_best_of_each_prompt_is_kept_token_for_token(tiny: Path, tokenizer: ChatTokenizer) -> None:
    transformer = Transformer.load(tiny, adapted_layers=2)
    prompts = [tokenizer.prompt_ids([{"role": "user", "content": question}]) for question in QUESTIONS]
    rollout = sample(transformer, prompts, completions_per_prompt=3, max_tokens=6, temperature=1.0, seed=5)
    zero = torch.zeros(9)
    totals = torch.tensor([0.1, 0.3, 0.2, 1.0, 1.0, 1.0, 5.0, -2.0, 4.0])
    found = best_of(rollout, ShapedReward(totals, zero, zero, zero))
    assert [prompt for prompt, _ in found] == [prompts[0], prompts[2]]  # those of the second are all alike
    for (_, reply), row in zip(found, (1, 6), strict=True):
        start, end = int(rollout.prompt_lengths[row]), int(rollout.lengths[row])
        assert reply == rollout.ids[row, start:end].tolist()
