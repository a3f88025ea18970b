"""A device that is not the CPU, on any machine: its tensors lie in main memory but refuse to meet those of the CPU.

Products are the CPU's, so numbers can be compared; what is caught is a tensor that was left behind, as on a machine
with an accelerator: operations on tensors of two devices, except numbers without dimensions, and Python's numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "lazy"
"""A device that torch knows by name and has nothing behind; its gradients are taken in the thread of the CPU's."""
DEVICE = torch.device(NAME, 0)


class Elsewhere(torch.Tensor):
    """A tensor that says it is on the device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class MixedDevices(AssertionError):
    """Tensors of two devices met."""


COPIES = ("aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense")
INDEXED = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    tensors = [one for one in flat if isinstance(one, torch.Tensor)]
    name = function._schema.name
    _refuse_mixture(name, args, tensors)
    asked = kwargs.get("device")
    if asked is not None:
        goes_there = torch.device(asked).type == NAME
    elif name in INDEXED:
        goes_there = isinstance(args[0], Elsewhere)
    else:
        goes_there = any(isinstance(one, Elsewhere) for one in tensors)
    plain_args, plain_kwargs = tree_map(lambda one: one.held if isinstance(one, Elsewhere) else one, (args, kwargs))
    if goes_there and asked is not None:
        plain_kwargs["device"] = torch.device("cpu")
    found = function(*plain_args, **plain_kwargs)
    if name.endswith("_") and isinstance(args[0], torch.Tensor):  # in place
        return args[0]
    return (
        tree_map(lambda one: Elsewhere(one) if isinstance(one, torch.Tensor) else one, found) if goes_there else found
    )


def _refuse_mixture(name: str, args: Any, tensors: list[torch.Tensor]) -> None:
    """As torch does: copies go anywhere, indices may come from the CPU, and numbers without dimensions, too."""
    if name in COPIES:
        return
    if name in INDEXED:
        index = [one for one in args[1] if one is not None]
        if not isinstance(args[0], Elsewhere) or name != "aten::index":
            tensors = [args[0], *(args[2:3]), *(one for one in index if not isinstance(args[0], Elsewhere))]
        else:
            return
    if len({isinstance(one, Elsewhere) for one in tensors if one.ndim or isinstance(one, Elsewhere)}) > 1:
        raise MixedDevices(f"{name} of {[(str(one.device), tuple(one.shape)) for one in tensors]}")


class _Factories(TorchDispatchMode):
    """Tensors made from nothing on the device."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """What is done out of a dispatch mode's sight: torch.tensor, lists as indices, and lists as results."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].held.tolist()
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            whole = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(torch.tensor(one) if isinstance(one, list) else one for one in whole)
            return function(args[0], index, *args[2:])
        if function is not torch.tensor or kwargs.get("device") is None:
            return function(*args, **kwargs)
        device = kwargs.pop("device")
        return function(*args, **kwargs).to(device)


@contextmanager
def elsewhere() -> Iterator[str]:
    """Inside, tensors can be made on the device, whose name is given."""
    known = [*_foreach_utils._get_fused_kernels_supported_devices(), NAME]
    with (
        _Literals(),
        _Factories(),
        patch("torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: known),
        patch("torch.utils.checkpoint._infer_device_type", lambda *_: "cpu"),
    ):
        yield str(DEVICE)
