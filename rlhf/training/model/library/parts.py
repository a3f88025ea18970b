"""Finds the parts of a model of transformers by what they are: layers, projections, head, last norm."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from rlhf.training.model.head import Head
from rlhf.training.model.rope import UnsupportedArchitecture

DIVISORS, FACTORS = ("logits_scaling",), ("logit_scale", "lm_head_multiplier")
"""Fields of a config by which logits are divided or multiplied."""


def text_config(model: Any) -> Any:
    """Of the decoder, where a model has other parts as well."""
    return model.config.get_text_config(decoder=True)


def layers_of(decoder: nn.Module, count: int) -> tuple[str, nn.ModuleList]:
    """The decoder's own list of layers and its name. Raises UnsupportedArchitecture."""
    for name, child in decoder.named_children():
        if isinstance(child, nn.ModuleList) and len(child) == count:
            return name, child
    raise UnsupportedArchitecture("architectures", type(decoder).__name__, f"it has no list of {count} layers")


def projections(model: nn.Module, layers: list[nn.Module]) -> dict[str, nn.Linear]:
    """Every linear module inside these layers, by its name in the model. Raises UnsupportedArchitecture."""
    inside = {id(module) for layer in layers for module in layer.modules()}
    found = {
        name: module
        for name, module in model.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear)
    }
    if not found:
        raise UnsupportedArchitecture("architectures", type(model).__name__, "its layers have no linear projections")
    return found


def head_of(model: Any) -> Head:
    """The output layer with what the family puts around it."""
    config, layer = text_config(model), model.get_output_embeddings()
    divisor = 1.0
    for name in DIVISORS:
        divisor *= float(getattr(config, name, None) or 1.0)
    for name in FACTORS:
        divisor /= float(getattr(config, name, None) or 1.0)
    return Head(layer.weight, getattr(layer, "bias", None), divisor, getattr(config, "final_logit_softcapping", None))


class LastNorm:
    """The norm before the head, for states of any layer."""

    def __init__(self, decoder: nn.Module) -> None:
        norms = [child for child in decoder.children() if "norm" in type(child).__name__.lower()]
        self._module = norms[-1] if norms else None

    def __call__(self, states: Tensor) -> Tensor:
        if self._module is None:
            return functional.rms_norm(states, (states.shape[-1],))
        normed: Tensor = self._module(states)
        return normed
