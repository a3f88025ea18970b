"""What a cycle needs before its first stage: the model, the way, the device, the memory, the disk, and its bases.

Each check raises an error that says what would do; all that is missing is told at once. What people judged is
counted apart (rlhf.runs.judge_material, rlhf.runs.violation_labels).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from django.conf import settings

from base import own_llama, shared_state
from chat import policies
from chat.errors import BadPolicy, NoLivePolicy
from chat.models import Policy
from rlhf import labels
from rlhf.errors import (
    DeviceMissing,
    LauncherBroken,
    NotEnoughMemory,
    NotEnoughSpace,
    OtherArchitecture,
    QuantisationMissing,
    RlhfError,
    RolloutsByRay,
    RolloutsOfFewBits,
    RolloutsShared,
    SeveralMissing,
    WholeWeightsNeeded,
)
from rlhf.lineage import adapter_root, lineage
from rlhf.runs import devices, disk_space, launchers, memory, tinker_server
from rlhf.runs.launchers import LaunchPlan

COPIES_NEEDED = 4
"""Free disk that a cycle asks for, in sizes of the policy: its candidate twice while it is written, and some room."""


@dataclass(frozen=True)
class Wish:
    """A cycle that somebody wants to start, or a stage of one."""

    live: Policy
    algorithm: str = "ppo"
    """Empty: only a reward model, which needs less memory than is estimated for a policy."""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    """By stage."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another host, which has the policy's files, trains it."""
        return not policies.directory(self.live).is_dir() and policies.has_files(self.live)


def refuse(wish: Wish) -> None:
    """Raises the error of what is missing, SeveralMissing where it is more than one thing, and NoLivePolicy."""
    if len(found := missing(wish)) == 1:
        raise found[0]
    if found:
        raise SeveralMissing([text_of(error) for error in found])


def missing(wish: Wish) -> list[Exception]:
    """An error for each thing, no text twice. Raises NoLivePolicy."""
    if wish.live.is_scripted:
        raise NoLivePolicy("a scripted policy can't be trained")
    found: dict[str, Exception] = {}
    for check in CHECKS:
        try:
            check(wish)
        except (RlhfError, BadPolicy) as error:
            found.setdefault(text_of(error), error)
        except OSError as error:
            broken = BadPolicy(f"{wish.live.name}: {error}")
            found.setdefault(text_of(broken), broken)
    return list(found.values())


def text_of(error: Exception) -> str:
    """For people."""
    return str(getattr(error, "message", error))


def _refuse_full_disk(wish: Wish) -> None:
    """Raises NotEnoughSpace, BadPolicy."""
    needed = COPIES_NEEDED * policies.size_bytes(wish.live)
    if (shortage := disk_space.find_shortage(settings.RUNS_DIR, needed)) is not None:
        raise NotEnoughSpace(*shortage)


def _refuse_lost_bases(wish: Wish) -> None:
    """The policy with which the first cycle began is what every candidate is measured against, and that below the
    live policy's adapter is what training changes. Raises BadPolicy."""
    anchor = lineage(wish.live)[0]
    if not policies.has_files(anchor):
        raise BadPolicy(f"{policies.directory(anchor)} is gone, which every candidate is measured against")
    adapter_root(wish.live)


def _refuse_other_family(wish: Wish) -> None:
    """Raises OtherArchitecture, BadPolicy."""
    found = own_llama.obstacle(policies.configuration(wish.live))
    if settings.RLHF_PLACEMENT["backend"] == "llama" and found is not None:
        raise OtherArchitecture(wish.live.name, *found)


def _trains_here() -> bool:
    """Whether what this machine has is what trainings have: not in a cluster, nor where hosts share state."""
    return launchers.chosen().is_here and not shared_state.is_on()


def _refuse_few_bits(wish: Wish) -> None:
    """Raises WholeWeightsNeeded, QuantisationMissing."""
    placement: dict[str, Any] = settings.RLHF_PLACEMENT
    bits: int = placement["bits"]
    if bits == 16:
        return
    if wish.algorithm in labels.BY_TRL:
        raise WholeWeightsNeeded(str(labels.ALGORITHMS[wish.algorithm]), bits)
    if _trains_here() and find_spec("bitsandbytes") is None:
        raise QuantisationMissing(bits)


def _refuse_lost_device(wish: Wish) -> None:
    """Raises DeviceMissing."""
    device = str(settings.RLHF_PLACEMENT["device"])
    if _trains_here() and not devices.is_shown(device):
        raise DeviceMissing(device)


def _refuse_broken_launcher(wish: Wish) -> None:
    """Raises LauncherBroken."""
    _launch()


def _launch() -> LaunchPlan:
    """Raises LauncherBroken, but not where another machine may be the one that trains, and have the file."""
    try:
        return launchers.launch()
    except LauncherBroken:
        if _trains_here():
            raise
        return LaunchPlan()


def _refuse_shared_rollouts(wish: Wish) -> None:
    """TRL's ways are one process under accelerate, too, and refuse few bits whoever samples. Raises RolloutsByRay,
    RolloutsShared, RolloutsOfFewBits, LauncherBroken."""
    if wish.algorithm not in labels.BY_SERVERS or not settings.RLHF_ROLLOUT_URLS:
        return
    if not launchers.chosen().is_here:
        raise RolloutsByRay
    if wish.algorithm in labels.BY_TRL:
        return
    if _launch().processes > 1:
        raise RolloutsShared
    placement: dict[str, Any] = settings.RLHF_PLACEMENT
    if placement["bits"] != 16:
        raise RolloutsOfFewBits(placement["bits"])


def _refuse_unfit_tinker(wish: Wish) -> None:
    """Raises TinkerUnfit, BadPolicy, LauncherBroken."""
    if tinker_server.trains(wish.algorithm):
        tinker_server.refuse(wish.live)


def _refuse_small_memory(wish: Wish) -> None:
    """Raises NotEnoughMemory, BadPolicy, LauncherBroken."""
    placement: dict[str, Any] = settings.RLHF_PLACEMENT
    is_here = launchers.chosen().is_here and not wish.is_elsewhere
    if not is_here or not wish.algorithm or not devices.is_on_cpu(placement["device"]):
        return
    launch = _launch()
    placement = {**placement, "backend": _backend_on_cpu(wish.live, launch)}
    asked = {**settings.RLHF_PROFILE.ppo, **(wish.hyperparameters.get("policy") or {})}
    work = memory.Work.of(asked, placement, settings.FEEDBACK_COMPLETION_TOKENS)
    shortage = memory.find_shortage(policies.directory(wish.live), work, launch.processes)
    if shortage is not None:
        raise NotEnoughMemory(*shortage)


def _backend_on_cpu(live: Policy, launch: LaunchPlan) -> str:
    """As the training chooses it (rlhf.training.model.choice). Raises BadPolicy."""
    placement: dict[str, Any] = settings.RLHF_PLACEMENT
    if launch.shards_base:
        return "transformers"
    if placement["backend"] != "auto":
        return str(placement["backend"])
    is_ours = placement["bits"] == 16 and own_llama.obstacle(policies.configuration(live)) is None
    return "llama" if is_ours else "transformers"


CHECKS: tuple[Callable[[Wish], None], ...] = (
    _refuse_lost_bases,
    _refuse_other_family,
    _refuse_few_bits,
    _refuse_lost_device,
    _refuse_broken_launcher,
    _refuse_shared_rollouts,
    _refuse_unfit_tinker,
    _refuse_small_memory,
    _refuse_full_disk,
)
