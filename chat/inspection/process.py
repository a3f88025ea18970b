"""The inspector's child process: log-probabilities of given tokens by one plain forward pass of a policy in fp32.

Started as `python -m chat.inspection.process IDLE_S`. Requests come as JSON lines on stdin, answers go as JSON lines
to stdout. It keeps the last policy loaded, and ends with its stdin, or after IDLE_S without a request. No Django.
"""

import json
import os
import select
import sys
from typing import Any

from chat.engines.lifeline import die_with_parent

ROWS = 64
"""Positions whose probabilities are computed together: each is a row as wide as the vocabulary."""


class LoadedModel:
    """The weights of a policy directory."""

    def __init__(self, directory: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.directory = directory
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        self.model.to(self.device).eval()

    def logprobs(self, prompt: list[int], completion: list[int], top: int) -> list[dict[str, Any]]:
        """The completion's tokens, their log-probabilities and the `top` most probable tokens of each position."""
        import torch

        ids = prompt + completion
        vocabulary = self.model.get_input_embeddings().num_embeddings
        if not prompt or not completion or not all(0 <= number < vocabulary for number in ids):
            raise ValueError("tokens that are not in the policy's vocabulary, or none")
        with torch.inference_mode():
            given = torch.tensor([ids[:-1]], device=self.device)
            logits = self.model(given, use_cache=False, logits_to_keep=len(completion)).logits[0]
            tokens: list[dict[str, Any]] = []
            for start in range(0, len(completion), ROWS):
                logprobs = torch.log_softmax(logits[start : start + ROWS], dim=-1)
                best = logprobs.topk(min(top, vocabulary), dim=-1)
                for row, number in enumerate(completion[start : start + ROWS]):
                    others = zip(best.indices[row].tolist(), best.values[row].tolist(), strict=True)
                    tokens.append({"id": number, "logprob": logprobs[row, number].item(), "top": list(others)})
        return tokens


def main() -> None:
    die_with_parent()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    idle_s = float(sys.argv[1])
    policy: LoadedModel | None = None
    while select.select([sys.stdin], [], [], idle_s)[0] and (line := sys.stdin.readline()):
        asked = json.loads(line)
        try:
            if policy is None or policy.directory != asked["directory"]:
                policy = None  # one at a time in memory
                policy = LoadedModel(asked["directory"])
            answer: dict[str, Any] = {"tokens": policy.logprobs(asked["prompt"], asked["completion"], asked["top"])}
        except Exception as error:  # whatever torch and transformers raise is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
