"""The processes that share one training: which this one is, its share of the work, and sums over all of them.

Every process holds the same adapter, optimiser and random numbers, does its share of each step and adds up gradients
and figures with the others, so that a run's numbers do not depend on how many there are but for rounding. What is
written is written by the main process alone. With one process, as without a launcher, all of this does nothing.

Processes make the same calls in the same order, for sums wait for all of them. Over a base that is divided among them
(FSDP) this holds for every pass through its layers, too; one that has nothing left to do makes a pass that does not
count.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import repeat
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")
LAUNCHER, SHARDING, CPU = "CHAMSAE_LAUNCHED_BY", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_CPU"
"""Variables of the environment, set by what starts the processes."""
PATIENCE = timedelta(days=1)
"""For the others, of which one may write a model; the launcher ends all of them when one dies."""


def expected() -> int:
    """How many the environment names, whether or not they have found each other."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: str) -> None:
    """Find the others of the group that the environment names, if it names one; `device` is of torch's kinds."""
    if expected() == 1 or distributed.is_initialized():
        return
    from accelerate import PartialState  # takes a second to import

    PartialState(cpu=device == "cpu", timeout=PATIENCE)


def leave() -> None:
    """Part from the others, once all have come to the end: a process that exits in the group may crash."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def stays_on_cpu() -> bool:
    """Whether accelerators are to be left alone."""
    return os.environ.get(CPU, "").lower() == "true"


def count() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    return rank() == 0


def shards_base() -> bool:
    """Whether the frozen base is divided among the processes (FSDP2), instead of each holding all of it (DDP)."""
    return count() > 1 and os.environ.get(SHARDING, "").lower() == "true"


def facts() -> dict[str, object]:
    """For the result of a run."""
    found: dict[str, object] = {"launcher": os.environ.get(LAUNCHER, "local"), "processes": count()}
    return found if count() == 1 else found | {"sharing": "fsdp2" if shards_base() else "ddp"}


def share(items: Sequence[T]) -> list[T]:
    """Of the items those that are this process's, in their order; perhaps none."""
    return list(items[rank() :: count()])


def block(number: int) -> slice:
    """Of so many rows those that are this process's, side by side; perhaps none."""
    return slice(number * rank() // count(), number * (rank() + 1) // count())


def in_step(parts: Sequence[T], spare: T) -> Iterator[tuple[T, bool]]:
    """Each part, and then `spare` until every process had as many; with it whether it counts."""
    longest = int(most(len(parts)))  # asked before the first part, for what is done with each may ask as well
    yield from ((part, True) for part in parts)
    yield from repeat((spare, False), longest - len(parts))


def wait_for_all() -> None:
    if count() > 1:
        distributed.barrier()


def any_of(flag: bool) -> bool:
    """Whether it holds in any process."""
    return bool(most(float(flag))) if count() > 1 else flag


def most(number: float) -> float:
    """The largest of the processes' numbers."""
    return (
        float(_reduced(torch.tensor([number], dtype=torch.float64), distributed.ReduceOp.MAX))
        if count() > 1
        else number
    )


def totals(numbers: Sequence[float]) -> list[float]:
    """Of each number the sum over the processes."""
    return total(torch.tensor(numbers, dtype=torch.float64)).tolist() if count() > 1 else list(numbers)


def total(tensor: Tensor) -> Tensor:
    """The sum over the processes, without a gradient."""
    return _reduced(tensor.detach(), distributed.ReduceOp.SUM) if count() > 1 else tensor


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Each process's gradients become the sum over all of them; None where no process has one."""
    if count() == 1:
        return
    learnt = list(parameters)
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in learnt]
    known = gradients[0].new_tensor([one.grad is not None for one in learnt])
    summed = total(torch.cat([*(one.flatten() for one in gradients), known]))
    *parts, somewhere = torch.split(summed, [*(one.numel() for one in learnt), len(learnt)])
    for one, part, is_known in zip(learnt, parts, somewhere.tolist(), strict=True):
        one.grad = part.view_as(one).to(one.dtype) if is_known else None


def gather(rows: Tensor) -> Tensor:
    """[n, ...] of each process -> [the sum of n, ...], those of the first process first."""
    if count() == 1:
        return rows
    here = torch.zeros(count(), dtype=torch.float64)
    here[rank()] = len(rows)
    lengths = [int(length) for length in total(here)]
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    carried = _carried(padded.to(torch.uint8) if rows.dtype == torch.bool else padded)
    parts = [torch.empty_like(carried) for _ in lengths]
    distributed.all_gather(parts, carried)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)]).to(rows.device, rows.dtype)


def _reduced(tensor: Tensor, operation: distributed.ReduceOp.RedOpType) -> Tensor:
    carried = _carried(tensor).clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(carried, operation)
    return carried.to(tensor.device)


def _carried(tensor: Tensor) -> Tensor:
    """Where the processes' connection takes it from."""
    from accelerate import PartialState

    return tensor.to(PartialState().device).contiguous()
