"""The reward model on rankings whose trunk states are computed once: each seed and share of the data reads them.

What a stage does with a snapshot of these rankings, less the replies that the stage makes up beside them, which would
double the work on pairs. A test holds its figures against those of the stage.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rlhf.training.hyperparameters import build
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward.examples import Examples, Group, examples, raw_features, trunk_states
from rlhf.training.reward.features import by_length, lengths, stack
from rlhf.training.reward.fit import STATES, RewardModelConfig, Trainer
from rlhf.training.reward.model import BATCH_TOKENS, ChosenStates, States
from rlhf.training.reward.stage import fresh_model, standardise
from rlhf.training.snapshot.files import SnapshotFiles
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer
from tests.bench import human_files, human_floors
from tests.bench.human_floors import Matrix

DEFAULTS = {"made_up_each": 0, "max_prompt_tokens": 256}
"""Prompts lose their oldest turns beyond 256 tokens: a third of the reading for what was said long before."""
Say = Callable[[str], None]


Place = tuple[str, int, int]
"""A pair: the ranking's id, and which of its replies are the better and the worse one."""


class HeldOutPair(NamedTuple):
    """How a pair that people decided is scored by a model that was not trained on it."""

    prompt: str
    place: Place
    margin: float
    """Score of the better reply less that of the worse."""
    longer: float
    """Log of the tokens of the better reply less that of the worse."""

    @property
    def right(self) -> float:
        return 0.5 if self.margin == 0 else float(self.margin > 0)


@dataclass(frozen=True)
class Material:
    """All rankings of one file in their order, encoded, with the trunk states of their replies."""

    transformer: Transformer
    tokenizer: ChatTokenizer
    config: RewardModelConfig
    ids: tuple[str, ...]
    """Of the rankings; `data.groups` stand in the same order."""
    data: Examples
    states: States

    @property
    def tokens(self) -> int:
        return sum(row.length for row in self.data.rows)

    def part(self, wanted: set[str]) -> tuple[Examples, States]:
        """Those rankings alone, as if there were no others."""
        groups = [group for name, group in zip(self.ids, self.data.groups, strict=True) if name in wanted]
        items = sorted({item for group in groups for item in group.items})
        at = {item: place for place, item in enumerate(items)}
        moved = [Group([at[i] for i in g.items], g.pairs, g.pair_weight, g.margins) for g in groups]
        rows, prompts = [self.data.rows[i] for i in items], [self.data.prompts[i] for i in items]
        return Examples(rows, prompts, moved, {}), ChosenStates(items, self.states)


def prepare(
    lines: Sequence[dict[str, Any]], policy: Path, folder: Path, settings: dict[str, Any], say: Say
) -> Material:
    """`folder` keeps the states: called again with the same rankings and policy, nothing is computed anew."""
    config = build(RewardModelConfig, DEFAULTS | settings)
    if config.made_up_each:
        raise SystemExit("made_up_each must be 0 here: the states of made-up replies are not kept")
    snapshot = folder / "snapshot"
    if not (snapshot / "manifest.json").exists():
        human_files.write_snapshot(snapshot, [_named(line) for line in lines])
    tokenizer = ChatTokenizer.load(policy)
    fitted = fit_prompts(SnapshotFiles.load(snapshot), tokenizer, config.max_prompt_tokens)
    rankings = fitted.snapshot.rankings
    data = examples(rankings, [], tokenizer, max_completion_tokens=config.max_completion_tokens)
    transformer = Transformer.load(policy, adapted_layers=config.adapted_layers)
    say(f"{len(data.rows)} replies of {sum(r.length for r in data.rows):,} tokens; prompts {fitted.counts}")
    told = Told(say, "trunk states", sum(row.length for row in data.rows))
    states = trunk_states(
        transformer,
        data.rows,
        tokenizer.padding_id,
        directory=states_in(folder, config),
        progress=told.by_shortest_first([row.length for row in data.rows]),
        stored=STATES[config.states],
    )
    return Material(transformer, tokenizer, config, tuple(row.group for row in rankings), data, states)


