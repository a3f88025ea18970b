"""A seed of `make bench-rlhf` in its own home: samples what is to be judged, or learns from a taste's judgements.

Run as a process, with CHAMSAE_HOME set: `python -m tests.bench.rlhf_cell collect|learn JSON`. Its last line of output
is its result. A home that a killed process left is continued: sampled sets, judgements, and every stage's checkpoint.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

JUDGED = "judged.json"
"""In the home: what the annotators did; absent until all of it is stored."""
PAUSE_S = 20.0


def main(arguments: Sequence[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    todo, given = {"collect": collect, "learn": learn}[arguments[0]], json.loads(arguments[1])
    sys.stdout.write(json.dumps(todo(given)) + "\n")
    return 0


def collect(given: Mapping[str, Any]) -> dict[str, Any]:
    """Completions of the base, which is no taste's business."""
    from django.conf import settings

    from feedback.simulated.simulation import simulate
    from rlhf.runs import fetching

    fetching.ensure_base_policy(settings.CHAT_MODEL, lambda *_: None)
    return simulate(plan_of(given), Told("sampling"), only_collects=True)


def learn(given: Mapping[str, Any]) -> dict[str, Any]:
    """{stage: its result} beside what was judged. Raises SystemExit where a stage failed."""
    from django.conf import settings

    from feedback.simulated.simulation import simulate
    from rlhf.models import Run
    from rlhf.runs import cycle

    judged = Path(settings.HOME) / JUDGED
    if not judged.exists():
        judged.write_text(json.dumps(simulate(plan_of(given), Told("sampling"))))
    made = {"collected": json.loads(judged.read_text())}
    run = Run.objects.filter(kind=Run.Kind.CYCLE).first() or cycle.start(
        seed=given["seed"], hyperparameters=hyperparameters(given), promotes=False, unqualified=True
    )
    return made | run_stages(run, given["stages"])


def hyperparameters(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The demo's by stage, and over them what was given as {"stage.name": JSON}."""
    from config.demo import arms

    found = {stage: dict(values) for stage, values in arms.EVERYTHING.hyperparameters.items()}
    for name, value in (given.get("set") or {}).items():
        stage, _, own = name.partition(".")
        found.setdefault(stage, {})[own] = json.loads(value)
    return found


def run_stages(cycle_run: Any, wanted: Sequence[str]) -> dict[str, Any]:
    """Those stages of a cycle, without its gate: the bench looks at the figures themselves."""
    from rlhf.models import Run
    from rlhf.runs import cycle, leases
    from rlhf.runs.supervisor import Supervisor

    unfinished = Run.objects.exclude(state=Run.State.SUCCEEDED)
    unfinished.update(state=Run.State.QUEUED, owner="", lease_until=None, attempt=0, error="")  # this home is ours
    tell = Told("training")
    supervisor = Supervisor(lambda moved: tell(*_steps(moved)), ends_with_parent=True)
    leases.claim(cycle_run.pk, supervisor.owner)
    found: dict[str, Any] = {"comparisons": cycle_run.snapshot.comparisons, "stage_seconds": {}}
    for stage in cycle.stages_of(cycle_run):
        if stage in wanted:
            tell.doing = stage.replace("_", " ")
            run = supervisor.run_stage(cycle.stage_row(cycle_run, stage).pk)
            if run.state != Run.State.SUCCEEDED:
                raise SystemExit(f"{stage}: {run.state} {run.error}")
            found[stage] = {key: value for key, value in run.result.items() if key not in ("samples", "worst")}
            found["stage_seconds"][stage] = run.result["seconds"]
    return found


def _steps(run: Any) -> tuple[int, int]:
    return run.progress.get("step") or 0, run.progress.get("steps") or 0


def plan_of(given: Mapping[str, Any]) -> Any:
    """The demo's: what annotators say of held-out prompts is free of mistakes, since they measure."""
    from feedback.simulated.cases import SimulationPlan

    return SimulationPlan(
        rankings=given["rankings"],
        seed=given["seed"],
        held_out_noise=0.0,
        max_tokens=hyperparameters(given).get("policy", {}).get("max_tokens"),
        **{name: given[name] for name in ("preference", "flags") if given.get(name)},
    )


class Told:  # called like the function that it stands for
    """A line of progress on stderr, now and then."""

    def __init__(self, doing: str) -> None:
        self.doing, self.at = doing, time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        if time.monotonic() - self.at >= PAUSE_S:
            self.at = time.monotonic()
            sys.stderr.write(f"           {self.doing} {done}/{of}\n")
            sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
