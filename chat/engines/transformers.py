"""The engine for a GPU and for any family: the policy's own safetensors in transformers, served by a child process.

Weights are served as they were trained, without an export. It reads the whole prompt again each turn and is made for
one model on one device; for more use vLLM or SGLang (chat.engines.openai).
"""

from pathlib import Path
from typing import Any, ClassVar

from chat.engines.child import ChildEngine
from chat.errors import BadPolicy


class TransformersEngine(ChildEngine):
    module = "chat.engines.transformers_server"
    title = "transformers"
    start_timeout_s: ClassVar[float] = 600.0

    def config(self, directory: Path) -> dict[str, Any]:
        if not any(directory.glob("*.safetensors")):
            raise BadPolicy(f"{directory} contains no safetensors file")
        return {"directory": str(directory)}
