"""Which configurations of models Chamsae's own Llama computes, whose weights alone can be trained as a whole.

One rule for what may be ordered and what is trained, so nothing of Django or torch is imported here.
"""

from collections.abc import Mapping
from typing import Any

FIELDS: Mapping[str, object] = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
ROPES = ("default", "linear", "llama3")


def obstacle(config: Mapping[str, Any]) -> tuple[str, object] | None:
    """The first field of a config.json that it does not compute, with its value; None where it computes all."""
    if config.get("model_type") != "llama":
        return "model_type", config.get("model_type")
    for field, wanted in FIELDS.items():
        if config.get(field, wanted) != wanted:
            return field, config[field]
    if not isinstance(stated := _stated_rope(config), Mapping):
        return "rope_scaling", stated
    rope = rope_of(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    return None if kind in ROPES else ("rope_type", kind)


def rope_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary embedding's parameters, under whichever of both spellings."""
    rope = dict(_stated_rope(config))
    rope.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    return rope


def _stated_rope(config: Mapping[str, Any]) -> Any:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}
