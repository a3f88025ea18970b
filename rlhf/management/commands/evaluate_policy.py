"""`evaluate_policy`: compares a policy with the live one on held-out prompts and asks the gate."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from base.commands import Exit
from chat import policies
from chat.models import Policy
from rlhf.commands import RlhfCommand, add_settings, new_run, policy_by_name, reward_model_run
from rlhf.models import Evaluation, Run
from rlhf.release.decision import decide_once
from rlhf.runs import cycle


class Command(RlhfCommand):
    help = "Compares a policy with the live one and with controls on held-out prompts, and runs the gate."
    examples = """
        manage.py evaluate_policy policy-3
        manage.py evaluate_policy policy-3 --json
        manage.py evaluate_policy policy-3 --set prompts=400 --set draws=4
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("policy", help="name of the policy, for example policy-3")
        parser.add_argument(
            "--reward-model", type=int, help="id of the run that trained the reward model (default: its own)"
        )
        parser.add_argument("--seed", type=int, help="default: the number of evaluations so far")
        add_settings(parser, "prompts=400")

    def handle(self, *args: Any, **options: Any) -> None:
        policy = policy_by_name(options["policy"])
        seed = Evaluation.objects.count() if options["seed"] is None else options["seed"]
        reward_model = _reward_model_of(policy, options["reward_model"])
        run = new_run(
            Run.Kind.EVALUATION,
            snapshot=reward_model.snapshot,
            reward_model=reward_model,
            policy=policy,
            base_policy=policies.live(),
            config={
                "seed": seed,
                "judge": self.judge(reward_model, seed),
                "hyperparameters": dict(options["set"]),
            },
        )
        run = self.drive(run, f"Evaluation of {policy.name}")
        result = None
        if run.state == Run.State.SUCCEEDED:
            decision = decide_once(Evaluation.objects.get(run=run))
            gate = {"passed": decision.passed, "reasons": decision.decisive()}
            result = {"run": run.pk, "policy": policy.name, **run.result, "gate": gate}
        self.finish_run(run, result)

    def judge(self, reward_model: Run, seed: int) -> dict[str, Any]:
        """As in a cycle: the hidden preference, or a reward model trained on held-out judgements."""
        if reward_model.snapshot is None:
            raise CommandError("the reward model's snapshot has been deleted", returncode=Exit.FAILED)
        judge = cycle.judge_of(reward_model.snapshot)
        if judge["kind"] == "gold":
            return judge
        known = cycle.judges_of(reward_model.snapshot).first()
        return cycle.judge_with_run(judge, known or self.trained_judge(reward_model, seed))

    def trained_judge(self, reward_model: Run, seed: int) -> Run:
        run = new_run(
            Run.Kind.REWARD_MODEL,
            stage=cycle.JUDGE,
            snapshot=reward_model.snapshot,
            base_policy=reward_model.base_policy,
            config={"seed": seed + 1, "splits": ["held_out"]},
        )
        run = self.drive(run, "Judge")
        if run.state != Run.State.SUCCEEDED:
            raise CommandError(f"the judge could not be trained: {run.error}", returncode=Exit.FAILED)
        return run


def _reward_model_of(policy: Policy, run_id: int | None) -> Run:
    made_by = Run.objects.filter(kind=Run.Kind.POLICY, policy=policy).exclude(reward_model=None).first()
    own = made_by.reward_model_id if made_by is not None else None
    return reward_model_run(run_id if run_id is not None else own)
