"""`make mutants`: plants a mistake in one line at a time and shows which test finds it.

Each mistake is planted in a copy of the code, where the tests that are named with it run. One that they do not find
is a failure of this command, as is a line that is no longer there.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv", "node_modules", "var", "build", "screenshots", "__pycache__", ".*_cache", ".hypothesis")
LIMIT_S = 900


@dataclass(frozen=True)
class Mutant:
    about: str
    file: str
    line: str
    """Text that occurs once in the file."""
    planted: str
    tests: str
    """A file or folder of tests that shall fail."""


PPO, SNAPSHOTS = "tests/rlhf/training/ppo", "tests/rlhf/snapshots"
POOL = "tests/chat/engines/test_server_pool.py"
SERVED = "tests/rlhf/training/policy/test_served_peers.py"
HEAD, LIBRARY = "tests/rlhf/training/model/test_head.py", "tests/rlhf/training/model/library"
PROBES = "tests/feedback/probing/test_probe_states.py"
MUTANTS = (
    Mutant(
        "old log-probs at another temperature than the sampler's",
        "rlhf/training/ppo/loop.py",
        "            batches,\n            temperature=self.config.temperature,",
        "            batches,\n            temperature=1.0,",
        PPO,
    ),
    Mutant(
        "values are predicted and discarded",
        "rlhf/training/ppo/loop.py",
        "values[mask] = state.value.predict(scored.base.hidden, context).to(values.device)",
        "state.value.predict(scored.base.hidden, context)",
        PPO,
    ),
    Mutant(
        "the reference is the policy itself, so that KL is 0",
        "rlhf/training/ppo/loop.py",
        "base = self._log_probs(rollout, self.state.reference, batches)\n        kl",
        "base = policy\n        kl",
        PPO,
    ),
    Mutant(
        "log-probs are read one position late",
        "rlhf/training/model/scoring.py",
        "before = hidden[rows, columns - 1]",
        "before = hidden[rows, columns]",
        PPO,
    ),
    Mutant(
        "the completion's reward goes to the token before the last",
        "rlhf/training/ppo/shaping.py",
        "last = mask.sum(1) - 1",
        "last = (mask.sum(1) - 2).clamp(min=0)",
        PPO,
    ),
    Mutant(
        "ending is punished instead of not ending",
        "rlhf/training/ppo/shaping.py",
        "(~ended).float()",
        "ended.float()",
        PPO,
    ),
    Mutant(
        "KL is added to the reward",
        "rlhf/training/ppo/shaping.py",
        "rewards = -beta * kl * mask",
        "rewards = beta * kl * mask",
        PPO,
    ),
    Mutant(
        "advantages look at the value of the token itself",
        "rlhf/training/ppo/gae.py",
        "following = values[:, column]\n",
        "following = values[:, column - 1]\n",
        PPO,
    ),
    Mutant(
        "the clipped loss takes the smaller of both",
        "rlhf/training/ppo/update.py",
        "torch.max(free, bounded)",
        "torch.min(free, bounded)",
        PPO,
    ),
    Mutant(
        "what sampler and scorer differ by is not weighed",
        "rlhf/training/rollouts/mismatch.py",
        "return torch.exp(scored - sampled).clamp(max=cap)",
        "return torch.ones_like(scored)",
        PPO,
    ),
    Mutant(
        "RLOO's tokens are not weighed where its log-probs are made",
        "rlhf/training/policy/served_peers.py",
        "return held + weights * (values - held)",
        "return values",
        SERVED,
    ),
    Mutant(
        "GRPO learns from what servers sample without its weights",
        "rlhf/training/policy/served_peers.py",
        "trainer.use_vllm = True",
        "trainer.use_vllm = False",
        SERVED,
    ),
    Mutant(
        "what a server samples of RLOO and GRPO may be of another model",
        "rlhf/training/policy/served_peers.py",
        "self.source.judge(mismatch)",
        "pass",
        SERVED,
    ),
    Mutant(
        "logits of a family are not divided by what it divides them by",
        "rlhf/training/model/head.py",
        "inner = self.divisor * (",
        "inner = 1.0 * (",
        HEAD,
    ),
    Mutant(
        "the gradient passes a cap on logits as if there were none",
        "rlhf/training/model/head.py",
        "steepness = 1 - (capped * (temperature / self.cap)).square()",
        "steepness = torch.ones_like(capped)",
        HEAD,
    ),
    Mutant(
        "pads on the left are seen while a library's model samples",
        "rlhf/training/model/library/rows.py",
        "mask, positions = (columns >= 0).long(), columns.clamp(min=0)",
        "mask, positions = torch.ones_like(columns), columns.clamp(min=0)",
        LIBRARY,
    ),
    Mutant(
        "a library's model samples the second token at the first one's position",
        "rlhf/training/model/library/rows.py",
        "return self.model.run_cached(ids, self._mask, last,",
        "return self.model.run_cached(ids, self._mask, last - 1,",
        LIBRARY,
    ),
    Mutant(
        "a library's top runs on its embedding",
        "rlhf/training/model/library/split.py",
        "                    hidden_states = self.states",
        "                    self.states",
        LIBRARY,
    ),
    Mutant(
        "an adapter is off where a library's layer runs again for the gradient",
        "rlhf/training/model/library/module_adapter.py",
        "return nullcontext(), self.using(self._adapter)",
        "return nullcontext(), nullcontext()",
        LIBRARY,
    ),
    Mutant(
        "a library's model whose logits are made otherwise is trained all the same",
        "rlhf/training/model/library/decoder.py",
        "if not off <= ROUNDING.get(self.dtype, 0.1):",
        "if False:",
        LIBRARY,
    ),
    Mutant(
        "end tokens of the generation's own file end nothing",
        "rlhf/training/model/ends.py",
        'for name in ("config.json", "generation_config.json"):',
        'for name in ("config.json",):',
        LIBRARY,
    ),
    Mutant(
        "flags weigh the same, whoever made them",
        "rlhf/training/reward/heads.py",
        "labels, weight=weights)",
        "labels)",
        "tests/rlhf/training/reward",
    ),
    Mutant(
        "a person's flags are not capped",
        "rlhf/snapshots/rows.py",
        'of_flag[flag.row.annotator_id, flag.line["rule"]]',
        "1.0",
        SNAPSHOTS,
    ),
    Mutant(
        "held-out lines near to trained ones stay in",
        "rlhf/snapshots/rows.py",
        "leaking = leaks({entry.origin for entry in found})",
        "leaking = set()",
        SNAPSHOTS,
    ),
    Mutant(
        "the candidate's distance counts from the live policy alone",
        "rlhf/runs/stages.py",
        '"anchor": str(_directory(lineage(start)[0])),',
        '"anchor": str(_directory(start)),',
        "tests/rlhf/runs",
    ),
    Mutant(
        "distance from the original base is not asked for",
        "rlhf/release/checks/distance.py",
        'if candidate.get("anchor_is_start") is not True:',
        "if False:",
        "tests/rlhf/release",
    ),
    Mutant(
        "a figure that is missing passes",
        "rlhf/release/checks/reason.py",
        "holds = value is not None and limit is not None and value <= limit",
        "holds = value is None or limit is None or value <= limit",
        "tests/rlhf/release",
    ),
    Mutant(
        "servers: what another model wrote is taken for the policy's",
        "chat/engines/events.py",
        'if self.model and event.get("model") != self.model:',
        "if False:",
        POOL,
    ),
    Mutant(
        "servers: streams go where there are most",
        "chat/engines/servers/pool.py",
        "return min((",
        "return max((",
        POOL,
    ),
    Mutant(
        "servers: an adapter is put there unchecked",
        "chat/engines/servers/adapters.py",
        "    policies.verify_adapter(policy)\n",
        "",
        POOL,
    ),
    Mutant(
        "servers: a silent one keeps its streams",
        "chat/engines/servers/server.py",
        "self.client.give_up()",
        "pass",
        POOL,
    ),
    Mutant(
        "servers: a stream moves in the middle of its text",
        "chat/engines/openai.py",
        "if has_begun or self._pool",
        "if self._pool",
        POOL,
    ),
    Mutant(
        "whoever probed gets the second judgement of it",
        "feedback/judgements/task_queue.py",
        "        .filter(Q(probe=None) | ~Q(probe__prober=annotator))\n",
        "",
        PROBES,
    ),
    Mutant(
        "what was given up in a probe trains",
        "feedback/probing/talking.py",
        "update(may_train=False)",
        "update(may_train=True)",
        PROBES,
    ),
    Mutant(
        "probes of words that were trained on reach the gate",
        "rlhf/release/probe_figures.py",
        "[one for one in outcomes.judged() if one.is_fresh]",
        "outcomes.judged()",
        "tests/rlhf/release/test_probe_figures.py",
    ),
    Mutant(
        "a rise under probing is averaged without weights",
        "rlhf/training/statistics/two_shares.py",
        "of[key][1] * over[key][1] / (of[key][1] + over[key][1])",
        "1.0",
        "tests/rlhf/training/statistics/test_two_shares.py",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copy = Path(name) / "code"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        for mutant in (one for one in MUTANTS if options.only in one.about):
            finder = _first_failure(mutant, copy)
            missed += finder is None
            sys.stdout.write(f"{mutant.about}\n    {finder or 'FOUND BY NO TEST'}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{missed} mistakes were not found\n")
    return 1 if missed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="mistakes whose description holds these words")
    return parser.parse_args(arguments)


def plant(mutant: Mutant, code: Path) -> str:
    """Changes the file and returns its former text. Raises ValueError where the line does not occur exactly once."""
    path = code / mutant.file
    text = path.read_text()
    if text.count(mutant.line) != 1:
        raise ValueError(f"{mutant.file}: the line of {mutant.about!r} occurs {text.count(mutant.line)} times")
    path.write_text(text.replace(mutant.line, mutant.planted))
    return text


def _first_failure(mutant: Mutant, code: Path) -> str | None:
    """The test that failed, None where all passed."""
    former = plant(mutant, code)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", mutant.tests]
    try:
        done = subprocess.run(command, cwd=code, capture_output=True, text=True, timeout=LIMIT_S)
    finally:
        (code / mutant.file).write_text(former)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]  # or its set-up
    if done.returncode not in (0, 1) or (done.returncode == 1 and not failed):
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return failed[0].split(" ", 1)[1].split(" - ")[0] if failed else None


if __name__ == "__main__":
    sys.exit(main())
