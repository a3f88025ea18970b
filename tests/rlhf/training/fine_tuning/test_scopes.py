"""What each scope reads, learns and leaves alone, beside transformers' own model with the same weights frozen."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from fine_tuning.jobs.parameter_counts import count_parameters
from rlhf.training.artefacts import policy_directory
from rlhf.training.fine_tuning import measuring, scopes
from rlhf.training.fine_tuning.config import SCOPES, FineTuneConfig
from rlhf.training.fine_tuning.examples import Example, supervised
from rlhf.training.fine_tuning.measuring import ExampleScorer
from rlhf.training.fine_tuning.objectives import Supervised, measure
from rlhf.training.fine_tuning.rows import read_rows
from rlhf.training.model.choice import Placement
from rlhf.training.model.transformer import Transformer
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.core_tiny import write_llama
from tests.rlhf.training.fine_tuning.run_directories import CHATS, write

CONFIG = FineTuneConfig(rank=2)


@pytest.fixture(scope="module")
def examples(tiny: Path, tokenizer: ChatTokenizer, tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    rows = read_rows(write(tmp_path_factory.mktemp("rows") / "x.jsonl", CHATS[:5]), "messages")
    return [example for row in rows for example in supervised(row, tokenizer, prompt_weight=0.0, limit=512)]


def learner(scope: str, base: Path) -> scopes.Learner:
    return scopes.make(scope, base, CONFIG, seed=0, placement=Placement(dtype="fp64"))


def scorer(made: scopes.Learner, examples: list[Example], *, kept: bool = True) -> ExampleScorer:
    found = ExampleScorer(made, examples, 0)
    if kept:
        found.prepare(lambda: None)
    return found


def theirs(base: Path, examples: list[Example]) -> tuple[torch.nn.Module, torch.Tensor]:
    """transformers' model in fp64 and its summed loss over the answers."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64, attn_implementation="eager")
    total = torch.zeros((), dtype=torch.float64)
    for example in examples:
        ids = torch.tensor([example.ids])
        labels = torch.tensor([[t if a else -100 for t, a in zip(example.ids, example.answer, strict=True)]])
        total = total + model(input_ids=ids, labels=labels).loss * sum(example.answer)
    return model, total


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_begins_with_the_loss_of_its_base(
    tiny: Path, examples: list[Example], scope: str, kept: bool
) -> None:
    objective = Supervised(examples)
    _, wanted = theirs(tiny, examples)
    loss, figures = objective.loss(scorer(learner(scope, tiny), examples, kept=kept), range(len(examples)))
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert figures.mean_loss == pytest.approx(wanted.item() / sum(sum(e.answer) for e in examples), rel=1e-6)


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("head", ["lm_head.weight"]),
        ("blocks", ["model.layers.3.mlp.down_proj.weight", "model.layers.3.self_attn.q_proj.weight"]),
        ("blocks", ["model.norm.weight", "model.layers.3.input_layernorm.weight"]),
        ("full", ["model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight", "model.norm.weight"]),
    ],
)
def test_gradients_are_those_of_transformers(
    tiny: Path, examples: list[Example], scope: str, names: list[str]
) -> None:
    made = learner(scope, tiny)
    loss, _ = Supervised(examples).loss(scorer(made, examples), range(len(examples)))
    loss.backward()  # type: ignore[no-untyped-call]
    model, wanted = theirs(tiny, examples)
    if scope == "head":  # on its own: the embedding's part of the gradient stays out
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        _, wanted = model, sum_loss(model, examples)
    wanted.backward()  # type: ignore[no-untyped-call]
    mine = dict(made.masters) if isinstance(made, scopes.BlockLearner) else {"lm_head.weight": made.parameters()[0]}
    for name in names:
        expected = model.get_parameter(name).grad
        gap = (mine[name].grad - expected).abs().max() / expected.abs().max()
        assert gap < 1e-5, name  # their norms are in fp32


def sum_loss(model: torch.nn.Module, examples: list[Example]) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for example in examples:
        labels = torch.tensor([[t if a else -100 for t, a in zip(example.ids, example.answer, strict=True)]])
        total = total + model(input_ids=torch.tensor([example.ids]), labels=labels).loss * sum(example.answer)
    return total


def test_logits_in_blocks_have_the_same_scores_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    hidden, head = torch.randn(11, 6).requires_grad_(), torch.randn(9, 6).requires_grad_()
    targets = torch.randint(9, (11,))
    whole, chosen = measuring.token_scores(hidden, head, targets)
    expected = torch.autograd.grad(whole.square().sum(), (hidden, head))
    monkeypatch.setattr(measuring, "BLOCK", 4)
    parts, same = measuring.token_scores(hidden, head, targets)
    assert torch.allclose(parts, whole)
    assert torch.equal(chosen, same)
    for mine, theirs_ in zip(torch.autograd.grad(parts.square().sum(), (hidden, head)), expected, strict=True):
        assert torch.allclose(mine, theirs_, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("scope", SCOPES)
def test_the_weights_that_learn_are_as_many_as_was_told(tmp_path: Path, scope: str, tied: bool) -> None:
    base = write_llama(tmp_path / "base", layers=7, tied=tied)
    config = json.loads((base / "config.json").read_text())
    made = scopes.make(scope, base, FineTuneConfig(), seed=0)
    total = scopes.count(list(load_file(base / "model.safetensors").values()))
    told = count_parameters(config)
    assert (told["full"], told[scope]) == (total, scopes.count(made.parameters()))
    block = (told["blocks"] - config["hidden_size"], told["lora"] // 7)
    three = scopes.make(scope, base, FineTuneConfig(layers=3), seed=0)
    asked = {"blocks": 3 * block[0] + config["hidden_size"], "lora": 3 * block[1]}
    assert scopes.count(three.parameters()) == asked.get(scope, told[scope])


@pytest.mark.parametrize("scope", SCOPES)
def test_what_was_learnt_is_in_the_merged_weights_and_nothing_else_is(
    tiny: Path, examples: list[Example], scope: str
) -> None:
    made = learner(scope, tiny)
    objective, read = Supervised(examples), scorer(made, examples)
    optimizer = torch.optim.Adam(made.parameters(), lr=3e-2)
    for _ in range(3):
        optimizer.zero_grad()
        objective.loss(read, range(len(examples)))[0].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    before = policy_directory.weights(tiny)
    after = made.merge_into({name: tensor.double() for name, tensor in before.items()})
    changed = {n for n in after if n not in before or not torch.equal(before[n].double(), after[n])}
    expected = {
        "head": {"lm_head.weight"},
        "blocks": {n for n in before if n.startswith("model.layers.3.")} | {"model.norm.weight"},
        "lora": {n for n in before if "proj" in n},
        "full": set(before),
    }[scope]
    assert changed == expected
    config = made.transformer.config
    if scope == "head":
        from dataclasses import replace

        config = replace(config, tied=False)
    alone = scopes.LoraLearner(t := Transformer.of(config, after, adapted_layers=1), scopes.Adapter.create(t, rank=1))
    mine, merged = measure(objective, read).loss, measure(objective, scorer(alone, examples)).loss
    assert merged == pytest.approx(mine, rel=1e-5)
