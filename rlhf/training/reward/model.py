"""The reward model: an adapter and two heads over a frozen base; saves, loads and scores replies."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf.training import processes
from rlhf.training.artefacts import checkpoints, policy_adapter
from rlhf.training.model import choice
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.choice import Placement
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import Rollout
from rlhf.training.reward.features import EncodedReply, ReplyFeatures, by_length, inside, lengths, pad, pool, stack
from rlhf.training.reward.heads import Heads
from rlhf.training.tokens import ChatTokenizer

Poll = Callable[[int, int], None]
"""Given the replies done and all replies; may raise to stop."""
BATCH_TOKENS = 4096
SPREAD_FLOOR = 1e-4
"""The least standard deviation to divide by: a feature that hardly varies must not be amplified."""
FORMAT = 3
"""Of config.json. Format 1 had the features of the top alone, 2 none of single tokens."""


def _nothing(done: int, of: int) -> None:
    """Nobody wants to know."""


class States(Protocol):
    """Trunk states [T_i, D] by the index of the reply; a list of tensors is one."""

    def __getitem__(self, item: int, /) -> Tensor: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class ChosenStates:
    """The states of some replies, by their place among these."""

    items: list[int]
    states: States

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int, /) -> Tensor:
        return self.states[self.items[position]]


@dataclass
class OtherBase(Exception):
    """The base at hand has other weights than the one that the reward model was trained over."""

    expected: str
    found: str

    def __str__(self) -> str:
        return f"the reward model was trained over {self.expected}, not over {self.found}"


@dataclass(frozen=True)
class ReplyScores:
    """Of N replies: normalised score [N], P(violation) of each rule [N, R], and of any judged rule [N]."""

    scores: Tensor
    violations: Tensor
    any_violation: Tensor
    disagreement: Tensor | None = None
    """Of an ensemble: the standard deviation of its members' scores [N]."""


@dataclass
class Scale:
    """Means and spreads: of the features over the base's replies, of the rules' embeddings, of the scores."""

    feature_mean: Tensor
    feature_sd: Tensor
    token_mean: Tensor
    token_sd: Tensor
    rule_mean: Tensor
    rule_sd: Tensor
    score_mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    score_sd: Tensor = field(default_factory=lambda: torch.ones(()))

    def on(self, device: torch.device) -> "Scale":
        """Single numbers stay on the CPU, from where they go with tensors of any device."""
        moved = {name: tensor.to(device) if tensor.ndim else tensor.cpu() for name, tensor in vars(self).items()}
        return Scale(**moved)


