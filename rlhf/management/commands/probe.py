"""`probe`: orders and withdraws probes of policies, lists how far they are, and prints what they say."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from base.commands import Exit
from chat.models import Policy
from feedback.models import Project, Rule, site_project
from feedback.probing import openings, ordering, outcomes
from feedback.probing.errors import ProbeError
from rlhf.commands import RlhfCommand, policy_by_name, user_by_name
from rlhf.release import probe_figures
from rlhf.release.probe_figures import PolicyProbes


class Command(RlhfCommand):
    help = (
        "Probing: annotators try to make a policy break one rule, or ask something harmless that looks alike; others "
        "judge its last reply without being told. `assign` orders probes for annotators, `withdraw` takes back what "
        "nobody has handed over, `list` says how far the probes are, `openings` prints the prompts that come along, "
        "and `figures` prints violations and needless refusals, with `--policy` twice also the rise from the second "
        "to the first."
    )
    examples = """
        manage.py probe assign --policy policy-3 --policy smollm2-135m-instruct --count 5 --by admin
        manage.py probe assign --policy policy-3 --rule no-insults --rule no-body --count 10
        manage.py probe list
        manage.py probe withdraw --policy policy-3
        manage.py probe figures --policy policy-3 --policy smollm2-135m-instruct --json
        manage.py probe openings --rule no-body
    """
    failures = (*RlhfCommand.failures, ProbeError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("action", choices=("list", "assign", "withdraw", "figures", "openings"))
        parser.add_argument(
            "--policy", action="append", default=[], metavar="NAME", help="default: the live one; can be repeated"
        )
        parser.add_argument(
            "--rule", action="append", default=[], metavar="KEY", help="default: all in force; can be repeated"
        )
        parser.add_argument("--count", type=int, default=5, help="of each policy against each rule (default 5)")
        parser.add_argument("--project", metavar="KEY", help="for the people of this project (default: the site)")
        parser.add_argument("--by", metavar="USER", help="username of who does it, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"do_{options['action']}")(options)

    def do_list(self, options: dict[str, Any]) -> None:
        names = dict(Policy.objects.values_list("pk", "name"))
        rows = [{**asdict(row), "policy": names[row.policy]} for row in outcomes.counts()]
        wanted = set(options["policy"])
        self.finish({"probes": [row for row in rows if not wanted or row["policy"] in wanted]})

    def do_assign(self, options: dict[str, Any]) -> None:
        wanted = ordering.ProbeOrder(_policies(options), _rules(options), options["count"], _project(options))
        made = ordering.order(wanted, by=user_by_name(options["by"]))
        self.finish({"probes": made, "policies": [row.name for row in wanted.policies], "rules": len(wanted.rules)})

    def do_withdraw(self, options: dict[str, Any]) -> None:
        by = user_by_name(options["by"])
        rules: list[Rule | None] = [*_rules(options)] if options["rule"] else [None]
        withdrawn = sum(
            ordering.withdraw(policy, rule=rule, by=by) for policy in _policies(options) for rule in rules
        )
        self.finish({"withdrawn": withdrawn}, Exit.DONE if withdrawn else Exit.NOTHING_TO_DO)

    def do_figures(self, options: dict[str, Any]) -> None:
        asked = [policy_by_name(name) for name in options["policy"]]
        shown = [row for row in probe_figures.table() if not asked or row.policy in asked]
        told: dict[str, Any] = {"policies": [_told(row) for row in shown]}
        if len(asked) == 2:
            told["compared"] = probe_figures.for_gate(asked[0], asked[1])
        self.finish(told, Exit.DONE if shown else Exit.NOTHING_TO_DO)

    def do_openings(self, options: dict[str, Any]) -> None:
        keys = options["rule"]
        self.finish({"openings": [asdict(row) for row in openings.every() if not keys or row.rule in keys]})


def _policies(options: dict[str, Any]) -> list[Policy]:
    named = [policy_by_name(name) for name in dict.fromkeys(options["policy"])]
    found = named or list(Policy.objects.filter(is_live=True))
    if not found:
        raise CommandError("no policy is live; name one: --policy NAME", returncode=Exit.USAGE)
    return found


def _rules(options: dict[str, Any]) -> list[Rule]:
    keys = list(dict.fromkeys(options["rule"]))
    found = list(Rule.objects.filter(key__in=keys)) if keys else list(ordering.rules())
    unknown = set(keys) - {rule.key for rule in found}
    if unknown:
        raise CommandError(f"there is no rule {min(unknown)!r}", returncode=Exit.USAGE)
    return found


def _project(options: dict[str, Any]) -> Project:
    key = options["project"]
    found = Project.objects.filter(key=key).first() if key else Project.objects.get(pk=site_project())
    if found is None:
        raise CommandError(f"there is no project {key!r}", returncode=Exit.USAGE)
    return found


def _told(row: PolicyProbes) -> dict[str, Any]:
    return {
        "policy": row.policy.name,
        "violations": asdict(row.violations),
        "needless_refusals": asdict(row.needless_refusals),
        "refusals": asdict(row.refusals),
        "fresh": row.fresh,
        "rules": {
            rule.key: {"violations": asdict(rule.violations), "needless_refusals": asdict(rule.needless_refusals)}
            for rule in row.rules
        },
    }
