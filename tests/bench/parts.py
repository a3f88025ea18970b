"""The parts of a running site: their memory and processor time, and percentiles of what was measured through them."""

import json
import statistics
import time
from dataclasses import dataclass
from typing import Self

from config import reaper
from tests.site import Site

SIGNS = {
    "config.asgi": "web",
    "llamacpp_server": "engine",
    "transformers_server": "engine",
    "run_talker": "talker",
    "celery": "worker",
}


@dataclass(frozen=True)
class Parts:
    at: float
    memory_mb: dict[str, float]
    """Resident, of all processes of a part."""
    cpu_s: dict[str, float]

    @classmethod
    def of(cls, site: Site) -> Self:
        marker = json.loads((site.home / "run_site.lock").read_text())["marker"]
        memory: dict[str, float] = {}
        cpu: dict[str, float] = {}
        for process in reaper.marked(marker):
            command = " ".join(process.cmdline())
            name = next((name for sign, name in SIGNS.items() if sign in command), "other")
            times = process.cpu_times()
            memory[name] = round(memory.get(name, 0) + process.memory_info().rss / 2**20, 1)
            cpu[name] = cpu.get(name, 0) + times.user + times.system
        return cls(time.monotonic(), memory, cpu)

    def cpu_percent_since(self, before: "Parts") -> dict[str, float]:
        """Of one core, on average."""
        seconds = self.at - before.at
        return {name: round(100 * (used - before.cpu_s.get(name, 0)) / seconds) for name, used in self.cpu_s.items()}


def shell(site: Site, program: str) -> str:
    """What a program prints that runs on the site's rows."""
    return site.manage("shell", "--verbosity", "0", "-c", program).strip()


def percentiles(values: list[float], *shares: int) -> list[float]:
    """In milliseconds."""
    cuts = statistics.quantiles(values, n=100) if len(values) > 1 else values * 99 or [float("nan")] * 99
    return [round(1000 * cuts[share - 1], 1) for share in shares]
