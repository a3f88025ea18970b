"""Our PPO on the bench's prompts, with a reward model of its own adapter; run by tests/bench/ppo.py."""

import json
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from rlhf.training.model import choice
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.choice import Placement
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import Rollout
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.train import train_ppo
from rlhf.training.process import prepare_process
from tests.bench.ppo_prompts import prompt_ids


class PooledScorer:
    """Costs what the real reward model costs: a pass of the adapted top, last token and mean, two linear heads."""

    def __init__(self, transformer: Decoder) -> None:
        self.transformer = transformer
        self.weights = transformer.merge(Adapter.create(transformer, seed=7))
        self.heads = torch.randn(2, 2 * transformer.config.hidden_size) * 0.02

    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = []
        for rows in torch.arange(len(rollout)).split(32):
            part = rollout.select(rows)
            hidden = self.transformer.run_top(part.states, weights=self.weights)
            mask = part.completion_mask()[..., None]
            last = hidden[torch.arange(len(part)), part.lengths - 1]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            outputs.append(torch.cat([last, mean], dim=1) @ self.heads.T)
        scores, flags = torch.cat(outputs).unbind(1)
        return scores, flags.sigmoid()


def main(options: dict) -> dict:
    prepare_process(options["threads"])
    placement = Placement(backend=options["backend"], dtype=options["dtype"])
    transformer = choice.load(Path(options["policy"]), adapted_layers=10, placement=placement)
    transformer.config = replace(transformer.config, eos=())  # every completion is as long as the limit, as TRL's
    config = PpoConfig(
        iterations=options["iterations"] + 1,
        prompts_per_iteration=options["batch"],
        completions_per_prompt=1,
        max_tokens=options["tokens"],
        minibatch_rows=options["batch"],
        calibration_prompts=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        result = train_ppo(
            transformer,
            prompt_ids(options["policy"], options["batch"]),
            PooledScorer(transformer),
            config,
            seed=0,
            directory=Path(folder),
            report=lambda step, steps, values: None,
            should_stop=lambda: False,
        )
    parts = ("seconds", "seconds/rollout", "seconds/scoring", "seconds/update")
    mean = {part: sum(metrics[part] for metrics in result.metrics[1:]) / options["iterations"] for part in parts}
    return {
        "episodes_per_s": options["batch"] / mean["seconds"],
        "seconds_per_iteration": mean["seconds"],
        "split_s": {part: round(mean[part], 3) for part in parts[1:]},
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