@torch.no_grad()
def frozen_features(material: Material, path: Path, say: Say) -> Matrix:
    """[N, 4D], standardised: what the heads of an untrained reward model read of each reply. Kept at `path`."""
    if not path.exists():
        model = fresh_model(material.transformer, material.tokenizer, {}, material.config, 0)
        rows, told = material.data.rows, Told(say, "features of the frozen base", material.tokens)
        found, done = np.zeros((len(rows), len(model.scale.feature_mean)), dtype=np.float32), 0
        for batch in by_length(rows, BATCH_TOKENS):
            spans = lengths([rows[i] for i in batch])
            tokens = model.token_features(stack([material.states[i] for i in batch]), spans[1])
            found[batch] = model.pooled(tokens, *spans).numpy()
            done += sum(rows[i].length for i in batch)
            told(done)
        with path.with_suffix(".tmp").open("wb") as file:
            np.save(file, found)
        path.with_suffix(".tmp").replace(path)
    found = np.load(path).astype(np.float64)
    standardised: Matrix = (found - found.mean(0)) / found.std(0).clip(1e-4)
    return standardised


def learn_linear(material: Material, features: Matrix, trained: set[str], held_out: set[str]) -> list[HeldOutPair]:
    """The same from a linear head on the frozen base, with a ridge that is chosen on the training pairs."""
    learned, asked = (list(_pairs_of(material, wanted)) for wanted in (trained, held_out))
    rows, prompts = material.data.rows, material.data.prompts
    x, y = (features[[a for _, a, _ in some]] - features[[b for _, _, b in some]] for some in (learned, asked))
    margins = human_floors.linear(x, [str(prompts[a]) for _, a, _ in learned], y)
    sizes = [math.log(row.length - row.prompt_length) for row in rows]
    return [
        HeldOutPair(str(prompts[a]), place, float(margin), sizes[a] - sizes[b])
        for (place, a, b), margin in zip(asked, margins, strict=True)
    ]


def _pairs_of(material: Material, wanted: set[str]) -> Iterator[tuple[Place, int, int]]:
    """With the better and the worse reply, by their places among all."""
    for name, group in zip(material.ids, material.data.groups, strict=True):
        if name in wanted:
            for better, worse in group.pairs:
                yield (name, better, worse), group.items[better], group.items[worse]


def _named(line: dict[str, Any]) -> dict[str, Any]:
    """On one side, for now; the group of a ranking is its name, by which it is found again."""
    return {**line, "split": "train", "group": line["id"]}


def states_in(folder: Path, config: RewardModelConfig) -> Path:
    """Emptied with all that is in it when other replies or another base come."""
    return folder / f"states-{config.adapted_layers}"


def learn(material: Material, trained: set[str], held_out: set[str], seed: int, say: Say) -> list[HeldOutPair]:
    """Train on some rankings (by their ids), and score the pairs of others."""
    data, states = material.part(trained)
    rest, rest_states = material.part(held_out)
    torch.manual_seed(seed)
    model = fresh_model(material.transformer, material.tokenizer, {}, material.config, seed)
    standardise(model, *raw_features(model, states, data.rows))
    trainer = Trainer(model, data, states, material.config, seed)
    told = Told(say, f"training on {len(data.pairs)} pairs", trainer.steps)
    trainer.train(lambda step, steps, values: told(step), lambda: False)
    model.merge()
    scores = model.judge_states(rest_states, rest.rows).scores.tolist()
    sizes = torch.tensor([row.length - row.prompt_length for row in rest.rows]).log().tolist()
    names = [name for name in material.ids if name in held_out]
    found = []
    for name, group in zip(names, rest.groups, strict=True):
        for better, worse in group.pairs:
            a, b = group.items[better], group.items[worse]
            place = (name, better, worse)
            found.append(HeldOutPair(str(rest.prompts[a]), place, scores[a] - scores[b], sizes[a] - sizes[b]))
    return found


class Told:
    """Progress with an estimate, every quarter of a minute."""

    PAUSE_S = 15.0

    def __init__(self, say: Say, doing: str, of: int) -> None:
        self.say, self.doing, self.of = say, doing, of
        self.started = self.told_at = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if self.first is None:  # what a former call had done took no time
            self.first, self.started = done, now
        if now - self.told_at < self.PAUSE_S or done == self.first:
            return
        self.told_at = now
        left = (now - self.started) / (done - self.first) * (self.of - done)
        self.say(f"{self.doing}: {done / self.of:.0%}, about {left / 60:.1f} minutes left")

    def by_shortest_first(self, sizes: Sequence[int]) -> Callable[[int, int], None]:
        """For replies that are read in the order of their size: what is done is told in tokens."""
        upto = [0]
        for size in sorted(sizes):
            upto.append(upto[-1] + size)
        return lambda done, of: self(upto[done])
