"""Splits a decoder of transformers into trunk and top without knowing its family.

The model's own forward runs either way, so that masks, positions and all else are its own; layers that are not asked
for hand their input on, the first layer of the top gives up its input or gets one.
B rows, T positions, D hidden size.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Contexts = Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]

WHOLE, TRUNK, TOP = "whole", "trunk", "top"


class Split:
    """Wraps the forward of each layer of one model, once.

    `contexts`: with gradient checkpointing, what makes those of a layer's forward pass and of its second one
    (torch.utils.checkpoint's context_fn); None without.
    """

    def __init__(self, layers: nn.ModuleList, trunk_layers: int, contexts: Contexts | None = None) -> None:
        self._contexts = contexts
        self.first = trunk_layers  # of the top
        self._mode = WHOLE
        self._states: Tensor | None = None
        self._gives_tuples = False  # what its layers return, seen when the whole model runs
        for index, layer in enumerate(layers):
            layer.forward = self._wrapped(index, layer.forward)

    @contextmanager
    def trunk(self) -> Iterator["Split"]:
        """Inside, the model runs the layers below the top; then `states` is what they gave."""
        with self._as(TRUNK, None):
            yield self

    @contextmanager
    def top(self, states: Tensor) -> Iterator[None]:
        """Inside, the model runs the top on `states` [B, T, D], whatever its embedding gave."""
        with self._as(TOP, states):
            yield

    @property
    def states(self) -> Tensor:
        assert self._states is not None, "the trunk has not run"
        return self._states

    @contextmanager
    def _as(self, mode: str, states: Tensor | None) -> Iterator[None]:
        self._mode, self._states = mode, states
        try:
            yield
        finally:
            self._mode, self._states = WHOLE, None

    def _run(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._contexts is None or not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=self._contexts, **kwargs)

    def _wrapped(self, index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self._mode == WHOLE:
                found = forward(hidden_states, *args, **kwargs)
                self._gives_tuples = isinstance(found, tuple)
                return found
            if index == self.first:
                if self._mode == TRUNK:
                    self._states = hidden_states
                else:
                    hidden_states = self.states
            if (index < self.first) == (self._mode == TRUNK):
                return self._run(forward, hidden_states, *args, **kwargs)
            return (hidden_states, None) if self._gives_tuples else hidden_states

        return run
