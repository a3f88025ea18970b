"""`evaluation_report`: writes the report of an evaluation to a file, as HTML or JSON."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q

from base.commands import Exit
from rlhf.commands import RlhfCommand
from rlhf.models import Evaluation
from rlhf.release import report_file, samples


class Command(RlhfCommand):
    help = (
        "Writes the report of an evaluation to a file: figures, the gate's conditions, thresholds, versions and each "
        "reply's scores. Texts are only those of the site's own prompts, unless --texts is given. "
        "rlhf/release/recompute.py recomputes the figures from a JSON report."
    )
    examples = """
        manage.py evaluation_report 12
        manage.py evaluation_report 12 --format html --output report.html
        manage.py evaluation_report 12 --texts --json
        python rlhf/release/recompute.py evaluation-3-policy-2.json
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("run", type=int, help="id of an evaluation's run, or of the cycle that it belongs to")
        parser.add_argument("--format", choices=sorted(report_file.KINDS), default="json")
        parser.add_argument("--output", type=Path, metavar="FILE", help="default: a name made of policy and format")
        parser.add_argument("--texts", action="store_true", help="with the texts of people's prompts, too")

    def handle(self, *args: Any, **options: Any) -> None:
        evaluation = _evaluation_of(options["run"])
        report = evaluation.report
        texts = samples.every(report) if options["texts"] else samples.of_the_site(report)
        target = options["output"] or Path(report_file.name_of(evaluation, options["format"]))
        try:
            target.write_text(report_file.render(evaluation, options["format"], texts))
        except OSError as error:
            raise CommandError(f"{target} can't be written: {error.strerror}", returncode=Exit.FAILED) from error
        self.finish({"evaluation": evaluation.pk, "policy": evaluation.policy.name, "file": str(target)})


def _evaluation_of(run_id: int) -> Evaluation:
    rows = Evaluation.objects.select_related(
        "policy", "baseline", "run__snapshot", "run__parent", "run__reward_model"
    )
    found = rows.filter(Q(run=run_id) | Q(run__parent=run_id)).order_by("-pk").first()
    if found is None:
        raise CommandError(f"run {run_id} has no evaluation", returncode=Exit.USAGE)
    return found