class RewardModel:
    """Takes trunk states, so that a rollout's trunk runs once for policy, reference and reward model.

    `judged` names the rules that had enough labels of both kinds; only they enter P(any violation), because the
    head's output for a rule without labels is a guess.
    """

    def __init__(
        self,
        transformer: Decoder,
        adapter: Adapter,
        heads: Heads,
        scale: Scale,
        rules: dict[str, Tensor],
        judged: Sequence[str],
    ) -> None:
        self.transformer = transformer
        self.adapter = adapter
        self.heads = heads.on(transformer.device)
        self.scale = scale.on(transformer.device)
        self.rules = {key: embedded.to(transformer.device) for key, embedded in rules.items()}
        self.judged = tuple(judged)
        self.others: tuple[RewardModel, ...] = ()
        """The further members of an ensemble, over the same transformer."""
        self.disagreement_weight = 0.0
        self.disagreement: float | None = None
        """Of an ensemble: the mean over the last rollout that was scored for training."""
        self._merged: Any = None

    def merge(self) -> None:
        """Fold the adapter into a copy of the top layers, which makes scoring quicker."""
        for member in self.members:
            member._merged = self.transformer.merge(member.adapter)

    def unmerge(self) -> None:
        """Give that copy's memory back."""
        for member in self.members:
            member._merged = None

    @property
    def members(self) -> "tuple[RewardModel, ...]":
        return (self, *self.others)

    def token_features(self, states: Tensor, ends: Tensor | None = None) -> Tensor:
        """Trunk states [B, T, D] -> features of each token [B, T, 2D]: the adapted top, then the trunk.

        Given the rows' `ends` [B], no work is spent on pads.

        Measured at 600 comparisons: a linear head on the frozen trunk is as good as one on the adapted top (0.64
        against 0.61-0.64 of held-out pairs), and the trunk's states are computed anyway.
        """
        states = states.to(self.device)
        if self._merged is not None:
            top = self.transformer.run_top(states, weights=self._merged, lengths=ends)
        else:
            top = self.transformer.run_top(states, self.adapter, lengths=ends)
        return torch.cat([top, self.transformer.final_norm(states)], dim=-1)

    @property
    def device(self) -> torch.device:
        return self.transformer.device

    def pooled(self, tokens: Tensor, prompt_lengths: Tensor, ends: Tensor) -> Tensor:
        """[B, T, 2D] -> [B, F], F = 4D: last token and mean of the top, then of the trunk."""
        return torch.cat([pool(part, prompt_lengths, ends) for part in tokens.chunk(2, dim=-1)], dim=-1)

    def features(self, states: Tensor, prompt_lengths: Tensor, ends: Tensor) -> ReplyFeatures:
        """Of right-padded trunk states [B, T, D] whose replies span prompt_lengths..ends, the end token included."""
        states, prompt_lengths, ends = (one.to(self.device) for one in (states, prompt_lengths, ends))
        # of a mixed batch of training up to a quarter of the time; scoring sorts by length and has few pads
        raw = self.token_features(states, ends if self._merged is None else None)
        pooled = (self.pooled(raw, prompt_lengths, ends) - self.scale.feature_mean) / self.scale.feature_sd
        where = inside(states.shape[1], prompt_lengths, ends)
        tokens = torch.where(where[..., None], (raw - self.scale.token_mean) / self.scale.token_sd, 0.0)
        return ReplyFeatures(pooled, tokens, where)

    def rule_table(self, keys: Sequence[str]) -> Tensor:
        """Standardised embeddings [R, D]."""
        if not keys:
            return torch.zeros(0, self.scale.rule_mean.shape[0], device=self.device)
        return (torch.stack([self.rules[key] for key in keys]) - self.scale.rule_mean) / self.scale.rule_sd

    @torch.no_grad()
    def judge(self, states: Tensor, prompt_lengths: Tensor, ends: Tensor) -> ReplyScores:
        """Scores from trunk states as `features` takes them.

        P(any) is the largest of the judged rules' probabilities: a lower bound that does not grow with the number of
        rules, unlike one minus the product.
        """
        found = [member._judge_alone(states, prompt_lengths, ends, self.judged) for member in self.members]
        return combined(found)

    def _judge_alone(
        self, states: Tensor, prompt_lengths: Tensor, ends: Tensor, judged: Sequence[str]
    ) -> ReplyScores:
        features = self.features(states, prompt_lengths, ends)
        scores = (self.heads.scores(features.pooled) - self.scale.score_mean) / self.scale.score_sd
        violations = self.heads.violation_logits(features, self.rule_table(judged)).sigmoid()
        largest = violations.amax(1) if judged else torch.zeros(len(states), device=self.device)
        return ReplyScores(scores, violations, largest)

    def score(self, rollout: Rollout, trunk_states: Tensor) -> tuple[Tensor, Tensor]:
        """PPO's `Scorer`: (scores [N], P(any violation) [N]) of completions with trunk states [N, T, D]."""
        found = self.judge_rollout(rollout, trunk_states)
        return self.for_training(found), found.any_violation

    @torch.no_grad()
    def judge_rollout(self, rollout: Rollout, trunk_states: Tensor) -> ReplyScores:
        """Of completions with trunk states [N, T, D]."""
        parts = []
        for rows in torch.split(torch.arange(len(rollout)), max(1, BATCH_TOKENS // trunk_states.shape[1])):
            ends = rollout.lengths[rows]
            width = int(ends.max())
            parts.append(self.judge(trunk_states[rows, :width], rollout.prompt_lengths[rows], ends))
        disagreements = [part.disagreement for part in parts if part.disagreement is not None]
        return ReplyScores(
            torch.cat([part.scores for part in parts]),
            torch.cat([part.violations for part in parts]),
            torch.cat([part.any_violation for part in parts]),
            torch.cat(disagreements) if disagreements else None,
        )

    def for_training(self, found: ReplyScores) -> Tensor:
        """Scores as a policy is trained on them: those of an ensemble lowered by `disagreement_weight` times its
        disagreement (Coste et al., arXiv:2310.02743, equation 4, with the standard deviation for the variance)."""
        if found.disagreement is None:
            return found.scores
        self.disagreement = float(found.disagreement.mean())
        return found.scores - self.disagreement_weight * found.disagreement

    def judge_states(self, states: States, rows: Sequence[EncodedReply], poll: Poll = _nothing) -> ReplyScores:
        """Scores of encoded replies whose trunk states are known on the CPU, in batches of like length."""
        return self._judge_batches(rows, lambda batch: stack([states[index] for index in batch]), poll)

    def judge_rows(self, rows: Sequence[EncodedReply], padding_id: int, poll: Poll = _nothing) -> ReplyScores:
        """Scores of encoded replies on the CPU, in batches of like length; `poll` is called between them."""

        def run(batch: list[int]) -> Tensor:
            return self.transformer.run_trunk(pad([rows[index] for index in batch], padding_id))

        return self._judge_batches(rows, run, poll)

    @torch.no_grad()
    def rule_logits(self, states: States, rows: Sequence[EncodedReply], rules: Sequence[str | None]) -> Tensor:
        """[N, R] of replies whose trunk states are known; of no rule (None) what all rules share."""
        known = [rule for rule in rules if rule is not None]
        table = torch.zeros(len(rules), self.scale.rule_mean.shape[0], device=self.device)
        table[[rule is not None for rule in rules]] = self.rule_table(known)
        found = torch.zeros(len(rows), len(rules))
        for batch in by_length(rows, BATCH_TOKENS):
            padded, spans = stack([states[i] for i in batch]), lengths([rows[i] for i in batch])
            parts = [m.heads.violation_logits(m.features(padded, *spans), table).sigmoid() for m in self.members]
            found[batch] = torch.stack(parts).mean(0).logit().cpu()
        return found

    @torch.no_grad()
    def _judge_batches(
        self, rows: Sequence[EncodedReply], run: Callable[[list[int]], Tensor], poll: Poll
    ) -> ReplyScores:
        """`run` gives the right-padded trunk states of a batch; of several processes each does some batches."""
        nothing = torch.zeros(len(rows))
        found = ReplyScores(
            nothing.clone(),
            torch.zeros(len(rows), len(self.judged)),
            nothing.clone(),
            nothing if self.others else None,
        )
        done, batches = 0, list(by_length(rows, BATCH_TOKENS))
        for batch, counts in processes.in_step(processes.share(batches), batches[0] if batches else []):
            poll(done * processes.count(), len(rows))
            part = self.judge(run(batch), *lengths([rows[index] for index in batch]))
            if not counts:
                continue
            found.scores[batch], found.violations[batch] = part.scores.cpu(), part.violations.cpu()
            found.any_violation[batch] = part.any_violation.cpu()
            if found.disagreement is not None and part.disagreement is not None:
                found.disagreement[batch] = part.disagreement.cpu()
            done += len(batch)
        return ReplyScores(
            processes.total(found.scores),
            processes.total(found.violations),
            processes.total(found.any_violation),
            None if found.disagreement is None else processes.total(found.disagreement),
        )

    def write(self, draft: Path, about: dict[str, Any]) -> None:
        """Fill a directory for `checkpoints.publish`: PEFT's adapter, heads.safetensors, config.json.

        The further members of an ensemble stand in directories of their own, without a configuration.
        """
        self._write_weights(draft, about)
        for number, member in enumerate(self.others, 2):
            (draft / _member(number)).mkdir()
            member._write_weights(draft / _member(number), about)
        config = {
            "format": FORMAT,
            "judged": list(self.judged),
            "adapted_layers": self.transformer.config.layers - self.transformer.trunk_layers,
            "ensemble": len(self.members),
            "disagreement_weight": self.disagreement_weight,
            **about,
        }
        (draft / "config.json").write_text(json.dumps(config, indent=1))

    def _write_weights(self, draft: Path, about: dict[str, Any]) -> None:
        self.adapter.save(draft, base=about["base"])
        tensors = {f"heads.{name}": tensor for name, tensor in self.heads.state().items()}
        tensors |= {f"scale.{name}": tensor.detach().clone() for name, tensor in vars(self.scale).items()}
        tensors |= {f"rules.{key}": tensor for key, tensor in self.rules.items()}
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, draft / "heads.safetensors")


def combined(found: Sequence[ReplyScores]) -> ReplyScores:
    """Of an ensemble's members: means, and the standard deviation of their scores; of one member what it said."""
    if len(found) == 1:
        return found[0]
    scores = torch.stack([one.scores for one in found])
    violations = torch.stack([one.violations for one in found]).mean(0)
    largest = violations.amax(1) if violations.shape[1] else found[0].any_violation
    return ReplyScores(scores.mean(0), violations, largest, scores.std(0, correction=0))


def _member(number: int) -> str:
    """Directory of an ensemble's member; the first stands at the top."""
    return f"member-{number}"


def load(
    directory: Path,
    transformer: Decoder | None = None,
    base: Path | None = None,
    placement: Placement | None = None,
) -> RewardModel:
    """Read a published reward model onto `base` (the one it names, where none is given).

    `transformer` is `base` already loaded; else it is loaded as `placement` says. Raises Damaged, and
    OtherBase where `base` holds other weights than those it was trained over.
    """
    checkpoints.verify(directory)
    config = read_config(directory)
    if config["format"] != FORMAT:
        raise checkpoints.Damaged(directory, f"it has format {config['format']}, not {FORMAT}; train it anew")
    base = base or Path(config["base"])
    if weights_digest(base) != config["base_sha256"]:
        raise OtherBase(config["base"], str(base))
    if transformer is None:
        transformer = choice.load(base, adapted_layers=config["adapted_layers"], placement=placement)
    model = _read_member(directory, transformer, config["judged"])
    further = range(2, int(config.get("ensemble", 1)) + 1)
    model.others = tuple(_read_member(directory / _member(n), transformer, config["judged"]) for n in further)
    model.disagreement_weight = float(config.get("disagreement_weight", 0.0))
    model.merge()
    return model


def load_for(directory: Path, transformer: Decoder, policy: Path, known: Sequence[Path] = ()) -> RewardModel:
    """A reward model that reads the trunk states of `policy`, loaded as `transformer`.

    It was trained over that policy, or over the base of its adapter, one of `known`, which has the same trunk. Raises
    OtherBase.
    """
    about, adapter = read_config(directory), policy_adapter.read(policy)
    if (
        adapter is None
        or adapter.base_sha256 != about["base_sha256"]
        or min(adapter.layers) < transformer.trunk_layers
    ):
        return load(directory, transformer, policy)
    base = base_of(directory, known)
    return load(directory, transformer.with_top_of(base), base)


def _read_member(directory: Path, transformer: Decoder, judged: Sequence[str]) -> RewardModel:
    saved = load_file(directory / "heads.safetensors")

    def part(name: str) -> dict[str, Tensor]:
        return {key.removeprefix(name): tensor for key, tensor in saved.items() if key.startswith(name)}

    adapter = Adapter.load(directory, transformer)
    heads, scale = Heads.from_state(part("heads.")), Scale(**part("scale."))
    return RewardModel(transformer, adapter, heads, scale, part("rules."), judged)


def read_config(directory: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return config


def base_of(directory: Path, known: Sequence[Path]) -> Path:
    """The base of a reward model: the one of `known` that has its weights, else the path that it was trained at.

    A home directory that was moved leaves the path behind, but not the weights.
    """
    config = read_config(directory)
    same = [policy for policy in known if weights_digest(policy) == config["base_sha256"]]
    return same[0] if same else Path(config["base"])


def weights_digest(policy: Path) -> str:
    """The sha256 of a policy directory's weights, from its manifest."""
    files = json.loads((policy / checkpoints.MANIFEST).read_text())["files"]
    return str(files["model.safetensors"]["sha256"])


@torch.no_grad()
def embed_rule(transformer: Decoder, tokenizer: ChatTokenizer, text: str) -> Tensor:
    """The rule's text through the frozen base, as the mean over its tokens [D]."""
    ids = torch.tensor([tokenizer.text_ids(text)])
    return transformer.run_top(transformer.run_trunk(ids))[0].mean(0)
