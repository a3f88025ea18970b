"""`manage.py fine_tune`: fine-tunes a model on a file in the foreground, with its events on stderr."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from base.commands import ChamsaeCommand, Exit
from chat.errors import BadPolicy, BudgetUsedUp
from fine_tuning import model_names
from fine_tuning.command_arguments import base_named, file_at, user_named
from fine_tuning.errors import TuningError
from fine_tuning.jobs import lifecycle, plan
from fine_tuning.jobs.lifecycle import Order
from fine_tuning.models import FineTune
from rlhf.models import Run
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor


class Command(ChamsaeCommand):
    help = "Creates a model from a file of examples, in the foreground and without a worker."
    examples = """
        manage.py fine_tune guide_prepared.jsonl --model davinci
        manage.py fine_tune guide.jsonl --model live --scope head --epochs 4 --user mina --json
        manage.py fine_tune better.jsonl --model live --method dpo --suffix island
    """
    failures = (TuningError, BudgetUsedUp, BadPolicy)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="JSONL, CSV, TSV, XLSX or plain text")
        parser.add_argument("--model", default="live", help="model to start from (default: %(default)s)")
        parser.add_argument("--user", help="owner of the model (default: the first admin)")
        parser.add_argument(
            "--validation", type=Path, help="validation file (default: a tenth of the lines is held out)"
        )
        parser.add_argument("--method", choices=FineTune.Method.values, default="supervised")
        parser.add_argument(
            "--scope", choices=FineTune.Scope.values, default="lora", help="which part of the model is trained"
        )
        parser.add_argument(
            "--epochs", type=int, help="passes over the file (default: depends on the number of lines)"
        )
        parser.add_argument("--batch-size", type=int)
        parser.add_argument("--learning-rate-multiplier", type=float)
        parser.add_argument("--suffix", default="", help="suffix of the model's name")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        person = user_named(options["user"])
        policy = base_named(person, options["model"])
        validation = file_at(person, options["validation"]) if options["validation"] else None
        given = {name: options[name] for name in ("batch_size", "learning_rate_multiplier")}
        job = lifecycle.create(
            Order(
                person=person,
                model=options["model"],
                policy=policy,
                training=file_at(person, options["file"]),
                validation=validation,
                method=options["method"],
                scope=options["scope"],
                hyperparameters={"n_epochs": options["epochs"], **given},
                suffix=model_names.suffix_of(options["suffix"]),
                seed=options["seed"],
            )
        )
        self.finish_job(self.drive(job))

    def drive(self, job: FineTune) -> FineTune:
        """Runs the job to its end, after those before it in the queue; stops where another process is training."""
        seen = 0

        def print_events(run: Run) -> None:
            nonlocal seen
            for event in job.events.filter(seq__gt=seen, kind="message"):
                self.note(event.message)
                seen = event.seq

        lifecycle.follow_all()  # a large file is counted now
        while True:
            job = FineTune.objects.select_related("run", "policy", "result_file").get(pk=job.pk)
            waiting = Run.objects.filter(kind=Run.Kind.FINE_TUNE, state=Run.State.QUEUED).first()
            if job.is_over or waiting is None:
                return job
            cycle.drive(waiting.pk, Supervisor(print_events))

    def finish_job(self, job: FineTune) -> None:
        result = {
            "job": job.id,
            "state": job.state,
            "model": job.fine_tuned_model if job.state == FineTune.State.SUCCEEDED else None,
            "policy": job.policy.name if job.policy else None,
            "trained_tokens": job.trained_tokens,
            "cost": None if (cost := lifecycle.billed(job)) is None else plan.dollars(cost),
            "result_file": job.result_file.id if job.result_file else None,
            "comparison": _without_samples(job.result.get("comparison")),
        }
        if job.state == FineTune.State.SUCCEEDED:
            self.finish(result)
            return
        error = job.error or {"code": job.state, "message": "another process trains at present; the job waits"}
        self.finish({**result, "error": error}, Exit.FAILED, f"{job.id}: {error['message']}")


def _without_samples(comparison: dict[str, Any] | None) -> dict[str, Any] | None:
    return {name: value for name, value in comparison.items() if name != "samples"} if comparison else None
