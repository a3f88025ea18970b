"""The embedded engine: llama.cpp's server as a child process.

Its penalties count the last 64 tokens of prompt and completion together, where OpenAI's count the completion.
"""

from pathlib import Path
from typing import Any

from chat.engines.child import ChildEngine
from chat.errors import BadPolicy

GGUF = "policy.gguf"


class LlamaCppEngine(ChildEngine):
    module = "chat.engines.llamacpp_server"
    title = "llama.cpp"

    def config(self, directory: Path) -> dict[str, Any]:
        if not (directory / GGUF).is_file():
            raise BadPolicy(f"{directory} contains no {GGUF}")
        return {"gguf": str(directory / GGUF)}
