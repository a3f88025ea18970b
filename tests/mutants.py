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
        "base = self._log_probs(rollout, None, batches)\n        kl",
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
        "rlhf/training/ppo/update.py",
        "return torch.exp(scored - sampled).clamp(max=cap)",
        "return torch.ones_like(scored)",
        PPO,
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
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode not in (0, 1) or (done.returncode == 1 and not failed):
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return failed[0].removeprefix("FAILED ").split(" - ")[0] if failed else None


if __name__ == "__main__":
    sys.exit(main())
