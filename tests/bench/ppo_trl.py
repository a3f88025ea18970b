"""TRL 1.12's PPOTrainer on the bench's prompts; run by tests/bench/ppo.py in TRL's own virtual environment."""

import contextlib
import json
import os
import resource
import sys
import tempfile
import time

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer

from tests.bench.ppo_prompts import prompt_ids


class Clock(TrainerCallback):
    """The time at which each iteration ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *arguments: object, **named: object) -> None:
        self.ends.append(time.perf_counter())


def main(options: dict) -> dict:
    torch.set_num_threads(options["threads"])
    policy, dtype = options["policy"], getattr(torch, options["dtype"])
    tokenizer = AutoTokenizer.from_pretrained(policy, padding_side="left")
    tokenizer.pad_token = "<|endoftext|>"  # the pad must not be the end token

    def head() -> torch.nn.Module:
        model = AutoModelForSequenceClassification.from_pretrained(policy, num_labels=1, dtype=dtype)
        model.config.pad_token_id = tokenizer.pad_token_id
        return model

    clock = Clock()
    batch = options["batch"]
    with tempfile.TemporaryDirectory() as folder:
        settings = PPOConfig(
            output_dir=folder,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=1,
            gradient_accumulation_steps=1,
            total_episodes=batch * (options["iterations"] + 1),
            num_ppo_epochs=1,
            response_length=options["tokens"],
            num_sample_generations=0,
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        prompts = Dataset.from_dict({"input_ids": prompt_ids(policy, batch)})
        trainer = PPOTrainer(
            args=settings,
            processing_class=tokenizer,
            model=AutoModelForCausalLM.from_pretrained(policy, dtype=dtype),
            ref_model=AutoModelForCausalLM.from_pretrained(policy, dtype=dtype),
            reward_model=head(),
            value_model=head(),
            train_dataset=prompts,
            eval_dataset=prompts.select([0]),
            callbacks=[clock],
        )
        trainer.train()
    seconds = (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1)
    return {
        "episodes_per_s": batch / seconds,
        "seconds_per_iteration": seconds,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        result = main(json.loads(sys.argv[1]))
    sys.stdout.write(json.dumps(result) + "\n")
