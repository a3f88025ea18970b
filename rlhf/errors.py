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
                "A person whose data this run was trained on has deleted their account or withdrawn their consent, "
                "and its snapshot was deleted. Start a new run."
            )
        )


class SnapshotWithdrawn(RlhfError):
    code = "snapshot_withdrawn"

    def __init__(self, snapshot_id: int) -> None:
        self.snapshot_id = snapshot_id
        super().__init__(
            _(
                "Somebody has withdrawn consent to a text in snapshot %(id)s, so no further training begins with it. "
                "Start a new run: its snapshot is made without that text."
            )
            % {"id": snapshot_id}
        )


class NotEnoughSpace(RlhfError):
    code = "disk_full"

    def __init__(self, free_mb: int, needed_mb: int) -> None:
        self.free_mb, self.needed_mb = free_mb, needed_mb
        text = _("The disk for runs has %(free)d MB free, but %(needed)d MB are needed. Free up space, then resume.")
        super().__init__(text % {"free": free_mb, "needed": needed_mb})


class NotEnoughMemory(RlhfError):
    code = "not_enough_memory"

    def __init__(self, needed_mb: int, free_mb: int) -> None:
        self.needed_mb, self.free_mb = needed_mb, free_mb
        text = _(
            "Training this policy is estimated to need %(needed)d MB of memory, but %(free)d MB are free. Stop other "
            "programs, train with fewer rows or tokens, or begin with a smaller model."
        )
        super().__init__(text % {"needed": needed_mb, "free": free_mb})


class OtherArchitecture(RlhfError):
    """The backend that the environment forces does not compute the policy's family."""

    code = "other_architecture"

    def __init__(self, policy: str, field: str, value: object) -> None:
        self.policy, self.field, self.value = policy, field, value
        text = _(
            "In the config.json of %(policy)s, %(field)s is %(value)s, which CHAMSAE_TRAINING_BACKEND=llama does not "
            "compute. Set it to auto or transformers."
        )
        super().__init__(text % {"policy": policy, "field": field, "value": value})


class DeviceMissing(RlhfError):
    """The system shows no such device."""

    code = "device_missing"

    def __init__(self, device: str) -> None:
        self.device = device
        text = _(
            "CHAMSAE_TRAINING_DEVICE is %(device)s, but this machine shows no such device. Install its driver, or "
            "set it to auto or cpu."
        )
        super().__init__(text % {"device": device})


class RolloutsByRay(RlhfError):
    """Servers sample for a training on this machine only."""

    code = "rollouts_by_ray"

    def __init__(self) -> None:
        super().__init__(
            _(
                "Trainings in a Ray cluster (CHAMSAE_TRAINER) can't use completions that servers sample: those are "
                "for trainings on this machine. Clear CHAMSAE_ROLLOUT_URL, or set CHAMSAE_TRAINER to local."
            )
        )


class TinkerUnfit(RlhfError):
    """The Tinker server can't train what is asked for."""

    code = "tinker_unfit"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        text = _(
            "CHAMSAE_TINKER_URL names the server that trains by RLOO and GRPO, but it can't train this: %(reason)s. "
            "Mend that, clear CHAMSAE_TINKER_URL, or train another way."
        )
        super().__init__(text % {"reason": reason})


class LauncherBroken(RlhfError):
    """Several processes were asked for, but the file that says how many is missing or of no use."""

    code = "launcher_broken"

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        if reason:
            text = _(
                "CHAMSAE_TRAINER is accelerate, but the file in CHAMSAE_ACCELERATE_CONFIG can't be used: %(reason)s. "
                "Correct it, or set CHAMSAE_TRAINER to local."
            )
        else:
            text = _(
                "CHAMSAE_TRAINER is accelerate, which needs a file. Write one with accelerate config and name it in "
                "CHAMSAE_ACCELERATE_CONFIG, or set CHAMSAE_TRAINER to local."
            )
        super().__init__(text % {"reason": reason})


class RolloutsShared(RlhfError):
    """Servers sample for a training of one process only."""

    code = "rollouts_shared"

    def __init__(self) -> None:
        super().__init__(
            _(
                "Several processes (CHAMSAE_TRAINER) can't train on completions that servers sample. Clear "
                "CHAMSAE_ROLLOUT_URL, set CHAMSAE_TRAINER to local, or train by RLOO or GRPO, which are one process."
            )
        )


class RolloutsOfFewBits(RlhfError):
    """What servers sample is learnt from only where the base in training is as whole as theirs."""

    code = "rollouts_of_few_bits"

    def __init__(self, bits: int) -> None:
        self.bits = bits
        text = _(
            "CHAMSAE_TRAINING_BITS is %(bits)d, and completions that servers sample can be trained on only over "
            "whole weights. Set it to 16, or clear CHAMSAE_ROLLOUT_URL."
        )
        super().__init__(text % {"bits": bits})


class QuantisationMissing(RlhfError):
    """Weights of few bits need a package that is not installed."""

    code = "quantisation_missing"

    def __init__(self, bits: int) -> None:
        self.bits = bits
        text = _(
            "CHAMSAE_TRAINING_BITS is %(bits)d, which needs a package: pip install bitsandbytes. Or set it to 16."
        )
        super().__init__(text % {"bits": bits})


class WholeWeightsNeeded(RlhfError):
    """TRL's trainers round the adapter over weights of few bits."""

    code = "whole_weights_needed"

    def __init__(self, algorithm: str, bits: int) -> None:
        self.algorithm, self.bits = algorithm, bits
        text = _(
            "%(algorithm)s trains over whole weights, and CHAMSAE_TRAINING_BITS is %(bits)d. Set it to 16, or choose "
            "PPO, DPO, SFT or best of n."
        )
        super().__init__(text % {"algorithm": algorithm, "bits": bits})


class SeveralMissing(RlhfError):
    """A cycle needs several things that are not there."""

    code = "several_missing"

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        super().__init__(" ".join(texts))


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


class ServedElsewhere(RlhfError):
    """Replies come from one model of a server elsewhere, which takes no policy of this site."""

    code = "served_elsewhere"

    def __init__(self, model: str, url: str) -> None:
        self.model, self.url = model, url
        super().__init__(
            _(
                "Replies come from the model %(model)s of %(url)s, which this site can't train: nothing is trained "
                "or promoted while CHAMSAE_ENGINE_MODEL is set."
            )
            % {"model": model, "url": url}
        )


class CannotTry(RlhfError):
    code = "cannot_try"

    def __init__(self, policy: str, reasons: Sequence[str]) -> None:
        self.policy, self.reasons = policy, list(reasons)
        super().__init__(
            _("%(policy)s can't start a trial: %(reasons)s") % {"policy": policy, "reasons": "; ".join(reasons)}
        )


class CannotBeginCanary(RlhfError):
    code = "cannot_begin_canary"

    def __init__(self, policy: str, reasons: Sequence[str]) -> None:
        self.policy, self.reasons = policy, list(reasons)
        super().__init__(
            _("%(policy)s can't answer a share of the chats: %(reasons)s")
            % {"policy": policy, "reasons": "; ".join(reasons)}
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
