"""The embedded engine of a policy, by its files: llama.cpp where they hold its file, else transformers."""

from chat import policies
from chat.engines.child import ChildEngine
from chat.engines.llamacpp import GGUF, LlamaCppEngine
from chat.engines.transformers import TransformersEngine
from chat.errors import BadPolicy, PolicyAway
from chat.models import Policy


def engine_for(policy: Policy) -> ChildEngine:
    """Not started yet; of a policy without a directory, one whose start says so. Raises PolicyAway; the storage that
    hosts share may be asked, so not in an event loop."""
    try:
        has_file = policies.holds(policy, GGUF)
    except PolicyAway:
        raise
    except BadPolicy:
        has_file = True
    return LlamaCppEngine(policy) if has_file else TransformersEngine(policy)
