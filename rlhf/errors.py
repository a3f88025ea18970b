"""Errors between feedback and a live policy: one class a case, each with its data."""

from collections.abc import Sequence

from django.utils.translation import gettext as _


class RlhfError(Exception):
    """Its text is shown to people: what happened and what to do."""

    code = "rlhf"


class NotEnoughFeedback(RlhfError):
    code = "not_enough_feedback"

    def __init__(self, rankings: int, needed: int, split: str = "train") -> None:
        self.rankings, self.needed, self.split = rankings, needed, split
        if split == "held_out":
            text = _(
                "There are no judgements on held-out prompts yet, so the result could not be evaluated. "
                "Rank more replies first."
            )
        else:
            text = _(
                "Training needs %(needed)d rankings; only %(rankings)d can be used so far. Rank more replies first."
            )
        super().__init__(text % {"rankings": rankings, "needed": needed})


class JudgeNotQualified(NotEnoughFeedback):
    """The gate would refuse whatever comes out, for want of a judge."""

    code = "judge_not_qualified"

    def __init__(self, comparisons: int, needed: int, people: int, people_needed: int) -> None:
        self.comparisons, self.comparisons_needed = comparisons, needed
        self.people, self.people_needed = people, people_needed
        self.split = "held_out"
        text = _(
            "The judge that compares the new policy with the old one has to be measured first. Held-out comparisons "
            "so far: %(comparisons)d of %(needed)d, by %(people)d of %(people_needed)d people. Rank more replies "
            "first, with as many people as that, or set CHAMSAE_GATE_JUDGE_COMPARISONS and CHAMSAE_GATE_JUDGE_PEOPLE "
            "lower. A training that starts anyway ends with a policy that the gate refuses."
        )
        numbers = {"comparisons": comparisons, "needed": needed, "people": people, "people_needed": people_needed}
        RlhfError.__init__(self, text % numbers)


class RuleLabelsMissing(NotEnoughFeedback):
    """The gate would refuse whatever comes out: it could not tell how often rules are broken."""

    code = "rule_labels_missing"

    def __init__(self, text: str) -> None:
        self.split = "held_out"
        RlhfError.__init__(self, text)


class CycleUnderWay(RlhfError):
    code = "cycle_under_way"

    def __init__(self, run_id: int | None) -> None:
        self.run_id = run_id
        super().__init__(
            _("A cycle is already running (run %(run)s). Wait for it to finish, or cancel it.") % {"run": run_id}
        )


class CycleWaits(CycleUnderWay):
    """The live cycle waits for people."""

    code = "cycle_waits"

    def __init__(self, run_id: int, answered: int, wanted: int) -> None:
        RlhfError.__init__(
            self,
            _(
                "A cycle (run %(run)s) waits for people to compare replies: %(answered)d of %(wanted)d are done. "
                "Compare the rest on the Rank page, let the gate decide now, or cancel the run."
            )
            % {"run": run_id, "answered": answered, "wanted": wanted},
        )
        self.run_id, self.answered, self.wanted = run_id, answered, wanted


class JudgeNotApplicable(RlhfError):
    code = "judge_not_applicable"

    def __init__(self, judgements: int, by_people: int) -> None:
        self.judgements, self.by_people = judgements, by_people
        super().__init__(
            _(
                "The gold judge is the program that made every judgement, and here not one program made them all: "
                "people made %(people)d of %(n)d. Choose another judge."
            )
            % {"people": by_people, "n": judgements}
        )


class ComparisonsNeeded(RlhfError):
    code = "comparisons_needed"

    def __init__(self) -> None:
        super().__init__(
            _("Where people judge, say how many comparisons to ask them for: a number above 0 (--comparisons).")
        )


class SnapshotErased(RlhfError):
    code = "snapshot_erased"

    def __init__(self, snapshot_id: int) -> None:
        self.snapshot_id = snapshot_id
        super().__init__(
            _(
                "A person whose data this run was trained on has deleted their account, and its snapshot "
                "was deleted. Start a new run."
            )
        )


class NotEnoughSpace(RlhfError):
    code = "disk_full"

    def __init__(self, free_mb: int, needed_mb: int) -> None:
        self.free_mb, self.needed_mb = free_mb, needed_mb
        text = _("The disk for runs has %(free)d MB free, but %(needed)d MB are needed. Free up space, then resume.")
        super().__init__(text % {"free": free_mb, "needed": needed_mb})


class LeaseLost(RlhfError):
    """Another supervisor took the run over; the caller must leave the row alone."""

    code = "lease_lost"

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id} is held by another supervisor")


class StageFailed(RlhfError):
    """A stage of a cycle ended without success."""

    code = "stage_failed"

    def __init__(self, stage: str, state: str, reason: str) -> None:
        self.stage, self.state, self.reason = stage, state, reason
        super().__init__(f"{stage}: {reason or state}")


class ChildFailed(RlhfError):
    """A training process ended badly: `reason` is from its error.json, else from its exit code and log."""

    code = "training_failed"

    def __init__(self, exit_code: int, reason: str) -> None:
        self.exit_code, self.reason = exit_code, reason
        super().__init__(reason)


class TrainerStillAlive(RlhfError):
    code = "trainer_still_alive"

    def __init__(self, directory: str) -> None:
        self.directory = directory
        super().__init__(f"another training process still uses {directory} and could not be stopped")


class CannotPromote(RlhfError):
    code = "cannot_promote"

    def __init__(self, policy: str, reasons: Sequence[str]) -> None:
        self.policy, self.reasons = policy, list(reasons)
        super().__init__(
            _("%(policy)s can't be promoted: %(reasons)s") % {"policy": policy, "reasons": "; ".join(reasons)}
        )


class CannotTry(RlhfError):
    code = "cannot_try"

    def __init__(self, policy: str, reasons: Sequence[str]) -> None:
        self.policy, self.reasons = policy, list(reasons)
        super().__init__(
            _("%(policy)s can't start a trial: %(reasons)s") % {"policy": policy, "reasons": "; ".join(reasons)}
        )


class CannotPutBeforeGate(RlhfError):
    code = "cannot_put_before_gate"

    def __init__(self, policy: str, reason: str) -> None:
        self.policy, self.reason = policy, reason
        super().__init__(
            _("%(policy)s can't be submitted to the gate: %(reason)s") % {"policy": policy, "reason": reason}
        )


class NothingToRollBackTo(RlhfError):
    code = "nothing_to_roll_back_to"

    def __init__(self, policy: str) -> None:
        self.policy = policy
        super().__init__(_("%(policy)s has no previous version to roll back to.") % {"policy": policy or "-"})


class ReasonMissing(RlhfError):
    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__(_("Give a reason. It is recorded in the audit log."))


class AdminRequired(RlhfError):
    code = "not_an_admin"

    def __init__(self, who: str) -> None:
        self.who = who
        super().__init__(_("%(who)s is not an admin, and only an admin may force a promotion.") % {"who": who})
